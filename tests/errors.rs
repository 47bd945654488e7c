//! Mistakes and faults: every message says what went wrong, where, and what to do. All but the tests of missing
//! libraries below a working driver run on any machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::process::Command;

use half::f16;
use ocelli::ops::Conv2d as ConvAttributes;
use ocelli::prelude::*;
use ocelli::{Shape, State, TensorType};

/// Zeros of this shape.
fn zeros(device: &Device, shape: &[usize]) -> Tensor {
    Tensor::from_slice(device, &vec![0f32; shape.iter().product()], shape).unwrap()
}

/// Asserts that something failed with a message that holds all of `parts`.
#[track_caller]
fn assert_says<T>(result: Result<T>, parts: &[&str]) {
    let Err(error) = result else { panic!("this should have failed, saying {parts:?}") };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing from {message:?}");
    }
}

/// A line of this file, as messages name it.
fn at(line: u32) -> String {
    format!("{}:{line}", file!())
}

#[test]
fn a_shape_mismatch_names_the_operation_both_shapes_and_the_line() {
    let device = ocelli_oracle::device();
    let (image, row) = (zeros(&device, &[2, 3, 5, 7]), zeros(&device, &[6]));
    let (result, line) = (image.add(&row), line!());
    assert_says(result, &["add", "[2, 3, 5, 7]", "[6]", &at(line)]);

    let filters = zeros(&device, &[8, 3, 3, 6]);
    let (result, line) = (image.conv2d(&filters, ConvAttributes::default()), line!());
    assert_says(result, &["conv2d", "[2, 3, 5, 7]", "[8, 3, 3, 6]", "groups", &at(line)]);
    let large = zeros(&device, &[8, 9, 9, 7]);
    assert_says(image.conv2d(&large, ConvAttributes::default()), &["conv2d", "[8, 9, 9, 7]", "fit"]);

    let features = zeros(&device, &[4, 5]);
    let (result, line) = (features.matmul(&zeros(&device, &[4, 5])), line!());
    assert_says(result, &["matmul", "[4, 5]", "share k", &at(line)]);
    assert_says(features.reshape(&[3, 7]), &["reshape", "[4, 5]", "[3, 7]"]);
    assert_says(Tensor::concat(&[&image, &features]), &["concat", "[2, 3, 5, 7]", "[4, 5]"]);
    assert_says(features.sum_to(&[3]), &["sum", "[4, 5]", "[3]"]);

    let labels = Tensor::from_slice(&device, &[0i32; 3], &[3]).unwrap();
    let (result, line) = (features.cross_entropy(&labels, CrossEntropyConfig::default()), line!());
    assert_says(result, &["cross_entropy", "[4, 5]", "[3]", "one label for each row", &at(line)]);
    assert_says(features.in_top_k(&labels, 1), &["in_top_k", "[4, 5]", "[3]"]);
}

#[test]
fn a_module_blames_the_line_that_called_it() {
    let device = ocelli_oracle::device();
    let params = Params::new(&device, Seed(1));
    let conv = Conv2d::new(&params / "conv", 3, 8, Conv2dConfig::default()).unwrap();
    let linear = Linear::new(&params / "fc", 6, 4).unwrap();
    let norm = BatchNorm2d::new(&params / "bn", 5, BatchNormConfig::default()).unwrap();
    let (result, line) = (conv.forward(&zeros(&device, &[1, 9, 9, 4])), line!());
    assert_says(result, &["conv2d", "[1, 9, 9, 4]", "[8, 3, 3, 3]", &at(line)]);
    let (result, line) = (linear.forward(&zeros(&device, &[2, 7])), line!());
    assert_says(result, &["matmul", "[2, 7]", "[4, 6]", &at(line)]);
    let (result, line) = (norm.forward(&zeros(&device, &[2, 3, 3, 4])), line!());
    assert_says(result, &["batch_norm", "[4]", "[5]", &at(line)]);
}

