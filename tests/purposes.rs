//! Launches name the layers that they serve. No GPU is needed.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use ocelli::plan::{PlanOptions, plan};
use ocelli::prelude::*;
use ocelli::{Session, Shape, TensorType, Work};
use ocelli_oracle::shape_device;

/// What a launch is for: the states of its layers by name, and its pattern.
type Line = (Vec<String>, String);

/// A device that computes nothing, and the launches of what it was last asked to do.
fn device(options: PlanOptions) -> (Device, Arc<Mutex<Vec<Line>>>) {
    let lines = Arc::<Mutex<Vec<Line>>>::default();
    let kept = Arc::clone(&lines);
    let device = shape_device(move |work| {
        let plan = plan(&work.key.expand()?, options)?;
        *kept.lock().unwrap() = plan.launches.iter().map(|launch| line(work, &launch.purpose)).collect();
        Ok(())
    });
    (device, lines)
}

fn line(work: &Work, purpose: &ocelli::plan::Purpose) -> Line {
    (work.layer_names(&purpose.layers), purpose.pattern.clone())
}

/// The launches of a training step, of the optimizer too, of what `network` makes of a batch of images.
fn training_step(
    precision: Precision,
    options: PlanOptions,
    images: [usize; 4],
    network: impl FnOnce(&Params) -> Box<dyn Fn(&Tensor) -> Tensor>,
) -> Vec<Line> {
    let (device, lines) = device(options);
    device.set_precision(precision);
    let params = Params::new(&device, Seed(1));
    let network = network(&params);
    let pixels = vec![0.5f32; images.iter().product()];
    let logits = network(&Tensor::from_slice(&device, &pixels, &images).unwrap());
    let labels = Tensor::from_slice(&device, &vec![3i32; images[0]], &[images[0]]).unwrap();
    let loss = logits.cross_entropy(&labels, Default::default()).unwrap();
    Sgd::new(&params, SgdConfig { lr: 0.1, momentum: 0.9, ..Default::default() }).minimize(&loss).unwrap();
    let lines: Vec<Line> = lines.lock().unwrap().clone();
    lines
}

/// The launches of a training step of a residual block with a projection, after a stem.
fn residual_block(precision: Precision) -> Vec<Line> {
    // Which work a convolution takes over is chosen by times; here each has its own launch.
    let options = PlanOptions { fuse_convolutions: false, ..Default::default() };
    training_step(precision, options, [16, 56, 56, 8], |params| {
        let conv = |name: &str, from, to, kernel, stride| {
            let config =
                Conv2dConfig { kernel, stride, padding: kernel / 2, bias: false, ..Default::default() };
            Conv2d::new(params / name, from, to, config).unwrap()
        };
        let norm = |name: &str, c| BatchNorm2d::new(params / name, c, BatchNormConfig::default()).unwrap();
        let stem = (conv("conv1", 8, 64, 3, 1), norm("bn1", 64));
        let first = (conv("layer1.0.conv1", 64, 64, 1, 1), norm("layer1.0.bn1", 64));
        let second = (conv("layer1.0.conv2", 64, 128, 3, 2), norm("layer1.0.bn2", 128));
        let skip = (conv("layer1.0.downsample.0", 64, 128, 1, 2), norm("layer1.0.downsample.1", 128));
        let fc = Linear::new(params / "fc", 128, 10).unwrap();
        let apply = |(conv, norm): &(Conv2d, BatchNorm2d), x: &Tensor| {
            norm.forward(&conv.forward(x).unwrap()).unwrap()
        };
        Box::new(move |images| {
            let x = apply(&stem, images).relu().unwrap();
            let y = apply(&second, &apply(&first, &x).relu().unwrap());
            let x = y.add(&apply(&skip, &x)).unwrap().relu().unwrap();
            fc.forward(&x.mean_images().unwrap().flatten().unwrap()).unwrap()
        })
    })
}

