use std::fmt::{self, Display};

use super::header::{Coding, ColourSpace, Header, Process, Subsampling};

/// Which of nvJPEG's decoders may take an image, the fastest that may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The GPU's decoding engines: complete files in the baseline process, of one scan, with 8 bits, grey or YCbCr,
    /// sampled 444, 422, 420 or 440.
    Hardware,
    /// The decoder on CUDA: also the extended and the progressive process with Huffman codes, several scans, 411 and
    /// 410. Why the engines cannot.
    Cuda(Reason),
    /// A decoder on the host: everything else. Why the GPU cannot.
    Host(Reason),
}

/// Why a faster decoder does not take an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The file has no end. One damaged image makes a whole batch fail; the host's decoder fails alone.
    Incomplete,
    /// The process.
    Process(Process),
    /// The coding.
    Coding(Coding),
    /// The bits of a sample.
    Precision(u8),
    /// What the components are. nvJPEG decodes CMYK but one image at a time, and takes three components for YCbCr.
    ColourSpace(ColourSpace),
    /// How the colour differences are sampled.
    Subsampling(Subsampling),
    /// The components come one after another, or in several scans.
    Scans(usize),
}

impl Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Reason::Incomplete => formatter.write_str("a scan without an end"),
            Reason::Process(process) => formatter.write_str(match process {
                Process::Baseline => "the baseline process",
                Process::Extended => "the extended sequential process",
                Process::Progressive => "the progressive process",
                Process::Lossless => "the lossless process",
                Process::Hierarchical => "the hierarchical process",
            }),
            Reason::Coding(coding) => formatter.write_str(match coding {
                Coding::Huffman => "Huffman codes",
                Coding::Arithmetic => "arithmetic coding",
            }),
            Reason::Precision(bits) => write!(formatter, "samples of {bits} bits"),
            Reason::ColourSpace(space) => formatter.write_str(match space {
                ColourSpace::Grey => "one component, grey",
                ColourSpace::YCbCr => "YCbCr colours",
                ColourSpace::Rgb => "RGB colours",
                ColourSpace::Cmyk => "CMYK colours",
                ColourSpace::Ycck => "YCCK colours",
                ColourSpace::Unknown => "components that no convention names",
            }),
            Reason::Subsampling(subsampling) => formatter.write_str(match subsampling {
                Subsampling::Grey => "no chroma",
                Subsampling::S444 => "chroma subsampled 444",
                Subsampling::S422 => "chroma subsampled 422",
                Subsampling::S420 => "chroma subsampled 420",
                Subsampling::S440 => "chroma subsampled 440",
                Subsampling::S411 => "chroma subsampled 411",
                Subsampling::S410 => "chroma subsampled 410",
                Subsampling::Other => "chroma subsampled in an uncommon way",
            }),
            Reason::Scans(1) => formatter.write_str("a scan without all components"),
            Reason::Scans(scans) => write!(formatter, "{scans} scans"),
        }
    }
}

impl Header {
    /// Which decoder may take the image.
    ///
    /// Source: nvJPEG 13.3, the supported bitstreams of its backends.
    pub fn route(&self) -> Route {
        if let Some(reason) = self.needs_host() {
            return Route::Host(reason);
        }
        let needs_cuda = if self.process != Process::Baseline {
            Some(Reason::Process(self.process))
        } else if self.scans != 1 || !self.interleaved {
            Some(Reason::Scans(self.scans))
        } else if matches!(self.subsampling, Subsampling::S411 | Subsampling::S410) {
            Some(Reason::Subsampling(self.subsampling))
        } else {
            None
        };
        needs_cuda.map_or(Route::Hardware, Route::Cuda)
    }

    fn needs_host(&self) -> Option<Reason> {
        if !self.complete {
            Some(Reason::Incomplete)
        } else if matches!(self.process, Process::Lossless | Process::Hierarchical) {
            Some(Reason::Process(self.process))
        } else if self.coding != Coding::Huffman {
            Some(Reason::Coding(self.coding))
        } else if self.precision != 8 {
            Some(Reason::Precision(self.precision))
        } else if !matches!(self.colour_space, ColourSpace::Grey | ColourSpace::YCbCr) {
            Some(Reason::ColourSpace(self.colour_space))
        } else if self.subsampling == Subsampling::Other {
            Some(Reason::Subsampling(self.subsampling))
        } else {
            None
        }
    }
}
