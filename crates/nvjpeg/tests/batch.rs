//! Batches on every backend, held against another decoder.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use ocelli_cuda::{Device, Stream};
use ocelli_nvjpeg::{
    Backend, BatchDecoder, BatchDecoderConfig, BatchImage, Bitstream, Error, Frame, Nvjpeg, NvjpegConfig,
    OutputFormat, PinnedImage, Plane, Subsampling,
};
use support::{Picture, assert_near, library, planes, read, segment};

const HOST_BACKENDS: [Backend; 4] =
    [Backend::Default, Backend::Hybrid, Backend::GpuHybrid, Backend::Hardware];
const FORMATS: [OutputFormat; 4] =
    [OutputFormat::RgbInterleaved, OutputFormat::Rgb, OutputFormat::Yuv, OutputFormat::Y];
/// Sides from a pixel to several blocks, odd ones among them.
const SIZES: [(u32, u32); 6] = [(64, 48), (1, 1), (17, 9), (333, 251), (8, 200), (640, 480)];

/// `count` files of various sizes and pictures, in an order and with pictures that depend on the seed.
fn files(count: usize, seed: u32) -> Vec<Vec<u8>> {
    let of = |index: usize| {
        let (width, height) = SIZES[(index + seed as usize) % SIZES.len()];
        Picture::new(width, height, seed + index as u32).file()
    };
    (0..count).map(of).collect()
}

/// Decodes whole images into poisoned planes, and holds them against another decoder.
fn decode_and_compare(
    device: &Device,
    decoder: &mut BatchDecoder,
    files: &[Vec<u8>],
    stream: &Stream,
    gap: usize,
    what: &str,
) {
    let format = decoder.config().format;
    let pictures: Vec<Picture> = files.iter().map(|file| Picture::decoded(file)).collect();
    let sizes: Vec<_> =
        pictures.iter().map(|picture| format.plane_sizes(&picture.frame(), None).unwrap()).collect();
    let destinations: Vec<_> = sizes.iter().map(|sizes| planes(device, sizes, gap)).collect();
    let images: Vec<_> = files
        .iter()
        .zip(&pictures)
        .zip(&destinations)
        .map(|((bytes, picture), planes)| BatchImage { bytes, frame: picture.frame(), planes })
        .collect();
    decoder.decode(&images, stream).unwrap_or_else(|error| panic!("{what}: {error}"));
    stream.synchronize().unwrap();
    for ((picture, planes), sizes) in pictures.iter().zip(&destinations).zip(&sizes) {
        let what = format!("{what}, {} x {}", picture.width, picture.height);
        assert_near(&read(stream, planes, sizes), &picture.planes(format), 3, 1.0, &what);
    }
}

