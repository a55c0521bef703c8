//! What a segment consists of, whatever wrote it: a tracker of ids, a store of payloads, a store per vector.
//!
//! Flat files and RocksDB stand behind the same three traits. A row is an internal id of the segment, 0..`rows()`.
//! Implementations open nothing that they do not need and are shared by threads; reading is positioned, in as few
//! reads as consecutive rows allow.

use std::path::Path;

use tranship_connector::Result;

use super::cells::Cells;
use super::point_id::PointId;

/// A row that a tracker maps to a point and has not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// Internal id.
    pub row: u32,
    /// The point.
    pub id: PointId,
    /// Number of the operation that wrote it last; `None` if the tracker has no version for it: such a point was never
    /// completed, and is a record only if the write-ahead log brings it.
    pub version: Option<u64>,
}

/// What a tracker holds beside mapped rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Rows that the tracker has handed out, dead ones included.
    pub raw: u64,
    /// Rows that were deleted.
    pub deleted: u64,
    /// Rows whose point has another row in the same segment.
    pub superseded: u64,
}

/// Internal ids and their points.
pub trait Tracker: Send + Sync {
    /// One past the highest internal id; may read the tracker once.
    fn rows(&self) -> Result<u64>;

    /// Upper bound of the mapped rows, from headers alone.
    fn at_most(&self) -> u64;

    /// Visits every mapped row once, in any order. `raw` = visited + `deleted` + `superseded`. `scratch` may take
    /// spill files.
    fn scan(&self, scratch: &Path, visit: &mut dyn FnMut(Mapped) -> Result<()>) -> Result<Tracked>;
}

/// Values of one kind by row: payloads, or one named vector. See [`Cells`] for the bytes of each kind.
pub trait Store: Send + Sync {
    /// Appends the values of `rows` (ascending) to `cells`, at least the first one.
    fn fetch(&self, rows: &[u32], cells: &mut Cells) -> Result<()>;
}

/// The tracker of a segment that never took a point.
pub struct NoPoints;

impl Tracker for NoPoints {
    fn rows(&self) -> Result<u64> {
        Ok(0)
    }

    fn at_most(&self) -> u64 {
        0
    }

    fn scan(&self, _scratch: &Path, _visit: &mut dyn FnMut(Mapped) -> Result<()>) -> Result<Tracked> {
        Ok(Tracked::default())
    }
}

/// A vector that no point of the segment has, or payloads that were never written.
pub struct Nothing;

impl Store for Nothing {
    fn fetch(&self, rows: &[u32], cells: &mut Cells) -> Result<()> {
        rows.iter().for_each(|_| cells.push_absent());
        Ok(())
    }
}
