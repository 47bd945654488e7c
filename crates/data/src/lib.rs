//! Datasets for Ocelli: MNIST (IDX files), read, fetched and generated
