//! Results worked out by hand, and those that the C++ library DLFS was tested with.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli_core::ops::pool::Windows;
use ocelli_core::ops::{Conv2d, UpsampleMode};
use ocelli_core::{CrossEntropyConfig, DType, Device, Result, Tensor, gradients};

/// A tensor on an oracle's device.
fn tensor(device: &Device, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(device, values, shape).unwrap()
}

/// A tensor of one value.
fn filled(device: &Device, shape: &[usize], value: f32) -> Tensor {
    tensor(device, shape, &vec![value; shape.iter().product()])
}

#[track_caller]
fn assert_values(found: Result<Tensor>, expected: &[f32]) {
    let found = found.unwrap().to_f32_vec().unwrap();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let close = (found - expected).abs() <= 1e-6 * expected.abs().max(1.0);
        assert!(close || (found.is_nan() && expected.is_nan()), "element {index} is {found}, not {expected}");
    }
}

/// 16 taps of 1.1 on ones.
#[test]
fn convolution_of_ones() {
    let device = ocelli_oracle::device();
    let (x, w) = (filled(&device, &[1, 4, 4, 1], 1.0), filled(&device, &[1, 4, 4, 1], 1.1));
    assert_values(x.conv2d(&w, Conv2d::default()), &[17.6]);
}

/// DLFS's chain: an image 10 x 10 x 3 of 0.5, a filter 3 x 3 of ones and a bias map of ones give 27 * 0.5 + 1 = 14.5 at
/// each of 8 x 8 pixels; a filter 8 x 8 of 0.1 and a bias of 3.3 give 64 * 1.45 + 3.3 = 96.1; squared, 9235.21.
#[test]
fn two_convolutions_and_a_square() {
    let device = ocelli_oracle::device();
    let image = filled(&device, &[1, 10, 10, 3], 0.5);
    let (filter1, bias1) = (filled(&device, &[1, 3, 3, 3], 1.0), filled(&device, &[1, 8, 8, 1], 1.0));
    let (filter2, bias2) = (filled(&device, &[1, 8, 8, 1], 0.1), filled(&device, &[1], 3.3));
    let map = image.conv2d(&filter1, Conv2d::default()).unwrap().add(&bias1).unwrap();
    let sum = map.conv2d(&filter2, Conv2d::default()).unwrap().add(&bias2).unwrap();
    let loss = sum.pow_scalar(2.0).unwrap().sum().unwrap();
    let found = gradients(&loss, &[&sum, &bias2, &filter2, &map, &bias1, &filter1]).unwrap();
    assert_values(Ok(map), &[14.5; 64]);
    assert_values(Ok(sum), &[96.1]);
    assert_values(Ok(loss), &[9235.21]);
    let expected = [192.2, 192.2, 2786.9, 19.22, 19.22, 615.04];
    for (gradient, expected) in found.into_iter().zip(expected) {
        let values = vec![expected; gradient.shape().elements()];
        assert_values(Ok(gradient), &values);
    }
}

/// An edge filter over rows of different slopes; the borders see zeros.
#[test]
fn convolution_by_hand() {
    let device = ocelli_oracle::device();
    let x = tensor(&device, &[1, 2, 3, 1], &[1.0, 2.0, 4.0, 3.0, 5.0, 9.0]);
    let w = tensor(&device, &[1, 1, 3, 1], &[-1.0, 0.0, 1.0]);
    let padded = Conv2d { padding: [0, 1], ..Conv2d::default() };
    assert_values(x.conv2d(&w, padded), &[2.0, 3.0, -2.0, 5.0, 6.0, -5.0]);
    let strided = Conv2d { stride: [1, 2], ..padded };
    assert_values(x.conv2d(&w, strided), &[2.0, -2.0, 5.0, -5.0]);
    let dilated = Conv2d { dilation: [1, 2], padding: [0, 2], ..Conv2d::default() };
    assert_values(x.conv2d(&w, dilated), &[4.0, 0.0, -1.0, 9.0, 0.0, -3.0]);
}