#[test]
fn the_files_are_what_the_tests_take_them_for() {
    for (width, height) in SIZES {
        let picture = Picture::new(width, height, 1);
        let file = picture.file();
        let (start, end) = segment(&file, 0xc0);
        let frame = &file[start..end];
        assert_eq!(
            frame[5..9],
            [height.to_be_bytes(), width.to_be_bytes()].map(|side| [side[2], side[3]]).concat()
        );
        // Three components, sampled alike.
        assert_eq!([frame[9], frame[11], frame[14], frame[17]], [3, 0x11, 0x11, 0x11]);
        let decoded = Picture::decoded(&file);
        for format in FORMATS {
            let what = format!("{format:?}, {width} x {height}");
            assert_near(&decoded.planes(format), &picture.planes(format), 12, 2.5, &what);
        }
        // What comes after an error is told by pictures that differ.
        assert_ne!(decoded.rgb, Picture::decoded(&Picture::new(width, height, 2).file()).rgb);
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn every_backend_and_format_decodes_what_another_decoder_does() {
    let device = Device::new(0).unwrap();
    for backend in HOST_BACKENDS {
        let Some(library) = library(&device, backend) else { continue };
        for format in FORMATS {
            let config = BatchDecoderConfig { format, host_threads: 2 };
            let mut decoder = BatchDecoder::new(&library, config).unwrap();
            let what = format!("{backend:?}, {format:?}");
            // Batches of more than 50 go another way on the hybrid backend of the GPU.
            for (batch, count) in [6, 6, 1, 13, 64, 2].into_iter().enumerate() {
                let files = files(count, batch as u32);
                decode_and_compare(&device, &mut decoder, &files, device.stream(), 0, &what);
            }
        }
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn rows_may_be_further_apart_than_they_are_long() {
    let device = Device::new(0).unwrap();
    for backend in HOST_BACKENDS {
        let Some(library) = library(&device, backend) else { continue };
        for format in FORMATS {
            let config = BatchDecoderConfig { format, ..Default::default() };
            let mut decoder = BatchDecoder::new(&library, config).unwrap();
            let what = format!("{backend:?}, {format:?}, with gaps");
            decode_and_compare(&device, &mut decoder, &files(7, 3), device.stream(), 13, &what);
        }
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn memory_allocated_beforehand_serves_batches_up_to_its_size() {
    let device = Device::new(0).unwrap();
    for backend in HOST_BACKENDS {
        let Some(library) = library(&device, backend) else { continue };
        for format in [OutputFormat::RgbInterleaved, OutputFormat::Yuv] {
            let config = BatchDecoderConfig { format, ..Default::default() };
            let mut decoder = BatchDecoder::new(&library, config).unwrap();
            let largest = Frame { width: 640, height: 480, components: 3, subsampling: Subsampling::S444 };
            decoder.allocate(6, &largest).unwrap();
            for count in [6, 2] {
                let what = format!("{backend:?}, {format:?}, allocated");
                decode_and_compare(&device, &mut decoder, &files(count, 1), device.stream(), 0, &what);
            }
        }
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn threads_share_the_library_with_a_decoder_and_a_stream_each() {
    let device = Device::new(0).unwrap();
    for backend in HOST_BACKENDS {
        let Some(library) = library(&device, backend) else { continue };
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (device, library) = (&device, &library);
                scope.spawn(move || {
                    let stream = device.new_stream().unwrap();
                    let mut decoder = BatchDecoder::new(library, BatchDecoderConfig::default()).unwrap();
                    for _ in 0..5 {
                        let what = format!("{backend:?}, a thread's");
                        decode_and_compare(device, &mut decoder, &files(9, seed), &stream, 0, &what);
                    }
                });
            }
        });
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn a_file_cut_short_fails_its_batch_and_the_next_is_decoded() {
    let device = Device::new(0).unwrap();
    let picture = Picture::new(64, 48, 5);
    let file = picture.file();
    let size = OutputFormat::RgbInterleaved.plane_sizes(&picture.frame(), None).unwrap();
    let (_, frame_end) = segment(&file, 0xc0);
    let (scan_start, scan_end) = segment(&file, 0xda);
    for backend in HOST_BACKENDS {
        let Some(library) = library(&device, backend) else { continue };
        let mut decoder = BatchDecoder::new(&library, BatchDecoderConfig::default()).unwrap();
        // There is no scan in any of these files; in the last two there is a header to read.
        for length in [0, 1, 2, 30, frame_end, scan_start] {
            let destinations: Vec<_> = (0..3).map(|_| planes(&device, &size, 0)).collect();
            let image = |index: usize| {
                let bytes = if index == 1 { &file[..length] } else { &file[..] };
                BatchImage { bytes, frame: picture.frame(), planes: &destinations[index] }
            };
            let decoded = decoder.decode(&[image(0), image(1), image(2)], device.stream());
            let Err(error) = decoded.and_then(|()| Ok(device.stream().synchronize()?)) else {
                panic!("{backend:?}: {length} bytes of a file were decoded");
            };
            println!("{backend:?}, {length} bytes: {error}");
            if length <= 30 {
                assert!(matches!(error, Error::Image { index: 1, .. }), "{error}");
            }
            let what = format!("{backend:?}, after {length} bytes of a file");
            decode_and_compare(&device, &mut decoder, &files(3, 2), device.stream(), 0, &what);
        }
        // Within a scan, a backend may make do with what is there; whatever it does, the next batch is decoded.
        for length in [scan_end, scan_end + 20, (scan_end + file.len()) / 2, file.len() - 2] {
            let destination = planes(&device, &size, 0);
            let bytes = &file[..length];
            let image = BatchImage { bytes, frame: picture.frame(), planes: &destination };
            let decoded = decoder.decode(&[image], device.stream());
            println!("{backend:?}, {length} of {} bytes: {decoded:?}", file.len());
            let what = format!("{backend:?}, after {length} bytes of a file");
            decode_and_compare(&device, &mut decoder, &files(1, 2), device.stream(), 0, &what);
        }
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn planes_that_do_not_fit_the_file_are_errors_before_anything_is_written() {
    let device = Device::new(0).unwrap();
    let library = Nvjpeg::new(&device, Backend::Hybrid, NvjpegConfig::default()).unwrap();
    let mut decoder = BatchDecoder::new(&library, BatchDecoderConfig::default()).unwrap();
    let picture = Picture::new(64, 48, 5);
    let (file, frame) = (picture.file(), picture.frame());
    let sizes = OutputFormat::RgbInterleaved.plane_sizes(&frame, None).unwrap();
    let whole = planes(&device, &sizes, 0);
    let source = |decoder: &mut BatchDecoder, frame: Frame, planes: &[Plane]| {
        let image = BatchImage { bytes: &file, frame, planes };
        match decoder.decode(&[image], device.stream()).unwrap_err() {
            Error::Image { index: 0, source } => *source,
            error => panic!("{error}"),
        }
    };

    for other in [
        Frame { width: 63, ..frame },
        Frame { height: 49, ..frame },
        Frame { components: 1, ..frame },
        Frame { subsampling: Subsampling::S420, ..frame },
    ] {
        let error = source(&mut decoder, other, &whole);
        assert!(
            matches!(error, Error::FrameMismatch { expected, found } if expected == other && found == frame),
            "{error}"
        );
    }
    let error = source(&mut decoder, frame, &[]);
    assert!(matches!(error, Error::PlaneCount { expected: 1, found: 0, .. }), "{error}");
    for (offset, pitch) in [(whole[0].buffer.len(), 192), (0, 191), (0, 1 << 20), (usize::MAX, 192)] {
        let mut small = whole.clone();
        (small[0].offset, small[0].pitch) = (offset, pitch);
        let error = source(&mut decoder, frame, &small);
        assert!(matches!(error, Error::PlaneDoesNotFit { plane: 0, .. }), "{error}");
    }
    device.synchronize().unwrap();
    let written = read(device.stream(), &whole, &sizes);
    assert!(written[0].iter().all(|&byte| byte == written[0][0]), "something was written");

    decoder.decode(&[], device.stream()).unwrap();
    decode_and_compare(
        &device,
        &mut decoder,
        std::slice::from_ref(&file),
        device.stream(),
        0,
        "after the errors",
    );
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn settings_that_make_no_sense_are_errors() {
    let device = Device::new(0).unwrap();
    let library = Nvjpeg::new(&device, Backend::Hybrid, NvjpegConfig::default()).unwrap();
    for host_threads in [0, u32::MAX] {
        let config = BatchDecoderConfig { host_threads, ..Default::default() };
        assert!(matches!(BatchDecoder::new(&library, config), Err(Error::Setting { .. })));
    }
    let mut decoder = BatchDecoder::new(&library, BatchDecoderConfig::default()).unwrap();
    let nothing = Frame { width: 0, height: 1, components: 3, subsampling: Subsampling::S444 };
    assert!(matches!(decoder.allocate(1, &nothing), Err(Error::Dimensions { .. })));
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn files_in_page_locked_memory_are_decoded_and_come_back() {
    let device = Device::new(0).unwrap();
    for backend in [Backend::Hybrid, Backend::Hardware] {
        let Some(library) = library(&device, backend) else { continue };
        let mut decoder = BatchDecoder::new(&library, BatchDecoderConfig::default()).unwrap();
        let mut bitstream = Bitstream::new(&library).unwrap();
        let pictures: Vec<Picture> = (0..9).map(|seed| Picture::new(40 + seed, 30, seed)).collect();
        let mut pinned = |file: &[u8]| {
            let mut memory = device.alloc_pinned(file.len() + 100).unwrap();
            memory.as_mut_slice()[..file.len()].copy_from_slice(file);
            bitstream.parse_pinned(memory, file.len(), &library)
        };
        let mut kept = 0;
        for round in 0..3 {
            let mut destinations = Vec::new();
            let images = pictures.iter().map(|picture| {
                let file = pinned(&picture.file()).unwrap();
                assert_eq!(file.bytes(), picture.file());
                let sizes = OutputFormat::RgbInterleaved.plane_sizes(&file.frame(), None).unwrap();
                let planes = planes(&device, &sizes, 0);
                destinations.push((planes.clone(), sizes));
                PinnedImage { file, planes }
            });
            let images: Vec<PinnedImage> = images.collect();
            let before = decoder.decode_pinned(images, device.stream()).map_err(|(error, _)| error).unwrap();
            assert_eq!(before.len(), kept, "round {round}");
            kept = pictures.len();
            device.stream().synchronize().unwrap();
            for (picture, (planes, sizes)) in pictures.iter().zip(&destinations) {
                let expected = Picture::decoded(&picture.file());
                assert_near(
                    &read(device.stream(), planes, sizes),
                    &[expected.rgb],
                    3,
                    1.0,
                    &format!("{backend:?}"),
                );
            }
        }
        assert_eq!(decoder.finish().unwrap().len(), kept);
        assert!(decoder.finish().unwrap().is_empty());

        // A file that is cut short is no file; its memory comes back.
        let file = pictures[0].file();
        let (memory, error) = pinned(&file[..20]).unwrap_err();
        let is_of_the_file = error.is_bad_image() || matches!(error, Error::Dimensions { .. });
        assert!(memory.len() >= 20 && is_of_the_file, "{error}");
        // Planes that do not fit fail the batch, and the files come back.
        let file = pinned(&file).unwrap();
        let planes = vec![Plane { buffer: device.alloc(10).unwrap(), offset: 0, pitch: 120 }];
        let (error, images) =
            decoder.decode_pinned(vec![PinnedImage { file, planes }], device.stream()).unwrap_err();
        assert!(matches!(error, Error::Image { index: 0, .. }) && images.len() == 1, "{error}");
    }
}
