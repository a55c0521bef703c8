//! Splits of sections, in order.

use std::io::Read;

use tranship_connector::{Error, Result, Split};
use tranship_storage::{Blob, BlobReader};
use xxhash_rust::xxh3::xxh3_128;

use super::cutter::{Cutter, line_end};
use super::{Data, Ending, Section, is_blank, unterminated, without_terminator};
use crate::bytes::count;
use crate::dump::input::read_error;
use crate::rows::copy_text::TERMINATOR;
use crate::rows::{Form, cut_short};

/// Most decompressed bytes that a split carries before the next row end.
const STREAM_SPLIT_BYTES: u64 = 16 << 20;
const SEARCH_BYTES: usize = 64 << 10;
const READ_BYTES: usize = 1 << 20;

/// Splits of all sections of a collection.
pub struct SectionSplits<'a> {
    sections: &'a [Section],
    settings: Settings,
    current: usize,
    cutting: Option<Cutting>,
    ordinal: u64,
    /// Rows of the splits so far, where they are counted.
    rows: u64,
    failed: bool,
}

/// How to cut.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Target size of a split.
    pub split_bytes: u64,
    /// Longest row.
    pub max_row_bytes: usize,
    /// Every split must know how many rows come before it.
    pub count_rows: bool,
}

enum Cutting {
    Range(RangeCutting),
    Stream(StreamCutting),
}

/// A piece of a section.
struct Piece {
    start: u64,
    end: u64,
    rows: u64,
    data: Option<Vec<u8>>,
}

impl<'a> SectionSplits<'a> {
    /// Splits of `sections`.
    pub fn new(sections: &'a [Section], settings: Settings) -> Self {
        SectionSplits { sections, settings, current: 0, cutting: None, ordinal: 0, rows: 0, failed: false }
    }

    fn split(&mut self) -> Result<Option<Split>> {
        loop {
            let Some(section) = self.sections.get(self.current) else { return Ok(None) };
            let cutting = match &mut self.cutting {
                Some(cutting) => cutting,
                None => self.cutting.insert(Cutting::new(section, self.settings)?),
            };
            let piece = match cutting {
                Cutting::Range(range) => range.piece()?,
                Cutting::Stream(stream) => stream.piece()?,
            };
            let Some(piece) = piece else {
                self.current += 1;
                self.cutting = None;
                continue;
            };
            let split = Split {
                ordinal: self.ordinal,
                file: if self.sections.len() > 1 { self.current.to_string() } else { String::new() },
                start: piece.start,
                end: piece.end,
                bytes: piece.end - piece.start,
                first_row: self.rows,
                digest: piece.data.as_ref().map(|data| format!("{:032x}", xxh3_128(data))),
                data: piece.data,
            };
            self.ordinal += 1;
            self.rows += piece.rows;
            return Ok(Some(split));
        }
    }
}

impl Iterator for SectionSplits<'_> {
    type Item = Result<Split>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let split = self.split();
        self.failed = split.is_err();
        split.transpose()
    }
}

impl Cutting {
    fn new(section: &Section, settings: Settings) -> Result<Self> {
        Ok(match &section.data {
            Data::Range { blob, start, end, cuts } => Cutting::Range(RangeCutting {
                reader: blob.open()?,
                blob: blob.clone(),
                at: *start,
                end: *end,
                cuts: if matches!(section.form, Form::Inserts(_)) { Some(cuts.clone()) } else { None },
                rows_at_end: section.rows.unwrap_or(0),
                rows: 0,
                settings,
            }),
            Data::Stream { bytes, ending } => Cutting::Stream(StreamCutting {
                input: bytes.open()?,
                label: section.label.clone(),
                cutter: Cutter::new(&section.form),
                lines: matches!(section.form, Form::Text(_)),
                ending: *ending,
                terminated: false,
                ends_in_terminator: false,
                buffer: Vec::new(),
                offset: bytes.start(),
                rows: 0,
                ended: false,
                done: false,
                target: settings.split_bytes.clamp(1, STREAM_SPLIT_BYTES) as usize,
                max_row_bytes: settings.max_row_bytes,
            }),
        })
    }
}

/// Cuts a range of a plain file.
struct RangeCutting {
    blob: Blob,
    reader: BlobReader,
    at: u64,
    end: u64,
    /// Where INSERT statements may be cut; `None` for lines.
    cuts: Option<Vec<(u64, u64)>>,
    rows_at_end: u64,
    rows: u64,
    settings: Settings,
}

