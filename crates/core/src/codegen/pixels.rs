//! What the kernels over images share: each thread computes `V` channels of a pixel, or of a tile of pixels, and then
//! of the next one a grid further. Channel groups are the fastest, so that neighbouring threads touch neighbouring
//! memory; every extent is a constant, so that no division is left in the loop.

use super::{Kernel, Target, prelude};
use crate::error::{Error, Result};
use crate::types::{DType, TensorType};

/// Threads a block.
const THREADS: usize = 256;
/// Blocks of [`THREADS`] threads that a multiprocessor holds at once.
const RESIDENT_BLOCKS: usize = 8;

/// A kernel over pixels.
pub(super) struct Pixels {
    /// What it computes, for its name.
    pub(super) description: String,
    /// Images, and rows and columns of pixels (or tiles) in each.
    pub(super) space: [usize; 3],
    /// Channels.
    pub(super) channels: usize,
    /// Channels a thread; divides `channels`.
    pub(super) vector: usize,
    /// Elements of the largest tensor.
    pub(super) elements: usize,
    /// Constants and functions of the kernel.
    pub(super) declarations: String,
    /// Its parameters.
    pub(super) parameters: &'static str,
    /// What a thread does with its `row`, `column`, image `n` and first channel `c`.
    pub(super) body: &'static str,
    /// Words that the kernel reads, passed last.
    pub(super) constants: Vec<u32>,
}

impl Pixels {
    pub(super) fn kernel(self, target: &Target) -> Kernel {
        let [images, rows, columns] = self.space;
        let vectors = images * rows * columns * (self.channels / self.vector);
        let source = format!(
            r#"
typedef {index} Index;
constexpr int ROWS = {rows}, COLUMNS = {columns}, C = {channels}, V = {vector}, GROUPS = C / V;
constexpr Index VECTORS = {vectors};
__device__ __forceinline__ int clamp(int i, int extent) {{ return min(max(i, 0), extent - 1); }}
{declarations}
extern "C" __global__ void __launch_bounds__({THREADS}) KERNEL({parameters}) {{
    for (Index i = (Index)blockIdx.x * {THREADS} + threadIdx.x; i < VECTORS; i += (Index)gridDim.x * {THREADS}) {{
        const int c = (int)(i % GROUPS) * V, column = (int)(i / GROUPS % COLUMNS);
        const int row = (int)(i / GROUPS / COLUMNS % ROWS);
        const Index n = i / GROUPS / COLUMNS / ROWS;
{body}
    }}
}}
"#,
            index = index_type(self.elements),
            channels = self.channels,
            vector = self.vector,
            declarations = self.declarations.trim(),
            parameters = self.parameters,
            body = self.body.trim_matches('\n'),
        );
        let (name, source) = prelude::finish(&self.description, &source);
        let resident = target.multiprocessors.max(1) as usize * RESIDENT_BLOCKS;
        Kernel {
            name,
            source,
            grid: [vectors.div_ceil(THREADS).clamp(1, resident) as u32, 1, 1],
            block: [THREADS as u32, 1, 1],
            shared_bytes: 0,
            scratch: Vec::new(),
            constants: self.constants,
            pointer_table: false,
            header: false,
        }
    }
}

/// The widest vector that divides the channels: up to 16 bytes, up to `most` elements.
pub(super) fn vector_width(channels: usize, dtype: DType, most: usize) -> usize {
    let fits =
        |width: &usize| channels.is_multiple_of(*width) && width * dtype.bytes() <= 16 && *width <= most;
    [8, 4, 2].into_iter().find(fits).unwrap_or(1)
}

/// The integer that counts the elements of tensors of this size, and a grid beyond them.
pub(super) fn index_type(elements: usize) -> &'static str {
    if elements < 1 << 31 { "unsigned int" } else { "unsigned long long" }
}

/// The extents of a batch of images.
pub(super) fn nhwc(ty: &TensorType) -> Result<[usize; 4]> {
    let (n, h, w, c) = ty.shape.as_nhwc().ok_or_else(|| refused(format!("{ty} is not a batch of images")))?;
    Ok([n, h, w, c])
}

/// An operation that does not fit the generator it was given to.
pub(super) fn refused(what: impl Into<String>) -> Error {
    Error::Plan { pass: "codegen", what: what.into() }
}
