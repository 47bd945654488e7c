use super::error::{Error, Marker};
use super::exif;
use super::quality::{self, Table};
use super::segments::{EOI, SOS, Segment, Segments};

/// The most components of a frame that is described: cyan, magenta, yellow and black.
pub const MAX_COMPONENTS: usize = 4;

const DHT: u8 = 0xc4;
const JPG: u8 = 0xc8;
const DAC: u8 = 0xcc;
const DQT: u8 = 0xdb;
const DRI: u8 = 0xdd;
const DHP: u8 = 0xde;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP14: u8 = 0xee;

/// How an image is coded, apart from the last step ([`Coding`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Process {
    /// Baseline sequential DCT: 8 bits, two Huffman tables of each kind.
    Baseline,
    /// Extended sequential DCT: 8 or 12 bits.
    Extended,
    /// Progressive DCT: each scan refines the image.
    Progressive,
    /// Lossless: predicted from the neighbours, without a DCT.
    Lossless,
    /// Hierarchical: several frames, each of which refines the one before.
    Hierarchical,
}

/// The last step of coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Huffman codes.
    Huffman,
    /// Arithmetic coding.
    Arithmetic,
}

/// How much coarser the colour differences are sampled than the luminance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subsampling {
    /// One component: nothing to sample differently.
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
    /// Anything else: two components, other ratios, differences that differ.
    Other,
}

/// What the components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColourSpace {
    /// Luminance alone.
    Grey,
    /// Luminance and the differences of blue and red.
    YCbCr,
    /// Red, green and blue.
    Rgb,
    /// Cyan, magenta, yellow and black.
    Cmyk,
    /// Cyan, magenta and yellow coded as if they were red, green and blue in [`ColourSpace::YCbCr`], and black.
    Ycck,
    /// Two components, which no convention names.
    Unknown,
}

/// A component of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Component {
    /// Its identifier; scans name components by it.
    pub identifier: u8,
    /// Horizontal sampling factor, 1 to 4.
    pub horizontal: u8,
    /// Vertical sampling factor, 1 to 4.
    pub vertical: u8,
    /// The number of its quantisation table, 0 to 3 in a file that is whole.
    pub table: u8,
}

/// What a JPEG file says of itself before its first scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Columns, at least 1. The rotation in `orientation` is not made.
    pub width: u16,
    /// Rows, at least 1.
    pub height: u16,
    /// Bits of a sample as the file has it: 8 nearly always.
    pub precision: u8,
    /// How the image is coded.
    pub process: Process,
    /// The last step of coding.
    pub coding: Coding,
    /// How the colour differences are sampled.
    pub subsampling: Subsampling,
    /// What the components are, as decoders infer it (see [`ColourSpace`]): of one component, grey; of three, YCbCr if
    /// there is a JFIF segment, else what Adobe's segment says, else RGB if the components are named `R`, `G` and `B`,
    /// else YCbCr; of four, CMYK unless Adobe's segment says YCCK.
    pub colour_space: ColourSpace,
    /// The orientation in EXIF, 1 (upright) to 8, if there is one.
    pub orientation: Option<u8>,
    /// Minimum coded units between restart markers; 0 where there are none.
    pub restart_interval: u16,
    /// Whether the first scan has all components of the frame, as one of a grey image always has.
    pub interleaved: bool,
    /// How many scans begin.
    pub scans: usize,
    /// Whether the mark of the file's end follows the scans; otherwise the file was cut short.
    pub complete: bool,
    /// The quality, 1 to 100, for which the Independent JPEG Group's encoder makes exactly the file's quantisation
    /// tables: the example tables of T.81, K.1, scaled by it, the one for luminance for the first component and either
    /// of both for the others. `None` where no quality does.
    pub quality: Option<u8>,
    tables: Option<[Table; MAX_COMPONENTS]>,
    components: [Component; MAX_COMPONENTS],
    count: usize,
}

impl Header {
    /// Reads the segments of a file up to its first scan, and looks through the scans for the file's end. Takes no
    /// memory but its own.
    ///
    /// Sizes that a decoder has no memory for are not an error here: at most 65535 x 65535 pixels.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(bytes: &[u8]) -> Result<Header, Error> {
        let mut segments = Segments::new(bytes)?;
        let mut found = Found::default();
        loop {
            let segment = segments.next()?;
            match segment.marker.0 {
                SOS => {
                    let interleaved = found.interleaved(&segment)?;
                    let (scans, complete) = segments.count_scans();
                    return found.header(&segment, interleaved, scans, complete);
                }
                EOI => return Err(found.ended(&segment)),
                _ => found.read(&segment)?,
            }
        }
    }

    /// The components, in the order of the frame.
    pub fn components(&self) -> &[Component] {
        self.components.get(..self.count).unwrap_or_default()
    }

    /// The quality whose tables are nearest to the file's: [`quality`](Header::quality), where there is one. `None` for a
    /// file without losses, or without tables.
    pub fn nearest_quality(&self) -> Option<u8> {
        let nearest = || quality::nearest_quality(self.tables.as_ref()?.get(..self.count)?);
        self.quality.or_else(nearest)
    }
}

