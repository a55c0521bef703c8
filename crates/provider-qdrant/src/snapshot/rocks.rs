//! Segments that keep trackers, payloads or vectors in RocksDB (Qdrant 1.7 to 1.15).

use tranship_connector::{Error, Result};
use tranship_storage::{Limits, Tree};

use super::schema::Column;
use super::stores::{Store, Tracker};

/// The RocksDB of one segment, opened read-only.
pub struct RocksSegment {
    label: String,
}

/// Opens the database of a segment. `files` are the files of the segment directory (where `CURRENT` lies in a storage
/// directory), `backup` the files below `db_backup` of a snapshot, in the layout of RocksDB's backup engine.
pub fn open(label: &str, files: &Tree, backup: Option<&Tree>, limits: &Limits) -> Result<Option<RocksSegment>> {
    let _ = (files, backup, limits);
    Ok(Some(RocksSegment { label: label.to_owned() }))
}

impl RocksSegment {
    /// The id tracker in the column families `mapping` and `version`.
    pub fn tracker(&self) -> Result<Box<dyn Tracker>> {
        Err(self.unread())
    }

    /// The payloads in the column family `payload`.
    pub fn payloads(&self) -> Result<Box<dyn Store>> {
        Err(self.unread())
    }

    /// The vectors in the column family `vector` or `vector-<name>`.
    pub fn vectors(&self, column: &Column) -> Result<Box<dyn Store>> {
        let _ = column;
        Err(self.unread())
    }

    fn unread(&self) -> Error {
        Error::not_recognised("the segment keeps its data in RocksDB").with("segment", &self.label)
    }
}
