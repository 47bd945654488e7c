//! A first look: the softmax of a row of 1000 numbers on the GPU, and its five largest entries.
//!
//! `cargo run --release --example softmax` prints the same five lines on every card; `--json` adds a line of JSON.

use anyhow::Result;
use ocelli::init::{Fans, Init};
use ocelli::prelude::*;

fn main() -> Result<()> {
    let device = Device::new(0)?;
    let fans = Fans { fan_in: 1, fan_out: 1 };
    let logits = Init::Normal { std: 2.0 }.values(1000, fans, 7, "logits");

    let logits = Tensor::from_slice(&device, &logits, &[1, 1000])?;
    let probabilities = logits.softmax()?.to_vec::<f32>()?;

    let mut classes: Vec<usize> = (0..1000).collect();
    classes.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    for &class in &classes[..5] {
        println!("class {class:>3} {:5.2}%", 100.0 * probabilities[class]);
    }
    if std::env::args().any(|argument| argument == "--json") {
        let sum: f32 = probabilities.iter().sum();
        println!("{}", serde_json::json!({ "example": "softmax", "top5": classes[..5], "sum": sum }));
    }
    Ok(())
}
