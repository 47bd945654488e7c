//! Headers of JPEG files, put together byte by byte.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use ocelli_data::jpeg::{
    Coding, ColourSpace, Component, Error, Header, Marker, Process, Reason, Route, Subsampling,
};

const SOI: [u8; 2] = [0xff, 0xd8];
const EOI: [u8; 2] = [0xff, 0xd9];
const JFIF: [u8; 14] = *b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0";
/// Three components sampled 420, as (identifier, factors, quantisation table).
const COLOUR: [[u8; 3]; 3] = [[1, 0x22, 0], [2, 0x11, 1], [3, 0x11, 1]];

fn segment(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).unwrap();
    [&[0xff, kind], &length.to_be_bytes()[..], payload].concat()
}

fn frame(kind: u8, precision: u8, [width, height]: [u16; 2], components: &[[u8; 3]]) -> Vec<u8> {
    let mut payload = vec![precision];
    payload.extend(height.to_be_bytes());
    payload.extend(width.to_be_bytes());
    payload.push(components.len() as u8);
    payload.extend(components.concat());
    segment(kind, &payload)
}

/// A scan of components with some data: a stuffed byte, the mark of a restart, fill.
fn scan(identifiers: &[u8]) -> Vec<u8> {
    let mut payload = vec![identifiers.len() as u8];
    payload.extend(identifiers.iter().flat_map(|&identifier| [identifier, 0]));
    payload.extend([0, 63, 0]);
    [segment(0xda, &payload), vec![1, 2, 0xff, 0, 3, 0xff, 0xd0, 4, 0xff, 0xff]].concat()
}

fn table(number: u8, value: u8) -> Vec<u8> {
    segment(0xdb, &[&[number], &[value; 64][..]].concat())
}

fn adobe(transform: u8) -> Vec<u8> {
    segment(0xee, &[b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat())
}

fn exif(little_endian: bool, orientation: u8) -> Vec<u8> {
    let tiff: &[u8] = if little_endian {
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"
    } else {
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01"
    };
    let value = if little_endian { [orientation, 0] } else { [0, orientation] };
    segment(0xe1, &[b"Exif\0\0", tiff, &value, &[0; 6]].concat())
}

fn file(parts: &[Vec<u8>]) -> Vec<u8> {
    [&SOI, &parts.concat()[..], &EOI].concat()
}

/// A file of one frame and one scan of all its components.
fn simple(kind: u8, precision: u8, components: &[[u8; 3]]) -> Vec<u8> {
    let identifiers: Vec<u8> = components.iter().map(|[identifier, ..]| *identifier).collect();
    file(&[frame(kind, precision, [32, 24], components), scan(&identifiers)])
}

/// A file with most of what a header may hold.
fn full() -> Vec<u8> {
    file(&[
        segment(0xe0, &JFIF),
        exif(true, 6),
        segment(0xfe, b"a comment with an end \xff\xd9 in it"),
        table(0, 1),
        table(1, 1),
        frame(0xc0, 8, [500, 375], &COLOUR),
        segment(0xc4, &[0; 17]),
        segment(0xdd, &[1, 4]),
        scan(&[1, 2, 3]),
    ])
}

fn parse(bytes: &[u8]) -> Header {
    Header::parse(bytes).unwrap()
}

fn error(bytes: &[u8]) -> Error {
    Header::parse(bytes).unwrap_err()
}

#[test]
fn all_that_a_header_says_is_read() {
    let header = parse(&full());
    assert_eq!((header.width, header.height, header.precision), (500, 375, 8));
    assert_eq!((header.process, header.coding), (Process::Baseline, Coding::Huffman));
    assert_eq!((header.subsampling, header.colour_space), (Subsampling::S420, ColourSpace::YCbCr));
    assert_eq!((header.orientation, header.restart_interval), (Some(6), 260));
    assert_eq!((header.interleaved, header.scans, header.complete), (true, 1, true));
    // Tables of ones are those of the highest quality.
    assert_eq!(header.quality, Some(100));
    let first = Component { identifier: 1, horizontal: 2, vertical: 2, table: 0 };
    assert_eq!((header.components()[0], header.components().len()), (first, 3));
    assert_eq!(header.route(), Route::Hardware);
}

#[test]
fn a_file_cut_short_anywhere_is_an_error_or_an_incomplete_header() {
    let whole = full();
    let header = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 4 + 10;
    for length in 0..whole.len() {
        match Header::parse(&whole[..length]) {
            Err(Error::NotJpeg) => assert!(length < 2),
            Err(Error::Truncated { offset, .. }) => {
                assert_eq!(offset, length);
                assert!((2..header).contains(&length), "{length}");
            }
            Ok(found) => {
                assert!(length >= header && !found.complete && found.width == 500, "{length}");
                assert_eq!(found.route(), Route::Host(Reason::Incomplete));
            }
            Err(other) => panic!("{length}: {other}"),
        }
    }
    let error = error(&whole[..40]);
    assert_eq!(error, Error::Truncated { offset: 40, segment: Marker(0xe1) });
    let message = error.to_string();
    assert!(message.contains("byte 40") && message.contains("APP1"), "{message}");
}

#[test]
fn any_byte_may_be_wrong() {
    let whole = full();
    for offset in 0..whole.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xc2, 0xd9, 0xda, 0xff] {
            let mut bytes = whole.clone();
            bytes[offset] = value;
            if let Ok(header) = Header::parse(&bytes) {
                assert!(header.width > 0 && header.height > 0);
                header.route();
            }
        }
    }
}

