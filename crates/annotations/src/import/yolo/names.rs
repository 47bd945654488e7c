//! The names of YOLO's classes.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::import::files;

/// Files of names that are looked for in a directory, in this order.
const FILES: [&str; 5] = ["data.yaml", "data.yml", "classes.txt", "obj.names", "labels/classes.txt"];

/// Reads the names of classes, by the class's number.
///
/// A `.yaml` or `.yml` file gives them under `names`, as a list (`[person, car]`, or lines `- person`) or as a mapping
/// (`{0: person}`, or lines `0: person`) that leaves no number out; the rest of the file is not looked at. Names may
/// stand in quotes. What else YAML can do (anchors, tags, names over several lines) is an error. Any other file has a
/// name on each line. In a directory, the first of `data.yaml`, `data.yml`, `classes.txt`, `obj.names` and
/// `labels/classes.txt` is read.
///
/// # Errors
/// [`Error::Malformed`] with the line; [`Error::Setting`] where a directory has none of the files; [`Error::Io`].
pub fn yolo_names(path: impl AsRef<Path>) -> Result<Vec<String>> {
    let path = file(path.as_ref())?;
    let text = files::text(&path)?;
    let extension = path.extension().unwrap_or_default();
    let names = if ["yaml", "yml"].iter().any(|yaml| extension.eq_ignore_ascii_case(yaml)) {
        yaml(&text)
    } else {
        lines(&text)
    };
    names.map_err(|what| files::malformed(&path, what))
}

/// The file of names that a path means.
fn file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.into());
    }
    FILES.iter().map(|name| path.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        let what = format!(
            "{} has none of {}: name the file that names the classes",
            path.display(),
            FILES.join(", ")
        );
        Error::Setting { what }
    })
}

/// A name on each line; empty lines may follow.
fn lines(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_string()).collect();
    match names.iter().position(String::is_empty) {
        Some(line) => {
            Err(format!("line {}: it is empty, where the name of class {line} should be", line + 1))
        }
        None if names.is_empty() => Err("it names no class".into()),
        None => Ok(names),
    }
}

/// What stands under `names`, outermost in a YAML file.
fn yaml(text: &str) -> Result<Vec<String>, String> {
    let mut found = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let rest = line.strip_prefix("names").and_then(|rest| rest.trim_start_matches(' ').strip_prefix(':'));
        if let Some(rest) = rest {
            let mut yaml = Yaml { text, at: start + line.len() - rest.len() };
            if found.is_some() {
                return yaml.error("a second `names`");
            }
            found = Some(yaml.names()?);
        }
        start += line.len();
    }
    match found {
        Some(names) if names.is_empty() => Err("its `names` are none".into()),
        Some(names) => Ok(names),
        None => Err("there is no `names`, which a line of its own must begin with".into()),
    }
}

/// The number of a name, where it is given, and the name.
type Entry = (Option<usize>, String);

