use ocelli_core::Tensor;

use crate::check;

#[test]
fn reshapes() {
    check(&[&[2, 3, 5, 7]], |x| x[0].reshape(&[6, 35]));
    check(&[&[2, 3, 5, 7]], |x| x[0].flatten());
    check(&[&[1]], |x| x[0].reshape(&[]));
}

#[test]
fn concatenations_and_slices() {
    let shapes: [&[usize]; 3] = [&[2, 3, 2, 5], &[2, 3, 2, 1], &[2, 3, 2, 4]];
    check(&shapes, |x| Tensor::concat(&[&x[0], &x[1], &x[2]]));
    check(&shapes, |x| Tensor::concat(&[&x[0], &x[1], &x[0]]));
    check(&[&[3, 5]], |x| Tensor::concat(&[&x[0]]));
    for (start, length) in [(0, 7), (0, 1), (2, 3), (6, 1)] {
        check(&[&[2, 2, 3, 7]], |x| x[0].channel_slice(start, length));
    }
    check(&[&[2, 6]], |x| Tensor::concat(&[&x[0].channel_slice(4, 2)?, &x[0].channel_slice(1, 4)?]));
}

#[test]
fn shuffles() {
    for groups in [1, 2, 3, 4, 6, 12] {
        check(&[&[2, 1, 3, 12]], |x| x[0].channel_shuffle(groups));
    }
}

#[test]
fn no_gradient_passes_a_detached_value() {
    let device = ocelli_oracle::device();
    let x = Tensor::from_slice(&device, &[2f32, 3.0], &[2]).unwrap();
    let y = x.mul(&x.detach().unwrap()).unwrap().sum().unwrap();
    let gradients = ocelli_core::gradients(&y, &[&x]).unwrap();
    assert_eq!(gradients[0].to_vec::<f32>().unwrap(), [2.0, 3.0]);
}