#[test]
fn frames_tell_process_coding_and_precision() {
    let cases = [
        (0xc0, Process::Baseline, Coding::Huffman),
        (0xc1, Process::Extended, Coding::Huffman),
        (0xc2, Process::Progressive, Coding::Huffman),
        (0xc3, Process::Lossless, Coding::Huffman),
        (0xc5, Process::Hierarchical, Coding::Huffman),
        (0xc7, Process::Hierarchical, Coding::Huffman),
        (0xc9, Process::Extended, Coding::Arithmetic),
        (0xca, Process::Progressive, Coding::Arithmetic),
        (0xcb, Process::Lossless, Coding::Arithmetic),
        (0xcd, Process::Hierarchical, Coding::Arithmetic),
    ];
    for (kind, process, coding) in cases {
        for precision in [8, 12] {
            let header = parse(&simple(kind, precision, &COLOUR));
            assert_eq!((header.process, header.coding, header.precision), (process, coding, precision));
        }
    }
}

#[test]
fn a_hierarchical_image_has_the_size_of_the_whole() {
    let parts =
        [frame(0xde, 8, [64, 48], &COLOUR), frame(0xc1, 8, [32, 24], &COLOUR), scan(&[1, 2, 3])].to_vec();
    let header = parse(&file(&parts));
    assert_eq!((header.width, header.height, header.process), (64, 48, Process::Hierarchical));
    assert_eq!(header.route(), Route::Host(Reason::Process(Process::Hierarchical)));
    let twice = file(&[parts[0].clone(), parts[0].clone()]);
    assert!(matches!(error(&twice), Error::SeveralFrames { offset: 21, segment: Marker(0xde) }));
}

#[test]
fn subsampling_is_the_ratio_of_the_factors() {
    let cases = [
        (0x11, 0x11, Subsampling::S444),
        (0x22, 0x22, Subsampling::S444),
        (0x21, 0x11, Subsampling::S422),
        (0x22, 0x12, Subsampling::S422),
        (0x22, 0x11, Subsampling::S420),
        (0x44, 0x22, Subsampling::S420),
        (0x12, 0x11, Subsampling::S440),
        (0x41, 0x11, Subsampling::S411),
        (0x42, 0x11, Subsampling::S410),
        (0x44, 0x11, Subsampling::Other),
        (0x31, 0x21, Subsampling::Other),
        (0x11, 0x22, Subsampling::Other),
    ];
    for (luminance, chroma, expected) in cases {
        let header = parse(&simple(0xc0, 8, &[[1, luminance, 0], [2, chroma, 1], [3, chroma, 1]]));
        assert_eq!(header.subsampling, expected, "{luminance:x}, {chroma:x}");
        let with_black = [[1, luminance, 0], [2, chroma, 1], [3, chroma, 1], [4, luminance, 0]];
        assert_eq!(parse(&simple(0xc0, 8, &with_black)).subsampling, expected);
    }
    let subsampling = |components: &[[u8; 3]]| parse(&simple(0xc0, 8, components)).subsampling;
    assert_eq!(subsampling(&[[1, 0x11, 0]]), Subsampling::Grey);
    assert_eq!(subsampling(&[[1, 0x22, 0]]), Subsampling::Grey);
    assert_eq!(subsampling(&[[1, 0x22, 0], [2, 0x22, 0]]), Subsampling::Other);
    assert_eq!(subsampling(&[[1, 0x22, 0], [2, 0x11, 0], [3, 0x21, 0]]), Subsampling::Other);
    let black = [[1, 0x22, 0], [2, 0x11, 0], [3, 0x11, 0], [4, 0x11, 0]];
    assert_eq!(subsampling(&black), Subsampling::Other);
}

