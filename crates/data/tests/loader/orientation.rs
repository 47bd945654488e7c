//! Photographs that are stored otherwise than they are looked at.

use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
use image::{ImageBuffer, Rgb as Pixel, RgbImage};
use ocelli_cuda::Device;
use ocelli_data::augment::{Augmentation, Geometry, ImageSize, Orientation, host};
use ocelli_data::images::Rgb;
use ocelli_data::jpeg::Header;
use ocelli_data::loader::LoaderConfig;

use crate::support::{Difference, JPEG_LEVELS, Memory, elements, in_order, jpeg, levels, picture};

/// A JPEG file with EXIF's note of an orientation, the only entry of its directory.
pub(crate) fn with_orientation(file: &[u8], orientation: u8) -> Vec<u8> {
    // Big-endian; the directory at byte 8 has one entry: tag 0x0112, of one 16-bit number. No directory follows.
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
    exif.extend([0, orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&file[..2], &[0xff, 0xe1], &length, &exif, &file[2..]].concat()
}

/// The stored image as it is looked at; EXIF's numbers from 1 to 8.
fn looked_at(stored: &RgbImage, orientation: u8) -> RgbImage {
    match orientation {
        1 => stored.clone(),
        2 => flip_horizontal(stored),
        3 => rotate180(stored),
        4 => flip_vertical(stored),
        5 => rotate270(&flip_horizontal(stored)),
        6 => rotate90(stored),
        7 => rotate90(&flip_horizontal(stored)),
        _ => rotate270(stored),
    }
}

/// The whole image, unscaled, at the top left of a larger one.
const UNSCALED: Geometry = Geometry::PaddedCrop { height: 48, width: 48, padding: 0, cutout: 0 };

/// What becomes of an image under [`UNSCALED`].
fn on_canvas(image: &RgbImage) -> Vec<f32> {
    let pixel = |x, y| image.get_pixel_checked(x, y).copied().unwrap_or(Pixel([0; 3]));
    RgbImage::from_fn(48, 48, pixel).iter().map(|&level| level.into()).collect()
}

/// What the GPU is held against is held against other people's turning.
#[test]
fn the_host_undoes_what_exif_notes() {
    let file = jpeg(&picture(41, 24, 5));
    let stored = Rgb::decode(&file, "picture".as_ref()).unwrap();
    let picture: RgbImage = ImageBuffer::from_raw(41, 24, stored.pixels.clone()).unwrap();
    for number in 1..=8 {
        let header = Header::parse(&with_orientation(&file, number)).unwrap();
        assert_eq!(header.orientation, Some(number));
        let orientation = Orientation::from_exif(number).unwrap();
        let size = ImageSize { width: 41, height: 24, orientation };
        for (exif, expected) in [(false, picture.clone()), (true, looked_at(&picture, number))] {
            let drawn = Augmentation { exif, ..Augmentation::only(UNSCALED) }.draw(0, 0, 0, size);
            let found = host::apply(&drawn, &stored, &levels()).unwrap();
            let difference = Difference::between(&found, &on_canvas(&expected));
            assert!(difference.most < 0.01, "{number}, {exif}: {difference:?}");
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn orientations_are_undone_where_asked() {
    let device = Device::new(0).unwrap();
    let file = jpeg(&picture(41, 24, 5));
    let stored = Rgb::decode(&file, "picture".as_ref()).unwrap();
    let stored: RgbImage = ImageBuffer::from_raw(41, 24, stored.pixels).unwrap();
    let set = || Memory((1..=8).map(|orientation| with_orientation(&file, orientation)).collect());
    for (exif, hardware_share) in [(false, 1.0), (true, 1.0), (true, 0.0)] {
        let augmentation = Augmentation { exif, ..Augmentation::only(UNSCALED) };
        let config =
            LoaderConfig { augmentation, output: levels(), batch: 8, hardware_share, ..Default::default() };
        let loader = in_order(&device, set(), config);
        let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
        let found = elements(&device, &batch);
        for (orientation, found) in (1..=8).zip(found.chunks(48 * 48 * 3)) {
            let place = usize::from(orientation - 1);
            let original = batch.originals[place];
            assert_eq!((original.width, original.height), (41, 24));
            assert_eq!(original.orientation, Orientation::from_exif(orientation).unwrap());
            let expected = if exif { looked_at(&stored, orientation) } else { stored.clone() };
            let difference = Difference::between(found, &on_canvas(&expected));
            assert!(difference.most <= JPEG_LEVELS + 0.01, "{orientation}, {exif}: {difference:?}");
        }
    }
}

/// A decoded image in the cache keeps its orientation.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn orientations_outlast_the_cache() {
    let device = Device::new(0).unwrap();
    let file = jpeg(&picture(41, 24, 5));
    let set = Memory((1..=8).map(|orientation| with_orientation(&file, orientation)).collect());
    let augmentation =
        Augmentation { exif: true, ..Augmentation::only(Geometry::Resize { height: 40, width: 30 }) };
    let config = LoaderConfig {
        augmentation,
        output: levels(),
        batch: 8,
        decoded_cache: 1 << 20,
        ..Default::default()
    };
    let loader = in_order(&device, set, config);
    let epochs = [0, 1].map(|epoch| loader.epoch(epoch).unwrap().next().unwrap().unwrap());
    assert_eq!(loader.statistics().cached, 8);
    assert_eq!(elements(&device, &epochs[0]), elements(&device, &epochs[1]));
    assert_eq!(epochs[0].originals, epochs[1].originals);
}
