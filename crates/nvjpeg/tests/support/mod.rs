//! Pictures, JPEG files of them, and planes with guarded edges to decode them into.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its part")]

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};
use ocelli_cuda::{Device, Stream};
use ocelli_nvjpeg::{
    Backend, Error, Frame, Nvjpeg, NvjpegConfig, OutputFormat, Plane, PlaneSize, Region, Subsampling,
};

/// What planes and their surroundings hold before they are written.
const POISON: u8 = 0xa5;
/// Bytes before and after a plane that must not be written.
const GUARD: usize = 256;

/// Red, green and blue, interleaved.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rgb: Vec<u8>,
}

impl Picture {
    /// A smooth picture, unlike others of other seeds, whose values keep away from black and white, where decoders round
    /// in ways of their own.
    pub(crate) fn new(width: u32, height: u32, seed: u32) -> Picture {
        let wave = |position: u32, period: f32, phase: f32| {
            (position as f32 * std::f32::consts::TAU / period + phase).sin()
        };
        let mut rgb = Vec::new();
        for y in 0..height {
            for x in 0..width {
                for channel in 0..3 {
                    let phase = seed as f32 * 0.7 + channel as f32;
                    let value = 128.0 + 30.0 * (wave(x, 61.0, phase) + wave(y, 43.0, 2.0 * phase));
                    rgb.push(value.round() as u8);
                }
            }
        }
        Picture { width, height, rgb }
    }

    /// What another decoder makes of a file.
    pub(crate) fn decoded(file: &[u8]) -> Picture {
        let image = image::load_from_memory_with_format(file, ImageFormat::Jpeg).unwrap().to_rgb8();
        Picture { width: image.width(), height: image.height(), rgb: image.into_raw() }
    }

    pub(crate) fn frame(&self) -> Frame {
        Frame { width: self.width, height: self.height, components: 3, subsampling: Subsampling::S444 }
    }

    /// A file with colour differences as fine as the luminance.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut file, 92);
        encoder.encode(&self.rgb, self.width, self.height, ExtendedColorType::Rgb8).unwrap();
        file
    }

    pub(crate) fn crop(&self, region: Region) -> Picture {
        let rows =
            self.rgb.chunks(3 * self.width as usize).skip(region.y as usize).take(region.height as usize);
        let columns = 3 * region.x as usize..3 * (region.x + region.width) as usize;
        let rgb = rows.flat_map(|row| row[columns.clone()].to_vec()).collect();
        Picture { width: region.width, height: region.height, rgb }
    }

    /// The planes that a decoder should write, of a file with colour differences as fine as the luminance.
    pub(crate) fn planes(&self, format: OutputFormat) -> Vec<Vec<u8>> {
        let map = |value: fn([f32; 3]) -> f32| -> Vec<u8> {
            let pixels = self.rgb.chunks(3).map(|pixel| value([pixel[0], pixel[1], pixel[2]].map(f32::from)));
            pixels.map(|value| value.round() as u8).collect()
        };
        // ITU-T T.871, 7.
        let luminance = |[r, g, b]: [f32; 3]| 0.299 * r + 0.587 * g + 0.114 * b;
        let blue = |[r, g, b]: [f32; 3]| -0.168_736 * r - 0.331_264 * g + 0.5 * b + 128.0;
        let red = |[r, g, b]: [f32; 3]| 0.5 * r - 0.418_688 * g - 0.081_312 * b + 128.0;
        match format {
            OutputFormat::RgbInterleaved => vec![self.rgb.clone()],
            OutputFormat::Rgb => vec![map(|[r, _, _]| r), map(|[_, g, _]| g), map(|[_, _, b]| b)],
            OutputFormat::Yuv => vec![map(luminance), map(blue), map(red)],
            OutputFormat::Y => vec![map(luminance)],
        }
    }
}

/// The library with a backend; none where the GPU has no engines for it.
pub(crate) fn library(device: &Device, backend: Backend) -> Option<Nvjpeg> {
    match Nvjpeg::new(device, backend, NvjpegConfig::default()) {
        Ok(library) => Some(library),
        Err(Error::NoEngines { .. }) => {
            println!("no engines for {backend:?}");
            None
        }
        Err(error) => panic!("{backend:?}: {error}"),
    }
}

/// Poisoned planes, each in a buffer of its own between guards; rows are `gap` bytes apart. The host has waited.
pub(crate) fn planes(device: &Device, sizes: &[PlaneSize], gap: usize) -> Vec<Plane> {
    let planes = sizes.iter().map(|size| {
        let pitch = size.row_bytes + gap;
        let buffer = device.alloc(pitch * size.rows + 2 * GUARD).unwrap();
        device.stream().fill_bytes(&buffer, 0, buffer.len(), POISON).unwrap();
        Plane { buffer, offset: GUARD, pitch }
    });
    let planes = planes.collect();
    device.synchronize().unwrap();
    planes
}

/// What has been written to planes, without gaps; the guards must be as they were.
pub(crate) fn read(stream: &Stream, planes: &[Plane], sizes: &[PlaneSize]) -> Vec<Vec<u8>> {
    let read = planes.iter().zip(sizes).map(|(plane, size)| {
        let mut bytes = vec![0; plane.buffer.len()];
        stream.download(&plane.buffer, 0, &mut bytes).unwrap();
        let (before, rest) = bytes.split_at(GUARD);
        let (rows, after) = rest.split_at(plane.pitch * size.rows);
        assert!(before.iter().chain(after).all(|&byte| byte == POISON), "written beyond the plane");
        rows.chunks(plane.pitch).flat_map(|row| row[..size.row_bytes].to_vec()).collect()
    });
    read.collect()
}

/// Whether no value differs by more than `most`, and they differ by less than `average` on average.
#[track_caller]
pub(crate) fn assert_near(found: &[Vec<u8>], expected: &[Vec<u8>], most: u8, average: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: planes");
    for (plane, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what}: plane {plane}");
        let differences = || found.iter().zip(expected).map(|(&found, &expected)| found.abs_diff(expected));
        let largest = differences().max().unwrap();
        let mean = differences().map(f64::from).sum::<f64>() / found.len() as f64;
        println!("{what}: plane {plane}: differs by up to {largest}, {mean:.3} on average");
        assert!(
            largest <= most && mean < average,
            "{what}: plane {plane}: up to {largest}, {mean} on average"
        );
    }
}

/// Where a marker's first segment begins in a file (its 0xff), and where it ends.
pub(crate) fn segment(file: &[u8], marker: u8) -> (usize, usize) {
    let mut start = 2;
    loop {
        assert_eq!(file[start], 0xff);
        let end = start + 2 + usize::from(u16::from_be_bytes([file[start + 2], file[start + 3]]));
        if file[start + 1] == marker {
            return (start, end);
        }
        start = end;
    }
}
