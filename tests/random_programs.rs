//! Random networks, trained for a few steps on the GPU and by the oracle.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli::prelude::*;
use ocelli_oracle::RandomProgram;

/// The losses of the first steps, or `None` when the program has nothing to train.
fn losses(device: &Device, seed: u64) -> Option<Vec<f32>> {
    device.manual_seed(seed);
    let program = RandomProgram::new(device, seed).unwrap();
    let mut sgd = Sgd::new(program.params(), SgdConfig { lr: 0.001, momentum: 0.9, ..Default::default() });
    let mut losses = Vec::new();
    for _ in 0..4 {
        let loss = program.loss().unwrap();
        match sgd.minimize(&loss) {
            Ok(()) => losses.push(loss.value().unwrap()),
            Err(Error::NothingToTrain) => return None,
            Err(error) => panic!("program {seed}: {error}"),
        }
    }
    Some(losses)
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn random_programs_train_alike() {
    let mut trained = 0;
    for seed in 0..60 {
        let ours = losses(&Device::new(0).unwrap(), seed);
        let oracles = losses(&ocelli_oracle::device(), seed);
        assert_eq!(ours.is_some(), oracles.is_some(), "program {seed}");
        let (Some(ours), Some(oracles)) = (ours, oracles) else { continue };
        trained += 1;
        for (step, (ours, oracle)) in ours.iter().zip(&oracles).enumerate() {
            let error = (ours - oracle).abs() / oracle.abs().max(1e-3);
            assert!(error < 1e-3, "program {seed}, step {step}: {ours} on the GPU, {oracle} by the oracle");
        }
    }
    assert!(trained >= 40, "only {trained} of 60 programs had something to train");
}
