//! Fixed-width records spilled to partition files, so that a join or a sort needs one partition in memory.
//!
//! Invariant: a record goes to the partition that its caller names and comes back bytewise as it went, in any order.
//! Partitions are written through small buffers; nothing is synced, for nothing outlives the run.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::StorageError;

const BUFFER_BYTES: usize = 64 << 10;

/// Partition files of records of one width.
pub struct Spill {
    width: usize,
    partitions: Vec<Partition>,
}

struct Partition {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
    bytes: u64,
}

impl Spill {
    /// Partitions `NAME.0`, `NAME.1`.. in `dir` for records of `width` bytes.
    pub fn new(dir: &Path, name: &str, partitions: usize, width: usize) -> Self {
        let partition =
            |number| Partition { path: dir.join(format!("{name}.{number}")), file: None, buffer: Vec::new(), bytes: 0 };
        Spill { width, partitions: (0..partitions.max(1)).map(partition).collect() }
    }

    /// Number of partitions.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Bytes in the largest partition.
    pub fn largest_bytes(&self) -> u64 {
        self.partitions.iter().map(|p| p.bytes).max().unwrap_or(0)
    }

    /// Appends one record of the spill's width.
    pub fn push(&mut self, partition: usize, record: &[u8]) -> Result<(), StorageError> {
        debug_assert_eq!(record.len(), self.width);
        let partition = &mut self.partitions[partition];
        partition.buffer.extend_from_slice(record);
        partition.bytes += record.len() as u64;
        if partition.buffer.len() >= BUFFER_BYTES { partition.flush() } else { Ok(()) }
    }

    /// All records of one partition, one after another.
    pub fn take(&mut self, partition: usize) -> Result<Vec<u8>, StorageError> {
        let partition = &mut self.partitions[partition];
        if partition.file.take().is_none() {
            return Ok(std::mem::take(&mut partition.buffer));
        }
        let mut bytes = fs::read(&partition.path).map_err(|e| StorageError::new("read", &partition.path, e))?;
        bytes.append(&mut partition.buffer);
        Ok(bytes)
    }
}

impl Partition {
    fn flush(&mut self) -> Result<(), StorageError> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().write(true).create(true).truncate(true).open(&self.path);
                self.file.insert(file.map_err(|e| StorageError::new("create", &self.path, e))?)
            }
        };
        file.write_all(&self.buffer).map_err(|e| StorageError::new("write", &self.path, e))?;
        self.buffer.clear();
        Ok(())
    }
}
