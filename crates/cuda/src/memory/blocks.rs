//! The bookkeeping of the memory pool: which blocks of which segments are free.
//!
//! Memory is taken from a [`Backing`] in large segments, cut into blocks by best fit, and joined with its free
//! neighbours when it returns. Small and large requests live in separate segments, so that a long-lived small block
//! does not keep a large segment from being given back. No GPU in here: the tests run it over a fake backing.

use std::collections::{BTreeMap, BTreeSet};

/// Where segments come from: the driver, or a fake in tests.
pub(crate) trait Backing {
    type Error;
    /// A new segment of `bytes` bytes; its address is a multiple of [`ALIGNMENT`] and not null.
    fn acquire(&mut self, bytes: usize) -> Result<u64, Self::Error>;
    /// Takes back a whole segment that `acquire` returned.
    fn release(&mut self, address: u64);
}

/// Every block's address and size are multiples of this.
pub(crate) const ALIGNMENT: usize = 256;
/// Requests up to this size share segments of [`SMALL_SEGMENT`].
const SMALL_REQUEST: usize = 1 << 20;
const SMALL_SEGMENT: usize = 2 << 20;
/// The driver maps memory in steps of this, so that less would be wasted.
const LARGE_STEP: usize = 2 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Small,
    Large,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    bytes: usize,
    segment: u64,
    free: bool,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    bytes: usize,
    class: Class,
}

/// Exact byte counts of an allocator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) in_use: usize,
    pub(crate) peak: usize,
    pub(crate) reserved: usize,
}

/// A best-fit allocator with splitting and joining over segments of `B`.
#[derive(Debug)]
pub(crate) struct BlockAllocator<B> {
    backing: B,
    blocks: BTreeMap<u64, Block>,
    segments: BTreeMap<u64, Segment>,
    /// Free blocks by class, then size, then address: the first that is large enough is the best fit.
    free: BTreeSet<(Class, usize, u64)>,
    counts: Counts,
}

