use ocelli_core::ops::Conv2d;

use crate::check;

/// A convolution: its image, its filter, and its attributes.
type Case = ([usize; 4], [usize; 4], Conv2d);

const PLAIN: Conv2d = Conv2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };

const CASES: &[Case] = &[
    ([1, 1, 1, 1], [1, 1, 1, 1], PLAIN),
    ([2, 5, 4, 3], [5, 3, 3, 3], PLAIN),
    ([2, 5, 7, 3], [4, 3, 2, 3], Conv2d { padding: [1, 2], ..PLAIN }),
    // Strides that do not divide what there is to step over.
    ([1, 8, 7, 2], [3, 3, 3, 2], Conv2d { stride: [2, 3], padding: [1, 0], ..PLAIN }),
    ([1, 6, 6, 1], [2, 1, 1, 1], Conv2d { stride: [4, 5], ..PLAIN }),
    ([1, 9, 8, 2], [2, 3, 2, 2], Conv2d { dilation: [3, 2], padding: [2, 1], ..PLAIN }),
    ([1, 11, 10, 1], [1, 3, 3, 1], Conv2d { stride: [3, 2], padding: [3, 1], dilation: [2, 3], ..PLAIN }),
    ([2, 4, 4, 6], [9, 3, 3, 2], Conv2d { groups: 3, padding: [1, 1], ..PLAIN }),
    // Depthwise, with one and with two filters a channel.
    ([1, 5, 5, 5], [5, 3, 3, 1], Conv2d { groups: 5, stride: [2, 2], padding: [1, 1], ..PLAIN }),
    ([1, 4, 5, 3], [6, 3, 3, 1], Conv2d { groups: 3, dilation: [1, 2], padding: [0, 2], ..PLAIN }),
    // A filter larger than the image, within the padding.
    ([1, 2, 3, 1], [1, 5, 5, 1], Conv2d { padding: [2, 2], ..PLAIN }),
];

#[test]
fn convolutions() {
    for (image, filter, conv) in CASES {
        println!("{image:?} {filter:?} {conv:?}");
        check(&[image, filter], |x| x[0].conv2d(&x[1], *conv));
    }
}

#[test]
fn transposed_convolutions() {
    for (image, filter, conv) in CASES {
        let [n, h, w, _] = *image;
        let [k, r, s, _] = *filter;
        for output_padding in [[0, 0], [conv.stride[0] - 1, conv.stride[1] - 1]] {
            let image = [n, h, w, k];
            let fits = |axis: usize, input: usize, window: usize| {
                (input - 1) * conv.stride[axis] + conv.dilation[axis] * (window - 1) + 1
                    > 2 * conv.padding[axis]
            };
            if !(fits(0, h, r) && fits(1, w, s)) {
                continue;
            }
            println!("{image:?} {filter:?} {conv:?} {output_padding:?}");
            check(&[&image, filter], |x| x[0].conv_transpose2d(&x[1], *conv, output_padding));
        }
    }
}