#[test]
fn colour_space_is_inferred_as_decoders_do() {
    let named = |names: &[u8]| -> Vec<[u8; 3]> { names.iter().map(|&name| [name, 0x11, 0]).collect() };
    let space = |names: &[u8], before: &[Vec<u8>]| {
        let components = named(names);
        parse(&file(&[before.concat(), frame(0xc0, 8, [8, 8], &components), scan(names)])).colour_space
    };
    let jfif = segment(0xe0, &JFIF);
    assert_eq!(space(&[1], &[]), ColourSpace::Grey);
    assert_eq!(space(&[1], &[adobe(1)]), ColourSpace::Grey);
    assert_eq!(space(&[1, 2], &[]), ColourSpace::Unknown);
    assert_eq!(space(&[1, 2, 3], &[]), ColourSpace::YCbCr);
    assert_eq!(space(&[0, 1, 2], &[]), ColourSpace::YCbCr);
    assert_eq!(space(b"RGB", &[]), ColourSpace::Rgb);
    assert_eq!(space(b"RGB", std::slice::from_ref(&jfif)), ColourSpace::YCbCr);
    assert_eq!(space(&[1, 2, 3], &[adobe(0)]), ColourSpace::Rgb);
    assert_eq!(space(&[1, 2, 3], &[adobe(1)]), ColourSpace::YCbCr);
    assert_eq!(space(&[1, 2, 3], &[jfif, adobe(0)]), ColourSpace::YCbCr);
    assert_eq!(space(&[1, 2, 3, 4], &[]), ColourSpace::Cmyk);
    assert_eq!(space(&[1, 2, 3, 4], &[adobe(0)]), ColourSpace::Cmyk);
    assert_eq!(space(&[1, 2, 3, 4], &[adobe(2)]), ColourSpace::Ycck);
    // Too short to have a transform.
    assert_eq!(space(&[1, 2, 3], &[segment(0xee, b"Adobe\0\x64\0\0\0\0")]), ColourSpace::YCbCr);
}

#[test]
fn the_first_orientation_counts_in_either_byte_order() {
    for little_endian in [false, true] {
        let parts = [
            segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0"),
            exif(little_endian, 8),
            exif(!little_endian, 3),
            frame(0xc0, 8, [8, 8], &COLOUR),
            scan(&[1, 2, 3]),
        ];
        assert_eq!(parse(&file(&parts)).orientation, Some(8));
    }
    assert_eq!(parse(&simple(0xc0, 8, &COLOUR)).orientation, None);
}

#[test]
fn fill_bytes_may_come_before_any_marker() {
    let mut filled = SOI.to_vec();
    let parts = [segment(0xe0, &JFIF), frame(0xc0, 8, [8, 9], &COLOUR), scan(&[1, 2, 3]), EOI.to_vec()];
    for part in parts {
        filled.extend([0xff; 3]);
        filled.extend(part);
    }
    let header = parse(&filled);
    assert_eq!((header.width, header.height, header.complete), (8, 9, true));
}

#[test]
fn the_smallest_and_the_largest_sizes_are_read() {
    for size in [[1, 1], [65535, 1], [1, 65535], [65535, 65535]] {
        let header = parse(&file(&[frame(0xc0, 8, size, &COLOUR), scan(&[1, 2, 3])]));
        assert_eq!([header.width, header.height], size);
    }
    for size in [[0, 1], [1, 0], [0, 0]] {
        let [width, height] = size;
        let error = error(&file(&[frame(0xc0, 8, size, &COLOUR), scan(&[1, 2, 3])]));
        assert_eq!(error, Error::Dimensions { offset: 4, width, height });
    }
}

#[test]
fn scans_are_counted_up_to_the_end() {
    let parts = [frame(0xc2, 8, [8, 8], &COLOUR), scan(&[1, 2, 3]), segment(0xc4, &EOI), scan(&[1])];
    let header = parse(&file(&parts));
    assert_eq!((header.scans, header.complete, header.interleaved), (2, true, true));
    // The only mark of an end is in a segment between two scans.
    let cut = file(&parts);
    let header = parse(&cut[..cut.len() - 2]);
    assert_eq!((header.scans, header.complete), (2, false));
    // What comes after the end does not matter.
    let header = parse(&[&file(&parts)[..], &SOI, b"rest"].concat());
    assert_eq!((header.scans, header.complete), (2, true));
}

