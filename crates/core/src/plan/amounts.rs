//! How much work a launch is: the bytes that it must move, and the operations that it must do.

use super::{Launch, LaunchKind, Plan};
use crate::codegen::{Access, KernelSpec};
use crate::ops::Op;
use crate::types::Shape;

impl Plan {
    /// Bytes that a launch must read and write: each operand once, and of an operand that is only read in part, no more
    /// than is wanted of it.
    pub fn bytes(&self, launch: &Launch) -> usize {
        let whole = |&buffer: &u32| self.buffers[buffer as usize].ty.bytes();
        let written: usize = launch.writes.iter().map(whole).sum();
        let LaunchKind::Kernel(KernelSpec::Map(map)) = &launch.kind else {
            return written + launch.reads.iter().map(whole).sum::<usize>();
        };
        let elements: usize = map.space.iter().product();
        let read = launch.reads.iter().zip(&map.inputs).map(|(buffer, input)| match input.access {
            Access::Windows { .. } | Access::Indices => whole(buffer),
            _ => whole(buffer).min(elements * input.dtype.bytes()),
        });
        written + read.sum::<usize>()
    }

    /// Multiplications and additions of a launch's convolution or matrix product; 0 for all other work, which bytes bound.
    pub fn operations(&self, launch: &Launch) -> f64 {
        match &launch.kind {
            LaunchKind::Convolution(convolution) => convolution.operations(),
            LaunchKind::Matmul(product) => {
                let extents = product.matmul.extents(product.a.shape, product.b);
                extents.map_or(0.0, |(m, k, n)| 2.0 * m as f64 * k as f64 * n as f64)
            }
            LaunchKind::Kernel(KernelSpec::Operation {
                op: Op::ConvBackwardFilter { filter, .. },
                inputs,
                ..
            }) => {
                let gradient = inputs.get(1).map_or(0, |ty| ty.shape.elements());
                2.0 * gradient as f64 * taps(*filter)
            }
            LaunchKind::Kernel(_) | LaunchKind::Copy(_) => 0.0,
        }
    }
}

/// How many elements of an image go into one of the result.
fn taps(filter: Shape) -> f64 {
    let [_, r, s, c] = filter.aligned();
    (r * s * c) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Leaf};
    use crate::ops::{Conv2d, Unary};
    use crate::plan::{PlanOptions, plan};
    use crate::types::{DType, TensorType};

    #[test]
    fn operands_count_once_and_convolutions_by_their_taps() {
        let mut graph = Graph::default();
        let mut state = |index, shape| {
            let ty = TensorType::new(DType::F16, shape);
            graph.push_leaf(Leaf::State { index, trainable: false }, ty)
        };
        let (x, w) = (state(0, Shape::nhwc(2, 8, 8, 16)), state(1, Shape::nhwc(32, 3, 3, 16)));
        let conv = Conv2d { padding: [1, 1], ..Conv2d::default() };
        let y = graph.push(Op::Conv2d(conv), vec![x, w]).unwrap();
        let z = graph.push(Op::Unary(Unary::Tanh), vec![y]).unwrap();
        graph.roots = vec![z];
        let plan = plan(&graph, PlanOptions::default()).unwrap();
        let amounts: Vec<(usize, f64)> =
            plan.launches.iter().map(|launch| (plan.bytes(launch), plan.operations(launch))).collect();
        let (x, w, y) = (2 * 64 * 16, 32 * 9 * 16, 2 * 64 * 32);
        assert_eq!(amounts, [(2 * (x + w + y), 2.0 * (y * 9 * 16) as f64), (2 * (y + y), 0.0)]);
    }

    #[test]
    fn rows_that_are_not_taken_are_not_read() {
        let mut graph = Graph::default();
        let rows = graph.push_leaf(
            Leaf::State { index: 0, trainable: false },
            TensorType::new(DType::F32, Shape::new(&[1000, 8]).unwrap()),
        );
        let indices = graph.push_leaf(
            Leaf::Data { index: 0, resident: false },
            TensorType::new(DType::I32, Shape::vector(4)),
        );
        let taken = graph.push(Op::TakeRows, vec![rows, indices]).unwrap();
        graph.roots = vec![taken];
        let plan = plan(&graph, PlanOptions::default()).unwrap();
        assert_eq!(plan.bytes(&plan.launches[0]), 4 * (4 * 8 + 4 + 4 * 8));
    }
}
