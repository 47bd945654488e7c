use ocelli::{Device, Result, Tensor};

use crate::harness::{Suite, case, gpu, numbers, seed_of};

/// The mask and the scale agree bit for bit, forward and backward.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn masks_and_scales() {
    let mut suite = Suite::default();
    for shape in [&[1][..], &[7], &[129], &[3, 5, 7, 3], &[2, 6, 6, 8], &[64, 9216]] {
        for p in [0.0, 0.1, 0.25, 0.5, 0.9] {
            let case = case(format!("dropout of {p}"), [numbers(shape)]);
            suite.check(case.roundings(0), |x| x[0].dropout(p));
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn amid_pointwise_work() {
    let mut suite = Suite::default();
    for shape in [[3, 5, 7, 3], [2, 9, 9, 8]] {
        let inputs = [numbers(&shape), numbers(&[shape[3]])];
        suite.check(case("dropout in a chain", inputs).roundings(8), |x| {
            x[0].add(&x[1])?.silu()?.dropout(0.3)?.mul(&x[1])?.dropout(0.5)?.tanh()
        });
        suite.check(case("two masks of one value", [numbers(&shape)]).roundings(6), |x| {
            x[0].dropout(0.5)?.mul(&x[0].dropout(0.5)?)
        });
        suite.check(case("dropout before a sum", [numbers(&shape)]).roundings(4), |x| {
            x[0].dropout(0.25)?.sum_to(&[shape[3]])
        });
    }
}

/// Each run draws another mask, the same one on both sides, replayed or not.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_run_has_a_mask_of_its_own() {
    let masks = |device: &Device| -> Result<Vec<Vec<f32>>> {
        device.manual_seed(seed_of("every_run_has_a_mask_of_its_own"));
        let run = |_| Tensor::from_slice(device, &[1f32; 1000], &[1000])?.dropout(0.5)?.to_vec();
        (0..5).map(run).collect()
    };
    let (found, expected) = (masks(&gpu()).unwrap(), masks(&ocelli_oracle::device()).unwrap());
    for (run, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "run {run}");
    }
    for run in 1..found.len() {
        assert_ne!(found[run - 1], found[run], "runs {} and {run} have one mask", run - 1);
    }
}
