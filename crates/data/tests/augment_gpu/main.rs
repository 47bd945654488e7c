//! The kernel of augmentation against the host's plain arithmetic.
//!
//! What looks at pixels of the right size is held to the same bits. Scaling may differ by one level of 255, because the
//! kernel adds in single precision and the host in double, and a sum near the middle between two levels falls to either
//! side.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod random;
mod run;
mod stored;

use std::path::Path;

use half::{bf16, f16};
use serde_json::Value;

use ocelli_data::augment::{
    Affine, Augmentation, ColourJitter, Drawn, Element, Erased, ErasingValue, Filling, Geometry, ImageSize,
    Interpolation, Operation, Orientation, Output, Policy, RandomErasing, Rectangle, Size, host,
};
use ocelli_data::jpeg::Subsampling;

use random::Random;
use run::run;
use stored::{FORMS, Form, Stored};

/// Elements that are the levels themselves, 0 to 255, exactly, in every type.
fn levels(dtype: Element, channels: u32) -> Output {
    Output { dtype, channels, mean: [0.0; 3], deviation: [1.0 / 255.0; 3] }
}

fn canvas_of(images: &[(Drawn, Stored)]) -> Size {
    Augmentation::only(Geometry::Resize { height: 1, width: 1 })
        .canvas(images.iter().map(|(drawn, _)| drawn.size))
}

/// What the host makes of the same batch, rounded to the output's type.
fn expected(output: &Output, canvas: Size, places: u32, images: &[(Drawn, Stored)]) -> Vec<f32> {
    let one = canvas.width as usize * canvas.height as usize * output.channels as usize;
    let mut values = vec![0.0; one * (places as usize - images.len())];
    for (drawn, stored) in images.iter().rev() {
        values.extend(host::apply_on_canvas(drawn, &stored.rgb(), output, canvas).unwrap());
    }
    let rounded = |value: f32| match output.dtype {
        Element::F16 => f16::from_f32(value).to_f32(),
        Element::Bf16 => bf16::from_f32(value).to_f32(),
        Element::F32 => value,
    };
    values.into_iter().map(rounded).collect()
}

/// Runs a batch and finds the largest difference from the host's; a value that is no number fails.
fn largest_difference(output: &Output, canvas: Size, places: u32, images: &[(Drawn, Stored)]) -> f32 {
    let found = run(output, canvas, places, images);
    let expected = expected(output, canvas, places, images);
    assert_eq!(found.len(), expected.len());
    let one = found.len() / places as usize;
    let mut largest = 0.0f32;
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(!difference.is_nan(), "element {i} is {found}");
        if difference > largest {
            largest = difference;
            let image = images.get(places as usize - 1 - i / one);
            let pixel = i % one / output.channels as usize;
            let (x, y) = (pixel % canvas.width as usize, pixel / canvas.width as usize);
            let form = image.map(|(drawn, stored)| (stored.form, drawn));
            eprintln!(
                "{found} for {expected} in channel {} at ({x}, {y}) of {form:?}",
                i % output.channels as usize
            );
        }
    }
    largest
}

fn orientation(number: usize) -> Orientation {
    Orientation::from_exif(number as u8 % 8 + 1).unwrap()
}

/// What these tests hold the kernel's pixels against, against libjpeg-turbo itself, through Pillow.
#[test]
fn the_conversion_of_these_tests_is_that_of_libjpeg_turbo() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/augment/pillow.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let bytes = |hexadecimal: &Value| -> Vec<u8> {
        let digits = hexadecimal.as_str().unwrap();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    };
    let cases = golden["planes"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let subsampling = match case["subsampling"].as_str().unwrap() {
            "S444" => Subsampling::S444,
            "S422" => Subsampling::S422,
            _ => Subsampling::S420,
        };
        let [width, height] = ["width", "height"].map(|side| case[side].as_u64().unwrap() as usize);
        let planes = [&case["luma"], &case["differences"][0], &case["differences"][1]].map(bytes);
        let stored = Stored::of_planes(subsampling, width, height, planes);
        assert_eq!(stored.rgb().pixels, bytes(&case["result"]), "{subsampling:?}, {width} x {height}");
    }
}

