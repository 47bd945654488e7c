//! What is kept from one epoch to the next: files as they are, and decoded images. Nothing is ever given up for something
//! else, because each epoch asks for everything once: what comes last would only push out what comes first.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ocelli_cuda::{Device, DeviceBuffer};
use rustc_hash::FxHashMap;

use crate::Result;
use crate::augment::kernel::Layout;
use crate::augment::{ImageSize, Size};

/// How often a cache was asked, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// How often it had what was asked for.
    pub hits: u64,
    /// How often it had not.
    pub misses: u64,
    /// How many images it holds.
    pub images: usize,
    /// Bytes that it holds.
    pub bytes: usize,
}

/// A map that grows up to a number of bytes.
#[derive(Debug)]
struct Kept<T> {
    limit: usize,
    entries: Mutex<Entries<T>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
struct Entries<T> {
    map: FxHashMap<usize, Arc<T>>,
    bytes: usize,
}

impl<T> Kept<T> {
    fn new(limit: usize) -> Kept<T> {
        let entries = Mutex::new(Entries { map: FxHashMap::default(), bytes: 0 });
        Kept { limit, entries, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    fn entries(&self) -> MutexGuard<'_, Entries<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, index: usize) -> Option<Arc<T>> {
        if self.limit == 0 {
            return None;
        }
        let found = self.entries().map.get(&index).cloned();
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps what `make` makes of an image that is not here yet, if there is room: it says how many bytes that takes.
    fn offer<E>(
        &self,
        index: usize,
        make: impl FnOnce(usize) -> Result<Option<(T, usize)>, E>,
    ) -> Result<(), E> {
        if self.limit == 0 {
            return Ok(());
        }
        let mut entries = self.entries();
        if entries.map.contains_key(&index) {
            return Ok(());
        }
        if let Some((value, bytes)) = make(self.limit - entries.bytes)? {
            entries.bytes += bytes;
            entries.map.insert(index, Arc::new(value));
        }
        Ok(())
    }

    fn counts(&self) -> CacheCounts {
        let entries = self.entries();
        CacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            images: entries.map.len(),
            bytes: entries.bytes,
        }
    }
}

/// Image files in the host's memory.
#[derive(Debug)]
pub(super) struct EncodedCache(Kept<Box<[u8]>>);

impl EncodedCache {
    /// A cache of up to so many bytes; of 0, it is none, and counts nothing.
    pub(super) fn new(limit: usize) -> EncodedCache {
        EncodedCache(Kept::new(limit))
    }

    pub(super) fn get(&self, index: usize) -> Option<Arc<Box<[u8]>>> {
        self.0.get(index)
    }

    pub(super) fn offer(&self, index: usize, bytes: &[u8]) {
        let make = |room| Ok::<_, Infallible>((bytes.len() <= room).then(|| (bytes.into(), bytes.len())));
        let Ok(()) = self.0.offer(index, make);
    }

    pub(super) fn counts(&self) -> CacheCounts {
        self.0.counts()
    }
}

/// A decoded image in device memory.
#[derive(Clone, Debug)]
pub(super) struct Pixels {
    pub(super) memory: DeviceBuffer,
    /// Where it begins, bytes.
    pub(super) offset: usize,
    pub(super) image: ImageSize,
    pub(super) layout: Layout,
}

impl Pixels {
    pub(super) fn size(&self) -> Size {
        size_of(self.image)
    }

    pub(super) fn bytes(&self) -> usize {
        self.layout.bytes(self.size())
    }
}

/// Columns and rows of an image as it is stored.
pub(super) fn size_of(image: ImageSize) -> Size {
    Size { width: image.width, height: image.height }
}

/// Bytes of an image in red, green and blue.
pub(super) fn rgb_bytes(image: ImageSize) -> usize {
    Layout::Interleaved.bytes(size_of(image))
}

/// Decoded images in device memory.
#[derive(Debug)]
pub(super) struct DecodedCache {
    kept: Kept<Pixels>,
    device: Device,
    /// The piece of memory that is being filled, and how far.
    filling: Mutex<Option<(DeviceBuffer, usize)>>,
}

/// Where an image is kept.
struct Placed {
    memory: DeviceBuffer,
    offset: usize,
    /// Bytes that were allocated for it, and those that come after it.
    taken: usize,
}

/// Images share pieces of this many bytes.
const PIECE: usize = 64 << 20;
/// Images begin at multiples of this many bytes.
const ALIGNMENT: usize = 256;

impl DecodedCache {
    /// A cache of up to so many bytes; of 0, it is none, and counts nothing.
    pub(super) fn new(device: &Device, limit: usize) -> DecodedCache {
        DecodedCache { kept: Kept::new(limit), device: device.clone(), filling: Mutex::new(None) }
    }

    pub(super) fn get(&self, index: usize) -> Option<Arc<Pixels>> {
        self.kept.get(index)
    }

    /// Keeps a copy of an image, if there is room, made on the device's stream, on which it is also read.
    pub(super) fn offer(&self, index: usize, pixels: &Pixels) -> Result<()> {
        let bytes = pixels.bytes();
        self.kept.offer(index, |room| {
            let Some(Placed { memory, offset, taken }) = self.place(bytes, room)? else { return Ok(None) };
            self.device.stream().copy_device(&memory, offset, &pixels.memory, pixels.offset, bytes)?;
            Ok(Some((Pixels { memory, offset, ..*pixels }, taken)))
        })
    }

    fn place(&self, bytes: usize, room: usize) -> Result<Option<Placed>> {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((memory, end)) = filling.as_mut()
            && memory.len() - *end >= bytes
        {
            let offset = *end;
            *end = (offset + bytes).next_multiple_of(ALIGNMENT).min(memory.len());
            return Ok(Some(Placed { memory: memory.clone(), offset, taken: 0 }));
        }
        let taken = bytes.max(PIECE.min(room));
        if taken > room {
            return Ok(None);
        }
        let memory = self.device.alloc(taken)?;
        *filling = Some((memory.clone(), bytes.next_multiple_of(ALIGNMENT).min(taken)));
        Ok(Some(Placed { memory, offset: 0, taken }))
    }

    pub(super) fn counts(&self) -> CacheCounts {
        self.kept.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_until_there_is_no_room_and_counted() {
        let cache = EncodedCache::new(10);
        assert!(cache.get(3).is_none());
        cache.offer(3, &[1; 6]);
        cache.offer(4, &[2; 5]);
        cache.offer(5, &[3; 4]);
        cache.offer(3, &[9; 1]);
        assert_eq!(**cache.get(3).unwrap(), [1; 6]);
        assert!(cache.get(4).is_none(), "it did not fit");
        assert_eq!(**cache.get(5).unwrap(), [3; 4]);
        assert_eq!(cache.counts(), CacheCounts { hits: 2, misses: 2, images: 2, bytes: 10 });
    }

    #[test]
    fn a_cache_of_no_bytes_is_none() {
        let cache = EncodedCache::new(0);
        cache.offer(0, &[]);
        assert!(cache.get(0).is_none());
        assert_eq!(cache.counts(), CacheCounts::default());
    }
}
