//! `ocelli doctor --run`: a softmax through cuDNN, and how fast the GPU copies and multiplies.

use ocelli_cuda::cublaslt::{CublasLt, MatmulPlan, MatmulSpec, ScalarType};
use ocelli_cuda::{Device, DeviceBuffer, Stream};
use ocelli_cudnn::{Cudnn, DataType, Result, SoftmaxSpec};
use serde::Serialize;

use super::launch::{self, Operands};
use super::probe::Usable;
use super::random;

const CLASSES: usize = 1000;
/// Bytes of the copy: far more than any GPU's cache.
const COPY: usize = 1 << 30;
/// Rows and columns of the matrices.
const SIZE: usize = 8192;
const WORKSPACE: usize = 64 << 20;
/// Measurements of which the median is told, after a few that are not counted.
const REPEATS: usize = 21;
const WARM_UP: usize = 3;

/// What the self-test found.
#[derive(Serialize)]
pub(super) struct SelfTest {
    pub(super) device: String,
    pub(super) softmax: Softmax,
    pub(super) copy: Copy,
    pub(super) matmul: Matmul,
}

/// A softmax of 1000 numbers of fixed seed.
#[derive(Serialize)]
pub(super) struct Softmax {
    pub(super) top: Vec<Class>,
    /// The largest relative error against the host's f64.
    pub(super) max_relative_error: f64,
}

#[derive(Serialize)]
pub(super) struct Class {
    pub(super) class: usize,
    pub(super) probability: f32,
}

/// A copy within the device's memory.
#[derive(Serialize)]
pub(super) struct Copy {
    pub(super) bytes: usize,
    pub(super) median_ms: f32,
    /// Of bytes read plus bytes written.
    pub(super) gigabytes_per_second: f64,
}

/// A product of square bf16 matrices, summed in f32.
#[derive(Serialize)]
pub(super) struct Matmul {
    pub(super) size: usize,
    pub(super) median_ms: f32,
    pub(super) teraflops: f64,
    /// The largest error of a few elements against the host's f64, in units of what bf16 rounds.
    pub(super) max_error_in_roundings: f64,
}

impl SelfTest {
    /// What came out wrong.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |what: &str, error: f64, limit: f64| {
            if error.is_nan() || error > limit {
                problems.push(format!(
                    "the self-test's {what} is wrong (error {error:.2e}, at most {limit:.0e}): the GPU or the library \
                     is faulty"
                ));
            }
        };
        check("softmax", self.softmax.max_relative_error, 1e-5);
        check("matrix product", self.matmul.max_error_in_roundings, 2.0);
        problems
    }
}

pub(super) fn run(usable: &Usable) -> Result<SelfTest> {
    let Usable { device, cudnn, cublaslt } = usable;
    Ok(SelfTest {
        device: device.properties().name.clone(),
        softmax: softmax(cudnn)?,
        copy: copy(device)?,
        matmul: matmul(device, cublaslt)?,
    })
}

