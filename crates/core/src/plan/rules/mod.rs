//! Rewrites of the graph that know what several operations mean together.

pub mod fold_batch_norm;
