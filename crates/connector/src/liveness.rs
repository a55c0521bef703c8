//! Which rows of a source are records of the collection: the newest copy of each key, unless it was deleted later.
//!
//! Databases keep older copies of a record, and deletes, beside the record itself. A reader hands every row and every
//! delete to a [`Liveness`], each with its key and its version; [`Liveness::finish`] says which rows live, as one
//! bit per row. Memory: the bits (100 million rows are 12.5 MB) and one partition at a time; keys and versions go to
//! spill files once they are more than the budget.
//!
//! Invariant: the answer depends on the rows and deletes alone, never on the order in which they come or on the
//! budget. Of several rows with one key the highest version lives; of equal versions the one in the later part, then
//! the later row. A key is a 128-bit digest that includes the namespace, so keys are never compared across
//! namespaces unless the caller gives them the same digest.
//!
//! Errors: I/O of spill files; a row beyond the rows declared for its part is a mistake of the caller (kind bug).

use std::path::Path;

use tranship_storage::Spill;

use crate::error::{Error, Result};

/// key 16, version 8, part 4, row 8.
const RECORD_BYTES: usize = 36;
/// The part that stands for a delete.
const DELETE: u32 = u32::MAX;
/// Bytes of records that one partition aims at.
const PARTITION_BYTES: u64 = 16 << 20;

/// What a delete does to a row of the same key and the same version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameVersion {
    /// The row lives: only older rows are deleted.
    RowLives,
    /// The row is deleted.
    RowDies,
}

/// Collects rows and deletes.
pub struct Liveness {
    spill: Spill,
    rows_per_part: Vec<u64>,
    deletes: u64,
    same_version: SameVersion,
    keep_duplicates: bool,
}

/// The rows that live.
#[derive(Debug, Clone, Default)]
pub struct LiveRows {
    /// One bit per row and part, least significant first.
    bits: Vec<Vec<u64>>,
    /// Rows that live.
    pub live: u64,
    /// Rows that a delete hit.
    pub deleted: u64,
    /// Rows that a newer row of the same key replaced.
    pub superseded: u64,
}

impl Liveness {
    /// For parts with so many rows each (a part is a segment, a file; numbered from 0), spilling to `scratch`.
    pub fn new(scratch: &Path, rows_per_part: &[u64], same_version: SameVersion) -> Self {
        let rows: u64 = rows_per_part.iter().sum();
        let partitions = (rows.saturating_mul(RECORD_BYTES as u64) / PARTITION_BYTES).clamp(1, 1024) as usize;
        Liveness {
            spill: Spill::new(scratch, "liveness", partitions, RECORD_BYTES),
            rows_per_part: rows_per_part.to_vec(),
            deletes: 0,
            same_version,
            keep_duplicates: false,
        }
    }

    /// Lets every row live that no delete hits, even if a newer row has its key.
    pub fn keeping_duplicates(mut self) -> Self {
        self.keep_duplicates = true;
        self
    }

    /// A row.
    pub fn row(&mut self, key: u128, version: u64, part: u32, row: u64) -> Result<()> {
        self.push(key, version, part, row)
    }

    /// A delete of all rows of `key` that are older than `version` (or as old, by the rule given).
    pub fn delete(&mut self, key: u128, version: u64) -> Result<()> {
        self.deletes += 1;
        self.push(key, version, DELETE, 0)
    }

    /// Which rows live. A row that was never given does not.
    pub fn finish(mut self) -> Result<LiveRows> {
        let bits = self.rows_per_part.iter().map(|rows| vec![0u64; rows.div_ceil(64) as usize]).collect();
        let mut found = LiveRows { bits, ..LiveRows::default() };
        for partition in 0..self.spill.partitions() {
            let bytes = self.spill.take(partition)?;
            let mut records: Vec<Record> = bytes.as_chunks::<RECORD_BYTES>().0.iter().map(Record::read).collect();
            drop(bytes);
            records.sort_unstable();
            for same_key in records.chunk_by(|a, b| a.key == b.key) {
                self.settle(same_key, &mut found)?;
            }
        }
        Ok(found)
    }

    /// The copies of one key, oldest first.
    fn settle(&self, copies: &[Record], found: &mut LiveRows) -> Result<()> {
        let deleted_at = copies.iter().filter(|c| c.part == DELETE).map(|c| c.version).max();
        let hit = |version: u64| match (deleted_at, self.same_version) {
            (Some(at), SameVersion::RowLives) => version < at,
            (Some(at), SameVersion::RowDies) => version <= at,
            (None, _) => false,
        };
        let mut newest = true;
        for row in copies.iter().rev().filter(|c| c.part != DELETE) {
            if hit(row.version) {
                found.deleted += 1;
            } else if newest || self.keep_duplicates {
                found.set(row.part, row.row, &self.rows_per_part)?;
                newest = false;
            } else {
                found.superseded += 1;
            }
        }
        Ok(())
    }

