//! Mixup, CutMix and their loss, against their formulas; and that other numbers need no other plan.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli_core::{Area, CrossEntropyConfig, Device, Error, Tensor, gradients};
use ocelli_oracle::{check_plans, recording_device};

const SHAPE: [usize; 4] = [3, 4, 5, 2];
const PARTNERS: [i32; 3] = [2, 0, 1];

fn pixels() -> Vec<u8> {
    (0..120).map(|at| (at * 37 % 251) as u8).collect()
}

fn images(device: &Device) -> (Tensor, Tensor) {
    let images = Tensor::from_slice(device, &pixels(), &SHAPE).unwrap();
    (images, Tensor::from_slice(device, &PARTNERS, &[3]).unwrap())
}

#[test]
fn images_are_mixed() {
    let (images, partners) = images(&ocelli_oracle::device());
    let mixed = images.mixup(&partners, 0.25).unwrap().to_vec::<f32>().unwrap();
    let pixels = pixels();
    for (at, found) in mixed.into_iter().enumerate() {
        let other = pixels[PARTNERS[at / 40] as usize * 40 + at % 40];
        assert_eq!(found, 0.25 * f32::from(pixels[at]) + 0.75 * f32::from(other));
    }
}

#[test]
fn areas_are_the_partners() {
    let (images, partners) = images(&ocelli_oracle::device());
    let pixels = pixels();
    for area in [
        Area { top: 1, left: 2, bottom: 3, right: 5 },
        Area { top: 0, left: 0, bottom: 4, right: 5 },
        Area { top: 2, left: 1, bottom: 2, right: 3 },
    ] {
        let cut = images.cutmix(&partners, area).unwrap().to_vec::<f32>().unwrap();
        for (at, found) in cut.into_iter().enumerate() {
            let (row, column) = (at / 10 % 4, at / 2 % 5);
            let inside = (area.top..area.bottom).contains(&row) && (area.left..area.right).contains(&column);
            let image = if inside { PARTNERS[at / 40] as usize } else { at / 40 };
            assert_eq!(found, f32::from(pixels[image * 40 + at % 40]), "{area:?}, element {at}");
        }
    }
}

/// The loss is that of targets that are mixed themselves, and so is its gradient: softmax minus target.
#[test]
fn the_loss_is_that_of_mixed_targets() {
    let device = ocelli_oracle::device();
    let (lambda, smoothing) = (0.3f64, 0.1f64);
    let values: Vec<f32> = (0..12).map(|at| (at * 7 % 5) as f32 * 0.5 - 1.0).collect();
    let logits = Tensor::from_slice(&device, &values, &[3, 4]).unwrap();
    let labels = [1, 3, 0];
    let partners = Tensor::from_slice(&device, &PARTNERS, &[3]).unwrap();
    let config = CrossEntropyConfig { label_smoothing: smoothing as f32, ..CrossEntropyConfig::default() };
    let own = Tensor::from_slice(&device, &labels, &[3]).unwrap();
    let loss = logits.cross_entropy_mixed(&own, &partners, lambda as f32, config).unwrap();
    let gradient = gradients(&loss, &[&logits]).unwrap().remove(0).to_vec::<f32>().unwrap();
    let mut expected = 0.0;
    for row in 0..3 {
        let logits: Vec<f64> = values[4 * row..][..4].iter().map(|&x| f64::from(x)).collect();
        let total: f64 = logits.iter().map(|x| x.exp()).sum();
        for class in 0..4 {
            let is = |label: i32| f64::from(u8::from(label == class as i32));
            let label = lambda * is(labels[row]) + (1.0 - lambda) * is(labels[PARTNERS[row] as usize]);
            let target = (1.0 - smoothing) * label + smoothing / 4.0;
            expected -= target * (logits[class] - total.ln()) / 3.0;
            let slope = (logits[class].exp() / total - target) / 3.0;
            assert!((f64::from(gradient[4 * row + class]) - slope).abs() < 1e-6);
        }
    }
    assert!((f64::from(loss.value().unwrap()) - expected).abs() < 1e-6);
}

/// Other shares, areas and partners are the same graph; each is one launch, and its plan is right.
#[test]
fn other_numbers_need_no_other_plan() {
    let (device, recorder) = recording_device();
    let (images, partners) = images(&device);
    let others = Tensor::from_slice(&device, &[1, 2, 0], &[3]).unwrap();
    for (partners, lambda, left) in [(&partners, 0.5, 1), (&others, 0.75, 2)] {
        images.mixup(partners, lambda).unwrap().to_vec::<f32>().unwrap();
        let area = Area { top: 1, left, bottom: 3, right: 4 };
        images.cutmix(partners, area).unwrap().to_vec::<f32>().unwrap();
    }
    let recorded = recorder.take();
    assert_eq!((&recorded[0].0, &recorded[1].0), (&recorded[2].0, &recorded[3].0));
    for (graph, bindings) in &recorded {
        check_plans(graph, bindings).unwrap();
        let plan = ocelli_core::plan::plan(graph, Default::default()).unwrap();
        assert_eq!(plan.launches.len(), 1, "{:#?}", plan.launches);
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let device = ocelli_oracle::device();
    let (images, partners) = images(&device);
    assert!(matches!(images.mixup(&partners, 1.5), Err(Error::InvalidArgument { .. })));
    assert!(matches!(images.mixup(&partners, f32::NAN), Err(Error::InvalidArgument { .. })));
    let few = Tensor::from_slice(&device, &[1, 0], &[2]).unwrap();
    assert!(matches!(images.mixup(&few, 0.5), Err(Error::ShapeMismatch { .. })));
    let outside = Area { top: 0, left: 3, bottom: 2, right: 6 };
    assert!(matches!(images.cutmix(&partners, outside), Err(Error::InvalidArgument { .. })));
    let rows = images.reshape(&[3, 40]).unwrap();
    assert!(matches!(rows.cutmix(&partners, outside), Err(Error::InvalidArgument { .. })));
}
