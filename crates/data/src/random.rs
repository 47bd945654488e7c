//! Random numbers that depend on where they are used and not on when.

/// Philox 4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", 2011).
pub(crate) fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(counter[0]) * 0xd251_1f53;
        let b = u64::from(counter[2]) * 0xcd9e_8d57;
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    counter
}

/// What the numbers are for; each use has a stream of its own.
#[derive(Clone, Copy)]
pub(crate) enum Use {
    /// The keys of permutations.
    Key = 2,
    /// The rounds of permutations.
    Round = 3,
    /// Which part of an image is taken.
    Crop = 4,
    /// Whether an image is mirrored left to right.
    HorizontalFlip = 5,
    /// Whether an image is mirrored top to bottom.
    VerticalFlip = 6,
    /// The order and the strengths of the changes of colour.
    Jitter = 7,
    /// The operations of a policy and their magnitudes.
    Policy = 8,
    /// The square that is blackened.
    Cutout = 9,
    /// The rectangle that is erased, and what it is filled with.
    Erasing = 10,
}

/// The random numbers of one use in one epoch, for one image where that matters.
pub(crate) struct Random {
    key: [u32; 2],
    epoch: u32,
    index: u32,
    block: u32,
    purpose: u32,
    words: [u32; 4],
    used: usize,
}

impl Random {
    /// What a sample's number has beyond 32 bits, up to 56 bits of it, stands beside the use, of which there are few.
    pub(crate) fn new(seed: u64, purpose: Use, epoch: u64, sample: u64) -> Random {
        let key = [seed as u32, (seed >> 32) as u32];
        let purpose = purpose as u32 | ((sample >> 32) as u32) << 8;
        Random { key, epoch: epoch as u32, index: sample as u32, block: 0, purpose, words: [0; 4], used: 4 }
    }

    /// 32 random bits.
    pub(crate) fn word(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox([self.block, self.index, self.epoch, self.purpose], self.key);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// A number in `low..high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * f64::from(self.word()) / 4_294_967_296.0
    }

    /// An integer in `0..bound`, or 0 when the bound is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u64::from(self.word()) * bound as u64) >> 32) as usize
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.word() >> 31 == 1
    }

    /// Puts items into a random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the authors' library, Random123.
    #[test]
    fn philox_has_its_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([!0; 4], [!0; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn each_use_epoch_and_image_has_numbers_of_its_own() {
        let draw = |seed, purpose, epoch, index| {
            let mut random = Random::new(seed, purpose, epoch, index);
            [random.word(), random.word(), random.word(), random.word(), random.word()]
        };
        let all = [
            draw(1, Use::Crop, 0, 0),
            draw(2, Use::Crop, 0, 0),
            draw(1, Use::Policy, 0, 0),
            draw(1, Use::Policy, 1, 0),
            draw(1, Use::Policy, 0, 1),
        ];
        let words: std::collections::HashSet<u32> = all.into_iter().flatten().collect();
        assert_eq!(words.len(), 25);
        assert_eq!(draw(1, Use::Crop, 0, 0), all[0]);
    }

    #[test]
    fn samples_beyond_32_bits_have_numbers_of_their_own() {
        let first = |sample| Random::new(1, Use::Crop, 0, sample).word();
        let words: std::collections::HashSet<u32> = [3, 3 + (1 << 32), 3 + (2 << 32)].map(first).into();
        assert_eq!(words.len(), 3);
    }

    #[test]
    fn a_shuffle_keeps_every_item_and_moves_most() {
        let mut items: Vec<usize> = (0..1000).collect();
        Random::new(5, Use::Crop, 0, 0).shuffle(&mut items);
        assert!(items.iter().enumerate().filter(|(place, item)| place == *item).count() < 20);
        items.sort_unstable();
        assert!(items.into_iter().eq(0..1000));
    }
}
