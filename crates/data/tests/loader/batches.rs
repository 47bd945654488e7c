//! Which images come when, and that nothing else decides what a batch is.

use std::sync::Arc;

use ocelli_cuda::Device;
use ocelli_data::augment::{Augmentation, ImageSize, Policy};
use ocelli_data::loader::{LastBatch, Loader, LoaderConfig};
use ocelli_data::sampler::{Sampler, State};
use ocelli_data::{Encoded, Error, IGNORED};

use crate::support::{Copied, bytes, epoch, in_order, levels, lossless, mixed, rest};

fn small(batch: usize) -> LoaderConfig {
    let augmentation = Augmentation::imagenet_training(32);
    LoaderConfig { batch, augmentation, output: levels(), seed: 3, workers: 3, ..LoaderConfig::default() }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn batches_come_in_order_and_say_what_is_in_them() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let folder = files.folder();
    let loader = in_order(&device, files.folder(), small(4));
    assert_eq!((loader.batches(), loader.samples()), (4, 14));
    let mut batches = loader.epoch(5).unwrap();
    assert_eq!(batches.state(), State { seed: 0, epoch: 5, position: 0 });
    assert_eq!(batches.size_hint(), (0, Some(4)));
    for number in 0..4 {
        let batch = batches.next().unwrap().unwrap();
        assert_eq!(batch.shape(), [4, 32, 32, 3]);
        let position = [4, 8, 12, 14][number as usize];
        assert_eq!(batch.state, State { seed: 0, epoch: 5, position });
        assert_eq!(batches.state(), batch.state);
        assert_eq!(batch.count(), if number == 3 { 2 } else { 4 });
        assert!(batch.damaged.is_empty());
        let elements = bytes(&device, &batch);
        for place in 0..4 {
            let index = 4 * number as usize + place;
            let one = &elements[place * 32 * 32 * 12..][..32 * 32 * 12];
            if index < 14 {
                assert!(batch.valid[place]);
                assert_eq!((batch.indices[place], batch.labels[place]), (index, folder.label(index)));
                let image = image::load_from_memory(&folder.bytes(index).unwrap()).unwrap();
                assert_eq!(batch.originals[place], ImageSize::upright(image.width(), image.height()));
                let drawn = batch.drawn[place].as_ref().unwrap();
                assert_eq!(batch.scales[place], drawn.scale());
                assert_eq!(
                    *drawn,
                    loader.config().augmentation.draw(3, 5, index as u64, batch.originals[place])
                );
                assert!(one.iter().any(|&byte| byte != 0));
            } else {
                assert!(!batch.valid[place] && batch.drawn[place].is_none());
                assert_eq!((batch.indices[place], batch.labels[place]), (0, IGNORED));
                assert_eq!(batch.originals[place], ImageSize::upright(0, 0));
                assert!(one.iter().all(|&byte| byte == 0), "an empty place is black");
            }
        }
    }
    assert!(batches.next().is_none() && batches.next().is_none());
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn what_does_not_fill_a_batch_can_be_left_out() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let loader = in_order(&device, files.folder(), LoaderConfig { last: LastBatch::Drop, ..small(4) });
    assert_eq!(loader.batches(), 3);
    let batches = epoch(&loader, 0);
    assert_eq!(batches.len(), 3);
    let kept = epoch(&in_order(&device, files.folder(), small(4)), 0);
    assert_eq!(batches, kept[..3]);
    // The end of what is dropped is the end of the epoch.
    assert_eq!(rest(&device, loader.resume(batches[2].state).unwrap()), []);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_batch_may_be_larger_than_the_set() {
    let device = Device::new(0).unwrap();
    let files = lossless(3);
    let loader = in_order(&device, files.folder(), small(10));
    let batches = epoch(&loader, 0);
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].valid, [[true; 3].as_slice(), &[false; 7]].concat());
    assert_eq!(batches[0].state.position, 3);
    let whole = epoch(&in_order(&device, files.folder(), small(3)), 0);
    assert_eq!(batches[0].images[..whole[0].images.len()], whole[0].images);
    assert!(batches[0].images[whole[0].images.len()..].iter().all(|&byte| byte == 0));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn samplers_decide_the_order() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let labels: Vec<i32> = (0..14).map(|index| files.folder().label(index)).collect();
    for sampler in [
        Sampler::shuffled(14, 9),
        Sampler::class_balanced(&labels, 9),
        Sampler::shuffled(14, 9).sharded(2, 3).unwrap(),
        Sampler::sequential(14).sharded(1, 2).unwrap(),
    ] {
        let loader = Loader::new(&device, Arc::new(files.folder()), sampler.clone(), small(5)).unwrap();
        assert_eq!(loader.samples(), sampler.len());
        for number in 0..2 {
            let batches = epoch(&loader, number);
            let found: Vec<usize> = batches
                .iter()
                .flat_map(|batch| batch.indices.iter().zip(&batch.valid))
                .filter_map(|(&index, &valid)| valid.then_some(index))
                .collect();
            assert_eq!(found, sampler.epoch(number).collect::<Vec<_>>());
            for batch in &batches {
                for place in 0..5 {
                    let label = if batch.valid[place] { labels[batch.indices[place]] } else { IGNORED };
                    assert_eq!(batch.labels[place], label);
                }
            }
        }
    }
}

