use ocelli_core::DType;
use ocelli_core::autograd::differentiate;
use ocelli_core::graph::{Graph, Leaf};
use ocelli_core::ops::{Matmul, Op};
use ocelli_oracle::{Bindings, HostTensor, Random, Rounding, interpret};

use crate::{check, f32};

#[test]
fn matrix_products_and_linear_layers() {
    for (m, k, n) in [(1, 1, 1), (3, 5, 2), (7, 1, 4), (1, 6, 3)] {
        check(&[&[m, k], &[k, n]], |x| x[0].matmul(&x[1]));
        check(&[&[m, k], &[n, k]], |x| x[0].linear(&x[1]));
    }
    check(&[&[4, 4]], |x| x[0].matmul(&x[0]));
}

/// Transposing the operands, and transposing the gradients back, is the same as the plain product.
#[test]
fn every_transposition_has_the_gradients_of_the_plain_product() {
    let (m, k, n) = (3, 5, 2);
    let mut random = Random::new(3);
    let (a, b, dy) = (random.tensor(f32(&[m, k])), random.tensor(f32(&[k, n])), random.tensor(f32(&[m, n])));
    for transpose_a in [false, true] {
        for transpose_b in [false, true] {
            let flip = |x: &HostTensor, flipped| if flipped { transposed(x) } else { x.clone() };
            let inputs = [flip(&a, transpose_a), flip(&b, transpose_b), dy.clone()];
            let mut graph = Graph::default();
            let mut leaf = |index: usize| {
                graph.push_leaf(Leaf::Data { index: index as u32, resident: false }, inputs[index].ty)
            };
            let (x, w, cotangent) = (leaf(0), leaf(1), leaf(2));
            let y = graph.push(Op::Matmul(Matmul { transpose_a, transpose_b }), vec![x, w]).unwrap();
            let product = graph.mul(y, cotangent).unwrap();
            let loss = graph.sum_to(product, ocelli_core::Shape::SCALAR, DType::F32).unwrap();
            let one = graph.constant(1.0).unwrap();
            let gradients = differentiate(&mut graph, loss, &[x, w], one).unwrap();
            graph.roots = gradients.into_iter().flatten().collect();
            let bindings = Bindings { data: inputs.to_vec(), ..Bindings::default() };
            let found = interpret(&graph, &bindings, Rounding::None).unwrap().roots;
            let da =
                |i: usize, j: usize| (0..n).map(|l| dy.values[i * n + l] * b.values[j * n + l]).sum::<f64>();
            let db =
                |i: usize, j: usize| (0..m).map(|l| a.values[l * k + i] * dy.values[l * n + j]).sum::<f64>();
            assert_close(&flip(&found[0], transpose_a), &matrix(m, k, da));
            assert_close(&flip(&found[1], transpose_b), &matrix(k, n, db));
        }
    }
}

fn matrix(rows: usize, columns: usize, element: impl Fn(usize, usize) -> f64) -> HostTensor {
    let values = (0..rows * columns).map(|i| element(i / columns, i % columns)).collect();
    HostTensor::new(f32(&[rows, columns]), values)
}

fn transposed(x: &HostTensor) -> HostTensor {
    let (rows, columns) = x.ty.shape.as_matrix().unwrap();
    matrix(columns, rows, |i, j| x.values[j * columns + i])
}

fn assert_close(found: &HostTensor, expected: &HostTensor) {
    assert_eq!(found.ty, expected.ty);
    for (found, expected) in found.values.iter().zip(&expected.values) {
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }
}