#[test]
fn routes_follow_from_headers() {
    let route = |bytes: &[u8]| parse(bytes).route();
    let grey = [[1, 0x22, 0]];
    assert_eq!(route(&simple(0xc0, 8, &COLOUR)), Route::Hardware);
    assert_eq!(route(&simple(0xc0, 8, &grey)), Route::Hardware);
    assert_eq!(route(&simple(0xc1, 8, &COLOUR)), Route::Cuda(Reason::Process(Process::Extended)));
    assert_eq!(route(&simple(0xc2, 8, &COLOUR)), Route::Cuda(Reason::Process(Process::Progressive)));
    for (factors, subsampling) in [(0x41, Subsampling::S411), (0x42, Subsampling::S410)] {
        let components = [[1, factors, 0], [2, 0x11, 1], [3, 0x11, 1]];
        assert_eq!(route(&simple(0xc0, 8, &components)), Route::Cuda(Reason::Subsampling(subsampling)));
    }
    let frame = |kind| frame(kind, 8, [8, 8], &COLOUR);
    let apart = file(&[frame(0xc0), scan(&[1]), scan(&[2]), scan(&[3])]);
    assert!(!parse(&apart).interleaved);
    assert_eq!(route(&apart), Route::Cuda(Reason::Scans(3)));
    assert_eq!(route(&file(&[frame(0xc0), scan(&[1])])), Route::Cuda(Reason::Scans(1)));

    assert_eq!(route(&simple(0xc1, 12, &COLOUR)), Route::Host(Reason::Precision(12)));
    assert_eq!(route(&simple(0xc9, 8, &COLOUR)), Route::Host(Reason::Coding(Coding::Arithmetic)));
    assert_eq!(route(&simple(0xc3, 8, &grey)), Route::Host(Reason::Process(Process::Lossless)));
    let four = [[1, 0x11, 0], [2, 0x11, 0], [3, 0x11, 0], [4, 0x11, 0]];
    let cmyk = simple(0xc0, 8, &four);
    assert_eq!(route(&cmyk), Route::Host(Reason::ColourSpace(ColourSpace::Cmyk)));
    let ycck = [&SOI, &adobe(2)[..], &cmyk[2..]].concat();
    assert_eq!(route(&ycck), Route::Host(Reason::ColourSpace(ColourSpace::Ycck)));
    let rgb = simple(0xc0, 8, &[[b'R', 0x11, 0], [b'G', 0x11, 0], [b'B', 0x11, 0]]);
    assert_eq!(route(&rgb), Route::Host(Reason::ColourSpace(ColourSpace::Rgb)));
    let uncommon = simple(0xc0, 8, &[[1, 0x11, 0], [2, 0x22, 0], [3, 0x22, 0]]);
    assert_eq!(route(&uncommon), Route::Host(Reason::Subsampling(Subsampling::Other)));
    assert_eq!(Reason::Scans(3).to_string(), "3 scans");
    assert_eq!(Reason::ColourSpace(ColourSpace::Cmyk).to_string(), "CMYK colours");
}

#[test]
fn what_is_no_jpeg_is_an_error() {
    for bytes in [&b""[..], &[0xff], b"\x89PNG\r\n\x1a\n", &[0xff, 0x4f, 0xff, 0x51], &[0, 0xff, 0xd8]] {
        assert_eq!(error(bytes), Error::NotJpeg);
    }
}

#[test]
fn what_begins_no_segment_is_an_error_with_its_place() {
    assert_eq!(error(&file(&[vec![0x41]])), Error::NoMarker { offset: 2, found: 0x41 });
    assert_eq!(error(&file(&[vec![0xff, 0]])), Error::NoMarker { offset: 3, found: 0 });
    assert_eq!(error(&file(&[SOI.to_vec()])), Error::NoMarker { offset: 3, found: 0xd8 });
    // Markers that stand alone are not wrong, if useless.
    let alone = [vec![0xff, 0xd3, 0xff, 0x01], simple(0xc0, 8, &COLOUR)[2..].to_vec()];
    assert_eq!(parse(&file(&alone)).width, 32);
}

