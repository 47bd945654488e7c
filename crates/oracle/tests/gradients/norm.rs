use crate::{check, check_values, random};

#[test]
fn batch_normalisation() {
    for shape in [&[2, 3, 4, 5][..], &[7, 3], &[5, 1, 1, 3], &[1, 2, 2, 1]] {
        let c = shape[shape.len() - 1];
        check(&[shape, &[c], &[c]], |x| Ok(x[0].batch_norm(&x[1], &x[2], 1e-3)?[0].clone()));
    }
}

/// Where one image with one pixel is all there is, the result is the bias alone.
#[test]
fn batch_normalisation_of_a_single_value() {
    check(&[&[1, 1, 1, 3], &[3], &[3]], |x| Ok(x[0].batch_norm(&x[1], &x[2], 1e-3)?[0].clone()));
}

#[test]
fn batch_normalisation_used_twice_with_one_scale() {
    check(&[&[3, 2, 2, 3], &[3], &[3]], |x| {
        let [y, ..] = x[0].batch_norm(&x[1], &x[2], 1e-5)?;
        let [z, ..] = y.relu()?.batch_norm(&x[1], &x[2], 1e-5)?;
        z.add(&y)
    });
}

#[test]
fn batch_normalisation_with_given_statistics() {
    let mut inputs = random(&[&[2, 3, 3, 4], &[4], &[4], &[4], &[4]]);
    inputs[4].values.iter_mut().for_each(|variance| *variance = variance.abs());
    check_values(&inputs, |x| x[0].batch_norm_with(&x[1], &x[2], &x[3], &x[4], 1e-3));
}

#[test]
fn group_normalisation() {
    for (shape, groups) in [([2, 3, 2, 6], 3), ([1, 4, 3, 4], 1), ([3, 2, 2, 5], 5), ([2, 1, 1, 9], 3)] {
        let c = shape[3];
        check(&[&shape, &[c], &[c]], |x| x[0].group_norm(groups, &x[1], &x[2], 1e-3));
    }
}
