//! The planner: from a graph to a list of launches. Plain Rust with no GPU in it.

pub mod precision;
