use ocelli_core::ops::pool::Windows;

use crate::check;

/// Images and the windows laid over them.
const CASES: &[([usize; 4], Windows)] = &[
    ([2, 4, 6, 3], Windows { kernel: [2, 2], stride: [2, 2], padding: [0, 0], ceil_mode: false }),
    ([1, 7, 5, 2], Windows { kernel: [3, 3], stride: [2, 2], padding: [1, 1], ceil_mode: false }),
    ([1, 6, 8, 1], Windows { kernel: [3, 2], stride: [2, 3], padding: [0, 1], ceil_mode: true }),
    ([1, 5, 5, 3], Windows { kernel: [3, 3], stride: [1, 1], padding: [1, 1], ceil_mode: false }),
    // Rounding up leaves windows that hang over the image, and drops those that would begin behind it.
    ([1, 3, 4, 1], Windows { kernel: [2, 2], stride: [2, 2], padding: [1, 1], ceil_mode: true }),
    ([2, 8, 7, 1], Windows { kernel: [5, 4], stride: [4, 3], padding: [2, 2], ceil_mode: true }),
    // Steps larger than the window: pixels that no window sees.
    ([1, 7, 9, 2], Windows { kernel: [2, 1], stride: [3, 4], padding: [0, 0], ceil_mode: false }),
    ([1, 1, 1, 5], Windows { kernel: [1, 1], stride: [1, 1], padding: [0, 0], ceil_mode: false }),
    ([1, 1, 1, 2], Windows { kernel: [3, 3], stride: [2, 2], padding: [1, 1], ceil_mode: true }),
];

#[test]
fn the_largest_of_each_window() {
    for (image, windows) in CASES {
        println!("{image:?} {windows:?}");
        check(&[image], |x| x[0].max_pool2d(*windows));
    }
}

#[test]
fn the_mean_of_each_window_with_and_without_padding() {
    for (image, windows) in CASES {
        println!("{image:?} {windows:?}");
        check(&[image], |x| x[0].avg_pool2d(*windows));
        check(&[image], |x| x[0].avg_pool2d_without_pad(*windows));
    }
}

#[test]
fn adaptive_windows() {
    for (image, output) in [
        ([2, 7, 5, 3], [3, 2]),
        ([1, 5, 7, 1], [5, 7]),
        ([1, 3, 2, 2], [4, 5]),
        ([1, 6, 9, 1], [1, 4]),
        ([2, 5, 3, 2], [1, 1]),
        ([1, 1, 1, 3], [2, 3]),
    ] {
        println!("{image:?} {output:?}");
        check(&[&image], |x| x[0].adaptive_avg_pool2d(output));
    }
}
