//! Matrix products against a product in f64 on the host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use half::{bf16, f16};
use ocelli_cuda::cublaslt::{CublasLt, Epilogue, MatmulSpec, ScalarType};
use ocelli_cuda::{Device, Error};

/// Numbers in [-1, 1) from a counter, the same at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as f64) / (1_u64 << 30) as f64 - 1.0
    }

    fn matrix(&mut self, len: usize, scalar: ScalarType) -> Vec<f64> {
        (0..len).map(|_| round(self.next(), scalar)).collect()
    }
}

fn round(value: f64, scalar: ScalarType) -> f64 {
    match scalar {
        ScalarType::F32 => f64::from(value as f32),
        ScalarType::F16 => f16::from_f64(value).to_f64(),
        ScalarType::BF16 => bf16::from_f64(value).to_f64(),
    }
}

fn encode(values: &[f64], scalar: ScalarType) -> Vec<u8> {
    match scalar {
        ScalarType::F32 => values.iter().flat_map(|&v| (v as f32).to_ne_bytes()).collect(),
        ScalarType::F16 => values.iter().flat_map(|&v| f16::from_f64(v).to_ne_bytes()).collect(),
        ScalarType::BF16 => values.iter().flat_map(|&v| bf16::from_f64(v).to_ne_bytes()).collect(),
    }
}

fn decode(bytes: &[u8], scalar: ScalarType) -> Vec<f64> {
    let pairs = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    match scalar {
        ScalarType::F32 => {
            bytes.chunks_exact(4).map(|b| f64::from(f32::from_ne_bytes([b[0], b[1], b[2], b[3]]))).collect()
        }
        ScalarType::F16 => pairs().map(|b| f16::from_ne_bytes(b).to_f64()).collect(),
        ScalarType::BF16 => pairs().map(|b| bf16::from_ne_bytes(b).to_f64()).collect(),
    }
}

/// Half a unit in the last place, relative.
fn unit_roundoff(scalar: ScalarType) -> f64 {
    match scalar {
        ScalarType::F32 => 2_f64.powi(-24),
        ScalarType::F16 => 2_f64.powi(-11),
        ScalarType::BF16 => 2_f64.powi(-8),
    }
}

