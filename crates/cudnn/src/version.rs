use std::fmt;

/// A version of cuDNN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major version.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
    /// Patch level.
    pub patch: u32,
}

impl Version {
    /// The oldest version this crate works with: the first that explains its refusals.
    pub const OLDEST: Version = Version { major: 9, minor: 0, patch: 0 };

    /// Reads the number that `cudnnGetVersion` returns; its scale changed with version 9.
    pub(crate) fn from_number(number: usize) -> Version {
        let number = number as u32;
        let scale = if number >= 90_000 { 10_000 } else { 1_000 };
        Version { major: number / scale, minor: number % scale / 100, patch: number % 100 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_scales_are_read() {
        assert_eq!(Version::from_number(91900).to_string(), "9.19.0");
        assert_eq!(Version::from_number(8907).to_string(), "8.9.7");
        assert!(Version::from_number(8907) < Version::OLDEST);
    }
}
