//! Capture and replay, in a process of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ocelli_cuda::{Device, DeviceBuffer, Error, Function, KernelArgs, KernelSource, Stream};

const ADD: &str = r#"
extern "C" __global__ void add(unsigned* x, unsigned value, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] += value;
}"#;

const N: usize = 5000;

struct Setup {
    device: Device,
    add: Function,
    x: DeviceBuffer,
    y: DeviceBuffer,
}

impl Setup {
    fn new() -> Setup {
        let device = Device::new(0).expect("a GPU");
        let source = KernelSource { name: "add".into(), source: ADD.into(), options: vec![] };
        let add = device.compile(&source).unwrap().function("add").unwrap();
        let (x, y) = (device.alloc(N * 4).unwrap(), device.alloc(N * 4).unwrap());
        device.stream().fill_bytes(&x, 0, N * 4, 0).unwrap();
        device.stream().fill_bytes(&y, 0, N * 4, 0xff).unwrap();
        Setup { device, add, x, y }
    }

    /// `x += value; y = x`, submitted to `stream`.
    fn submit(&self, stream: &Stream, value: u32) {
        let mut args = KernelArgs::new();
        args.push_ptr(self.x.ptr()).push_u32(value).push_i32(N as i32);
        // SAFETY: the arguments are those of `add`; x has N elements.
        unsafe { self.add.launch(stream, [N.div_ceil(256) as u32, 1, 1], [256, 1, 1], 0, &args) }.unwrap();
        stream.copy_device(&self.y, 0, &self.x, 0, N * 4).unwrap();
    }

    fn retained(&self) -> Vec<Box<dyn Any + Send + Sync>> {
        vec![Box::new(self.x.clone()), Box::new(self.y.clone()), Box::new(self.add.clone())]
    }

