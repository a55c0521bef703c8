//! Reads `index.bin` as a collection: one record per element that is not deleted, its label the id.
//!
//! The file names neither its space nor its producer: the space comes from `-o space=` (or the metric from
//! `--metric`). Under cosine hnswlib stores unit vectors and forgets the lengths, so the schema says normalised, and
//! vectors of other lengths contradict the user's word.
//!
//! Invariant: raw = live + deleted, counted by a scan in `prepare`, which also follows the upper links to the end of
//! the file. A split is a range of records.
//!
//! Errors: not recognised for a directory; damaged as in the header, for links beyond their room and for a walk that
//! does not end with the file; usage for an unknown space, or one that the vectors contradict. Rejects: vectors with
//! NaN or infinity.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde_json::json;
use tranship_collection::batch::RowText;
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_collection::{BatchBuilder, CollectionSchema, IndexSpec, Metric, NodeRecord, ServedGraph, VectorSpec};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    Batches, Error, OpenOptions, PrepareContext, Prepared, Reject, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_storage::{InputFile, SourceIdentity};

use crate::header::{HnswHeader, wrong};
use crate::vectors::{Record, VectorFile};

/// Records whose links are followed before anything is read.
pub(crate) const SAMPLE_RECORDS: u64 = 4096;
/// Entries of a directory that are looked at for an index.
const MOST_ENTRIES: usize = 100;
/// Indexes of a directory that are named.
const MOST_NAMED: usize = 4;
/// Records whose lengths are looked at under cosine.
const NORM_SAMPLE: u64 = 100;

/// One `index.bin`.
pub struct HnswlibSource {
    path: PathBuf,
    file: VectorFile,
    schema: CollectionSchema,
    hash_source: bool,
}

impl HnswlibSource {
    /// Opens the file and checks its header and the first links.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        if path.is_dir() {
            return Err(directory(path));
        }
        let file = VectorFile::open_plain(InputFile::open(path)?, &options.limits)?;
        file.check_links(SAMPLE_RECORDS)?;
        // Taken here too, so that the vectors are looked at for what the user says by either name.
        let metric = space(options)?.or(options.metric);
        let schema = schema(path, file.header(), metric);
        if let Some(asked) = options.collection.as_ref().filter(|asked| **asked != schema.name) {
            return Err(Error::usage(format!("there is no collection `{asked}` in {}", path.display()))
                .hint(format!("leave out --collection: there is one, `{}`", schema.name)));
        }
        if metric == Some(Metric::Cosine) {
            check_unit_lengths(&file)?;
        }
        Ok(HnswlibSource { path: path.to_owned(), file, schema, hash_source: options.hash_source })
    }

    /// Records, deleted ones included.
    pub fn records(&self) -> u64 {
        self.file.len()
    }

    /// What the file does not tell.
    pub fn notes(&self) -> Vec<String> {
        let metric = self.schema.vectors.first().and_then(|vector| vector.metric);
        let note = match metric {
            None => "hnswlib does not store its space: give it with `-o space=cosine|l2|ip`",
            Some(Metric::Cosine) => "hnswlib stores unit vectors under cosine: the original lengths are lost",
            Some(_) => return Vec::new(),
        };
        vec![note.to_owned()]
    }
}

impl Source for HnswlibSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(SourceIdentity::of(&[(self.path.clone(), name)], self.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        self.file.check_links(u64::MAX)?;
        let deleted = count_deleted(&self.file)?;
        Ok(Box::new(HnswlibPrepared { source: self, deleted, split_bytes: context.split_bytes }))
    }

    fn served_graph(&self, vector: &str) -> Result<Option<ServedGraph>> {
        let Some(spec) = self.schema.vector(vector) else { return Ok(None) };
        // Under cosine the index holds unit vectors and compares their inner products.
        let metric = match spec.metric {
            None => return Ok(None),
            Some(Metric::Cosine) => Metric::Dot,
            Some(metric) => metric,
        };
        let header = self.file.header();
        let graph = self.file.read_graph()?;
        let live = graph
            .labels
            .iter()
            .zip(&graph.deleted)
            .map(|(label, deleted)| (!deleted).then(|| NodeRecord { namespace: None, id: label.to_string() }));
        Ok(Some(ServedGraph {
            records: live.collect(),
            links: graph.links,
            values: graph.values,
            dim: header.dim(),
            metric,
            m: header.m as u32,
            ef_construction: u32::try_from(header.ef_construction).unwrap_or(u32::MAX),
            ef_search: None,
        }))
    }
}

struct HnswlibPrepared<'a> {
    source: &'a HnswlibSource,
    deleted: u64,
    split_bytes: u64,
}

impl Prepared for HnswlibPrepared<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.source.schema
    }

    fn ledger(&self) -> RowLedger {
        let raw = self.source.records();
        RowLedger { raw: Some(raw), live: Some(raw - self.deleted), deleted: self.deleted, ..RowLedger::default() }
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let size = self.source.file.header().record_size;
        let per_split = (self.split_bytes / size).max(1);
        let records = self.source.records();
        let starts = (0..records.div_ceil(per_split)).map(move |ordinal| (ordinal, ordinal * per_split));
        Ok(Box::new(starts.map(move |(ordinal, start)| {
            let end = records.min(start + per_split);
            Ok(Split { ordinal, start, end, bytes: (end - start) * size, first_row: start, ..Split::default() })
        })))
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let builder = BatchBuilder::new(Arc::new(self.source.schema.clone()))
            .map_err(|e| Error::bug("cannot build batches").caused_by(e))?;
        let file = &self.source.file;
        Ok(Box::new(Reader {
            file,
            next: split.start,
            end: split.end,
            builder,
            rejects,
            buffer: Vec::new(),
            failed: false,
        }))
    }
}

