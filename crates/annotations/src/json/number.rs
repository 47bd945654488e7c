//! Numbers: the nearest `f64` to what is written, and integers without loss.

use std::io::Read;

use super::{Kind, LONGEST, Reader, Result, word};

/// Powers of ten that an `f64` holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Integers up to here are exact as an `f64`.
const EXACT: u64 = 1 << 53;

impl<R: Read> Reader<R> {
    /// Takes a number. Python's `NaN` and infinities are numbers here; what is too large for an `f64` becomes infinite.
    pub fn number(&mut self) -> Result<f64> {
        self.expect_kind(Kind::Number)?;
        if let Some((value, bytes)) = short_decimal(&self.block[self.at..self.end]) {
            self.keep_and_take(bytes);
            return Ok(value);
        }
        self.number_text()?;
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        match text {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            text => match text.parse() {
                Ok(value) => Ok(value),
                Err(_) => self.error(format!("`{text}` before this is no number")),
            },
        }
    }

    /// Takes an integer: written as one, or as `12.0`.
    pub fn integer(&mut self) -> Result<i64> {
        self.expect_kind(Kind::Number)?;
        self.number_text()?;
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        if let Ok(integer) = text.parse() {
            return Ok(integer);
        }
        let what = match text.parse::<f64>() {
            Ok(value) if value.fract() == 0.0 && value.abs() < EXACT as f64 => return Ok(value as i64),
            Ok(value) if value.fract() == 0.0 => {
                format!("{text}, which ends here, is beyond the integers of 64 bits")
            }
            _ => format!("expected an integer, and {text} ends here"),
        };
        self.error(what)
    }

    fn keep_and_take(&mut self, bytes: usize) {
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(&self.block[self.at..self.at + bytes]);
        }
        self.at += bytes;
    }

    /// Takes a number's characters into `text`, in the form that JSON gives numbers.
    fn number_text(&mut self) -> Result<()> {
        self.text.clear();
        if self.peek_byte()? == Some(b'-') {
            self.keep_in_text();
        }
        match self.peek_byte()? {
            Some(b'N') if self.text.is_empty() => return self.named_number("NaN"),
            Some(b'I') => return self.named_number("Infinity"),
            Some(b'0') => self.keep_in_text(),
            _ => self.digits()?,
        }
        if self.peek_byte()? == Some(b'.') {
            self.keep_in_text();
            self.digits()?;
        }
        if matches!(self.peek_byte()?, Some(b'e' | b'E')) {
            self.keep_in_text();
            if matches!(self.peek_byte()?, Some(b'+' | b'-')) {
                self.keep_in_text();
            }
            self.digits()?;
        }
        match self.peek_byte()? {
            Some(b'0'..=b'9') => self.error("a number begins with 0"),
            _ => Ok(()),
        }
    }

    fn named_number(&mut self, name: &str) -> Result<()> {
        self.word(name)?;
        self.text.extend_from_slice(name.as_bytes());
        Ok(())
    }

    #[inline]
    fn keep_in_text(&mut self) {
        self.text.push(self.block[self.at]);
        self.take();
    }

    fn digits(&mut self) -> Result<()> {
        let before = self.text.len();
        while let Some(b'0'..=b'9') = self.peek_byte()? {
            self.keep_in_text();
            if self.text.len() > LONGEST {
                return self.error(format!("a number of more than {LONGEST} digits"));
            }
        }
        if self.text.len() == before { self.error("expected a digit") } else { Ok(()) }
    }

    /// Goes through a number and, as far as they are easy to see, those that follow it in an array: what polygons consist
    /// of.
    pub(super) fn skip_numbers(&mut self, array: bool) -> Result<()> {
        loop {
            match plain_number(&self.block[self.at..self.end]) {
                Some(bytes) => self.keep_and_take(bytes),
                None => return self.number_text(),
            }
            // A comma, a space or none, and the beginning of a number.
            let rest = &self.block[self.at..self.end];
            let space = match rest {
                [b',', b' ', b'-' | b'0'..=b'9', ..] => 1,
                [b',', b'-' | b'0'..=b'9', ..] => 0,
                _ => return Ok(()),
            };
            if !array {
                return Ok(());
            }
            self.take();
            self.at += space;
        }
    }
}

/// The value and length of a number that begins `bytes` and ends before they do, if it is one of those whose nearest
/// `f64` is a single rounding away: at most 2^53 as an integer, divided by a power of ten up to 10^22 (W. D. Clinger,
/// "How to read floating point numbers accurately", 1990).
#[inline]
fn short_decimal(bytes: &[u8]) -> Option<(f64, usize)> {
    let start = usize::from(*bytes.first()? == b'-');
    let (mut mantissa, mut at) = digits_of(bytes, start, 0)?;
    let whole = at - start;
    if whole == 0 || (whole > 1 && bytes[start] == b'0') {
        return None;
    }
    let mut fraction = 0;
    if *bytes.get(at)? == b'.' {
        let point = at + 1;
        (mantissa, at) = digits_of(bytes, point, mantissa)?;
        fraction = at - point;
        if fraction == 0 {
            return None;
        }
    }
    // 19 digits do not wrap around.
    if whole + fraction > 19 || mantissa > EXACT || matches!(bytes.get(at)?, b'e' | b'E') {
        return None;
    }
    let value = mantissa as f64 / POWERS[fraction];
    Some((if start == 1 { -value } else { value }, at))
}

/// The digits at a place as a number that goes on `before`, and where they end; more than 19 in all wrap around.
#[inline]
fn digits_of(bytes: &[u8], mut at: usize, before: u64) -> Option<(u64, usize)> {
    const SCALES: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let mut value = before;
    loop {
        let word = word::at(bytes, at)?;
        let count = word::digits(word);
        if count == 0 {
            return Some((value, at));
        }
        value = value.wrapping_mul(SCALES[count]).wrapping_add(word::decimal(word, count));
        at += count;
        if count < 8 {
            return Some((value, at));
        }
    }
}

/// The length of a number that begins `bytes` and ends some bytes before they do, if it has no exponent.
#[inline]
fn plain_number(bytes: &[u8]) -> Option<usize> {
    let start = usize::from(*bytes.first()? == b'-');
    let mut at = end_of_digits(bytes, start)?;
    if at == start || (at > start + 1 && bytes[start] == b'0') {
        return None;
    }
    if *bytes.get(at)? == b'.' {
        let point = at + 1;
        at = end_of_digits(bytes, point)?;
        if at == point {
            return None;
        }
    }
    (!matches!(bytes.get(at)?, b'e' | b'E')).then_some(at)
}

#[inline]
fn end_of_digits(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let count = word::digits(word::at(bytes, at)?);
        at += count;
        if count < 8 {
            return Some(at);
        }
    }
}
