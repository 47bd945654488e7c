//! Convolutions through cuDNN: descriptions, and the choice of an engine by measured times.

use std::sync::Arc;

use ocelli_cuda::{DeviceBuffer, Event, KernelArgs, KernelSource};
use ocelli_cudnn::{
    ConvolutionSpec, DataType, Operation, OperationGraph, Plan as Engine, PlanOptions, PointwiseMode,
    PointwiseParameters, TensorSpec,
};

use super::Gpu;
use crate::device::Precision;
use crate::error::Result;
use crate::plan::{Convolution, ConvolutionKind, Operand};
use crate::types::DType;

/// The identity of a tensor in cuDNN's graph.
pub(super) fn uid(operand: Operand) -> i64 {
    operand as i64 + 1
}

/// The largest workspace that a convolution may ask for.
const WORKSPACE_LIMIT: usize = 1 << 29;

/// The element type in cuDNN's terms.
pub(super) fn data_type(dtype: DType) -> DataType {
    match dtype {
        DType::F32 => DataType::F32,
        DType::F16 => DataType::F16,
        DType::BF16 => DataType::BF16,
        DType::I32 => DataType::I32,
        DType::U8 => DataType::U8,
    }
}

/// What cuDNN is to do.
pub(super) fn describe(convolution: &Convolution) -> OperationGraph {
    let Convolution { kind, conv, fusion, .. } = *convolution;
    let tensor = |operand| {
        let ty = convolution.operand(operand);
        let [n, h, w, c] = ty.shape.aligned().map(|extent| extent as i64);
        let spec = TensorSpec::nhwc(uid(operand), data_type(ty.dtype), n, h, w, c);
        spec.aligned(crate::plan::memory::ALIGNMENT as i64)
    };
    let pair = |extents: [usize; 2]| extents.map(|extent| extent as i64);
    let spec = ConvolutionSpec {
        padding: pair(conv.padding),
        stride: pair(conv.stride),
        dilation: pair(conv.dilation),
        compute: DataType::F32,
    };
    let mut chain = Chain::default();
    let (mut x, w, y) = (tensor(Operand::X), tensor(Operand::W), tensor(Operand::Y));
    if fusion.prologue {
        let scaled = chain.apply(PointwiseMode::Mul, x.clone(), Some(tensor(Operand::Scale)), None);
        let shifted = chain.apply(PointwiseMode::Add, scaled, Some(tensor(Operand::Shift)), None);
        let z = TensorSpec { data_type: x.data_type, ..chain.between(&x) };
        x = chain.apply(PointwiseMode::Relu, shifted, None, Some(z));
    }
    match kind {
        ConvolutionKind::BackwardData => {
            chain.operations.push(Operation::ConvolutionBackwardData { dy: y, w, dx: x, spec });
        }
        ConvolutionKind::BackwardFilter => {
            chain.operations.push(Operation::ConvolutionBackwardFilter { x, dy: y, dw: w, spec });
        }
        // cuDNN knows what is added before the bias, and no other order.
        ConvolutionKind::Forward => {
            let steps = [
                fusion.residual.then(|| (PointwiseMode::Add, Some(tensor(Operand::Residual)))),
                fusion.bias.then(|| (PointwiseMode::Add, Some(tensor(Operand::Bias)))),
                fusion.relu.then_some((PointwiseMode::Relu, None)),
            ];
            let steps: Vec<_> = steps.into_iter().flatten().collect();
            let mut result = if steps.is_empty() { y.clone() } else { chain.between(&y) };
            chain.operations.push(Operation::ConvolutionForward { x, w, y: result.clone(), spec });
            let count = steps.len();
            for (step, (mode, operand)) in steps.into_iter().enumerate() {
                let last = (step + 1 == count).then(|| y.clone());
                result = chain.apply(mode, result, operand, last);
            }
            if fusion.statistics {
                let (sum, sqsum) = (tensor(Operand::Sum), tensor(Operand::Squares));
                chain.operations.push(Operation::GenStats { x: y, sum, sqsum, compute: DataType::F32 });
            }
        }
    }
    OperationGraph::new(chain.operations)
}

