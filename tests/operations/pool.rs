use ocelli::ops::pool::Windows;

use crate::harness::{Suite, case, numbers};

fn windows() -> Vec<Windows> {
    vec![
        Windows::square(2),
        Windows::square(3).stride(2).padding(1),
        Windows::square(3).stride(1).padding(1),
        Windows::square(2).ceil_mode(),
        Windows::square(3).stride(2).ceil_mode(),
        Windows::square(2).stride(2).padding(1).ceil_mode(),
        Windows::square(3).stride(4),
        Windows { kernel: [3, 2], stride: [2, 1], padding: [1, 0], ceil_mode: false },
        Windows { kernel: [1, 4], stride: [1, 3], padding: [0, 2], ceil_mode: true },
    ]
}

const IMAGES: [[usize; 4]; 5] = [[1, 7, 6, 1], [2, 9, 8, 3], [2, 7, 11, 8], [1, 8, 8, 12], [4, 23, 25, 64]];

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn max() {
    let mut suite = Suite::default();
    for image in IMAGES {
        for windows in windows() {
            let case = case(format!("max_pool2d {windows:?}"), [numbers(&image).even()]);
            suite.check(case, |x| x[0].max_pool2d(windows));
        }
    }
}

/// Many equal values in a window: the first in reading order takes the gradient.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn max_of_ties() {
    let mut suite = Suite::default();
    for windows in windows() {
        let case = case(format!("max_pool2d of ties {windows:?}"), [numbers(&[2, 9, 8, 8]).even()]);
        suite.check(case, |x| x[0].clamp(-0.5, 0.5)?.max_pool2d(windows));
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn average() {
    let mut suite = Suite::default();
    for image in IMAGES {
        for windows in windows() {
            let with_pad = case(format!("avg_pool2d {windows:?}"), [numbers(&image)]);
            suite.check(with_pad, |x| x[0].avg_pool2d(windows));
            let without = case(format!("avg_pool2d_without_pad {windows:?}"), [numbers(&image)]);
            suite.check(without, |x| x[0].avg_pool2d_without_pad(windows));
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn adaptive_average() {
    let mut suite = Suite::default();
    for image in IMAGES {
        for output in [[1, 1], [1, 3], [3, 2], [5, 5], [7, 6], [9, 13]] {
            let case = case(format!("adaptive_avg_pool2d {output:?}"), [numbers(&image)]);
            suite.check(case, |x| x[0].adaptive_avg_pool2d(output));
        }
    }
}