/// Each group of filters sees its own channels: filters 0 and 1 the first, 2 and 3 the second.
#[test]
fn convolution_in_groups() {
    let device = ocelli_oracle::device();
    let x = tensor(&device, &[1, 1, 2, 2], &[1.0, 10.0, 2.0, 20.0]);
    let w = tensor(&device, &[4, 1, 1, 1], &[1.0, 2.0, 3.0, 4.0]);
    let conv = Conv2d { groups: 2, ..Conv2d::default() };
    assert_values(x.conv2d(&w, conv), &[1.0, 2.0, 30.0, 40.0, 2.0, 4.0, 60.0, 80.0]);
}

/// Each pixel paints the filter; where two overlap, they add.
#[test]
fn transposed_convolution_by_hand() {
    let device = ocelli_oracle::device();
    let x = tensor(&device, &[1, 1, 2, 1], &[1.0, 10.0]);
    let w = tensor(&device, &[1, 1, 3, 1], &[1.0, 2.0, 3.0]);
    let conv = Conv2d { stride: [1, 2], ..Conv2d::default() };
    assert_values(x.conv_transpose2d(&w, conv, [0, 0]), &[1.0, 2.0, 13.0, 20.0, 30.0]);
    assert_values(x.conv_transpose2d(&w, conv, [0, 1]), &[1.0, 2.0, 13.0, 20.0, 30.0, 0.0]);
}

#[test]
fn pooling_by_hand() {
    let device = ocelli_oracle::device();
    let x = tensor(&device, &[1, 3, 3, 1], &[1.0, 2.0, 3.0, 4.0, 9.0, 5.0, 6.0, 7.0, 8.0]);
    assert_values(x.max_pool2d(2), &[9.0]);
    assert_values(x.max_pool2d(Windows::square(2).ceil_mode()), &[9.0, 5.0, 7.0, 8.0]);
    let padded = Windows::square(3).stride(2).padding(1);
    assert_values(x.max_pool2d(padded), &[9.0; 4]);
    assert_values(x.avg_pool2d(padded), &[16.0 / 9.0, 19.0 / 9.0, 26.0 / 9.0, 29.0 / 9.0]);
    assert_values(x.avg_pool2d_without_pad(padded), &[4.0, 4.75, 6.5, 7.25]);
    // What hangs over the image beyond its padding does not count, padding or not.
    assert_values(x.avg_pool2d(Windows::square(2).ceil_mode()), &[4.0, 4.0, 6.5, 8.0]);
    let row = tensor(&device, &[1, 1, 4, 1], &[1.0, 2.0, 3.0, 4.0]);
    let over = Windows { kernel: [1, 3], stride: [1, 2], padding: [0, 1], ceil_mode: true };
    assert_values(row.avg_pool2d(over), &[1.0, 3.0, 2.0]);
    assert_values(row.avg_pool2d_without_pad(over), &[1.5, 3.0, 4.0]);
    assert_values(x.adaptive_avg_pool2d([2, 1]), &[4.0, 6.5]);
    assert_values(x.mean_images(), &[5.0]);
    let below = tensor(&device, &[1, 1, 2, 1], &[-3.0, -2.0]);
    assert_values(below.max_pool2d(Windows::square(2).padding(1)), &[-3.0, -2.0]);
}

#[test]
fn the_first_of_equal_values_takes_the_gradient_and_not_a_number_wins() {
    let device = ocelli_oracle::device();
    let x = tensor(&device, &[1, 2, 2, 1], &[1.0, 7.0, 7.0, 7.0]);
    let y = x.max_pool2d(2).unwrap().sum().unwrap();
    assert_values(Ok(gradients(&y, &[&x]).unwrap().remove(0)), &[0.0, 1.0, 0.0, 0.0]);
    let x = tensor(&device, &[1, 2, 2, 1], &[1.0, f32::NAN, 7.0, 7.0]);
    assert_values(x.max_pool2d(2), &[f32::NAN]);
}