/// Operations one after the other, with tensors between them that have no memory.
#[derive(Default)]
struct Chain {
    operations: Vec<Operation>,
    tensors: i64,
}

impl Chain {
    /// A tensor of a shape that has no memory, in `f32`.
    fn between(&mut self, like: &TensorSpec) -> TensorSpec {
        self.tensors += 1;
        TensorSpec { uid: 100 + self.tensors, data_type: DataType::F32, ..like.clone() }.virtual_()
    }

    /// Appends a pointwise operation, and returns its result: `y` if one is given.
    fn apply(
        &mut self,
        mode: PointwiseMode,
        x: TensorSpec,
        b: Option<TensorSpec>,
        y: Option<TensorSpec>,
    ) -> TensorSpec {
        let y = y.unwrap_or_else(|| self.between(&x));
        let parameters = PointwiseParameters::default();
        let result = y.clone();
        self.operations.push(Operation::Pointwise { mode, x, b, y, parameters, compute: DataType::F32 });
        result
    }
}

/// Which engines may be used.
pub(super) fn options(dtype: DType, precision: Precision, deterministic: bool) -> PlanOptions {
    PlanOptions {
        deterministic,
        tensor_cores: dtype.is_half() || precision != Precision::F32,
        workspace_limit: WORKSPACE_LIMIT,
        allow_runtime_compiled: false,
    }
}

/// The fastest engine, measured once and remembered on disk; in deterministic runs the first of cuDNN's heuristics, as
/// measured times may choose another one tomorrow.
pub(super) fn engine(
    gpu: &Gpu,
    convolution: &Convolution,
    precision: Precision,
    deterministic: bool,
) -> Result<Arc<Engine>> {
    let (cudnn, graph) = (gpu.cudnn()?, describe(convolution));
    let mut options = options(convolution.x.dtype, precision, deterministic);
    if deterministic {
        return Ok(match cudnn.plan(&graph, &options) {
            Err(error) if error.is_unsupported() => {
                options.allow_runtime_compiled = true;
                cudnn.plan(&graph, &options)?
            }
            result => result?,
        });
    }
    let mut operands = None;
    let (mut candidates, mut best) = (0, f32::INFINITY);
    let mut time = |engine: &Engine| -> ocelli_cudnn::Result<Option<f32>> {
        candidates += 1;
        if candidates > CANDIDATES && best.is_finite() {
            return Ok(None);
        }
        if operands.is_none() {
            operands = Some(Operands::new(gpu, convolution)?);
        }
        let ms = operands.as_ref().map_or(Ok(None), |operands| operands.time(gpu, engine, best))?;
        best = best.min(ms.unwrap_or(best));
        Ok(ms)
    };
    match cudnn.autotune(&graph, &options, &mut time) {
        Err(error) if error.is_unsupported() => {
            options.allow_runtime_compiled = true;
            Ok(cudnn.autotune(&graph, &options, &mut time)?)
        }
        result => Ok(result?),
    }
}

/// Several sets of random operands, more than the L2 cache holds where memory allows, so that each launch finds its
/// operands as a step would: not in the cache.
struct Operands {
    sets: Vec<Vec<(i64, DeviceBuffer)>>,
}

/// Launches that are timed, after one that is not.
const TIMED: usize = 6;
/// Candidates that are timed: cuDNN's heuristics offer the promising ones first.
const CANDIDATES: usize = 16;
/// A candidate whose first timed launch takes so many times the best one's time is given up.
const HOPELESS: f32 = 1.5;