/// What a frame's segment says.
#[derive(Clone, Copy)]
struct Frame {
    marker: u8,
    precision: u8,
    width: u16,
    height: u16,
    components: [Component; MAX_COMPONENTS],
    count: usize,
}

impl Frame {
    fn read(segment: &Segment) -> Result<Frame, Error> {
        let offset = segment.offset();
        let &[precision, height_high, height_low, width_high, width_low, count, ref specified @ ..] =
            segment.payload
        else {
            return Err(segment.length_error());
        };
        let (specified, rest) = specified.as_chunks::<3>();
        if !rest.is_empty() || specified.len() != usize::from(count) {
            return Err(segment.length_error());
        }
        let width = u16::from_be_bytes([width_high, width_low]);
        let height = u16::from_be_bytes([height_high, height_low]);
        if width == 0 || height == 0 {
            return Err(Error::Dimensions { offset, width, height });
        }
        if !(1..=MAX_COMPONENTS).contains(&specified.len()) {
            return Err(Error::Components { offset, count });
        }
        let mut components = [Component::default(); MAX_COMPONENTS];
        for (component, &[identifier, factors, table]) in components.iter_mut().zip(specified) {
            let (horizontal, vertical) = (factors >> 4, factors & 15);
            if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) {
                return Err(Error::SamplingFactors { offset, component: identifier, horizontal, vertical });
            }
            *component = Component { identifier, horizontal, vertical, table };
        }
        let marker = segment.marker.0;
        Ok(Frame { marker, precision, width, height, components, count: specified.len() })
    }

    fn components(&self) -> &[Component] {
        self.components.get(..self.count).unwrap_or_default()
    }

    /// T.81, table B.1. The kinds that are not named here are of frames that refine another.
    fn process(&self) -> Process {
        match self.marker {
            0xc0 => Process::Baseline,
            0xc1 | 0xc9 => Process::Extended,
            0xc2 | 0xca => Process::Progressive,
            0xc3 | 0xcb => Process::Lossless,
            _ => Process::Hierarchical,
        }
    }

    fn coding(&self) -> Coding {
        if self.marker < JPG { Coding::Huffman } else { Coding::Arithmetic }
    }

    fn subsampling(&self) -> Subsampling {
        let (luminance, blue, red) = match self.components() {
            [_] => return Subsampling::Grey,
            [luminance, blue, red] => (luminance, blue, red),
            // Black is sampled as luminance is.
            [luminance, blue, red, black]
                if (black.horizontal, black.vertical) == (luminance.horizontal, luminance.vertical) =>
            {
                (luminance, blue, red)
            }
            _ => return Subsampling::Other,
        };
        let whole = luminance.horizontal % blue.horizontal == 0 && luminance.vertical % blue.vertical == 0;
        if !whole || (blue.horizontal, blue.vertical) != (red.horizontal, red.vertical) {
            return Subsampling::Other;
        }
        match (luminance.horizontal / blue.horizontal, luminance.vertical / blue.vertical) {
            (1, 1) => Subsampling::S444,
            (2, 1) => Subsampling::S422,
            (2, 2) => Subsampling::S420,
            (1, 2) => Subsampling::S440,
            (4, 1) => Subsampling::S411,
            (4, 2) => Subsampling::S410,
            _ => Subsampling::Other,
        }
    }
}

/// What was found of a header so far.
#[derive(Default)]
struct Found {
    frame: Option<Frame>,
    /// The size of a hierarchical image, whose first frame may be smaller.
    hierarchical: Option<Frame>,
    tables: [Option<Table>; 4],
    jfif: bool,
    /// The transform in Adobe's segment.
    adobe: Option<u8>,
    orientation: Option<u8>,
    restart_interval: u16,
}

impl Found {
    fn read(&mut self, segment: &Segment) -> Result<(), Error> {
        let several = Error::SeveralFrames { offset: segment.start(), segment: segment.marker };
        match segment.marker.0 {
            DHT | JPG | DAC => {}
            0xc0..=0xcf if self.frame.is_some() => return Err(several),
            0xc0..=0xcf => self.frame = Some(Frame::read(segment)?),
            DHP if self.frame.is_some() || self.hierarchical.is_some() => return Err(several),
            DHP => self.hierarchical = Some(Frame::read(segment)?),
            DQT => self.read_tables(segment)?,
            DRI => {
                let Ok(interval) = segment.payload.try_into() else { return Err(segment.length_error()) };
                self.restart_interval = u16::from_be_bytes(interval);
            }
            APP0 => self.jfif |= segment.payload.starts_with(b"JFIF\0"),
            APP1 => self.orientation = self.orientation.or_else(|| exif::orientation(segment.payload)),
            // After the name come a version, two sets of flags, and the transform.
            APP14 if segment.payload.starts_with(b"Adobe") => {
                self.adobe = segment.payload.get(11).copied().or(self.adobe);
            }
            _ => {}
        }
        Ok(())
    }

