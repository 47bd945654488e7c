//! Where a JPEG file's segments begin and end.

use memchr::memchr;

use super::error::{Error, Marker};

pub(super) const RST0: u8 = 0xd0;
pub(super) const RST7: u8 = 0xd7;
pub(super) const SOI: u8 = 0xd8;
pub(super) const EOI: u8 = 0xd9;
pub(super) const SOS: u8 = 0xda;
const TEM: u8 = 0x01;

/// A marker, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) marker: Marker,
    /// Where the marker's second byte is.
    marker_offset: usize,
    /// What follows the length.
    pub(super) payload: &'a [u8],
}

impl Segment<'_> {
    /// Where the marker's 0xff is.
    pub(super) fn start(&self) -> usize {
        self.marker_offset - 1
    }

    /// Where the length is.
    pub(super) fn offset(&self) -> usize {
        self.marker_offset + 1
    }

    /// The error of a segment whose length does not fit what it holds.
    pub(super) fn length_error(&self) -> Error {
        Error::Length {
            offset: self.offset(),
            segment: self.marker,
            length: u16::try_from(self.payload.len() + 2).unwrap_or(u16::MAX),
        }
    }
}

/// Goes from segment to segment.
#[derive(Debug)]
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    /// Where the next segment begins.
    offset: usize,
    last: Marker,
}

impl<'a> Segments<'a> {
    /// The segments of a file, after the marker of its start.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Segments<'a>, Error> {
        if !bytes.starts_with(&[0xff, SOI]) {
            return Err(Error::NotJpeg);
        }
        Ok(Segments { bytes, offset: 2, last: Marker(SOI) })
    }

    /// The segment that begins here. The payload of markers that stand alone is empty.
    pub(super) fn next(&mut self) -> Result<Segment<'a>, Error> {
        let byte = |offset: usize, segment| {
            let ended = Error::Truncated { offset: self.bytes.len(), segment };
            self.bytes.get(offset).copied().ok_or(ended)
        };
        let first = byte(self.offset, self.last)?;
        if first != 0xff {
            return Err(Error::NoMarker { offset: self.offset, found: first });
        }
        // Any number of 0xff may come before the kind.
        let mut offset = self.offset + 1;
        while byte(offset, self.last)? == 0xff {
            offset += 1;
        }
        let kind = byte(offset, self.last)?;
        let marker = Marker(kind);
        let payload: &[u8] = match kind {
            // A stuffed byte of a scan, reserved kinds, a second start.
            0x00 | 0x02..=0xbf | SOI => return Err(Error::NoMarker { offset, found: kind }),
            TEM | RST0..=RST7 | EOI => &[],
            _ => {
                let length = u16::from_be_bytes([byte(offset + 1, marker)?, byte(offset + 2, marker)?]);
                let (start, end) = (offset + 3, offset + 1 + usize::from(length));
                if length < 2 {
                    return Err(Error::Length { offset: offset + 1, segment: marker, length });
                }
                let ended = Error::Truncated { offset: self.bytes.len(), segment: marker };
                self.bytes.get(start..end).ok_or(ended)?
            }
        };
        self.last = marker;
        self.offset = match kind {
            TEM | RST0..=RST7 | EOI => offset + 1,
            _ => offset + 3 + payload.len(),
        };
        Ok(Segment { marker, marker_offset: offset, payload })
    }

    /// Goes through the data of a scan that begins here, to the segment that follows it. Whether there is one.
    fn skip_scan(&mut self) -> bool {
        loop {
            let rest = self.bytes.get(self.offset..).unwrap_or_default();
            let Some(mark) = memchr(0xff, rest) else { return false };
            self.offset += mark;
            match rest.get(mark + 1) {
                // A stuffed byte, or the mark of a restart: the scan goes on.
                Some(0x00 | RST0..=RST7) => self.offset += 2,
                // Fill.
                Some(0xff) => self.offset += 1,
                Some(_) => return true,
                None => return false,
            }
        }
    }

    /// Goes through the scan that begins here and all that follow it. How many there are, and whether the mark of the
    /// file's end comes after them.
    pub(super) fn count_scans(mut self) -> (usize, bool) {
        let mut scans = 1;
        while self.skip_scan() {
            loop {
                match self.next() {
                    Ok(Segment { marker: Marker(EOI), .. }) => return (scans, true),
                    Ok(Segment { marker: Marker(SOS), .. }) => break,
                    Ok(_) => {}
                    Err(_) => return (scans, false),
                }
            }
            scans += 1;
        }
        (scans, false)
    }
}
