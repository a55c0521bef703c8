//! A bundle: a directory of commands in the server's own protocol, for `redis-cli --pipe`, which reads back as its
//! collection.
//!
//! ```text
//! NAME/
//!   data/commands-00042-000.resp   one HSET (or VADD) per record, split 42
//!   index.resp drop-index.resp     FT.CREATE and FT.DROPINDEX          (hashes)
//!   files.tsv                      file, records, SHA-256, for load.sh
//!   counts.tsv                     records, namespace, pattern or key, for check.sh
//!   pattern.txt                    pattern of all keys
//!   load.sh check.sh undo.sh README.md mapping.json MANIFEST.json
//! ```
//!
//! Two forms: hashes with raw vectors in fields, as RediSearch indexes them, and vector sets of Redis 8.
//!
//! Invariant: one command per record, which leaves the same when it is sent again. Errors: usage (no such form, no
//! possible name), damaged (a file that is not what the manifest says, a command that is not ours).

mod commands;
mod deletes;
mod hash;
mod index;
mod layout;
mod scripts;
mod set;

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_bundle::form::{TextParts, TextShape};
use tranship_bundle::{BundleSink, BundleSource, DataFile, Deletes, Extra, Facts, Form, FormWriter, Part, Parts};
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, Fault};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    Batches, CollectionInfo, CreateOptions, Error, Locator, Mapping, OpenOptions, Result, Rules, Score, Sink, Source,
    SourceOption, Survey,
};

use crate::dialect;
pub use hash::append_record;
use layout::Kind;
pub use layout::{Layout, VectorField};

/// What `--target-option` takes.
pub const TARGET_OPTIONS: &[SourceOption] = &[SourceOption {
    key: "form",
    about: "hash (default): a hash per record and a search index; vset: vector sets of Redis 8, one per namespace",
}];

const SHAPE: TextShape = TextShape {
    stem: "commands",
    extension: "resp",
    start: b"",
    between: b"",
    end: b"",
    max_bytes: 2_000_000_000,
    max_rows: u64::MAX,
};

/// Scores a path: 95 for a bundle.
pub fn probe(path: &Path) -> Option<Score> {
    tranship_bundle::probe(path, dialect::HASH_RULES.target)
}

/// The one collection of a bundle.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    tranship_bundle::list(&Commands { kind: Kind::Hash }, locator, options)
}

/// Opens a bundle.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    // What is read follows the layout in the mapping, whichever form it is.
    Ok(Box::new(BundleSource::open(&Commands { kind: Kind::Hash }, &locator.path, options)?))
}

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    if locator.is_stream() {
        return Err(Error::usage("a bundle is a directory, not a stream").hint("give a path that does not exist"));
    }
    let kind = match options.options.get("form").map(String::as_str) {
        None | Some("hash") => Kind::Hash,
        Some("vset") => Kind::Set,
        Some(other) => {
            return Err(Error::usage(format!("`form={other}` is not understood")).hint("form takes hash or vset"));
        }
    };
    Ok(Box::new(BundleSink::new(Box::new(Commands { kind }), &locator.path, options)))
}

/// Commands of one form.
struct Commands {
    kind: Kind,
}

impl Form for Commands {
    fn rules(&self) -> &'static Rules {
        match self.kind {
            Kind::Hash => &dialect::HASH_RULES,
            Kind::Set => &dialect::SET_RULES,
        }
    }

    fn name_fault(&self, name: &str) -> Option<String> {
        dialect::name_fault(name)
    }

    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
        layout::settle(mapping, survey, self.kind)
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
        let files = TextParts::new(parts, SHAPE);
        Ok(Box::new(Writer { layout: Layout::of(mapping)?, stored: stored.clone(), files, command: Vec::new() }))
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

    fn read_memory_bytes(&self, bytes: u64) -> u64 {
        bytes + 2 * BATCH_BYTES as u64
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        let builder = BatchBuilder::new(stored.clone()).map_err(|fault| Error::bug(fault.to_string()))?;
        Ok(Box::new(Reader { bytes: file.bytes()?, at: 0, file, layout: Layout::of(mapping)?, builder }))
    }
}

/// The files of one shard being written.
struct Writer<'a> {
    layout: Layout,
    stored: Arc<CollectionSchema>,
    files: TextParts<'a>,
    command: Vec<u8>,
}

impl FormWriter for Writer<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let broken = |fault: Fault| Error::bug(fault.to_string());
        let view = BatchView::new(batch, &self.stored).map_err(broken)?;
        for row in 0..view.len() {
            self.command.clear();
            match self.layout.kind {
                Kind::Hash => hash::append_command(&self.layout, &view, row, &mut self.command).map_err(broken)?,
                Kind::Set => set::append_command(&self.layout, &view, row, &mut self.command)?,
            }
            self.files.push(&self.command, view.id(row))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Part>> {
        self.files.finish()
    }
}

/// The records of one file.
struct Reader<'a> {
    bytes: Vec<u8>,
    at: usize,
    file: DataFile<'a>,
    layout: Layout,
    builder: BatchBuilder,
}

impl Reader<'_> {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.at < self.bytes.len() && self.builder.bytes() < BATCH_BYTES {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let appended = commands::parse(rest).and_then(|(arguments, len)| {
                match self.layout.kind {
                    Kind::Hash => hash::append_arguments(&self.layout, &arguments, &mut self.builder)?,
                    Kind::Set => set::append_arguments(&self.layout, &arguments, &mut self.builder)?,
                }
                Ok(len)
            });
            self.at += appended.map_err(|reason| self.file.damaged(reason).with("byte", self.at))?;
        }
        match self.builder.rows() {
            0 => Ok(None),
            _ => self.builder.finish().map(Some).map_err(|fault| Error::bug(fault.to_string())),
        }
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            self.at = self.bytes.len();
            self.builder.rollback();
        }
        batch.transpose()
    }
}
