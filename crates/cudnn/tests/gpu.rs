//! Plans run on a GPU and are held against the host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use common::host::{Expected, assert_close, convolve, download, poison, poisoned, random, upload};
use common::{Convolution, DIRECTIONS, Direction, W, X, Y};
use ocelli_cuda::{Device, DeviceBuffer};
use ocelli_cudnn::{
    Cudnn, DataType, Error, NumericalNote, Operation, OperationGraph, Plan, PlanOptions, Planner,
    PointwiseMode, PointwiseParameters, SoftmaxSpec, TensorSpec,
};

use DataType::{BF16, F16, F32};

/// A convolution's operands on the device, its result's place, and what the result should be.
struct Case {
    name: String,
    graph: OperationGraph,
    result_type: DataType,
    pointers: Vec<(i64, u64)>,
    result: DeviceBuffer,
    expected: Vec<Expected>,
    _operands: [DeviceBuffer; 2],
}

impl Case {
    fn new(device: &Device, convolution: &Convolution, direction: Direction, data_type: DataType) -> Case {
        let graph = convolution.graph(direction, data_type);
        let specs = [convolution.x(data_type), convolution.w(data_type), convolution.y(data_type)];
        let [x, w, y] = specs.each_ref().map(|spec| spec.dims.iter().product::<i64>() as usize);
        let (uids, sizes, result_size) = match direction {
            Direction::Forward => ([X, W, Y], [x, w], y),
            Direction::BackwardData => ([Y, W, X], [y, w], x),
            Direction::BackwardFilter => ([X, Y, W], [x, y], w),
        };
        let (first, second) = (random(1, sizes[0], data_type), random(2, sizes[1], data_type));
        let operands = [upload(device, &first, data_type), upload(device, &second, data_type)];
        let result = poisoned(device, result_size * data_type.bytes());
        let addresses = [operands[0].ptr(), operands[1].ptr(), result.ptr()];
        Case {
            name: graph.to_string(),
            expected: convolve(convolution, direction, &first, &second),
            graph,
            result_type: data_type,
            pointers: uids.into_iter().zip(addresses).collect(),
            result,
            _operands: operands,
        }
    }

    /// Runs a plan onto poisoned memory and compares; `sum` is the error allowed for each unit summed.
    fn check(&self, device: &Device, plan: &Arc<Plan>, sum: f64) {
        let workspace = poisoned(device, plan.workspace_bytes());
        poison(device, &self.result);
        // SAFETY: the case holds its tensors' memory, and is waited for.
        unsafe { plan.bind(&self.pointers, workspace.ptr()).unwrap().execute().unwrap() };
        device.synchronize().unwrap();
        let name = format!("{} by {} {:?}", self.name, plan.engine(), plan.numerical_notes());
        let got = download(device, &self.result, self.result_type);
        assert_close(&name, &got, &self.expected, rounding(self.result_type), sum);
    }
}

/// The relative error of one rounding to the type.
fn rounding(data_type: DataType) -> f64 {
    match data_type {
        BF16 => 1.0 / 256.0,
        F16 => 1.0 / 2048.0,
        _ => 1.0 / 16_777_216.0,
    }
}

/// Small enough for the host, odd enough for the edges.
fn convolutions() -> Vec<Convolution> {
    let plain = Convolution::new(2, 13, 16, 24, 3);
    vec![
        plain,
        Convolution::new(3, 9, 8, 40, 1),
        Convolution { stride: 2, ..plain },
        Convolution { stride: 2, ..Convolution::new(2, 14, 32, 16, 1) },
        Convolution { dilation: 2, padding: 2, ..plain },
        Convolution { groups: 16, k: 16, ..plain },
        Convolution { groups: 16, k: 32, stride: 2, ..plain },
        Convolution { groups: 4, c: 32, k: 64, ..plain },
        Convolution { padding: 0, ..Convolution::new(4, 15, 1, 32, 3) },
        Convolution { stride: 2, ..Convolution::new(2, 21, 4, 16, 7) },
        Convolution::new(2, 11, 5, 9, 3),
    ]
}