impl RangeCutting {
    fn piece(&mut self) -> Result<Option<Piece>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        let target = start.saturating_add(self.settings.split_bytes.max(1));
        let (end, rows) = match &self.cuts {
            Some(cuts) => {
                let next = cuts.partition_point(|(offset, _)| *offset < target);
                let (end, rows_at) = cuts.get(next).copied().unwrap_or((self.end, self.rows_at_end));
                let rows = rows_at.saturating_sub(self.rows);
                self.rows = rows_at;
                (end, rows)
            }
            None => {
                let end = self.line_start(target)?;
                (end, if self.settings.count_rows { self.lines(start, end)? } else { 0 })
            }
        };
        self.at = end;
        Ok(Some(Piece { start, end, rows, data: None }))
    }

    /// The first beginning of a line at or after `from`.
    fn line_start(&self, from: u64) -> Result<u64> {
        let mut buffer = vec![0; SEARCH_BYTES];
        let mut at = from - 1;
        while at < self.end {
            let read = self.reader.read_at(at, &mut buffer)?;
            if let Some(end) = buffer.get(..read).and_then(line_end) {
                return Ok((at + end as u64).min(self.end));
            }
            at += read as u64;
            if read == 0 {
                break;
            }
            if at - from > self.settings.max_row_bytes as u64 {
                return Err(too_long(self.blob.label(), from, self.settings.max_row_bytes));
            }
        }
        Ok(self.end)
    }

    fn lines(&self, start: u64, end: u64) -> Result<u64> {
        let mut buffer = vec![0; READ_BYTES];
        let (mut at, mut lines) = (start, 0);
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            self.reader.read_exact_at(at, piece)?;
            lines += count(b'\n', piece);
            at += wanted as u64;
        }
        Ok(lines)
    }
}

/// Reads a stream through and cuts it.
struct StreamCutting {
    input: Box<dyn Read + Send>,
    label: String,
    cutter: Cutter,
    lines: bool,
    ending: Ending,
    /// The line `\.` has been seen.
    terminated: bool,
    /// The data ends with that line, without a line feed.
    ends_in_terminator: bool,
    buffer: Vec<u8>,
    /// Of the beginning of the buffer.
    offset: u64,
    /// Rows of the pieces so far.
    rows: u64,
    ended: bool,
    done: bool,
    target: usize,
    max_row_bytes: usize,
}

impl StreamCutting {
    fn piece(&mut self) -> Result<Option<Piece>> {
        while !self.done {
            while !self.ended && (self.buffer.len() < self.target || self.cutter.row_end() == 0) {
                self.fill()?;
            }
            if self.ended {
                self.done = true;
                self.check_end()?;
            }
            let rest = self.buffer.split_off(self.cutter.row_end());
            let mut data = std::mem::replace(&mut self.buffer, rest);
            let used = data.len();
            self.cutter.cut(used);
            let start = self.offset;
            self.offset += used as u64;
            if self.lines && self.ending != Ending::Exact {
                self.settle_end(&mut data, start)?;
            }
            if data.is_empty() {
                continue;
            }
            let rows = if self.lines { count(b'\n', &data) } else { self.cutter.rows - self.rows };
            self.rows += rows;
            return Ok(Some(Piece { start, end: start + data.len() as u64, rows, data: Some(data) }));
        }
        if self.lines && self.ending == Ending::Terminator && !self.terminated {
            return Err(unterminated(&self.label, self.offset));
        }
        Ok(None)
    }

    fn fill(&mut self) -> Result<()> {
        if self.buffer.len() > self.target.saturating_add(self.max_row_bytes) {
            let max = self.max_row_bytes;
            if !self.cutter.cuts_statements() {
                return Err(too_long(&self.label, self.offset, max));
            }
            return Err(Error::limit(format!("an INSERT statement is longer than {max} bytes"))
                .with("file", &self.label)
                .with("byte", self.offset)
                .hint("decompress the dump first, as with `gunzip`: plain SQL is read in place, however long its statements"));
        }
        let wanted = READ_BYTES.min(self.target.max(SEARCH_BYTES));
        let at = self.offset + self.buffer.len() as u64;
        let read = self.input.by_ref().take(wanted as u64).read_to_end(&mut self.buffer);
        let read = read.map_err(|error| read_error(&self.label, at, error))?;
        self.ended = read < wanted;
        self.cutter.look(&self.buffer).map_err(|reason| {
            Error::damaged(reason)
                .with("file", &self.label)
                .with("byte", self.offset + self.cutter.row_end() as u64)
                .hint("the dump is damaged there; copy it again, or make a new one")
        })
    }

    /// The stream is at its end: what stands behind the last whole row must be allowed there.
    fn check_end(&mut self) -> Result<()> {
        let rest = self.buffer.get(self.cutter.row_end()..).unwrap_or_default();
        self.ends_in_terminator = self.lines && self.ending != Ending::Exact && !self.terminated && rest == TERMINATOR;
        if self.ends_in_terminator || self.cutter.may_end(rest) {
            return Ok(());
        }
        Err(cut_short(&self.label, self.offset + self.cutter.row_end() as u64))
    }

    /// Takes the line `\.` and the blank lines behind it away.
    fn settle_end(&mut self, data: &mut Vec<u8>, start: u64) -> Result<()> {
        if self.terminated {
            if !is_blank(data) {
                return Err(Error::damaged("rows stand behind the end of the data")
                    .with("file", &self.label)
                    .with("byte", start)
                    .hint("the dump is damaged there; copy it again, or make a new one"));
            }
            data.clear();
        } else if let Some(end) = without_terminator(data, true) {
            data.truncate(end);
            self.terminated = true;
        } else {
            self.terminated = self.ends_in_terminator;
        }
        Ok(())
    }
}

fn too_long(label: &str, offset: u64, max_row_bytes: usize) -> Error {
    Error::limit(format!("a row is longer than {max_row_bytes} bytes"))
        .with("file", label)
        .with("byte", offset)
        .hint("a row end may be missing, or the data is not what it is said to be")
}
