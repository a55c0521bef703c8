//! The ids of a segment by row, so that a split finds those of its rows wherever the tracker kept them.
//!
//! Rows of [`PACKED_BYTES`] each, in memory while they are few and in a scratch file beyond; rows that no point holds are
//! zeros. A tracker may name its rows in any order: on the way to a file they are sorted through a [`Spill`].

use std::io::Write;
use std::path::Path;

use tranship_connector::Result;
use tranship_storage::{DurableFile, InputFile, Spill};

use super::point_id::{PACKED_BYTES, PointId};

/// Rows of one partition of the spill.
const PARTITION_ROWS: u64 = 1 << 20;
/// A row number before its id.
const RECORD_BYTES: usize = 4 + PACKED_BYTES;

/// Ids by row.
pub enum IdTable {
    /// All of them.
    Memory(Vec<u8>),
    /// In a file.
    File(InputFile),
}

/// A table that is being filled.
pub enum Builder {
    /// All of them.
    Memory(Vec<u8>),
    /// Sorted into a file at the end.
    Spilled(Spill, u64),
}

impl Builder {
    /// For rows 0..`rows`, in memory or spilled to `scratch`.
    pub fn new(rows: u64, in_memory: bool, scratch: &Path) -> Self {
        match in_memory {
            true => Builder::Memory(vec![0; rows as usize * PACKED_BYTES]),
            false => {
                let partitions = rows.div_ceil(PARTITION_ROWS) as usize;
                Builder::Spilled(Spill::new(scratch, "ids", partitions, RECORD_BYTES), rows)
            }
        }
    }

    /// The id of a row below the number of rows.
    pub fn put(&mut self, row: u32, id: &PointId) -> Result<()> {
        match self {
            Builder::Memory(table) => {
                let start = row as usize * PACKED_BYTES;
                if let Some(place) = table.get_mut(start..start + PACKED_BYTES) {
                    place.copy_from_slice(&id.pack());
                }
                Ok(())
            }
            Builder::Spilled(spill, _) => {
                let mut record = [0; RECORD_BYTES];
                record[..4].copy_from_slice(&row.to_le_bytes());
                record[4..].copy_from_slice(&id.pack());
                Ok(spill.push((u64::from(row) / PARTITION_ROWS) as usize, &record)?)
            }
        }
    }

    /// The table; a file of it is called `path`.
    pub fn finish(self, path: &Path) -> Result<IdTable> {
        let (mut spill, rows) = match self {
            Builder::Memory(table) => return Ok(IdTable::Memory(table)),
            Builder::Spilled(spill, rows) => (spill, rows),
        };
        let mut file = DurableFile::create(path)?;
        for partition in 0..spill.partitions() {
            let first = partition as u64 * PARTITION_ROWS;
            let count = rows.saturating_sub(first).min(PARTITION_ROWS) as usize;
            let mut table = vec![0; count * PACKED_BYTES];
            for record in spill.take(partition)?.as_chunks::<RECORD_BYTES>().0 {
                let [a, b, c, d, id @ ..] = record;
                let row = u64::from(u32::from_le_bytes([*a, *b, *c, *d])).saturating_sub(first) as usize;
                if let Some(place) = table.get_mut(row * PACKED_BYTES..(row + 1) * PACKED_BYTES) {
                    place.copy_from_slice(id);
                }
            }
            file.write_all(&table)?;
        }
        file.finish()?;
        Ok(IdTable::File(InputFile::open(path)?))
    }
}

impl IdTable {
    /// The ids of the rows `start..end`, packed.
    pub fn range(&self, start: u64, end: u64) -> Result<Vec<u8>> {
        let (from, to) = (start * PACKED_BYTES as u64, end * PACKED_BYTES as u64);
        match self {
            IdTable::Memory(table) => Ok(table.get(from as usize..to as usize).unwrap_or_default().to_vec()),
            IdTable::File(file) => {
                let mut bytes = vec![0; (to - from) as usize];
                file.read_exact_at(from, &mut bytes)?;
                Ok(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_in_a_file_holds_what_one_in_memory_holds() {
        let dir = tempfile::tempdir().unwrap();
        let rows = PARTITION_ROWS + 5;
        let mut both = [Builder::new(rows, true, dir.path()), Builder::new(rows, false, dir.path())];
        for builder in &mut both {
            for row in (0..rows as u32).rev().step_by(3) {
                builder.put(row, &PointId::Number(u64::from(row) * 7)).unwrap();
            }
        }
        let [memory, spilled] = both.map(|builder| builder.finish(&dir.path().join("table")).unwrap());
        for (start, end) in [(0, 10), (PARTITION_ROWS - 3, rows)] {
            let ids = memory.range(start, end).unwrap();
            assert_eq!(ids, spilled.range(start, end).unwrap());
            assert!(ids.iter().any(|byte| *byte != 0));
        }
    }
}
