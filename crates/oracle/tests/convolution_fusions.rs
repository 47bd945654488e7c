//! Convolutions that take over the work around them, against the same graph planned without, on random shapes.
#![allow(clippy::unwrap_used, reason = "tests")]

use ocelli_core::autograd::differentiate;
use ocelli_core::graph::{Graph, Leaf, Node, Value};
use ocelli_core::ops::{BatchNorm, Conv2d, ConvFusion, Op, Unary};
use ocelli_core::plan::{LaunchKind, Plan, PlanOptions, passes, plan};

use ocelli_core::{DType, Real, Shape, TensorType};
use ocelli_oracle::{Bindings, HostTensor, Random, Rounding, check_plans, interpret, interpret_plan};

/// A graph under construction, with numbers for its leaves.
struct Drawing {
    graph: Graph,
    bindings: Bindings,
    random: Random,
    dtype: DType,
}

impl Drawing {
    fn new(seed: u64, dtype: DType) -> Drawing {
        let bindings = Bindings::default();
        Drawing { graph: Graph::default(), bindings, random: Random::new(seed), dtype }
    }

    /// Images from outside.
    fn image(&mut self, shape: Shape) -> Value {
        let ty = TensorType::new(self.dtype, shape);
        let index = self.bindings.data.len() as u32;
        self.bindings.data.push(self.random.tensor(ty));
        self.graph.push_leaf(Leaf::Data { index, resident: false }, ty)
    }

    /// A parameter of this type.
    fn state(&mut self, ty: TensorType) -> Value {
        let index = self.bindings.states.len() as u32;
        let tensor: HostTensor = self.random.tensor(ty);
        self.bindings.states.push(tensor);
        self.graph.push_leaf(Leaf::State { index, trainable: false }, ty)
    }

    /// A number for each channel, in `f32`.
    fn channels(&mut self, count: usize) -> Value {
        self.state(TensorType::new(DType::F32, Shape::vector(count)))
    }

    fn conv(&mut self, x: Value, k: usize, window: usize, conv: Conv2d) -> Value {
        let c = self.graph.ty(x).shape.channels() / conv.groups;
        let w = self.state(TensorType::new(self.dtype, Shape::nhwc(k, window, window, c)));
        self.graph.push(Op::Conv2d(conv), vec![x, w]).unwrap()
    }

    /// A random image of `c` channels.
    fn random_image(&mut self, c: usize) -> Value {
        let (n, h, w) = (1 + self.random.below(3), 3 + self.random.below(5), 3 + self.random.below(5));
        self.image(Shape::nhwc(n, h, w, c))
    }

    /// A convolution with a window of 1 or 3 and stride 1 or 2.
    fn random_conv(&mut self, x: Value, k: usize) -> Value {
        let window = self.random.pick(&[1, 3]);
        let stride = [self.random.pick(&[1, 2]); 2];
        let conv = Conv2d { stride, padding: [window / 2; 2], ..Conv2d::default() };
        self.conv(x, k, window, conv)
    }

    /// Checks that all plans mean what the graph does, and returns the one with everything on.
    fn check(&self) -> Plan {
        check_plans(&self.graph, &self.bindings).unwrap();
        plan(&self.graph, PlanOptions::default()).unwrap()
    }
}

fn fusions(plan: &Plan) -> Vec<ConvFusion> {
    let fusion = |kind: &LaunchKind| match kind {
        LaunchKind::Convolution(convolution) => Some(convolution.fusion),
        _ => None,
    };
    let fusions = plan.launches.iter().filter_map(|launch| fusion(&launch.kind));
    fusions.filter(|fusion| *fusion != ConvFusion::NONE).collect()
}

