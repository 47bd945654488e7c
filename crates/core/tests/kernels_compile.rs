//! Every kernel compiles, for every architecture that is supported. No GPU is needed, only NVRTC.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use ocelli_core::codegen::{
    Access, Instruction, KernelSpec, MapInput, MapSpec, MapSum, MapWrite, Target, generate,
};
use ocelli_core::ops::pool::Windows;
use ocelli_core::ops::{
    AdamW, AvgPool, Binary, Conv2d, CrossEntropy, Dropout, GroupNorm, MaxPool, Op, Sgd, Softmax,
    SpaceToDepth, Unary, Upsample, UpsampleMode,
};
use ocelli_core::{DType, Origin, Real, Shape, TensorType};
use ocelli_cuda::KernelSource;
use ocelli_cuda::kernel::compile_cubin;
use std::sync::atomic::{AtomicUsize, Ordering};

const TARGET: Target = Target { compute_capability: (9, 0), multiprocessors: 132 };
const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];
const FULL: Access = Access::Full;
const CHANNEL: Access = Access::Broadcast([false, false, false, true]);
const SCALAR: Access = Access::Broadcast([false; 4]);

fn input(dtype: DType, access: Access) -> MapInput {
    MapInput { dtype, access }
}

/// The ReLU of the product of all inputs, written and summed as told.
fn map(space: [usize; 4], inputs: Vec<MapInput>, writes: &[DType], keeps: &[[bool; 4]]) -> KernelSpec {
    let mut body = Vec::new();
    let mut last: Option<u32> = None;
    for (k, input) in inputs.iter().enumerate() {
        if input.access == Access::Indices {
            continue;
        }
        body.push(Instruction::Load(k as u32));
        let loaded = body.len() as u32 - 1;
        last = Some(match last {
            None => loaded,
            Some(before) => {
                body.push(Instruction::Binary(Binary::Mul, before, loaded));
                body.len() as u32 - 1
            }
        });
    }
    body.push(Instruction::Unary(Unary::Relu, last.unwrap()));
    let value = body.len() as u32 - 1;
    let writes = writes.iter().map(|&dtype| MapWrite { value, dtype }).collect();
    let sums = keeps.iter().map(|&keep| MapSum { value, keep, dtype: DType::F32 }).collect();
    KernelSpec::Map(MapSpec { space, inputs, body, writes, sums, backwards: space[0] == 1 })
}

