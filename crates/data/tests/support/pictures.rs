//! Image files of all kinds, made by another library.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat};

/// A JPEG file of a smooth colour picture, unlike others of other seeds.
pub(crate) fn jpeg(quality: u8, [width, height]: [u32; 2], seed: u32) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, quality)
        .write_image(&pixels([width, height], 3, seed), width, height, ExtendedColorType::Rgb8)
        .unwrap();
    file
}

/// As [`jpeg`], of one component.
pub(crate) fn grey_jpeg(quality: u8, [width, height]: [u32; 2], seed: u32) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, quality)
        .write_image(&pixels([width, height], 1, seed), width, height, ExtendedColorType::L8)
        .unwrap();
    file
}

/// A PNG file.
pub(crate) fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.into().write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// Values that keep away from black and white, where decoders round in ways of their own, with some noise.
pub(crate) fn pixels([width, height]: [u32; 2], channels: u32, seed: u32) -> Vec<u8> {
    let wave = |position: u32, period: f32, phase: f32| {
        (position as f32 * std::f32::consts::TAU / period + phase).sin()
    };
    let mut values = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for channel in 0..channels {
                let phase = seed as f32 * 0.7 + channel as f32;
                let noise = (x * 7919 + y * 104_729 + channel * 31).wrapping_mul(2_654_435_761) >> 28;
                let value = 120.0 + 30.0 * (wave(x, 61.0, phase) + wave(y, 43.0, 2.0 * phase));
                values.push(value.round() as u8 + noise as u8);
            }
        }
    }
    values
}

/// A JPEG file with a segment more, after the mark of its start.
pub(crate) fn with_segment(file: &[u8], kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
    [&file[..2], &[0xff, kind], &length, payload, &file[2..]].concat()
}

/// What an EXIF segment holds that says how an image lies.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    [&b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation], &[0; 6]].concat()
}

/// Writes a file below a directory.
pub(crate) fn save(directory: &Path, name: &str, bytes: &[u8]) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// All files below a directory, as their paths below it, in order, with their contents.
pub(crate) fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![directory.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
