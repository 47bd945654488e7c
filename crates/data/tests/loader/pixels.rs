//! Every element of a batch against the augmentation on the host.

use ocelli_cuda::Device;
use ocelli_data::augment::{
    Augmentation, BoundingBox, ColourJitter, Element, ErasingValue, Filling, Geometry, Interpolation, Output,
    Policy, RandomErasing,
};
use ocelli_data::loader::{DecodedForm, LoaderConfig};
use ocelli_data::{Encoded, Object};

use crate::support::{
    Difference, JPEG_LEVELS, LEVELS, WithObjects, bytes, compare, elements, expected, has_engines, in_order,
    is_jpeg, levels, lossless, mixed,
};

fn config(augmentation: Augmentation) -> LoaderConfig {
    LoaderConfig { batch: 5, augmentation, output: levels(), seed: 11, workers: 3, ..LoaderConfig::default() }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_geometry_makes_what_the_host_makes() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let wide = Geometry::RandomResizedCrop { height: 24, width: 70, scale: [0.3, 1.0], ratio: [0.5, 2.0] };
    let cutout = Geometry::PaddedCrop { height: 40, width: 50, padding: 6, cutout: 9 };
    for augmentation in [
        Augmentation::imagenet_evaluation(56),
        Augmentation::imagenet_training(48),
        Augmentation::cifar_evaluation(32),
        Augmentation::cifar_training(32),
        Augmentation { vertical_flip: 0.5, ..Augmentation::only(wide) },
        Augmentation { interpolation: Interpolation::Bicubic, ..Augmentation::imagenet_training(48) },
        Augmentation::only(Geometry::Resize { height: 90, width: 33 }),
        Augmentation { horizontal_flip: 0.5, vertical_flip: 0.5, ..Augmentation::only(cutout) },
    ] {
        let loader = in_order(&device, files.folder(), config(augmentation));
        for epoch in 0..2 {
            let mut images = 0;
            for batch in loader.epoch(epoch).unwrap() {
                let batch = batch.unwrap();
                compare(&device, &batch, &files.folder());
                images += batch.count();
            }
            assert_eq!(images, 14);
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn each_decoded_form_makes_what_the_host_makes_also_from_the_cache() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    for (augmentation, decoded) in [
        (Augmentation::imagenet_evaluation(56), DecodedForm::Planes),
        (Augmentation::imagenet_training(48), DecodedForm::Planes),
        (Augmentation::imagenet_evaluation(56), DecodedForm::Rgb),
        (Augmentation::imagenet_training(48), DecodedForm::Rgb),
    ] {
        let plain = LoaderConfig { decoded, ..config(augmentation) };
        let cached = LoaderConfig { decoded_cache: 1 << 20, hardware_threads: 2, ..plain.clone() };
        let (plain, cached) =
            (in_order(&device, files.folder(), plain), in_order(&device, files.folder(), cached));
        for epoch in 0..3 {
            for (plain, cached) in plain.epoch(epoch).unwrap().zip(cached.epoch(epoch).unwrap()) {
                let (plain, cached) = (plain.unwrap(), cached.unwrap());
                compare(&device, &plain, &files.folder());
                assert!(bytes(&device, &plain) == bytes(&device, &cached), "epoch {epoch}");
            }
        }
        assert_eq!(plain.statistics().hardware > 0, has_engines(&device));
        assert_eq!(cached.statistics().decoded_cache.hits, 2 * 14);
    }
}

/// Two objects on each image, one of which is soon too narrow.
fn objects(index: usize) -> Vec<Object> {
    let bounds = BoundingBox { x_min: 2.0, y_min: 3.0, x_max: 25.0 + 0.5 * index as f32, y_max: 37.5 };
    let narrow = BoundingBox { x_min: 30.0, x_max: 30.4, ..bounds };
    vec![
        Object { bounds, class: index as i32, crowd: index.is_multiple_of(3) },
        Object { bounds: narrow, class: 90, crowd: false },
    ]
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn detectors_get_whole_images_on_one_canvas_and_boxes_where_their_objects_are() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    for (shorter, longer, divisor) in [(40, 64, 32), (50, 70, 1), (33, 90, 16)] {
        let detection = Augmentation::detection(shorter, longer, divisor);
        let augmentation = Augmentation { horizontal_flip: 0.5, ..detection };
        let loader = in_order(&device, WithObjects(files.folder(), objects), config(augmentation));
        let mut flipped = 0;
        for batch in loader.epoch(0).unwrap() {
            let batch = batch.unwrap();
            compare(&device, &batch, &files.folder());
            let sizes = batch.drawn.iter().flatten().map(|drawn| drawn.size);
            assert_eq!(batch.size, augmentation.canvas(sizes));
            assert!(batch.size.width.is_multiple_of(divisor) && batch.size.height.is_multiple_of(divisor));
            for place in 0..batch.count() {
                let drawn = batch.drawn[place].as_ref().unwrap();
                let index = batch.indices[place];
                let original = batch.originals[place];
                assert_eq!((drawn.image.width, drawn.image.height), (original.width, original.height));
                let share = drawn.size.width as f32 / original.width as f32;
                assert!((batch.scales[place][0] - share).abs() < 1e-5);
                flipped += usize::from(drawn.horizontal_flip);
                // By hand: scaled, mirrored, and the narrow one left out unless it has grown to a pixel.
                let [across, down] = batch.scales[place];
                let given = objects(index)[0];
                let kept = if 0.4 * across >= 1.0 { 2 } else { 1 };
                assert_eq!(batch.objects[place].len(), kept);
                let found = batch.objects[place][0];
                assert_eq!((found.class, found.crowd), (given.class, given.crowd));
                let (left, right) = (given.bounds.x_min * across, given.bounds.x_max * across);
                let width = drawn.size.width as f32;
                let [left, right] =
                    if drawn.horizontal_flip { [width - right, width - left] } else { [left, right] };
                let [upper, lower] = [given.bounds.y_min * down, given.bounds.y_max * down];
                let bounds = found.bounds;
                for (found, expected) in [
                    (bounds.x_min, left),
                    (bounds.y_min, upper),
                    (bounds.x_max, right),
                    (bounds.y_max, lower),
                ] {
                    assert!((found - expected).abs() < 1e-3, "{bounds:?} for {given:?}");
                }
                let back = drawn.box_in_image(bounds);
                assert!((back.x_min - given.bounds.x_min).abs() < 1e-2, "{back:?} for {given:?}");
            }
        }
        assert!((1..14).contains(&flipped), "{flipped} of 14 were mirrored");
    }
}

/// Without scaling both start from the same pixels, and whatever a policy does to them must agree. (A pixel that differs by
/// one before it is posterised may differ by many after.)
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_policy_makes_what_the_host_makes() {
    let device = Device::new(0).unwrap();
    let files = lossless(60);
    let jitter = ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    let erasing = RandomErasing { value: ErasingValue::Constant([20.0, 30.0, 40.0]), ..Default::default() };
    let plain = Augmentation { horizontal_flip: 0.5, ..Augmentation::cifar_training(32) };
    let many = Policy::RandAugment { operations: 8, magnitude: 12, bins: 31 };
    for augmentation in [
        Augmentation { policy: Some(Policy::rand_augment()), ..plain },
        Augmentation { policy: Some(Policy::trivial_augment()), ..plain },
        Augmentation { policy: Some(many), ..plain },
        Augmentation { jitter: Some(jitter), erasing: Some(erasing), ..plain },
        Augmentation { jitter: Some(jitter), policy: Some(many), erasing: Some(erasing), ..plain },
    ] {
        let loader = in_order(&device, files.folder(), LoaderConfig { batch: 20, ..config(augmentation) });
        for batch in loader.epoch(1).unwrap() {
            let batch = batch.unwrap();
            compare(&device, &batch, &files.folder());
            // Something was done.
            let changed = batch.drawn.iter().flatten();
            assert!(changed.filter(|drawn| !drawn.operations.is_empty()).count() > 10);
        }
    }
}

/// Of scaled images a few pixels may differ by one, and by more where a step tears neighbours apart.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn policies_on_scaled_images_differ_in_few_pixels() {
    let device = Device::new(0).unwrap();
    let files = lossless(40);
    for policy in [Policy::rand_augment(), Policy::trivial_augment()] {
        let augmentation = Augmentation { policy: Some(policy), ..Augmentation::imagenet_training(48) };
        let loader = in_order(&device, files.folder(), LoaderConfig { batch: 40, ..config(augmentation) });
        let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
        let difference =
            Difference::between(&elements(&device, &batch), &expected(&batch, &files.folder()).concat());
        assert!(difference.beyond < 0.01 && difference.mean < 0.2, "{policy:?}: {difference:?}");
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn erased_rectangles_hold_the_noise_that_was_drawn() {
    let device = Device::new(0).unwrap();
    let files = lossless(40);
    let erasing = RandomErasing { value: ErasingValue::Noise, probability: 1.0, ..Default::default() };
    let augmentation = Augmentation { erasing: Some(erasing), ..Augmentation::cifar_evaluation(32) };
    let output = Output { dtype: Element::F32, ..Output::default() };
    let loader =
        in_order(&device, files.folder(), LoaderConfig { batch: 40, output, ..config(augmentation) });
    let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
    let found = elements(&device, &batch);
    let expected = expected(&batch, &files.folder()).concat();
    let [_, height, width, channels] = batch.shape();
    let mut noise = 0;
    for (element, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let (pixel, channel) = (element / channels, element % channels);
        let (place, x, y) = (pixel / (width * height), pixel % width, pixel / width % height);
        let erased = batch.drawn[place].as_ref().unwrap().erased;
        let erased = erased.filter(|erased| erased.part.contains(x as u32, y as u32));
        assert!(erased.is_none_or(|erased| matches!(erased.filling, Filling::Noise(_))));
        noise += usize::from(erased.is_some());
        let level = 1.0 / (255.0 * output.deviation[channel.min(2)]);
        let tolerance = if erased.is_some() { 1e-4 } else { LEVELS * level + 1e-4 };
        assert!((found - expected).abs() <= tolerance, "{found} for {expected}");
    }
    assert!(noise > 1000, "{noise} elements of noise");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_type_and_number_of_channels_holds_the_normalised_image() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    for (dtype, rounding) in [(Element::F16, 0.0005), (Element::Bf16, 0.004), (Element::F32, 1e-6)] {
        for channels in [3, 4, 8] {
            let output = Output { dtype, channels, ..Output::default() };
            let augmentation = Augmentation::imagenet_training(33);
            let loader = in_order(&device, files.folder(), LoaderConfig { output, ..config(augmentation) });
            for batch in loader.epoch(0).unwrap() {
                let batch = batch.unwrap();
                assert_eq!(batch.shape(), [5, 33, 33, channels as usize]);
                assert_eq!(batch.output, output);
                let found = elements(&device, &batch);
                let expected = expected(&batch, &files.folder());
                let length = expected[0].len();
                for (element, (found, expected)) in found.iter().zip(expected.iter().flatten()).enumerate() {
                    let (place, channel) = (element / length, element % channels as usize);
                    if channel > 2 || !batch.valid[place] {
                        assert_eq!(found.to_bits(), 0, "place {place}, channel {channel}");
                        continue;
                    }
                    let jpeg = is_jpeg(&files.folder() as &dyn Encoded, batch.indices[place]);
                    let levels = if jpeg { JPEG_LEVELS } else { LEVELS };
                    let level = 1.0 / (255.0 * output.deviation[channel]);
                    let tolerance = levels * level + rounding * expected.abs() + 1e-5;
                    assert!(
                        (found - expected).abs() <= tolerance,
                        "{dtype:?} x {channels}: {found} for {expected}"
                    );
                }
            }
        }
    }
}
