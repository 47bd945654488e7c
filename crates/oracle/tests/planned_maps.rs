//! Plans of graphs that test what may share a launch: gathers, views, sums, broadcasts, long chains, element types.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli_core::{DType, Precision, Result, Tensor, evaluate, gradients};
use ocelli_oracle::{HostTensor, Random, check_plans, recording_device};

/// Holds the plans of what `build` makes of random inputs of these shapes against its graph, in every precision.
#[track_caller]
fn check(shapes: &[&[usize]], build: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>) {
    for precision in [Precision::F32, Precision::mixed_f16()] {
        let (device, recorder) = recording_device();
        device.set_precision(precision);
        let mut random = Random::new(3);
        let inputs: Vec<Tensor> = shapes
            .iter()
            .map(|shape| {
                let shape = ocelli_core::Shape::new(shape).unwrap();
                random.tensor(ocelli_core::TensorType::new(DType::F32, shape)).to_tensor(&device).unwrap()
            })
            .collect();
        let outputs = build(&inputs).unwrap();
        evaluate(&outputs.iter().collect::<Vec<_>>()).unwrap();
        let (graph, bindings) = recorder.take().pop().unwrap();
        if let Err(error) = check_plans(&graph, &bindings) {
            panic!("{precision:?}: {error}");
        }
    }
}

#[test]
fn gathers_and_pointwise_users_of_one_value() {
    check(&[&[2, 3, 3, 8], &[8]], |x| {
        let y = x[0].tanh()?.mul(&x[1])?;
        let (slice, shuffle) = (y.channel_slice(2, 3)?, y.channel_shuffle(4)?);
        let joined = Tensor::concat(&[&slice, &y, &slice.abs()?])?;
        Ok(vec![joined.mul_scalar(2.0)?, shuffle.add(&y)?, y.neg()?, shuffle.sum()?])
    });
}

#[test]
fn rows_picked_from_computed_data_and_from_outside_of_it() {
    check(&[&[5, 2, 2, 3], &[4]], |x| {
        let indices = x[1].mul_scalar(2.5)?.cast(DType::I32)?;
        let data = x[0].tanh()?;
        let picked = data.take_rows(&indices)?;
        let again = picked.take_rows(&Tensor::from_slice(x[0].device(), &[3i32, 0, 0, 1, 9, -1], &[6])?)?;
        Ok(vec![picked.abs()?, again.add_scalar(1.0)?, data.sum()?, data.neg()?, indices.cast(DType::F32)?])
    });
}

#[test]
fn views_between_pointwise_nodes() {
    check(&[&[2, 3, 4, 5], &[5], &[20]], |x| {
        let y = x[0].tanh()?.add(&x[1])?;
        let rows = y.reshape(&[6, 20])?.mul(&x[2])?.abs()?;
        let back = rows.reshape(&[2, 3, 4, 5])?.add(&y)?;
        let ones = back.reshape(&[1, 24, 5, 1])?.sum_to(&[1, 24, 1, 1])?.reshape(&[2, 12])?;
        let same = back.reshape(&[1, 2, 12, 5])?.mul_scalar(3.0)?;
        Ok(vec![ones.neg()?, same.reshape(&[120])?, y.reshape(&[120])?.neg()?, rows])
    });
}

#[test]
fn small_views_of_small_values() {
    check(&[&[8], &[2, 5, 5, 8]], |x| {
        let scale = x[0].abs()?.add_scalar(0.1)?.sqrt()?;
        let view = scale.reshape(&[1, 1, 1, 8])?.exp()?;
        let other = scale.reshape(&[2, 1, 1, 4])?.sum_to(&[2, 1, 1, 1])?.reshape(&[2, 1, 1, 1])?;
        Ok(vec![x[1].mul(&view)?.add(&scale)?, x[1].mul(&other.tanh()?)?, x[1].sub(&other.tanh()?)?])
    });
}

