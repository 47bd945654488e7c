//! Graphs plan, and plans are kept, for a described H200: no GPU and no driver, only cuDNN.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::sync::Arc;

use common::{Convolution, DIRECTIONS, Direction};
use ocelli_cudnn::{
    BehaviorNote, Constant, DataType, Error, NumericalNote, Operation, OperationGraph, PlanOptions, Planner,
    PointwiseMode, PointwiseParameters, ReductionMode, TensorSpec,
};
use sha2::{Digest, Sha256};

use DataType::{BF16, F16, F32};

fn planner() -> Planner {
    Planner::deviceless(include_str!("data/h200-deviceprop.json")).unwrap()
}

fn convolutions() -> Vec<Convolution> {
    let plain = Convolution::new(32, 28, 64, 64, 3);
    vec![
        plain,
        Convolution::new(256, 56, 64, 256, 1),
        Convolution { stride: 2, ..plain },
        Convolution { dilation: 2, padding: 2, ..plain },
        Convolution { groups: 64, ..plain },
        Convolution { groups: 64, stride: 2, ..plain },
        Convolution { groups: 32, k: 128, ..plain },
        Convolution { padding: 0, ..Convolution::new(64, 28, 1, 32, 3) },
        Convolution { stride: 2, ..Convolution::new(64, 224, 4, 64, 7) },
        Convolution { size: 7, n: 3, ..Convolution::new(3, 7, 5, 9, 3) },
    ]
}

/// Bias and ReLU after a convolution, in one graph.
fn bias_relu(convolution: &Convolution, data_type: DataType) -> OperationGraph {
    let y = convolution.y(data_type);
    let virtual_f32 = |uid| TensorSpec { uid, data_type: F32, ..y.clone() }.virtual_();
    let pointwise = |mode, x, b, y| Operation::Pointwise {
        mode,
        x,
        b,
        y,
        parameters: PointwiseParameters::default(),
        compute: F32,
    };
    OperationGraph::new(vec![
        Operation::ConvolutionForward {
            x: convolution.x(data_type),
            w: convolution.w(data_type),
            y: virtual_f32(10),
            spec: convolution.spec(),
        },
        pointwise(
            PointwiseMode::Add,
            virtual_f32(10),
            Some(TensorSpec::channels(11, data_type, convolution.k)),
            virtual_f32(12),
        ),
        pointwise(PointwiseMode::Relu, virtual_f32(12), None, y),
    ])
}

/// A convolution and the statistics of its output.
fn statistics(convolution: &Convolution, data_type: DataType) -> OperationGraph {
    let mut graph = convolution.graph(Direction::Forward, data_type);
    graph.operations.push(Operation::GenStats {
        x: convolution.y(data_type),
        sum: TensorSpec::channels(10, F32, convolution.k),
        sqsum: TensorSpec::channels(11, F32, convolution.k),
        compute: F32,
    });
    graph
}

