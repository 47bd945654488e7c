//! The fixed parts of a record file, to bytes and back.

/// The version of the format that is written, the latest that is read.
pub const VERSION: u32 = 1;

pub(super) const HEAD: usize = 16;
pub(super) const ENTRY: usize = 24;
pub(super) const FOOT: usize = 48;
/// How many bytes of the foot its checksum covers.
pub(super) const FOOT_CHECKED: usize = 32;
pub(super) const MAGIC: [u8; 8] = *b"OCELLIRC";
pub(super) const END_MAGIC: [u8; 8] = *b"CRILLECO";

pub(super) fn head() -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes
}

/// An entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) label: i32,
    pub(super) crc: u32,
    pub(super) name_end: u32,
}

impl Entry {
    pub(super) fn to_bytes(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.label.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.crc.to_le_bytes());
        bytes[20..].copy_from_slice(&self.name_end.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; ENTRY]) -> Entry {
        Entry {
            offset: u64_at(bytes, 0),
            length: u32_at(bytes, 8),
            label: u32_at(bytes, 12).cast_signed(),
            crc: u32_at(bytes, 16),
            name_end: u32_at(bytes, 20),
        }
    }
}

/// Where everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foot {
    pub(super) index: u64,
    pub(super) count: u64,
    pub(super) names: u64,
    pub(super) classes: u64,
}

impl Foot {
    /// The part that the checksum covers.
    pub(super) fn to_bytes(self) -> [u8; FOOT_CHECKED] {
        let mut bytes = [0; FOOT_CHECKED];
        for (bytes, number) in
            bytes.chunks_exact_mut(8).zip([self.index, self.count, self.names, self.classes])
        {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// The foot with its checksum and the mark of the end.
    pub(super) fn to_whole_bytes(self, crc: u32) -> [u8; FOOT] {
        let mut bytes = [0; FOOT];
        bytes[..FOOT_CHECKED].copy_from_slice(&self.to_bytes());
        bytes[FOOT_CHECKED..FOOT_CHECKED + 4].copy_from_slice(&crc.to_le_bytes());
        bytes[FOOT - 8..].copy_from_slice(&END_MAGIC);
        bytes
    }

    /// The foot and its checksum.
    pub(super) fn from_bytes(bytes: &[u8; FOOT]) -> (Foot, u32) {
        let [index, count, names, classes] = [0, 8, 16, 24].map(|offset| u64_at(bytes, offset));
        (Foot { index, count, names, classes }, u32_at(bytes, FOOT_CHECKED))
    }
}

/// The number at an offset, of bytes that are known to reach that far.
pub(super) fn u32_at<const LEN: usize>(bytes: &[u8; LEN], offset: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|byte| bytes[offset + byte]))
}

fn u64_at<const LEN: usize>(bytes: &[u8; LEN], offset: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|byte| bytes[offset + byte]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_were_written() {
        let entry = Entry { offset: 1 << 40 | 5, length: u32::MAX, label: -3, crc: 0x0102_0304, name_end: 9 };
        assert_eq!(Entry::from_bytes(&entry.to_bytes()), entry);
        let foot = Foot { index: 1 << 41, count: 2, names: 3, classes: 4 };
        let bytes = foot.to_whole_bytes(0xaabb_ccdd);
        assert_eq!(Foot::from_bytes(&bytes), (foot, 0xaabb_ccdd));
        assert_eq!(bytes[..FOOT_CHECKED], foot.to_bytes());
        assert!(bytes.ends_with(&END_MAGIC));
        assert_eq!(head(), *b"OCELLIRC\x01\0\0\0\0\0\0\0");
    }
}
