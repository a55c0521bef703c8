//! Cuts bytes into lines without copying or allocating per line.
//!
//! Invariant: one buffer is reused from line to line; it holds at most one unfinished line and what was read behind
//! it, so memory is bounded by the block size and the limit on a line. Offsets are bytes from the start of the whole
//! input, line numbers count from 1.
//!
//! Errors: limit (a line is longer than allowed, found before it is held whole), and those of the input.

use std::io::Read;
use std::ops::Range;

use tranship_connector::{Error, Result};

/// Bytes that are asked for at a time.
pub const BLOCK_BYTES: usize = 4 << 20;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// `bytes` without the byte order mark that some editors put in front.
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BOM).unwrap_or(bytes)
}

/// Position after the first newline in `bytes`.
pub fn after_newline(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes).map(|position| position + 1)
}

/// Number of newlines in `bytes`.
pub fn count_newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Where a line lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place in the reader's buffer, without the newline.
    pub range: Range<usize>,
    /// Its first byte in the input.
    pub offset: u64,
    /// Its number from 1; `None` where the lines before are not known.
    pub number: Option<u64>,
    /// True if a newline ends it; false for the end of the input.
    pub terminated: bool,
}

/// Reads lines out of a byte stream.
pub struct LineReader<R> {
    input: R,
    buffer: Vec<u8>,
    /// Unread bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    offset: u64,
    number: Option<u64>,
    max_line_bytes: usize,
    at_end: bool,
}

impl<R: Read> LineReader<R> {
    /// Lines of `input`, whose first byte is byte `offset` of the whole and belongs to line `number`.
    pub fn new(input: R, offset: u64, number: Option<u64>, max_line_bytes: usize) -> Self {
        LineReader { input, buffer: Vec::new(), start: 0, end: 0, offset, number, max_line_bytes, at_end: false }
    }

    /// The next line, or `None` at the end of the input.
    pub fn next_line(&mut self) -> Result<Option<Line>> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(after) = after_newline(&unread[searched..]) {
                return self.line(searched + after, true).map(Some);
            }
            searched = unread.len();
            if searched > self.max_line_bytes {
                return Err(self.too_long());
            }
            if self.at_end {
                return if searched == 0 { Ok(None) } else { self.line(searched, false).map(Some) };
            }
            self.fill()?;
        }
    }

    /// The bytes of a line that was just read.
    pub fn bytes(&self, line: &Line) -> &[u8] {
        &self.buffer[line.range.clone()]
    }

    /// Takes `length` bytes as a line; the newline belongs to it if it is `terminated`.
    fn line(&mut self, length: usize, terminated: bool) -> Result<Line> {
        let content = length - usize::from(terminated);
        if content > self.max_line_bytes {
            return Err(self.too_long());
        }
        let line =
            Line { range: self.start..self.start + content, offset: self.offset, number: self.number, terminated };
        self.start += length;
        self.offset += length as u64;
        self.number = self.number.map(|number| number + 1);
        Ok(line)
    }

    /// Moves the unfinished line to the front and reads behind it.
    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let wanted = if self.end * 2 > BLOCK_BYTES { self.end + BLOCK_BYTES } else { BLOCK_BYTES };
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.end < self.buffer.len() {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.at_end = true;
                    break;
                }
                Ok(count) => self.end += count,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::from(e).with("byte", self.offset)),
            }
        }
        Ok(())
    }

    fn too_long(&self) -> Error {
        let error = Error::limit(format!("a line is longer than {} bytes", self.max_line_bytes));
        let error = match self.number {
            Some(number) => error.with("line", number),
            None => error,
        };
        error.with("byte", self.offset).hint("is this one JSON object per line? A line break may be missing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], max: usize) -> Result<Vec<(Vec<u8>, u64, bool)>> {
        let mut reader = LineReader::new(text, 0, Some(1), max);
        let mut found = Vec::new();
        while let Some(line) = reader.next_line()? {
            found.push((reader.bytes(&line).to_vec(), line.offset, line.terminated));
        }
        Ok(found)
    }

    #[test]
    fn lines_have_their_offsets_and_the_last_one_may_lack_its_newline() {
        let found = lines(b"ab\n\nc", 10).unwrap();
        assert_eq!(found, [(b"ab".to_vec(), 0, true), (vec![], 3, true), (b"c".to_vec(), 4, false)]);
        assert!(lines(b"", 10).unwrap().is_empty());
    }

    #[test]
    fn a_line_that_never_ends_is_refused_without_being_held() {
        let endless = std::io::repeat(b'x').take(1 << 34);
        let mut reader = LineReader::new(endless, 0, Some(1), 8 << 20);
        let error = reader.next_line().unwrap_err();
        assert_eq!(error.kind(), tranship_connector::ErrorKind::Limit);
        assert!(error.to_string().contains("line 1"));
        assert!(reader.buffer.len() <= 16 << 20);
    }

    #[test]
    fn newlines_are_counted_in_any_number() {
        assert_eq!(count_newlines(&b"\n".repeat(100_001)), 100_001);
        assert_eq!(count_newlines(&b"a\nb".repeat(777)), 777);
        assert_eq!(count_newlines(b""), 0);
    }

    #[test]
    fn lines_across_blocks_come_whole() {
        let mut text = Vec::new();
        for number in 0..20_000u32 {
            text.extend_from_slice(&vec![b'a' + (number % 26) as u8; (number % 700) as usize]);
            text.push(b'\n');
        }
        let found = lines(&text, 1 << 20).unwrap();
        assert_eq!(found.len(), 20_000);
        assert!(found.iter().enumerate().all(|(number, line)| line.0.len() == number % 700));
    }
}
