//! The loader, from files in a directory to batches on the GPU.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail loudly")]

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod caches;
mod damaged;
mod files;
mod memory;
mod orientation;
mod pixels;
mod sets;