    fn read_tables(&mut self, segment: &Segment) -> Result<(), Error> {
        let mut rest = segment.payload;
        while let Some((&kind, values)) = rest.split_first() {
            let (precision, number) = (kind >> 4, kind & 15);
            let wide = precision == 1;
            let offset = segment.offset() + 2 + segment.payload.len() - rest.len();
            let (Some(slot), 0 | 1) = (self.tables.get_mut(usize::from(number)), precision) else {
                return Err(Error::QuantisationTable { offset, precision, number });
            };
            let Some((values, after)) = values.split_at_checked(if wide { 128 } else { 64 }) else {
                return Err(segment.length_error());
            };
            let mut table = Table { wide, values: [0; 64] };
            for (index, value) in table.values.iter_mut().enumerate() {
                *value = if wide {
                    u16::from_be_bytes([values[2 * index], values[2 * index + 1]])
                } else {
                    values[index].into()
                };
            }
            *slot = Some(table);
            rest = after;
        }
        Ok(())
    }

    /// The error of a file that ends here, before its first scan.
    fn ended(&self, end: &Segment) -> Error {
        let offset = end.start();
        match self.frame {
            Some(_) => Error::NoScan { offset },
            None => Error::NoFrame { offset, segment: end.marker },
        }
    }

    fn frame(&self, scan: &Segment) -> Result<Frame, Error> {
        self.frame.ok_or(Error::NoFrame { offset: scan.start(), segment: Marker(SOS) })
    }

    /// Whether a scan has all of the frame's components.
    fn interleaved(&self, scan: &Segment) -> Result<bool, Error> {
        let frame = self.frame(scan)?;
        let Some((&count, rest)) = scan.payload.split_first() else { return Err(scan.length_error()) };
        let Some((specified, spectrum)) = rest.split_at_checked(2 * usize::from(count)) else {
            return Err(scan.length_error());
        };
        if count == 0 || spectrum.len() != 3 {
            return Err(scan.length_error());
        }
        let (specified, _) = specified.as_chunks::<2>();
        let is_in_frame = |name: u8| frame.components().iter().any(|component| component.identifier == name);
        if let Some(&[component, _]) = specified.iter().find(|[name, _]| !is_in_frame(*name)) {
            return Err(Error::ScanComponent { offset: scan.offset(), component });
        }
        let is_in_scan =
            |component: &Component| specified.iter().any(|[name, _]| *name == component.identifier);
        Ok(specified.len() == frame.count && frame.components().iter().all(is_in_scan))
    }

    fn colour_space(&self, frame: &Frame) -> ColourSpace {
        match (frame.components(), self.adobe) {
            ([_], _) => ColourSpace::Grey,
            ([_, _, _], _) if self.jfif => ColourSpace::YCbCr,
            ([_, _, _], Some(0)) => ColourSpace::Rgb,
            ([_, _, _], Some(_)) => ColourSpace::YCbCr,
            ([red, green, blue], None) => match [red, green, blue].map(|component| component.identifier) {
                [b'R', b'G', b'B'] => ColourSpace::Rgb,
                _ => ColourSpace::YCbCr,
            },
            ([_, _, _, _], None | Some(0)) => ColourSpace::Cmyk,
            ([_, _, _, _], Some(_)) => ColourSpace::Ycck,
            _ => ColourSpace::Unknown,
        }
    }

    /// The quantisation tables of the frame's components, if all are there.
    fn tables(&self, frame: &Frame) -> Option<[Table; MAX_COMPONENTS]> {
        let mut tables = [Table { wide: false, values: [0; 64] }; MAX_COMPONENTS];
        for (table, component) in tables.iter_mut().zip(frame.components()) {
            *table = self.tables.get(usize::from(component.table)).copied().flatten()?;
        }
        Some(tables)
    }

    fn header(
        &self,
        scan: &Segment,
        interleaved: bool,
        scans: usize,
        complete: bool,
    ) -> Result<Header, Error> {
        let frame = self.frame(scan)?;
        let size = self.hierarchical.unwrap_or(frame);
        let process = match self.hierarchical {
            Some(_) => Process::Hierarchical,
            None => frame.process(),
        };
        let tables = self.tables(&frame).filter(|_| process != Process::Lossless);
        Ok(Header {
            width: size.width,
            height: size.height,
            precision: frame.precision,
            process,
            coding: frame.coding(),
            subsampling: frame.subsampling(),
            colour_space: self.colour_space(&frame),
            orientation: self.orientation,
            restart_interval: self.restart_interval,
            interleaved,
            scans,
            complete,
            quality: tables.as_ref().and_then(|tables| quality::quality(tables.get(..frame.count)?)),
            tables,
            components: frame.components,
            count: frame.count,
        })
    }
}
