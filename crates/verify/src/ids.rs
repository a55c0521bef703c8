//! Which ids of several sets are the same: sets of rows as bits, and a join of ids that spills.
//!
//! Invariant: ids are compared by their digests, which bind namespace and kind. Memory: a bit per row, and one partition of
//! the join. Errors: limit (more ids than a set in memory holds), damaged (a record that cannot be read).

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use tranship_collection::BatchView;
use tranship_collection::digest::Digester;
use tranship_connector::{Error, Result};
use tranship_pipeline::{EngineOptions, execute};
use tranship_storage::Spill;

use crate::join::Place;
use crate::side::Side;

/// Bytes that an id takes in a set in memory.
pub const KNOWN_BYTES: u64 = 48;
/// Bytes of a spilled id: u128 digest | u32 set | u64 split | u32 row.
const ENTRY_BYTES: usize = 32;

/// Rows of a source, by split: a bit each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowBits {
    by_split: BTreeMap<u64, Vec<u64>>,
    count: u64,
}

impl RowBits {
    /// Takes a row.
    pub fn add(&mut self, place: Place) {
        let (words, word) = (self.by_split.entry(place.ordinal).or_default(), place.row as usize / 64);
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        let bit = 1 << (place.row % 64);
        self.count += u64::from(words[word] & bit == 0);
        words[word] |= bit;
    }

    /// Takes all rows of `other`.
    pub fn add_all(&mut self, other: &RowBits) {
        for (ordinal, words) in &other.by_split {
            let own = self.by_split.entry(*ordinal).or_default();
            own.resize(own.len().max(words.len()), 0);
            own.iter_mut().zip(words).for_each(|(own, other)| *own |= other);
        }
        self.count = self.by_split.values().flatten().map(|word| u64::from(word.count_ones())).sum();
    }

    /// True if the row was taken.
    pub fn has(&self, ordinal: u64, row: u64) -> bool {
        let words = self.by_split.get(&ordinal).map_or(&[][..], Vec::as_slice);
        words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Rows that were taken.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Splits that have any, ascending.
    pub fn ordinals(&self) -> impl Iterator<Item = u64> + '_ {
        self.by_split.keys().copied()
    }
}

/// Id digests in memory, as many as it holds.
pub struct Known {
    ids: HashSet<u128>,
    most: u64,
}

impl Known {
    /// An empty set for `memory_bytes`.
    pub fn new(memory_bytes: u64) -> Self {
        Known { ids: HashSet::new(), most: memory_bytes / KNOWN_BYTES }
    }

    /// Takes an id.
    pub fn add(&mut self, id: u128) -> Result<()> {
        self.ids.insert(id);
        match self.ids.len() as u64 > self.most {
            false => Ok(()),
            true => Err(Error::limit(format!("more than {} records are only in B", self.most))
                .hint("leave --earlier out, or give more --memory: 192 bytes for each of them")),
        }
    }

    /// Those that a set has as well.
    pub fn found_in(self, side: &Side<'_>) -> Result<HashSet<u128>> {
        let (mut found, mut digester) = (HashSet::new(), Digester::default());
        for split in side.prepared.splits()? {
            let split = split?;
            let ordinal = split.ordinal;
            side.each_batch(split, |batch, rows| {
                let view = BatchView::new(batch, side.schema()).map_err(|fault| side.located(ordinal, rows, &fault))?;
                let ids = (0..view.len()).map(|row| id_of(&mut digester, &view, row));
                found.extend(ids.filter(|id| self.ids.contains(id)));
                Ok(())
            })?;
        }
        Ok(found)
    }
}

/// The digest of a record's id.
pub fn id_of(digester: &mut Digester, view: &BatchView<'_>, row: usize) -> u128 {
    digester.id(view.namespace(row), view.id_kind(row) as u8, view.id(row))
}

/// Two records of one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The set whose record comes first.
    pub kept: usize,
    /// The set whose record gives way, and where it is.
    pub gives_way: (usize, Place),
}

/// What several sets have in common.
#[derive(Debug, Default)]
pub struct Repeated {
    /// By set: the rows whose id a set before it has.
    pub rows: Vec<RowBits>,
    /// The first of them.
    pub conflicts: Vec<Conflict>,
}

