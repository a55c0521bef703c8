//! A block of keys and values, each key sharing a beginning with the one before it.
//!
//! ```text
//! entry  = varint shared | varint rest | varint value bytes | rest of the key | value
//! block  = entries | u32 offset of each restart (an entry that shares nothing) | [hash index] | u32 footer
//! footer = number of restarts; bit 31 says that a hash index (u8 per bucket, u16 number of buckets) precedes it
//! ```
//! Invariant: restarts of a [`Block`] lie within its entries. Keys come in ascending order, which is not checked; a
//! checksum covers the block.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use crate::coding::Bytes;

/// A decoded block.
#[derive(Debug)]
pub struct Block {
    bytes: Vec<u8>,
    /// Where the entries end.
    end: usize,
    restarts: Vec<u32>,
}

impl Block {
    /// Takes the block apart; `None` if its trailer does not fit.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let footer_at = bytes.len().checked_sub(4)?;
        let footer = Bytes::new(bytes.get(footer_at..)?).u32()?;
        let count = (footer & 0x7fff_ffff) as usize;
        let restarts_end = match footer >> 31 {
            0 => footer_at,
            _ => {
                let at = footer_at.checked_sub(2)?;
                let buckets = Bytes::new(bytes.get(at..)?).u16()?;
                at.checked_sub(usize::from(buckets))?
            }
        };
        let end = restarts_end.checked_sub(count.checked_mul(4)?)?;
        let restarts: Vec<u32> =
            bytes.get(end..restarts_end)?.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four)).collect();
        restarts.iter().all(|at| *at as usize <= end).then_some(Block { bytes, end, restarts })
    }

    /// Memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.restarts.len() * 4
    }

    /// The entries' bytes from `at` on.
    pub fn entries_from(&self, at: usize) -> Bytes<'_> {
        Bytes::new(self.bytes.get(at..self.end).unwrap_or_default())
    }
}

/// Walks through a block.
#[derive(Debug)]
pub struct Rows {
    block: Arc<Block>,
    next: usize,
    key: Vec<u8>,
    value: Range<usize>,
}

/// An entry that cannot be read.
#[derive(Debug)]
pub struct BadEntry;

impl Rows {
    /// Before the first entry.
    pub fn new(block: Arc<Block>) -> Self {
        Rows { block, next: 0, key: Vec::new(), value: 0..0 }
    }

    /// Before the last restart whose key is smaller than every internal key of the user key `wanted`.
    pub fn before(block: Arc<Block>, wanted: &[u8]) -> Result<Self, BadEntry> {
        let mut rows = Rows::new(block);
        let (mut low, mut high) = (0, rows.block.restarts.len());
        while low < high {
            let middle = low + (high - low) / 2;
            rows.restart(middle)?;
            match rows.advance()? && user_key(&rows.key)?.cmp(wanted) == Ordering::Less {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        rows.restart(low.saturating_sub(1))?;
        Ok(rows)
    }

    /// Moves to the next entry; `false` at the end.
    pub fn advance(&mut self) -> Result<bool, BadEntry> {
        let mut bytes = self.block.entries_from(self.next);
        if bytes.is_empty() {
            return Ok(false);
        }
        let shared = bytes.varint32().ok_or(BadEntry)? as usize;
        let rest = bytes.varint32().ok_or(BadEntry)? as usize;
        let value = bytes.varint32().ok_or(BadEntry)? as usize;
        let rest = bytes.take(rest).ok_or(BadEntry)?;
        if shared > self.key.len() {
            return Err(BadEntry);
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(rest);
        let start = self.next + bytes.position();
        bytes.take(value).ok_or(BadEntry)?;
        self.value = start..start + value;
        self.next = self.value.end;
        Ok(true)
    }

    /// The entry's key; in a data block the internal one.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    pub fn value(&self) -> &[u8] {
        self.block.bytes.get(self.value.clone()).unwrap_or_default()
    }

    fn restart(&mut self, number: usize) -> Result<(), BadEntry> {
        self.next = self.block.restarts.get(number).map_or(0, |at| *at as usize);
        self.key.clear();
        Ok(())
    }
}

/// An internal key without its sequence number and type.
pub fn user_key(internal: &[u8]) -> Result<&[u8], BadEntry> {
    internal.len().checked_sub(8).and_then(|len| internal.get(..len)).ok_or(BadEntry)
}

/// Sequence number and type of an internal key.
pub fn sequence_and_type(internal: &[u8]) -> Result<(u64, u8), BadEntry> {
    let at = internal.len().checked_sub(8).ok_or(BadEntry)?;
    let both = internal.get(at..).and_then(|tail| Bytes::new(tail).u64()).ok_or(BadEntry)?;
    Ok((both >> 8, both as u8))
}