#[test]
fn a_type_mismatch_names_the_operation_the_type_and_the_line() {
    let device = ocelli_oracle::device();
    let floats = zeros(&device, &[2, 4, 4, 3]);
    let integers = Tensor::from_slice(&device, &[1i32, 2], &[2]).unwrap();
    let halves = Tensor::from_slice(&device, &[f16::ONE; 27], &[1, 3, 3, 3]).unwrap();

    let (result, line) = (integers.relu(), line!());
    assert_says(result, &["relu", "i32[2]", "cast", &at(line)]);
    let (result, line) = (floats.conv2d(&halves, ConvAttributes::default()), line!());
    assert_says(result, &["conv2d", "f16[1, 3, 3, 3]", "element type", &at(line)]);
    let (result, line) = (integers.max_pool2d(2), line!());
    assert_says(result, &["max_pool2d", "i32[2]", &at(line)]);
    let (result, line) = (zeros(&device, &[3, 4]).max_pool2d(2), line!());
    assert_says(result, &["max_pool2d", "f32[3, 4]", "[n, h, w, c]", &at(line)]);
    let rows = zeros(&device, &[2, 5]);
    let (result, line) = (rows.cross_entropy(&zeros(&device, &[2]), CrossEntropyConfig::default()), line!());
    assert_says(result, &["cross_entropy", "f32[2]", "i32", &at(line)]);
    assert_says(rows.take_rows(&zeros(&device, &[2])), &["take_rows", "f32[2]", "i32"]);
    let (result, line) = (rows.mean_images(), line!());
    assert_says(result, &["mean_images", "f32[2, 5]", "[n, h, w, c]", &at(line)]);
}

#[test]
fn an_argument_out_of_range_is_named() {
    let device = ocelli_oracle::device();
    let image = zeros(&device, &[1, 4, 4, 6]);
    let line = line!() + 1;
    assert_says(image.dropout(1.0), &["dropout", "0.0..1.0", "1", &at(line)]);
    assert_says(image.dropout(f32::NAN), &["dropout", "NaN"]);
    assert_says(image.max_pool2d(5), &["max_pool2d", "[5, 5]", "4 x 4"]);
    assert_says(image.avg_pool2d(ocelli::ops::pool::Windows::square(2).padding(2)), &["padding", "half"]);
    assert_says(image.channel_shuffle(4), &["channel_shuffle", "6 channels", "4 groups"]);
    assert_says(image.channel_slice(4, 3), &["channel_slice", "4..+3", "6"]);
    assert_says(Tensor::concat(&[]), &["concat", "at least one"]);
    assert_says(image.reshape(&[1, 1, 2, 3, 16]), &["reshape", "four extents"]);
    assert_says(image.adaptive_avg_pool2d([0, 2]), &["avg_pool2d", "at least 1"]);
    let filters = zeros(&device, &[2, 3, 3, 6]);
    let still = ConvAttributes { stride: [0, 1], ..Default::default() };
    assert_says(image.conv2d(&filters, still), &["conv2d", "stride", "at least 1"]);
    let ungrouped = ConvAttributes { groups: 0, ..Default::default() };
    assert_says(image.conv2d(&filters, ungrouped), &["conv2d", "groups", "at least 1"]);
    let gone = ConvAttributes { padding: [9, 9], ..Default::default() };
    assert_says(
        image.conv_transpose2d(&zeros(&device, &[6, 3, 3, 2]), gone, [0, 0]),
        &["conv_transpose2d", "9"],
    );
    let (rows, labels) = (zeros(&device, &[2, 3]), Tensor::from_slice(&device, &[0i32, 1], &[2]).unwrap());
    let config = CrossEntropyConfig { label_smoothing: 1.5, ..Default::default() };
    assert_says(rows.cross_entropy(&labels, config), &["cross_entropy", "label smoothing", "1.5"]);
    assert_says(rows.in_top_k(&labels, 0), &["in_top_k", "k must be at least 1"]);
    let affine = zeros(&device, &[6]);
    assert_says(image.group_norm(4, &affine, &affine, 1e-5), &["group_norm", "6 channels", "4 groups"]);
}

