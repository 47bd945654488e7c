use std::fmt::{self, Display};

use ocelli_nvjpeg_sys as sys;

/// How much coarser the colour differences are sampled than the luminance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subsampling {
    /// One component: no colour differences.
    Grey,
    /// As finely.
    S444,
    /// Half the columns.
    S422,
    /// Half the columns and half the rows.
    S420,
    /// Half the rows.
    S440,
    /// A quarter of the columns.
    S411,
    /// A quarter of the columns and half the rows.
    S410,
    /// Half the columns and a quarter of the rows.
    S410V,
    /// Anything else: two or four components, other ratios, differences that differ.
    Other,
}

impl Subsampling {
    pub(crate) fn from_raw(raw: sys::ChromaSubsampling) -> Subsampling {
        match raw {
            sys::NVJPEG_CSS_GRAY => Subsampling::Grey,
            sys::NVJPEG_CSS_444 => Subsampling::S444,
            sys::NVJPEG_CSS_422 => Subsampling::S422,
            sys::NVJPEG_CSS_420 => Subsampling::S420,
            sys::NVJPEG_CSS_440 => Subsampling::S440,
            sys::NVJPEG_CSS_411 => Subsampling::S411,
            sys::NVJPEG_CSS_410 => Subsampling::S410,
            sys::NVJPEG_CSS_410V => Subsampling::S410V,
            _ => Subsampling::Other,
        }
    }

    pub(crate) fn raw(self) -> sys::ChromaSubsampling {
        match self {
            Subsampling::Grey => sys::NVJPEG_CSS_GRAY,
            Subsampling::S444 => sys::NVJPEG_CSS_444,
            Subsampling::S422 => sys::NVJPEG_CSS_422,
            Subsampling::S420 => sys::NVJPEG_CSS_420,
            Subsampling::S440 => sys::NVJPEG_CSS_440,
            Subsampling::S411 => sys::NVJPEG_CSS_411,
            Subsampling::S410 => sys::NVJPEG_CSS_410,
            Subsampling::S410V => sys::NVJPEG_CSS_410V,
            Subsampling::Other => sys::NVJPEG_CSS_UNKNOWN,
        }
    }

    /// How many columns and rows of luminance share a sample of each colour difference; `None` where there are no colour
    /// differences, or no such numbers.
    pub fn factors(self) -> Option<(u32, u32)> {
        match self {
            Subsampling::S444 => Some((1, 1)),
            Subsampling::S422 => Some((2, 1)),
            Subsampling::S420 => Some((2, 2)),
            Subsampling::S440 => Some((1, 2)),
            Subsampling::S411 => Some((4, 1)),
            Subsampling::S410 => Some((4, 2)),
            Subsampling::S410V => Some((2, 4)),
            Subsampling::Grey | Subsampling::Other => None,
        }
    }
}

impl Display for Subsampling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Subsampling::Grey => "grey",
            Subsampling::S444 => "4:4:4",
            Subsampling::S422 => "4:2:2",
            Subsampling::S420 => "4:2:0",
            Subsampling::S440 => "4:4:0",
            Subsampling::S411 => "4:1:1",
            Subsampling::S410 => "4:1:0",
            Subsampling::S410V => "4:1:0 (vertical)",
            Subsampling::Other => "uncommon subsampling",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subsampling_is_its_number_and_unknown_numbers_are_another() {
        let all = (0..8).chain([-1]).map(|raw| (raw, Subsampling::from_raw(raw)));
        for (raw, subsampling) in all {
            assert_eq!(subsampling.raw(), raw);
            assert_eq!(subsampling == Subsampling::Other, raw == sys::NVJPEG_CSS_UNKNOWN);
        }
        assert_eq!(Subsampling::from_raw(8), Subsampling::Other);
        assert_eq!(Subsampling::from_raw(i32::MIN), Subsampling::Other);
    }
}
