use crate::check;

#[test]
fn sums_over_every_choice_of_extents() {
    let image = [2, 3, 5, 7];
    for kept in 0..16 {
        let shape: Vec<usize> = (0..4).map(|i| if kept >> i & 1 == 1 { image[i] } else { 1 }).collect();
        check(&[&image], |x| x[0].sum_to(&shape));
    }
    for shape in [&[][..], &[1], &[7], &[5, 1], &[3, 1, 7]] {
        check(&[&image], |x| x[0].sum_to(shape));
    }
}

#[test]
fn means() {
    check(&[&[2, 3, 5, 7]], |x| x[0].mean());
    check(&[&[2, 3, 5, 7]], |x| x[0].mean_images());
    check(&[&[2, 1, 1, 7]], |x| x[0].mean_images());
    check(&[&[5, 3]], |x| x[0].sum());
    check(&[&[]], |x| x[0].mean());
}

#[test]
fn repetitions() {
    for shape in [&[][..], &[1], &[7], &[5, 1], &[3, 1, 7], &[2, 1, 1, 7], &[1, 3, 5, 1], &[2, 3, 5, 7]] {
        check(&[shape], |x| x[0].broadcast_to(&[2, 3, 5, 7]));
    }
}
