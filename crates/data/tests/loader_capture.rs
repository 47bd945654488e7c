//! A loader beside a training step that is being captured into a graph.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail loudly")]

mod support;

use std::thread;
use std::time::Duration;

use ocelli_cuda::Device;
use ocelli_data::augment::Augmentation;
use ocelli_data::loader::LoaderConfig;
use support::{epoch, in_order, levels, mixed, rest, within};

/// The first steps of a training are captured while the loader makes, and allocates, its first batches. Nothing of that may
/// get into the graph, nor the capture disturb the loader.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn batches_are_made_while_the_compute_stream_is_captured() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let config = |decoded_cache| LoaderConfig {
        batch: 4,
        augmentation: Augmentation::imagenet_training(64),
        output: levels(),
        decoded_cache,
        workers: 3,
        ..LoaderConfig::default()
    };
    let expected = epoch(&in_order(&device, files.folder(), config(0)), 0);
    for decoded_cache in [0, 1 << 20] {
        let loader = in_order(&device, files.folder(), config(decoded_cache));
        let capture = device.stream().begin_capture().unwrap();
        let batches = loader.epoch(0).unwrap();
        // Long enough for all of them.
        thread::sleep(Duration::from_secs(1));
        let graph = capture.end().unwrap();
        assert_eq!(graph.node_count().unwrap(), 0, "the loader's work was captured");
        let found = within(Duration::from_secs(60), {
            let device = device.clone();
            move || rest(&device, batches)
        });
        assert!(found == expected);
    }
}
