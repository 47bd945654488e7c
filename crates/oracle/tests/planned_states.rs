//! Plans of graphs whose states change in their places: all reads see the old values, whatever the order of launches.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli_core::graph::{Graph, Leaf, Update, Value};
use ocelli_core::ops::{Binary, ChannelSlice, Op, Unary};
use ocelli_core::{DType, Shape, TensorType};
use ocelli_oracle::{Bindings, Random, check_plans};

/// A graph under construction, whose leaves are all of one type.
struct Build {
    graph: Graph,
    ty: TensorType,
    bindings: Bindings,
    random: Random,
}

impl Build {
    fn new(shape: &[usize]) -> Build {
        let ty = TensorType::new(DType::F32, Shape::new(shape).unwrap());
        Build { graph: Graph::default(), ty, bindings: Bindings::default(), random: Random::new(5) }
    }

    fn state(&mut self) -> Value {
        let index = self.bindings.states.len() as u32;
        self.bindings.states.push(self.random.tensor(self.ty));
        self.graph.push_leaf(Leaf::State { index, trainable: true }, self.ty)
    }

    fn data(&mut self, shape: &[usize]) -> Value {
        let ty = TensorType::new(DType::F32, Shape::new(shape).unwrap());
        let index = self.bindings.data.len() as u32;
        self.bindings.data.push(self.random.tensor(ty));
        self.graph.push_leaf(Leaf::Data { index, resident: index.is_multiple_of(2) }, ty)
    }

    fn tanh(&mut self, x: Value) -> Value {
        self.graph.unary(Unary::Tanh, x).unwrap()
    }

    fn update(&mut self, state: u32, value: Value) {
        self.graph.updates.push(Update { state, value });
    }

    #[track_caller]
    fn check(mut self, roots: &[Value]) {
        self.graph.roots.extend(roots);
        if let Err(error) = check_plans(&self.graph, &self.bindings) {
            panic!("{error}");
        }
    }
}

#[test]
fn a_state_that_moves_and_is_read() {
    let mut b = Build::new(&[2, 3, 3, 8]);
    let s = b.state();
    let (moved, x) = (b.graph.scale(s, 0.9).unwrap(), b.data(&[2, 3, 3, 8]));
    let (sum, root) = (b.graph.add(x, s).unwrap(), b.tanh(s));
    b.update(0, moved);
    b.check(&[sum, root]);
}

#[test]
fn an_update_that_is_a_root_and_read_by_others() {
    let mut b = Build::new(&[4, 6]);
    let (s, t) = (b.state(), b.state());
    let moved = b.tanh(s);
    let other = b.graph.add(moved, t).unwrap();
    let third = b.graph.mul(other, s).unwrap();
    b.update(0, moved);
    b.update(1, other);
    b.check(&[moved, third]);
}

#[test]
fn a_root_that_is_the_old_value() {
    let mut b = Build::new(&[8]);
    let s = b.state();
    let moved = b.tanh(s);
    b.update(0, moved);
    b.check(&[s]);
}

#[test]
fn a_root_that_is_another_view_of_the_old_value() {
    let mut b = Build::new(&[8]);
    let s = b.state();
    let (moved, view) = (b.tanh(s), b.graph.reshape(s, Shape::matrix(2, 4)).unwrap());
    b.update(0, moved);
    b.check(&[view, moved]);
}

/// Each state gets the old value of the one before: in both orders of the updates.
#[test]
fn states_that_hand_their_values_on() {
    for reversed in [false, true] {
        let mut b = Build::new(&[5]);
        let (s, t, x) = (b.state(), b.state(), b.data(&[5]));
        let mut updates = [(0, x), (1, s), (2, t)];
        b.state();
        if reversed {
            updates.reverse();
        }
        updates.into_iter().for_each(|(state, value)| b.update(state, value));
        b.check(&[]);
    }
}

/// A state moves, and another gets its old value: in both orders of the updates.
#[test]
fn a_state_that_keeps_the_old_value_of_one_that_moves() {
    for reversed in [false, true] {
        let mut b = Build::new(&[5]);
        let (s, _) = (b.state(), b.state());
        let moved = b.tanh(s);
        let mut updates = [(0, moved), (1, s)];
        if reversed {
            updates.reverse();
        }
        updates.into_iter().for_each(|(state, value)| b.update(state, value));
        b.check(&[]);
    }
}

/// The second gets the old value of the first, the first what is computed from the second: in both orders.
#[test]
fn states_that_take_each_others_values_by_way_of_a_function() {
    for reversed in [false, true] {
        let mut b = Build::new(&[5]);
        let (s, t) = (b.state(), b.state());
        let f = b.tanh(t);
        let mut updates = [(0, f), (1, s)];
        if reversed {
            updates.reverse();
        }
        updates.into_iter().for_each(|(state, value)| b.update(state, value));
        b.check(&[]);
    }
}

