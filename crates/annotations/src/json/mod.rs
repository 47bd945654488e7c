//! A JSON reader for files larger than memory: values are taken one after the other, as the caller asks for them.
//!
//! Annotations of a large dataset are one JSON value of hundreds of megabytes, most of which is polygons. A parser that
//! builds values needs several times the memory and half a minute; one that deserialises a slice needs the whole file in
//! memory. [`Reader`] holds one block of it, goes through what nobody asks for at the speed of a look at each byte, and
//! says where it stands when something is wrong.
//!
//! The grammar is RFC 8259's. Beyond it `NaN`, `Infinity` and `-Infinity` are numbers, because Python writes them.

mod halves;
mod number;
mod word;

use std::fmt;
use std::io::{self, Read};

/// Where in a file something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Lines before it, and one.
    pub line: u64,
    /// Bytes of its line before it, and one.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why reading ended.
#[derive(Debug)]
pub enum Error {
    /// The text is not JSON, or not what was asked for.
    Syntax {
        /// What was expected and what was found.
        what: String,
        /// Where.
        position: Position,
    },
    /// The source failed.
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

/// A result with this reader's error.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{..}`
    Object,
    /// `[..]`
    Array,
    /// `"..."`
    String,
    /// `1.5`
    Number,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Object => "an object",
            Kind::Array => "an array",
            Kind::String => "a string",
            Kind::Number => "a number",
            Kind::Boolean => "a boolean",
            Kind::Null => "null",
        })
    }
}

pub(crate) use halves::WORTH_IT;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 18;
/// Values may be nested so deep; a file of nothing but brackets is no reason to use up memory.
const DEEPEST: usize = 256;
/// A string or a number may be so long. COCO's longest strings are runs of a crowd's mask, some kilobytes.
const LONGEST: usize = 1 << 26;

/// Reads JSON from a source.
pub struct Reader<R> {
    source: R,
    block: Vec<u8>,
    /// What of the block has been taken, and how much of it is there.
    at: usize,
    end: usize,
    /// Bytes, and lines, in blocks before this one, and the byte at which the line begins that this block begins in.
    before: u64,
    lines: u64,
    line_start: u64,
    /// Arrays and objects that are open.
    depth: usize,
    /// The last string or number, kept to be reused.
    text: Vec<u8>,
    /// Where bytes go that are gone through, if they are kept.
    kept: Option<Vec<u8>>,
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    pub fn new(source: R) -> Reader<R> {
        Reader {
            source,
            block: vec![0; BLOCK],
            at: 0,
            end: 0,
            before: 0,
            lines: 0,
            line_start: 0,
            depth: 0,
            text: Vec::new(),
            kept: None,
        }
    }

    /// Bytes that have been taken.
    pub fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    /// Where the next byte stands. It takes a look at the whole block: for errors.
    pub fn position(&self) -> Position {
        let taken = &self.block[..self.at];
        let lines = memchr::memchr_iter(b'\n', taken).count() as u64;
        let start = match memchr::memrchr(b'\n', taken) {
            Some(newline) => self.before + newline as u64 + 1,
            None => self.line_start,
        };
        Position { line: self.lines + lines + 1, column: self.offset() - start + 1 }
    }

