//! The rows of one table that stand together, and how they are cut into splits.
//!
//! Invariant: a split begins at the beginning of a row and ends behind one (between statements for INSERT), at places that
//! depend on the data and the target size alone. COPY text and INSERT statements in a plain file are cut where they lie;
//! everything else is read through once by one producer, and its splits carry their bytes.
//!
//! Errors: damaged for data that ends within a row or without the end that its form demands, and for data behind that
//! end; limit for a row that is too long. Offsets are of the decompressed data.

pub mod cutter;
pub mod splits;

use std::io::Read;

use tranship_connector::{Error, Result};
use tranship_storage::Blob;

use crate::bytes::without_return;
use crate::dump::block::Block;
use crate::dump::input::Input;
use crate::rows::copy_text::TERMINATOR;
use crate::rows::{Form, cut_short};

/// Rows that stand together.
#[derive(Debug, Clone)]
pub struct Section {
    /// The file, for messages.
    pub label: String,
    /// The columns of its rows.
    pub columns: Vec<String>,
    /// How the rows are written.
    pub form: Form,
    /// Number of rows, if it is known.
    pub rows: Option<u64>,
    /// The data.
    pub data: Data,
}

/// Where the data lies.
#[derive(Debug, Clone)]
pub enum Data {
    /// In a plain file, to be read from any place.
    Range {
        /// The file.
        blob: Blob,
        /// First byte.
        start: u64,
        /// Behind the last byte.
        end: u64,
        /// For INSERT statements: places to cut at (offset, rows before).
        cuts: Vec<(u64, u64)>,
    },
    /// In bytes that are read through from the beginning.
    Stream {
        /// The bytes.
        bytes: Bytes,
        /// How they end.
        ending: Ending,
    },
}

/// Bytes that are read through from the beginning.
#[derive(Debug, Clone)]
pub enum Bytes {
    /// Part of a file.
    Window {
        /// The file.
        input: Input,
        /// First byte, decompressed.
        start: u64,
        /// Bytes; to the end of the file if it is not known.
        len: Option<u64>,
    },
    /// A data block of an archive.
    Block(Block),
}

/// How COPY text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Behind the last row.
    Exact,
    /// With a line `\.` and blank lines.
    Terminator,
    /// With or without that line.
    Either,
}

impl Bytes {
    /// Opens them at their beginning.
    pub fn open(&self) -> Result<Box<dyn Read + Send>> {
        Ok(match self {
            Bytes::Window { input, start, len } => {
                let cursor = input.cursor(*start)?;
                match len {
                    Some(len) => Box::new(cursor.take(*len)),
                    None => Box::new(cursor),
                }
            }
            Bytes::Block(block) => block.open()?,
        })
    }

    /// Offset of their first byte.
    pub fn start(&self) -> u64 {
        match self {
            Bytes::Window { start, .. } => *start,
            Bytes::Block(_) => 0,
        }
    }
}

impl Section {
    /// All data, one row after another.
    pub fn open(&self) -> Result<Box<dyn Read + Send>> {
        Ok(match &self.data {
            Data::Range { blob, start, end, .. } => Box::new(blob.open()?.range(*start, *end)),
            Data::Stream { bytes, .. } => bytes.open()?,
        })
    }

    /// Offset of the first byte.
    pub fn start(&self) -> u64 {
        match &self.data {
            Data::Range { start, .. } => *start,
            Data::Stream { bytes, .. } => bytes.start(),
        }
    }

    /// The files that it lies in.
    pub fn blob(&self) -> &Blob {
        match &self.data {
            Data::Range { blob, .. } => blob,
            Data::Stream { bytes: Bytes::Window { input, .. }, .. } => &input.blob,
            Data::Stream { bytes: Bytes::Block(block), .. } => &block.archive.blob,
        }
    }
}

/// COPY text in a file of its own, between `start` and where its ending begins.
pub fn text_range(blob: Blob, start: u64, ending: Ending) -> Result<Data> {
    const TAIL_BYTES: u64 = 4096;
    let from = blob.len().saturating_sub(TAIL_BYTES).max(start);
    let tail = blob.open()?.range_to_vec(from, blob.len(), TAIL_BYTES)?;
    let end = match without_terminator(&tail, from == start) {
        Some(rest) => from + rest as u64,
        None if ending == Ending::Terminator => return Err(unterminated(blob.label(), blob.len())),
        None if tail.last().is_some_and(|byte| *byte != b'\n') => return Err(cut_short(blob.label(), blob.len())),
        None => blob.len(),
    };
    Ok(Data::Range { blob, start, end, cuts: Vec::new() })
}

/// Where the line `\.` begins that `data` ends with, blank lines aside. `whole` if `data` begins at the beginning of a line.
pub fn without_terminator(data: &[u8], whole: bool) -> Option<usize> {
    let blank = data.iter().rev().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let lines = data.get(..data.len() - blank)?;
    let rest = lines.strip_suffix(TERMINATOR)?;
    let at_line_start = rest.last().map_or(whole, |byte| *byte == b'\n');
    at_line_start.then_some(rest.len())
}

/// The rows of `label` end at `offset` without their last line.
pub fn unterminated(label: &str, offset: u64) -> Error {
    Error::damaged("the rows end without their `\\.` line: the dump is truncated")
        .with("file", label)
        .with("byte", offset)
        .hint("copy the dump again and compare sizes, or make a new one")
}

/// True if there is nothing but blank lines.
pub fn is_blank(data: &[u8]) -> bool {
    data.split(|byte| *byte == b'\n').all(|line| without_return(line).is_empty())
}
