//! Memory that is used again.

use std::sync::{Mutex, PoisonError};

use ocelli_cuda::{Device, DeviceBuffer, PinnedBuffer};

use crate::Result;

/// The smallest piece, bytes. Sizes are powers of two, so that few pieces fit many images.
const SMALLEST: usize = 1 << 15;

/// A kind of memory.
pub(super) trait Piece: Sized {
    fn allocate(device: &Device, bytes: usize) -> Result<Self>;
    fn bytes(&self) -> usize;
}

impl Piece for PinnedBuffer {
    fn allocate(device: &Device, bytes: usize) -> Result<PinnedBuffer> {
        Ok(device.alloc_pinned(bytes)?)
    }

    fn bytes(&self) -> usize {
        self.len()
    }
}

impl Piece for DeviceBuffer {
    fn allocate(device: &Device, bytes: usize) -> Result<DeviceBuffer> {
        let memory = device.alloc(bytes)?;
        // What is allocated is idle in the order of the device's stream, and is used on others.
        device.stream().synchronize()?;
        Ok(memory)
    }

    fn bytes(&self) -> usize {
        self.len()
    }
}

/// Keeps pieces of memory: locking pages takes longer than decoding an image. A piece is given back when no work uses it.
#[derive(Debug)]
pub(super) struct Pool<T> {
    device: Device,
    /// What may lie unused, bytes.
    limit: usize,
    unused: Mutex<Unused<T>>,
}

#[derive(Debug)]
struct Unused<T> {
    /// By the logarithm of their size.
    pieces: Vec<Vec<T>>,
    bytes: usize,
}

impl<T: Piece> Pool<T> {
    pub(super) fn new(device: &Device, limit: usize) -> Pool<T> {
        let unused = Mutex::new(Unused { pieces: Vec::new(), bytes: 0 });
        Pool { device: device.clone(), limit, unused }
    }

    /// The device whose memory it is.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// A piece of at least so many bytes, with undefined contents.
    pub(super) fn take(&self, bytes: usize) -> Result<T> {
        let size = bytes.max(SMALLEST).next_power_of_two();
        let kept = {
            let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = unused.pieces.get_mut(class(size)).and_then(Vec::pop);
            unused.bytes -= kept.as_ref().map_or(0, T::bytes);
            kept
        };
        match kept {
            Some(piece) => Ok(piece),
            None => T::allocate(&self.device, size),
        }
    }

    /// Takes a piece back. What is too much to keep is freed.
    pub(super) fn give_back(&self, piece: T) {
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.bytes.saturating_add(piece.bytes()) > self.limit {
            return;
        }
        let class = class(piece.bytes());
        if unused.pieces.len() <= class {
            unused.pieces.resize_with(class + 1, Vec::new);
        }
        unused.bytes += piece.bytes();
        if let Some(pieces) = unused.pieces.get_mut(class) {
            pieces.push(piece);
        }
    }

    #[cfg(test)]
    fn unused_bytes(&self) -> usize {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

/// Which list pieces of a size are on.
fn class(size: usize) -> usize {
    size.max(1).ilog2() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
    fn pieces_are_used_again_and_too_many_are_not_kept() {
        let device = Device::new(0).unwrap();
        let pool = Pool::<PinnedBuffer>::new(&device, 3 * SMALLEST);
        let first = pool.take(1).unwrap();
        let address = first.ptr();
        assert_eq!(first.len(), SMALLEST);
        pool.give_back(first);
        assert_eq!(pool.take(SMALLEST).unwrap().ptr(), address);
        let pieces: Vec<_> = (0..5).map(|_| pool.take(100).unwrap()).collect();
        pieces.into_iter().for_each(|piece| pool.give_back(piece));
        assert_eq!(pool.unused_bytes(), 3 * SMALLEST);
        assert_eq!(pool.take(SMALLEST + 1).unwrap().len(), 2 * SMALLEST);
    }
}
