use crate::harness::{Suite, case, numbers};

/// Each extent summed or kept, in every combination.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn sums_over_every_choice_of_extents() {
    let mut suite = Suite::default();
    for image in [[2, 3, 5, 7], [3, 4, 6, 8]] {
        for mask in 0..16 {
            let kept: Vec<usize> = (0..4).map(|i| if mask >> i & 1 == 1 { image[i] } else { 1 }).collect();
            suite.check(case(format!("sum to {kept:?}"), [numbers(&image)]), |x| x[0].sum_to(&kept));
        }
    }
}

/// Sums that one block cannot make alone: many rows, many columns, both, and lower ranks.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn sums_of_many() {
    let mut suite = Suite::default();
    let sums: [(&[usize], &[usize]); 14] = [
        (&[3, 33, 35, 12], &[]),
        (&[3, 33, 35, 12], &[12]),
        (&[3, 33, 35, 12], &[3, 1, 1, 12]),
        (&[3, 33, 35, 12], &[3, 33, 35, 1]),
        (&[2, 56, 56, 64], &[64]),
        (&[4, 7, 7, 512], &[4, 1, 1, 512]),
        (&[16, 28, 28, 8], &[8]),
        (&[64, 28, 28, 1], &[1]),
        (&[4096, 3], &[3]),
        (&[5, 3001], &[5, 1]),
        (&[1, 3001], &[]),
        (&[40_001], &[]),
        (&[1, 1, 1, 5], &[]),
        (&[], &[]),
    ];
    for (shape, to) in sums {
        suite.check(case(format!("sum to {to:?}"), [numbers(shape)]), |x| x[0].sum_to(to));
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn means() {
    let mut suite = Suite::default();
    for shape in [[1, 5, 7, 3], [2, 7, 7, 64], [3, 31, 29, 12]] {
        suite.check(case("mean", [numbers(&shape)]), |x| x[0].mean());
        suite.check(case("mean_images", [numbers(&shape)]), |x| x[0].mean_images());
        suite.check(case("sum_images", [numbers(&shape)]), |x| x[0].sum_images());
        suite.check(case("global pooling", [numbers(&shape)]), |x| x[0].adaptive_avg_pool2d([1, 1]));
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn repetition() {
    let mut suite = Suite::default();
    let shapes: [(&[usize], &[usize]); 5] = [
        (&[], &[3, 5]),
        (&[7], &[2, 3, 5, 7]),
        (&[2, 1, 1, 8], &[2, 5, 5, 8]),
        (&[1, 3, 1, 1], &[4, 3, 5, 7]),
        (&[4, 5], &[4, 5]),
    ];
    for (from, to) in shapes {
        suite.check(case(format!("broadcast_to {to:?}"), [numbers(from)]), |x| x[0].broadcast_to(to));
    }
}
