//! Between Ocelli's order of a tensor's elements and that of a file.

use ocelli_core::nn::Params;
use ocelli_core::{Shape, State};

/// The name of a state in a file of the states below a path.
pub(super) fn name_in_file<'a>(params: &Params, state: &'a State) -> &'a str {
    let below = state.name().strip_prefix(params.path()).and_then(|name| name.strip_prefix('.'));
    below.unwrap_or(state.name())
}

/// The extents in a file of a state of this shape. Of rank four are filters alone.
pub(super) fn extents_in_file(shape: Shape) -> Vec<usize> {
    match shape.as_nhwc() {
        Some((k, r, s, c)) => vec![k, c, r, s],
        None => shape.dims().to_vec(),
    }
}

/// From Ocelli's order to a file's: filters from `[k, r, s, c]` to `[k, c, r, s]`.
pub(super) fn to_file(values: Vec<f32>, shape: Shape) -> Vec<f32> {
    match shape.as_nhwc() {
        Some((_, r, s, c)) => transposed(&values, r * s, c),
        None => values,
    }
}

/// From a file's order to Ocelli's: filters from `[k, c, r, s]` to `[k, r, s, c]`, the extents of `shape`.
pub(super) fn from_file(values: Vec<f32>, shape: Shape) -> Vec<f32> {
    match shape.as_nhwc() {
        Some((_, r, s, c)) => transposed(&values, c, r * s),
        None => values,
    }
}

/// Transposes each of the matrices that lie one after the other.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut transposed = Vec::with_capacity(values.len());
    // A matrix without elements has none to transpose, and chunks of no length are not allowed.
    for matrix in values.chunks_exact((rows * columns).max(1)) {
        for column in 0..columns {
            transposed.extend(matrix[column..].iter().step_by(columns));
        }
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_rearranged_and_back() {
        let shape = Shape::nhwc(2, 3, 1, 4);
        // Each value tells its place: output, row, column, input.
        let place = |k: usize, r: usize, c: usize| (100 * k + 10 * r + c) as f32;
        let krsc: Vec<f32> =
            (0..2).flat_map(|k| (0..3).flat_map(move |r| (0..4).map(move |c| place(k, r, c)))).collect();
        let kcrs: Vec<f32> =
            (0..2).flat_map(|k| (0..4).flat_map(move |c| (0..3).map(move |r| place(k, r, c)))).collect();
        assert_eq!(extents_in_file(shape), [2, 4, 3, 1]);
        assert_eq!(to_file(krsc.clone(), shape), kcrs);
        assert_eq!(from_file(kcrs, shape), krsc);
    }

    #[test]
    fn other_tensors_stay_as_they_are() {
        for extents in [&[][..], &[6], &[2, 3], &[1, 2, 3]] {
            let shape = Shape::new(extents).unwrap();
            let values: Vec<f32> = (0..shape.elements()).map(|i| i as f32).collect();
            assert_eq!(extents_in_file(shape), extents);
            assert_eq!(to_file(values.clone(), shape), values);
            assert_eq!(from_file(values.clone(), shape), values);
        }
    }

    #[test]
    fn filters_without_elements_are_no_trouble() {
        assert!(to_file(Vec::new(), Shape::nhwc(2, 3, 3, 0)).is_empty());
        assert!(from_file(Vec::new(), Shape::nhwc(0, 3, 3, 2)).is_empty());
    }
}
