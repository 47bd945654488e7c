//! What the rules make has plans of cuDNN's, and what they take for refused has none: for a described H200, with no GPU.
//! Convolutions that are matrix products are the right ones.

use ocelli_cudnn::{BehaviorNote, Planner};

use super::*;
use crate::ops::Conv2d;
use crate::plan::ConvolutionKind;
use crate::plan::costs::refusal;
use crate::types::{Shape, TensorType};

fn planner() -> Planner {
    Planner::deviceless(include_str!("../../../../cudnn/tests/data/h200-deviceprop.json")).unwrap()
}

/// Channels, filters, window, stride and size of the image of the distinct convolutions of ResNet-18 and ResNet-50, their
/// first left out.
const LAYERS: [[usize; 5]; 28] = [
    [64, 64, 1, 1, 56],
    [64, 64, 3, 1, 56],
    [64, 256, 1, 1, 56],
    [256, 64, 1, 1, 56],
    [256, 128, 1, 1, 56],
    [128, 128, 3, 2, 56],
    [128, 128, 3, 1, 28],
    [128, 512, 1, 1, 28],
    [512, 128, 1, 1, 28],
    [256, 512, 1, 2, 56],
    [512, 256, 1, 1, 28],
    [256, 256, 3, 2, 28],
    [256, 256, 3, 1, 14],
    [256, 1024, 1, 1, 14],
    [1024, 256, 1, 1, 14],
    [512, 1024, 1, 2, 28],
    [1024, 512, 1, 1, 14],
    [512, 512, 3, 2, 14],
    [512, 512, 3, 1, 7],
    [512, 2048, 1, 1, 7],
    [2048, 512, 1, 1, 7],
    [1024, 2048, 1, 2, 14],
    [64, 128, 3, 2, 56],
    [64, 128, 1, 2, 56],
    [128, 256, 3, 2, 28],
    [128, 256, 1, 2, 28],
    [256, 512, 3, 2, 14],
    [256, 512, 1, 2, 14],
];

/// The first convolution for images of these channels.
fn stem(channels: usize) -> [usize; 5] {
    [channels, 64, 7, 2, 224]
}

fn forward(
    dtype: DType,
    batch: usize,
    [c, k, window, stride, size]: [usize; 5],
    groups: usize,
) -> Convolution {
    let conv = Conv2d { stride: [stride; 2], padding: [window / 2; 2], groups, ..Conv2d::default() };
    let extent = conv.output_extent(0, size, window).unwrap();
    Convolution {
        kind: ConvolutionKind::Forward,
        conv,
        x: TensorType::new(dtype, Shape::nhwc(batch, size, size, c)),
        w: Shape::nhwc(k, window, window, c / groups),
        y: Shape::nhwc(batch, extent, extent, k),
        fusion: ConvFusion::NONE,
    }
}

const STATISTICS: ConvFusion = ConvFusion { statistics: true, ..ConvFusion::NONE };
const BIAS: ConvFusion = ConvFusion { bias: true, ..ConvFusion::NONE };
const EPILOGUES: [ConvFusion; 4] = [
    BIAS,
    ConvFusion { relu: true, ..BIAS },
    ConvFusion { residual: true, ..BIAS },
    ConvFusion { residual: true, relu: true, ..BIAS },
];

