//! Device, memory, copies, events and launches on a GPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::thread;

use ocelli_cuda::{Device, DeviceBuffer, Error, KernelArgs, KernelSource};

fn device() -> Device {
    Device::new(0).expect("a GPU")
}

fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

fn download(device: &Device, buffer: &DeviceBuffer) -> Vec<u8> {
    let mut out = vec![0; buffer.len()];
    device.stream().download(buffer, 0, &mut out).unwrap();
    out
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect()
}

const MIB: usize = 1 << 20;

#[test]
#[cfg_attr(ocelli_gpu, ignore = "there is a GPU")]
fn without_a_driver_a_device_is_an_error_and_no_panic() {
    for _ in 0..2 {
        assert!(Device::count().is_err());
        let error = Device::new(0).unwrap_err();
        assert!(error.to_string().to_lowercase().contains("cuda"), "{error}");
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn properties_make_sense() {
    let device = device();
    let properties = device.properties();
    assert!(properties.name.contains("NVIDIA") || !properties.name.is_empty());
    assert!(properties.compute_capability >= (7, 5), "{properties:?}");
    assert!(properties.architecture().starts_with("sm_"));
    assert_eq!(properties.warp_size, 32);
    assert!(properties.multiprocessors > 0 && properties.l2_bytes > 0 && properties.clock_khz > 0);
    assert!(properties.memory_bytes > 1 << 30 && properties.max_shared_bytes_per_block >= 48 << 10);
    assert!(properties.driver_version >= 12000);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_device_that_is_not_there_is_named_with_the_count() {
    let count = Device::count().unwrap();
    assert!(
        matches!(Device::new(count), Err(Error::NoSuchDevice { ordinal, count: c }) if ordinal == c && c == count)
    );
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn memory_is_counted_exactly_and_reused() {
    let device = device();
    let start = device.memory().unwrap();
    assert_eq!((start.in_use, start.peak, start.reserved), (0, 0, 0));
    let first = device.alloc(10 * MIB + 1).unwrap();
    let pointer = first.ptr();
    assert!(pointer != 0 && pointer.is_multiple_of(256));
    assert_eq!(first.len(), 10 * MIB + 1);
    let clone = first.clone();
    drop(first);
    assert_eq!(device.memory().unwrap().in_use, 10 * MIB + 256, "a clone keeps the memory");
    drop(clone);
    let freed = device.memory().unwrap();
    assert_eq!((freed.in_use, freed.peak, freed.reserved), (0, 10 * MIB + 256, 12 * MIB));
    let again = device.alloc(11 * MIB).unwrap();
    assert_eq!(again.ptr(), pointer, "kept memory is handed out again");
    assert_eq!(device.memory().unwrap().reserved, 12 * MIB);
    drop(again);
    device.reset_peak_memory();
    assert_eq!(device.memory().unwrap().peak, 0);
    device.release_unused_memory().unwrap();
    assert_eq!(device.memory().unwrap().reserved, 0);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn empty_buffers_work_everywhere() {
    let device = device();
    let (empty, pinned) = (device.alloc(0).unwrap(), device.alloc_pinned(0).unwrap());
    assert_eq!((empty.ptr(), empty.len()), (0, 0));
    assert!(empty.is_empty() && pinned.is_empty() && pinned.as_slice().is_empty());
    let stream = device.stream();
    stream.upload(&empty, 0, &[]).unwrap();
    stream.download(&empty, 0, &mut []).unwrap();
    stream.fill_bytes(&empty, 0, 0, 1).unwrap();
    stream.copy_device(&empty, 0, &empty, 0, 0).unwrap();
    stream.copy_to_device(&empty, 0, &pinned, 0, 0).unwrap();
    stream.copy_to_pinned(&pinned, 0, &empty, 0, 0).unwrap();
    assert_eq!(device.memory().unwrap().in_use, 0);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn copies_arrive_at_their_offsets_and_nowhere_else() {
    let device = device();
    let stream = device.stream();
    let (a, b) = (device.alloc(1000).unwrap(), device.alloc(1000).unwrap());
    stream.fill_bytes(&a, 0, 1000, 0xaa).unwrap();
    stream.fill_bytes(&b, 0, 1000, 0xbb).unwrap();
    stream.upload(&a, 100, &bytes(300, 1)).unwrap();
    stream.copy_device(&b, 7, &a, 50, 400).unwrap();
    let mut expected = vec![0xbb; 1000];
    expected[7..57].fill(0xaa);
    expected[57..357].copy_from_slice(&bytes(300, 1));
    expected[357..407].fill(0xaa);
    assert_eq!(download(&device, &b), expected);
    let mut part = [0; 10];
    stream.download(&b, 55, &mut part).unwrap();
    assert_eq!(part, expected[55..65]);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn pinned_memory_is_zeroed_and_read_only_after_the_copy() {
    let device = device();
    let stream = device.stream();
    let len = 64 * MIB;
    let mut up = device.alloc_pinned(len).unwrap();
    let down = device.alloc_pinned(len + 10).unwrap();
    assert!(up.as_slice().iter().all(|&byte| byte == 0));
    up.as_mut_slice().copy_from_slice(&bytes(len, 3));
    let buffer = device.alloc(len).unwrap();
    stream.copy_to_device(&buffer, 0, &up, 0, len).unwrap();
    stream.copy_to_pinned(&down, 10, &buffer, 0, len).unwrap();
    // Neither waits for anything but the slices' own.
    assert_eq!(down.as_slice()[10..], bytes(len, 3));
    assert_eq!(down.as_slice()[..10], [0; 10]);
    up.as_mut_slice().fill(9);
    assert_eq!(download(&device, &buffer), bytes(len, 3));
    stream.copy_to_pinned(&down, 0, &buffer, 0, len).unwrap();
    drop(down);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn ranges_that_do_not_fit_are_refused() {
    let device = device();
    let stream = device.stream();
    let (a, b, pinned) =
        (device.alloc(100).unwrap(), device.alloc(50).unwrap(), device.alloc_pinned(100).unwrap());
    let attempts = [
        stream.copy_device(&b, 0, &a, 0, 51),
        stream.copy_device(&a, 0, &b, 1, 50),
        stream.copy_to_device(&a, 0, &pinned, 1, 100),
        stream.copy_to_pinned(&pinned, usize::MAX, &a, 0, 2),
        stream.fill_bytes(&a, 101, 0, 0),
        stream.upload(&a, 99, &[0, 0]),
        stream.download(&b, 0, &mut [0; 51]),
    ];
    for result in attempts {
        assert!(matches!(result, Err(Error::OutOfBounds { .. })), "{result:?}");
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn out_of_memory_says_how_much_and_leaves_the_device_usable() {
    let device = device();
    let kept = device.alloc(4 * MIB).unwrap();
    drop(device.alloc(8 * MIB).unwrap());
    let asked = device.properties().memory_bytes * 2;
    match device.alloc(asked) {
        Err(Error::OutOfMemory { requested, free, total }) => {
            assert_eq!(requested, asked);
            assert!(free > 0 && free <= total && total <= device.properties().memory_bytes);
        }
        other => panic!("{other:?}"),
    }
    assert!(device.alloc(usize::MAX).is_err());
    let stats = device.memory().unwrap();
    assert_eq!(
        (stats.in_use, stats.reserved),
        (4 * MIB, 4 * MIB),
        "what was kept unused has been given back"
    );
    device.stream().upload(&kept, 0, &bytes(4 * MIB, 5)).unwrap();
    assert_eq!(download(&device, &kept), bytes(4 * MIB, 5));
}

const SCALE: &str = r#"
extern "C" __global__ void scale(float* y, const float* x, float a, int n, unsigned long long shift) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i + shift] = a * x[i];
}
extern "C" __global__ void shared_sum(float* y) {
    extern __shared__ float values[];
    for (int i = threadIdx.x; i < 16384; i += blockDim.x) values[i] = 1.0f;
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0.0f;
        for (int i = 0; i < 16384; ++i) sum += values[i];
        y[0] = sum;
    }
}"#;

fn scale_source() -> KernelSource {
    KernelSource { name: "scale".into(), source: SCALE.into(), options: vec![] }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_kernel_writes_what_it_should_over_poison_and_may_be_launched_again() {
    let device = device();
    let stream = device.stream();
    let n = 1001;
    let x: Vec<f32> = (0..n).map(|i| i as f32 - 500.0).collect();
    let input = device.alloc(n * 4).unwrap();
    stream.upload(&input, 0, &x.iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<u8>>()).unwrap();
    let function = device.compile(&scale_source()).unwrap().function("scale").unwrap();
    let output = device.alloc((n + 3) * 4).unwrap();
    let mut args = KernelArgs::new();
    args.push_ptr(output.ptr()).push_ptr(input.ptr()).push_f32(-2.5).push_i32(n as i32).push_u64(2);
    for _ in 0..3 {
        stream.fill_bytes(&output, 0, output.len(), 0xff).unwrap();
        // SAFETY: the arguments are those of `scale`; the grid covers n, and the output has room for n + 2.
        unsafe { function.launch(stream, [n.div_ceil(128) as u32, 1, 1], [128, 1, 1], 0, &args) }.unwrap();
        let y = floats(&download(&device, &output));
        let expected: Vec<f32> = x.iter().map(|v| -2.5 * v).collect();
        assert_eq!(y[2..n + 2], expected);
        assert!(y[..2].iter().chain(&y[n + 2..]).all(|v| v.is_nan()), "wrote outside its range");
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_kernel_outlives_the_module_and_tells_what_it_takes() {
    let device = device();
    let stream = device.stream();
    let function = device.compile(&scale_source()).unwrap().function("shared_sum").unwrap();
    let attributes = function.attributes().unwrap();
    assert!(attributes.registers > 0 && attributes.max_threads_per_block >= 256, "{attributes:?}");
    assert_eq!(attributes.shared_bytes, 0);
    assert!(function.max_active_blocks(256, 0).unwrap() >= 1);
    let output = device.alloc(4).unwrap();
    let mut args = KernelArgs::new();
    args.push_ptr(output.ptr());
    let bytes = 16384 * 4;
    // SAFETY: one pointer to four bytes, which is what `shared_sum` takes.
    let refused = unsafe { function.launch(stream, [1, 1, 1], [256, 1, 1], bytes, &args) };
    assert!(matches!(refused, Err(Error::Driver { call: "cuLaunchKernel", .. })), "{refused:?}");
    function.set_max_dynamic_shared(bytes).unwrap();
    // SAFETY: as above.
    unsafe { function.launch(stream, [1, 1, 1], [256, 1, 1], bytes, &args) }.unwrap();
    assert_eq!(floats(&download(&device, &output)), [16384.0]);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn an_unknown_kernel_is_named() {
    let module = device().compile(&scale_source()).unwrap();
    match module.function("absent") {
        Err(Error::FunctionNotFound { module, function }) => {
            assert_eq!((&*module, &*function), ("scale", "absent"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn events_order_streams_and_measure_time() {
    let device = device();
    let (compute, other) = (device.stream().clone(), device.new_stream().unwrap());
    assert_ne!(compute, other);
    let len = 256 * MIB;
    let (a, b) = (device.alloc(len).unwrap(), device.alloc(len).unwrap());
    for round in 0..4 {
        let start = compute.record_timed().unwrap();
        compute.fill_bytes(&a, 0, len, round).unwrap();
        let filled = compute.record_timed().unwrap();
        other.wait(&filled).unwrap();
        other.copy_device(&b, 0, &a, 0, len).unwrap();
        let copied = other.record().unwrap();
        compute.wait(&copied).unwrap();
        let mut last = [255];
        compute.download(&b, len - 1, &mut last).unwrap();
        assert_eq!(last, [round]);
        assert!(copied.is_done().unwrap());
        let milliseconds = filled.elapsed_ms(&start).unwrap();
        assert!(milliseconds > 0.0 && milliseconds < 1000.0, "{milliseconds} ms");
        assert!(copied.elapsed_ms(&start).is_err(), "not a timed event");
    }
    other.synchronize().unwrap();
    device.synchronize().unwrap();
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn an_event_moves_and_is_not_done_before_its_work() {
    let device = device();
    let stream = device.stream();
    let len = 1 << 30;
    let (a, b) = (device.alloc(len).unwrap(), device.alloc(len).unwrap());
    let event = stream.record().unwrap();
    event.synchronize().unwrap();
    assert!(event.is_done().unwrap());
    for _ in 0..50 {
        stream.copy_device(&b, 0, &a, 0, len).unwrap();
    }
    event.record_on(stream).unwrap();
    assert!(!event.is_done().unwrap(), "50 GiB were copied in no time");
    event.synchronize().unwrap();
    assert!(event.is_done().unwrap());
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn threads_share_a_device() {
    let device = device();
    thread::scope(|scope| {
        for seed in 0..8 {
            let device = device.clone();
            scope.spawn(move || {
                let stream = device.new_stream().unwrap();
                for round in 0..50 {
                    // Held until its stream is done, as freed memory is only reused in order on the compute stream.
                    let buffer = device.alloc(1 + 3000 * round).unwrap();
                    let expected = bytes(buffer.len(), seed);
                    stream.upload(&buffer, 0, &expected).unwrap();
                    let mut back = vec![0; expected.len()];
                    stream.download(&buffer, 0, &mut back).unwrap();
                    assert_eq!(back, expected);
                }
                device.compile(&scale_source()).unwrap().function("scale").unwrap();
            });
        }
    });
    assert_eq!(device.memory().unwrap().in_use, 0);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn buffers_streams_and_kernels_outlive_the_device() {
    let device = device();
    let stream = device.stream().clone();
    let buffer = device.alloc(100).unwrap();
    let function = device.compile(&scale_source()).unwrap().function("scale").unwrap();
    drop(device);
    stream.upload(&buffer, 0, &bytes(100, 8)).unwrap();
    let mut back = [0; 100];
    stream.download(&buffer, 0, &mut back).unwrap();
    assert_eq!(back[..], bytes(100, 8));
    assert!(function.attributes().is_ok());
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn devices_are_equal_only_to_their_clones() {
    let (one, two) = (device(), device());
    assert_eq!(one, one.clone());
    assert_ne!(one, two);
    assert_eq!(one.ordinal(), 0);
    assert!(one.stream().raw() != two.stream().raw());
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn lent_memory_comes_back_once_with_the_last_clone() {
    let device = device();
    let memory = device.alloc(1000).unwrap();
    let address = memory.ptr();
    assert!(matches!(memory.clone().lend(1001, |_| ()), Err(Error::OutOfBounds { .. })));
    let (sender, receiver) = std::sync::mpsc::sync_channel(2);
    let lent = memory.lend(600, move |memory| sender.send(memory).unwrap()).unwrap();
    assert_eq!((lent.ptr(), lent.len()), (address, 600));
    device.stream().upload(&lent, 0, &bytes(600, 3)).unwrap();
    let clone = lent.clone();
    drop(lent);
    assert!(receiver.try_recv().is_err(), "a clone is still held");
    drop(clone);
    let back = receiver.recv().unwrap();
    assert_eq!((back.ptr(), back.len()), (address, 1000));
    assert_eq!(download(&device, &back)[..600], bytes(600, 3));
    assert!(receiver.recv().is_err(), "it came back twice");
    assert!(device.memory().unwrap().in_use > 0);
    drop(back);
    assert_eq!(device.memory().unwrap().in_use, 0);
}