impl Operands {
    fn new(gpu: &Gpu, convolution: &Convolution) -> ocelli_cudnn::Result<Operands> {
        let device = gpu.cuda();
        let bytes = convolution.x.dtype.bytes();
        let operands: Vec<Operand> = convolution.reads().into_iter().chain(convolution.writes()).collect();
        let cache = device.properties().l2_bytes;
        let sets = (2 * cache).div_ceil(convolution.bytes().max(1)).clamp(1, TIMED);
        let fill = device.compile(&KernelSource {
            name: "fill_random".into(),
            source: FILL_RANDOM.into(),
            options: Vec::new(),
        })?;
        let fill = fill.function("fill_random")?;
        let make = |size: usize| -> ocelli_cudnn::Result<DeviceBuffer> {
            let buffer = device.alloc(size)?;
            let mut args = KernelArgs::new();
            args.push_ptr(buffer.ptr())
                .push_u64((size / bytes) as u64)
                .push_u32(u32::from(convolution.x.dtype.is_half()));
            super::launch::fill(&fill, device.stream(), &args)?;
            Ok(buffer)
        };
        let sets = (0..sets)
            .map(|_| {
                let set = operands.iter();
                set.map(|&operand| Ok((uid(operand), make(convolution.operand(operand).bytes())?))).collect()
            })
            .collect::<ocelli_cudnn::Result<_>>()?;
        Ok(Operands { sets })
    }

    /// The median milliseconds of a launch, or `None` when the engine refuses or has no chance to beat `best`.
    fn time(&self, gpu: &Gpu, engine: &Engine, best: f32) -> ocelli_cudnn::Result<Option<f32>> {
        let stream = gpu.cuda().stream();
        let workspace = match gpu.cuda().alloc(engine.workspace_bytes()) {
            Ok(workspace) => workspace,
            Err(ocelli_cuda::Error::OutOfMemory { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let launch = |set: usize| {
            let set = &self.sets[set % self.sets.len()];
            let pointers: Vec<(i64, u64)> = set.iter().map(|(uid, buffer)| (*uid, buffer.ptr())).collect();
            let start = stream.record_timed()?;
            super::launch::convolve_once(engine, &pointers, workspace.ptr())?;
            Ok((start, stream.record_timed()?))
        };
        let pairs =
            |sets: std::ops::Range<usize>| match sets.map(launch).collect::<ocelli_cudnn::Result<Vec<_>>>() {
                Err(error) if error.is_refusal() => Ok(None),
                pairs => pairs.map(Some),
            };
        let milliseconds = |pairs: Vec<(Event, Event)>| -> ocelli_cudnn::Result<Vec<f32>> {
            stream.synchronize()?;
            let times = pairs.iter().map(|(start, end)| end.elapsed_ms(start));
            Ok(times.collect::<ocelli_cuda::Result<Vec<f32>>>()?)
        };
        // The first launch may load code, and is not counted.
        let Some(first) = pairs(0..2)? else { return Ok(None) };
        if milliseconds(first)?[1] > best * HOPELESS {
            return Ok(None);
        }
        let Some(timed) = pairs(2..2 + TIMED)? else { return Ok(None) };
        let mut times = milliseconds(timed)?;
        times.sort_by(f32::total_cmp);
        Ok(times.get(times.len() / 2).copied())
    }
}

/// Fills a tensor with numbers in -1..1: tensor cores draw more power, and run slower, on such than on zeros. In 16 bits
/// it writes fp16 bit patterns, which are harmless small numbers as bf16.
const FILL_RANDOM: &str = r#"
extern "C" __global__ void fill_random(void* out, unsigned long long count, unsigned int half) {
    unsigned long long stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        unsigned int h = (unsigned int)i * 2654435761u + (unsigned int)(i >> 32);
        h ^= h >> 16; h *= 0x85ebca6bu; h ^= h >> 13; h *= 0xc2b2ae35u; h ^= h >> 16;
        if (half) {
            unsigned short sign = (unsigned short)((h & 1u) << 15), bits = (unsigned short)(0x3000u + ((h >> 8) & 0x0bffu));
            ((unsigned short*)out)[i] = sign | bits;
        } else {
            ((float*)out)[i] = (float)(int)h * (1.0f / 2147483648.0f);
        }
    }
}
"#;

#[cfg(test)]
mod tests;