    fn read(&self, buffer: &DeviceBuffer) -> u32 {
        let mut bytes = vec![0; N * 4];
        self.device.stream().download(buffer, 0, &mut bytes).unwrap();
        let values: Vec<u32> =
            bytes.chunks_exact(4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert!(values.iter().all(|&value| value == values[0]), "the elements differ");
        values[0]
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_capture_executes_nothing_and_each_replay_everything() {
    let s = Setup::new();
    let stream = s.device.stream();
    let capture = stream.begin_capture().unwrap();
    s.submit(stream, 3);
    s.submit(stream, 4);
    let captured = capture.end().unwrap();
    assert_eq!(captured.node_count().unwrap(), 4);
    assert_eq!(s.read(&s.x), 0);
    assert_eq!(s.read(&s.y), u32::MAX);
    let graph = captured.instantiate(s.retained()).unwrap();
    assert_eq!(graph.node_count(), 4);
    graph.upload(stream).unwrap();
    for replay in 1..=3 {
        stream.fill_bytes(&s.y, 0, N * 4, 0xff).unwrap();
        graph.launch(stream).unwrap();
        assert_eq!((s.read(&s.x), s.read(&s.y)), (7 * replay, 7 * replay));
    }
    s.submit(stream, 1);
    assert_eq!(s.read(&s.y), 22, "ordinary work goes on beside replays");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn events_in_a_graph_tell_when_each_replay_passed() {
    let s = Setup::new();
    let stream = s.device.stream();
    let event = || stream.record_timed().unwrap();
    let (start, middle, end) = (event(), event(), event());
    assert!(start.record_in_graph(stream).is_err(), "nothing is being captured");
    let (from, to) = (s.device.alloc(256 << 20).unwrap(), s.device.alloc(256 << 20).unwrap());
    let capture = stream.begin_capture().unwrap();
    start.record_in_graph(stream).unwrap();
    s.submit(stream, 1);
    middle.record_in_graph(stream).unwrap();
    stream.copy_device(&to, 0, &from, 0, 256 << 20).unwrap();
    end.record_in_graph(stream).unwrap();
    let graph = capture.end().unwrap().instantiate(s.retained()).unwrap();
    for _ in 0..3 {
        let (before, after) = (event(), event());
        before.record_on(stream).unwrap();
        graph.launch(stream).unwrap();
        after.record_on(stream).unwrap();
        stream.synchronize().unwrap();
        let (small, large) = (middle.elapsed_ms(&start).unwrap(), end.elapsed_ms(&middle).unwrap());
        assert!(0.0 < small && small < large, "{small} ms, {large} ms");
        assert!(small + large <= after.elapsed_ms(&before).unwrap());
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn an_abandoned_capture_leaves_the_stream_as_it_was() {
    let s = Setup::new();
    let stream = s.device.stream();
    let capture = stream.begin_capture().unwrap();
    s.submit(stream, 5);
    assert!(matches!(stream.begin_capture(), Err(Error::Driver { .. })), "captured already");
    drop(capture);
    stream.synchronize().unwrap();
    assert_eq!(s.read(&s.x), 0);
    s.submit(stream, 5);
    assert_eq!(s.read(&s.y), 5);
    drop(stream.begin_capture().unwrap().end().unwrap());
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_forbidden_call_spoils_the_capture_and_not_the_stream() {
    let s = Setup::new();
    let stream = s.device.stream();
    let capture = stream.begin_capture().unwrap();
    s.submit(stream, 1);
    assert!(stream.synchronize().is_err());
    assert!(capture.end().is_err());
    s.submit(stream, 2);
    assert_eq!(s.read(&s.y), 2);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn memory_may_be_allocated_and_freed_while_capturing() {
    let s = Setup::new();
    let stream = s.device.stream();
    let old_pinned = s.device.alloc_pinned(100).unwrap();
    let capture = stream.begin_capture().unwrap();
    s.submit(stream, 6);
    let fresh = s.device.alloc(64 << 20).unwrap();
    let pinned = s.device.alloc_pinned(4).unwrap();
    drop(old_pinned);
    stream.copy_device(&fresh, 0, &s.x, 0, N * 4).unwrap();
    stream.copy_to_pinned(&pinned, 0, &s.x, 0, 4).unwrap();
    let graph = capture.end().unwrap().instantiate(s.retained()).unwrap();
    assert_eq!(graph.node_count(), 4);
    graph.launch(stream).unwrap();
    let mut first = [0; 4];
    stream.download(&fresh, 0, &mut first).unwrap();
    assert_eq!(u32::from_ne_bytes(first), 6);
    assert_eq!(pinned.as_slice(), first);
}

/// Set when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_graph_keeps_what_it_touches_until_its_last_launch_is_done() {
    let s = Setup::new();
    let stream = s.device.new_stream().unwrap();
    // Not the whole device: that would break the captures of other tests.
    s.device.stream().synchronize().unwrap();
    let big = s.device.alloc(1 << 30).unwrap();
    let pointer = big.ptr();
    let released = Arc::new(AtomicBool::new(false));
    let capture = stream.begin_capture().unwrap();
    for value in 0..20 {
        stream.fill_bytes(&big, 0, big.len(), value).unwrap();
    }
    s.submit(&stream, 9);
    let mut retained = s.retained();
    retained.push(Box::new(Flag(released.clone())));
    retained.push(Box::new(big));
    let graph = capture.end().unwrap().instantiate(retained).unwrap();
    assert!(!released.load(Ordering::SeqCst));
    let in_use = s.device.memory().unwrap().in_use;
    assert!(in_use >= 1 << 30, "the graph holds the buffer");
    graph.launch(&stream).unwrap();
    let launched = stream.record().unwrap();
    drop(graph);
    assert!(launched.is_done().unwrap(), "dropped before its launch was done");
    assert!(released.load(Ordering::SeqCst));
    assert!(s.device.memory().unwrap().in_use <= in_use - (1 << 30));
    assert_eq!(s.device.alloc(1 << 30).unwrap().ptr(), pointer, "and the buffer is back in the pool");
    assert_eq!(s.read(&s.y), 9);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_graph_that_allocates_is_rejected() {
    use cudarc::driver::sys;
    let s = Setup::new();
    let stream = s.device.stream();
    let capture = stream.begin_capture().unwrap();
    s.submit(stream, 1);
    let mut address = 0;
    // SAFETY: a context is current since `begin_capture`; in a capture these become nodes and allocate nothing yet.
    unsafe {
        assert_eq!(
            sys::cuMemAllocAsync(&mut address, 1024, stream.raw().cast()),
            sys::CUresult::CUDA_SUCCESS
        );
        assert_eq!(sys::cuMemFreeAsync(address, stream.raw().cast()), sys::CUresult::CUDA_SUCCESS);
    }
    let result = capture.end().unwrap().instantiate(s.retained());
    assert!(matches!(result, Err(Error::GraphAllocates { nodes: 2 })), "{result:?}");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn other_threads_work_on_while_one_captures() {
    let s = Setup::new();
    let stream = s.device.stream();
    let capture = stream.begin_capture().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = Setup::new();
            other.submit(other.device.stream(), 8);
            assert_eq!(other.read(&other.y), 8);
            drop(other.device.alloc_pinned(1 << 20).unwrap());
        });
    });
    s.submit(stream, 2);
    let graph = capture.end().unwrap().instantiate(s.retained()).unwrap();
    assert_eq!(graph.node_count(), 2);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| graph.launch(stream).unwrap()));
        }
    });
    assert_eq!(s.read(&s.x), 200, "launches from several threads do not disturb each other");
}