/// An image's augmentation is its own, whatever place in an order it has.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn an_image_is_the_same_wherever_it_comes() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let sequential = epoch(&in_order(&device, files.folder(), small(14)), 2);
    let sampler = Sampler::shuffled(14, 1);
    let shuffled = Loader::new(&device, Arc::new(files.folder()), sampler, small(14)).unwrap();
    let shuffled = epoch(&shuffled, 2);
    assert_ne!(shuffled[0].indices, sequential[0].indices);
    for place in 0..14 {
        assert_eq!(shuffled[0].place(place), sequential[0].place(shuffled[0].indices[place]));
    }
    let next = epoch(&in_order(&device, files.folder(), small(14)), 3);
    assert_ne!(next[0].images, sequential[0].images, "each epoch has crops of its own");
}

fn shuffled(device: &Device, set: impl Encoded + 'static, config: LoaderConfig) -> Loader {
    let sampler = Sampler::shuffled(set.len(), 4);
    Loader::new(device, Arc::new(set), sampler, config).unwrap()
}

fn two_epochs(loader: &Loader) -> Vec<Copied> {
    [epoch(loader, 0), epoch(loader, 1)].concat()
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn neither_workers_nor_prefetch_nor_threads_nor_caches_change_a_byte() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let augmentation =
        Augmentation { policy: Some(Policy::rand_augment()), ..Augmentation::imagenet_training(32) };
    for hardware_share in [0.0, 0.5, 1.0] {
        let plain = LoaderConfig { augmentation, hardware_share, ..small(5) };
        let alone = LoaderConfig { workers: 1, prefetch: 1, ..plain.clone() };
        let alone = two_epochs(&shuffled(&device, files.folder(), alone));
        assert_eq!(alone.len(), 6);
        for (workers, prefetch, hardware_threads, encoded_cache, decoded_cache) in [
            (1, 1, 1, 0, 0),
            (2, 0, 1, 0, 0),
            (8, 4, 2, 0, 0),
            (3, 2, 1, 1 << 20, 0),
            (3, 2, 1, 0, 1 << 20),
            (3, 2, 4, 1 << 20, 1 << 20),
            // More than a batch has images.
            (4, 2, 7, 3000, 20_000),
        ] {
            let settings = LoaderConfig { workers, prefetch, hardware_threads, ..plain.clone() };
            let config = LoaderConfig { encoded_cache, decoded_cache, ..settings };
            let loader = shuffled(&device, files.folder(), config);
            assert!(two_epochs(&loader) == alone, "{:?}", loader.config());
            assert!(epoch(&loader, 0) == alone[..3], "once more: {:?}", loader.config());
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_run_goes_on_where_it_stopped() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let first = shuffled(&device, files.folder(), small(4));
    let whole = epoch(&first, 6);
    // The same loader, and one that starts anew.
    let second = shuffled(&device, files.folder(), small(4));
    for loader in [&first, &second] {
        let start = State { position: 0, ..whole[0].state };
        assert!(rest(&device, loader.resume(start).unwrap()) == whole);
        for stopped in 0..4 {
            let batches = loader.resume(whole[stopped].state).unwrap();
            assert_eq!(batches.state(), whole[stopped].state);
            assert!(rest(&device, batches) == whole[stopped + 1..], "after batch {stopped}");
        }
    }
    let mut batches = first.epoch(6).unwrap();
    batches.next().unwrap().unwrap();
    let state = batches.state();
    drop(batches);
    assert!(rest(&device, second.resume(state).unwrap()) == whole[1..]);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn states_of_other_runs_are_refused() {
    let device = Device::new(0).unwrap();
    let files = lossless(14);
    let loader = shuffled(&device, files.folder(), small(4));
    let sound = State { seed: 4, epoch: 1, position: 8 };
    loader.resume(sound).unwrap();
    for (state, reason) in [
        (State { seed: 5, ..sound }, "seed 5"),
        (State { position: 6, ..sound }, "6"),
        (State { position: 15, ..sound }, "15"),
        (State { position: 16, ..sound }, "16"),
        (State { position: u64::MAX, ..sound }, "18446744073709551615"),
    ] {
        let error = loader.resume(state).err().unwrap();
        assert!(matches!(error, Error::Setting { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn settings_that_make_no_sense_are_refused() {
    let device = Device::new(0).unwrap();
    let files = lossless(3);
    let refused = |samples, config: LoaderConfig, reason: &str| {
        let sampler = Sampler::sequential(samples);
        let error = Loader::new(&device, Arc::new(files.folder()), sampler, config).err().unwrap();
        assert!(matches!(error, Error::Setting { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    };
    refused(3, small(0), "at least one image");
    refused(0, small(2), "no images");
    refused(3, LoaderConfig { last: LastBatch::Drop, ..small(4) }, "3 images");
    refused(3, LoaderConfig { hardware_share: 1.5, ..small(2) }, "1.5");
    refused(3, LoaderConfig { augmentation: Augmentation::imagenet_training(0), ..small(2) }, "between 1");
}

/// [`Loader::new`] says so: a sampler of another set would only fail in the middle of an epoch.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_sampler_of_a_larger_set_is_refused() {
    let device = Device::new(0).unwrap();
    let (files, sampler) = (lossless(3), Sampler::shuffled(5, 0));
    let loader = Loader::new(&device, Arc::new(files.folder()), sampler, small(2));
    assert!(matches!(loader, Err(Error::Setting { .. })));
}