/// DLFS's test: [1, 1, 0, 0] has mean and deviation 1/2, so that x becomes +-1, less what eps takes.
#[test]
fn batch_normalisation_of_two_values() {
    let device = ocelli_oracle::device();
    let x = tensor(&device, &[2, 2, 1, 1], &[1.0, 1.0, 0.0, 0.0]);
    let (gamma, beta) = (filled(&device, &[1], 1.0), filled(&device, &[1], 0.0));
    let [y, mean, variance] = x.batch_norm(&gamma, &beta, 1e-5).unwrap();
    let found = gradients(&y.sum().unwrap(), &[&x, &gamma, &beta]).unwrap();
    assert_values(Ok(y), &[0.99998, 0.99998, -0.99998, -0.99998]);
    assert_values(Ok(mean), &[0.5]);
    assert_values(Ok(variance), &[0.25]);
    for (gradient, expected) in found.into_iter().zip([&[0.0; 4][..], &[0.0], &[4.0]]) {
        assert_values(Ok(gradient), expected);
    }
}

#[test]
fn group_normalisation_by_hand() {
    let device = ocelli_oracle::device();
    let x = tensor(&device, &[1, 1, 2, 4], &[1.0, 3.0, 0.0, 0.0, 1.0, 3.0, 4.0, 4.0]);
    let gamma = tensor(&device, &[4], &[1.0, 2.0, 1.0, 1.0]);
    let beta = tensor(&device, &[4], &[0.0, 0.0, 0.0, 5.0]);
    assert_values(x.group_norm(2, &gamma, &beta, 0.0), &[-1.0, 2.0, -1.0, 4.0, -1.0, 2.0, 1.0, 6.0]);
}

/// Equal logits of five classes: -log(1/5), and 1/5 less the label as the gradient, a row of eight each.
#[test]
fn cross_entropy_of_equal_logits() {
    let device = ocelli_oracle::device();
    let logits = filled(&device, &[8, 5], 1.0);
    let labels = Tensor::from_slice(&device, &[0i32, 1, 2, 3, 4, 0, 1, 2], &[8]).unwrap();
    let loss = logits.cross_entropy(&labels, CrossEntropyConfig::default()).unwrap();
    let gradient = gradients(&loss, &[&logits]).unwrap().remove(0).to_vec::<f32>().unwrap();
    assert!((loss.value().unwrap() - 1.6094).abs() < 1e-4);
    assert!((gradient[0] - (0.2 - 1.0) / 8.0).abs() < 1e-7);
    assert!((gradient[1] - 0.2 / 8.0).abs() < 1e-7);
}

#[test]
fn cross_entropy_of_ignored_and_of_impossible_labels() {
    let device = ocelli_oracle::device();
    let logits = tensor(&device, &[3, 2], &[0.0, 0.0, 9.0, 1.0, 3f32.ln(), 0.0]);
    let loss = |labels: [i32; 3]| {
        let labels = Tensor::from_slice(&device, &labels, &[3]).unwrap();
        logits.cross_entropy(&labels, CrossEntropyConfig { label_smoothing: 0.0, ignore_index: -100 })
    };
    assert_values(loss([1, -100, 0]), &[(2f32.ln() + (4f32 / 3.0).ln()) / 2.0]);
    assert_values(loss([1, 2, 0]), &[f32::NAN]);
    assert_values(loss([1, -1, 0]), &[f32::NAN]);
}

/// Four rows of five logits 1 with one positive each: softplus(-1) + 4 softplus(1) a row.
#[test]
fn binary_cross_entropy_of_equal_logits() {
    let device = ocelli_oracle::device();
    let logits = filled(&device, &[4, 5], 1.0);
    let targets: Vec<f32> = (0..20).map(|i| if i % 5 == i / 5 { 1.0 } else { 0.0 }).collect();
    let loss = logits.binary_cross_entropy_with_logits(&tensor(&device, &[4, 5], &targets)).unwrap();
    assert!((loss.value().unwrap() * 5.0 - 5.5663).abs() < 1e-4);
}

