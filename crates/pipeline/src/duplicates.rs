//! Proves that no (namespace, id) occurs twice, in bounded memory.
//!
//! Every shard leaves a file of its id digests in ascending order. The check walks all files side by side, one range
//! of digests at a time, as many ranges as the memory budget asks for. Digests are XXH3-128: two different ids that
//! share one would be reported as duplicates, never the reverse.
//!
//! ```text
//! per record, ascending: u128 id digest | u32 row within the split      big-endian, so that bytes sort as numbers
//! ```

use std::path::PathBuf;

use tranship_connector::Result;
use tranship_storage::InputFile;

/// Bytes per record of an id file.
pub const ENTRY_BYTES: usize = 20;

/// Where a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The split.
    pub ordinal: u64,
    /// Row within the split, rejects not counted.
    pub row: u32,
}

/// Two records with one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// The first in source order.
    pub first: Place,
    /// The second.
    pub second: Place,
}

/// One record of an id file.
pub type Entry = [u8; ENTRY_BYTES];

/// The entry of a record.
pub fn entry(digest: u128, row: u32) -> Entry {
    let mut entry = [0; ENTRY_BYTES];
    entry[..16].copy_from_slice(&digest.to_be_bytes());
    entry[16..].copy_from_slice(&row.to_be_bytes());
    entry
}

/// The bytes of an id file.
pub fn to_file_bytes(mut ids: Vec<Entry>) -> Vec<u8> {
    ids.sort_unstable();
    ids.into_flattened()
}

/// Finds the first duplicate by digest among the id files (ordinal, path).
pub fn find(files: &[(u64, PathBuf)], memory_bytes: u64) -> Result<Option<Duplicate>> {
    let mut cursors =
        files.iter().map(|(ordinal, path)| Cursor::open(*ordinal, path.clone())).collect::<Result<Vec<_>>>()?;
    let total: u64 = cursors.iter().map(|cursor| cursor.len).sum();
    let ranges = (total * 2).div_ceil(memory_bytes.max(1 << 20)).max(1);
    let mut found: Vec<(u128, Place)> = Vec::new();
    for range in 1..=ranges {
        let upper =
            (u128::from(range) * (u128::MAX / u128::from(ranges))).max(if range == ranges { u128::MAX } else { 0 });
        found.clear();
        for cursor in &mut cursors {
            cursor.read_up_to(upper, &mut found)?;
        }
        found.sort_unstable();
        if let Some(pair) = found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Ok(Some(Duplicate { first: pair[0].1, second: pair[1].1 }));
        }
    }
    Ok(None)
}

struct Cursor {
    ordinal: u64,
    path: PathBuf,
    position: u64,
    len: u64,
}

impl Cursor {
    fn open(ordinal: u64, path: PathBuf) -> Result<Self> {
        let len = InputFile::open(&path)?.len();
        Ok(Cursor { ordinal, path, position: 0, len })
    }

    /// Reads entries from where the last range ended; files are opened one at a time, for there may be thousands.
    fn read_up_to(&mut self, upper: u128, found: &mut Vec<(u128, Place)>) -> Result<()> {
        if self.position >= self.len {
            return Ok(());
        }
        let file = InputFile::open(&self.path)?;
        let mut buffer = vec![0; 4096 * ENTRY_BYTES];
        loop {
            let count = file.read_at(self.position, &mut buffer)?;
            for entry in buffer[..count].chunks_exact(ENTRY_BYTES) {
                let (digest, row) = entry.split_at(16);
                let digest = u128::from_be_bytes(digest.try_into().unwrap_or_default());
                if digest > upper {
                    return Ok(());
                }
                let row = u32::from_be_bytes(row.try_into().unwrap_or_default());
                found.push((digest, Place { ordinal: self.ordinal, row }));
                self.position += ENTRY_BYTES as u64;
            }
            if count < buffer.len() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_across_shards_is_found_whatever_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        let spread = |n: u32| u128::from(n) << 100 | u128::from(n);
        let write = |ordinal: u64, ids: Vec<Entry>| {
            let path = dir.path().join(ordinal.to_string());
            std::fs::write(&path, to_file_bytes(ids)).unwrap();
            (ordinal, path)
        };
        let first = write(0, (0..60_000).map(|n| entry(spread(n), n)).collect());
        let clean = write(1, (60_000..120_000).map(|n| entry(spread(n), n - 60_000)).collect());
        let dirty = write(2, vec![entry(spread(777), 5)]);
        for memory in [1, 1 << 20, 1 << 30] {
            assert_eq!(find(&[first.clone(), clean.clone()], memory).unwrap(), None);
            let duplicate = find(&[first.clone(), clean.clone(), dirty.clone()], memory).unwrap().unwrap();
            assert_eq!(duplicate.first, Place { ordinal: 0, row: 777 });
            assert_eq!(duplicate.second, Place { ordinal: 2, row: 5 });
        }
    }
}