/// The live records of one split.
struct Reader<'a> {
    file: &'a VectorFile,
    next: u64,
    end: u64,
    builder: BatchBuilder,
    rejects: &'a mut dyn RejectSink,
    buffer: Vec<u8>,
    failed: bool,
}

impl Reader<'_> {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.next < self.end && self.builder.bytes() < BATCH_BYTES {
            let count = self.file.records_per_read().min(self.end - self.next);
            for record in self.file.read_records(self.next, count, &mut self.buffer)?.filter(|record| !record.deleted) {
                push(&mut self.builder, self.file.path(), record, self.rejects)?;
            }
            self.next += count;
        }
        if self.builder.rows() == 0 {
            return Ok(None);
        }
        self.builder.finish().map(Some).map_err(|e| Error::bug("a batch has the wrong layout").caused_by(e))
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.batch().transpose();
        self.failed = matches!(batch, Some(Err(_)));
        batch
    }
}

fn push(builder: &mut BatchBuilder, path: &Path, record: Record<'_>, rejects: &mut dyn RejectSink) -> Result<()> {
    let id = record.label.to_string();
    builder.push_bytes(0, record.vector_bytes());
    let row = RowText { id: &id, id_kind: IdKind::Integer, namespace: None, document: None, metadata: None };
    let Err(fault) = builder.finish_row(row) else { return Ok(()) };
    let place = format!("{} record {}", path.display(), record.number);
    rejects.reject(Reject { place, id: Some(id), reason: fault.to_string(), record: None })
}

/// The error for a directory: an index is one file, perhaps one of those in it.
fn directory(path: &Path) -> Error {
    let error = Error::not_recognised(format!("{} is a directory, and an hnswlib index is one file", path.display()));
    if path.join("header.bin").is_file() {
        return error
            .hint("it is a part of a Chroma directory: give chroma: and the directory that holds chroma.sqlite3");
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().take(MOST_ENTRIES);
    let mut indexes: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| crate::probe(path).is_some()).collect();
    indexes.sort();
    let shown: Vec<String> =
        indexes.iter().take(MOST_NAMED).map(|path| format!("hnswlib:{}", path.display())).collect();
    error.hint(match shown.as_slice() {
        [] => "give the file that save_index wrote; none lies in it".to_owned(),
        shown => format!("give the file that save_index wrote, as in {}", shown.join(" or ")),
    })
}

/// The space that the user states.
fn space(options: &OpenOptions) -> Result<Option<Metric>> {
    match options.option("space") {
        None => Ok(None),
        Some("cosine") => Ok(Some(Metric::Cosine)),
        Some("l2") => Ok(Some(Metric::L2)),
        Some("ip") => Ok(Some(Metric::Dot)),
        Some(other) => {
            Err(Error::usage(format!("hnswlib has no space `{other}`")).hint("give `-o space=cosine`, `l2` or `ip`"))
        }
    }
}

fn schema(path: &Path, header: &HnswHeader, metric: Option<Metric>) -> CollectionSchema {
    let name = path.file_stem().map_or_else(|| "collection".into(), OsStr::to_string_lossy);
    let mut schema = CollectionSchema::new(name);
    schema.ids = IdKinds::Integer;
    schema.vectors = vec![VectorSpec {
        metric,
        normalised: metric == Some(Metric::Cosine),
        index: Some(IndexSpec::Hnsw {
            // The header was checked: M is below 2^16.
            m: header.m as u32,
            ef_construction: u32::try_from(header.ef_construction).unwrap_or(u32::MAX),
            ef_search: None,
        }),
        ..VectorSpec::dense("", header.dim())
    }];
    let settings = json!({
        "max_elements": header.max_elements, "max_level": header.max_level, "m": header.m, "max_m": header.max_m,
        "max_m0": header.max_m0, "ef_construction": header.ef_construction,
    });
    schema.vendor.insert("hnswlib".to_owned(), settings);
    schema
}

/// Under cosine every stored vector has the length 1, or 0 where it was 0.
fn check_unit_lengths(file: &VectorFile) -> Result<()> {
    let mut buffer = Vec::new();
    for record in file.read_records(0, NORM_SAMPLE, &mut buffer)? {
        let length = record.norm();
        if length != 0.0 && (length - 1.0).abs() > 1e-3 {
            return Err(Error::usage(format!(
                "under cosine hnswlib stores vectors of length 1, but record {} has the length {length:.4}",
                record.number
            ))
            .with("file", file.path().display())
            .hint("the index was made for another space: give `-o space=l2` or `-o space=ip`"));
        }
    }
    Ok(())
}

fn count_deleted(file: &VectorFile) -> Result<u64> {
    let room = file.header().max_m0;
    let mut deleted = 0;
    let overfull = file.scan(|record| {
        deleted += u64::from(record.deleted);
        match u64::from(record.links) > room {
            true => std::ops::ControlFlow::Break(record.number),
            false => std::ops::ControlFlow::Continue(()),
        }
    })?;
    match overfull {
        Some(number) => Err(wrong(
            file.path(),
            format_args!("inconsistent: record {number} has more links than the {room} there is room for"),
        )),
        None => Ok(deleted),
    }
}