#[test]
fn lengths_that_do_not_fit_are_errors_with_their_place() {
    let length = |offset, kind, length| Error::Length { offset, segment: Marker(kind), length };
    for short in [0, 1] {
        assert_eq!(error(&file(&[vec![0xff, 0xe0, 0, short]])), length(4, 0xe0, short.into()));
    }
    let mut long = frame(0xc0, 8, [8, 8], &COLOUR);
    long.push(0);
    long[3] += 1;
    assert_eq!(error(&file(&[long])), length(4, 0xc0, 18));
    assert_eq!(error(&file(&[segment(0xc0, &[8, 0, 8, 0, 8])])), length(4, 0xc0, 7));
    assert_eq!(error(&file(&[segment(0xdd, &[1])])), length(4, 0xdd, 3));
    assert_eq!(error(&file(&[segment(0xdb, &[0; 66])])), length(4, 0xdb, 68));
    assert_eq!(error(&file(&[segment(0xdb, &[&[0x10][..], &[1; 64]].concat())])), length(4, 0xdb, 67));
    let frame = frame(0xc0, 8, [8, 8], &COLOUR);
    for payload in [&[][..], &[0, 0, 63, 0], &[1, 1, 0], &[1, 1, 0, 0, 63], &[255, 1, 0, 0, 63, 0]] {
        let error = error(&file(&[frame.clone(), segment(0xda, payload)]));
        assert_eq!(error, length(23, 0xda, payload.len() as u16 + 2));
    }
}

#[test]
fn a_header_needs_one_frame_and_a_scan_of_it() {
    let frame = frame(0xc0, 8, [8, 8], &COLOUR);
    assert_eq!(error(&file(&[])), Error::NoFrame { offset: 2, segment: Marker(0xd9) });
    assert_eq!(error(&file(&[scan(&[1])])), Error::NoFrame { offset: 2, segment: Marker(0xda) });
    assert_eq!(error(&file(std::slice::from_ref(&frame))), Error::NoScan { offset: 21 });
    let several = error(&file(&[frame.clone(), frame.clone()]));
    assert_eq!(several, Error::SeveralFrames { offset: 21, segment: Marker(0xc0) });
    assert!(several.to_string().contains("SOF0"), "{several}");
    let stranger = error(&file(&[frame, scan(&[1, 7])]));
    assert_eq!(stranger, Error::ScanComponent { offset: 23, component: 7 });
}

#[test]
fn components_and_factors_out_of_range_are_errors() {
    for count in [0usize, 5, 255] {
        let components = vec![[1, 0x11, 0]; count];
        let error = error(&file(&[frame(0xc0, 8, [8, 8], &components)]));
        assert_eq!(error, Error::Components { offset: 4, count: count as u8 });
    }
    for factors in [0x00, 0x01, 0x10, 0x15, 0x51, 0xff] {
        let (horizontal, vertical) = (factors >> 4, factors & 15);
        let error = error(&file(&[frame(0xc0, 8, [8, 8], &[[9, factors, 0]])]));
        assert_eq!(error, Error::SamplingFactors { offset: 4, component: 9, horizontal, vertical });
    }
}

#[test]
fn tables_out_of_range_are_errors_and_missing_ones_have_no_quality() {
    let second = [&[0][..], &[1; 64], &[4], &[1; 64]].concat();
    let error = error(&file(&[segment(0xdb, &second)]));
    assert_eq!(error, Error::QuantisationTable { offset: 71, precision: 0, number: 4 });
    let header = parse(&simple(0xc0, 8, &COLOUR));
    assert_eq!((header.quality, header.nearest_quality()), (None, None));
    let wide: Vec<u8> = [0u8, 1].into_iter().cycle().take(128).collect();
    let both = segment(0xdb, &[&[0x10], &wide[..], &[1], &[1; 64]].concat());
    let header = parse(&file(&[both, frame(0xc1, 8, [8, 8], &COLOUR), scan(&[1, 2, 3])]));
    assert_eq!(header.quality, Some(100));
}

#[test]
fn qualities_of_an_encoder_are_found_again() {
    let pixels: Vec<u8> = (0..16 * 16 * 3).map(|value| (value * 7 % 256) as u8).collect();
    for quality in 1..=100 {
        let mut bytes = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
        encoder.write_image(&pixels, 16, 16, ExtendedColorType::Rgb8).unwrap();
        let header = parse(&bytes);
        assert_eq!(header.quality, Some(quality));
        assert!(header.complete && header.route() == Route::Hardware);
    }
}
