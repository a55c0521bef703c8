//! Reading: a source is opened, prepared once, and then read split by split in parallel.

use std::path::Path;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::{CollectionSchema, ServedGraph};
use tranship_storage::SourceIdentity;

use crate::error::Result;
use crate::loss::Loss;
use crate::reject::RejectSink;
use crate::split::Split;

/// Batch size that readers aim at, bytes.
pub const BATCH_BYTES: usize = 8 << 20;
/// Split size that file sources aim at, bytes of source.
pub const SPLIT_BYTES: u64 = 128 << 20;

/// Splits in order, produced lazily.
pub type Splits<'a> = Box<dyn Iterator<Item = Result<Split>> + Send + 'a>;
/// Batches of one split, in order.
pub type Batches<'a> = Box<dyn Iterator<Item = Result<RecordBatch>> + 'a>;

/// One collection that can be read.
pub trait Source: Send + Sync {
    /// What is known of the collection before `prepare`.
    fn schema(&self) -> &CollectionSchema;

    /// The input files as they are now; empty for a stream.
    fn identity(&self) -> Result<SourceIdentity>;

    /// Builds whatever state the whole source needs: live rows, overlays, final dimensions. Runs once, deterministic.
    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>>;

    /// The HNSW graph over a vector that the dump carries, with what it would have answered from; none where there is none
    /// or its form is not read. It holds all vectors in memory.
    fn served_graph(&self, _vector: &str) -> Result<Option<ServedGraph>> {
        Ok(None)
    }
}

/// A source that is ready to be read, from several threads.
pub trait Prepared: Send + Sync {
    /// The final schema; every batch follows it.
    fn schema(&self) -> &CollectionSchema;

    /// How the raw rows of the source add up.
    fn ledger(&self) -> RowLedger;

    /// The fingerprint that the source itself states: whoever reads all of it must come to the same.
    fn stated_fingerprint(&self) -> Option<FingerprintSummary> {
        None
    }

    /// Things worth telling that are no error: an unclean directory, a lagging segment.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// What transforms change of the collection, in their order; nothing for a source as it is.
    fn changes(&self) -> Vec<Loss> {
        Vec::new()
    }

    /// Told if records may be left out on purpose; the ledger's live records are then known only after reading.
    fn left_out(&self) -> Option<LeftOut> {
        None
    }

    /// The splits. Calling it twice gives the same splits, except for a stream, which can be read once.
    fn splits(&self) -> Result<Splits<'_>>;

    /// Memory that one split needs while it is read, bytes: buffers and one batch, not the whole split.
    fn split_memory_bytes(&self, split: &Split) -> u64 {
        split.data.as_ref().map_or(0, |data| data.len() as u64) + 4 * BATCH_BYTES as u64
    }

    /// Opens one split for reading.
    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>>;
}

/// What `prepare` may use.
#[derive(Debug, Clone, Copy)]
pub struct PrepareContext<'a> {
    /// Bytes of memory that the state may take; more is an error of kind limit naming what would do.
    pub memory_bytes: u64,
    /// Target size of a split, bytes of source.
    pub split_bytes: u64,
    /// Directory for private copies and spill files; gone after the run.
    pub scratch: &'a Path,
}

/// How records that are left out on purpose add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// Records of the source before any is left out, where it tells.
    pub live: Option<u64>,
    /// True if splits behind a limit are not read at all.
    pub cut: bool,
}

/// raw = live + deleted + superseded + filtered + rejected. `None` where only reading the whole source would tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowLedger {
    /// Rows that physically stand in the source.
    pub raw: Option<u64>,
    /// Rows that are records of the collection.
    pub live: Option<u64>,
    /// Rows deleted by the database.
    pub deleted: u64,
    /// Older versions of live records.
    pub superseded: u64,
    /// Records left out on purpose, by a filter.
    #[serde(default, skip_serializing_if = "crate::transforms::is_zero")]
    pub filtered: u64,
}
