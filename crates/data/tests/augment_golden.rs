//! Augmentation on the host against torchvision's results and Pillow's, which `golden/augment/make.py` wrote.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;

use serde_json::Value;

use ocelli_data::augment::{
    Affine, Augmentation, Drawn, Geometry, ImageSize, Interpolation, Operation, Rectangle, Size, host,
};
use ocelli_data::images::Rgb;

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/augment").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The images of `make.py`, by the same rule.
fn image(width: usize, height: usize) -> Rgb {
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let pattern = x * y / 4 * 3 + (x ^ y) % 16 * 9;
                pixels.push(((x * (5 + c) + y * (3 + 2 * c) + c * 59 + pattern) % 256 / (1 + c % 2)) as u8);
            }
        }
    }
    Rgb { width, height, pixels }
}

fn bytes(hexadecimal: &Value) -> Vec<u8> {
    let digits = hexadecimal.as_str().unwrap().as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
}

fn numbers<const N: usize>(list: &Value) -> [u32; N] {
    std::array::from_fn(|place| list[place].as_u64().unwrap() as u32)
}

/// How much two images differ, at most in a value, and in how many.
fn difference(found: &[u8], expected: &[u8]) -> (u8, usize) {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(found, expected)| found.abs_diff(*expected));
    (differences.clone().max().unwrap(), differences.filter(|difference| *difference > 0).count())
}

fn operation(name: &str, magnitude: f64, size: Size) -> Operation {
    let single = magnitude as f32;
    match name {
        "Brightness" => Operation::Brightness(single),
        "Contrast" => Operation::Contrast(single),
        "Saturation" => Operation::Saturation(single),
        "Sharpness" => Operation::Sharpness(single),
        "Hue" => Operation::Hue(single),
        "Posterize" => Operation::Posterize(magnitude as u8),
        "Solarize" => Operation::Solarize(single),
        "AutoContrast" => Operation::AutoContrast,
        "Equalize" => Operation::Equalize,
        "ShearX" => Operation::Affine(Affine::shear_x(magnitude, size)),
        "ShearY" => Operation::Affine(Affine::shear_y(magnitude, size)),
        "TranslateX" => Operation::Affine(Affine::translate(magnitude, 0.0)),
        "TranslateY" => Operation::Affine(Affine::translate(0.0, magnitude)),
        "Rotate" => Operation::Affine(Affine::rotate(magnitude)),
        other => panic!("{other} is no operation"),
    }
}

/// An augmentation that does nothing but scale.
fn resizing(width: u32, height: u32, size: [u32; 2]) -> Drawn {
    let geometry = Geometry::Resize { height: size[1], width: size[0] };
    Augmentation::only(geometry).draw(0, 0, 0, ImageSize::upright(width, height))
}

/// Holds every operation to its exact result, but those named in `close` to one level.
fn check_operations(golden: &Value, close: &[&str]) {
    let cases = golden["operations"].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let [width, height] = ["width", "height"].map(|side| case[side].as_u64().unwrap() as u32);
        let (name, magnitude) = (case["name"].as_str().unwrap(), case["magnitude"].as_f64().unwrap());
        let drawn = resizing(width, height, [width, height]);
        let operations = vec![operation(name, magnitude, drawn.size)];
        let source = image(width as usize, height as usize);
        let found = host::pixels(&Drawn { operations, ..drawn }, &source).unwrap();
        let (largest, count) = difference(&found.pixels, &bytes(&case["result"]));
        let allowed = u8::from(close.contains(&name));
        assert!(largest <= allowed, "{name} {magnitude}: {count} values differ, by up to {largest}");
    }
}

fn check_resizes(golden: &Value) {
    let cases = golden["resizes"].as_array().unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let [width, height] = numbers(&case["source"]);
        let [left, top, columns, rows] = numbers(&case["crop"]);
        let interpolation = match case["filter"].as_str().unwrap() {
            "bilinear" => Interpolation::Bilinear,
            _ => Interpolation::Bicubic,
        };
        let source = Rectangle { left, top, width: columns, height: rows };
        let drawn = Drawn { source, interpolation, ..resizing(width, height, numbers(&case["size"])) };
        let found = host::pixels(&drawn, &image(width as usize, height as usize)).unwrap();
        let (largest, count) = difference(&found.pixels, &bytes(&case["result"]));
        assert!(largest <= 1, "{drawn:?}: {count} values differ, by up to {largest}");
    }
}

/// Pillow rounds between the columns and the rows, and so does torchvision on 8 bits.
#[test]
fn scaling_is_within_a_level_of_pillow() {
    check_resizes(&read("pillow.json"));
}

#[test]
fn operations_that_pillow_shares_are_exact() {
    check_operations(&read("pillow.json"), &[]);
}

#[test]
#[cfg_attr(
    not(ocelli_augment_golden),
    ignore = "needs golden/augment/torchvision.json, which make.py writes"
)]
fn operations_are_those_of_torchvision() {
    check_operations(&read("torchvision.json"), &["Hue"]);
}

#[test]
#[cfg_attr(
    not(ocelli_augment_golden),
    ignore = "needs golden/augment/torchvision.json, which make.py writes"
)]
fn scaling_is_that_of_torchvision() {
    check_resizes(&read("torchvision.json"));
}

#[test]
#[cfg_attr(
    not(ocelli_augment_golden),
    ignore = "needs golden/augment/torchvision.json, which make.py writes"
)]
fn the_middle_is_that_of_torchvision() {
    let golden = read("torchvision.json");
    for case in golden["middles"].as_array().unwrap() {
        let ([width, height], [columns, rows]) = (numbers(&case["source"]), numbers(&case["size"]));
        let resize = case["shorter"].as_u64().unwrap() as u32;
        let geometry = Geometry::ResizeCentreCrop { resize, height: rows, width: columns };
        let drawn = Augmentation::only(geometry).draw(0, 0, 0, ImageSize::upright(width, height));
        let found = host::pixels(&drawn, &image(width as usize, height as usize)).unwrap();
        let (largest, count) = difference(&found.pixels, &bytes(&case["result"]));
        assert!(largest <= 1, "{drawn:?}: {count} values differ, by up to {largest}");
    }
}