    /// An error at the next byte.
    pub fn error<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Error::Syntax { what: what.into(), position: self.position() })
    }

    /// Reads the next block, once this one is used up. Yields whether there was one.
    #[cold]
    fn fill(&mut self) -> Result<bool> {
        let used = &self.block[..self.end];
        if let Some(newline) = memchr::memrchr(b'\n', used) {
            self.lines += memchr::memchr_iter(b'\n', used).count() as u64;
            self.line_start = self.before + newline as u64 + 1;
        }
        self.before += self.end as u64;
        (self.at, self.end) = (0, 0);
        self.end = loop {
            match self.source.read(&mut self.block) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        Ok(self.end > 0)
    }

    /// The next byte, which is not taken; `None` at the end.
    #[inline]
    fn peek_byte(&mut self) -> Result<Option<u8>> {
        if self.at == self.end && !self.fill()? {
            return Ok(None);
        }
        Ok(Some(self.block[self.at]))
    }

    /// Takes the byte that was looked at.
    #[inline]
    fn take(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.push(self.block[self.at]);
        }
        self.at += 1;
    }

    /// The next byte that is no white space, not taken.
    #[inline]
    fn token(&mut self) -> Result<Option<u8>> {
        loop {
            match self.peek_byte()? {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return Ok(byte),
            }
        }
    }

    /// What comes next, for a message.
    fn found(&mut self) -> Result<String> {
        Ok(match self.token()? {
            None => "the end of the file".into(),
            Some(byte @ 0x21..0x7f) => format!("`{}`", byte as char),
            Some(byte) => format!("byte {byte:#04x}"),
        })
    }

    fn require(&mut self, byte: u8, what: &str) -> Result<()> {
        if self.token()? == Some(byte) {
            self.take();
            return Ok(());
        }
        let found = self.found()?;
        self.error(format!("expected {what}, found {found}"))
    }

    /// The kind of the value that comes next, which is not taken.
    pub fn kind(&mut self) -> Result<Kind> {
        Ok(match self.token()? {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => Kind::Number,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => {
                let found = self.found()?;
                return self.error(format!("expected a value, found {found}"));
            }
        })
    }

    fn expect_kind(&mut self, wanted: Kind) -> Result<()> {
        match self.kind()? {
            kind if kind == wanted => Ok(()),
            kind => self.error(format!("expected {wanted}, found {kind}")),
        }
    }

    fn enter(&mut self) -> Result<()> {
        self.take();
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error(format!("more than {DEEPEST} arrays and objects in one another"));
        }
        Ok(())
    }

    /// Takes an array: `element` takes one of its values at each call.
    pub fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        if !self.begin_array()? {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.more()? {
                return Ok(());
            }
        }
    }

    /// Enters an array, or goes through it if it is empty. Yields whether it has elements.
    fn begin_array(&mut self) -> Result<bool> {
        self.expect_kind(Kind::Array)?;
        self.enter()?;
        if self.token()? == Some(b']') {
            self.take();
            self.depth -= 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Takes what follows an element of an array. Yields whether that is another element.
    fn more(&mut self) -> Result<bool> {
        if self.token()? == Some(b',') {
            self.take();
            return Ok(true);
        }
        self.require(b']', "`,` or `]`")?;
        self.depth -= 1;
        Ok(false)
    }

    /// A reader that begins before an element of an array, so many bytes into a file.
    fn within_array(source: R, offset: u64) -> Reader<R> {
        Reader { before: offset, line_start: offset, depth: 1, ..Reader::new(source) }
    }

    /// Goes on where another reader stands, which began within the innermost array where this one is, and has left it.
    fn go_on_with(&mut self, other: Reader<R>) {
        let (taken, lines) = (&self.block[..self.at], self.lines);
        let lines = lines + memchr::memchr_iter(b'\n', taken).count() as u64;
        let here =
            memchr::memrchr(b'\n', taken).map_or(self.line_start, |newline| self.before + newline as u64 + 1);
        let depth = self.depth - 1;
        // Lines of the other one are counted from here.
        let line_start = if other.lines == 0 { here } else { other.line_start };
        *self = Reader { lines: lines + other.lines, line_start, depth, kept: self.kept.take(), ..other };
    }

    /// Takes an object: `member` takes the value of one key at each call. The key is the whole of `key`.
    pub fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        self.expect_kind(Kind::Object)?;
        self.enter()?;
        if self.token()? == Some(b'}') {
            self.take();
            self.depth -= 1;
            return Ok(());
        }
        let mut key = String::new();
        loop {
            if self.token()? != Some(b'"') {
                let found = self.found()?;
                return self.error(format!("expected a key in quotes, found {found}"));
            }
            key.clear();
            key.push_str(self.string()?);
            self.require(b':', "`:`")?;
            member(self, &key)?;
            if self.token()? == Some(b',') {
                self.take();
                continue;
            }
            self.require(b'}', "`,` or `}`")?;
            self.depth -= 1;
            return Ok(());
        }
    }

    /// Takes a string, which lies in the reader until the next call.
    pub fn string(&mut self) -> Result<&str> {
        self.expect_kind(Kind::String)?;
        self.text.clear();
        self.take();
        loop {
            let plain = self.plain_bytes()?;
            self.text.extend_from_slice(&self.block[self.at - plain..self.at]);
            if self.text.len() > LONGEST {
                return self.error(format!("a string of more than {LONGEST} bytes"));
            }
            match self.peek_byte()? {
                Some(b'"') => {
                    self.take();
                    break;
                }
                Some(b'\\') => {
                    let character = self.escaped()?;
                    self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(byte) if byte < 0x20 => {
                    return self.error(format!("byte {byte:#04x} in a string must be escaped"));
                }
                // A block has ended.
                Some(_) => {}
                None => return self.error("the file ends within a string"),
            }
        }
        match std::str::from_utf8(&self.text) {
            Ok(text) => Ok(text),
            Err(_) => self.error("the string before this is not UTF-8"),
        }
    }

    /// Takes the bytes of a string up to a quote, a backslash, a control character or the end of the block.
    #[inline]
    fn plain_bytes(&mut self) -> Result<usize> {
        if self.peek_byte()?.is_none() {
            return Ok(0);
        }
        let rest = &self.block[self.at..self.end];
        let mut plain = 0;
        while let Some(word) = word::at(rest, plain) {
            let count = word::plain(word);
            plain += count;
            if count < 8 {
                break;
            }
        }
        // What the words leave: a byte beyond ASCII, or the end of the block.
        let ends = |&byte: &u8| matches!(byte, b'"' | b'\\') || byte < 0x20;
        plain += rest[plain..].iter().position(ends).unwrap_or(rest.len() - plain);
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(&rest[..plain]);
        }
        self.at += plain;
        Ok(plain)
    }

    /// Takes a backslash and what it stands for.
    fn escaped(&mut self) -> Result<char> {
        self.take();
        let Some(byte) = self.peek_byte()? else { return self.error("the file ends within a string") };
        self.take();
        Ok(match byte {
            b'"' | b'\\' | b'/' => byte as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hexadecimal()?;
                let code = match unit {
                    0xd800..0xdc00 => {
                        let pair = self.peek_byte()? == Some(b'\\');
                        if pair {
                            self.take();
                        }
                        if !pair || self.peek_byte()? != Some(b'u') {
                            return self.error("half of a surrogate pair");
                        }
                        self.take();
                        let low = self.hexadecimal()?;
                        if !(0xdc00..0xe000).contains(&low) {
                            return self.error("half of a surrogate pair");
                        }
                        0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    }
                    unit => unit,
                };
                match char::from_u32(code) {
                    Some(character) => character,
                    None => return self.error("half of a surrogate pair"),
                }
            }
            _ => return self.error("an unknown escape in a string"),
        })
    }

    fn hexadecimal(&mut self) -> Result<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek_byte()?.and_then(|byte| (byte as char).to_digit(16));
            let Some(digit) = digit else { return self.error("expected four hexadecimal digits") };
            self.take();
            value = value * 16 + digit;
        }
        Ok(value)
    }

    /// Takes `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool> {
        self.expect_kind(Kind::Boolean)?;
        if self.peek_byte()? == Some(b't') {
            self.word("true")?;
            return Ok(true);
        }
        self.word("false")?;
        Ok(false)
    }

    /// Takes `null`.
    pub fn null(&mut self) -> Result<()> {
        self.expect_kind(Kind::Null)?;
        self.word("null")
    }

    fn word(&mut self, word: &str) -> Result<()> {
        for expected in word.bytes() {
            if self.peek_byte()? != Some(expected) {
                return self.error(format!("expected `{word}`"));
            }
            self.take();
        }
        Ok(())
    }

    /// Goes through a value, whatever it is. It is checked all the same.
    pub fn skip(&mut self) -> Result<()> {
        // What is open around the place, from the outside in: an object or an array.
        let mut open = [false; DEEPEST + 1];
        let base = self.depth;
        loop {
            // A value.
            match self.kind()? {
                kind @ (Kind::Object | Kind::Array) => {
                    let object = kind == Kind::Object;
                    self.enter()?;
                    open[self.depth] = object;
                    let close = if object { b'}' } else { b']' };
                    if self.token()? == Some(close) {
                        self.take();
                        self.depth -= 1;
                    } else {
                        if object {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                Kind::Number => self.skip_numbers(self.depth > base && !open[self.depth])?,
                Kind::String => self.skip_string()?,
                Kind::Boolean => drop(self.boolean()?),
                Kind::Null => self.null()?,
            }
            // What follows a value.
            loop {
                if self.depth == base {
                    return Ok(());
                }
                let object = open[self.depth];
                match self.token()? {
                    Some(b',') => {
                        self.take();
                        if object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    Some(b'}') if object => {
                        self.take();
                        self.depth -= 1;
                    }
                    Some(b']') if !object => {
                        self.take();
                        self.depth -= 1;
                    }
                    _ => {
                        let found = self.found()?;
                        let close = if object { '}' } else { ']' };
                        return self.error(format!("expected `,` or `{close}`, found {found}"));
                    }
                }
            }
        }
    }

    fn skip_key(&mut self) -> Result<()> {
        if self.token()? != Some(b'"') {
            let found = self.found()?;
            return self.error(format!("expected a key in quotes, found {found}"));
        }
        self.skip_string()?;
        self.require(b':', "`:`")
    }

    fn skip_string(&mut self) -> Result<()> {
        self.string().map(drop)
    }

    /// Takes a value as it is written, but for white space around its tokens.
    pub fn raw(&mut self, into: &mut Vec<u8>) -> Result<()> {
        self.token()?;
        let outer = self.kept.replace(std::mem::take(into));
        let skipped = self.skip();
        *into = std::mem::replace(&mut self.kept, outer).unwrap_or_default();
        if let Some(outer) = &mut self.kept {
            outer.extend_from_slice(into);
        }
        skipped
    }

    /// Makes sure that nothing but white space is left.
    pub fn finish(&mut self) -> Result<()> {
        match self.token()? {
            None => Ok(()),
            Some(_) => {
                let found = self.found()?;
                self.error(format!("expected the end of the file, found {found}"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
