//! The fields of one hash.
//!
//! Invariant: names and values stand in one buffer in the order of the file. A hash of more bytes than the limit is
//! not kept, but it is still known which of the wanted fields it has.

use std::collections::HashSet;
use std::ops::Range;

/// The fields of the hash that was read last.
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<(Range<usize>, Range<usize>)>,
    limit: usize,
    wanted: Vec<Vec<u8>>,
    /// It has a field that is wanted.
    pub has_wanted: bool,
    /// It has more bytes than the limit, so not all of it is there.
    pub is_too_large: bool,
    /// Fields with an expiry time of their own.
    pub expiring: u64,
}

impl Fields {
    /// For hashes of up to `limit` bytes, watching for `wanted` fields.
    pub fn new(limit: usize, wanted: Vec<Vec<u8>>) -> Self {
        let (bytes, entries) = (Vec::new(), Vec::new());
        Fields { bytes, entries, limit, wanted, has_wanted: false, is_too_large: false, expiring: 0 }
    }

    /// Bytes of a hash at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Forgets the hash.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        (self.has_wanted, self.is_too_large, self.expiring) = (false, false, 0);
    }

    /// Adds a field: `write` appends its name, tells where the value begins, and appends the value.
    pub fn add<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<usize, E>) -> Result<(), E> {
        let start = self.bytes.len();
        let middle = write(&mut self.bytes)?;
        let name = &self.bytes[start..middle];
        self.has_wanted |= self.wanted.iter().any(|wanted| wanted == name);
        if self.is_too_large || self.bytes.len() > self.limit {
            self.is_too_large = true;
            self.bytes.truncate(start);
        } else {
            self.entries.push((start..middle, middle..self.bytes.len()));
        }
        Ok(())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|(name, value)| (&self.bytes[name.clone()], &self.bytes[value.clone()]))
    }

    /// The value of a field.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// A name that comes twice.
    pub fn repeated(&self) -> Option<&[u8]> {
        let mut seen = HashSet::with_capacity(self.entries.len());
        self.iter().map(|(name, _)| name).find(|name| !seen.insert(*name))
    }
}
