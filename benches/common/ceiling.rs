//! What the card can do at best: a large matrix product, a large copy.

use std::fmt;

use anyhow::{Context, Result};
use half::bf16;
use ocelli::Device;
use ocelli::cuda::cublaslt::{MatmulPlan, MatmulSpec, ScalarType};
use ocelli::cuda::{DeviceBuffer, Stream};

use super::median;

/// Rows and columns of the matrices.
const EXTENT: usize = 8192;
/// Bytes that are copied, unless the card is small.
const COPIED: usize = 1 << 30;
/// Launches that are timed, after as many that are not.
const TIMED: usize = 10;

/// The rates that results are compared with, measured in the same run.
pub(crate) struct Ceilings {
    gpu: String,
    /// Of the matrix product 8192 x 8192 x 8192 in bf16, operations a second.
    pub(crate) flops: f64,
    /// Of a copy on the device, bytes read and written a second.
    pub(crate) bytes: f64,
}

impl Ceilings {
    pub(crate) fn measure(device: &Device) -> Result<Ceilings> {
        let gpu = device.gpu().context("the device is no GPU")?;
        let (cuda, stream) = (gpu.cuda(), gpu.cuda().stream());
        let spec = MatmulSpec::new(EXTENT, EXTENT, EXTENT, ScalarType::BF16);
        let values: Vec<u8> = super::program::random(EXTENT * EXTENT, bf16::from_f32)
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .collect();
        let operand = || -> Result<DeviceBuffer> {
            let buffer = cuda.alloc(values.len())?;
            stream.upload(&buffer, 0, &values)?;
            Ok(buffer)
        };
        let operands = [operand()?, operand()?, operand()?];
        let mut fastest = f64::INFINITY;
        for plan in gpu.cublaslt()?.candidates(&spec, 32 << 20)? {
            let workspace = cuda.alloc(plan.workspace_bytes())?;
            fastest = fastest.min(time(stream, || multiply(&plan, stream, &operands, &workspace))?);
        }
        let bytes = COPIED.min(cuda.properties().memory_bytes / 8);
        let (from, to) = (cuda.alloc(bytes)?, cuda.alloc(bytes)?);
        stream.fill_bytes(&from, 0, bytes, 0x5a)?;
        let copy = time(stream, || Ok(stream.copy_device(&to, 0, &from, 0, bytes)?))?;
        Ok(Ceilings {
            gpu: cuda.properties().name.clone(),
            flops: 2.0 * (EXTENT as f64).powi(3) / fastest,
            bytes: 2.0 * bytes as f64 / copy,
        })
    }

    /// The seconds that work takes at least: it can neither compute nor move data faster than the card.
    pub(crate) fn seconds(&self, flops: f64, bytes: f64) -> f64 {
        (flops / self.flops).max(bytes / self.bytes)
    }
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ceilings { gpu, flops, bytes } = self;
        write!(
            f,
            "{gpu}: bf16 matrix product {:.0} TFLOP/s, copy {:.2} TB/s (read and written)",
            flops / 1e12,
            bytes / 1e12
        )
    }
}

fn multiply(
    plan: &MatmulPlan,
    stream: &Stream,
    operands: &[DeviceBuffer; 3],
    workspace: &DeviceBuffer,
) -> Result<()> {
    let [a, b, d] = operands.each_ref().map(DeviceBuffer::ptr);
    // SAFETY: the operands were allocated with the spec's sizes, the workspace with the plan's; freed memory is reused in
    // the order of this stream, the device's own.
    unsafe { plan.execute(stream, a, b, d, 0, workspace.ptr(), 1.0, 0.0)? };
    Ok(())
}

/// The median seconds of a launch.
fn time(stream: &Stream, launch: impl Fn() -> Result<()>) -> Result<f64> {
    let mut events = Vec::with_capacity(TIMED);
    for _ in 0..TIMED {
        launch()?;
    }
    for _ in 0..TIMED {
        let start = stream.record_timed()?;
        launch()?;
        events.push((start, stream.record_timed()?));
    }
    let elapsed = |(start, end): &(_, ocelli::cuda::Event)| Ok(f64::from(end.elapsed_ms(start)?) * 1e-3);
    median(events.iter().map(elapsed).collect::<Result<_>>()?).context("nothing was timed")
}
