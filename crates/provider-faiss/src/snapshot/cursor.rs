//! Steps through the structure of an index file without reading its vectors.
//!
//! Invariant: a count that the file states is multiplied in 64 bits and compared with the bytes that remain before
//! anything is skipped, read or allocated. Small fields come through a window of 16 KiB, so that reading a header
//! costs one read and a skipped gigabyte none. Offsets are bytes from the start of the file.
//!
//! Errors: damaged, naming the file, the offset and the field that does not fit.

use tranship_connector::{Error, Result};
use tranship_storage::BlobReader;

const WINDOW_BYTES: usize = 16 << 10;

/// A position in an index file.
pub struct Cursor<'a> {
    file: &'a BlobReader,
    at: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// Items of one size that stand one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Offset of the first.
    pub at: u64,
    /// How many.
    pub count: u64,
}

impl<'a> Cursor<'a> {
    /// At offset `at`.
    pub fn new(file: &'a BlobReader, at: u64) -> Self {
        Cursor { file, at, window: Vec::new(), window_at: 0 }
    }

    /// Another position in the same file.
    pub fn fork(&self, at: u64) -> Cursor<'a> {
        Cursor::new(self.file, at)
    }

    /// Offset of the next byte.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// What the file is called in messages.
    pub fn label(&self) -> &str {
        self.file.label()
    }

    /// Bytes that follow.
    pub fn remaining(&self) -> u64 {
        self.file.len().saturating_sub(self.at)
    }

    /// One byte.
    pub fn u8(&mut self, field: &str) -> Result<u8> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// A byte that is 0 or 1.
    pub fn flag(&mut self, field: &str) -> Result<bool> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.bad(format_args!("{field} is {other}, neither 0 nor 1"))),
        }
    }

    /// Four bytes as they stand.
    pub fn code(&mut self, field: &str) -> Result<[u8; 4]> {
        self.array(field)
    }

    /// A signed 32-bit number.
    pub fn i32(&mut self, field: &str) -> Result<i32> {
        self.array(field).map(i32::from_le_bytes)
    }

    /// A signed 64-bit number.
    pub fn i64(&mut self, field: &str) -> Result<i64> {
        self.array(field).map(i64::from_le_bytes)
    }

    /// An unsigned 64-bit number.
    pub fn u64(&mut self, field: &str) -> Result<u64> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A 32-bit float.
    pub fn f32(&mut self, field: &str) -> Result<f32> {
        self.array(field).map(f32::from_le_bytes)
    }

    /// Steps over a vector of items of `item_bytes`: u64 count, then the items.
    pub fn vector(&mut self, item_bytes: u64, field: &str) -> Result<Span> {
        let count = self.u64(field)?;
        self.block(count, item_bytes, field)
    }

    /// Steps over `count` items of `item_bytes`.
    pub fn block(&mut self, count: u64, item_bytes: u64, field: &str) -> Result<Span> {
        let bytes = count.checked_mul(item_bytes).filter(|bytes| *bytes <= self.remaining());
        let Some(bytes) = bytes else {
            let rest = self.remaining();
            return Err(self.bad(format_args!("{field}: {count} x {item_bytes} bytes, but only {rest} bytes follow")));
        };
        let span = Span { at: self.at, count };
        self.at += bytes;
        Ok(span)
    }

    /// What does not fit, at the place reached.
    pub fn bad(&self, why: impl std::fmt::Display) -> Error {
        damaged(self.file.label(), self.at, why)
    }

    fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N]> {
        let inside = |at: u64, window_at: u64| at.checked_sub(window_at).and_then(|start| usize::try_from(start).ok());
        let found = |window: &[u8], start: usize| window.get(start..)?.first_chunk::<N>().copied();
        if let Some(bytes) = inside(self.at, self.window_at).and_then(|start| found(&self.window, start)) {
            self.at += N as u64;
            return Ok(bytes);
        }
        self.window.resize(WINDOW_BYTES, 0);
        let filled = self.file.read_at(self.at, &mut self.window)?;
        self.window.truncate(filled);
        self.window_at = self.at;
        let Some(bytes) = found(&self.window, 0) else {
            return Err(self.bad(format_args!("the file ends within {field}")));
        };
        self.at += N as u64;
        Ok(bytes)
    }
}

/// An index file that contradicts itself.
pub fn damaged(file: &str, offset: u64, why: impl std::fmt::Display) -> Error {
    Error::damaged(format!("the FAISS index is damaged: {why}"))
        .with("file", file)
        .with("offset", offset)
        .hint("copy the file again from its origin and compare sizes")
}
