//! What check.sh has pulled from a server, as a source in the target's form.
//!
//! ```text
//! DIR/mapping.json       of the bundle
//! DIR/rows-00000.bin     COPY (SELECT the columns of the bundle FROM the table) TO STDOUT (FORMAT binary)
//! ```
//!
//! Nothing is undone: whoever compares names the mapping. One split. Errors: damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tranship_bundle::form::read_whole;
use tranship_bundle::{MANIFEST, MAPPING};
use tranship_collection::CollectionSchema;
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    Batches, CollectionInfo, Count, Error, Mapping, OpenOptions, PrepareContext, Prepared, RejectSink, Result,
    RowLedger, Score, Source, Split, Splits,
};
use tranship_storage::{InputFile, SourceIdentity};

use super::decode::Reader;
use super::layout::Layout;
use crate::dialect;

/// The rows.
pub const ROWS: &str = "rows-00000.bin";

/// Pulled rows.
pub struct PulledSource {
    rows: PathBuf,
    bytes: u64,
    layout: Layout,
    schema: Arc<CollectionSchema>,
    hash_all: bool,
}

/// Scores a path: 95 for rows that check.sh pulled.
pub fn probe(path: &Path) -> Option<Score> {
    #[derive(Deserialize)]
    struct Target {
        target: String,
    }
    if path.join(MANIFEST).exists() || !path.join(ROWS).is_file() {
        return None;
    }
    let mapping: Target = serde_json::from_slice(&std::fs::read(path.join(MAPPING)).ok()?).ok()?;
    (mapping.target == dialect::RULES.target).then_some(95)
}

/// The one collection.
pub fn list(path: &Path) -> Result<Vec<CollectionInfo>> {
    let pulled = PulledSource::open(path, &OpenOptions::default())?;
    let schema = (*pulled.schema).clone();
    let producer = Some("rows of PostgreSQL, pulled by check.sh".to_owned());
    Ok(vec![CollectionInfo { name: schema.name.clone(), records: Count::Unknown, schema, producer, notes: Vec::new() }])
}

impl PulledSource {
    /// Opens them.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let (mapping_file, rows) = (path.join(MAPPING), path.join(ROWS));
        let text = read_whole(&mapping_file, options.limits.max_page_bytes as u64)?;
        let mapping: Mapping = serde_json::from_slice(&text).map_err(|e| {
            Error::damaged("mapping.json is not a mapping").with("file", mapping_file.display()).caused_by(e)
        })?;
        Ok(PulledSource {
            bytes: InputFile::open(&rows)?.len(),
            rows,
            layout: Layout::of(&mapping)?,
            schema: Arc::new(mapping.stored_schema()),
            hash_all: options.hash_source,
        })
    }
}

impl Source for PulledSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        Ok(SourceIdentity::of(&[(self.rows.clone(), ROWS.to_owned())], self.hash_all)?)
    }

    fn prepare<'a>(&'a self, _context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        Ok(Box::new(PreparedRows { pulled: self }))
    }
}

struct PreparedRows<'a> {
    pulled: &'a PulledSource,
}

impl Prepared for PreparedRows<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.pulled.schema
    }

    fn ledger(&self) -> RowLedger {
        RowLedger::default()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let end = self.pulled.bytes;
        let split = Split { file: ROWS.to_owned(), end, bytes: end, ..Split::default() };
        Ok(Box::new(std::iter::once(Ok(split))))
    }

    fn split_memory_bytes(&self, _split: &Split) -> u64 {
        4 * BATCH_BYTES as u64
    }

    fn open<'a>(&'a self, _split: Split, _rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        Ok(Box::new(Reader::open(&self.pulled.rows, self.pulled.layout.clone(), &self.pulled.schema)?))
    }
}
