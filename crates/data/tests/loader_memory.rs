//! What a loader takes of the host's and of the GPU's memory. Both are read as a whole, so nothing may run beside these tests.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail loudly")]

mod support;

use ocelli_cuda::Device;
use ocelli_data::loader::LoaderConfig;
use support::{Copied, LIMIT, epoch, in_order, mixed, training, within};

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn epochs_left_early_end_at_once_and_give_their_memory_back() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let mut free = usize::MAX;
    for round in 0..20 {
        let loader =
            in_order(&device, files.folder(), LoaderConfig { decoded_cache: 1 << 20, ..training(2, 2) });
        // All of it at first, so that everything has been allocated once.
        let taken = if round < 5 { 7 } else { round % 7 };
        let batches = loader.epoch(round as u64).unwrap();
        within(LIMIT, move || {
            let mut batches = batches;
            for _ in 0..taken {
                batches.next().unwrap().unwrap();
            }
            drop(batches);
        });
        drop(loader);
        let memory = device.memory().unwrap();
        assert_eq!(memory.in_use, 0, "the loader's memory is its own");
        if round < 5 {
            free = free.min(memory.free);
        } else {
            // Fifteen rounds that lose even one image's memory each would take more.
            assert!(
                memory.free + (4 << 20) >= free,
                "{} bytes are free after {free}, round {round}",
                memory.free
            );
        }
    }
}

/// A batch outlives its epoch and its loader.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_batch_may_be_kept_when_all_else_is_gone() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let loader = in_order(&device, files.folder(), training(7, 2));
    let expected = epoch(&loader, 0);
    let mut batches = loader.epoch(0).unwrap();
    let batch = batches.next().unwrap().unwrap();
    within(LIMIT, move || drop((batches, loader)));
    assert!(Copied::of(&device, &batch) == expected[0]);
    let clone = batch.images.clone();
    drop(batch);
    let held = device.memory().unwrap().free;
    drop(clone);
    assert!(device.memory().unwrap().free > held, "the batch's memory did not go with it");
}

/// Pages of this process that are in memory, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let numbers = std::fs::read_to_string("/proc/self/statm").unwrap();
    4096 * numbers.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_thousand_batches_take_no_more_memory_than_a_hundred() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let loader = in_order(&device, files.folder(), training(2, 3));
    let (mut batches, mut first) = (0, None);
    for number in 0.. {
        for batch in loader.epoch(number).unwrap() {
            batch.unwrap();
            batches += 1;
        }
        if batches >= 100 && first.is_none() {
            first = Some((resident(), loader.memory().unwrap().reserved));
        }
        if batches >= 1000 {
            break;
        }
    }
    let (host, gpu) = first.unwrap();
    assert!(resident() <= host + (16 << 20), "{} bytes of the host's after {host}", resident());
    // Images of which sizes lie side by side depends on who was faster, within narrow bounds.
    let reserved = loader.memory().unwrap().reserved;
    assert!(reserved <= gpu + (8 << 20), "{reserved} bytes of the GPU's after {gpu}");
}