/// Maps of every access, width, sum and type.
fn maps() -> Vec<KernelSpec> {
    let mut specs = vec![every_function()];
    let spaces =
        [[64, 24, 24, 64], [2, 3, 5, 7], [1, 1, 1, 10], [1, 1, 1, 1], [1, 1, 64, 9216], [16, 7, 7, 2048]];
    for dtype in FLOATS {
        for space in spaces {
            let x = input(dtype, FULL);
            specs.push(map(space, vec![x, x], &[dtype], &[]));
            specs.push(map(
                space,
                vec![x, input(DType::F32, CHANNEL), input(DType::F32, SCALAR)],
                &[dtype],
                &[],
            ));
            for keep in [
                [false, false, false, true],
                [false; 4],
                [true, false, false, true],
                [true, true, true, false],
                [true, false, false, false],
                [false, true, false, true],
                [false, true, true, false],
            ] {
                // An extent of one counts as summed.
                let keep = std::array::from_fn(|axis| keep[axis] && space[axis] > 1);
                specs.push(map(space, vec![x, input(DType::F32, CHANNEL)], &[], &[keep, keep]));
            }
            specs.push(map(space, vec![x], &[dtype], &[[false, false, false, space[3] > 1]]));
        }
        let blocks = SpaceToDepth { block: [2, 2], before: [3, 2], output: [6, 6] };
        for access in [
            Access::Broadcast([true, false, false, true]),
            Access::Broadcast([true, false, false, false]),
            Access::Broadcast([false, true, true, false]),
            Access::ChannelSlice { start: 8, channels: 48 },
            Access::ChannelSlice { start: 3, channels: 29 },
            Access::ChannelPad { before: 8, channels: 16 },
            Access::ChannelPad { before: 5, channels: 11 },
            Access::ChannelShuffle { groups: 3 },
            Access::SpaceToDepth { blocks, input: [9, 10, 6] },
            Access::DepthToSpace { blocks: SpaceToDepth { output: [4, 4], ..blocks } },
        ] {
            let space = [4, 6, 6, 24];
            specs.push(map(space, vec![input(dtype, access), input(dtype, FULL)], &[dtype, DType::F32], &[]));
            specs.push(map(space, vec![input(dtype, access)], &[], &[[false; 4]]));
        }
        for (space, output) in [([4, 12, 12, 24], [6, 6]), ([2, 9, 7, 3], [5, 4])] {
            let windows = Windows::square(3).stride(2).padding(1);
            let places = input(DType::U8, Access::Indices);
            let gradient = input(dtype, Access::Windows { windows, output, places: 0 });
            specs.push(map(
                space,
                vec![places, gradient, input(dtype, FULL)],
                &[dtype],
                &[[false, false, false, true]],
            ));
        }
        let padded = input(DType::U8, Access::ChannelPad { before: 0, channels: 3 });
        specs.push(map([4, 6, 6, 4], vec![padded, input(DType::F32, CHANNEL)], &[dtype], &[]));
        let pixels = Access::Rows { row_elements: 784, rows: 60_000, indices: 0 };
        let inputs = vec![input(DType::I32, Access::Indices), input(DType::U8, pixels)];
        specs.push(map([64, 28, 28, 1], inputs, &[dtype], &[]));
        let dropout = Instruction::Dropout(Dropout { p: Real(0.25), ordinal: 1 }, 0);
        for space in [[1, 1, 64, 9216], [3, 5, 7, 11], [2, 4, 4, 4]] {
            specs.push(copy(space, vec![input(dtype, FULL)], vec![Instruction::Load(0), dropout], dtype));
        }
    }
    let labels = Access::Rows { row_elements: 1, rows: 60_000, indices: 0 };
    let inputs = vec![input(DType::I32, Access::Indices), input(DType::I32, labels)];
    specs.push(copy([1, 1, 1, 64], inputs, vec![Instruction::Load(1)], DType::I32));
    specs.push(map([64, 1, 1, 1 << 26], vec![input(DType::F32, FULL)], &[DType::F16], &[]));
    specs
}

/// A map that writes its last register.
fn copy(space: [usize; 4], inputs: Vec<MapInput>, body: Vec<Instruction>, dtype: DType) -> KernelSpec {
    let writes = vec![MapWrite { value: body.len() as u32 - 1, dtype }];
    KernelSpec::Map(MapSpec { space, inputs, body, writes, sums: Vec::new(), backwards: false })
}

/// One map with every function of one and of two variables, and their derivatives.
#[rustfmt::skip]
fn every_function() -> KernelSpec {
    let c = Real(0.7);
    let unary = [
        Unary::Neg, Unary::Abs, Unary::Exp, Unary::Log, Unary::Sqrt, Unary::Rsqrt, Unary::Reciprocal,
        Unary::AddScalar(c), Unary::MulScalar(Real(-2.5)), Unary::PowScalar(c), Unary::PowScalar(Real(2.0)),
        Unary::Clamp(Real(-1.0), Real(f32::INFINITY)), Unary::Relu, Unary::Relu6, Unary::LeakyRelu(c), Unary::Sigmoid,
        Unary::Tanh, Unary::Silu, Unary::HardSigmoid, Unary::HardSwish, Unary::Gelu, Unary::Softplus, Unary::SmoothL1(c),
    ];
    let binary = [
        Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min, Binary::Pow, Binary::Greater,
        Binary::Equal,
    ];
    let mut body = vec![Instruction::Load(0)];
    let mut last = 0;
    for function in unary {
        body.push(Instruction::Unary(function, last));
        body.push(Instruction::Binary(Binary::Chain(function), last, last + 1));
        last += 2;
    }
    for function in binary {
        body.push(Instruction::Binary(function, last, 0));
        last += 1;
    }
    for dtype in [DType::F16, DType::BF16, DType::I32, DType::U8] {
        body.push(Instruction::Round(dtype, last));
        last += 1;
    }
    let writes = [DType::F32, DType::F16, DType::BF16, DType::I32, DType::U8];
    KernelSpec::Map(MapSpec {
        space: [3, 4, 5, 6],
        inputs: vec![input(DType::F32, FULL)],
        body,
        writes: writes.iter().map(|&dtype| MapWrite { value: last, dtype }).collect(),
        sums: Vec::new(),
        backwards: false,
    })
}

