//! The index of a table: where its data blocks lie, in key order.
//!
//! ```text
//! plain value  = varint offset | varint size | [sized first key, index type 3]
//! delta value  = as above at entries that share nothing with the key before them, else
//!                zigzag varint of (size - size of the block before); it begins where that one and its trailer end
//! delta entry  = varint shared | varint rest | rest of the key | value          (no value length)
//! ```
//! A key is at least as great as every key of its block and smaller than every key of the next one. It is a user key
//! or an internal key, as the table's properties say; only user keys are kept.

use crate::block::Block;
use crate::block::user_key;
use crate::coding::Bytes;
use crate::footer::{Handle, TRAILER_BYTES};

/// How index entries are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexForm {
    pub delta: bool,
    pub user_keys: bool,
    pub first_keys: bool,
    pub partitioned: bool,
}

/// A decoded index block.
#[derive(Debug, Default)]
pub struct Index {
    keys: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    key_end: usize,
    handle: Handle,
}

impl Index {
    /// Decodes an index block; `None` if an entry does not fit.
    pub fn new(block: &Block, form: IndexForm) -> Option<Self> {
        let mut index = Index::default();
        let mut bytes = block.entries_from(0);
        let mut key = Vec::new();
        let mut before: Option<Handle> = None;
        while !bytes.is_empty() {
            let shared = bytes.varint32()? as usize;
            let rest = bytes.varint32()? as usize;
            let value_len = if form.delta { None } else { Some(bytes.varint32()? as usize) };
            if shared > key.len() {
                return None;
            }
            key.truncate(shared);
            key.extend_from_slice(bytes.take(rest)?);
            let mut sized = value_len.map(|len| bytes.take(len).map(Bytes::new)).map_or(Some(None), |v| v.map(Some))?;
            let value = sized.as_mut().unwrap_or(&mut bytes);
            let handle = match before.filter(|_| form.delta && shared > 0) {
                Some(before) => before.next(value.varint64()?)?,
                None => Handle { offset: value.varint64()?, size: value.varint64()? },
            };
            if form.first_keys {
                value.sized()?;
            }
            before = Some(handle);
            index.keys.extend_from_slice(if form.user_keys { &key } else { user_key(&key).ok()? });
            index.entries.push(Entry { key_end: index.keys.len(), handle });
        }
        Some(index)
    }

    /// Memory it takes.
    pub fn bytes(&self) -> usize {
        self.keys.len() + self.entries.len() * size_of::<Entry>()
    }

    /// The block of entry `number`.
    pub fn handle(&self, number: usize) -> Option<Handle> {
        self.entries.get(number).map(|entry| entry.handle)
    }

    /// The first entry whose block may hold `key` or something greater.
    pub fn lower_bound(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle) < key { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn key(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).and_then(|before| self.entries.get(before)).map_or(0, |entry| entry.key_end);
        let end = self.entries.get(number).map_or(start, |entry| entry.key_end);
        self.keys.get(start..end).unwrap_or_default()
    }
}

impl Handle {
    /// The handle that follows, from its zigzag difference in size.
    fn next(self, zigzag: u64) -> Option<Handle> {
        let difference = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let offset = self.offset.checked_add(self.size)?.checked_add(TRAILER_BYTES)?;
        Some(Handle { offset, size: self.size.checked_add_signed(difference)? })
    }
}