#[test]
fn statistics_are_those_of_the_unfused_plan() {
    for seed in 0..40 {
        for (dtype, c, k, fuses) in [
            (DType::F16, 8, 16, true),
            (DType::F16, 16, 8, true),
            (DType::F16, 6, 16, false),
            (DType::F16, 8, 12, false),
            (DType::BF16, 8, 16, false),
            (DType::F32, 8, 16, false),
        ] {
            let mut drawing = Drawing::new(seed, dtype);
            let x = drawing.random_image(c);
            let y = drawing.random_conv(x, k);
            let (gamma, beta) = (drawing.channels(k), drawing.channels(k));
            let graph = &mut drawing.graph;
            let norm =
                graph.push(Op::BatchNorm(BatchNorm { eps: Real(1e-5) }), vec![y, gamma, beta]).unwrap();
            // The convolution's result may be wanted by others too.
            graph.roots = vec![norm, norm.output(1), norm.output(2)];
            if seed % 2 == 0 {
                graph.roots.push(y);
            }
            let plan = drawing.check();
            let expected = ConvFusion { statistics: true, ..ConvFusion::NONE };
            assert_eq!(fusions(&plan), if fuses { vec![expected] } else { vec![] });
            assert_eq!(plan.decisions.len(), 1);
            assert_eq!(plan.decisions[0].fused, fuses, "{:?}", plan.decisions);
        }
    }
}

#[test]
fn epilogues_are_those_of_the_unfused_plan() {
    for seed in 0..30 {
        for (dtype, c, k) in
            [(DType::F16, 8, 16), (DType::BF16, 3, 5), (DType::F32, 8, 6), (DType::F16, 7, 4)]
        {
            for (residual, relu) in [(false, false), (false, true), (true, false), (true, true)] {
                let mut drawing = Drawing::new(seed, dtype);
                let x = drawing.random_image(c);
                let convolved = drawing.random_conv(x, k);
                let bias = drawing.channels(k);
                let mut y = drawing.graph.add(convolved, bias).unwrap();
                if residual {
                    // The other branch of a block: another convolution, or something from outside.
                    let shape = drawing.graph.ty(convolved).shape;
                    let other = match drawing.random.chance(0.5) {
                        true => drawing.image(shape),
                        false => {
                            let image = drawing.image(shape);
                            let other = drawing.conv(image, k, 1, Conv2d::default());
                            let bias = drawing.channels(k);
                            drawing.graph.add(other, bias).unwrap()
                        }
                    };
                    y = drawing.graph.add(y, other).unwrap();
                }
                if relu {
                    y = drawing.graph.unary(Unary::Relu, y).unwrap();
                }
                drawing.graph.roots.push(y);
                let plan = drawing.check();
                let expected = ConvFusion { bias: true, residual, relu, ..ConvFusion::NONE };
                assert_eq!(fusions(&plan).last(), Some(&expected), "{:?}", plan.decisions);
                let mut epilogues = plan.decisions.iter().filter(|decision| decision.pattern == "epilogue");
                assert!(epilogues.all(|decision| decision.fused), "{:?}", plan.decisions);
            }
        }
    }
}

#[test]
fn convolutions_over_blocks_of_pixels_are_those_with_a_stride() {
    let mut spread = 0;
    for seed in 0..30 {
        for dtype in [DType::F32, DType::F16] {
            let mut drawing = Drawing::new(seed, dtype);
            let c = 1 + drawing.random.below(4);
            let (n, h, w) =
                (1 + drawing.random.below(2), 8 + drawing.random.below(5), 8 + drawing.random.below(5));
            let x = drawing.image(Shape::nhwc(n, h, w, c));
            let (stride, window) = drawing.random.pick(&[([2, 2], 3), ([2, 2], 7), ([3, 2], 4), ([2, 3], 5)]);
            let padding = [drawing.random.below(window / 2 + 1), drawing.random.below(window / 2 + 1)];
            let conv = Conv2d { stride, padding, ..Conv2d::default() };
            let y = drawing.conv(x, 8, window, conv);
            let filter = drawing.graph.ty(drawing.graph.node(y).inputs[1]).shape;
            let gradient = Op::ConvBackwardFilter { conv, filter };
            let dw = drawing.graph.push(gradient, vec![x, y]).unwrap();
            drawing.graph.roots.extend([y, dw]);
            check_plans(&drawing.graph, &drawing.bindings).unwrap();
            let options = PlanOptions { fuse_at_any_price: true, ..PlanOptions::default() };
            let plan = plan(&drawing.graph, options).unwrap();
            let strides = plan.launches.iter().filter_map(|launch| match &launch.kind {
                LaunchKind::Convolution(convolution) => Some(convolution.conv.stride),
                _ => None,
            });
            let strides: Vec<[usize; 2]> = strides.collect();
            assert!(strides.iter().all(|&stride| stride == [1, 1]), "{strides:?}");
            spread += strides.len();
        }
    }
    assert!(spread > 90, "{spread} convolutions over blocks");
}