/// Whether cuDNN has a kernel ready. Its answer must not need a compiler at run time.
fn has_plan(planner: &Planner, convolution: &Convolution, precision: Precision) -> bool {
    let options = options(convolution.x.dtype, precision, false);
    match planner.plan(&describe(convolution), &options) {
        Ok(plan) => {
            assert!(!plan.behavior_notes().contains(&BehaviorNote::RuntimeCompilation));
            true
        }
        Err(error) if error.is_unsupported() => false,
        Err(error) => panic!("{convolution:?}: {error}"),
    }
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn epilogues_of_every_layer_have_plans() {
    let planner = planner();
    for (dtype, precision) in [
        (DType::F16, Precision::mixed_f16()),
        (DType::BF16, Precision::mixed_bf16()),
        (DType::F32, Precision::Tf32),
        (DType::F32, Precision::F32),
    ] {
        for batch in [1, 256] {
            for layer in LAYERS.into_iter().chain([3, 4, 8].map(stem)) {
                for fusion in EPILOGUES {
                    let convolution = Convolution { fusion, ..forward(dtype, batch, layer, 1) };
                    assert_eq!(refusal(&convolution), None);
                    assert!(has_plan(&planner, &convolution, precision), "{convolution:?} {precision:?}");
                }
            }
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn statistics_and_prologues_of_every_layer_have_plans() {
    let planner = planner();
    for layer in LAYERS {
        let plain = forward(DType::F16, 256, layer, 1);
        let prologue = ConvFusion { prologue: true, ..ConvFusion::NONE };
        for convolution in [
            Convolution { fusion: STATISTICS, ..plain },
            Convolution { fusion: ConvFusion { prologue: true, ..STATISTICS }, ..plain },
            Convolution { kind: ConvolutionKind::BackwardFilter, fusion: prologue, ..plain },
        ] {
            assert_eq!(refusal(&convolution), None);
            assert!(has_plan(&planner, &convolution, Precision::mixed_f16()), "{convolution:?}");
        }
    }
}

/// What the rules take for refused is refused, and what they do not is not, also where nobody's network goes.
#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn refusals_are_cudnns() {
    let planner = planner();
    let shapes = [
        (stem(3), 1),
        (stem(4), 1),
        (stem(8), 1),
        ([16, 64, 7, 1, 28], 1),
        ([64, 64, 7, 1, 28], 1),
        ([64, 64, 6, 1, 28], 1),
        ([64, 64, 5, 1, 28], 1),
        ([64, 64, 5, 2, 28], 1),
        ([8, 8, 3, 1, 9], 1),
        ([8, 8, 1, 2, 9], 1),
        ([24, 40, 3, 1, 17], 1),
        ([12, 64, 3, 1, 14], 1),
        ([64, 12, 3, 1, 14], 1),
        ([36, 36, 1, 1, 14], 1),
        ([1, 32, 3, 1, 28], 1),
        ([3, 5, 3, 1, 9], 1),
        ([64, 64, 3, 1, 14], 2),
        ([128, 128, 3, 1, 56], 32),
        ([64, 64, 3, 1, 14], 64),
    ];
    let mut wrong = Vec::new();
    for (dtype, precision) in [
        (DType::F16, Precision::mixed_f16()),
        (DType::BF16, Precision::mixed_bf16()),
        (DType::F32, Precision::Tf32),
        (DType::F32, Precision::F32),
    ] {
        for (shape, groups) in shapes {
            let with_prologue = ConvFusion { prologue: true, ..STATISTICS };
            for fusion in EPILOGUES.into_iter().chain([STATISTICS, with_prologue]) {
                let convolution = Convolution { fusion, ..forward(dtype, 8, shape, groups) };
                let (planned, refused) = (has_plan(&planner, &convolution, precision), refusal(&convolution));
                if planned == refused.is_some() {
                    wrong.push(format!("{precision:?} {shape:?} groups {groups} {fusion:?}: {refused:?}"));
                }
            }
            let fusion = ConvFusion { prologue: true, ..ConvFusion::NONE };
            let gradient = Convolution {
                kind: ConvolutionKind::BackwardFilter,
                fusion,
                ..forward(dtype, 8, shape, groups)
            };
            if has_plan(&planner, &gradient, precision) == refusal(&gradient).is_some() {
                wrong.push(format!(
                    "{precision:?} {shape:?} groups {groups} gradient: {:?}",
                    refusal(&gradient)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// The convolution's formula, and the product's on the same numbers.
#[test]
fn convolutions_of_single_pixels_are_products() {
    let (n, size, c, k) = (2, 3, 5, 4);
    let pixels = n * size * size;
    let numbers = |count: usize, seed: usize| -> Vec<i64> {
        (0..count).map(|i| ((i * 7 + seed) * 31 % 17) as i64 - 8).collect()
    };
    let (x, w, y) = (numbers(pixels * c, 1), numbers(k * c, 2), numbers(pixels * k, 3));
    for kind in [ConvolutionKind::Forward, ConvolutionKind::BackwardData, ConvolutionKind::BackwardFilter] {
        let plain = Convolution { kind, ..forward(DType::F16, n, [c, k, 1, 1, size], 1) };
        let mut expected = vec![0; plain.operand(plain.writes()[0]).shape.elements()];
        for pixel in 0..pixels {
            for (filter, channel) in (0..k).flat_map(|filter| (0..c).map(move |channel| (filter, channel))) {
                let at = [pixel * c + channel, filter * c + channel, pixel * k + filter];
                match kind {
                    ConvolutionKind::Forward => expected[at[2]] += x[at[0]] * w[at[1]],
                    ConvolutionKind::BackwardData => expected[at[0]] += y[at[2]] * w[at[1]],
                    ConvolutionKind::BackwardFilter => expected[at[1]] += x[at[0]] * y[at[2]],
                }
            }
        }
        let Product { spec, a, b, d } = product(&plain, Precision::mixed_f16()).unwrap();
        assert_eq!(plain.writes(), [d]);
        let numbers_of = |operand| match operand {
            Operand::X => &x,
            Operand::W => &w,
            _ => &y,
        };
        let (a, b) = (numbers_of(a), numbers_of(b));
        let mut found = vec![0; spec.m * spec.n];
        for (row, column) in (0..spec.m).flat_map(|row| (0..spec.n).map(move |column| (row, column))) {
            for inner in 0..spec.k {
                let left = if spec.transpose_a { inner * spec.m + row } else { row * spec.k + inner };
                let right = if spec.transpose_b { column * spec.k + inner } else { inner * spec.n + column };
                found[row * spec.n + column] += a[left] * b[right];
            }
        }
        assert_eq!(found, expected, "{kind:?}");
    }
}

#[test]
fn other_convolutions_are_no_products() {
    let plain = forward(DType::F16, 2, [8, 8, 1, 1, 5], 1);
    let is_product = |convolution: Convolution| product(&convolution, Precision::mixed_f16()).is_some();
    assert!(is_product(plain) && is_product(Convolution { fusion: BIAS, ..plain }));
    for fusion in EPILOGUES {
        assert!(is_product(Convolution { fusion, ..plain }));
    }
    assert!(!is_product(Convolution { fusion: STATISTICS, ..plain }));
    assert!(!is_product(forward(DType::F16, 2, [8, 8, 3, 1, 5], 1)));
    assert!(!is_product(forward(DType::F16, 2, [8, 8, 1, 2, 5], 1)));
    assert!(!is_product(forward(DType::F16, 2, [8, 8, 1, 1, 5], 2)));
    let padded = Conv2d { padding: [1, 1], ..Conv2d::default() };
    assert!(!is_product(Convolution { conv: padded, y: Shape::nhwc(2, 7, 7, 8), ..plain }));
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC (set OCELLI_NVRTC)")]
fn what_tuning_needs_compiles() {
    let source = ocelli_cuda::KernelSource {
        name: "tuning".into(),
        source: tuning::SOURCE.into(),
        options: Vec::new(),
    };
    for architecture in ["sm_75", "sm_80", "sm_90"] {
        ocelli_cuda::kernel::compile_cubin(&source, architecture).unwrap();
    }
}

/// What timing only the first candidates loses, over all layers.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn the_first_candidates_hold_the_fastest() {
    let device = crate::Device::new(0).unwrap();
    let gpu = device.gpu().unwrap();
    let epilogue = EPILOGUES[3];
    for (batch, fusion, kinds) in [
        (256, ConvFusion::NONE, &[ConvolutionKind::BackwardData, ConvolutionKind::BackwardFilter][..]),
        (256, STATISTICS, &[ConvolutionKind::Forward]),
        (1, epilogue, &[ConvolutionKind::Forward]),
    ] {
        for &kind in kinds {
            let (mut first, mut all) = (0.0, 0.0);
            for layer in LAYERS {
                let convolution = Convolution { kind, fusion, ..forward(DType::F16, batch, layer, 1) };
                let options = options(DType::F16, Precision::mixed_f16(), false);
                let plans = gpu.cudnn().unwrap().candidates(&describe(&convolution), &options).unwrap();
                let candidates: Vec<_> = plans.iter().map(tuning::Candidate::Cudnn).collect();
                let times = Tuner::time(gpu, &convolution, &candidates).unwrap();
                let best =
                    |times: &[Option<f32>]| times.iter().flatten().copied().fold(f32::INFINITY, f32::min);
                first += best(&times[..CANDIDATES.min(times.len())]);
                all += best(&times);
            }
            println!(
                "batch {batch}, {kind:?}: {first:.4} ms from the first {CANDIDATES}, {all:.4} ms from all"
            );
            assert!(first <= 1.03 * all, "batch {batch}, {kind:?}: {first} ms, {all} ms");
        }
    }
}
