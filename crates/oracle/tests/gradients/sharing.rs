//! Values with several users: their gradients are added.

use ocelli_core::ops::Conv2d;

use crate::check;

#[test]
fn a_value_used_two_to_four_times() {
    check(&[&[3, 5]], |x| x[0].mul(&x[0]));
    check(&[&[3, 5]], |x| x[0].relu()?.add(&x[0].sigmoid()?)?.mul(&x[0]));
    check(&[&[3, 5]], |x| x[0].tanh()?.add(&x[0].exp()?)?.sub(&x[0])?.div(&x[0].sigmoid()?));
}

#[test]
fn a_residual_block() {
    let conv = Conv2d { padding: [1, 1], ..Conv2d::default() };
    check(&[&[2, 4, 3, 3], &[3, 3, 3, 3], &[3]], |x| {
        let branch = x[0].conv2d(&x[1], conv)?.add(&x[2])?.tanh()?.conv2d(&x[1], conv)?;
        branch.add(&x[0])?.silu()
    });
}

#[test]
fn one_head_on_several_levels() {
    check(&[&[1, 4, 4, 2], &[3, 3, 3, 2], &[3]], |x| {
        let head =
            |level: &ocelli_core::Tensor| level.conv2d(&x[1], Conv2d::default())?.add(&x[2])?.sigmoid();
        let coarse = x[0].avg_pool2d(ocelli_core::ops::pool::Windows::square(2).stride(1))?;
        head(&x[0])?.sum()?.add(&head(&coarse)?.pow_scalar(2.0)?.sum()?)
    });
}

#[test]
fn an_output_that_does_not_depend_on_an_input_has_gradient_zero() {
    check(&[&[3], &[2]], |x| x[0].exp());
}

/// With ones in, what dropout yields and the gradient through it are the same numbers.
#[test]
fn gradients_asked_of_tensors_go_through_the_forward_masks() {
    let device = ocelli_oracle::device();
    let x = ocelli_core::Tensor::from_slice(&device, &[1f32; 64], &[64]).unwrap();
    let y = x.dropout(0.5).unwrap();
    let gradient = ocelli_core::gradients(&y.sum().unwrap(), &[&x]).unwrap().remove(0);
    ocelli_core::evaluate(&[&y, &gradient]).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), gradient.to_vec::<f32>().unwrap());
}
