//! A bound plan is captured into a CUDA graph and replayed. In a binary of its own: capture shares no stream.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::host::{assert_close, convolve, download, poison, poisoned, random, upload};
use common::{Convolution, Direction, W, X, Y};
use ocelli_cuda::Device;
use ocelli_cudnn::{Cudnn, DataType, PlanOptions};

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_bound_plan_is_captured_and_replayed() {
    let device = Device::new(0).unwrap();
    let cudnn = Cudnn::new(&device).unwrap();
    for data_type in [DataType::F16, DataType::F32] {
        let convolution = Convolution::new(4, 14, 32, 32, 3);
        let count = |dims: Vec<i64>| dims.iter().product::<i64>() as usize;
        let x = random(1, count(convolution.x(data_type).dims), data_type);
        let w = random(2, count(convolution.w(data_type).dims), data_type);
        let expected = convolve(&convolution, Direction::Forward, &x, &w);

        let plan =
            cudnn.plan(&convolution.graph(Direction::Forward, data_type), &PlanOptions::default()).unwrap();
        let (x, w) = (upload(&device, &x, data_type), upload(&device, &w, data_type));
        let y = poisoned(&device, expected.len() * data_type.bytes());
        let workspace = device.alloc(plan.workspace_bytes()).unwrap();
        let bound = plan.bind(&[(X, x.ptr()), (W, w.ptr()), (Y, y.ptr())], workspace.ptr()).unwrap();
        // The first run loads the kernel, which capture does not allow.
        // SAFETY: the buffers hold the graph's tensors, and are kept by the replayed graph.
        unsafe { bound.execute().unwrap() };
        device.synchronize().unwrap();

        let capture = device.stream().begin_capture().unwrap();
        // SAFETY: as above.
        unsafe { bound.execute().unwrap() };
        let retained: Vec<Box<dyn std::any::Any + Send + Sync>> =
            vec![Box::new((bound, x, w, y.clone(), workspace))];
        let graph = capture.end().unwrap().instantiate(retained).unwrap();
        assert!(graph.node_count() > 0);
        for _ in 0..3 {
            poison(&device, &y);
            graph.launch(device.stream()).unwrap();
            device.synchronize().unwrap();
            let got = download(&device, &y, data_type);
            assert_close("replayed", &got, &expected, 1.0 / 2048.0, 1e-3);
        }
    }
}
