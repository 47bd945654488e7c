//! Any bytes, read as a mask's runs: an answer, never a panic; what is accepted comes back when it is written, and covers
//! its image.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_annotations::Segmentation;
use ocelli_annotations::segmentation::rle::Rle;

fuzz_target!(|input: (u32, u32, &[u8])| {
    let (height, width, bytes) = input;
    // Small images, which a few bytes can cover, half of the time.
    let (height, width) = if height % 2 == 0 { (height % 64, width % 64) } else { (height, width) };
    if let Ok(rle) = Rle::from_compressed(height, width, bytes) {
        let pixels: u64 = rle.counts().iter().map(|&count| u64::from(count)).sum();
        assert_eq!(pixels, u64::from(height) * u64::from(width));
        assert_eq!(Rle::from_compressed(height, width, rle.to_compressed().as_bytes()).as_ref(), Ok(&rle));
        if let Some(mask) = rle.to_mask() {
            assert_eq!(mask.iter().filter(|&&inside| inside).count() as u64, rle.area());
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(segmentation) = Segmentation::from_json(text)
    {
        assert_eq!(Segmentation::from_json(&segmentation.to_json()), Ok(segmentation));
    }
});
