//! Operations on rows (softmax, cross entropy, ranking): how rows are shared out to threads, and the reductions over one.
//!
//! A row of up to 1024 columns belongs to some lanes of one warp, as many as it has vectors, at most all 32; a longer
//! one belongs to a block. A row is read in several passes, of which all but the first find it in the cache.

use super::{Kernel, Target, prelude};
use crate::error::{Error, Result};
use crate::types::TensorType;

/// Columns up to which a row belongs to one warp.
const WARP_COLUMNS: usize = 1024;
/// Threads of a block of several rows, at most.
const BLOCK: usize = 256;

/// What every source begins with: `row` and `column` are those of the thread, `live` is false in threads past the last
/// row, which repeat its work and must not store.
const SOURCE: &str = r#"
typedef @INDEX Index;
const Index ROWS = @ROWS;
const unsigned int COLUMNS = @COLUMNS, THREADS = @THREADS;  // THREADS work on one row
const int V = @VECTOR;
#define LOWEST __int_as_float(0xff800000)  // minus infinity
#define EACH_VECTOR for (unsigned int column = threadIdx.x % THREADS * V; column < COLUMNS; column += THREADS * V)
#define FIND_ROW \
    Index row = (Index)blockIdx.x * (blockDim.x / THREADS) + threadIdx.x / THREADS; \
    bool live = row < ROWS; \
    if (!live) row = ROWS - 1;
#define LEADS (live && threadIdx.x % THREADS == 0)
"#;

const LANES: &str = r#"
__device__ __forceinline__ float row_sum(float x) {
#pragma unroll
    for (int offset = THREADS / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}
__device__ __forceinline__ float row_max(float x) {
#pragma unroll
    for (int offset = THREADS / 2; offset > 0; offset /= 2) x = nan_max(x, __shfl_xor_sync(0xffffffffu, x, offset));
    return x;
}
"#;

const BLOCKS: &str = r#"
__device__ __forceinline__ float row_sum(float x) { __shared__ float shared[33]; return block_sum(x, shared); }
__device__ __forceinline__ float row_max(float x) { __shared__ float shared[33]; return block_max(x, shared); }
"#;

/// How the rows of a tensor `[.., columns]` are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    rows: usize,
    columns: usize,
    /// Elements that a thread loads at a time.
    vector: usize,
    /// Threads that work on one row: a power of two.
    threads: usize,
    /// Rows that a block works on.
    rows_per_block: usize,
}

impl Rows {
    pub(super) fn new(x: TensorType, target: &Target) -> Result<Rows> {
        let columns = x.shape.channels();
        let elements = x.shape.elements();
        if elements == 0 || columns > i32::MAX as usize {
            return Err(Error::Plan { pass: "codegen", what: format!("rows of {x}") });
        }
        let rows = elements / columns;
        let mut vector = 16 / x.dtype.bytes();
        while !columns.is_multiple_of(vector) {
            vector /= 2;
        }
        let vectors = columns / vector;
        if columns > WARP_COLUMNS {
            let threads = (vectors / 4).next_power_of_two().clamp(64, 1024);
            return Ok(Rows { rows, columns, vector, threads, rows_per_block: 1 });
        }
        let threads = vectors.next_power_of_two().min(32);
        // Whole warps, and enough blocks for every multiprocessor when there are enough rows.
        let mut block = BLOCK;
        while block > 32 && rows.div_ceil(block / threads) < target.multiprocessors as usize {
            block /= 2;
        }
        Ok(Rows { rows, columns, vector, threads, rows_per_block: block / threads })
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Whether a row belongs to a block rather than to lanes of one warp.
    pub(super) fn whole_blocks(&self) -> bool {
        self.columns > WARP_COLUMNS
    }

    /// The kernel with this body, which uses what [`SOURCE`] defines.
    pub(super) fn kernel(&self, description: &str, body: &str) -> Result<Kernel> {
        let blocks = self.rows.div_ceil(self.rows_per_block);
        let grid = i32::try_from(blocks).map_err(|_| Error::Plan {
            pass: "codegen",
            what: format!("{description} of {} rows: more than a launch can hold", self.rows),
        })?;
        let wide = self.rows * self.columns > i32::MAX as usize;
        let definitions = SOURCE
            .replace("@INDEX", if wide { "unsigned long long" } else { "unsigned int" })
            .replace("@ROWS", &self.rows.to_string())
            .replace("@COLUMNS", &self.columns.to_string())
            .replace("@THREADS", &self.threads.to_string())
            .replace("@VECTOR", &self.vector.to_string());
        let reductions = if self.whole_blocks() { BLOCKS } else { LANES };
        let description = format!("{description}_c{}_v{}", self.columns, self.vector);
        let (name, source) = prelude::finish(&description, &format!("{definitions}{reductions}{body}"));
        Ok(Kernel {
            name,
            source,
            grid: [grid as u32, 1, 1],
            block: [(self.threads * self.rows_per_block) as u32, 1, 1],
            shared_bytes: 0,
            scratch: Vec::new(),
            constants: Vec::new(),
            pointer_table: false,
            header: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{DType, Shape};

    const H200: Target = Target { compute_capability: (9, 0), multiprocessors: 132 };

    fn rows(dtype: DType, rows: usize, columns: usize) -> Rows {
        Rows::new(TensorType::new(dtype, Shape::matrix(rows, columns)), &H200).unwrap()
    }

    #[test]
    fn short_rows_share_a_warp_and_long_ones_have_a_block() {
        let shares = |r: Rows| (r.vector, r.threads, r.rows_per_block);
        assert_eq!(shares(rows(DType::F16, 512, 10)), (2, 8, 4));
        assert_eq!(shares(rows(DType::F32, 100_000, 4)), (4, 1, 256));
        assert_eq!(shares(rows(DType::F16, 256, 1000)), (8, 32, 1));
        assert_eq!(shares(rows(DType::F32, 1_000_000, 21)), (1, 32, 8));
        assert_eq!(shares(rows(DType::F16, 3, 50_257)), (1, 1024, 1));
        assert_eq!(shares(rows(DType::F16, 3, 2048)), (8, 64, 1));
    }

    #[test]
    fn blocks_are_whole_warps_and_cover_all_rows() {
        for columns in [1, 2, 3, 7, 10, 21, 1000, 1024, 1025, 4096, 100_003] {
            for count in [1, 31, 257, 5000] {
                let kernel = rows(DType::BF16, count, columns).kernel("softmax", "").unwrap();
                let threads = rows(DType::BF16, count, columns).threads;
                assert_eq!(kernel.block[0] % 32, 0);
                assert!(kernel.grid[0] as usize * (kernel.block[0] as usize / threads) >= count);
            }
        }
    }

    #[test]
    fn nothing_to_do_is_an_error() {
        assert!(Rows::new(TensorType::new(DType::F32, Shape::matrix(0, 5)), &H200).is_err());
        assert!(Rows::new(TensorType::new(DType::F32, Shape::matrix(5, 0)), &H200).is_err());
    }
}
