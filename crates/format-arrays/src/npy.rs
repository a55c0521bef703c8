//! The header of a `.npy` file.
//!
//! ```text
//! "\x93NUMPY" | u8 major | u8 minor | header length: u16 (major 1), u32 (major 2, 3) | Python dict text | data
//! {'descr': '<f4', 'fortran_order': False, 'shape': (3000, 24), }
//! ```
//! Invariant: data that the header states is there in full, and nothing follows it.
//!
//! Errors: damaged, naming file and byte; not recognised for arrays of Python objects (a pickle, never executed),
//! structured ones and types that are no numbers. Source: numpy/lib/_format_impl.py, versions 1.0 to 3.0.

use tranship_connector::{Error, Result};
use tranship_storage::BlobReader;

use crate::number::Number;

/// What every file begins with.
pub const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Bytes that hold the header of any array of numbers or texts, with much room.
pub const MOST_HEADER_BYTES: u64 = 64 << 10;

/// The element type of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Descr {
    /// A number.
    Number(Number),
    /// Text of so many UTF-32 characters, padded with zeros.
    Utf32 {
        /// Characters.
        chars: u64,
        /// The most significant byte comes first.
        big_endian: bool,
    },
    /// So many bytes, padded with zeros.
    Bytes(u64),
    /// Python objects.
    Objects,
    /// Anything else, as numpy writes it.
    Other(String),
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Element type.
    pub descr: Descr,
    /// Columns lie one after another, not rows.
    pub fortran_order: bool,
    /// Extents, outermost first.
    pub shape: Vec<u64>,
    /// Where the data begins.
    pub data: u64,
}

impl Header {
    /// Reads the header of a whole file and checks that its data fits exactly.
    pub fn read(reader: &BlobReader) -> Result<Self> {
        let head = reader.range_to_vec(0, reader.len().min(MOST_HEADER_BYTES), MOST_HEADER_BYTES)?;
        let header = Header::parse(&head, reader.label())?;
        header.check_size(reader.len(), reader.label())?;
        Ok(header)
    }

    /// Parses the beginning of a file.
    pub fn parse(head: &[u8], label: &str) -> Result<Self> {
        let wrong = |what: &str, at: usize| Err(damaged(label, what, at as u64));
        let Some((magic, rest)) = head.split_at_checked(8).filter(|(magic, _)| magic.starts_with(MAGIC)) else {
            return wrong("no .npy file begins like this", 0);
        };
        let (text_at, len) = match (magic.get(6), rest) {
            (Some(1), [a, b, ..]) => (10, u32::from(u16::from_le_bytes([*a, *b]))),
            (Some(2 | 3), [a, b, c, d, ..]) => (12, u32::from_le_bytes([*a, *b, *c, *d])),
            (Some(1..=3), _) => return wrong("the file ends within its header", head.len()),
            (version, _) => {
                let version = version.copied().unwrap_or(0);
                return Err(Error::not_recognised(format!("version {version} of the .npy format is not known"))
                    .with("file", label)
                    .hint("save the array again with a numpy that writes version 1, 2 or 3"));
            }
        };
        let end = usize::try_from(len).ok().and_then(|len| len.checked_add(text_at));
        let Some((text, end)) = end.and_then(|end| Some((head.get(text_at..end)?, end))) else {
            return wrong(&format!("a header of {len} bytes, which the file does not hold"), 8);
        };
        let Some((descr, fortran_order, shape)) = Dict { text, at: 0 }.parse() else {
            return wrong("a header that is no dict of descr, fortran_order and shape", text_at);
        };
        Ok(Header { descr, fortran_order, shape, data: end as u64 })
    }

    /// Fails unless the array ends with the file of `len` bytes.
    pub fn check_size(&self, len: u64, label: &str) -> Result<()> {
        let Some(item) = self.descr.bytes() else { return Ok(()) };
        let end = self.shape.iter().try_fold(item, |bytes, extent| bytes.checked_mul(*extent));
        let end = end.and_then(|bytes| bytes.checked_add(self.data));
        if end == Some(len) {
            return Ok(());
        }
        let wanted = end.map_or_else(|| "more than 2^64".to_owned(), |end| end.to_string());
        Err(damaged(label, format!("the header states {wanted} bytes, the file has {len}"), len))
    }
}

impl Descr {
    /// Bytes of one item; `None` for what has none, or is not read.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Descr::Number(number) => Some(number.bytes as u64),
            Descr::Utf32 { chars, .. } => chars.checked_mul(4),
            Descr::Bytes(bytes) => Some(*bytes),
            Descr::Objects | Descr::Other(_) => None,
        }
    }

    /// The type as numpy spells it, for messages.
    pub fn name(&self) -> String {
        match self {
            Descr::Number(number) => number.name(),
            Descr::Utf32 { chars, .. } => format!("U{chars}"),
            Descr::Bytes(bytes) => format!("S{bytes}"),
            Descr::Objects => "Python objects".to_owned(),
            Descr::Other(text) => text.clone(),
        }
    }

    fn of(text: &str) -> Self {
        let (big_endian, name) = match text.split_at_checked(1) {
            Some((">", name)) => (true, name),
            Some(("<" | "|" | "=", name)) => (false, name),
            _ => (false, text),
        };
        let width = || name.get(1..)?.parse().ok();
        let found = match name.as_bytes().first() {
            Some(b'O') => Some(Descr::Objects),
            Some(b'U') => width().map(|chars| Descr::Utf32 { chars, big_endian }),
            Some(b'S' | b'a') => width().map(Descr::Bytes),
            _ => Number::named(name, big_endian).map(Descr::Number),
        };
        found.unwrap_or_else(|| Descr::Other(text.to_owned()))
    }
}

