//! Raw bindings to the graph API of cuDNN, opened at run time