/// dgrad, dReLU through a recomputed batch norm, and batch norm's weight gradients.
fn fused_backward(convolution: &Convolution) -> OperationGraph {
    let x = convolution.x(F16);
    let image = |uid| TensorSpec { uid, data_type: F32, ..x.clone() }.virtual_();
    let channel = |uid| TensorSpec::channels(uid, F32, convolution.c);
    let pointwise = |mode, x, b, y| Operation::Pointwise {
        mode,
        x,
        b: Some(b),
        y,
        parameters: PointwiseParameters::default(),
        compute: F32,
    };
    let input = TensorSpec { uid: 20, ..x.clone() };
    OperationGraph::new(vec![
        Operation::ConvolutionBackwardData {
            dy: convolution.y(F16),
            w: convolution.w(F16),
            dx: image(21),
            spec: convolution.spec(),
        },
        pointwise(PointwiseMode::Sub, input.clone(), channel(30), image(22)),
        pointwise(PointwiseMode::Mul, image(22), channel(31), image(23)),
        pointwise(PointwiseMode::Mul, image(23), channel(32), image(24)),
        pointwise(PointwiseMode::Add, image(24), channel(33), image(25)),
        pointwise(PointwiseMode::ReluBackward, image(25), image(21), x.clone()),
        Operation::BatchNormBackwardWeights {
            x: input,
            dy: x,
            mean: channel(30),
            inv_std: channel(31),
            scale: channel(32),
            dscale: channel(34),
            dbias: channel(35),
            eq_dy_scale: channel(36),
            eq_x_scale: channel(37),
            eq_bias: channel(38),
            compute: F32,
        },
    ])
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn every_convolution_has_a_precompiled_plan() {
    let planner = planner();
    let options = PlanOptions { allow_runtime_compiled: false, ..Default::default() };
    for convolution in convolutions() {
        for data_type in [F16, BF16, F32] {
            for direction in DIRECTIONS {
                let graph = convolution.graph(direction, data_type);
                let plan = planner.plan(&graph, &options).unwrap();
                assert!(plan.workspace_bytes() <= options.workspace_limit);
                assert!(!plan.behavior_notes().contains(&BehaviorNote::RuntimeCompilation), "{graph}");
            }
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn strict_f32_has_plans_without_tensor_cores_and_deterministic_ones() {
    use NumericalNote::*;
    let planner = planner();
    for convolution in convolutions() {
        for direction in DIRECTIONS {
            let graph = convolution.graph(direction, F32);
            for deterministic in [false, true] {
                let options = PlanOptions { tensor_cores: false, deterministic, ..Default::default() };
                let plan = planner.plan(&graph, &options).unwrap();
                let notes = plan.numerical_notes();
                for note in [TensorCore, DownConvertInputs, ReducedPrecisionReduction, Fft, Winograd] {
                    assert!(!notes.contains(&note), "{graph}: {notes:?}");
                }
                assert!(!deterministic || !notes.contains(&Nondeterministic), "{graph}: {notes:?}");
            }
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn fused_graphs_plan() {
    let planner = planner();
    let options = PlanOptions { allow_runtime_compiled: false, ..Default::default() };
    for convolution in [Convolution::new(32, 28, 64, 128, 3), Convolution::new(256, 56, 64, 256, 1)] {
        for data_type in [F16, BF16] {
            planner.plan(&bias_relu(&convolution, data_type), &options).unwrap();
        }
        planner.plan(&statistics(&convolution, F16), &options).unwrap();
        planner.plan(&fused_backward(&convolution), &options).unwrap();
    }
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn an_unsupported_graph_is_refused_with_a_reason() {
    // Newer or older releases may compile such a kernel at run time; none has it ready.
    let graph = statistics(&Convolution::new(32, 28, 64, 64, 3), BF16);
    let options = PlanOptions { allow_runtime_compiled: false, ..PlanOptions::default() };
    match planner().plan(&graph, &options) {
        Err(Error::NoEngine { graph: named, reason, .. }) => {
            assert!(named.contains("genstats"), "{named}");
            assert!(!reason.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn shapes_that_do_not_fit_are_refused_with_cudnns_reason() {
    let convolution = Convolution::new(8, 14, 32, 32, 3);
    let graph = OperationGraph::new(vec![Operation::ConvolutionForward {
        x: convolution.x(F16),
        w: convolution.w(F16),
        y: TensorSpec::nhwc(common::Y, F16, 8, 15, 14, 32),
        spec: convolution.spec(),
    }]);
    match planner().plan(&graph, &PlanOptions::default()) {
        Err(Error::Cudnn { call, status, reason, .. }) => {
            assert!(call.contains("F16[8, 32, 14, 14]") && call.contains("F16[8, 32, 15, 14]"), "{call}");
            assert!((2000..3000).contains(&status) && !reason.is_empty(), "{status} {reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn ill_formed_graphs_are_refused() {
    let planner = planner();
    let x = TensorSpec::nhwc(1, F16, 2, 4, 4, 8);
    let y = TensorSpec { uid: 2, ..x.clone() };
    let add = |b: Option<TensorSpec>| {
        OperationGraph::new(vec![Operation::Pointwise {
            mode: PointwiseMode::Add,
            x: x.clone(),
            b,
            y: y.clone(),
            parameters: PointwiseParameters { relu_slope: Some(Constant(0.1)), ..Default::default() },
            compute: F32,
        }])
    };
    for graph in [
        OperationGraph::new(vec![]),
        add(None),
        add(Some(TensorSpec { data_type: F32, ..x.clone() })),
        add(Some(TensorSpec { uid: 3, strides: vec![1], ..x.clone() })),
        add(Some(TensorSpec { uid: 3, dims: vec![0, 8, 4, 4], ..x.clone() })),
    ] {
        let result = planner.plan(&graph, &PlanOptions::default());
        assert!(matches!(result, Err(Error::InvalidGraph { .. })), "{result:?}");
    }
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn matmul_and_reduction_are_understood() {
    let planner = planner();
    let matmul = OperationGraph::new(vec![Operation::Matmul {
        a: TensorSpec::matrix(1, F16, 1, 64, 128),
        b: TensorSpec::matrix(2, F16, 1, 128, 256),
        c: TensorSpec::matrix(3, F16, 1, 64, 256),
        compute: F32,
    }]);
    let reduction = OperationGraph::new(vec![Operation::Reduction {
        mode: ReductionMode::Sum,
        x: TensorSpec::nhwc(1, F16, 8, 14, 14, 64),
        y: TensorSpec::channels(2, F32, 64),
        compute: F32,
    }]);
    for graph in [matmul, reduction] {
        // Their engines need the driver, which need not be here: then that, and nothing about the graph, is the reason.
        match planner.plan(&graph, &PlanOptions::default()) {
            Ok(_) => {}
            Err(Error::NoEngine { reason, .. }) => {
                assert!(reason.contains("PREREQUISITE_MISSING"), "{reason}")
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn the_workspace_limit_is_kept() {
    let planner = planner();
    let graph = Convolution::new(256, 56, 64, 64, 3).graph(Direction::BackwardFilter, F16);
    let unlimited = planner.plan(&graph, &PlanOptions::default()).unwrap();
    assert!(unlimited.workspace_bytes() > 0);
    let options = PlanOptions { workspace_limit: 0, ..Default::default() };
    for plan in planner.candidates(&graph, &options).unwrap() {
        assert_eq!(plan.workspace_bytes(), 0);
    }
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn a_plan_is_kept_in_memory_until_it_is_refused() {
    let planner = planner();
    let graph = Convolution::new(32, 28, 64, 64, 3).graph(Direction::Forward, F16);
    let options = PlanOptions::default();
    let candidates = planner.candidates(&graph, &options).unwrap();
    assert!(candidates.len() > 3);

    let first = planner.plan(&graph, &options).unwrap();
    assert_eq!(first.engine(), candidates[0].engine());
    assert!(Arc::ptr_eq(&first, &planner.plan(&graph, &options).unwrap()));

    let second = planner.plan_after(&graph, &options, &first).unwrap();
    assert_eq!(second.engine(), candidates[1].engine());
    let third = planner.plan_after(&graph, &options, &second).unwrap();
    assert_eq!(third.engine(), candidates[2].engine());
    // One more refusal of the first, from a thread that still held it, takes nothing away.
    let again = planner.plan_after(&graph, &options, &first).unwrap();
    assert!(Arc::ptr_eq(&third, &again));
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn when_every_engine_refused_the_error_says_so() {
    let planner = planner();
    let graph = Convolution::new(4, 9, 64, 64, 3).graph(Direction::BackwardFilter, F32);
    let options = PlanOptions { tensor_cores: false, ..Default::default() };
    let mut plan = planner.plan(&graph, &options).unwrap();
    for _ in 0..100 {
        match planner.plan_after(&graph, &options, &plan) {
            Ok(next) => plan = next,
            Err(Error::NoEngine { reason, .. }) => return assert!(reason.contains("refused"), "{reason}"),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("engines do not come to an end");
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn autotune_takes_the_fastest_and_remembers_it_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let graph = Convolution::new(32, 28, 64, 64, 3).graph(Direction::Forward, F16);
    let options = PlanOptions::default();
    let first = planner();
    let candidates = first.candidates(&graph, &options).unwrap();
    let wanted = candidates[candidates.len() - 2].engine();

    let first = first.with_cache(directory.path());
    let mut measured = 0;
    let mut time = |plans: &[ocelli_cudnn::Plan]| {
        measured += plans.len();
        let time = |plan: &ocelli_cudnn::Plan| if plan.engine() == wanted { 1.0 } else { 2.0 };
        // The first is passed over.
        Ok(plans.iter().enumerate().map(|(i, plan)| (i > 0).then(|| time(plan))).collect())
    };
    let tuned = first.autotune(&graph, &options, 100, &mut time).unwrap();
    assert_eq!((tuned.plan.engine(), tuned.milliseconds), (wanted.clone(), 1.0));
    assert_eq!(measured, candidates.len());
    assert_eq!(first.plan(&graph, &options).unwrap().engine(), wanted);

    let second = planner().with_cache(directory.path());
    let mut never = |_: &[ocelli_cudnn::Plan]| panic!("measured again");
    let tuned = second.autotune(&graph, &options, 100, &mut never).unwrap();
    assert_eq!((tuned.plan.engine(), tuned.milliseconds), (wanted.clone(), 1.0));
    let third = planner().with_cache(directory.path());
    let restored = third.plan(&graph, &options).unwrap();
    assert_eq!(restored.engine(), wanted);
    assert_eq!(restored.workspace_bytes(), candidates[candidates.len() - 2].workspace_bytes());
    assert_eq!(restored.numerical_notes(), candidates[candidates.len() - 2].numerical_notes());

    // Another option is another key.
    let deterministic = PlanOptions { deterministic: true, ..options.clone() };
    let plan = third.plan(&graph, &deterministic).unwrap();
    assert_ne!(plan.engine(), wanted);
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn autotune_measures_where_a_plan_was_only_looked_up() {
    let directory = tempfile::tempdir().unwrap();
    let graph = Convolution::new(8, 28, 64, 64, 3).graph(Direction::Forward, F16);
    let options = PlanOptions::default();
    let planner = planner().with_cache(directory.path());
    let looked_up = planner.plan(&graph, &options).unwrap();
    let mut time = |plans: &[ocelli_cudnn::Plan]| {
        assert_eq!(plans.len(), 3, "no more than were asked for");
        let time = |plan: &ocelli_cudnn::Plan| if plan.engine() == looked_up.engine() { 2.0 } else { 1.0 };
        Ok(plans.iter().map(|plan| Some(time(plan))).collect())
    };
    let tuned = planner.autotune(&graph, &options, 3, &mut time).unwrap().plan;
    assert_ne!(tuned.engine(), looked_up.engine());
    assert!(Arc::ptr_eq(&tuned, &planner.plan(&graph, &options).unwrap()));
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn autotune_passes_on_an_error() {
    let graph = Convolution::new(8, 28, 64, 64, 3).graph(Direction::Forward, F16);
    let failure =
        || Error::Cudnn { call: "test".into(), status: 5001, name: "".into(), reason: "broken".into() };
    let result = planner().autotune(&graph, &PlanOptions::default(), 9, &mut |_| Err(failure()));
    assert!(matches!(result, Err(Error::Cudnn { status: 5001, .. })), "{result:?}");
    let result =
        planner().autotune(&graph, &PlanOptions::default(), 9, &mut |plans| Ok(vec![None; plans.len()]));
    assert!(matches!(result, Err(Error::NoEngine { .. })), "{result:?}");
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn candidates_made_beforehand_are_those_that_are_measured() {
    let directory = tempfile::tempdir().unwrap();
    let options = PlanOptions { allow_runtime_compiled: false, ..Default::default() };
    let graphs: Vec<OperationGraph> = [7, 14, 28, 56]
        .into_iter()
        .flat_map(|size| DIRECTIONS.map(|way| Convolution::new(8, size, 64, 64, 3).graph(way, F16)))
        .collect();
    // The last one has no plan, and says so when it is asked for.
    let refused = statistics(&Convolution::new(32, 28, 64, 64, 3), BF16);
    let wanted: Vec<_> =
        graphs.iter().chain([&refused]).map(|graph| (graph.clone(), options.clone())).collect();
    let first = planner().with_cache(directory.path());
    first.prefetch(&wanted, 5);
    for graph in &graphs {
        let expected: Vec<String> =
            first.candidates(graph, &options).unwrap().iter().take(5).map(|plan| plan.engine()).collect();
        let mut seen = Vec::new();
        let mut time = |plans: &[ocelli_cudnn::Plan]| {
            seen.extend(plans.iter().map(ocelli_cudnn::Plan::engine));
            Ok((1..=plans.len()).rev().map(|time| Some(time as f32)).collect())
        };
        // No more than 5 were made, though 9 would be taken.
        let tuned = first.autotune(graph, &options, 9, &mut time).unwrap();
        assert_eq!(seen, expected);
        assert_eq!(tuned.plan.engine(), expected[4]);
    }
    let mut never = |_: &[ocelli_cudnn::Plan]| panic!("measured");
    assert!(matches!(first.autotune(&refused, &options, 5, &mut never), Err(Error::NoEngine { .. })));
    // Those that were measured are read from disk.
    let second = planner().with_cache(directory.path());
    second.prefetch(&wanted, 5);
    for graph in &graphs {
        assert_eq!(second.autotune(graph, &options, 5, &mut never).unwrap().milliseconds, 1.0);
    }
}

/// Entries once said only that a plan had won: how fast it was must be measured again, not guessed.
#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn an_entry_without_a_time_is_measured_anew() {
    let directory = tempfile::tempdir().unwrap();
    let graph = Convolution::new(8, 28, 64, 64, 3).graph(Direction::Forward, F16);
    let options = PlanOptions::default();
    let looked_up = planner().with_cache(directory.path()).plan(&graph, &options).unwrap();
    let file = fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    let body = text.split_once('\n').unwrap().1;
    let old = body.replacen("\"milliseconds\":null", "\"tuned\":true", 1);
    assert_ne!(body, old);
    let checksum: String = Sha256::digest(old.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&file, format!("{checksum}\n{old}")).unwrap();

    let planner = planner().with_cache(directory.path());
    assert_eq!(planner.plan(&graph, &options).unwrap().engine(), looked_up.engine());
    let mut time = |plans: &[ocelli_cudnn::Plan]| Ok(vec![Some(7.0); plans.len()]);
    assert_eq!(planner.autotune(&graph, &options, 2, &mut time).unwrap().milliseconds, 7.0);
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn a_damaged_entry_is_made_anew() {
    let graph = Convolution::new(8, 14, 64, 64, 3).graph(Direction::Forward, F16);
    let options = PlanOptions::default();
    let damages: [fn(Vec<u8>) -> Vec<u8>; 5] = [
        |_| Vec::new(),
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |mut bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        },
        |_| vec![0xff; 4096],
        |_| b"no line of its own".to_vec(),
    ];
    for damage in damages {
        let directory = tempfile::tempdir().unwrap();
        let expected = planner().with_cache(directory.path()).plan(&graph, &options).unwrap().engine();
        let files: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "one entry and nothing half-written: {files:?}");
        let whole = fs::read(&files[0]).unwrap();
        fs::write(&files[0], damage(whole.clone())).unwrap();
        let plan = planner().with_cache(directory.path()).plan(&graph, &options).unwrap();
        assert_eq!(plan.engine(), expected);
        assert_eq!(fs::read(&files[0]).unwrap(), whole, "the entry is written again");
    }
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn a_directory_that_cannot_be_written_costs_nothing() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let planner = planner().with_cache(file.path().join("plans"));
    let graph = Convolution::new(8, 14, 64, 64, 3).graph(Direction::Forward, F16);
    planner.plan(&graph, &PlanOptions::default()).unwrap();
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn threads_share_a_planner_and_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let planners = [planner().with_cache(directory.path()), planner().with_cache(directory.path())];
    let graphs: Vec<_> = [14, 28, 56]
        .into_iter()
        .flat_map(|size| {
            DIRECTIONS.map(|direction| Convolution::new(8, size, 64, 64, 3).graph(direction, F16))
        })
        .collect();
    std::thread::scope(|scope| {
        for planner in planners.iter().chain(&planners) {
            scope.spawn(|| {
                for graph in &graphs {
                    planner.plan(graph, &PlanOptions::default()).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), graphs.len());
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn a_plan_without_a_device_does_not_run() {
    let graph = Convolution::new(8, 14, 64, 64, 3).graph(Direction::Forward, F16);
    let plan = planner().plan(&graph, &PlanOptions::default()).unwrap();
    let missing = plan.bind(&[(common::X, 4096), (common::W, 8192)], 0);
    assert!(matches!(missing, Err(Error::MissingPointer { uid: common::Y, .. })), "{missing:?}");
    let bound = plan.bind(&[(common::X, 4096), (common::W, 8192), (common::Y, 16384)], 0).unwrap();
    // SAFETY: nothing runs without a device.
    let result = unsafe { bound.execute() };
    assert!(matches!(result, Err(Error::NoDevice { .. })), "{result:?}");
}

#[test]
#[cfg_attr(not(ocelli_cudnn), ignore = "needs cuDNN (set OCELLI_CUDNN)")]
fn a_bad_description_is_refused() {
    for description in ["", "{}", "not json", "{\"deviceVer\": \"x\"}"] {
        let result = Planner::deviceless(description);
        assert!(matches!(result, Err(Error::Cudnn { .. })), "{description}: {result:?}");
    }
}
