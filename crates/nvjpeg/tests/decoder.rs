//! Single images in two phases, held against another decoder; and what nvJPEG tells of a file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use ocelli_cuda::Device;
use ocelli_nvjpeg::{
    Backend, Bitstream, Coding, Decoder, DecoderConfig, Error, Huffman, Nvjpeg, NvjpegConfig, OutputFormat,
    Subsampling,
};
use support::{Picture, assert_near, library, planes, read, segment};

const FORMATS: [OutputFormat; 4] =
    [OutputFormat::RgbInterleaved, OutputFormat::Rgb, OutputFormat::Yuv, OutputFormat::Y];

fn hybrid(device: &Device) -> Nvjpeg {
    Nvjpeg::new(device, Backend::Hybrid, NvjpegConfig::default()).unwrap()
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn images_in_two_phases_overlap_and_are_what_another_decoder_makes_of_them() {
    let device = Device::new(0).unwrap();
    let library = hybrid(&device);
    let stream = device.new_stream().unwrap();
    for huffman in [Huffman::Host, Huffman::Device] {
        for format in FORMATS {
            let config = DecoderConfig { huffman, format, allow_cmyk: false };
            let mut decoder = Decoder::new(&library, config).unwrap();
            // Large and small in turns, so that a page that is taken too early shows.
            let sides =
                [(1500, 1100), (16, 16), (1, 1), (900, 701), (17, 9), (1500, 1100), (640, 480), (33, 1)];
            let mut images = Vec::new();
            for (seed, (width, height)) in (0..).zip(sides) {
                let file = Picture::new(width, height, seed).file();
                let decoded = decoder.host(&file, None).unwrap();
                assert_eq!((decoded.frame().width, decoded.frame().height), (width, height));
                let sizes = decoded.plane_sizes().unwrap();
                let planes = planes(&device, &sizes, 5 * seed as usize);
                decoded.device(&planes, &stream).unwrap();
                images.push((Picture::decoded(&file), sizes, planes));
            }
            stream.synchronize().unwrap();
            for (picture, sizes, planes) in images {
                let what = format!("{huffman:?}, {format:?}, {} x {}", picture.width, picture.height);
                assert_near(&read(&stream, &planes, &sizes), &picture.planes(format), 3, 1.0, &what);
            }
        }
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn an_image_that_fails_or_is_forgotten_does_not_harm_the_next() {
    let device = Device::new(0).unwrap();
    let library = hybrid(&device);
    let mut decoder = Decoder::new(&library, DecoderConfig::default()).unwrap();
    let (file, other) = (Picture::new(90, 70, 1).file(), Picture::new(50, 170, 2).file());
    let (_, frame_end) = segment(&file, 0xc0);
    for length in [0, 1, 2, 30, frame_end] {
        let error = decoder.host(&file[..length], None).unwrap_err();
        assert!(error.is_bad_image() || matches!(error, Error::Status { .. }), "{length}: {error}");
    }
    // Forgotten after the host's phase, and refused at the device's.
    drop(decoder.host(&other, None).unwrap());
    let error = decoder.host(&other, None).unwrap().device(&[], device.stream()).unwrap_err();
    assert!(matches!(error, Error::PlaneCount { expected: 1, found: 0, .. }), "{error}");

    let decoded = decoder.host(&file, None).unwrap();
    let sizes = decoded.plane_sizes().unwrap();
    let planes = planes(&device, &sizes, 0);
    decoded.device(&planes, device.stream()).unwrap();
    // Dropped while the device may still work: it waits.
    drop(decoder);
    let expected = Picture::decoded(&file).planes(OutputFormat::RgbInterleaved);
    assert_near(&read(device.stream(), &planes, &sizes), &expected, 3, 1.0, "after the errors");
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn a_bitstream_tells_what_a_file_holds() {
    let device = Device::new(0).unwrap();
    let library = hybrid(&device);
    let mut bitstream = Bitstream::new(&library).unwrap();
    for (width, height) in [(1, 1), (17, 9), (640, 480)] {
        let picture = Picture::new(width, height, 3);
        let file = picture.file();
        assert_eq!(library.read_frame(&file).unwrap(), picture.frame());
        let parsed = bitstream.parse(&file).unwrap();
        assert_eq!(parsed.frame, picture.frame());
        assert_eq!(parsed.coding, Coding::Baseline);
        assert!(parsed.precision.is_none_or(|bits| bits == 8));
        assert!(parsed.is_supported_by(&library).unwrap());
    }
    let file = Picture::new(40, 30, 1).file();
    let (_, frame_end) = segment(&file, 0xc0);
    for length in [0, 1, 2, 30, frame_end] {
        assert!(bitstream.parse(&file[..length]).is_err(), "{length}");
    }
    for garbage in [&b""[..], b"not a JPEG file", &[0xff; 100], &[0; 100]] {
        assert!(library.read_frame(garbage).is_err() && bitstream.parse(garbage).is_err());
    }
    assert_eq!(bitstream.parse(&file).unwrap().frame.subsampling, Subsampling::S444);
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn the_engines_are_counted_where_there_are_some() {
    let device = Device::new(0).unwrap();
    let engines = hybrid(&device).hardware_engines().unwrap();
    println!("{engines:?}");
    assert_eq!(engines.is_some(), library(&device, Backend::Hardware).is_some());
    assert!(engines.is_none_or(|engines| (1..1000).contains(&engines.images_at_once())), "{engines:?}");
}
