//! A bundle: a directory of COPY BINARY files that loads one table, and reads back as its collection.
//!
//! ```text
//! NAME/
//!   schema.sql  data.sql  index.sql    table; the files, each with its mark in one transaction; keys and indexes
//!   load.sql                           the three of them, for psql alone
//!   check.sql  pull.sql  undo.sql      counts that are wrong; all rows as COPY BINARY; takes it back
//!   data.sha256                        for sha256sum --check
//!   load.sh check.sh undo.sh README.md mapping.json MANIFEST.json
//!   data/rows-00042-000.bin            COPY BINARY, split 42, each at most 1 GB
//! ```
//!
//! A directory with `mapping.json` and `rows-00000.bin` is what check.sh has pulled from the server: the same rows in the
//! same columns, read in the target's form, for `verify --mapping`.
//!
//! Invariant: a row holds the record as the mapping has shaped it. Errors: usage (names that PostgreSQL has no room for),
//! damaged (a file that is not what the manifest says).

mod ddl;
mod decode;
mod deletes;
mod encode;
mod indexes;
mod layout;
mod pulled;
mod scripts;

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_bundle::form::{TextParts, TextShape};
use tranship_bundle::{BundleSink, BundleSource, DataFile, Deletes, Extra, Facts, Form, FormWriter, Part, Parts};
use tranship_collection::{BatchView, CollectionSchema, Fault};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    Batches, CollectionInfo, CreateOptions, Error, Locator, Mapping, OpenOptions, Result, Rules, Score, Sink, Source,
    SourceOption, Survey,
};

use crate::dialect;
use layout::Layout;

/// What `--target-option` takes.
pub const TARGET_OPTIONS: &[SourceOption] = &[SourceOption {
    key: "metadata",
    about: "jsonb (default): all metadata in one jsonb column; columns: keys whose values have one type are columns of \
            that type, the rest is in the jsonb column",
}];

const SHAPE: TextShape = TextShape {
    stem: "rows",
    extension: "bin",
    start: encode::HEADER,
    between: b"",
    end: encode::TRAILER,
    max_bytes: 1_000_000_000,
    max_rows: u64::MAX,
};

/// Scores a path: 95 for a bundle and for what check.sh pulled.
pub fn probe(path: &Path) -> Option<Score> {
    tranship_bundle::probe(path, dialect::RULES.target).or_else(|| pulled::probe(path))
}

/// The one collection of a bundle.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    match pulled::probe(&locator.path) {
        Some(_) => pulled::list(&locator.path),
        None => tranship_bundle::list(&Rows { columns: false }, locator, options),
    }
}

/// Opens a bundle or what was pulled.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    match pulled::probe(&locator.path) {
        Some(_) => Ok(Box::new(pulled::PulledSource::open(&locator.path, options)?)),
        None => Ok(Box::new(BundleSource::open(&Rows { columns: false }, &locator.path, options)?)),
    }
}

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    if locator.is_stream() {
        return Err(Error::usage("a bundle is a directory, not a stream").hint("give a path that does not exist"));
    }
    let columns = match options.options.get("metadata").map(String::as_str) {
        None | Some("jsonb") => false,
        Some("columns") => true,
        Some(other) => {
            return Err(
                Error::usage(format!("`metadata={other}` is not understood")).hint("metadata takes jsonb or columns")
            );
        }
    };
    Ok(Box::new(BundleSink::new(Box::new(Rows { columns }), &locator.path, options)))
}

/// Rows of COPY BINARY.
struct Rows {
    /// Metadata of one type goes into columns of its own. When a bundle is read, its layout says so.
    columns: bool,
}

impl Form for Rows {
    fn rules(&self) -> &'static Rules {
        &dialect::RULES
    }

    fn name_fault(&self, name: &str) -> Option<String> {
        dialect::name_fault(name)
    }

    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
        layout::settle(mapping, survey, self.columns)?;
        indexes::settle(mapping, survey)
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        (1 << 20) + 2 * schema.dense_row_bytes() as u64
    }

    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>> {
        let layout = Layout::of(mapping)?;
        Ok(Box::new(RowWriter {
            encoder: encode::Encoder::new(layout, stored),
            stored: stored.clone(),
            files: TextParts::new(parts, SHAPE),
            row: Vec::new(),
        }))
    }

    fn deletes(&self) -> Option<Deletes> {
        Some(deletes::DELETES)
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        let layout = Layout::of(facts.mapping)?;
        if let Some(delta) = &facts.manifest.delta {
            return Ok(deletes::extras(facts, &layout, delta));
        }
        Ok(scripts::extras(facts, &layout))
    }

    fn read_memory_bytes(&self, _bytes: u64) -> u64 {
        4 * BATCH_BYTES as u64
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        let path = file.checked_path()?;
        Ok(Box::new(decode::Reader::open(&path, Layout::of(mapping)?, stored)?))
    }
}

/// The files of one shard being written.
struct RowWriter<'a> {
    encoder: encode::Encoder,
    stored: Arc<CollectionSchema>,
    files: TextParts<'a>,
    row: Vec<u8>,
}

impl FormWriter for RowWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let view = BatchView::new(batch, &self.stored).map_err(|fault: Fault| Error::bug(fault.to_string()))?;
        for row in 0..view.len() {
            self.row.clear();
            self.encoder.append(&view, row, &mut self.row)?;
            self.files.push(&self.row, view.id(row))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Part>> {
        self.files.finish()
    }
}