/// A place in a YAML file.
struct Yaml<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Yaml<'a> {
    fn error<T>(&self, what: impl AsRef<str>) -> Result<T, String> {
        Err(format!("line {}: {}", files::line_at(self.text.as_bytes(), self.at), what.as_ref()))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Goes on by a character, if it is the one.
    fn take(&mut self, expected: char) -> bool {
        let takes = self.peek() == Some(expected);
        if takes {
            self.at += expected.len_utf8();
        }
        takes
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
    }

    /// Skips a comment, which begins a line or follows a blank, up to the line's end.
    fn skip_comment(&mut self) {
        let before = self.text.as_bytes().get(self.at.wrapping_sub(1));
        if self.peek() == Some('#') && before.is_none_or(u8::is_ascii_whitespace) {
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    /// Skips blanks, comments and ends of lines.
    fn skip_space(&mut self) {
        loop {
            let before = self.at;
            self.at += self.rest().len() - self.rest().trim_start().len();
            self.skip_comment();
            if self.at == before {
                return;
            }
        }
    }

    /// The names, from behind `names:` on.
    fn names(&mut self) -> Result<Vec<String>, String> {
        self.skip_blanks();
        self.skip_comment();
        let entries = match self.peek() {
            Some('[') => self.flow(false)?,
            Some('{') => self.flow(true)?,
            None | Some('\n' | '\r') => self.block()?,
            Some(_) => return self.error("`names` is neither a list nor a mapping of numbers to names"),
        };
        self.in_order(entries)
    }

    /// `[a, b]` or `{0: a, 1: b}`, over as many lines as it takes.
    fn flow(&mut self, mapping: bool) -> Result<Vec<Entry>, String> {
        let close = if mapping { '}' } else { ']' };
        let mut entries = Vec::new();
        self.at += 1;
        loop {
            self.skip_space();
            if self.take(close) {
                break;
            }
            let number = if mapping { Some(self.number()?) } else { None };
            self.skip_space();
            entries.push((number, self.scalar(true)?));
            self.skip_space();
            if !self.take(',') && self.peek() != Some(close) {
                return self.error(format!("expected `,` or `{close}` after a name"));
            }
        }
        self.skip_blanks();
        self.end_of_line()?;
        Ok(entries)
    }

    /// Lines `- a`, or indented ones `0: a`, up to one that is not indented.
    fn block(&mut self) -> Result<Vec<Entry>, String> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut indentation = None;
        loop {
            self.skip_space();
            let line = &self.text[..self.at];
            let line = &line[line.rfind('\n').map_or(0, |end| end + 1)..];
            let is_item = self.peek() == Some('-') && self.rest()[1..].starts_with([' ', '\t', '\r', '\n']);
            if self.rest().is_empty() || (line.is_empty() && !is_item) {
                return Ok(entries);
            }
            if indentation.replace(line).is_some_and(|before| before != line) {
                return self.error("it is indented by more or by less than the name before");
            }
            if entries.first().is_some_and(|(number, _)| number.is_none() != is_item) {
                return self.error("names are items of a list, or have numbers, not both");
            }
            let number = if is_item {
                self.at += 1;
                None
            } else {
                Some(self.number()?)
            };
            self.skip_blanks();
            entries.push((number, self.scalar(false)?));
            self.skip_blanks();
            self.end_of_line()?;
        }
    }

    fn end_of_line(&mut self) -> Result<(), String> {
        self.skip_comment();
        match self.peek() {
            None | Some('\n' | '\r') => Ok(()),
            Some(found) => self.error(format!("expected the line's end, found {found:?}")),
        }
    }

    /// A number and the colon behind it.
    fn number(&mut self) -> Result<usize, String> {
        let digits = self.rest().len() - self.rest().trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Ok(number) = self.rest()[..digits].parse() else {
            return self.error("expected a class's number, as in `0: person`");
        };
        self.at += digits;
        self.skip_blanks();
        if !self.take(':') || !self.rest().starts_with([' ', '\t', '\r', '\n']) {
            return self.error(format!("expected `: ` and a name after {number}"));
        }
        Ok(number)
    }

    /// A name: in quotes, or up to what ends it.
    fn scalar(&mut self, flow: bool) -> Result<String, String> {
        match self.peek() {
            Some('\'') => self.single_quoted(),
            Some('"') => self.double_quoted(),
            Some(c @ ('&' | '*' | '!' | '|' | '>' | '%' | '@' | '`' | '[' | ']' | '{' | '}' | ',' | '?')) => {
                self.error(format!(
                    "no name begins with `{c}`: put it in quotes, or give the names in a plain list"
                ))
            }
            _ => self.plain(flow),
        }
    }

    fn plain(&mut self, flow: bool) -> Result<String, String> {
        let rest = self.rest();
        let mut end = rest.len();
        let mut before = ' ';
        for (position, c) in rest.char_indices() {
            let after = rest[position + c.len_utf8()..].chars().next();
            let ends = match c {
                '\n' => !flow,
                ',' | ']' | '}' | '[' | '{' => flow,
                '#' => before.is_whitespace(),
                _ => false,
            };
            if ends {
                end = position;
                break;
            }
            if c == ':' && after.is_none_or(char::is_whitespace) {
                self.at += position;
                return self.error("a name with a colon must stand in quotes");
            }
            before = c;
        }
        // A name in brackets may go on on the next line: that is one blank.
        let name = rest[..end].split_whitespace().collect::<Vec<_>>().join(" ");
        if name.is_empty() {
            return self.error("a name is missing");
        }
        self.at += rest[..end].trim_end().len();
        Ok(name)
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        let mut name = String::new();
        self.at += 1;
        loop {
            match self.next_quoted()? {
                '\'' if self.take('\'') => name.push('\''),
                '\'' => return Ok(name),
                c => name.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String, String> {
        let mut name = String::new();
        self.at += 1;
        loop {
            match self.next_quoted()? {
                '"' => return Ok(name),
                '\\' => {
                    let escaped = match self.next_quoted()? {
                        c @ ('"' | '\\' | '/' | ' ') => c,
                        't' => '\t',
                        'x' => self.hexadecimal(2)?,
                        'u' => self.hexadecimal(4)?,
                        'U' => self.hexadecimal(8)?,
                        c => return self.error(format!("`\\{c}` in a name: write the character itself")),
                    };
                    name.push(escaped);
                }
                c => name.push(c),
            }
        }
    }

    /// A character within quotes.
    fn next_quoted(&mut self) -> Result<char, String> {
        match self.peek() {
            None | Some('\n' | '\r') => self.error("a quote is not closed on its line"),
            Some(c) => {
                self.at += c.len_utf8();
                Ok(c)
            }
        }
    }

    /// A character by its number.
    fn hexadecimal(&mut self, digits: usize) -> Result<char, String> {
        let number =
            self.rest().get(..digits).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let character =
            number.and_then(|number| u32::from_str_radix(number, 16).ok()).and_then(char::from_u32);
        match character {
            Some(character) => {
                self.at += digits;
                Ok(character)
            }
            None => self.error(format!("expected {digits} hexadecimal digits of a character's number")),
        }
    }

    /// The names by number, if they have numbers.
    fn in_order(&self, mut entries: Vec<Entry>) -> Result<Vec<String>, String> {
        entries.sort_by_key(|(number, _)| *number);
        for (position, (number, name)) in entries.iter().enumerate() {
            if name.trim().is_empty() {
                return self.error(format!("the name of class {position} is empty"));
            }
            if number.is_some_and(|number| number != position) {
                return self.error(format!("class {position} has no name or several: number them from 0 on"));
            }
        }
        Ok(entries.into_iter().map(|(_, name)| name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_yaml_name_the_same() {
        for text in [
            "names: [person, traffic light, car]\n",
            "path: x # y\nnc: 3\nnames: ['person', \"traffic light\", car] # three\nkpt: [1]\n",
            "names: [person, # the first\n  traffic\n    light, car,\n]",
            "names:\n- person\n- traffic light\n- car\nnc: 3\n",
            "names:\r\n  - person\r\n\r\n  # a comment\r\n  - 'traffic light' # quoted\r\n  - car",
            "---\nnames: # of COCO\n  0: person\n  1: traffic light\n  2: \"car\"\ntrain: images\n",
            "names:\n    2: car\n    0: person\n    1: traffic light",
            "names : {0: person, 1: traffic light,\n 2: car}",
        ] {
            assert_eq!(yaml(text).unwrap(), ["person", "traffic light", "car"], "{text}");
        }
    }

    #[test]
    fn names_keep_their_characters() {
        let text =
            r#"names: [it's, 'it''s', "a\"b\\c", "caf\xe9", "\u4eba", a#b, a:b, -1, "x, y", 'é, ü', no]"#;
        let expected = ["it's", "it's", "a\"b\\c", "café", "人", "a#b", "a:b", "-1", "x, y", "é, ü", "no"];
        assert_eq!(yaml(text).unwrap(), expected);
        assert_eq!(yaml("names:\n  - a, b\n  - c [d]\n").unwrap(), ["a, b", "c [d]"]);
    }

    #[test]
    fn other_yaml_is_refused() {
        for (text, expected) in [
            ("", "no `names`"),
            ("train: a\n  names: [a]\n", "no `names`"),
            ("nc: 2\nnames: coco.names\n", "line 2: `names` is neither"),
            ("names:\n", "none"),
            ("names: []\n", "none"),
            ("names: [a, b", "line 1: expected `,` or `]`"),
            ("names: [a,\n", "line 2: a name is missing"),
            ("names: [a,, b]", "line 1: no name begins with `,`"),
            ("names: [a, [b]]", "no name begins with `[`"),
            ("names: [a] b", "expected the line's end"),
            ("names: [*a]", "no name begins with `*`"),
            ("names: ['a]\n", "line 1: a quote is not closed"),
            ("names: [\"\\q\"]\n", "`\\q`"),
            ("names: [\"\\u12\"]\n", "4 hexadecimal digits"),
            ("names: ['']\n", "class 0 is empty"),
            ("names:\n  - a\n   - b\n", "line 3: it is indented"),
            ("names:\n  - a\n    b\n", "line 3: it is indented"),
            ("names:\n  - a\n  1: b\n", "line 3: names are items"),
            ("names:\n  - a: b\n", "line 2: a name with a colon"),
            ("names:\n  -\n", "line 2: a name is missing"),
            ("names:\n  0: a\n  2: c\n", "class 1 has no name"),
            ("names:\n  0: a\n  0: c\n", "class 1 has no name or several"),
            ("names:\n  zero: a\n", "line 2: expected a class's number"),
            ("names:\n  0:a\n", "line 2: expected `: `"),
            ("names: {0: a, 99999999999999999999: b}", "expected a class's number"),
            ("names: [a]\nnames: [b]\n", "line 2: a second"),
        ] {
            let error = yaml(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        let text = "names: [é, 'b''c', \"\\u00e9\", {0: 人, 1: x}] # y\nnames:\n  - é\n  0: 人\r\n- \"\\xe9 é\"\n\t: -";
        let characters: Vec<char> = text.chars().collect();
        for start in 0..characters.len() {
            for end in start..=characters.len() {
                for before in ["names:", "names:\n  ", "names: [", "names: {"] {
                    let cut: String = before.chars().chain(characters[start..end].iter().copied()).collect();
                    let _ = yaml(&cut);
                }
            }
        }
    }

    #[test]
    fn lines_of_names() {
        assert_eq!(lines("person\r\n traffic light \r\n\r\n").unwrap(), ["person", "traffic light"]);
        assert!(lines("a\n\nb\n").unwrap_err().starts_with("line 2"));
        assert_eq!(lines(" \n").unwrap_err(), "it names no class");
    }
}