fn operation(op: Op, inputs: Vec<TensorType>, outputs: Vec<TensorType>) -> KernelSpec {
    KernelSpec::Operation { op, inputs, outputs }
}

/// Every operation that has a kernel of its own, with its inferred types.
fn operations() -> Vec<KernelSpec> {
    let mut specs = Vec::new();
    let origin = Origin::caller();
    let mut add = |op: Op, inputs: &[TensorType]| {
        let outputs = op.infer(inputs, origin).unwrap_or_else(|error| panic!("{error}"));
        specs.push(operation(op, inputs.to_vec(), outputs));
    };
    let float = |shape: &[usize]| TensorType::new(DType::F32, Shape::new(shape).unwrap());
    for dtype in FLOATS {
        let ty = |shape: &[usize]| TensorType::new(dtype, Shape::new(shape).unwrap());
        for (x, k, filter) in [([64, 28, 28, 1], 32, 3), ([2, 9, 7, 1], 4, 2), ([2, 9, 7, 4], 16, 2)] {
            let conv = Conv2d { stride: [2, 1], padding: [1, 0], ..Conv2d::default() };
            let w = Shape::nhwc(k, filter, filter, x[3]);
            let y = Op::Conv2d(conv).infer(&[ty(&x), TensorType::new(dtype, w)], origin).unwrap()[0];
            add(Op::ConvBackwardFilter { conv, filter: w }, &[ty(&x), y]);
        }
        for x in [[64, 24, 24, 64], [2, 9, 7, 3], [1, 14, 14, 12]] {
            for windows in [
                Windows::square(2),
                Windows::square(3).stride(2).padding(1),
                Windows::square(3).stride(2).ceil_mode(),
            ] {
                let pool = MaxPool(windows);
                let y = Op::MaxPool(pool).infer(&[ty(&x)], origin).unwrap()[0];
                add(Op::MaxPool(pool), &[ty(&x)]);
                add(Op::MaxPoolGrad(pool), &[ty(&x), y, y]);
                add(Op::MaxPoolWithPlaces(pool), &[ty(&x)]);
                for count_include_pad in [true, false] {
                    let pool = AvgPool::Windows { windows, count_include_pad };
                    add(Op::AvgPool(pool), &[ty(&x)]);
                    add(Op::AvgPoolGrad { pool, input: ty(&x).shape }, &[y]);
                }
            }
            let pool = AvgPool::Adaptive { output: [3, 2] };
            let y = Op::AvgPool(pool).infer(&[ty(&x)], origin).unwrap()[0];
            add(Op::AvgPool(pool), &[ty(&x)]);
            add(Op::AvgPoolGrad { pool, input: ty(&x).shape }, &[y]);
            for mode in [
                UpsampleMode::Nearest,
                UpsampleMode::Bilinear { align_corners: false },
                UpsampleMode::Bilinear { align_corners: true },
            ] {
                let upsample = Upsample { output: [17, 5], mode };
                let y = Op::Upsample(upsample).infer(&[ty(&x)], origin).unwrap()[0];
                add(Op::Upsample(upsample), &[ty(&x)]);
                add(Op::UpsampleGrad { upsample, input: ty(&x).shape }, &[y]);
            }
            let c = x[3];
            add(Op::ChannelStats, &[ty(&x)]);
            for groups in [1, c] {
                let norm = GroupNorm { groups, eps: Real(1e-5) };
                let statistics = float(&[x[0], groups]);
                add(Op::GroupNorm(norm), &[ty(&x), float(&[c]), float(&[c])]);
                add(Op::GroupNormGrad(norm), &[ty(&x), float(&[c]), statistics, statistics, ty(&x)]);
            }
        }
        for rows in [[64, 10], [3, 1000], [2, 4099], [1, 1]] {
            let (x, labels) = (ty(&rows), TensorType::new(DType::I32, Shape::vector(rows[0])));
            for log in [false, true] {
                add(Op::Softmax(Softmax { log }), &[x]);
                add(Op::SoftmaxGrad(Softmax { log }), &[x, x]);
            }
            let loss = CrossEntropy { label_smoothing: Real(0.1), ignore_index: -100 };
            add(Op::CrossEntropy(loss), &[x, labels]);
            add(Op::CrossEntropyGrad(loss), &[x, labels, float(&[rows[0]])]);
            add(Op::Argmax, &[x]);
            add(Op::InTopK { k: 5 }, &[x, labels]);
        }
        let (w, s) = (float(&[32, 3, 3, 1]), TensorType::scalar());
        let g = ty(&[32, 3, 3, 1]);
        for nesterov in [false, true] {
            add(Op::Sgd(Sgd { nesterov, groups: vec![0, 0] }), &[s, s, s, s, s, w, g, w, w, w, w]);
        }
        add(Op::GradientNorm, &[g, w]);
        add(Op::Blend, &[s, s, w, g, w, w]);
        let scalars = [s; 9];
        add(Op::AdamW(AdamW { groups: vec![0, 0] }), &[&scalars[..], &[w, g, w, w, w, w, w, w]].concat());
    }
    specs.push(KernelSpec::CastMany {
        tensors: vec![
            (288, DType::F32, DType::F16),
            (9, DType::F16, DType::F32),
            (7, DType::F32, DType::BF16),
        ],
    });
    specs
}

