//! Eight bytes at once: how many of them, from the first, are of a kind.
//!
//! Numbers and keys are short, and where they end cannot be predicted: a loop over their bytes spends most of its time on
//! the wrong branch at its end.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The eight bytes at a place; `None` near the end.
#[inline]
pub(super) fn at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// How many digits begin a word.
#[inline]
pub(super) fn digits(word: u64) -> usize {
    let digits = word ^ (u64::from(b'0') * LOW);
    // A byte of more than 9 sets its highest bit, and perhaps bits of those after it, but of none before.
    let others = (digits.wrapping_add(0x76 * LOW) | digits) & HIGH;
    others.trailing_zeros() as usize / 8
}

/// The number that the first `count` bytes are, from one to eight digits.
#[inline]
pub(super) fn decimal(word: u64, count: usize) -> u64 {
    // Zeros before the digits, then pairs, fours and all eight are put together.
    let digits = (word ^ (u64::from(b'0') * LOW)) << (8 * (8 - count));
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff
}

/// How many bytes begin a word that stand for themselves in a string, and are ASCII.
#[inline]
pub(super) fn plain(word: u64) -> usize {
    let zero = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let quote = zero(word ^ (u64::from(b'"') * LOW));
    let backslash = zero(word ^ (u64::from(b'\\') * LOW));
    let control = word.wrapping_sub(0x20 * LOW) & !word & HIGH;
    ((quote | backslash | control | (word & HIGH)).trailing_zeros() / 8) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &[u8]) -> u64 {
        super::at(text, 0).unwrap()
    }

    #[test]
    fn every_byte_in_every_place() {
        for place in 0..8 {
            for byte in 0..=255u8 {
                let mut text = *b"12345678";
                text[place] = byte;
                let expected = if byte.is_ascii_digit() { 8 } else { place };
                assert_eq!(digits(word(&text)), expected, "{text:?}");
                let itself = byte.is_ascii() && byte >= 0x20 && byte != b'"' && byte != b'\\';
                assert_eq!(plain(word(&text)), if itself { 8 } else { place }, "{text:?}");
            }
        }
    }

    #[test]
    fn digits_are_their_number() {
        for text in ["00000000", "99999999", "12345678", "90817263"] {
            for count in 1..=8 {
                let expected: u64 = text[..count].parse().unwrap();
                assert_eq!(decimal(word(text.as_bytes()), count), expected);
                let mut followed = text.as_bytes().to_vec();
                followed[count..].fill(b',');
                assert_eq!(decimal(word(&followed), count), expected);
            }
        }
    }
}
