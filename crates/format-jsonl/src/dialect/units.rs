//! Cuts an input into units and hands their records on as generic lines.
//!
//! Invariant: the n-th line that comes out is the n-th line of the input where units are lines (a line without a record is
//! a blank one), else the n-th record. What is left at the end without being a unit comes out as it is, without a newline,
//! so that a reader of lines takes it for a record that was cut short.

use std::io::{self, Read};

use tranship_storage::Limits;

use super::{Reading, Unit, bson};

const BLOCK_BYTES: usize = 1 << 20;

/// An input of a dialect as generic lines.
pub struct Translated {
    input: Box<dyn Read + Send>,
    reading: Reading,
    /// Unread bytes are `buffer[start..]`; they have been searched up to `cutter.at`.
    buffer: Vec<u8>,
    start: usize,
    cutter: Cutter,
    begun: bool,
    at_end: bool,
    max_unit_bytes: usize,
    out: Vec<u8>,
    given: usize,
}

impl Translated {
    /// The generic lines of `input`; a line or page that is longer than `limits` allow is an error.
    pub fn new(input: Box<dyn Read + Send>, reading: Reading, limits: &Limits) -> Self {
        let max_unit_bytes = match reading.dialect.unit {
            Unit::Values => limits.max_page_bytes,
            Unit::Lines | Unit::Pairs => 2 * limits.max_line_bytes,
            Unit::Documents => bson::MAX_DOCUMENT_BYTES,
        };
        let cutter = Cutter::new(reading.dialect.unit);
        Translated {
            input,
            reading,
            buffer: Vec::new(),
            start: 0,
            cutter,
            begun: false,
            at_end: false,
            max_unit_bytes,
            out: Vec::new(),
            given: 0,
        }
    }

    /// Puts the lines of the next unit into `out`; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        self.out.clear();
        self.given = 0;
        loop {
            let unread = &self.buffer[self.start..];
            if let Some(end) = self.cutter.end(unread) {
                translate(&self.reading, &unread[..end], &mut self.out);
                self.start += end;
                return Ok(true);
            }
            if self.at_end {
                let rest = if self.reading.dialect.unit == Unit::Documents { unread } else { unread.trim_ascii() };
                if rest.is_empty() {
                    return Ok(false);
                }
                cut_short(self.reading.dialect.unit, rest, &mut self.out);
                self.start = self.buffer.len();
                return Ok(true);
            }
            if unread.len() > self.max_unit_bytes {
                let what = format!("a record or page is longer than {} bytes", self.max_unit_bytes);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        self.input.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut self.buffer)?;
        self.at_end = self.buffer.len() < before + BLOCK_BYTES;
        if !std::mem::replace(&mut self.begun, true) && crate::line::without_bom(&self.buffer).len() < self.buffer.len()
        {
            self.start = self.buffer.len() - crate::line::without_bom(&self.buffer).len();
        }
        if self.at_end && ends_whole(self.reading.dialect.unit, &self.buffer) {
            self.buffer.push(b'\n');
        }
        Ok(())
    }
}

impl Read for Translated {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.out.len() {
            if !self.advance()? {
                return Ok(0);
            }
        }
        let count = out.len().min(self.out.len() - self.given);
        out[..count].copy_from_slice(&self.out[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// What stands at the end of the input without being a unit, on one line without its end.
fn cut_short(unit: Unit, rest: &[u8], out: &mut Vec<u8>) {
    if unit == Unit::Documents {
        return out.extend_from_slice(b"{\"BSON");
    }
    let last = match unit {
        Unit::Pairs => rest.rsplit(|byte| *byte == b'\n').next().unwrap_or(rest),
        _ => rest,
    };
    // A whole action line without its source must not pass for a record of its own.
    let last = if unit == Unit::Pairs { last.strip_suffix(b"}").unwrap_or(last) } else { last };
    out.extend(last.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
}

fn translate(reading: &Reading, unit: &[u8], out: &mut Vec<u8>) {
    let before = out.len();
    if reading.dialect.unit == Unit::Pairs && unit.trim_ascii_end().contains(&b'\n') {
        // The action's own line.
        out.push(b'\n');
    }
    if reading.dialect.unit == Unit::Documents || !unit.trim_ascii().is_empty() {
        reading.each_record(unit, &mut |record| reading.append_line(record, out));
    }
    if out.len() == before && matches!(reading.dialect.unit, Unit::Lines | Unit::Pairs) {
        out.push(b'\n');
    }
}

/// True if only the newline is missing after the last line, which is then a line like the others.
fn ends_whole(unit: Unit, text: &[u8]) -> bool {
    let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or(text);
    unit != Unit::Values
        && !last.trim_ascii().is_empty()
        && serde_json::from_slice::<serde::de::IgnoredAny>(last).is_ok()
}

/// The whole units at the beginning of an input.
pub fn whole(sample: &[u8], unit: Unit) -> impl Iterator<Item = &[u8]> {
    let sample = crate::line::without_bom(sample);
    let mut cutter = Cutter::new(unit);
    let mut rest = sample;
    std::iter::from_fn(move || {
        loop {
            let end = match cutter.end(rest) {
                Some(end) => end,
                // The last line of a short input may lack its newline.
                None if ends_whole(unit, rest) && (unit == Unit::Lines || rest.trim_ascii().contains(&b'\n')) => {
                    rest.len()
                }
                None => return None,
            };
            let (found, behind) = rest.split_at(end);
            rest = behind;
            if unit == Unit::Documents || !found.trim_ascii().is_empty() {
                return Some(found);
            }
        }
    })
}

/// Finds where units end.
struct Cutter {
    unit: Unit,
    /// Bytes of the unread ones that have been looked at.
    at: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Cutter {
    fn new(unit: Unit) -> Self {
        Cutter { unit, at: 0, depth: 0, in_string: false, escaped: false }
    }

    /// The end of the unit that `unread` begins with; goes on where the last search ended.
    fn end(&mut self, unread: &[u8]) -> Option<usize> {
        let end = match self.unit {
            Unit::Values => self.end_of_value(unread)?,
            Unit::Lines => self.end_of_line(unread, self.at)?,
            Unit::Documents => match bson::length(unread)? {
                Ok(length) => Some(length).filter(|length| *length <= unread.len())?,
                // Nothing behind a wrong length can be told apart: it is refused as a whole.
                Err(_) => unread.len(),
            },
            Unit::Pairs => {
                let first = self.end_of_line(unread, 0)?;
                match is_deletion(&unread[..first]) {
                    true => first,
                    false => self.end_of_line(unread, first)?,
                }
            }
        };
        *self = Cutter::new(self.unit);
        Some(end)
    }

    fn end_of_line(&mut self, unread: &[u8], from: usize) -> Option<usize> {
        let found = crate::line::after_newline(unread.get(from..)?).map(|after| from + after);
        if found.is_none() && self.unit == Unit::Lines {
            self.at = unread.len();
        }
        found
    }

    fn end_of_value(&mut self, unread: &[u8]) -> Option<usize> {
        for (offset, byte) in unread.iter().enumerate().skip(self.at) {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(offset + 1);
                    }
                }
                // A line that does not begin a value is a unit to be refused.
                b'\n' if self.depth == 0 && !unread[..offset].trim_ascii().is_empty() => {
                    return Some(offset + 1);
                }
                _ => {}
            }
        }
        self.at = unread.len();
        None
    }
}

/// An action without a source line: a deletion, or a blank line.
fn is_deletion(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with(b"{\"delete\"") || line.starts_with(b"{ \"delete\"")
}