fn compile(spec: &KernelSpec, architecture: &str) {
    let kernel = generate(spec, &TARGET).unwrap_or_else(|error| panic!("{error}\n{spec:?}"));
    let source = KernelSource { name: kernel.name.clone(), source: kernel.source, options: Vec::new() };
    let cubin = compile_cubin(&source, architecture).unwrap_or_else(|error| panic!("{error}\n{spec:?}"));
    assert_eq!(&cubin[..4], b"\x7fELF");
    let threads: u32 = kernel.block.iter().product();
    assert!((1..=1024).contains(&threads), "{} has {threads} threads", kernel.name);
    assert!(kernel.grid.iter().all(|&blocks| blocks > 0), "{} has no blocks", kernel.name);
    assert!(kernel.grid[1] < 65536 && kernel.grid[2] < 65536, "{} has too many blocks", kernel.name);
    assert!(kernel.name.len() <= 128);
}

/// Compiles on all cores.
fn compile_all(specs: &[KernelSpec], architecture: &str) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(spec) = specs.get(next.fetch_add(1, Ordering::Relaxed)) {
            compile(spec, architecture);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC (set OCELLI_NVRTC)")]
fn every_kernel_compiles_for_sm_90() {
    compile_all(&maps(), "sm_90");
    compile_all(&operations(), "sm_90");
}

/// The generators do not depend on the architecture, the prelude does a little: every fifth kernel covers each file of
/// kernels and each type.
#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC (set OCELLI_NVRTC)")]
fn kernels_of_every_kind_compile_for_every_architecture() {
    let sample: Vec<KernelSpec> = maps().into_iter().chain(operations()).step_by(5).collect();
    for architecture in ["sm_75", "sm_80", "sm_86", "sm_89", "sm_100", "sm_120"] {
        compile_all(&sample, architecture);
    }
}