fn softmax(cudnn: &Cudnn) -> Result<Softmax> {
    let device = cudnn.device();
    let logits = random::normal(7, CLASSES, 2.0);
    let (x, y) = (device.alloc(CLASSES * 4)?, device.alloc(CLASSES * 4)?);
    device.stream().upload(&x, 0, bytemuck::cast_slice(&logits))?;
    let spec = SoftmaxSpec { data_type: DataType::F32, n: 1, h: 1, w: 1, c: CLASSES as i32, log: false };
    launch::softmax(cudnn, &spec, &x, &y)?;
    let mut probabilities = vec![0f32; CLASSES];
    device.stream().download(&y, 0, bytemuck::cast_slice_mut(&mut probabilities))?;

    let exponentials: Vec<f64> = logits.iter().map(|&logit| f64::from(logit).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    let errors = probabilities.iter().zip(&exponentials).map(|(&got, exponential)| {
        let wanted = exponential / sum;
        (f64::from(got) - wanted).abs() / wanted
    });
    let mut top: Vec<Class> =
        probabilities.iter().enumerate().map(|(class, &probability)| Class { class, probability }).collect();
    top.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    top.truncate(5);
    Ok(Softmax { top, max_relative_error: largest(errors) })
}

fn copy(device: &Device) -> Result<Copy> {
    let (from, to) = (device.alloc(COPY)?, device.alloc(COPY)?);
    launch::fill(device, &from, 1)?;
    let median_ms =
        median_ms(device.stream(), REPEATS, || device.stream().copy_device(&to, 0, &from, 0, COPY))?;
    let gigabytes_per_second = 2.0 * COPY as f64 / f64::from(median_ms) / 1e6;
    Ok(Copy { bytes: COPY, median_ms, gigabytes_per_second })
}

fn matmul(device: &Device, cublaslt: &CublasLt) -> Result<Matmul> {
    let bytes = SIZE * SIZE * ScalarType::BF16.bytes();
    let operands = Operands {
        a: device.alloc(bytes)?,
        b: device.alloc(bytes)?,
        d: device.alloc(bytes)?,
        workspace: device.alloc(WORKSPACE)?,
    };
    launch::fill(device, &operands.a, 1)?;
    launch::fill(device, &operands.b, 2)?;
    let time = |plan: &MatmulPlan, repeats| {
        median_ms(device.stream(), repeats, || launch::matmul(plan, device, &operands))
    };
    let plans = cublaslt.candidates(&MatmulSpec::new(SIZE, SIZE, SIZE, ScalarType::BF16), WORKSPACE)?;
    // Its estimate of which is fastest is often wrong by some percent.
    let mut best: Option<(f32, &MatmulPlan)> = None;
    let mut refusal = None;
    for plan in &plans {
        match time(plan, 3) {
            Ok(ms) if best.is_none_or(|(least, _)| ms < least) => best = Some((ms, plan)),
            Ok(_) => {}
            Err(error) => refusal = Some(error),
        }
    }
    let plan = match (best, refusal) {
        (Some((_, plan)), _) => plan,
        (None, Some(error)) => return Err(error.into()),
        (None, None) => &cublaslt.plan(&MatmulSpec::new(SIZE, SIZE, SIZE, ScalarType::BF16), WORKSPACE)?,
    };
    let median_ms = time(plan, REPEATS)?;
    Ok(Matmul {
        size: SIZE,
        median_ms,
        teraflops: 2.0 * (SIZE as f64).powi(3) / f64::from(median_ms) / 1e9,
        max_error_in_roundings: product_error(device.stream(), &operands.d)?,
    })
}

/// Computes a few elements on the host, from the numbers that the matrices were filled with.
fn product_error(stream: &Stream, d: &DeviceBuffer) -> Result<f64> {
    let mut errors = Vec::new();
    for (row, column) in [(0, 0), (1, SIZE - 1), (SIZE / 3, SIZE / 7), (SIZE - 1, SIZE / 2 + 1)] {
        let mut bits = [0; 2];
        stream.download(d, 2 * (row * SIZE + column), &mut bits)?;
        let got = f64::from(f32::from_bits(u32::from(u16::from_ne_bytes(bits)) << 16));
        let products = (0..SIZE).map(|k| {
            f64::from(random::bf16(1, row * SIZE + k)) * f64::from(random::bf16(2, k * SIZE + column))
        });
        let wanted: f64 = products.sum();
        // bf16 has eight significant bits, so that rounding errs by up to 1/256.
        errors.push((got - wanted).abs() / (wanted.abs().max(1.0) / 256.0));
    }
    Ok(largest(errors.into_iter()))
}

/// The median GPU time of `work`, by events around each.
fn median_ms(
    stream: &Stream,
    repeats: usize,
    work: impl Fn() -> ocelli_cuda::Result<()>,
) -> ocelli_cuda::Result<f32> {
    for _ in 0..WARM_UP {
        work()?;
    }
    let mut events = vec![stream.record_timed()?];
    for _ in 0..repeats {
        work()?;
        events.push(stream.record_timed()?);
    }
    let times: ocelli_cuda::Result<Vec<f32>> =
        events.windows(2).map(|pair| pair[1].elapsed_ms(&pair[0])).collect();
    let mut times = times?;
    times.sort_by(f32::total_cmp);
    Ok(times[times.len() / 2])
}

/// The largest of some errors; NaN if one of them is.
fn largest(errors: impl Iterator<Item = f64>) -> f64 {
    errors.fold(0.0, |largest, error| if largest.is_nan() || error <= largest { largest } else { error })
}
