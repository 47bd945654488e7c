//! Files that are encoded, and decoded again here and by another decoder.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use ocelli_cuda::{Device, DeviceBuffer};
use ocelli_nvjpeg::{
    Backend, Bitstream, Coding, Decoder, DecoderConfig, EncodeOptions, Encoder, Error, Frame, Nvjpeg,
    NvjpegConfig, OutputFormat, RgbImage, Subsampling,
};
use support::{Picture, assert_near, planes, read};

/// The picture in device memory, its rows `pitch` bytes apart from byte `offset` on.
fn upload(device: &Device, picture: &Picture, offset: usize, pitch: usize) -> DeviceBuffer {
    let mut bytes = vec![0x5a; offset + pitch * picture.height as usize];
    let row_bytes = 3 * picture.width as usize;
    for (row, pixels) in bytes[offset..].chunks_mut(pitch).zip(picture.rgb.chunks(row_bytes)) {
        row[..row_bytes].copy_from_slice(pixels);
    }
    let buffer = device.alloc(bytes.len()).unwrap();
    device.stream().upload(&buffer, 0, &bytes).unwrap();
    buffer
}

fn open(device: &Device) -> (Nvjpeg, Encoder) {
    let library = Nvjpeg::new(device, Backend::Default, NvjpegConfig::default()).unwrap();
    let encoder = Encoder::new(&library, device.stream()).unwrap();
    (library, encoder)
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn what_is_encoded_is_decoded_to_the_same_picture() {
    let device = Device::new(0).unwrap();
    let (library, mut encoder) = open(&device);
    let mut bitstream = Bitstream::new(&library).unwrap();
    for (width, height) in [(64, 48), (333, 251), (640, 481)] {
        let picture = Picture::new(width, height, 8);
        let row_bytes = 3 * width as usize;
        for subsampling in [Subsampling::S444, Subsampling::S422, Subsampling::S420] {
            for (progressive, optimised_huffman) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let options = EncodeOptions { quality: 95, subsampling, optimised_huffman, progressive };
                for (offset, pitch) in [(0, row_bytes), (512, row_bytes + 64)] {
                    let buffer = upload(&device, &picture, offset, pitch);
                    let image = RgbImage { buffer: &buffer, offset, pitch, width, height };
                    let file = encoder.encode(&image, &options).unwrap();
                    let what = format!("{width} x {height}, {options:?}");

                    let parsed = bitstream.parse(&file).unwrap();
                    assert_eq!(parsed.frame, Frame { width, height, components: 3, subsampling }, "{what}");
                    let coding = if progressive { Coding::Progressive } else { Coding::Baseline };
                    assert_eq!(parsed.coding, coding, "{what}");
                    let found = Picture::decoded(&file);
                    assert_near(&[found.rgb], std::slice::from_ref(&picture.rgb), 20, 2.0, &what);
                }
            }
        }
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn native_planes_of_odd_images_are_as_large_as_they_are_said_to_be() {
    let device = Device::new(0).unwrap();
    let (library, mut encoder) = open(&device);
    let config = DecoderConfig { format: OutputFormat::Yuv, ..Default::default() };
    let mut decoder = Decoder::new(&library, config).unwrap();
    let picture = Picture::new(333, 251, 9);
    let buffer = upload(&device, &picture, 0, 999);
    let image = RgbImage { buffer: &buffer, offset: 0, pitch: 999, width: 333, height: 251 };
    for (subsampling, [columns, rows]) in [
        (Subsampling::S444, [1, 1]),
        (Subsampling::S422, [2, 1]),
        (Subsampling::S420, [2, 2]),
        (Subsampling::S440, [1, 2]),
        (Subsampling::S411, [4, 1]),
        (Subsampling::S410, [4, 2]),
    ] {
        let options = EncodeOptions { quality: 98, subsampling, ..Default::default() };
        let file = encoder.encode(&image, &options).unwrap();
        let decoded = decoder.host(&file, None).unwrap();
        assert_eq!(decoded.frame().subsampling, subsampling);
        let sizes = decoded.plane_sizes().unwrap();
        let planes = planes(&device, &sizes, 0);
        decoded.device(&planes, device.stream()).unwrap();
        let found = read(device.stream(), &planes, &sizes);

        // Each sample of a colour difference is about the average of those that it stands for.
        let full = picture.planes(OutputFormat::Yuv);
        let average = |plane: &[u8]| -> Vec<u8> {
            let blocks = (0..251usize.div_ceil(rows))
                .flat_map(|y| (0..333usize.div_ceil(columns)).map(move |x| (x * columns, y * rows)));
            let mean = |(x, y): (usize, usize)| {
                let rows = y..(y + rows).min(251);
                let block = rows.flat_map(|y| &plane[y * 333 + x..y * 333 + (x + columns).min(333)]);
                let values: Vec<f32> = block.map(|&value| f32::from(value)).collect();
                (values.iter().sum::<f32>() / values.len() as f32).round() as u8
            };
            blocks.map(mean).collect()
        };
        let expected = [full[0].clone(), average(&full[1]), average(&full[2])];
        assert_near(&found, &expected, 12, 2.0, &format!("{subsampling}"));
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn a_lower_quality_is_smaller_and_worse() {
    let device = Device::new(0).unwrap();
    let (_, mut encoder) = open(&device);
    let picture = Picture::new(320, 240, 2);
    let buffer = upload(&device, &picture, 0, 960);
    let image = RgbImage { buffer: &buffer, offset: 0, pitch: 960, width: 320, height: 240 };
    let mut of = |quality| {
        let options = EncodeOptions { quality, ..Default::default() };
        let file = encoder.encode(&image, &options).unwrap();
        let decoded = Picture::decoded(&file).rgb;
        let error: u64 =
            decoded.iter().zip(&picture.rgb).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
        (file.len(), error)
    };
    let (good, poor) = (of(95), of(10));
    assert!(poor.0 < good.0 && poor.1 > good.1, "{good:?}, {poor:?}");
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn an_image_that_does_not_fit_its_buffer_is_an_error() {
    let device = Device::new(0).unwrap();
    let (_, mut encoder) = open(&device);
    let picture = Picture::new(64, 48, 1);
    let buffer = upload(&device, &picture, 0, 192);
    let image = RgbImage { buffer: &buffer, offset: 0, pitch: 192, width: 64, height: 48 };
    let options = EncodeOptions::default();
    for image in [
        RgbImage { offset: 1, ..image },
        RgbImage { pitch: 191, ..image },
        RgbImage { pitch: 193, ..image },
        RgbImage { width: 65, ..image },
        RgbImage { height: 49, ..image },
        RgbImage { pitch: usize::MAX, ..image },
    ] {
        let error = encoder.encode(&image, &options).unwrap_err();
        assert!(matches!(error, Error::PlaneDoesNotFit { .. }), "{error}");
    }
    for image in [RgbImage { width: 0, ..image }, RgbImage { height: 65536, ..image }] {
        let error = encoder.encode(&image, &options).unwrap_err();
        assert!(matches!(error, Error::Dimensions { .. }), "{error}");
    }
    encoder.encode(&image, &options).unwrap();
}
