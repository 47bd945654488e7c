//! Kinds of image files that are rare, and right: where one decoder does not take them, another does.

use image::{ImageBuffer, Rgb as Pixel, RgbImage};
use ocelli_cuda::Device;
use ocelli_data::augment::{Augmentation, Geometry};
use ocelli_data::images::Rgb;
use ocelli_data::jpeg::{Coding, ColourSpace, Header, Process, Reason, Route, Subsampling};
use ocelli_data::loader::{DecodedForm, LoaderConfig};

use crate::support::{
    Difference, JPEG_LEVELS, Memory, compare, elements, expected, grey_jpeg, has_engines, in_order, jpeg,
    levels, picture, png,
};

const PROGRESSIVE: &[u8] = include_bytes!("../golden/jpeg/progressive.jpg");
const PROGRESSIVE_GREY: &[u8] = include_bytes!("../golden/jpeg/progressive-grey.jpg");
const RESTART: &[u8] = include_bytes!("../golden/jpeg/restart.jpg");
const S420: &[u8] = include_bytes!("../golden/jpeg/s420.jpg");
const S422: &[u8] = include_bytes!("../golden/jpeg/s422.jpg");
const PLAIN_S420: &[u8] = include_bytes!("../golden/jpeg/plain-s420.jpg");
pub(crate) const CMYK: &[u8] = include_bytes!("../golden/jpeg/cmyk.jpg");
const YCCK: &[u8] = include_bytes!("../golden/jpeg/ycck.jpg");
const RGB: &[u8] = include_bytes!("../golden/jpeg/rgb.jpg");

/// Where a file's frame begins: the 0xff of its marker. Then follow the marker, two bytes of length, the precision, two bytes
/// each of height and width, the number of components, and for each of those its name, its sampling and its table.
pub(crate) fn frame(file: &[u8]) -> usize {
    file.windows(2).position(|pair| matches!(pair, [0xff, 0xc0 | 0xc2])).unwrap()
}

/// A file of one colour whose differences have a quarter of the columns. One of half the columns and rows has as many blocks
/// in a unit, so that its scan can be told anew: twice as wide, half as high.
fn plain_s411() -> Vec<u8> {
    let mut file = PLAIN_S420.to_vec();
    let at = frame(&file);
    file[at + 5..at + 9].copy_from_slice(&[0, 16, 0, 128]);
    assert_eq!(file[at + 11], 0x22);
    file[at + 11] = 0x41;
    file
}

fn wide_png() -> Vec<u8> {
    let wide: ImageBuffer<Pixel<u16>, Vec<u16>> =
        ImageBuffer::from_fn(37, 29, |x, y| Pixel([x as u16 * 1700, y as u16 * 2100, 40_000]));
    png(wide)
}

/// Files, and the route of each; none of what is no JPEG file.
fn rare() -> Vec<(&'static str, Vec<u8>, Option<Route>)> {
    let hardware = Some(Route::Hardware);
    let cuda = |reason| Some(Route::Cuda(reason));
    let host = |reason| Some(Route::Host(reason));
    vec![
        ("progressive", PROGRESSIVE.to_vec(), cuda(Reason::Process(Process::Progressive))),
        ("progressive, grey", PROGRESSIVE_GREY.to_vec(), cuda(Reason::Process(Process::Progressive))),
        ("grey", grey_jpeg(&picture(53, 47, 3)), hardware),
        ("restart markers", RESTART.to_vec(), hardware),
        ("411", plain_s411(), cuda(Reason::Subsampling(Subsampling::S411))),
        ("CMYK", CMYK.to_vec(), host(Reason::ColourSpace(ColourSpace::Cmyk))),
        ("YCCK", YCCK.to_vec(), host(Reason::ColourSpace(ColourSpace::Ycck))),
        ("RGB", RGB.to_vec(), host(Reason::ColourSpace(ColourSpace::Rgb))),
        ("a single pixel", jpeg(&picture(1, 1, 0)), hardware),
        ("a single column", jpeg(&picture(1, 70, 0)), hardware),
        ("very wide", jpeg(&picture(20_000, 3, 0)), hardware),
        ("16 bits", wide_png(), None),
        ("a single pixel, lossless", png(picture(1, 1, 9)), None),
    ]
}

