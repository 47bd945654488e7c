//! Epochs that are left early, and batches that are held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ocelli_cuda::Device;

use crate::support::{Copied, LIMIT, bytes, epoch, in_order, lossless, mixed, rest, training, within};

/// The loader goes on with another epoch as if nothing had been.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn an_epoch_left_early_leaves_nothing_behind() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let expected = epoch(&in_order(&device, files.folder(), training(2, 1)), 0);
    let loader = in_order(&device, files.folder(), training(2, 1));
    for taken in [0, 1, 3, 7] {
        let mut batches = loader.epoch(1).unwrap();
        for _ in 0..taken {
            batches.next().unwrap().unwrap();
        }
        within(LIMIT, move || drop(batches));
        assert!(epoch(&loader, 0) == expected, "after {taken} batches");
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn held_batches_stop_the_loader_until_one_is_dropped_and_do_not_change() {
    let device = Device::new(0).unwrap();
    let files = lossless(40);
    let expected = epoch(&in_order(&device, files.folder(), training(4, 1)), 0);
    let loader = in_order(&device, files.folder(), training(4, 1));
    let mut batches = loader.epoch(0).unwrap();
    let first = batches.next().unwrap().unwrap();
    let second = batches.next().unwrap().unwrap();
    // There is memory for two.
    let came = Arc::new(AtomicBool::new(false));
    let waiting = thread::spawn({
        let came = came.clone();
        move || {
            let third = batches.next().unwrap().unwrap();
            came.store(true, Ordering::SeqCst);
            (third, batches)
        }
    });
    thread::sleep(Duration::from_millis(500));
    assert!(!came.load(Ordering::SeqCst), "a third batch came while two were held");
    assert!(bytes(&device, &first) == expected[0].images && bytes(&device, &second) == expected[1].images);
    drop(first);
    let (third, batches) = within(LIMIT, move || waiting.join().unwrap());
    assert!(Copied::of(&device, &third) == expected[2]);
    drop(third);
    // One is held all the time; the others go round.
    let left = within(LIMIT, {
        let device = device.clone();
        move || rest(&device, batches)
    });
    assert!(left == expected[3..]);
    assert!(Copied::of(&device, &second) == expected[1], "a held batch has changed");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn as_many_batches_are_read_ahead_as_is_said() {
    let device = Device::new(0).unwrap();
    let files = lossless(80);
    for prefetch in [0, 1, 3] {
        let loader = in_order(&device, files.folder(), training(4, prefetch));
        let ahead = 4 * loader.config().read_ahead() as u64;
        let batches = loader.epoch(0).unwrap();
        // All of them are decoded on the host, as soon as they are read.
        let read = || loader.statistics().host;
        let begin = Instant::now();
        while read() < ahead && begin.elapsed() < LIMIT {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(300));
        assert_eq!(read(), ahead, "prefetch {prefetch}");
        drop(batches);
    }
}