    fn push(&mut self, key: u128, version: u64, part: u32, row: u64) -> Result<()> {
        let mut record = [0; RECORD_BYTES];
        record[..16].copy_from_slice(&key.to_le_bytes());
        record[16..24].copy_from_slice(&version.to_le_bytes());
        record[24..28].copy_from_slice(&part.to_le_bytes());
        record[28..].copy_from_slice(&row.to_le_bytes());
        // Digests are spread evenly, but a caller may use a small number as key: mix before choosing.
        let mixed = (key as u64 ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let partition = (mixed as usize) % self.spill.partitions();
        Ok(self.spill.push(partition, &record)?)
    }
}

impl LiveRows {
    /// All rows live.
    pub fn all(rows_per_part: &[u64]) -> Self {
        let bits = rows_per_part.iter().map(|rows| vec![u64::MAX; rows.div_ceil(64) as usize]).collect();
        LiveRows { bits, live: rows_per_part.iter().sum(), ..LiveRows::default() }
    }

    /// True if row `row` of part `part` is a record of the collection.
    pub fn lives(&self, part: usize, row: u64) -> bool {
        let word = self.bits.get(part).and_then(|bits| bits.get((row / 64) as usize));
        word.is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    fn set(&mut self, part: u32, row: u64, rows_per_part: &[u64]) -> Result<()> {
        let word = self.bits.get_mut(part as usize).and_then(|bits| bits.get_mut((row / 64) as usize));
        let inside = rows_per_part.get(part as usize).is_some_and(|rows| row < *rows);
        match word.filter(|_| inside) {
            Some(word) => *word |= 1 << (row % 64),
            None => return Err(Error::bug(format!("row {row} of part {part} was not declared"))),
        }
        self.live += 1;
        Ok(())
    }
}

/// Ordered by key, then by version, part and row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    key: u128,
    version: u64,
    part: u32,
    row: u64,
}

impl Record {
    fn read(bytes: &[u8; RECORD_BYTES]) -> Self {
        let number = |from: usize, len: usize| {
            bytes[from..from + len].iter().rev().fold(0u128, |value, byte| value << 8 | u128::from(*byte))
        };
        Record {
            key: number(0, 16),
            version: number(16, 8) as u64,
            part: number(24, 4) as u32,
            row: number(28, 8) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn liveness(dir: &tempfile::TempDir, rule: SameVersion) -> Liveness {
        Liveness::new(dir.path(), &[3, 2], rule)
    }

    fn living(found: &LiveRows) -> Vec<(usize, u64)> {
        let all = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)];
        all.into_iter().filter(|(part, row)| found.lives(*part, *row)).collect()
    }

    #[test]
    fn the_newest_copy_lives_unless_it_was_deleted_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut rows = liveness(&dir, SameVersion::RowLives);
        rows.delete(3, 9).unwrap();
        rows.row(1, 5, 0, 0).unwrap();
        rows.row(2, 5, 0, 1).unwrap();
        rows.row(1, 7, 0, 2).unwrap();
        rows.row(3, 8, 1, 0).unwrap();
        rows.row(2, 5, 1, 1).unwrap();
        let found = rows.finish().unwrap();
        assert_eq!(living(&found), [(0, 2), (1, 1)]);
        assert_eq!((found.live, found.deleted, found.superseded), (2, 1, 2));
    }

    #[test]
    fn a_delete_and_an_insert_of_one_version_follow_the_rule() {
        for (rule, live) in [(SameVersion::RowLives, 1), (SameVersion::RowDies, 0)] {
            let dir = tempfile::tempdir().unwrap();
            let mut rows = liveness(&dir, rule);
            rows.row(1, 5, 0, 0).unwrap();
            rows.delete(1, 5).unwrap();
            rows.row(1, 4, 1, 0).unwrap();
            let found = rows.finish().unwrap();
            assert_eq!((found.live, found.live + found.deleted), (live, 2));
        }
    }

    #[test]
    fn duplicates_live_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let mut rows = liveness(&dir, SameVersion::RowLives).keeping_duplicates();
        rows.row(1, 5, 0, 0).unwrap();
        rows.row(1, 6, 0, 1).unwrap();
        rows.delete(1, 6).unwrap();
        assert_eq!(living(&rows.finish().unwrap()), [(0, 1)]);
    }

    #[test]
    fn many_partitions_give_the_same_answer_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let parts = [1_500_000];
        let mut rows = Liveness::new(dir.path(), &parts, SameVersion::RowLives);
        assert!(rows.spill.partitions() > 1);
        for row in 0..parts[0] {
            rows.row(u128::from(row / 2), row, 0, row).unwrap();
        }
        let found = rows.finish().unwrap();
        assert_eq!((found.live, found.superseded), (750_000, 750_000));
        assert!((0..parts[0]).all(|row| found.lives(0, row) == (row % 2 == 1)));
        assert!(Liveness::new(dir.path(), &[1], SameVersion::RowLives).finish().unwrap().live == 0);
        let mut beyond = Liveness::new(dir.path(), &[1], SameVersion::RowLives);
        beyond.row(1, 1, 0, 1).unwrap();
        assert!(beyond.finish().is_err());
    }
}
