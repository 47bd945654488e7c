//! What a kernel computes, as plain data.

use crate::ops::pool::Windows;
use crate::ops::{Binary, Dropout, Op, SpaceToDepth, Unary};
use crate::types::{DType, Real, TensorType};

/// What a kernel computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KernelSpec {
    /// A cluster of pointwise work with sums, generated from the graph.
    Map(MapSpec),
    /// One operation that has a kernel of its own.
    Operation {
        /// The operation: pooling, softmax, cross entropy, channel statistics, group normalisation, upsampling, argmax,
        /// in-top-k, an optimizer's update, or one of their gradients.
        op: Op,
        /// The types of its inputs.
        inputs: Vec<TensorType>,
        /// The types of its outputs.
        outputs: Vec<TensorType>,
    },
    /// Several casts in one launch: input `i` becomes output `i`. All parameters become half precision this way.
    CastMany {
        /// Elements, type before and type after of each.
        tensors: Vec<(usize, DType, DType)>,
    },
}

/// The index of an instruction in [`MapSpec::body`]: the `f32` that it yields.
pub type Register = u32;

/// Pointwise work over one iteration space, with what it writes and what it sums.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MapSpec {
    /// The extents of the iteration space, ones in front; the last one is the fastest.
    pub space: [usize; 4],
    /// The tensors read.
    pub inputs: Vec<MapInput>,
    /// One `f32` each, in order; an instruction reads earlier ones only.
    pub body: Vec<Instruction>,
    /// Registers stored for every element of the space: the first outputs.
    pub writes: Vec<MapWrite>,
    /// Registers summed over parts of the space: the outputs after `writes`.
    pub sums: Vec<MapSum>,
    /// Walk through the space from its end: what the launch before has touched last is still in the cache.
    pub backwards: bool,
}

/// A tensor that a map reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapInput {
    /// Its element type.
    pub dtype: DType,
    /// Which of its elements belongs to an element of the space.
    pub access: Access,
}

/// Which element of an input belongs to an element of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// The same one: the input has the space's extents.
    Full,
    /// The input has the space's extent where `true` and extent 1 where `false`: all `false` is a scalar, only the last
    /// `true` is a value for each channel.
    Broadcast([bool; 4]),
    /// Channel `start + c` of an input with `channels` channels.
    ChannelSlice {
        /// The first channel.
        start: usize,
        /// The input's channels.
        channels: usize,
    },
    /// Channel `c - before` of an input with `channels` channels; 0 where there is none.
    ChannelPad {
        /// Channels of zeros in front.
        before: usize,
        /// The input's channels.
        channels: usize,
    },
    /// The pixel of a block that the channel stands for, of an input with these rows, columns and channels; 0 where there
    /// is none.
    SpaceToDepth {
        /// The blocks; the space is their output.
        blocks: SpaceToDepth,
        /// The input's rows, columns and channels.
        input: [usize; 3],
    },
    /// The channel of a block that the pixel stands for; the input is the blocks' output.
    DepthToSpace {
        /// The blocks.
        blocks: SpaceToDepth,
    },
    /// The channel that a shuffle with `groups` groups moves to `c`: `(c % groups) * (channels / groups) + c / groups`.
    ChannelShuffle {
        /// Groups before the shuffle.
        groups: usize,
    },
    /// Rows of `row_elements` elements picked by an `i32` input: element `i % row_elements` of row
    /// `indices[i / row_elements]`; not a number (0 for integers) where that index is outside of `0..rows`.
    Rows {
        /// Elements of a row.
        row_elements: usize,
        /// Rows of the input.
        rows: usize,
        /// Which input holds the indices.
        indices: u32,
    },
    /// The sum of the elements of an input `[n, p, q, c]`, one for each window over the space's rows and columns, whose
    /// window holds the element at the place that a `u8` input names, counted in reading order.
    Windows {
        /// The windows.
        windows: Windows,
        /// How many there are, down and across.
        output: [usize; 2],
        /// Which input holds the places.
        places: u32,
    },
    /// Not loaded by itself: the indices of another input's `Rows`, or the places of its `Windows`.
    Indices,
}

/// One step of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// The element of an input. A load whose only use is a write of its own type is moved bit for bit.
    Load(u32),
    /// A static number.
    Constant(Real),
    /// A function of one register.
    Unary(Unary, Register),
    /// A function of two registers.
    Binary(Binary, Register, Register),
    /// A register rounded to an element type and back: a cast in the middle of a map (towards zero for integers).
    Round(DType, Register),
    /// A register under a dropout mask; the space is the dropout's own.
    Dropout(Dropout, Register),
}

/// A register stored for every element of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapWrite {
    /// What is stored.
    pub value: Register,
    /// The element type it is rounded to.
    pub dtype: DType,
}

/// A register summed over the extents that are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapSum {
    /// What is summed.
    pub value: Register,
    /// Which extents of the space the result keeps; only the last is a sum for each channel, none the sum of all.
    pub keep: [bool; 4],
    /// The element type of the result.
    pub dtype: DType,
}
