//! Resampling and its gradient. Which pixels an output pixel reads, and with what weights, comes from
//! [`Upsample::neighbours`] in tables along the two axes, uploaded once, so that the kernels cannot disagree with it.
//! The gradient gathers: an input pixel sums over the rectangle of output pixels that read it, in a fixed order.

use super::pixels::{Pixels, nhwc, refused, vector_width};
use super::prelude::c_type;
use super::{Kernel, Target};
use crate::error::Result;
use crate::ops::{Op, Upsample, UpsampleMode};
use crate::types::TensorType;

/// Loops of up to so many visits are unrolled whole.
const UNROLLED: usize = 64;

pub(super) fn generate(
    op: &Op,
    inputs: &[TensorType],
    outputs: &[TensorType],
    target: &Target,
) -> Result<Kernel> {
    let ([input], [output]) = (inputs, outputs) else {
        return Err(refused(format!("{} has one input and one output", op.name())));
    };
    let pixels = match op {
        Op::Upsample(upsample) => forward(upsample, input, output)?,
        Op::UpsampleGrad { upsample, .. } => gradient(upsample, input, output)?,
        other => return Err(refused(format!("{} is no resampling", other.name()))),
    };
    Ok(pixels.kernel(target))
}

fn forward(upsample: &Upsample, x: &TensorType, y: &TensorType) -> Result<Pixels> {
    let ([_, h, w, _], [n, p, q, c]) = (nhwc(x)?, nhwc(y)?);
    let vector = vector_width(c, x.dtype, 8);
    // First neighbour and weight of the second, for each output row, then for each output column.
    let sources = |axis, count, input| {
        (0..count).flat_map(move |index| {
            let (first, _, weight) = upsample.neighbours(axis, index, input);
            [first as u32, weight.to_bits()]
        })
    };
    Ok(Pixels {
        description: format!("upsample_{}_{}_c{c}_v{vector}", mode_name(upsample), x.dtype.name()),
        space: [n, p, q],
        channels: c,
        vector,
        elements: x.shape.elements().max(y.shape.elements()),
        declarations: format!("typedef {} T;\nconstexpr int H = {h}, W = {w};", c_type(x.dtype)),
        parameters: "const T* __restrict__ x, T* __restrict__ y, const uint2* __restrict__ sources",
        body: match upsample.mode {
            UpsampleMode::Nearest => NEAREST,
            UpsampleMode::Bilinear { .. } => BILINEAR,
        },
        constants: sources(0, p, h).chain(sources(1, q, w)).collect(),
    })
}

const NEAREST: &str = r#"
        const int h = sources[row].x, w = sources[ROWS + column].x;
        store(y + ((n * ROWS + row) * COLUMNS + column) * C + c, load<T, V>(x + ((n * H + h) * W + w) * C + c));
"#;

const BILINEAR: &str = r#"
        const uint2 down = sources[row], across = sources[ROWS + column];
        const int top = down.x, bottom = min(top + 1, H - 1), left = across.x, right = min(left + 1, W - 1);
        const float lower = __uint_as_float(down.y), further = __uint_as_float(across.y);
        const Vec<T, V> x00 = load<T, V>(x + ((n * H + top) * W + left) * C + c);
        const Vec<T, V> x01 = load<T, V>(x + ((n * H + top) * W + right) * C + c);
        const Vec<T, V> x10 = load<T, V>(x + ((n * H + bottom) * W + left) * C + c);
        const Vec<T, V> x11 = load<T, V>(x + ((n * H + bottom) * W + right) * C + c);
        Vec<T, V> result;
        EACH {
            const float above = (1.0f - further) * to_float(x00.v[j]) + further * to_float(x01.v[j]);
            const float below = (1.0f - further) * to_float(x10.v[j]) + further * to_float(x11.v[j]);
            result.v[j] = from_float<T>((1.0f - lower) * above + lower * below);
        }
        store(y + ((n * ROWS + row) * COLUMNS + column) * C + c, result);
"#;