/// Finds the rows of each side whose id stands in a side before it. One read of each.
pub fn repeated(sides: &[&Side<'_>], keep: usize, scratch: &Path, engine: EngineOptions<'_>) -> Result<Repeated> {
    let partitions = partitions(sides, ENTRY_BYTES, engine.memory_bytes);
    let mut spill = Spill::new(scratch, "ids", partitions, ENTRY_BYTES);
    for (number, side) in sides.iter().enumerate() {
        spill_ids(side, number as u32, &mut spill, engine)?;
    }
    let mut found = Repeated { rows: vec![RowBits::default(); sides.len()], conflicts: Vec::new() };
    for partition in 0..partitions {
        let bytes = spill.take(partition)?;
        let mut entries: Vec<&[u8]> = bytes.chunks_exact(ENTRY_BYTES).collect();
        entries.sort_unstable_by_key(|entry| (number::<16>(entry, 0), set_of(entry)));
        for same in entries.chunk_by(|a, b| a[..16] == b[..16]) {
            let kept = set_of(same[0]);
            for entry in same.iter().filter(|entry| set_of(entry) != kept) {
                let gives_way = (set_of(entry), place_of(entry));
                found.rows[gives_way.0].add(gives_way.1);
                if found.conflicts.len() < keep {
                    found.conflicts.push(Conflict { kept, gives_way });
                }
            }
        }
    }
    Ok(found)
}

/// Partitions that fit the memory if every set is as large as its source says, else a guess that is large.
pub fn partitions(sides: &[&Side<'_>], entry_bytes: usize, memory_bytes: u64) -> usize {
    let rows = |side: &&Side<'_>| {
        let ledger = side.prepared.ledger();
        side.prepared.stated_fingerprint().map(|stated| stated.records).or(ledger.live).unwrap_or(100_000_000)
    };
    let bytes = sides.iter().map(rows).sum::<u64>() * (entry_bytes as u64 + 16);
    (bytes * 4).div_ceil(memory_bytes.max(1)).clamp(1, 1024) as usize
}

fn spill_ids(side: &Side<'_>, set: u32, spill: &mut Spill, engine: EngineOptions<'_>) -> Result<()> {
    let partitions = spill.partitions();
    execute(
        side.prepared,
        engine,
        16 << 20,
        |_| Ok(None),
        |split, stop| {
            let (ordinal, mut entries, mut digester) = (split.ordinal, Vec::new(), Digester::default());
            side.each_batch(split, |batch, before| {
                stop.check()?;
                let view =
                    BatchView::new(batch, side.schema()).map_err(|fault| side.located(ordinal, before, &fault))?;
                for row in 0..view.len() {
                    entries.extend_from_slice(&id_of(&mut digester, &view, row).to_le_bytes());
                    entries.extend_from_slice(&set.to_le_bytes());
                    entries.extend_from_slice(&ordinal.to_le_bytes());
                    entries.extend_from_slice(&((before + row as u64) as u32).to_le_bytes());
                }
                Ok(())
            })?;
            Ok(entries)
        },
        |entries: Vec<u8>| {
            for entry in entries.chunks_exact(ENTRY_BYTES) {
                spill.push((u128::from_le_bytes(number(entry, 0)) % partitions as u128) as usize, entry)?;
            }
            Ok(())
        },
    )
    .map(|_| ())
}

fn set_of(entry: &[u8]) -> usize {
    u32::from_le_bytes(number(entry, 16)) as usize
}

fn place_of(entry: &[u8]) -> Place {
    Place { ordinal: u64::from_le_bytes(number(entry, 20)), row: u32::from_le_bytes(number(entry, 28)) }
}

fn number<const N: usize>(entry: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&entry[at..at + N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_once_and_found_again() {
        let place = |ordinal, row| Place { ordinal, row };
        let (mut rows, mut others) = (RowBits::default(), RowBits::default());
        [place(3, 0), place(3, 64), place(3, 64), place(7, 1000)].into_iter().for_each(|place| rows.add(place));
        [place(3, 64), place(1, 5)].into_iter().for_each(|place| others.add(place));
        assert_eq!(rows.count(), 3);
        rows.add_all(&others);
        assert_eq!((rows.count(), rows.ordinals().collect::<Vec<_>>()), (4, vec![1, 3, 7]));
        assert!(rows.has(7, 1000) && rows.has(1, 5) && !rows.has(7, 999) && !rows.has(2, 5) && !rows.has(3, 1 << 40));
    }
}