fn strict() -> PlanOptions {
    PlanOptions { tensor_cores: false, ..Default::default() }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn convolutions_agree_with_the_host() {
    let device = Device::new(0).unwrap();
    let cudnn = Cudnn::new(&device).unwrap();
    let ways = [
        (F32, strict(), 4e-6),
        (F32, PlanOptions { deterministic: true, ..strict() }, 4e-6),
        (F32, PlanOptions::default(), 1e-3),
        (F16, PlanOptions::default(), 1e-4),
        (BF16, PlanOptions::default(), 1e-4),
    ];
    for convolution in convolutions() {
        for direction in DIRECTIONS {
            for (data_type, options, sum) in &ways {
                let case = Case::new(&device, &convolution, direction, *data_type);
                case.check(&device, &cudnn.plan(&case.graph, options).unwrap(), *sum);
            }
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_candidate_agrees_with_the_host() {
    use NumericalNote::{Fft, Winograd, WinogradTile};
    let device = Device::new(0).unwrap();
    let cudnn = Cudnn::new(&device).unwrap();
    for direction in DIRECTIONS {
        for (data_type, options, sum) in [(F32, strict(), 4e-6), (F16, PlanOptions::default(), 1e-3)] {
            let case = Case::new(&device, &Convolution::new(4, 12, 32, 32, 3), direction, data_type);
            let mut ran = 0;
            for plan in cudnn.candidates(&case.graph, &options).unwrap() {
                // Transforms round in ways that a sum's bound does not describe.
                if plan.numerical_notes().iter().any(|note| [Fft, Winograd, WinogradTile].contains(note)) {
                    continue;
                }
                case.check(&device, &Arc::new(plan), sum);
                ran += 1;
            }
            assert!(ran > 0, "{}", case.name);
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn deterministic_plans_repeat_bit_for_bit() {
    let device = Device::new(0).unwrap();
    let cudnn = Cudnn::new(&device).unwrap();
    let options = PlanOptions { deterministic: true, ..Default::default() };
    for data_type in [F32, F16, BF16] {
        let case =
            Case::new(&device, &Convolution::new(8, 20, 32, 32, 3), Direction::BackwardFilter, data_type);
        let plan = cudnn.plan(&case.graph, &options).unwrap();
        case.check(&device, &plan, 1e-3);
        let first = download(&device, &case.result, data_type);
        for _ in 0..5 {
            case.check(&device, &plan, 1e-3);
            assert_eq!(download(&device, &case.result, data_type), first, "{}", case.name);
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn statistics_in_the_epilogue_agree_with_the_host() {
    let device = Device::new(0).unwrap();
    let cudnn = Cudnn::new(&device).unwrap();
    let convolution = Convolution::new(4, 14, 32, 64, 3);
    let mut case = Case::new(&device, &convolution, Direction::Forward, F16);
    case.graph.operations.push(Operation::GenStats {
        x: convolution.y(F16),
        sum: TensorSpec::channels(10, F32, convolution.k),
        sqsum: TensorSpec::channels(11, F32, convolution.k),
        compute: F32,
    });
    let sums = [poisoned(&device, convolution.k as usize * 4), poisoned(&device, convolution.k as usize * 4)];
    case.pointers.extend([(10, sums[0].ptr()), (11, sums[1].ptr())]);
    case.check(&device, &cudnn.plan(&case.graph, &PlanOptions::default()).unwrap(), 1e-4);

    let mut expected = vec![[Expected::default(); 2]; convolution.k as usize];
    for (i, y) in case.expected.iter().enumerate() {
        for (sum, value) in expected[i % convolution.k as usize].iter_mut().zip([y.value, y.value * y.value])
        {
            sum.value += value;
            sum.magnitude += value.abs();
        }
    }
    for (which, name) in ["sum", "sum of squares"].into_iter().enumerate() {
        let want: Vec<_> = expected.iter().map(|sums| sums[which]).collect();
        assert_close(name, &download(&device, &sums[which], F32), &want, 1e-5, 2e-3);
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn bias_and_relu_agree_with_the_host() {
    let device = Device::new(0).unwrap();
    let cudnn = Cudnn::new(&device).unwrap();
    let convolution = Convolution::new(4, 14, 32, 64, 3);
    for data_type in [F16, BF16] {
        let mut case = Case::new(&device, &convolution, Direction::Forward, data_type);
        let y = convolution.y(data_type);
        let image = |uid| TensorSpec { uid, data_type: F32, ..y.clone() }.virtual_();
        let pointwise = |mode, x, b, y| Operation::Pointwise {
            mode,
            x,
            b,
            y,
            parameters: PointwiseParameters::default(),
            compute: F32,
        };
        case.graph = OperationGraph::new(vec![
            Operation::ConvolutionForward {
                x: convolution.x(data_type),
                w: convolution.w(data_type),
                y: image(10),
                spec: convolution.spec(),
            },
            pointwise(
                PointwiseMode::Add,
                image(10),
                Some(TensorSpec::channels(11, data_type, convolution.k)),
                image(12),
            ),
            pointwise(PointwiseMode::Relu, image(12), None, y),
        ]);
        let bias = random(3, convolution.k as usize, data_type);
        let bias_on_device = upload(&device, &bias, data_type);
        case.pointers.push((11, bias_on_device.ptr()));
        for (i, expected) in case.expected.iter_mut().enumerate() {
            expected.value = (expected.value + bias[i % bias.len()]).max(0.0);
            expected.magnitude += bias[i % bias.len()].abs();
        }
        case.check(&device, &cudnn.plan(&case.graph, &PlanOptions::default()).unwrap(), 1e-4);
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn matrix_products_agree_with_the_host() {
    let device = Device::new(0).unwrap();
    let cudnn = Cudnn::new(&device).unwrap();
    let (m, k, n) = (40, 72, 56);
    let (a, b) = (random(1, m * k, F16), random(2, k * n, F16));
    let graph = OperationGraph::new(vec![Operation::Matmul {
        a: TensorSpec::matrix(1, F16, 1, m as i64, k as i64),
        b: TensorSpec::matrix(2, F16, 1, k as i64, n as i64),
        c: TensorSpec::matrix(3, F16, 1, m as i64, n as i64),
        compute: F32,
    }]);
    let mut expected = vec![Expected::default(); m * n];
    for (i, want) in expected.iter_mut().enumerate() {
        for j in 0..k {
            let term = a[i / n * k + j] * b[j * n + i % n];
            want.value += term;
            want.magnitude += term.abs();
        }
    }
    let plan = cudnn.plan(&graph, &PlanOptions::default()).unwrap();
    let operands = [upload(&device, &a, F16), upload(&device, &b, F16)];
    let (c, workspace) = (poisoned(&device, m * n * 2), poisoned(&device, plan.workspace_bytes()));
    let pointers = [(1, operands[0].ptr()), (2, operands[1].ptr()), (3, c.ptr())];
    // SAFETY: the buffers hold the graph's tensors until the download below has waited.
    unsafe { plan.execute(&pointers, workspace.ptr()).unwrap() };
    assert_close("matmul", &download(&device, &c, F16), &expected, rounding(F16), 1e-4);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn softmax_and_its_gradient_agree_with_the_host() {
    let device = Device::new(0).unwrap();
    let cudnn = Cudnn::new(&device).unwrap();
    for (data_type, tolerance) in [(F32, 1e-5), (F16, 5e-3), (BF16, 5e-2)] {
        for log in [false, true] {
            let spec = SoftmaxSpec { data_type, n: 2, h: 3, w: 1, c: 1000, log };
            let count = (spec.n * spec.h * spec.w * spec.c) as usize;
            let x: Vec<f64> = random(1, count, data_type).iter().map(|value| value * 8.0).collect();
            let dy = random(2, count, data_type);
            let input = upload(&device, &x, data_type);
            let gradient = upload(&device, &dy, data_type);
            let y = poisoned(&device, input.len());
            let dx = poisoned(&device, input.len());
            // SAFETY: the buffers hold tensors as `spec` says until the downloads below have waited.
            unsafe {
                cudnn.softmax(&spec, input.ptr(), y.ptr()).unwrap();
                cudnn.softmax_backward(&spec, y.ptr(), gradient.ptr(), dx.ptr()).unwrap();
            }
            let (y, dx) = (download(&device, &y, data_type), download(&device, &dx, data_type));
            for row in 0..count / 1000 {
                let range = row * 1000..(row + 1) * 1000;
                let (x, dy) = (&x[range.clone()], &dy[range.clone()]);
                let largest = x.iter().copied().fold(f64::MIN, f64::max);
                let total: f64 = x.iter().map(|value| (value - largest).exp()).sum();
                let p: Vec<f64> = x.iter().map(|value| (value - largest).exp() / total).collect();
                let dot: f64 =
                    if log { dy.iter().sum() } else { p.iter().zip(dy).map(|(p, dy)| p * dy).sum() };
                for (i, at) in range.enumerate() {
                    let (want_y, want_dx) =
                        if log { (p[i].ln(), dy[i] - p[i] * dot) } else { (p[i], p[i] * (dy[i] - dot)) };
                    let near = |got: f64, want: f64, scale: f64| (got - want).abs() <= tolerance * scale;
                    assert!(near(y[at], want_y, want_y.abs() + 1e-3), "{spec:?} y {at}: {} {want_y}", y[at]);
                    let scale = dy[i].abs() + p[i] * (1.0 + dot.abs()) + 1e-3;
                    assert!(near(dx[at], want_dx, scale), "{spec:?} dx {at}: {} {want_dx}", dx[at]);
                }
            }
        }
    }
    let empty = SoftmaxSpec { data_type: F32, n: 0, h: 1, w: 1, c: 1, log: false };
    // SAFETY: refused before any address is used.
    assert!(matches!(unsafe { cudnn.softmax(&empty, 0, 0) }, Err(Error::InvalidGraph { .. })));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn autotune_picks_by_time_and_remembers() {
    let device = Device::new(0).unwrap();
    let cudnn = Cudnn::new(&device).unwrap();
    // A limit that no earlier run can have used, so that the winner is not read from its cache.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as usize;
    let options = PlanOptions { workspace_limit: (1 << 30) + now % (1 << 30), ..Default::default() };
    let case = Case::new(&device, &Convolution::new(8, 14, 64, 64, 3), Direction::Forward, F16);

    let mut times = Vec::new();
    let mut time_one = |plan: &Plan| -> ocelli_cudnn::Result<Option<f32>> {
        let workspace = device.alloc(plan.workspace_bytes())?;
        let run = || {
            // SAFETY: the case holds its tensors' memory; the events below are waited for.
            unsafe { plan.execute(&case.pointers, workspace.ptr()) }
        };
        run()?;
        let start = device.stream().record_timed()?;
        for _ in 0..10 {
            run()?;
        }
        let ms = device.stream().record_timed()?.elapsed_ms(&start)? / 10.0;
        times.push((plan.engine(), ms));
        Ok(Some(ms))
    };
    let mut time = |plans: &[Plan]| plans.iter().map(&mut time_one).collect();
    let winner = cudnn.autotune(&case.graph, &options, 20, &mut time).unwrap();
    let fastest = times.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!(times.len() > 1);
    assert_eq!((winner.plan.engine(), winner.milliseconds), *fastest);
    case.check(&device, &winner.plan, 1e-3);

    let mut never = |_: &[Plan]| panic!("measured again");
    let again = cudnn.autotune(&case.graph, &options, 20, &mut never).unwrap();
    assert_eq!(again.plan.engine(), winner.plan.engine());
    // Another handle finds the winner on disk, and its plan runs.
    let restored = Cudnn::new(&device).unwrap().autotune(&case.graph, &options, 20, &mut never).unwrap();
    assert_eq!(restored.plan.engine(), winner.plan.engine());
    case.check(&device, &restored.plan, 1e-3);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_described_device_plans_as_the_device_does() {
    let device = Device::new(0).unwrap();
    let cudnn = Cudnn::new(&device).unwrap();
    let description = cudnn.describe_device().unwrap();
    println!("{description}");
    let planner = Planner::deviceless(&description).unwrap();
    let options = PlanOptions::default();
    for direction in DIRECTIONS {
        let graph = Convolution::new(32, 28, 64, 64, 3).graph(direction, F16);
        let engines = |plans: Vec<Plan>| plans.iter().map(Plan::engine).collect::<Vec<_>>();
        let here = engines(cudnn.candidates(&graph, &options).unwrap());
        let described = engines(planner.candidates(&graph, &options).unwrap());
        // Engines that need the driver may be missing from a description's list; the choice is the same.
        assert_eq!(described[0], here[0]);
        let common = described.iter().filter(|engine| here.contains(engine)).count();
        assert!(common * 2 > here.len(), "{common} of {} engines in common", here.len());
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn threads_share_a_handle() {
    let device = Device::new(0).unwrap();
    let cudnn = Cudnn::new(&device).unwrap();
    std::thread::scope(|scope| {
        for size in [9, 10, 11, 12] {
            let (device, cudnn) = (&device, &cudnn);
            scope.spawn(move || {
                let case = Case::new(device, &Convolution::new(2, size, 16, 16, 3), Direction::Forward, F16);
                let plan = cudnn.plan(&case.graph, &PlanOptions::default()).unwrap();
                for _ in 0..10 {
                    case.check(device, &plan, 1e-4);
                }
            });
        }
    });
}
