//! What a training step costs the host: tracing it and finding its plan. No GPU is needed.

use std::any::Any;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use ocelli::prelude::*;
use ocelli::{Buffer, Executor, TensorType, Work, WorkKey};
use rustc_hash::FxHashMap;

/// Finds plans as the GPU's executor does, and runs nothing.
#[derive(Default)]
struct LookUp(Mutex<FxHashMap<WorkKey, u64>>);

impl Executor for LookUp {
    fn upload(&self, _: TensorType, _: &[u8]) -> ocelli::Result<Buffer> {
        Ok(Arc::new(()))
    }

    fn overwrite(&self, _: &Buffer, _: TensorType, _: &[u8]) -> ocelli::Result<()> {
        Ok(())
    }

    fn duplicate(&self, buffer: &Buffer, _: TensorType) -> ocelli::Result<Buffer> {
        Ok(Arc::clone(buffer))
    }

    fn download(&self, _: &Buffer, ty: TensorType) -> ocelli::Result<Vec<u8>> {
        Ok(vec![0; ty.bytes()])
    }

    fn run(&self, work: &Work) -> ocelli::Result<Vec<Buffer>> {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match plans.get_mut(&work.key) {
            Some(runs) => *runs += 1,
            None => _ = plans.insert(work.key.clone(), 1),
        }
        Ok(work.key.graph.roots.iter().map(|_| Arc::new(()) as Buffer).collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A loss of `nodes` nodes, parameters included.
fn trace(device: &Device, layers: &[Linear], nodes: usize) -> ocelli::Result<Tensor> {
    let mut x = Tensor::from_slice(device, &[0.5f32; 64], &[4, 16])?;
    // A matrix product, a sum and two parameters each, and so many activations.
    let each = nodes / layers.len() - 4;
    for layer in layers {
        x = layer.forward(&x)?;
        for _ in 0..each {
            x = x.relu()?;
        }
    }
    x.mean()
}

fn main() -> Result<()> {
    let device = Device::with_executor(Box::new(LookUp::default()));
    let params = Params::new(&device, Seed(1));
    let layers: Vec<Linear> =
        (0..40).map(|i| Linear::new(&params / &*format!("fc{i}"), 16, 16)).collect::<ocelli::Result<_>>()?;
    let mut sgd = Sgd::new(&params, SgdConfig::default());
    let mut microseconds = Vec::new();
    for _ in 0..500 {
        let begin = Instant::now();
        let loss = trace(&device, &layers, 400)?;
        sgd.minimize(black_box(&loss))?;
        drop(loss);
        microseconds.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    microseconds.sort_by(f64::total_cmp);
    let median = *microseconds.get(microseconds.len() / 2).context("no measurements")?;
    println!("tracing and look-up of a 400-node step: {median:.1} us on the host");
    println!("{}", serde_json::json!({"bench": "tracing", "nodes": 400, "host_us": median}));
    Ok(())
}