/// A parser of the one kind of dict that stands in a header.
struct Dict<'a> {
    text: &'a [u8],
    at: usize,
}

impl Dict<'_> {
    fn parse(mut self) -> Option<(Descr, bool, Vec<u64>)> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.take(b'{')?;
        while !self.skip(b'}') {
            let key = self.string()?;
            self.take(b':')?;
            match key.as_str() {
                "descr" => descr = Some(self.descr()?),
                "fortran_order" => fortran_order = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                _ => return None,
            }
            if !self.skip(b',') {
                self.take(b'}')?;
                break;
            }
        }
        self.white();
        (self.at == self.text.len()).then_some(())?;
        Some((descr?, fortran_order?, shape?))
    }

    fn descr(&mut self) -> Option<Descr> {
        match self.peek()? {
            b'\'' | b'"' => Some(Descr::of(&self.string()?)),
            // The fields of a structured type, to the bracket that closes them.
            _ => {
                let (start, mut depth) = (self.at, 0u32);
                loop {
                    match self.text.get(self.at)? {
                        b'[' | b'(' => depth += 1,
                        b']' | b')' => depth = depth.checked_sub(1)?,
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
                let text = std::str::from_utf8(self.text.get(start..self.at)?).ok()?;
                text.starts_with(['[', '(']).then(|| Descr::Other(text.to_owned()))
            }
        }
    }

    fn boolean(&mut self) -> Option<bool> {
        self.white();
        let rest = self.text.get(self.at..)?;
        let (value, len) = if rest.starts_with(b"True") { (true, 4) } else { (false, 5) };
        (value || rest.starts_with(b"False")).then_some(())?;
        self.at += len;
        Some(value)
    }

    fn tuple(&mut self) -> Option<Vec<u64>> {
        let mut items = Vec::new();
        self.take(b'(')?;
        while !self.skip(b')') {
            items.push(self.integer()?);
            if !self.skip(b',') {
                self.take(b')')?;
                break;
            }
        }
        Some(items)
    }

    fn integer(&mut self) -> Option<u64> {
        self.white();
        let digits = self.text.get(self.at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = std::str::from_utf8(self.text.get(self.at..self.at + digits)?).ok()?.parse().ok()?;
        self.at += digits;
        // Python 2 wrote long integers as `3000L`.
        self.skip(b'L');
        Some(value)
    }

    fn string(&mut self) -> Option<String> {
        let quote = self.peek().filter(|byte| matches!(byte, b'\'' | b'"'))?;
        let rest = self.text.get(self.at + 1..)?;
        let len = rest.iter().position(|byte| *byte == quote)?;
        self.at += len + 2;
        std::str::from_utf8(rest.get(..len)?).ok().map(str::to_owned)
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        self.skip(wanted).then_some(())
    }

    fn skip(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn peek(&mut self) -> Option<u8> {
        self.white();
        self.text.get(self.at).copied()
    }

    fn white(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }
}

fn damaged(label: &str, what: impl std::fmt::Display, at: u64) -> Error {
    Error::damaged(what.to_string())
        .with("file", label)
        .with("byte", at)
        .hint("copy the file again while nothing writes to it, and compare sizes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, text: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((text.len() as u16).to_le_bytes()),
            _ => bytes.extend((text.len() as u32).to_le_bytes()),
        }
        bytes.extend(text.as_bytes());
        bytes
    }

    fn parse(text: &str) -> Option<Header> {
        Header::parse(&file(1, text), "x.npy").ok()
    }

    #[test]
    fn headers_of_every_version_and_spelling_are_read() {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3000, 24), }   \n";
        for version in 1..=3 {
            let header = Header::parse(&file(version, text), "x.npy").unwrap();
            assert_eq!(header.descr, Descr::Number(Number::named("f4", false).unwrap()));
            assert_eq!((header.shape, header.fortran_order), (vec![3000, 24], false));
        }
        let loose = parse("{\"shape\":(7L,),\"descr\":\">i8\",\"fortran_order\":True}").unwrap();
        assert_eq!((loose.shape, loose.fortran_order), (vec![7], true));
        assert_eq!(loose.descr, Descr::Number(Number::named("i8", true).unwrap()));
        assert_eq!(parse("{'descr': '|O', 'fortran_order': False, 'shape': ()}").unwrap().descr, Descr::Objects);
        let fields = "{'descr': [('a', '<f4', (3,)), ('b', '<i8')], 'fortran_order': False, 'shape': (2,)}";
        assert_eq!(parse(fields).unwrap().descr, Descr::Other("[('a', '<f4', (3,)), ('b', '<i8')]".to_owned()));
        assert_eq!(parse("{'descr': '<U36', 'fortran_order': False, 'shape': (2,)}").unwrap().descr.bytes(), Some(144));
    }

    #[test]
    fn headers_that_make_no_sense_are_damage() {
        for text in [
            "",
            "{",
            "{'descr': '<f4'}",
            "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': True, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': True, 'shape': (99999999999999999999,)}",
            "{'descr': [[[, 'fortran_order': True, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': True, 'shape': (1,)} x",
            "{'descr': '<f4', 'fortran_order': True, 'shape': (1,), 'more': 1}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(Header::parse(b"\x93NUMPY\x02\0\xff\xff\xff\xff{}", "x.npy").is_err());
        let huge = parse("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808, 8)}").unwrap();
        let text = huge.check_size(128, "x.npy").unwrap_err().to_string();
        assert!(text.contains("more than 2^64") && text.contains("x.npy"), "{text}");
    }
}
