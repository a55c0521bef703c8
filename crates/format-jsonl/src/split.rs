//! Cuts files and streams into splits at line boundaries.

use std::io::Read;
use std::path::{Path, PathBuf};

use tranship_connector::{Error, Result, Split};
use tranship_storage::InputFile;
use xxhash_rust::xxh3::xxh3_128;

use crate::line::{after_newline, count_newlines};
use crate::source::input_error;

/// Decompressed bytes after which a stream is cut.
pub const STREAM_SPLIT_BYTES: usize = 16 << 20;
const SEARCH_BYTES: usize = 64 << 10;
const COUNT_BYTES: usize = 1 << 20;

/// Splits of a plain file, found by positioned reads around the places to cut.
pub struct FileSplits<'a> {
    file: &'a InputFile,
    split_bytes: u64,
    max_line_bytes: usize,
    count_lines: bool,
    ordinal: u64,
    start: u64,
    lines: u64,
}

impl<'a> FileSplits<'a> {
    /// Splits of about `split_bytes`; with `count_lines` every split knows the lines before it.
    pub fn new(file: &'a InputFile, split_bytes: u64, max_line_bytes: usize, count_lines: bool) -> Self {
        FileSplits { file, split_bytes, max_line_bytes, count_lines, ordinal: 0, start: 0, lines: 0 }
    }

    fn split(&mut self) -> Result<Split> {
        let end = self.line_start(self.start.saturating_add(self.split_bytes))?;
        let split = Split {
            ordinal: self.ordinal,
            start: self.start,
            end,
            bytes: end - self.start,
            first_row: self.lines,
            ..Split::default()
        };
        if self.count_lines {
            self.lines += self.newlines(self.start, end)?;
        }
        self.ordinal += 1;
        self.start = end;
        Ok(split)
    }

    /// The first beginning of a line at or after `from`, or the end of the file.
    fn line_start(&self, from: u64) -> Result<u64> {
        let mut buffer = vec![0; SEARCH_BYTES];
        let mut at = from - 1;
        while at < self.file.len() {
            let count = self.file.read_at(at, &mut buffer)?;
            if let Some(after) = buffer.get(..count).and_then(after_newline) {
                return Ok(at + after as u64);
            }
            at += count as u64;
            if count == 0 {
                break;
            }
            if at - from > self.max_line_bytes as u64 {
                return Err(Error::limit(format!("a line is longer than {} bytes", self.max_line_bytes))
                    .with("file", self.file.path().display())
                    .with("byte", from)
                    .hint("is this one JSON object per line? A line break may be missing"));
            }
        }
        Ok(self.file.len())
    }

    fn newlines(&self, start: u64, end: u64) -> Result<u64> {
        let mut buffer = vec![0; COUNT_BYTES];
        let (mut at, mut lines) = (start, 0);
        while at < end {
            let want = buffer.len().min((end - at) as usize);
            self.file.read_exact_at(at, &mut buffer[..want])?;
            lines += count_newlines(&buffer[..want]);
            at += want as u64;
        }
        Ok(lines)
    }
}

impl Iterator for FileSplits<'_> {
    type Item = Result<Split>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.start >= self.file.len() {
            return None;
        }
        let split = self.split();
        if split.is_err() {
            self.start = u64::MAX;
        }
        Some(split)
    }
}

/// Splits of a stream, with their bytes.
pub struct StreamSplits {
    stream: Box<dyn Read + Send>,
    path: PathBuf,
    max_line_bytes: usize,
    /// Bytes behind the last cut.
    rest: Vec<u8>,
    ordinal: u64,
    offset: u64,
    lines: u64,
    ended: bool,
}

impl StreamSplits {
    /// Splits of `stream`, called `path` in messages.
    pub fn new(stream: Box<dyn Read + Send>, path: &Path, max_line_bytes: usize) -> Self {
        StreamSplits {
            stream,
            path: path.to_owned(),
            max_line_bytes,
            rest: Vec::new(),
            ordinal: 0,
            offset: 0,
            lines: 0,
            ended: false,
        }
    }

    /// Reads until the data ends with the first newline after the target size, or the stream ends.
    fn split(&mut self) -> Result<Option<Split>> {
        let mut data = std::mem::take(&mut self.rest);
        self.fill(&mut data, STREAM_SPLIT_BYTES)?;
        let mut searched = (STREAM_SPLIT_BYTES - 1).min(data.len());
        while !self.ended {
            if let Some(after) = after_newline(&data[searched..]) {
                self.rest = data.split_off(searched + after);
                break;
            }
            searched = data.len();
            let limit = STREAM_SPLIT_BYTES + self.max_line_bytes;
            if searched > limit {
                return Err(Error::limit(format!("a line is longer than {} bytes", self.max_line_bytes))
                    .with("file", self.path.display())
                    .with("decompressed byte", self.offset)
                    .hint("is this one JSON object per line? A line break may be missing"));
            }
            self.fill(&mut data, searched + COUNT_BYTES)?;
        }
        if data.is_empty() {
            return Ok(None);
        }
        let end = self.offset + data.len() as u64;
        let lines = count_newlines(&data);
        let split = Split {
            ordinal: self.ordinal,
            start: self.offset,
            end,
            bytes: data.len() as u64,
            first_row: self.lines,
            digest: Some(format!("{:032x}", xxh3_128(&data))),
            data: Some(data),
            ..Split::default()
        };
        self.ordinal += 1;
        self.offset = end;
        self.lines += lines;
        Ok(Some(split))
    }

    /// Reads until `data` has `wanted` bytes or the stream ends.
    fn fill(&mut self, data: &mut Vec<u8>, wanted: usize) -> Result<()> {
        if self.ended || data.len() >= wanted {
            return Ok(());
        }
        let missing = wanted - data.len();
        data.reserve(missing + SEARCH_BYTES);
        let read = self.stream.by_ref().take(missing as u64).read_to_end(data);
        let read = read.map_err(|e| input_error(&self.path, self.offset + data.len() as u64, e))?;
        self.ended = read < missing;
        Ok(())
    }
}

impl Iterator for StreamSplits {
    type Item = Result<Split>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended && self.rest.is_empty() {
            return None;
        }
        let split = self.split();
        if split.is_err() {
            self.ended = true;
            self.rest.clear();
        }
        split.transpose()
    }
}