/// An image that keeps its size, as `Drawn` without operations.
fn untouched(width: usize, height: usize, orientation: Orientation) -> Drawn {
    let size = ImageSize { width: width as u32, height: height as u32, orientation };
    let oriented = if orientation.swaps_sides() { [height, width] } else { [width, height] };
    let geometry = Geometry::Resize { height: oriented[1] as u32, width: oriented[0] as u32 };
    Augmentation { exif: true, ..Augmentation::only(geometry) }.draw(0, 0, 0, size)
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn pixels_of_every_form_and_orientation_are_those_of_libjpeg_turbo() {
    let mut random = Random::new(1);
    let mut images = Vec::new();
    for form in FORMS {
        for number in 0..8 {
            let (width, height) = (1 + random.below(70), 1 + random.below(70));
            images.push((untouched(width, height, orientation(number)), (form, width, height)));
        }
        // Two columns of differences are not interpolated, three are.
        for width in [1, 2, 3, 4, 5, 6] {
            images.push((untouched(width, 5, Orientation::Upright), (form, width, 5)));
        }
    }
    let images: Vec<(Drawn, Stored)> = images
        .into_iter()
        .map(|(drawn, (form, width, height))| (drawn, Stored::random(form, width, height, &mut random)))
        .collect();
    let output = levels(Element::F16, 4);
    assert_eq!(largest_difference(&output, canvas_of(&images), images.len() as u32, &images), 0.0);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn crops_and_scales_are_those_of_the_host() {
    for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
        let mut random = Random::new(2);
        let mut images = Vec::new();
        for number in 0..64 {
            let (width, height) = (1 + random.below(300), 1 + random.below(200));
            let stored = Stored::random(FORMS[number / 8], width, height, &mut random);
            let (rows, columns) = (1 + random.below(90) as u32, 1 + random.below(90) as u32);
            let shorter = rows.max(columns) + random.below(20) as u32;
            let geometry = match number % 4 {
                0 => Geometry::Resize { height: rows, width: columns },
                1 => Geometry::ResizeCentreCrop { resize: shorter, height: rows, width: columns },
                2 => Geometry::PaddedCrop { height: rows, width: columns, padding: 7, cutout: 9 },
                _ => Geometry::RandomResizedCrop {
                    height: rows,
                    width: columns,
                    scale: [0.08, 1.0],
                    ratio: [0.5, 2.0],
                },
            };
            let augmentation = Augmentation {
                interpolation,
                horizontal_flip: 0.5,
                vertical_flip: 0.5,
                exif: true,
                ..Augmentation::only(geometry)
            };
            let size =
                ImageSize { width: width as u32, height: height as u32, orientation: orientation(number) };
            images.push((augmentation.draw(3, 0, number as u64, size), stored));
        }
        let canvas = canvas_of(&images);
        assert!(largest_difference(&levels(Element::F16, 4), canvas, 64, &images) <= 1.0);
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn images_of_any_width_become_small() {
    let mut random = Random::new(3);
    let mut images = Vec::new();
    for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
        for (width, height, columns, rows) in [
            (20_000, 30, 32, 20),
            (30, 20_000, 20, 32),
            (20_000, 9, 224, 7),
            (3000, 2000, 33, 31),
            (5, 4, 70, 65),
        ] {
            let stored = Stored::random(Form::Planes(Subsampling::S420), width, height, &mut random);
            let augmentation = Augmentation {
                interpolation,
                ..Augmentation::only(Geometry::Resize { height: rows, width: columns })
            };
            images
                .push((augmentation.draw(0, 0, 0, ImageSize::upright(width as u32, height as u32)), stored));
        }
    }
    let output = levels(Element::F32, 3);
    assert!(largest_difference(&output, canvas_of(&images), images.len() as u32, &images) <= 1.0);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_decoded_part_is_as_good_as_the_whole() {
    let mut random = Random::new(4);
    let mut images = Vec::new();
    for number in 0..64 {
        let (width, height) = (40 + random.below(200), 40 + random.below(200));
        let mut stored = Stored::random(FORMS[number / 8], width, height, &mut random);
        let augmentation = Augmentation { exif: true, ..Augmentation::imagenet_training(40) };
        let size = ImageSize { width: width as u32, height: height as u32, orientation: orientation(number) };
        let drawn = augmentation.draw(5, 0, number as u64, size);
        let needed = drawn.stored_part();
        // The margin that `Drawn::stored_part` speaks of, and a little more by chance.
        let mut widen = |first: u32, count: u32, side: usize| {
            let begin = first.saturating_sub(4 + random.below(3) as u32);
            (begin, (first + count + 4 + random.below(3) as u32).min(side as u32) - begin)
        };
        let (left, columns) = widen(needed.left, needed.width, width);
        let (top, rows) = widen(needed.top, needed.height, height);
        stored.decoded = Rectangle { left, top, width: columns, height: rows };
        images.push((drawn, stored));
    }
    assert!(largest_difference(&levels(Element::F16, 8), canvas_of(&images), 64, &images) <= 1.0);
}

/// Every operation at several magnitudes.
fn operations(size: Size) -> Vec<Operation> {
    let mut all =
        vec![Operation::AutoContrast, Operation::Equalize, Operation::Hue(0.5), Operation::Hue(-0.5)];
    for factor in [0.0, 0.01, 0.37, 0.91, 1.0, 1.27, 1.99] {
        all.extend([
            Operation::Brightness(factor),
            Operation::Contrast(factor),
            Operation::Saturation(factor),
            Operation::Sharpness(factor),
            Operation::Hue(factor / 4.0 - 0.25),
            Operation::Solarize(255.0 * factor / 2.0),
        ]);
    }
    all.extend((0..=8).map(Operation::Posterize));
    for magnitude in [-0.99, -0.3, 0.0, 0.09, 0.7] {
        all.extend(
            [
                Affine::shear_x(magnitude, size),
                Affine::shear_y(magnitude, size),
                Affine::translate((magnitude * 32.0).trunc(), 0.0),
                Affine::translate(0.0, (magnitude * 32.0).trunc()),
                Affine::rotate(magnitude * 135.0),
            ]
            .map(Operation::Affine),
        );
    }
    all.push(Operation::Blacken(Rectangle { left: 3, top: 4, width: 10, height: 5 }));
    all
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_operation_has_the_bits_of_the_host() {
    let mut random = Random::new(6);
    for (width, height) in [(67, 45), (33, 64), (2, 9), (1, 1)] {
        let drawn = untouched(width, height, Orientation::Upright);
        let images: Vec<(Drawn, Stored)> = operations(drawn.size)
            .into_iter()
            .map(|operation| {
                let stored = Stored::random(Form::Interleaved, width, height, &mut random);
                (Drawn { operations: vec![operation], ..drawn.clone() }, stored)
            })
            .collect();
        let canvas = canvas_of(&images);
        assert_eq!(largest_difference(&levels(Element::F16, 4), canvas, images.len() as u32, &images), 0.0);
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn sequences_of_operations_have_the_bits_of_the_host() {
    let mut random = Random::new(7);
    let mut images = Vec::new();
    for sample in 0..200 {
        let (width, height) = (20 + random.below(60), 20 + random.below(60));
        let policies = [
            Policy::RandAugment { operations: 8, magnitude: 20, bins: 31 },
            Policy::rand_augment(),
            Policy::trivial_augment(),
        ];
        let jitter = ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
        let augmentation = Augmentation {
            horizontal_flip: 0.5,
            vertical_flip: 0.5,
            jitter: random.coin().then_some(jitter),
            policy: Some(policies[sample % 3]),
            ..Augmentation::only(Geometry::PaddedCrop { height: 48, width: 40, padding: 4, cutout: 8 })
        };
        let stored = Stored::random(FORMS[sample % 8], width, height, &mut random);
        let size = ImageSize::upright(width as u32, height as u32);
        images.push((augmentation.draw(8, 0, sample as u64, size), stored));
    }
    assert!(images.iter().any(|(drawn, _)| drawn.needs_whole_image()));
    assert!(images.iter().any(|(drawn, _)| !drawn.needs_whole_image()));
    assert_eq!(largest_difference(&levels(Element::F16, 4), canvas_of(&images), 200, &images), 0.0);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_type_and_number_of_channels_is_normalised_padded_and_blank_where_it_should_be() {
    for dtype in [Element::F16, Element::Bf16, Element::F32] {
        for channels in [3, 4, 8] {
            let mut random = Random::new(9);
            let images: Vec<(Drawn, Stored)> = (0..9)
                .map(|number| {
                    let (width, height) = (1 + random.below(60), 1 + random.below(60));
                    let mut drawn = untouched(width, height, Orientation::Upright);
                    if number % 3 == 0 {
                        drawn.operations = vec![Operation::Contrast(random.between(0.0, 2.0))];
                    }
                    (drawn, Stored::random(FORMS[number % 8], width, height, &mut random))
                })
                .collect();
            let output = Output { dtype, channels, ..Output::default() };
            // Sides that are no multiples of a tile's, and places without an image.
            let canvas = Size { width: 101, height: 67 };
            assert_eq!(largest_difference(&output, canvas, 12, &images), 0.0, "{output:?}");
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn erased_rectangles_hold_what_they_should() {
    let mut random = Random::new(10);
    let mut images = Vec::new();
    for number in 0..12u32 {
        let mut drawn = untouched(50, 41, Orientation::Upright);
        let part = Rectangle { left: number, top: 2 * number, width: 9 + number, height: 30 - 2 * number };
        let constant = number % 2 == 0;
        let filling = if constant {
            Filling::Constant([0.5, -1.25, 3.0])
        } else {
            Filling::Noise([number, 7 * number])
        };
        drawn.erased = Some(Erased { part, filling });
        if number % 3 == 0 {
            drawn.operations = vec![Operation::Equalize];
        }
        images.push((drawn, Stored::random(Form::Interleaved, 50, 41, &mut random)));
    }
    let output = Output { dtype: Element::F32, ..Output::default() };
    let canvas = canvas_of(&images);
    // Logarithms and sines of the GPU and the host differ in their last bits.
    assert!(largest_difference(&output, canvas, 12, &images) < 1e-4);
    let constant: Vec<(Drawn, Stored)> = images.into_iter().step_by(2).collect();
    assert_eq!(largest_difference(&output, canvas, 6, &constant), 0.0);
}

/// All parts at once, as a training run has them.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_batch_of_training_is_that_of_the_host() {
    let mut random = Random::new(11);
    let augmentation = Augmentation {
        jitter: Some(ColourJitter { brightness: 0.4, saturation: 0.4, ..ColourJitter::default() }),
        erasing: Some(RandomErasing { value: ErasingValue::Constant([0.25; 3]), ..RandomErasing::default() }),
        ..Augmentation::imagenet_training(224)
    };
    let images: Vec<(Drawn, Stored)> = (0..16)
        .map(|sample| {
            let stored = Stored::random(Form::Planes(Subsampling::S420), 500, 375, &mut random);
            (augmentation.draw(1, 2, sample, ImageSize::upright(500, 375)), stored)
        })
        .collect();
    // A level before the changes of colour is at most 1.4 * 1.4 after them, and cutting off may add one.
    let difference =
        largest_difference(&levels(Element::F16, 4), Size { width: 224, height: 224 }, 16, &images);
    assert!(difference <= 3.0, "{difference}");
}

/// Detection: images of different sizes on one canvas.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_batch_of_detection_is_padded_with_zeros() {
    let mut random = Random::new(12);
    let augmentation = Augmentation { horizontal_flip: 0.5, ..Augmentation::detection(160, 266, 32) };
    let images: Vec<(Drawn, Stored)> = [(64, 48), (48, 64), (500, 375), (640, 200)]
        .into_iter()
        .zip(0..)
        .map(|((width, height), sample)| {
            let stored = Stored::random(Form::Planes(Subsampling::S422), width, height, &mut random);
            (augmentation.draw(1, 2, sample, ImageSize::upright(width as u32, height as u32)), stored)
        })
        .collect();
    let canvas = augmentation.canvas(images.iter().map(|(drawn, _)| drawn.size));
    assert_eq!(canvas, Size { width: 288, height: 224 });
    assert!(largest_difference(&levels(Element::Bf16, 4), canvas, 4, &images) <= 1.0);
}