fn gradient(upsample: &Upsample, dy: &TensorType, dx: &TensorType) -> Result<Pixels> {
    let ([_, p, q, _], [n, h, w, c]) = (nhwc(dy)?, nhwc(dx)?);
    let vector = vector_width(c, dy.dtype, 8);
    let (down, across) = (Readers::new(upsample, 0, p, h), Readers::new(upsample, 1, q, w));
    let visits = down.most * across.most;
    let unroll = if visits <= UNROLLED { visits } else { 4 };
    Ok(Pixels {
        description: format!("upsample_grad_{}_{}_c{c}_v{vector}", mode_name(upsample), dy.dtype.name()),
        space: [n, h, w],
        channels: c,
        vector,
        elements: dx.shape.elements().max(dy.shape.elements()),
        declarations: format!(
            "typedef {} T;\nconstexpr int P = {p}, Q = {q}, DOWN = {}, ACROSS = {}, UNROLL = {unroll};",
            c_type(dy.dtype),
            down.most,
            across.most,
        ),
        parameters: "const T* __restrict__ dy, T* __restrict__ dx, const unsigned int* __restrict__ readers",
        body: r#"
        const int top = readers[row], left = readers[ROWS + column];
        const unsigned int* down = readers + ROWS + COLUMNS + row * DOWN;
        const unsigned int* across = readers + ROWS + COLUMNS + ROWS * DOWN + column * ACROSS;
        float sum[V] = {};
#pragma unroll UNROLL
        for (int k = 0; k < DOWN * ACROSS; ++k) {
            const int p = min(top + k / ACROSS, P - 1), q = min(left + k % ACROSS, Q - 1);
            const Vec<T, V> upstream = load<T, V>(dy + ((n * P + p) * Q + q) * C + c);
            const float weight = __uint_as_float(down[k / ACROSS]) * __uint_as_float(across[k % ACROSS]);
            EACH sum[j] += chain(to_float(upstream.v[j]), weight);
        }
        Vec<T, V> result;
        EACH result.v[j] = from_float<T>(sum[j]);
        store(dx + ((n * ROWS + row) * COLUMNS + column) * C + c, result);
"#,
        constants: [down.first, across.first]
            .concat()
            .into_iter()
            .chain(down.weights)
            .chain(across.weights)
            .collect(),
    })
}

/// The outputs along an axis that read each input.
#[derive(Debug)]
struct Readers {
    /// The first output that reads each input.
    first: Vec<u32>,
    /// The most outputs that read one input.
    most: usize,
    /// For each input `most` weights as `f32` bits, zeros after the last reader.
    weights: Vec<u32>,
}

impl Readers {
    fn new(upsample: &Upsample, axis: usize, output: usize, input: usize) -> Readers {
        let mut readers: Vec<Vec<(usize, f32)>> = vec![Vec::new(); input];
        for index in 0..output {
            let (first, second, weight) = upsample.neighbours(axis, index, input);
            if first == second {
                readers[first].push((index, 1.0));
            } else {
                readers[first].push((index, 1.0 - weight));
                readers[second].push((index, weight));
            }
        }
        // The neighbours never move backwards, so that the readers of an input follow each other.
        let most = readers.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut weights = vec![0.0f32.to_bits(); input * most];
        for (weights, readers) in weights.chunks_exact_mut(most).zip(&readers) {
            weights.iter_mut().zip(readers).for_each(|(word, (_, weight))| *word = weight.to_bits());
        }
        let first =
            readers.iter().map(|readers| readers.first().map_or(0, |&(index, _)| index as u32)).collect();
        Readers { first, most, weights }
    }
}

fn mode_name(upsample: &Upsample) -> &'static str {
    match upsample.mode {
        UpsampleMode::Nearest => "nearest",
        UpsampleMode::Bilinear { align_corners: false } => "bilinear",
        UpsampleMode::Bilinear { align_corners: true } => "bilinear_aligned",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_hold_every_weight_of_every_output() {
        let bilinear = |align_corners| UpsampleMode::Bilinear { align_corners };
        for mode in [UpsampleMode::Nearest, bilinear(false), bilinear(true)] {
            for (input, output) in (1..9).flat_map(|input| (1..20).map(move |output| (input, output))) {
                let upsample = Upsample { output: [output; 2], mode };
                let readers = Readers::new(&upsample, 0, output, input);
                let mut weights = vec![vec![0.0f32; input]; output];
                for source in 0..input {
                    for k in 0..readers.most {
                        let weight = f32::from_bits(readers.weights[source * readers.most + k]);
                        if weight != 0.0 {
                            weights[readers.first[source] as usize + k][source] += weight;
                        }
                    }
                }
                for (index, found) in weights.iter().enumerate() {
                    let (first, second, weight) = upsample.neighbours(0, index, input);
                    let mut expected = vec![0.0f32; input];
                    expected[first] += 1.0 - weight;
                    expected[second] += weight;
                    for (a, b) in found.iter().zip(&expected) {
                        assert!((a - b).abs() < 1e-6, "{mode:?} {input} -> {output}: {found:?} {expected:?}");
                    }
                }
            }
        }
    }
}
