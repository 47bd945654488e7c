use ocelli_core::ops::UpsampleMode;

use crate::check;

#[test]
fn images_larger_and_smaller() {
    let modes = [
        UpsampleMode::Nearest,
        UpsampleMode::Bilinear { align_corners: false },
        UpsampleMode::Bilinear { align_corners: true },
    ];
    for mode in modes {
        for (image, output) in [
            ([2, 3, 4, 3], [6, 8]),
            ([1, 5, 3, 2], [7, 4]),
            ([1, 7, 6, 1], [3, 2]),
            ([1, 1, 1, 3], [4, 1]),
            ([1, 4, 5, 2], [1, 1]),
            ([1, 3, 3, 1], [3, 3]),
        ] {
            println!("{mode:?} {image:?} {output:?}");
            check(&[&image], |x| x[0].upsample(output, mode));
        }
    }
}