#[test]
fn values_must_be_as_many_as_the_shape_holds() {
    let device = ocelli_oracle::device();
    assert_says(Tensor::from_slice(&device, &[1f32; 5], &[2, 3]), &["5 values", "[2, 3]", "6"]);
    let (result, line) = (Tensor::from_slice(&device, &[1f32], &[usize::MAX, 2]), line!());
    assert_says(result, &["from_slice", "usize", &at(line)]);
    let ty = TensorType::new(DType::F32, Shape::vector(3));
    assert_says(State::new(&device, "s", ty, &[1f32; 2]), &["2 values", "[3]"]);
    let state = State::new(&device, "s", ty, &[1f32; 3]).unwrap();
    assert_says(state.set(&[1f32; 4]), &["4 values", "[3]"]);
    assert_says(state.set(&[f16::ONE; 3]), &["f32", "f16"]);
    assert_eq!(state.to_vec::<f32>().unwrap(), [1.0; 3], "a refused value changes nothing");
}

#[test]
fn values_are_read_as_what_they_are() {
    let device = ocelli_oracle::device();
    let x = zeros(&device, &[2]);
    assert_says(x.to_vec::<i32>(), &["holds f32", "read as i32", "cast"]);
    assert_says(x.value(), &["f32[2]", "one floating-point number"]);
}

#[test]
fn names_are_unique_and_known() {
    let device = ocelli_oracle::device();
    let params = Params::new(&device, Seed(1));
    Linear::new(&params / "head" / "fc", 2, 3).unwrap();
    assert_says(Linear::new(&params / "head" / "fc", 2, 3), &["\"head.fc.weight\"", "taken"]);
    assert_says(params.get("head.fc.wait"), &["\"head.fc.wait\"", "nearest", "head.fc.weight"]);
    assert_says((&params / "head").get("bias"), &["\"head.bias\"", "head.fc."]);
    assert_eq!(params.all().len(), 2, "the refused layer left nothing behind");
}

#[test]
fn a_loss_must_be_one_number() {
    let device = ocelli_oracle::device();
    let params = Params::new(&device, Seed(1));
    let linear = Linear::new(&params / "fc", 2, 3).unwrap();
    let mut sgd = Sgd::new(&params, SgdConfig::default());
    let y = linear.forward(&zeros(&device, &[4, 2])).unwrap();
    assert_says(sgd.minimize(&y), &["f32[4, 3]", "mean()"]);
    assert_says(gradients(&y, &[&y]), &["f32[4, 3]", "mean()"]);
    assert_says(gradients(&y.argmax().unwrap(), &[&y]), &["i32[4]"]);
}

#[test]
fn what_has_no_gradient_says_so() {
    let device = ocelli_oracle::device();
    let ty = TensorType::new(DType::F32, Shape::matrix(3, 2));
    let table = State::new(&device, "table", ty, &[1f32; 6]).unwrap().trainable();
    let rows = Tensor::from_slice(&device, &[2i32, 0], &[2]).unwrap();
    let loss = table.tensor().take_rows(&rows).unwrap().sum().unwrap();
    assert_says(gradients(&loss, &[&table.tensor()]), &["take_rows", "no gradient", "detach"]);
}

#[test]
fn devices_do_not_mix() {
    let (one, other) = (ocelli_oracle::device(), ocelli_oracle::device());
    let (a, b) = (zeros(&one, &[3]), zeros(&other, &[3]));
    assert_says(a.add(&b), &["add", "different devices", "to_device"]);
    assert_says(evaluate(&[&a.relu().unwrap(), &b.relu().unwrap()]), &["evaluate", "different devices"]);
    let params = Params::new(&other, Seed(1));
    let linear = Linear::new(&params / "fc", 3, 2).unwrap();
    assert_says(linear.forward(&zeros(&one, &[1, 3])), &["matmul", "different devices"]);
}

#[test]
fn a_tensor_of_an_old_parameter_is_refused() {
    let device = ocelli_oracle::device();
    let params = Params::new(&device, Seed(1));
    let linear = Linear::new(&params / "fc", 2, 1).unwrap();
    let x = Tensor::from_slice(&device, &[1f32, 2.0], &[1, 2]).unwrap();
    let unread = linear.forward(&x).unwrap();
    let loss = linear.forward(&x).unwrap().mse_loss(&zeros(&device, &[1, 1])).unwrap();
    Sgd::new(&params, SgdConfig::default()).minimize(&loss).unwrap();
    assert_says(unread.to_vec::<f32>(), &["fc.weight", "has changed", "minimize_with"]);
    assert!(loss.value().is_ok(), "the loss of the step itself can be read afterwards");
}

