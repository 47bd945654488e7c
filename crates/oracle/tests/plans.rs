//! Plans against the graphs that they were made from.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli_core::Precision;
use ocelli_oracle::{check_plans, training_step};

const SEEDS: std::ops::Range<u64> = 0..160;

fn check_seeds(precision: Precision, every: usize) {
    let failures: Vec<String> = SEEDS
        .step_by(every)
        .filter_map(|seed| {
            let (graph, bindings) = training_step(seed, precision).unwrap();
            let error = check_plans(&graph, &bindings).err()?;
            Some(format!("seed {seed}: {error}"))
        })
        .collect();
    assert!(failures.is_empty(), "{} fail\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn training_in_f32() {
    check_seeds(Precision::F32, 1);
}

#[test]
fn training_in_f16() {
    check_seeds(Precision::mixed_f16(), 1);
}

#[test]
fn training_in_bf16() {
    check_seeds(Precision::mixed_bf16(), 4);
}
