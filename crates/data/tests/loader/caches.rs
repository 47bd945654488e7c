//! What is kept from one epoch to the next.

use ocelli_cuda::Device;
use ocelli_data::Encoded;
use ocelli_data::augment::Augmentation;
use ocelli_data::loader::{LoaderConfig, Statistics};

use crate::support::{Copied, epoch, in_order, levels, lossless, mixed};

fn config(encoded_cache: usize, decoded_cache: usize) -> LoaderConfig {
    LoaderConfig {
        batch: 5,
        augmentation: Augmentation::imagenet_training(32),
        output: levels(),
        workers: 3,
        encoded_cache,
        decoded_cache,
        ..LoaderConfig::default()
    }
}

/// Bytes of all files, and of all their pixels, as the cache counts them.
fn sizes(set: &dyn Encoded) -> (usize, usize) {
    let sizes = (0..set.len()).map(|index| {
        let file = set.bytes(index).unwrap();
        let image = image::load_from_memory(&file).unwrap();
        (file.len(), (3 * image.width() as usize * image.height() as usize).next_multiple_of(256))
    });
    sizes.fold((0, 0), |(files, pixels), (file, image)| (files + file, pixels + image))
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn files_are_read_once_and_images_decoded_once() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let (file_bytes, pixel_bytes) = sizes(&files.folder());

    let loader = in_order(&device, files.folder(), config(1 << 30, 0));
    epoch(&loader, 0);
    let first = loader.statistics();
    assert_eq!((first.encoded_cache.hits, first.encoded_cache.misses), (0, 14));
    assert_eq!((first.encoded_cache.images, first.encoded_cache.bytes), (14, file_bytes));
    assert_eq!((first.bytes_read, first.cached), (file_bytes as u64, 0));
    epoch(&loader, 1);
    let second = loader.statistics() - first;
    assert_eq!((second.encoded_cache.hits, second.encoded_cache.misses), (14, 0));
    assert_eq!((second.bytes_read, second.cached, second.images()), (0, 0, 14));

    let loader = in_order(&device, files.folder(), config(0, 1 << 30));
    epoch(&loader, 0);
    let first = loader.statistics();
    assert_eq!((first.decoded_cache.hits, first.decoded_cache.misses), (0, 14));
    // Memory is taken in pieces.
    assert_eq!(first.decoded_cache.images, 14);
    assert!((pixel_bytes / 2..=64 << 20).contains(&first.decoded_cache.bytes), "{:?}", first.decoded_cache);
    assert_eq!((first.cached, first.images()), (0, 14));
    epoch(&loader, 1);
    let second = loader.statistics() - first;
    assert_eq!((second.decoded_cache.hits, second.decoded_cache.misses), (14, 0));
    assert_eq!((second.cached, second.images(), second.bytes_read), (14, 14, 0));

    // What is not asked for counts nothing.
    let Statistics { encoded_cache, .. } = loader.statistics();
    assert_eq!(encoded_cache, Default::default());
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn caches_hold_no_more_than_they_may_and_keep_what_they_hold() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let (file_bytes, pixel_bytes) = sizes(&files.folder());
    let plain = in_order(&device, files.folder(), config(0, 0));
    let expected = [epoch(&plain, 0), epoch(&plain, 1), epoch(&plain, 2)];
    let loader = in_order(&device, files.folder(), config(file_bytes / 2, pixel_bytes / 3));
    let mut before = None;
    for (number, expected) in expected.iter().enumerate() {
        assert!(epoch(&loader, number as u64) == *expected, "epoch {number}");
        let statistics = loader.statistics();
        let (encoded, decoded) = (statistics.encoded_cache, statistics.decoded_cache);
        assert!(encoded.bytes <= file_bytes / 2 && (1..14).contains(&encoded.images), "{encoded:?}");
        assert!(decoded.bytes <= pixel_bytes / 3 && (1..14).contains(&decoded.images), "{decoded:?}");
        assert_eq!(statistics.images(), 14 * (number as u64 + 1));
        // An image that is kept decoded is not asked for as a file.
        assert_eq!(decoded.hits + decoded.misses, 14 * (number as u64 + 1));
        assert_eq!(encoded.hits + encoded.misses, decoded.misses);
        assert_eq!(statistics.cached, decoded.hits);
        if let Some(images) = before.replace(decoded.images) {
            assert!(decoded.images >= images, "nothing is given up");
        }
    }
    assert!(loader.statistics().decoded_cache.hits > 0 && loader.statistics().encoded_cache.hits > 0);
}

/// Two epochs at a time, of one loader, share what is kept.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn epochs_that_overlap_are_what_they_are_alone() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let plain = in_order(&device, files.folder(), config(0, 0));
    let loader = in_order(&device, files.folder(), config(1 << 20, 1 << 20));
    for round in 0..3 {
        let epochs = [2 * round, 2 * round + 1];
        let mut running = epochs.map(|number| loader.epoch(number).unwrap());
        let mut found = [Vec::new(), Vec::new()];
        for _ in 0..loader.batches() {
            for (found, batches) in found.iter_mut().zip(&mut running) {
                found.push(Copied::of(&device, &batches.next().unwrap().unwrap()));
            }
        }
        for (found, number) in found.iter().zip(epochs) {
            assert!(*found == epoch(&plain, number), "epoch {number}");
        }
    }
}

/// The limit is one of memory, not of what is in it.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn decoded_images_take_no_more_of_the_gpu_than_they_may() {
    const LIMIT: usize = 1 << 20;
    let device = Device::new(0).unwrap();
    // Without JPEG files, so that a loader at rest holds nothing that depends on who was faster.
    let files = lossless(30);
    let held = |decoded_cache| {
        let loader = in_order(&device, files.folder(), config(0, decoded_cache));
        epoch(&loader, 0);
        (loader.memory().unwrap().in_use, loader.statistics().decoded_cache.images)
    };
    let (without, _) = held(0);
    let (with, images) = held(LIMIT);
    assert_eq!(images, 30);
    let taken = with.saturating_sub(without);
    assert!((1..=LIMIT).contains(&taken), "{taken} bytes for a cache of {LIMIT}");
}
