//! What a store hands to the reader: the bytes of one value for each row that was asked for, in that order.
//!
//! ```text
//! dense     dim elements, little-endian, in the element type of the column
//! multi     rows of dim f32, little-endian, one after another (narrower elements already widened); may be empty
//! sparse    n x u32 indices, ascending, then n x f32 values, little-endian; may be empty
//! payload   the text of one JSON object
//! ```
//!
//! Invariant: cell `i` belongs to row `i` of the request. A store may stop after any row once [`Cells::is_full`], but
//! always serves the first one. A value that cannot be decoded is a faulty cell, which becomes a reject of its point;
//! what makes the whole file unreadable is an error instead.

use std::ops::Range;

/// Bytes after which a store should stop.
pub const FULL_BYTES: usize = 2 << 20;

/// Values of consecutive rows of a request.
#[derive(Debug, Default)]
pub struct Cells {
    bytes: Vec<u8>,
    cells: Vec<Cell>,
}

#[derive(Debug)]
enum Cell {
    Value(usize, usize),
    Absent,
    Faulty(String),
}

/// One value.
#[derive(Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// The bytes.
    Bytes(&'a [u8]),
    /// The point has none.
    Absent,
    /// It cannot be decoded, and why.
    Faulty(&'a str),
}

impl Cells {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.cells.clear();
    }

    /// Rows served.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// True if no row was served.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// True if the store should serve no more rows.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES
    }

    /// The value of the next row.
    pub fn push(&mut self, value: &[u8]) {
        self.push_with(|bytes| bytes.extend_from_slice(value));
    }

    /// The value of the next row, appended by `append`.
    pub fn push_with<T>(&mut self, append: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let start = self.bytes.len();
        let returned = append(&mut self.bytes);
        self.cells.push(Cell::Value(start, self.bytes.len()));
        returned
    }

    /// The buffer of values, empty, for a store that reads straight into it; only before the first row.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        self.clear();
        std::mem::take(&mut self.bytes)
    }

    /// Gives the buffer back, with values in it.
    pub fn give_buffer(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    /// The value of the next row, which stands in the buffer that was given back.
    pub fn push_range(&mut self, range: Range<usize>) {
        self.cells.push(Cell::Value(range.start, range.end));
    }

    /// The next row has no value.
    pub fn push_absent(&mut self) {
        self.cells.push(Cell::Absent);
    }

    /// The value of the next row cannot be decoded.
    pub fn push_faulty(&mut self, why: impl Into<String>) {
        self.cells.push(Cell::Faulty(why.into()));
    }

    /// The value of row `position` of the request.
    pub fn get(&self, position: usize) -> Value<'_> {
        match self.cells.get(position) {
            Some(Cell::Value(start, end)) => Value::Bytes(self.bytes.get(*start..*end).unwrap_or_default()),
            Some(Cell::Faulty(why)) => Value::Faulty(why),
            Some(Cell::Absent) | None => Value::Absent,
        }
    }
}