/// Runs every candidate (or the first only) of `spec` on random operands and compares all of D.
fn check(device: &Device, lt: &CublasLt, spec: &MatmulSpec, alpha: f32, beta: f32, all: bool) {
    let MatmulSpec { m, n, k, batch, .. } = *spec;
    let mut random = Random((m * 31 + n * 7 + k) as u64);
    let a = random.matrix(batch * m * k, spec.a_type);
    let b = random.matrix(batch * k * n, spec.b_type);
    let old = random.matrix(batch * m * n, spec.d_type);
    let bias = random.matrix(n, spec.d_type);

    let stream = device.stream();
    let upload = |values: &[f64], scalar| {
        let bytes = encode(values, scalar);
        let buffer = device.alloc(bytes.len()).unwrap();
        stream.upload(&buffer, 0, &bytes).unwrap();
        buffer
    };
    let (a_device, b_device) = (upload(&a, spec.a_type), upload(&b, spec.b_type));
    let bias_device = upload(&bias, spec.d_type);
    let limit = 32 << 20;
    let plans = if all { lt.candidates(spec, limit).unwrap() } else { vec![lt.plan(spec, limit).unwrap()] };
    assert!(!plans.is_empty());
    // With the addend where the result goes, and in a place of its own.
    let runs = plans
        .iter()
        .enumerate()
        .flat_map(|(candidate, plan)| [true, false].map(|own| (candidate, plan, own)));
    for (candidate, plan, in_place) in runs {
        assert!(plan.workspace_bytes() <= limit && plan.spec() == spec);
        let workspace = device.alloc(plan.workspace_bytes()).unwrap();
        let c = upload(&old, spec.d_type);
        let d = if in_place { c.clone() } else { upload(&old, spec.d_type) };
        if beta == 0.0 || !in_place {
            stream.fill_bytes(&d, 0, d.len(), 0xff).unwrap();
        }
        // SAFETY: buffers of the spec's sizes, 256-byte aligned, alive until the download below has waited.
        unsafe {
            let (a, b, c, d) = (a_device.ptr(), b_device.ptr(), c.ptr(), d.ptr());
            plan.execute(stream, a, b, c, d, bias_device.ptr(), workspace.ptr(), alpha, beta).unwrap();
        }
        let mut bytes = vec![0; d.len()];
        stream.download(&d, 0, &mut bytes).unwrap();
        let result = decode(&bytes, spec.d_type);
        for (index, &got) in result.iter().enumerate() {
            let (batch_index, row, column) = (index / (m * n), index / n % m, index % n);
            let (mut sum, mut magnitude) = (0.0, 0.0);
            for i in 0..k {
                let a_at = if spec.transpose_a { i * m + row } else { row * k + i };
                let b_at = if spec.transpose_b { column * k + i } else { i * n + column };
                let product = a[batch_index * m * k + a_at] * b[batch_index * k * n + b_at];
                sum += product;
                magnitude += product.abs();
            }
            let (bias_on, relu) = match spec.epilogue {
                Epilogue::None => (0.0, false),
                Epilogue::Relu => (0.0, true),
                Epilogue::Bias => (1.0, false),
                Epilogue::BiasRelu => (1.0, true),
            };
            let added = bias_on * bias[column];
            let alpha_sum = f64::from(alpha) * sum;
            let mut expected = alpha_sum + f64::from(beta) * old[index] + added;
            magnitude =
                f64::from(alpha).abs() * magnitude + f64::from(beta).abs() * old[index].abs() + added.abs();
            if relu {
                expected = expected.max(0.0);
            }
            let operands = if spec.tf32 { 2.0 * 2_f64.powi(-10) } else { 0.0 };
            let bound = magnitude * ((k + 4) as f64 * unit_roundoff(ScalarType::F32) + operands)
                // An algorithm may round the product to D's type before it adds what D held.
                + 1.01 * unit_roundoff(spec.d_type) * (expected.abs() + f64::from(beta).abs() * (alpha_sum.abs() + old[index].abs()))
                + 1e-7;
            assert!(
                (got - expected).abs() <= bound,
                "{spec}, alpha {alpha}, beta {beta}, candidate {candidate}: D[{row}, {column}] of {batch_index} is {got}, not {expected}"
            );
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_cublaslt), ignore = "needs cuBLASLt")]
fn the_library_tells_its_version() {
    let version = CublasLt::version().unwrap();
    assert!(version >= 12_00_00, "{version}");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_type_and_transpose_agrees_with_the_host() {
    let device = Device::new(0).unwrap();
    let lt = CublasLt::new(&device).unwrap();
    for scalar in [ScalarType::F32, ScalarType::F16, ScalarType::BF16] {
        for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
            for (m, n, k) in [(64, 96, 32), (128, 10, 200), (1, 1, 1), (8, 1000, 512)] {
                let spec = MatmulSpec { transpose_a, transpose_b, ..MatmulSpec::new(m, n, k, scalar) };
                check(&device, &lt, &spec, 1.0, 0.0, false);
            }
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_candidate_agrees_with_the_host() {
    let device = Device::new(0).unwrap();
    let lt = CublasLt::new(&device).unwrap();
    for scalar in [ScalarType::F32, ScalarType::F16, ScalarType::BF16] {
        for deterministic in [false, true] {
            let spec =
                MatmulSpec { deterministic, transpose_b: true, ..MatmulSpec::new(48, 80, 640, scalar) };
            check(&device, &lt, &spec, 1.0, 0.0, true);
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn odd_sizes_need_only_the_alignment_they_are_given() {
    let device = Device::new(0).unwrap();
    let lt = CublasLt::new(&device).unwrap();
    for (m, n, k) in [(7, 13, 5), (33, 17, 65), (3, 1, 129)] {
        for transpose_a in [false, true] {
            let spec = MatmulSpec { transpose_a, ..MatmulSpec::new(m, n, k, ScalarType::F32) };
            check(&device, &lt, &MatmulSpec { alignment: 4, ..spec }, 1.0, 0.0, false);
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn half_operands_may_give_an_f32_result() {
    let device = Device::new(0).unwrap();
    let lt = CublasLt::new(&device).unwrap();
    for scalar in [ScalarType::F16, ScalarType::BF16] {
        let spec =
            MatmulSpec { d_type: ScalarType::F32, transpose_a: true, ..MatmulSpec::new(96, 64, 256, scalar) };
        check(&device, &lt, &spec, 1.0, 0.0, false);
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn f32_products_are_not_rounded_to_tf32_unless_asked_for() {
    let device = Device::new(0).unwrap();
    let lt = CublasLt::new(&device).unwrap();
    // The bound of the strict product is far below what TF32's operands would be off by.
    for tf32 in [false, true] {
        let spec = MatmulSpec { tf32, ..MatmulSpec::new(128, 128, 64, ScalarType::F32) };
        check(&device, &lt, &spec, 1.0, 0.0, false);
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn alpha_beta_and_epilogues_do_what_they_say() {
    let device = Device::new(0).unwrap();
    let lt = CublasLt::new(&device).unwrap();
    for scalar in [ScalarType::F32, ScalarType::F16, ScalarType::BF16] {
        for epilogue in [Epilogue::None, Epilogue::Relu, Epilogue::Bias, Epilogue::BiasRelu] {
            for (alpha, beta) in [(1.0, 0.0), (1.0, 1.0), (-0.5, 0.25)] {
                let spec = MatmulSpec { epilogue, transpose_b: true, ..MatmulSpec::new(40, 24, 56, scalar) };
                check(&device, &lt, &spec, alpha, beta, false);
            }
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn batches_are_independent_products() {
    let device = Device::new(0).unwrap();
    let lt = CublasLt::new(&device).unwrap();
    for (transpose_a, transpose_b) in [(false, false), (true, true)] {
        let spec =
            MatmulSpec { batch: 5, transpose_a, transpose_b, ..MatmulSpec::new(16, 24, 40, ScalarType::F16) };
        check(&device, &lt, &spec, 1.0, 0.0, false);
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn products_that_make_no_sense_are_refused() {
    let device = Device::new(0).unwrap();
    let lt = CublasLt::new(&device).unwrap();
    let spec = MatmulSpec::new(8, 0, 8, ScalarType::F32);
    assert!(matches!(lt.plan(&spec, 0), Err(Error::InvalidMatmul { .. })));
    let mixed = MatmulSpec { b_type: ScalarType::BF16, ..MatmulSpec::new(8, 8, 8, ScalarType::F16) };
    let error = lt.plan(&mixed, 1 << 20).unwrap_err();
    assert!(matches!(error, Error::NoMatmul { .. } | Error::CublasLt { .. }), "{error:?}");
}