#[test]
fn sums_and_what_uses_them() {
    check(&[&[3, 4, 5, 6], &[6]], |x| {
        let y = x[0].mul(&x[1])?.tanh()?;
        let kept: [&[usize]; 6] = [&[6], &[3, 1, 1, 6], &[], &[3, 1, 1, 1], &[4, 1, 6], &[1, 5, 1]];
        let mut outputs = Vec::new();
        for shape in kept {
            let sum = y.sum_to(shape)?;
            let centred = y.sub(&sum.mul_scalar(0.01)?)?;
            outputs.extend([centred.mul(&centred)?.sum_to(shape)?, centred, sum]);
        }
        outputs.push(y);
        Ok(outputs)
    });
}

/// More sums of one value than a launch holds.
#[test]
fn many_sums_of_one_value() {
    check(&[&[3, 4, 5, 6]], |x| {
        (1..20).map(|i| x[0].mul_scalar(i as f32 / 8.0)?.tanh()?.sum_to(&[6])).collect()
    });
}

/// More inputs than a launch takes, and every output wanted.
#[test]
fn many_inputs_of_one_sum() {
    let shape: &[usize] = &[2, 3, 4];
    check(&[shape; 40], |x| {
        let (mut sum, mut all) = (x[0].clone(), Vec::new());
        for other in &x[1..] {
            sum = sum.add(other)?.tanh()?;
            all.push(sum.clone());
        }
        Ok(all)
    });
}

#[test]
fn scalars_broadcast() {
    check(&[&[], &[2, 3, 3, 5], &[1, 1, 1, 1], &[2, 1, 1, 5]], |x| {
        let s = x[0].tanh()?;
        let y = x[1].mul(&s)?.add(&x[2])?.sub(&x[3])?;
        let mean = y.mean()?;
        Ok(vec![y.sub(&mean)?.sum()?, mean.mul(&s)?, y, x[2].mul(&s)?.broadcast_to(&[2, 3, 3, 5])?])
    });
}

#[test]
fn a_chain_of_300() {
    check(&[&[2, 4, 4, 3], &[3]], |x| {
        let mut values = vec![x[0].clone()];
        for i in 0..300 {
            let last = &values[i];
            values.push(match i % 7 {
                0 => last.tanh()?,
                1 => last.add(&x[1])?,
                2 => last.mul_scalar(0.9)?,
                3 => last.sub(&values[i / 2])?,
                4 => last.sub(&last.mean_images()?)?,
                5 => last.sigmoid()?,
                _ => last.maximum(&values[i - 3])?,
            });
        }
        Ok(vec![values.swap_remove(300)])
    });
}

/// As large as its statistics: the element type must stay that of the images.
#[test]
fn batch_normalisation_of_one_pixel() {
    check(&[&[1, 1, 1, 8], &[8, 1, 1, 8], &[8], &[8]], |x| {
        let y = x[0].conv2d(&x[1], ocelli_core::ops::Conv2d::default())?;
        let [z, mean, variance] = y.batch_norm(&x[2], &x[3], 1e-5)?;
        let w = z.relu()?.conv2d(&x[1], ocelli_core::ops::Conv2d::default())?;
        let joined = Tensor::concat(&[&z, &y])?;
        let loss = w.mul(&w)?.sum()?.add(&joined.sum()?)?;
        let mut outputs = gradients(&loss, &[&x[1], &x[2], &x[3]])?;
        outputs.extend([loss, mean, variance]);
        Ok(outputs)
    });
}

#[test]
fn casts_in_the_middle() {
    check(&[&[2, 3, 3, 5]], |x| {
        let integers = x[0].mul_scalar(40.0)?.cast(DType::I32)?.cast(DType::F32)?;
        let half = x[0].cast(DType::F16)?.tanh()?;
        Ok(vec![integers.mul(&x[0])?, half.cast(DType::F32)?.add(&x[0])?, half.add(&half)?, half])
    });
}

/// A host tensor as it is: nothing is launched.
#[test]
fn nothing_to_launch() {
    check(&[&[3, 2]], |x| Ok(vec![x[0].clone(), x[0].reshape(&[6])?]));
    let (device, recorder) = recording_device();
    let ones = HostTensor::filled(ocelli_core::TensorType::scalar(), 1.0).to_tensor(&device).unwrap();
    evaluate(&[&ones.add_scalar(1.0).unwrap()]).unwrap();
    let (graph, bindings) = recorder.take().pop().unwrap();
    check_plans(&graph, &bindings).unwrap();
}