#[test]
fn files_are_of_the_kinds_that_they_are_named_for() {
    for (name, file, route) in rare() {
        assert_eq!(Header::parse(&file).ok().map(|header| header.route()), route, "{name}");
        let decoded = Rgb::decode(&file, name.as_ref()).unwrap();
        assert!(decoded.pixels.iter().any(|&level| level > 40), "{name}");
    }
    assert_eq!(Header::parse(RESTART).unwrap().restart_interval, 3);
    assert_eq!(Header::parse(S420).unwrap().subsampling, Subsampling::S420);
    assert_eq!(Header::parse(S422).unwrap().subsampling, Subsampling::S422);
    assert_eq!(Header::parse(CMYK).unwrap().coding, Coding::Huffman);
}

fn config(hardware_share: f32) -> LoaderConfig {
    LoaderConfig {
        batch: 5,
        // Not scaled, or a wide image would be of one colour.
        augmentation: Augmentation::only(Geometry::PaddedCrop {
            height: 60,
            width: 70,
            padding: 3,
            cutout: 0,
        }),
        output: levels(),
        hardware_share,
        workers: 3,
        ..LoaderConfig::default()
    }
}

/// Each decoder, and each form in which the engines decode.
fn decoders() -> [LoaderConfig; 3] {
    [(0.0, DecodedForm::default()), (1.0, DecodedForm::Planes), (1.0, DecodedForm::Rgb)]
        .map(|(hardware_share, decoded)| LoaderConfig { decoded, ..config(hardware_share) })
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn rare_kinds_are_what_the_host_makes_of_them() {
    let device = Device::new(0).unwrap();
    let set = || Memory(rare().into_iter().map(|(_, file, _)| file).collect());
    for config in decoders() {
        let loader = in_order(&device, set(), config);
        for batch in loader.epoch(0).unwrap() {
            compare(&device, &batch.unwrap(), &set());
        }
        let statistics = loader.statistics();
        assert_eq!((statistics.images(), statistics.damaged), (rare().len() as u64, 0));
        // At least CMYK, YCCK, RGB and the two that are no JPEG.
        assert!(statistics.host >= 5, "{statistics:?}");
        assert!(statistics.cuda >= 3, "{statistics:?}");
    }
}

/// Decoders scale colour differences up each in its way: the images are alike, not equal.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn coarse_colour_differences_are_scaled_up() {
    let device = Device::new(0).unwrap();
    let set = || Memory(vec![S420.to_vec(), S422.to_vec()]);
    for config in decoders() {
        let loader = in_order(&device, set(), config);
        let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
        let difference = Difference::between(&elements(&device, &batch), &expected(&batch, &set()).concat());
        // The next difference of such waves is some levels away.
        assert!(difference.most < 12.0 && difference.mean < 2.5, "{difference:?}");
    }
}

/// The engines and CUDA decode the same file to nearly the same pixels.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn shares_of_the_engines_differ_by_rounding_and_are_the_same_each_time() {
    let device = Device::new(0).unwrap();
    let pictures: Vec<RgbImage> = (0..40).map(|seed| picture(50 + seed, 90 - seed, seed)).collect();
    let set = || Memory(pictures.iter().map(jpeg).collect());
    let decode = |share: f32| {
        let loader = in_order(&device, set(), LoaderConfig { batch: 40, ..config(share) });
        let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
        (elements(&device, &batch), loader.statistics())
    };
    let (none, statistics) = decode(0.0);
    let has_engines = has_engines(&device);
    assert_eq!((statistics.hardware, statistics.cuda, statistics.host), (0, 40, 0));
    for share in [0.0, 0.5, 1.0] {
        let (images, statistics) = decode(share);
        assert_eq!((statistics.hardware + statistics.cuda, statistics.host), (40, 0));
        let expected = if has_engines { (40.0 * share) as i64 } else { 0 };
        assert!((statistics.hardware as i64 - expected).abs() <= 3, "{statistics:?} for {share}");
        assert!(decode(share).0 == images, "a share of {share} is not the same twice");
        let difference = Difference::between(&images, &none);
        assert!(difference.most <= JPEG_LEVELS + 0.01, "{difference:?} for {share}");
    }
}