/// Two convolutions with batch normalisations, between them ReLU, and the gradients of all parameters.
#[test]
fn prologues_are_those_of_the_unfused_plan() {
    for seed in 0..30 {
        for (dtype, c, k, fuses) in [
            (DType::F16, 24, 16, true),
            (DType::F16, 32, 8, true),
            (DType::F16, 20, 8, false),
            (DType::BF16, 24, 8, false),
            // The filter's gradient is a kernel of ours.
            (DType::F16, 8, 8, false),
        ] {
            let mut drawing = Drawing::new(seed, dtype);
            let x = drawing.random_image(8);
            let norm = |drawing: &mut Drawing, y: Value| {
                let channels = drawing.graph.ty(y).shape.channels();
                let (gamma, beta) = (drawing.channels(channels), drawing.channels(channels));
                let norm = Op::BatchNorm(BatchNorm { eps: Real(1e-3) });
                drawing.graph.push(norm, vec![y, gamma, beta]).unwrap()
            };
            let y = drawing.random_conv(x, c);
            let normal = norm(&mut drawing, y);
            let z = drawing.graph.unary(Unary::Relu, normal).unwrap();
            let y = drawing.conv(z, k, 1, Conv2d { stride: [1 + seed as usize % 2; 2], ..Conv2d::default() });
            let y = norm(&mut drawing, y);
            let graph = &mut drawing.graph;
            let cubed = graph.mul(y, y).and_then(|squared| graph.mul(squared, y)).unwrap();
            let loss = graph.sum_to(cubed, Shape::SCALAR, DType::F32).unwrap();
            let is_state = |node: &Node| matches!(node.op, Op::Leaf(Leaf::State { .. }));
            let states = graph.nodes.iter().enumerate().filter(|(_, node)| is_state(node));
            let states: Vec<Value> = states.map(|(id, _)| Value { node: id as u32, output: 0 }).collect();
            let one = graph.constant(1.0).unwrap();
            let gradients = differentiate(graph, loss, &states, one).unwrap();
            graph.roots.push(loss);
            graph.roots.extend(gradients.into_iter().flatten());
            let options = PlanOptions { fuse_at_any_price: true, ..PlanOptions::default() };
            let plan = plan(&drawing.graph, options).unwrap();
            // Held against what the passes before the rules make of the graph: they round the count of pixels, and what is
            // left of terms that cancel tells.
            let expected =
                interpret(&passes(&drawing.graph).unwrap(), &drawing.bindings, Rounding::None).unwrap();
            let found = interpret_plan(&plan, &drawing.bindings).unwrap();
            for (root, (expected, found)) in expected.roots.iter().zip(&found.roots).enumerate() {
                let largest =
                    expected.values.iter().fold(1e-3, |largest: f64, value| largest.max(value.abs()));
                for (expected, found) in expected.values.iter().zip(&found.values) {
                    assert!(
                        (expected - found).abs() <= 1e-8 * largest,
                        "root {root}: {found}, not {expected}"
                    );
                }
            }
            let fusions = fusions(&plan);
            let with_prologue = fusions.iter().filter(|fusion| fusion.prologue).count();
            assert_eq!(with_prologue, if fuses { 2 } else { 0 }, "{fusions:?}");
        }
    }
}
