//! The rule of `tests/golden/resnets.py`: weights and inputs that need no file.

use ocelli::prelude::*;

/// `count` numbers in `-1.0..1.0` that belong to a name.
pub(crate) fn uniform(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let start = u64::from(crc32(name.as_bytes())).wrapping_mul(GOLDEN_RATIO);
    (0..count as u64).map(move |i| {
        let z = start.wrapping_add(i).wrapping_add(GOLDEN_RATIO);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let z = z ^ (z >> 31);
        // 24 bits: exact in f32.
        (z >> 40) as f32 / 8_388_608.0 - 1.0
    })
}

const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// The checksum of zip and PNG files.
fn crc32(bytes: &[u8]) -> u32 {
    let shift = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), shift))
}

/// Gives all parameters and buffers the rule's values.
pub(crate) fn fill(params: &Params) {
    for state in params.all() {
        let (name, shape) = (state.name(), state.ty().shape);
        let (owner, leaf) = name.rsplit_once('.').unwrap();
        let values = uniform(name, shape.elements());
        let values: Vec<f32> = match (leaf, shape.rank()) {
            ("weight", 4) => {
                let (k, r, s, c) = shape.as_nhwc().unwrap();
                let scale = (3.0 / (r * s * c) as f64).sqrt() as f32;
                channels_last(values.map(|u| u * scale).collect(), [k, c, r, s])
            }
            ("weight", 2) => {
                let scale = (3.0 / shape.channels() as f64).sqrt() as f32;
                values.map(|u| u * scale).collect()
            }
            ("running_var", _) => values.map(|u| 1.0 + 0.5 * u.abs()).collect(),
            ("running_mean", _) => values.map(|u| 0.1 * u).collect(),
            ("bias", _) => {
                let beside = params.get(&format!("{owner}.weight")).unwrap().ty().shape.rank();
                let scale = if beside >= 2 { 0.05 } else { 0.1 };
                values.map(|u| scale * u).collect()
            }
            _ => values.map(|u| 1.0 + 0.1 * u).collect(),
        };
        state.set(&values).unwrap();
    }
}

/// The first `batch` images that belong to a name, `[batch, extent, extent, 3]`.
pub(crate) fn images(device: &Device, name: &str, batch: usize, extent: usize) -> Tensor {
    let values = uniform(name, batch * 3 * extent * extent).map(|u| (u + 1.0) / 2.0).collect();
    let values = channels_last(values, [batch, 3, extent, extent]);
    Tensor::from_slice(device, &values, &[batch, extent, extent, 3]).unwrap()
}

/// From `[n, c, h, w]`, which are the extents given, to `[n, h, w, c]`.
fn channels_last(values: Vec<f32>, [n, c, h, w]: [usize; 4]) -> Vec<f32> {
    let mut permuted = Vec::with_capacity(values.len());
    for image in values.chunks_exact(c * h * w).take(n) {
        for pixel in 0..h * w {
            permuted.extend(image.iter().skip(pixel).step_by(h * w));
        }
    }
    permuted
}

#[test]
fn checksums_and_numbers_are_those_of_python() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    let found: Vec<f32> = uniform("conv1.weight", 3).collect();
    assert_eq!(
        found,
        [1997958.0 / 8_388_608.0 - 1.0, 4515931.0 / 8_388_608.0 - 1.0, 2978277.0 / 8_388_608.0 - 1.0]
    );
}
