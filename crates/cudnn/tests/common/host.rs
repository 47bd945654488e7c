//! Convolutions on the host, in f64, and tensors on their way to the device and back.

#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "tests; each test binary uses its part")]

use half::{bf16, f16};
use ocelli_cuda::{Device, DeviceBuffer};
use ocelli_cudnn::DataType;

use super::{Convolution, Direction};

/// Uniform in -1..1, rounded to the type, the same for the same seed.
pub(crate) fn random(seed: u64, count: usize, data_type: DataType) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            round((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0, data_type)
        })
        .collect()
}

fn round(value: f64, data_type: DataType) -> f64 {
    match data_type {
        DataType::F32 => f64::from(value as f32),
        DataType::F16 => f16::from_f64(value).to_f64(),
        DataType::BF16 => bf16::from_f64(value).to_f64(),
        other => panic!("{other:?}"),
    }
}

fn encode(values: &[f64], data_type: DataType) -> Vec<u8> {
    match data_type {
        DataType::F32 => values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect(),
        DataType::F16 => values.iter().flat_map(|&value| f16::from_f64(value).to_le_bytes()).collect(),
        DataType::BF16 => values.iter().flat_map(|&value| bf16::from_f64(value).to_le_bytes()).collect(),
        other => panic!("{other:?}"),
    }
}

fn decode(bytes: &[u8], data_type: DataType) -> Vec<f64> {
    let two = |pair: &[u8]| [pair[0], pair[1]];
    match data_type {
        DataType::F32 => {
            bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
        }
        DataType::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes(two(b)).to_f64()).collect(),
        DataType::BF16 => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes(two(b)).to_f64()).collect(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn upload(device: &Device, values: &[f64], data_type: DataType) -> DeviceBuffer {
    let bytes = encode(values, data_type);
    let buffer = device.alloc(bytes.len()).unwrap();
    device.stream().upload(&buffer, 0, &bytes).unwrap();
    buffer
}

pub(crate) fn download(device: &Device, buffer: &DeviceBuffer, data_type: DataType) -> Vec<f64> {
    let mut bytes = vec![0; buffer.len()];
    device.stream().download(buffer, 0, &mut bytes).unwrap();
    decode(&bytes, data_type)
}

/// Memory full of NaN: what is not written shows.
pub(crate) fn poisoned(device: &Device, bytes: usize) -> DeviceBuffer {
    let buffer = device.alloc(bytes).unwrap();
    poison(device, &buffer);
    buffer
}

pub(crate) fn poison(device: &Device, buffer: &DeviceBuffer) {
    device.stream().fill_bytes(buffer, 0, buffer.len(), 0xff).unwrap();
}

/// What a value should be, and the sum of the magnitudes it was summed from, to which rounding is proportional.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expected {
    pub(crate) value: f64,
    pub(crate) magnitude: f64,
}

/// The direction's result from its two operands (as [`operands`] orders them), term by term.
pub(crate) fn convolve(
    convolution: &Convolution,
    direction: Direction,
    first: &[f64],
    second: &[f64],
) -> Vec<Expected> {
    let Convolution { n, size, c, k, kernel, stride, padding, dilation, groups } = *convolution;
    let output = convolution.output_size();
    let (group_c, group_k) = (c / groups, k / groups);
    let (x_len, w_len, y_len) = (n * size * size * c, k * kernel * kernel * group_c, n * output * output * k);
    let result_len = match direction {
        Direction::Forward => y_len,
        Direction::BackwardData => x_len,
        Direction::BackwardFilter => w_len,
    };
    let mut result = vec![Expected::default(); result_len as usize];
    for image in 0..n {
        for p in 0..output {
            for q in 0..output {
                for r in 0..kernel {
                    for s in 0..kernel {
                        let (h, w) =
                            (p * stride + r * dilation - padding, q * stride + s * dilation - padding);
                        if !(0..size).contains(&h) || !(0..size).contains(&w) {
                            continue;
                        }
                        for filter in 0..k {
                            for channel in 0..group_c {
                                let input = filter / group_k * group_c + channel;
                                let x = (((image * size + h) * size + w) * c + input) as usize;
                                let f = (((filter * kernel + r) * kernel + s) * group_c + channel) as usize;
                                let y = (((image * output + p) * output + q) * k + filter) as usize;
                                let (target, term) = match direction {
                                    Direction::Forward => (y, first[x] * second[f]),
                                    Direction::BackwardData => (x, first[y] * second[f]),
                                    Direction::BackwardFilter => (f, first[x] * second[y]),
                                };
                                result[target].value += term;
                                result[target].magnitude += term.abs();
                            }
                        }
                    }
                }
            }
        }
    }
    result
}

/// Fails unless each value is within `output` of its own size, for the rounding of the result, and within `sum` of the
/// magnitudes it was summed from.
pub(crate) fn assert_close(what: &str, got: &[f64], want: &[Expected], output: f64, sum: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let allowed = output * want.value.abs() + sum * want.magnitude + f64::from(f32::MIN_POSITIVE);
        // A NaN compares false: it must not pass.
        let close = (got - want.value).abs() <= allowed;
        assert!(close, "{what}: element {i} is {got}, not {} within {allowed}", want.value);
    }
}
