//! Regions of images, held against another decoder.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use ocelli_cuda::Device;
use ocelli_nvjpeg::{Backend, Decoder, DecoderConfig, Error, Huffman, Region};
use support::{Picture, assert_near, library, planes, read};

/// At the corners of a picture of 200 x 150 pixels, in the middle, all of it.
const REGIONS: [Region; 5] = [
    Region { x: 0, y: 0, width: 31, height: 17 },
    Region { x: 169, y: 133, width: 31, height: 17 },
    Region { x: 40, y: 24, width: 64, height: 64 },
    Region { x: 77, y: 51, width: 1, height: 1 },
    Region { x: 0, y: 0, width: 200, height: 150 },
];

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn single_images_may_be_decoded_in_part() {
    let device = Device::new(0).unwrap();
    let library = library(&device, Backend::Hybrid).unwrap();
    let file = Picture::new(200, 150, 6).file();
    let expected = Picture::decoded(&file);
    for huffman in [Huffman::Host, Huffman::Device] {
        let config = DecoderConfig { huffman, ..Default::default() };
        let mut decoder = Decoder::new(&library, config).unwrap();
        for region in REGIONS.map(Some).into_iter().chain([None]) {
            let decoded = decoder.host(&file, region).unwrap();
            let sizes = decoded.plane_sizes().unwrap();
            let planes = planes(&device, &sizes, 0);
            decoded.device(&planes, device.stream()).unwrap();
            let part = region.map_or(expected.clone(), |region| expected.crop(region));
            let found = read(device.stream(), &planes, &sizes);
            assert_near(&found, &[part.rgb], 3, 1.0, &format!("{huffman:?}, {region:?}"));
        }
        let outside = Region { x: 0, y: 150, width: 1, height: 1 };
        assert!(matches!(decoder.host(&file, Some(outside)), Err(Error::InvalidRegion { .. })));
    }
}