#[test]
fn softmax_does_not_overflow() {
    let device = ocelli_oracle::device();
    let x = tensor(&device, &[2, 2], &[1000.0, 1000.0, -1000.0, 0.0]);
    assert_values(x.softmax(), &[0.5, 0.5, 0.0, 1.0]);
    assert_values(x.log_softmax(), &[-(2f32.ln()), -(2f32.ln()), -1000.0, 0.0]);
}

#[test]
fn resampling_by_hand() {
    let device = ocelli_oracle::device();
    let x = tensor(&device, &[1, 1, 2, 1], &[0.0, 4.0]);
    assert_values(x.upsample([1, 4], UpsampleMode::Nearest), &[0.0, 0.0, 4.0, 4.0]);
    let bilinear = |align_corners| UpsampleMode::Bilinear { align_corners };
    assert_values(x.upsample([1, 4], bilinear(false)), &[0.0, 1.0, 3.0, 4.0]);
    assert_values(x.upsample([2, 5], bilinear(true)), &[0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn layouts_by_hand() {
    let device = ocelli_oracle::device();
    let x = tensor(&device, &[2, 6], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0]);
    assert_values(x.channel_shuffle(2), &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 10.0, 13.0, 11.0, 14.0, 12.0, 15.0]);
    assert_values(x.channel_slice(4, 2), &[4.0, 5.0, 14.0, 15.0]);
    let (a, b) = (x.channel_slice(1, 1).unwrap(), x.channel_slice(4, 2).unwrap());
    assert_values(Tensor::concat(&[&b, &a]), &[4.0, 5.0, 1.0, 14.0, 15.0, 11.0]);
    let rows = Tensor::from_slice(&device, &[1i32, 2, 0], &[3]).unwrap();
    let mut expected = vec![10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
    expected.extend([f32::NAN; 6]);
    expected.extend([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_values(x.take_rows(&rows), &expected);
}

#[test]
fn rankings_by_hand() {
    let device = ocelli_oracle::device();
    let logits = tensor(&device, &[3, 4], &[1.0, 5.0, 5.0, 2.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(logits.argmax().unwrap().to_vec::<i32>().unwrap(), [1, 0, 0]);
    let labels = |labels: [i32; 3]| Tensor::from_slice(&device, &labels, &[3]).unwrap();
    assert_values(logits.in_top_k(&labels([1, 0, 0]), 1), &[1.0, 1.0, 1.0]);
    assert_values(logits.in_top_k(&labels([2, 1, 3]), 1), &[0.0, 0.0, 0.0]);
    assert_values(logits.in_top_k(&labels([2, 1, 3]), 2), &[1.0, 1.0, 0.0]);
    assert_values(logits.in_top_k(&labels([4, -1, 3]), 4), &[0.0, 0.0, 1.0]);
}

#[test]
fn casts_cut_fractions_off_and_saturate() {
    let device = ocelli_oracle::device();
    let x = tensor(&device, &[5], &[-1.9, -0.5, 1.9, 254.7, 300.0]);
    assert_eq!(x.cast(DType::I32).unwrap().to_vec::<i32>().unwrap(), [-1, 0, 1, 254, 300]);
    assert_eq!(x.cast(DType::U8).unwrap().to_vec::<u8>().unwrap(), [0, 0, 1, 254, 255]);
}

/// The mask keeps what it keeps scaled, and another run draws another.
#[test]
fn dropout_scales_what_it_keeps() {
    let device = ocelli_oracle::device();
    device.manual_seed(3);
    let x = filled(&device, &[1000], 1.0);
    let run = || x.dropout(0.25).unwrap().to_vec::<f32>().unwrap();
    let (first, second) = (run(), run());
    assert!(first.iter().all(|&y| y == 0.0 || (y - 4.0 / 3.0).abs() < 1e-6));
    let kept = first.iter().filter(|&&y| y > 0.0).count();
    assert!((700..800).contains(&kept), "{kept}");
    assert_ne!(first, second);
    device.manual_seed(3);
    assert_eq!(run(), first);
}
