//! Proves before the commit that no two records of a bundle have the same UUID at the target.
//!
//! Integer ids are the source's own and unique as such; UUIDs may be derived, and a derived one could meet
//! another or a record's own. Every shard leaves its UUIDs in a side file; here they are partitioned by hash and
//! sorted one partition at a time, so memory stays at 16 MiB and one partition (a 256th of 24 bytes per record).
//!
//! ```text
//! side file: 16 bytes UUID | u32 row within the shard                 little-endian, one after another
//! spilled:   16 bytes UUID | u32 position of the shard | u32 row
//! ```

use std::io::Read;
use std::path::Path;

use tranship_connector::{Error, Result};
use tranship_storage::{InputFile, Spill};
use uuid::Uuid;

/// Bytes of a side file's record.
pub const WIDTH: usize = 20;
const SPILLED: usize = 24;
const PARTITIONS: usize = 256;

/// The record of a side file.
pub fn record(id: Uuid, row: u32) -> [u8; WIDTH] {
    let mut record = [0; WIDTH];
    record[..16].copy_from_slice(id.as_bytes());
    record[16..].copy_from_slice(&row.to_le_bytes());
    record
}

/// A record by its shard's position and its row in the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Position among the side files.
    pub shard: u32,
    /// Row from 0.
    pub row: u32,
}

/// Two records with one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// The id.
    pub id: Uuid,
    /// Who has it.
    pub places: [Place; 2],
}

/// The first duplicate among the UUIDs of `side_files`, if there is one.
pub fn first_duplicate(side_files: &[InputFile], scratch: &Path) -> Result<Option<Duplicate>> {
    let mut spill = Spill::new(scratch, "target-ids", PARTITIONS, SPILLED);
    for (shard, file) in side_files.iter().enumerate() {
        spill_file(file, shard as u32, &mut spill)?;
    }
    for partition in 0..PARTITIONS {
        let bytes = spill.take(partition)?;
        let (records, _) = bytes.as_chunks::<SPILLED>();
        let mut records: Vec<&[u8; SPILLED]> = records.iter().collect();
        records.sort_unstable();
        if let Some(pair) = records.windows(2).find(|pair| pair[0][..16] == pair[1][..16]) {
            return Ok(Some(duplicate(pair[0], pair[1])));
        }
    }
    Ok(None)
}

fn spill_file(file: &InputFile, shard: u32, spill: &mut Spill) -> Result<()> {
    if !file.len().is_multiple_of(WIDTH as u64) {
        return Err(Error::damaged("a side file has an odd length").with("file", file.path().display()));
    }
    let mut reader = file.range(0, file.len());
    let mut buffer = vec![0; 4096 * WIDTH];
    for start in (0..file.len()).step_by(buffer.len()) {
        let length = (file.len() - start).min(buffer.len() as u64) as usize;
        reader.read_exact(&mut buffer[..length])?;
        for record in buffer[..length].as_chunks::<WIDTH>().0 {
            let mut spilled = [0; SPILLED];
            spilled[..16].copy_from_slice(&record[..16]);
            spilled[16..20].copy_from_slice(&shard.to_le_bytes());
            spilled[20..].copy_from_slice(&record[16..]);
            spill.push(partition_of(&record[..16]), &spilled)?;
        }
    }
    Ok(())
}

/// UUIDs made from a clock share their first bytes, so all bytes count.
fn partition_of(id: &[u8]) -> usize {
    id.iter().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(*byte))) % PARTITIONS
}

fn duplicate(a: &[u8; SPILLED], b: &[u8; SPILLED]) -> Duplicate {
    let number = |record: &[u8; SPILLED], at: usize| {
        u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
    };
    let place = |record| Place { shard: number(record, 16), row: number(record, 20) };
    let mut id = [0; 16];
    id.copy_from_slice(&a[..16]);
    Duplicate { id: Uuid::from_bytes(id), places: [place(a), place(b)] }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn side_file(dir: &Path, name: &str, ids: &[u128]) -> InputFile {
        let path = dir.join(name);
        let records = ids.iter().enumerate().flat_map(|(row, id)| record(Uuid::from_u128(*id), row as u32));
        std::fs::write(&path, records.collect::<Vec<u8>>()).unwrap();
        InputFile::open(&path).unwrap()
    }

    #[test]
    fn a_uuid_in_two_shards_is_found_with_both_places() {
        let dir = tempfile::tempdir().unwrap();
        let many: Vec<u128> = (0..10_000).map(|i| i << 80).collect();
        let files = [side_file(dir.path(), "a", &many), side_file(dir.path(), "b", &[1, 2, 7_777 << 80])];
        let found = first_duplicate(&files, dir.path()).unwrap().unwrap();
        assert_eq!(found.id, Uuid::from_u128(7_777 << 80));
        assert_eq!(found.places, [Place { shard: 0, row: 7_777 }, Place { shard: 1, row: 2 }]);
        assert_eq!(first_duplicate(&files[..1], dir.path()).unwrap(), None);
    }
}
