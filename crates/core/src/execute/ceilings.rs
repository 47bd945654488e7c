//! What the GPU can do at best, measured on it: how fast it multiplies, how fast it copies.

use std::fmt;

use half::{bf16, f16};
use ocelli_cuda::cublaslt::{MatmulSpec, ScalarType};
use ocelli_cuda::{DeviceBuffer, Stream};
use serde::Serialize;

use super::Gpu;
use super::launch::{MatmulOperands, multiply_once};
use crate::device::Precision;
use crate::error::Result;
use crate::types::DType;

/// Bytes that are copied, unless the GPU is small.
const COPIED: usize = 1 << 30;
/// Launches that are timed, after as many that are not.
const TIMED: usize = 10;
/// Random numbers come again after so many.
const PERIOD: usize = 1_000_003;

/// The rates that times are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ceilings {
    /// Operations a second of a large matrix product, in the precision that was asked for.
    pub operations: f64,
    /// Bytes a second that a large copy on the device reads and writes.
    pub bytes: f64,
}

impl Ceilings {
    /// The seconds that work takes at least: the GPU can neither compute nor move data faster.
    pub fn seconds(&self, operations: f64, bytes: f64) -> f64 {
        (operations / self.operations).max(bytes / self.bytes)
    }
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tera, tb) = (self.operations / 1e12, self.bytes / 1e12);
        write!(f, "matrix product {tera:.0} TFLOP/s, copy {tb:.2} TB/s (read and written)")
    }
}

impl Gpu {
    /// Measures the GPU's ceilings for networks computed in this precision: a matrix product of 8192 x 8192 x 8192 (4096
    /// where tensor cores are not used) by its fastest algorithm, and a copy of 1 GiB. Takes about a second.
    ///
    /// # Errors
    /// What allocating and launching may fail with.
    pub fn ceilings(&self, precision: Precision) -> Result<Ceilings> {
        Ok(Ceilings { operations: self.product_rate(precision)?, bytes: self.copy_rate()? })
    }

    fn product_rate(&self, precision: Precision) -> Result<f64> {
        let extent: usize = if precision == Precision::F32 { 4096 } else { 8192 };
        let (scalar, numbers) = match precision.compute_type() {
            DType::F16 => (ScalarType::F16, random(|value| f16::from_f32(value).to_ne_bytes())),
            DType::BF16 => (ScalarType::BF16, random(|value| bf16::from_f32(value).to_ne_bytes())),
            _ => (ScalarType::F32, random(f32::to_ne_bytes)),
        };
        let tf32 = precision == Precision::Tf32;
        let spec = MatmulSpec { tf32, ..MatmulSpec::new(extent, extent, extent, scalar) };
        let device = self.cuda();
        let stream = device.stream();
        let operand = || -> Result<DeviceBuffer> {
            let buffer = device.alloc(extent * extent * scalar.bytes())?;
            for start in (0..buffer.len()).step_by(numbers.len()) {
                let part = numbers.len().min(buffer.len() - start);
                stream.upload(&buffer, start, &numbers[..part])?;
            }
            Ok(buffer)
        };
        let operands = [operand()?, operand()?, operand()?];
        let mut fastest = f64::INFINITY;
        for plan in self.cublaslt()?.candidates(&spec, 32 << 20)? {
            let workspace = device.alloc(plan.workspace_bytes())?;
            let [a, b, d] = operands.each_ref().map(DeviceBuffer::ptr);
            let places = MatmulOperands { a, b, addend: None, d, bias: 0 };
            let multiply = || Ok(multiply_once(&plan, stream, &places, workspace.ptr())?);
            let time = median_seconds(stream, multiply)?;
            fastest = fastest.min(time);
        }
        Ok(2.0 * (extent as f64).powi(3) / fastest)
    }

    fn copy_rate(&self) -> Result<f64> {
        let device = self.cuda();
        let stream = device.stream();
        let bytes = COPIED.min(device.properties().memory_bytes / 8);
        let (from, to) = (device.alloc(bytes)?, device.alloc(bytes)?);
        stream.fill_bytes(&from, 0, bytes, 0x5a)?;
        let time = median_seconds(stream, || Ok(stream.copy_device(&to, 0, &from, 0, bytes)?))?;
        Ok(2.0 * bytes as f64 / time)
    }
}

/// The bytes of random numbers in -1..1: tensor cores draw more power, and run slower, on such than on zeros.
fn random<const BYTES: usize>(convert: impl Fn(f32) -> [u8; BYTES]) -> Vec<u8> {
    let mut bits = 0x2545_f491_u32;
    let mut next = || {
        bits ^= bits << 13;
        bits ^= bits >> 17;
        bits ^= bits << 5;
        convert(bits as i32 as f32 / 2_147_483_648.0)
    };
    (0..PERIOD).flat_map(|_| next()).collect()
}

/// The median seconds of a launch.
fn median_seconds(stream: &Stream, launch: impl Fn() -> Result<()>) -> Result<f64> {
    (0..TIMED).try_for_each(|_| launch())?;
    let mut events = Vec::with_capacity(TIMED);
    for _ in 0..TIMED {
        let start = stream.record_timed()?;
        launch()?;
        events.push((start, stream.record_timed()?));
    }
    let mut times = Vec::with_capacity(TIMED);
    for (start, end) in &events {
        times.push(f64::from(end.elapsed_ms(start)?) * 1e-3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[TIMED / 2])
}
