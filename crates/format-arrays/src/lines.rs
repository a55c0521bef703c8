//! Text files of one row per line, entered at any row.
//!
//! Invariant: lines are UTF-8 and end with LF or CR LF; blank ones do not count; a byte order mark is skipped. A
//! [`LineFile`] remembers the place of every 1024th line, nothing per line.
//!
//! Errors: damaged for bytes that are no UTF-8, limit for a line beyond `Limits::max_line_bytes`, both with the line.

use std::io::{BufRead, BufReader, Read};

use tranship_connector::{Error, Result};
use tranship_storage::Blob;
use tranship_storage::blob::BlobRange;

const MARK_LINES: u64 = 1024;

/// A scanned file.
#[derive(Debug, Clone)]
pub struct LineFile {
    blob: Blob,
    limit: usize,
    /// Lines that are not blank.
    pub rows: u64,
    /// Byte offset and number of the line of every 1024th row.
    marks: Vec<(u64, u64)>,
}

/// Reads lines from some row on.
pub struct LineReader {
    input: BufReader<BlobRange>,
    limit: usize,
    label: String,
    line: Vec<u8>,
    /// Number of the last line, from 1.
    number: u64,
    /// Where the last line begins, and where it ends.
    start: u64,
    end: u64,
}

impl LineFile {
    /// Reads the file once and shows each row to `each`, with the number of its line.
    pub fn scan(blob: Blob, limit: usize, mut each: impl FnMut(u64, &str) -> Result<()>) -> Result<Self> {
        let mut file = LineFile { blob, limit, rows: 0, marks: Vec::new() };
        let mut reader = file.reader_at(0, 0)?;
        while let Some(number) = reader.advance()? {
            if file.rows.is_multiple_of(MARK_LINES) {
                file.marks.push((reader.start, number - 1));
            }
            file.rows += 1;
            each(number, reader.text()?)?;
        }
        Ok(file)
    }

    /// Where it is, for messages.
    pub fn label(&self) -> &str {
        self.blob.label()
    }

    /// A reader whose next line is row `row`.
    pub fn reader(&self, row: u64) -> Result<LineReader> {
        let mark = self.marks.get((row / MARK_LINES) as usize).copied().unwrap_or((self.blob.len(), 0));
        let mut reader = self.reader_at(mark.0, mark.1)?;
        for _ in 0..row % MARK_LINES {
            reader.advance()?;
        }
        Ok(reader)
    }

    fn reader_at(&self, offset: u64, number: u64) -> Result<LineReader> {
        let input = BufReader::with_capacity(256 << 10, self.blob.open()?.range(offset, self.blob.len()));
        let (limit, label) = (self.limit, self.blob.label().to_owned());
        Ok(LineReader { input, limit, label, line: Vec::new(), number, start: offset, end: offset })
    }
}

impl LineReader {
    /// The next row and the number of its line.
    pub fn next_row(&mut self) -> Result<Option<(u64, &str)>> {
        match self.advance()? {
            Some(number) => Ok(Some((number, self.text()?))),
            None => Ok(None),
        }
    }

    /// Goes to the next line that is not blank and returns its number.
    fn advance(&mut self) -> Result<Option<u64>> {
        loop {
            self.line.clear();
            self.start = self.end;
            let count = self.input.by_ref().take(self.limit as u64 + 1).read_until(b'\n', &mut self.line)?;
            if count == 0 {
                return Ok(None);
            }
            self.end += count as u64;
            self.number += 1;
            if count > self.limit {
                return Err(Error::limit(format!("a line of more than {} bytes", self.limit))
                    .with("file", &self.label)
                    .with("line", self.number)
                    .hint("one row per line is expected"));
            }
            if self.start == 0 && self.line.starts_with(b"\xef\xbb\xbf") {
                self.line.drain(..3);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(self.number));
            }
        }
    }

    fn text(&self) -> Result<&str> {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        std::str::from_utf8(line).map_err(|error| {
            Error::damaged("a line that is no UTF-8")
                .with("file", &self.label)
                .with("line", self.number)
                .caused_by(error)
                .hint("save the file as UTF-8, uncompressed")
        })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_number_whatever_lies_between_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ids.txt");
        let text: String = (0..3000).map(|n| format!("row {n}\r\n{}", if n % 7 == 0 { " \n" } else { "" })).collect();
        std::fs::write(&path, format!("\u{feff}{text}last")).unwrap();
        let mut seen = Vec::new();
        let file = LineFile::scan(Blob::of_path(&path).unwrap(), 100, |line, text| {
            seen.push((line, text.to_owned()));
            Ok(())
        });
        let file = file.unwrap();
        assert_eq!((file.rows, seen.len()), (3001, 3001));
        for row in [0, 1, 1023, 1024, 1500, 2999, 3000] {
            let mut reader = file.reader(row).unwrap();
            let found = reader.next_row().unwrap().map(|(line, text)| (line, text.to_owned()));
            assert_eq!(found, Some(seen[row as usize].clone()));
        }
        assert!(file.reader(3001).unwrap().next_row().unwrap().is_none());
        assert_eq!(seen[3000].1, "last");
        assert!(LineFile::scan(Blob::of_path(&path).unwrap(), 6, |_, _| Ok(())).is_err());
    }
}