#[test]
fn launches_of_a_training_step_name_their_layers() {
    for precision in [Precision::mixed_f16(), Precision::mixed_bf16(), Precision::F32] {
        let lines = residual_block(precision);
        let serves = |layer: &str, pattern: &str| {
            let found = |line: &&Line| line.0.iter().any(|name| name == layer) && line.1 == pattern;
            lines.iter().filter(found).count()
        };
        let convolutions = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.0.downsample.0"];
        for layer in convolutions {
            assert_eq!(serves(layer, "convolution"), 1, "{lines:#?}");
            assert_eq!(serves(layer, "convolution's filter gradient"), 1, "{layer} {lines:#?}");
            // Nobody needs the gradient of the images.
            let wanted = usize::from(layer != "conv1");
            assert_eq!(serves(layer, "convolution's data gradient"), wanted, "{layer} {lines:#?}");
        }
        assert_eq!(serves("bn1", "batch norm + relu"), 1, "{lines:#?}");
        // The block's end is one launch, for both of the norms that it adds.
        for layer in ["layer1.0.bn2", "layer1.0.downsample.1"] {
            assert_eq!(serves(layer, "batch norm + add + relu + sums"), 1, "{lines:#?}");
            assert!(
                lines.iter().any(|(layers, pattern)| {
                    layers.iter().any(|name| name == layer)
                        && pattern.starts_with("gradient")
                        && pattern.contains("channel sums")
                }),
                "{lines:#?}"
            );
        }
        let large = |line: &&Line| line.1.contains("batch norm") || line.1.contains("convolution");
        let nameless: Vec<&Line> = lines.iter().filter(large).filter(|line| line.0.is_empty()).collect();
        assert!(nameless.is_empty(), "{nameless:#?}");
    }
}

#[test]
fn every_convolution_and_norm_of_a_resnet_is_named() {
    let mut layers = Vec::new();
    let lines = training_step(Precision::mixed_f16(), PlanOptions::default(), [2, 64, 64, 3], |params| {
        let net = ocelli::models::resnet50(params, Default::default()).unwrap();
        let names = params.all().into_iter().map(|state| state.name().to_owned());
        layers.extend(names.filter_map(|name| Some(name.strip_suffix(".weight")?.to_owned())));
        Box::new(move |images| net.forward(images).unwrap())
    });
    assert_eq!(layers.len(), 53 + 53 + 1);
    for layer in &layers {
        let of = |pattern: &str| {
            let serves = |line: &&Line| line.0.contains(layer) && line.1.contains(pattern);
            lines.iter().filter(serves).count()
        };
        if layer.contains("conv") || layer.ends_with("downsample.0") {
            let wanted = if layer == "conv1" { 2 } else { 3 };
            assert_eq!(of("convolution"), wanted, "{layer}: {lines:#?}");
        } else if layer == "fc" {
            assert_eq!(of("matmul"), 3, "{lines:#?}");
        } else {
            // Forward it may be done before the next convolution, in its launch.
            assert!(of("gradient: batch norm") >= 1 && of("channel sums") >= 1, "{layer}: {lines:#?}");
        }
    }
}

#[test]
fn a_session_names_the_layers_of_what_it_made_of_the_weights() {
    let (device, lines) = device(PlanOptions::default());
    let params = Params::new(&device, Seed(1));
    let net = ocelli::models::resnet18(&params, Default::default()).unwrap();
    params.eval();
    let images = TensorType::new(DType::F16, Shape::nhwc(8, 64, 64, 4));
    let network = move |images: &Tensor| net.forward(&images.cast(DType::F32)?);
    let _session = Session::new(&device, images, Precision::mixed_f16(), network).unwrap();
    let lines: Vec<Line> = lines.lock().unwrap().clone();
    let names =
        params.all().into_iter().filter_map(|state| Some(state.name().strip_suffix(".weight")?.to_owned()));
    let layers: Vec<String> =
        names.filter(|name| name.contains("conv") || name.ends_with("downsample.0")).collect();
    assert_eq!(layers.len(), 20);
    for layer in &layers {
        let serves = |line: &&Line| line.0 == [layer.clone()] && line.1.starts_with("convolution");
        assert_eq!(lines.iter().filter(serves).count(), 1, "{layer}: {lines:#?}");
    }
    assert!(lines.iter().any(|line| line.0 == ["fc"] && line.1.starts_with("matmul")), "{lines:#?}");
}
