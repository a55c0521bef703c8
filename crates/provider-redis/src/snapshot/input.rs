//! The bytes of an RDB file in their order, with the offset and, on request, the checksum of what was taken.
//!
//! Invariant: nothing is taken or allocated that the file does not hold: every length is compared with what remains
//! first. Offsets count from the beginning of the file.
//!
//! Errors: damaged, with file and offset, where the file ends too early.

use tranship_connector::{Error, Result};
use tranship_storage::BlobReader;

use super::checksum;

const BUFFER_BYTES: usize = 256 << 10;

/// A position in the file.
pub struct Input {
    reader: BlobReader,
    buffer: Vec<u8>,
    /// Offset of the first byte of `buffer`.
    base: u64,
    /// The next byte within `buffer`.
    next: usize,
    /// The checksum of everything before `summed` bytes of `buffer`; `None` if nobody asked.
    checksum: Option<u64>,
    summed: usize,
}

impl Input {
    /// From `offset` on.
    pub fn new(reader: BlobReader, offset: u64, checksummed: bool) -> Self {
        let checksum = checksummed.then_some(0);
        Input { reader, buffer: Vec::new(), base: offset, next: 0, checksum, summed: 0 }
    }

    /// Where the next byte stands.
    pub fn offset(&self) -> u64 {
        self.base + self.next as u64
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> u64 {
        self.reader.len().saturating_sub(self.offset())
    }

    /// The name of the file, for messages.
    pub fn label(&self) -> &str {
        self.reader.label()
    }

    /// The checksum of all bytes taken so far, if it was asked for.
    pub fn checksum(&mut self) -> Option<u64> {
        self.sum();
        self.checksum
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&[u8]> {
        if self.buffer.len() - self.next < len {
            self.check(len as u64)?;
            self.refill(len)?;
        }
        let start = self.next;
        self.next += len;
        Ok(&self.buffer[start..self.next])
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Appends the next `len` bytes to `out`.
    pub fn append(&mut self, len: u64, out: &mut Vec<u8>) -> Result<()> {
        self.each_piece(len, |piece| out.extend_from_slice(piece))
    }

    /// Passes over the next `len` bytes.
    pub fn skip(&mut self, len: u64) -> Result<()> {
        if self.checksum.is_some() {
            return self.each_piece(len, |_| ());
        }
        self.check(len)?;
        let buffered = (self.buffer.len() - self.next) as u64;
        if len <= buffered {
            self.next += len as usize;
        } else {
            self.base = self.offset() + len;
            self.buffer.clear();
            self.next = 0;
        }
        Ok(())
    }

    /// Damage at the next byte.
    pub fn damaged(&self, what: impl std::fmt::Display) -> Error {
        self.damaged_at(self.offset(), what)
    }

    /// Damage at a byte.
    pub fn damaged_at(&self, offset: u64, what: impl std::fmt::Display) -> Error {
        Error::damaged(format!("{} {what}", self.label()))
            .with("byte", offset)
            .hint("copy the file again and compare sizes; `redis-check-rdb FILE` (or valkey-check-rdb) checks it as the server does")
    }

    fn each_piece(&mut self, len: u64, mut each: impl FnMut(&[u8])) -> Result<()> {
        self.check(len)?;
        let mut left = len;
        while left > 0 {
            if self.next == self.buffer.len() {
                self.refill(1)?;
            }
            let count = ((self.buffer.len() - self.next) as u64).min(left) as usize;
            each(&self.buffer[self.next..self.next + count]);
            self.next += count;
            left -= count as u64;
        }
        Ok(())
    }

    fn check(&self, len: u64) -> Result<()> {
        if len <= self.remaining() {
            return Ok(());
        }
        Err(self.damaged(format_args!("ends too early: {len} bytes were to come and {} are left", self.remaining())))
    }

    /// Brings at least `len` bytes, which are known to be there, into the buffer.
    fn refill(&mut self, len: usize) -> Result<()> {
        self.sum();
        self.base += self.next as u64;
        self.buffer.drain(..self.next);
        (self.next, self.summed) = (0, 0);
        let kept = self.buffer.len();
        let rest = self.reader.len().saturating_sub(self.base + kept as u64);
        let wanted = (len.max(BUFFER_BYTES) - kept).min(usize::try_from(rest).unwrap_or(usize::MAX));
        self.buffer.resize(kept + wanted, 0);
        Ok(self.reader.read_exact_at(self.base + kept as u64, &mut self.buffer[kept..])?)
    }

    fn sum(&mut self) {
        if let Some(crc) = &mut self.checksum {
            *crc = checksum::update(*crc, &self.buffer[self.summed..self.next]);
        }
        self.summed = self.next;
    }
}