#[test]
fn states_that_take_functions_of_each_other() {
    let mut b = Build::new(&[4, 4]);
    let (s, t) = (b.state(), b.state());
    let (f, g) = (b.tanh(t), b.graph.unary(Unary::Neg, s).unwrap());
    let k = b.graph.add(s, t).unwrap();
    b.update(0, f);
    b.update(1, g);
    b.check(&[k]);
}

/// Products need whole rows of both: they cannot be written in place.
#[test]
fn states_that_take_products_of_each_other() {
    let mut b = Build::new(&[4, 4]);
    let (s, t) = (b.state(), b.state());
    let plain = ocelli_core::ops::Matmul { transpose_a: false, transpose_b: false };
    let first = b.graph.push(Op::Matmul(plain), vec![s, t]).unwrap();
    let second = b.graph.push(Op::Matmul(plain), vec![t, s]).unwrap();
    b.update(0, first);
    b.update(1, second);
    b.check(&[]);
}

/// Two states whose new values are the same, and one that gets its own old value.
#[test]
fn one_value_for_two_states_and_a_state_that_stays() {
    let mut b = Build::new(&[3, 7]);
    let (s, _, u) = (b.state(), b.state(), b.state());
    let moved = b.tanh(s);
    b.update(0, moved);
    b.update(1, moved);
    b.update(2, u);
    b.check(&[moved]);
}

/// The gather reads other elements of the state than its thread writes.
#[test]
fn a_state_that_moves_and_is_gathered() {
    for fixed in [false, true] {
        let mut b = Build::new(&[2, 8]);
        let s = b.state();
        let (first, second) = if fixed {
            let moved = b.tanh(s);
            (moved, b.graph.push(Op::ChannelShuffle { groups: 2 }, vec![s]).unwrap())
        } else {
            let shuffled = b.graph.push(Op::ChannelShuffle { groups: 2 }, vec![s]).unwrap();
            (b.tanh(s), shuffled)
        };
        b.update(0, first);
        b.check(&[second]);
    }
}

/// The new value is the gathered old one.
#[test]
fn a_state_that_becomes_its_own_shuffle() {
    let mut b = Build::new(&[2, 8]);
    let s = b.state();
    let shuffled = b.graph.push(Op::ChannelShuffle { groups: 2 }, vec![s]).unwrap();
    let moved = b.tanh(shuffled);
    b.update(0, moved);
    b.check(&[]);
}

/// The state is read whole by each thread.
#[test]
fn a_state_that_moves_by_its_own_sum() {
    let mut b = Build::new(&[6]);
    let s = b.state();
    let sum = b.graph.sum_to(s, Shape::SCALAR, DType::F32).unwrap();
    let moved = b.graph.sub(s, sum).unwrap();
    b.update(0, moved);
    b.check(&[sum]);
}

/// A scalar state: it broadcasts to what reads it.
#[test]
fn a_scalar_state_that_broadcasts() {
    let mut b = Build::new(&[]);
    let (s, x) = (b.state(), b.data(&[2, 3, 3, 4]));
    let y = b.graph.mul(x, s).unwrap();
    let sum = b.graph.sum_to(y, Shape::SCALAR, DType::F32).unwrap();
    let moved = b.graph.add(s, sum).unwrap();
    b.update(0, moved);
    b.check(&[y]);
}

/// Running statistics that move twice in a step, and are read between.
#[test]
fn statistics_that_move_twice() {
    let mut b = Build::new(&[3]);
    let (s, x) = (b.state(), b.data(&[2, 2, 2, 3]));
    let mean = b.graph.push(Op::ChannelStats, vec![x]).unwrap();
    let once = b.graph.add(s, mean).unwrap();
    let twice = b.graph.add(once, mean.output(1)).unwrap();
    let y = b.graph.sub(x, once).unwrap();
    b.update(0, twice);
    b.check(&[y, once]);
}

/// A state whose new value is an operation's own output, which reads the state or another.
#[test]
fn new_values_that_operations_write() {
    let mut b = Build::new(&[3]);
    let (s, _, x) = (b.state(), b.state(), b.data(&[4, 3]));
    let y = b.graph.binary(Binary::Mul, x, s).unwrap();
    let mean = b.graph.push(Op::ChannelStats, vec![y]).unwrap();
    b.update(0, mean);
    b.update(1, mean.output(1));
    let slice = b.graph.push(Op::ChannelSlice(ChannelSlice { start: 1, length: 2 }), vec![s]).unwrap();
    b.check(&[y, slice]);
}
