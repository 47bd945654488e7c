//! Every operation, forward and backward, in every element type, on the GPU against the oracle; see `harness` for what
//! is compared and how closely.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod chains;
mod conv;
mod conv_fusions;
mod dropout;
mod harness;
mod layout;
mod loss;
mod matmul;
mod norm;
mod pointwise;
mod pool;
mod ranking;
mod reduce;
mod softmax;
mod upsample;
