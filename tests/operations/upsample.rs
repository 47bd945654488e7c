use ocelli::ops::UpsampleMode;

use crate::harness::{Suite, case, numbers};

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_mode() {
    let modes = [
        UpsampleMode::Nearest,
        UpsampleMode::Bilinear { align_corners: false },
        UpsampleMode::Bilinear { align_corners: true },
    ];
    let sizes = [
        ([2, 4, 5, 3], [8, 10]),
        ([1, 5, 7, 8], [11, 9]),
        ([2, 9, 8, 12], [4, 5]),
        ([1, 1, 1, 1], [3, 4]),
        ([2, 6, 6, 1], [1, 1]),
        ([2, 5, 4, 8], [5, 4]),
        ([2, 13, 17, 64], [26, 34]),
    ];
    let mut suite = Suite::default();
    for mode in modes {
        for (shape, output) in sizes {
            let case = case(format!("upsample to {output:?}, {mode:?}"), [numbers(&shape)]);
            suite.check(case, |x| x[0].upsample(output, mode));
        }
    }
}
