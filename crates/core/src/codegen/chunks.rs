//! Many tensors in one launch: each block works on a chunk of one of them, found in a table that is uploaded once.

use super::{Kernel, Target, prelude};
use crate::error::{Error, Result};

/// Threads a block.
pub(super) const THREADS: u32 = 256;

/// The elements `first..first + count` of one tensor, the work of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) tensor: usize,
    pub(super) first: u32,
    pub(super) count: u32,
}

/// Cuts tensors of these many elements into chunks, of which each thread takes `vector` elements at a time. Chunks are as
/// small as that when the GPU would not be full otherwise, and up to eight times as large.
pub(super) fn chunks(elements: &[usize], vector: usize, target: &Target) -> Result<Vec<Chunk>> {
    let unit = THREADS as usize * vector;
    let resident = 8 * target.multiprocessors.max(1) as usize;
    let size = unit * (elements.iter().sum::<usize>() / (unit * resident)).clamp(1, 8);
    let mut chunks = Vec::new();
    for (tensor, &elements) in elements.iter().enumerate() {
        if elements > i32::MAX as usize {
            let what = format!("a tensor of {elements} elements among many in one launch: 2^31 is the limit");
            return Err(Error::Plan { pass: "codegen", what });
        }
        for first in (0..elements).step_by(size) {
            let count = size.min(elements - first);
            chunks.push(Chunk { tensor, first: first as u32, count: count as u32 });
        }
    }
    if chunks.is_empty() {
        return Err(Error::Plan {
            pass: "codegen",
            what: "a launch over many tensors, all of them empty".into(),
        });
    }
    Ok(chunks)
}

/// The kernel with this body, a block for each chunk; its tensors are in a table, `constants` say what each block does.
pub(super) fn kernel(description: &str, body: &str, chunks: &[Chunk], constants: Vec<u32>) -> Kernel {
    let (name, source) = prelude::finish(description, body);
    Kernel {
        name,
        source,
        grid: [chunks.len() as u32, 1, 1],
        block: [THREADS, 1, 1],
        shared_bytes: 0,
        scratch: Vec::new(),
        constants,
        pointer_table: true,
        header: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: Target = Target { compute_capability: (9, 0), multiprocessors: 132 };

    #[test]
    fn chunks_cover_each_tensor_once_and_begin_at_a_vector() {
        for elements in [vec![1], vec![0, 1025, 3], vec![9216 * 128, 128, 10], vec![25_000_000, 7, 2048]] {
            let chunks = chunks(&elements, 4, &H200).unwrap();
            for (tensor, &elements) in elements.iter().enumerate() {
                let mut next = 0;
                for chunk in chunks.iter().filter(|chunk| chunk.tensor == tensor) {
                    assert_eq!((chunk.first, chunk.first % 4), (next, 0));
                    next += chunk.count;
                }
                assert_eq!(next as usize, elements);
            }
        }
    }

    #[test]
    fn small_tensors_are_spread_and_large_ones_are_not_shredded() {
        assert_eq!(chunks(&[9216 * 128], 4, &H200).unwrap()[0].count, 1024);
        assert_eq!(chunks(&[25_000_000], 4, &H200).unwrap()[0].count, 8192);
        assert!(chunks(&[0, 0], 4, &H200).is_err());
        assert!(chunks(&[1 << 31], 4, &H200).is_err());
    }
}