/// The row of the wrong label alone is not a number, in its loss and its gradient, and the mean shows it.
#[test]
fn a_label_out_of_range_makes_the_loss_not_a_number() {
    label_out_of_range(&ocelli_oracle::device());
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_label_out_of_range_makes_the_loss_not_a_number_on_the_gpu() {
    label_out_of_range(&Device::new(0).unwrap());
}

fn label_out_of_range(device: &Device) {
    for wrong in [3, -1, i32::MAX, i32::MIN] {
        let logits = Tensor::from_slice(device, &[0.5f32; 6], &[2, 3]).unwrap();
        let labels = Tensor::from_slice(device, &[1, wrong], &[2]).unwrap();
        let loss = logits.cross_entropy(&labels, CrossEntropyConfig::default()).unwrap();
        let gradient = gradients(&loss, &[&logits]).unwrap().remove(0);
        assert!(loss.value().unwrap().is_nan(), "label {wrong}");
        let gradient = gradient.to_vec::<f32>().unwrap();
        assert!(gradient[..3].iter().all(|g| g.is_finite()), "label {wrong}: {gradient:?}");
        assert!(gradient[3..].iter().all(|g| g.is_nan()), "label {wrong}: {gradient:?}");
        assert_eq!(logits.in_top_k(&labels, 3).unwrap().to_vec::<f32>().unwrap(), [1.0, 0.0]);
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn too_large_a_result_says_how_much_was_asked_and_is_free() {
    let device = Device::new(0).unwrap();
    let one = Tensor::from_slice(&device, &[1f32], &[1]).unwrap();
    let large = one.broadcast_to(&[4096, 4096, 4096, 16]).unwrap();
    assert_says(large.to_device(), &["out of GPU memory", "4398046511104 bytes requested", "free"]);
    assert_eq!(one.add(&one).unwrap().to_vec::<f32>().unwrap(), [2.0], "the device works on");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_gpu_that_is_not_there_is_an_error() {
    assert_says(Device::new(1000), &["no GPU 1000", "CUDA_VISIBLE_DEVICES"]);
}

/// What a process says that trains one step with a library chosen that does not exist.
fn without(variable: &str) -> String {
    let absent = "/nonexistent/ocelli";
    // A cached kernel needs no compiler.
    let cache = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_trains", "--ignored", "--nocapture"])
        .env(variable, absent)
        .env("OCELLI_CACHE", cache.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let parts = ["error: ", "was not found", variable, absent];
    assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} are to be in {said}");
    said
}

/// Needs every library; prints the error instead of failing, so that a panic is told from an error.
#[test]
#[ignore = "started by the other tests of this file"]
fn child_that_trains() {
    let train = || -> Result<f32> {
        let device = Device::new(0)?;
        let params = Params::new(&device, Seed(1));
        let conv = Conv2d::new(&params / "conv", 8, 8, Conv2dConfig::default())?;
        let linear = Linear::new(&params / "fc", 8, 2)?;
        let y = conv.forward(&zeros(&device, &[2, 6, 6, 8]))?.relu()?.mean_images()?.flatten()?;
        let loss = linear.forward(&y)?.mse_loss(&zeros(&device, &[2, 2]))?;
        Sgd::new(&params, SgdConfig::default()).minimize(&loss)?;
        loss.value()
    };
    match train() {
        Ok(loss) => println!("loss: {loss}"),
        Err(error) => println!("error: {error}"),
    }
}

#[test]
fn a_missing_driver_says_what_to_do() {
    assert!(without("OCELLI_CUDA").contains("libcuda.so"));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_missing_cudnn_says_what_to_do() {
    assert!(without("OCELLI_CUDNN").contains("libcudnn.so"));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_missing_nvrtc_says_what_to_do() {
    assert!(without("OCELLI_NVRTC").contains("libnvrtc.so"));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_missing_cublaslt_says_what_to_do() {
    assert!(without("OCELLI_CUBLASLT").contains("libcublasLt.so"));
}