impl<B: Backing> BlockAllocator<B> {
    pub(crate) fn new(backing: B) -> BlockAllocator<B> {
        BlockAllocator {
            backing,
            blocks: BTreeMap::new(),
            segments: BTreeMap::new(),
            free: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn reset_peak(&mut self) {
        self.counts.peak = self.counts.in_use;
    }

    /// The address of at least `bytes` bytes, or the backing's error; a failed call changes nothing.
    pub(crate) fn alloc(&mut self, bytes: usize) -> Result<u64, B::Error> {
        let class = if bytes <= SMALL_REQUEST { Class::Small } else { Class::Large };
        // A size that cannot be rounded up is passed on as it is: no backing can serve it.
        let bytes = bytes.max(1).checked_next_multiple_of(ALIGNMENT).unwrap_or(bytes);
        let best = self.free.range((class, bytes, 0)..).next().filter(|found| found.0 == class);
        let address = match best {
            Some(&(_, _, address)) => address,
            None => self.grow(class, bytes)?,
        };
        self.take(address, class, bytes);
        self.counts.in_use += bytes;
        self.counts.peak = self.counts.peak.max(self.counts.in_use);
        Ok(address)
    }

    /// Adds a segment that holds one free block of at least `bytes`.
    fn grow(&mut self, class: Class, bytes: usize) -> Result<u64, B::Error> {
        let size = match class {
            Class::Small => SMALL_SEGMENT,
            Class::Large => bytes.checked_next_multiple_of(LARGE_STEP).unwrap_or(bytes),
        };
        let address = self.backing.acquire(size)?;
        self.segments.insert(address, Segment { bytes: size, class });
        self.blocks.insert(address, Block { bytes: size, segment: address, free: true });
        self.free.insert((class, size, address));
        self.counts.reserved += size;
        Ok(address)
    }

    /// Marks the free block at `address` as used and cuts off what it has beyond `bytes`.
    fn take(&mut self, address: u64, class: Class, bytes: usize) {
        let Some(block) = self.blocks.get_mut(&address) else { return };
        self.free.remove(&(class, block.bytes, address));
        let rest = block.bytes - bytes;
        let segment = block.segment;
        block.free = false;
        block.bytes = bytes;
        if rest > 0 {
            let next = address + bytes as u64;
            self.blocks.insert(next, Block { bytes: rest, segment, free: true });
            self.free.insert((class, rest, next));
        }
    }

    /// Returns a block; an address that is not in use is ignored.
    pub(crate) fn free(&mut self, address: u64) {
        let Some(&Block { bytes, segment, free: false }) = self.blocks.get(&address) else { return };
        let Some(&Segment { class, .. }) = self.segments.get(&segment) else { return };
        self.counts.in_use -= bytes;
        let mut start = address;
        let mut total = bytes;
        if let Some((&before, &block)) = self.blocks.range(..address).next_back()
            && block.free
            && block.segment == segment
        {
            self.blocks.remove(&address);
            self.free.remove(&(class, block.bytes, before));
            start = before;
            total += block.bytes;
        }
        let after = address + bytes as u64;
        if let Some(&block) = self.blocks.get(&after)
            && block.free
            && block.segment == segment
        {
            self.blocks.remove(&after);
            self.free.remove(&(class, block.bytes, after));
            total += block.bytes;
        }
        self.blocks.insert(start, Block { bytes: total, segment, free: true });
        self.free.insert((class, total, start));
    }

    /// Gives every segment that is wholly free back; returns the bytes given back.
    pub(crate) fn release_unused(&mut self) -> usize {
        let mut released = 0;
        let BlockAllocator { backing, blocks, segments, free, counts } = self;
        segments.retain(|&address, segment| {
            let whole = blocks.get(&address).is_some_and(|block| block.free && block.bytes == segment.bytes);
            if whole {
                blocks.remove(&address);
                free.remove(&(segment.class, segment.bytes, address));
                backing.release(address);
                released += segment.bytes;
            }
            !whole
        });
        counts.reserved -= released;
        released
    }

    /// Gives all segments back, used blocks included; for the end of the pool.
    pub(crate) fn release_all(&mut self) {
        for &address in self.segments.keys() {
            self.backing.release(address);
        }
        self.segments.clear();
        self.blocks.clear();
        self.free.clear();
        self.counts = Counts { peak: self.counts.peak, ..Counts::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out addresses from a counter, up to a limit of bytes, and remembers what is out.
    struct Fake {
        next: u64,
        limit: usize,
        out: BTreeMap<u64, usize>,
    }

    impl Backing for Fake {
        type Error = &'static str;

        fn acquire(&mut self, bytes: usize) -> Result<u64, Self::Error> {
            let used: usize = self.out.values().sum();
            if bytes > self.limit - used {
                return Err("out of memory");
            }
            let address = self.next;
            // No gap, so that joining across segments would go unnoticed if it were not forbidden.
            self.next += bytes as u64;
            self.out.insert(address, bytes);
            Ok(address)
        }

        fn release(&mut self, address: u64) {
            assert!(self.out.remove(&address).is_some(), "released a segment that is not out");
        }
    }

    fn allocator(limit: usize) -> BlockAllocator<Fake> {
        BlockAllocator::new(Fake { next: 1 << 30, limit, out: BTreeMap::new() })
    }

    const MIB: usize = 1 << 20;

    /// Every byte of every segment belongs to exactly one block, free lists and counts agree, no two free neighbours.
    fn check(a: &BlockAllocator<Fake>) {
        let mut in_use = 0;
        let mut free = BTreeSet::new();
        for (&start, segment) in &a.segments {
            assert_eq!(a.backing.out.get(&start), Some(&segment.bytes));
            let mut at = start;
            let mut previous_free = false;
            while at < start + segment.bytes as u64 {
                let block = a.blocks[&at];
                assert_eq!(block.segment, start);
                assert!(block.bytes > 0 && block.bytes.is_multiple_of(ALIGNMENT));
                assert!(!(previous_free && block.free), "free neighbours were not joined");
                if block.free {
                    free.insert((segment.class, block.bytes, at));
                } else {
                    in_use += block.bytes;
                }
                previous_free = block.free;
                at += block.bytes as u64;
            }
            assert_eq!(at, start + segment.bytes as u64);
        }
        assert_eq!(free, a.free);
        assert_eq!(in_use, a.counts.in_use);
        assert_eq!(a.segments.values().map(|s| s.bytes).sum::<usize>(), a.counts.reserved);
        assert_eq!(a.backing.out.len(), a.segments.len());
    }

    #[test]
    fn a_freed_block_is_handed_out_again_without_a_new_segment() {
        let mut a = allocator(64 * MIB);
        let first = a.alloc(5 * MIB).unwrap();
        let reserved = a.counts().reserved;
        a.free(first);
        assert_eq!(a.alloc(5 * MIB).unwrap(), first);
        assert_eq!(a.counts().reserved, reserved);
        check(&a);
    }

    #[test]
    fn small_requests_share_a_segment_and_are_aligned() {
        let mut a = allocator(64 * MIB);
        let addresses: Vec<u64> = [1, 255, 256, 257, 1000].iter().map(|&n| a.alloc(n).unwrap()).collect();
        assert!(addresses.iter().all(|address| address.is_multiple_of(ALIGNMENT as u64)));
        assert_eq!(a.counts().reserved, SMALL_SEGMENT);
        assert_eq!(a.counts().in_use, 256 + 256 + 256 + 512 + 1024);
        check(&a);
    }

    #[test]
    fn best_fit_takes_the_smallest_block_that_holds_the_request() {
        let mut a = allocator(256 * MIB);
        let large = a.alloc(20 * MIB).unwrap();
        let medium = a.alloc(6 * MIB).unwrap();
        a.free(large);
        a.free(medium);
        assert_eq!(a.alloc(4 * MIB).unwrap(), medium);
        assert_eq!(a.alloc(20 * MIB).unwrap(), large);
        check(&a);
    }

    #[test]
    fn neighbours_join_in_every_order_but_never_across_segments() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut a = allocator(64 * MIB);
            let other = a.alloc(8 * MIB).unwrap();
            let whole = a.alloc(12 * MIB).unwrap();
            a.free(whole);
            let parts = [0; 3].map(|_| a.alloc(4 * MIB).unwrap());
            assert_eq!(parts, [0, 4, 8].map(|offset| whole + (offset * MIB) as u64));
            for part in order {
                a.free(parts[part]);
                check(&a);
            }
            a.free(other);
            check(&a);
            assert_eq!(a.alloc(12 * MIB).unwrap(), whole);
        }
    }

    #[test]
    fn peak_survives_freeing_and_starts_anew_on_reset() {
        let mut a = allocator(64 * MIB);
        let (x, y) = (a.alloc(2 * MIB).unwrap(), a.alloc(4 * MIB).unwrap());
        a.free(y);
        assert_eq!(a.counts(), Counts { in_use: 2 * MIB, peak: 6 * MIB, reserved: 6 * MIB });
        a.reset_peak();
        assert_eq!(a.counts().peak, 2 * MIB);
        a.free(x);
        assert_eq!(a.counts().in_use, 0);
    }

    #[test]
    fn release_gives_back_free_segments_and_keeps_the_rest() {
        let mut a = allocator(64 * MIB);
        let kept = a.alloc(4 * MIB).unwrap();
        let dropped = a.alloc(6 * MIB).unwrap();
        let small = a.alloc(100).unwrap();
        a.free(dropped);
        assert_eq!(a.release_unused(), 6 * MIB);
        check(&a);
        a.free(kept);
        a.free(small);
        assert_eq!(a.release_unused(), 4 * MIB + SMALL_SEGMENT);
        assert_eq!(a.counts().reserved, 0);
        check(&a);
    }

    #[test]
    fn failure_changes_nothing_and_released_memory_serves_the_next_request() {
        let mut a = allocator(10 * MIB);
        let x = a.alloc(6 * MIB).unwrap();
        let before = a.counts();
        assert!(a.alloc(6 * MIB).is_err());
        assert!(a.alloc(usize::MAX).is_err());
        assert_eq!(a.counts(), before);
        a.free(x);
        assert!(a.alloc(8 * MIB).is_err(), "the cached 6 MiB are in the way");
        a.release_unused();
        a.alloc(8 * MIB).unwrap();
        check(&a);
    }

    #[test]
    fn freeing_twice_or_a_foreign_address_is_ignored() {
        let mut a = allocator(64 * MIB);
        let x = a.alloc(3 * MIB).unwrap();
        a.free(x);
        a.free(x);
        a.free(17);
        assert_eq!(a.counts().in_use, 0);
        check(&a);
    }

    #[test]
    fn random_traffic_keeps_every_invariant() {
        let mut a = allocator(512 * MIB);
        let mut live: Vec<(u64, usize)> = Vec::new();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        for step in 0..4000 {
            if live.len() < 20 || random() % 2 == 0 {
                let bytes = if random() % 3 == 0 { random() % (12 * MIB) } else { random() % 5000 };
                if let Ok(address) = a.alloc(bytes) {
                    let end = address + bytes as u64;
                    assert!(live.iter().all(|&(at, n)| end <= at || at + n as u64 <= address), "overlap");
                    live.push((address, bytes));
                }
            } else {
                let (address, _) = live.swap_remove(random() % live.len());
                a.free(address);
            }
            if step % 100 == 0 {
                check(&a);
            }
        }
        live.drain(..).for_each(|(address, _)| a.free(address));
        a.release_unused();
        assert_eq!(a.counts().reserved, 0);
        check(&a);
        a.release_all();
    }
}
