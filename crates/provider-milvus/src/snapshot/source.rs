//! One collection as a [`Source`]: its identity, the rows that live, its splits.
//!
//! A split is a range of rows of one segment; their number depends on the collection and on the target size of a
//! split, never on memory. Invariant: deletes hit rows that are strictly older; of rows with one key in one namespace
//! the newest lives, unless `-o duplicates=keep-all`. Milvus itself does not promise which one it answers: 2.3.5 answers
//! the newest of several segments, but the oldest within one.
//!
//! Errors: those of logs and footers, which are all read before the first record; usage for fields without names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tranship_collection::CollectionSchema;
use tranship_connector::{
    Batches, Error, LiveRows, Liveness, OpenOptions, PrepareContext, Prepared, RejectSink, Result, RowLedger,
    SameVersion, Source, Split, Splits,
};
use tranship_storage::{Blob, Limits, SourceIdentity};
use xxhash_rust::xxh3::Xxh3;

use super::catalog::{Catalog, Collection};
use super::cell::Cell;
use super::deletes::{self, Key};
use super::reader::Reader;
use super::segment::{MappedSegment, TIMESTAMP};
use crate::dialect::{DataType, Field, Roles};

/// Rows per split at most.
const SPLIT_ROWS: u64 = 1_000_000;
/// Pages, dictionary and batch of one column while it is read.
const COLUMN_BYTES: u64 = 4 << 20;

/// One collection of a dump.
pub struct MilvusSource {
    root: PathBuf,
    collection: Collection,
    described_by: Vec<Blob>,
    schema: CollectionSchema,
    options: OpenOptions,
    notes: Vec<String>,
}

/// A collection of which it is known which rows live.
pub struct PreparedCollection<'a> {
    /// The collection.
    pub collection: &'a Collection,
    /// Schema of every batch.
    pub schema: Arc<CollectionSchema>,
    /// What each field is for.
    pub roles: Roles,
    /// Its segments.
    pub segments: Vec<MappedSegment>,
    /// The field whose text is the document.
    pub document: Option<usize>,
    /// Rows that live, by position of the segment.
    pub live: LiveRows,
    /// Bounds on foreign lengths.
    pub limits: &'a Limits,
    notes: Vec<String>,
    rows_per_split: u64,
    row_bytes: u64,
}

impl MilvusSource {
    /// Opens the collection that the options choose.
    pub fn new(root: &Path, catalog: Catalog, options: &OpenOptions) -> Result<Self> {
        keeps_duplicates(options)?;
        let collection = catalog.choose(options)?.clone();
        if !collection.named {
            return Err(Error::usage(format!("the names of the fields of collection {} are not known", collection.id))
                .with("directory", root.display())
                .hint(format!(
                    "binlogs hold ids only. Give the schema with -o schema=FILE (what pymilvus' describe_collection \
                     answers), or read the fields as field_<id> by naming the primary key with --id-column, here {}",
                    key_candidates(&collection)
                )));
        }
        let schema = collection.schema(catalog.producer.as_deref(), options)?;
        let notes = catalog.notes.iter().chain(&collection.notes).cloned().collect();
        let described_by = catalog.described_by;
        Ok(MilvusSource { root: root.to_owned(), collection, described_by, schema, options: options.clone(), notes })
    }

    fn files(&self) -> Vec<(PathBuf, String)> {
        let logs = self.collection.segments.iter().flat_map(|segment| segment.groups.values().flatten());
        let deletes = self.collection.deletes.iter().map(|log| &log.blob);
        let named = |blob: &Blob| {
            let path = blob.path().to_owned();
            let name = path.strip_prefix(&self.root).unwrap_or(&path).display().to_string();
            (path, name)
        };
        logs.chain(deletes).chain(&self.described_by).map(named).collect()
    }

    fn check_dims(&self) -> Result<()> {
        let without = |field: &&Field| {
            field.data_type.is_vector() && field.data_type != DataType::SparseFloatVector && field.dim.is_none()
        };
        match self.collection.fields.iter().find(without) {
            Some(field) => Err(Error::damaged(format!("vector field `{}` states no dimension", field.name))
                .with("collection", &self.collection.shown_name)
                .hint("add `dim` to the schema")),
            None => Ok(()),
        }
    }
}

fn key_candidates(collection: &Collection) -> String {
    let fits = |f: &&Field| matches!(f.data_type, DataType::Int64 | DataType::VarChar);
    let guess = collection.fields.iter().find(|f| f.primary).or_else(|| collection.fields.iter().find(fits));
    guess.map_or_else(|| "unknown".to_owned(), |field| format!("most likely {}", field.name))
}

/// Tells of the rows that hold no value of a field because their segment has no log of it.
fn late_note(field: &Field, segments: &[MappedSegment]) -> Option<String> {
    let lacking = segments.iter().filter(|segment| segment.rows > 0 && !segment.has(field.id));
    let (count, rows) = lacking.fold((0, 0), |(count, rows), segment| (count + 1, rows + segment.rows));
    let instead = match (&field.default, field.dynamic || field.data_type.is_vector()) {
        (_, true) => "nothing".to_owned(),
        (Some(default), _) => format!("the default {default}"),
        (None, _) => "null".to_owned(),
    };
    (count > 0).then(|| {
        format!(
            "{count} segments hold no log of field `{}`, as if it had been added later: their {rows} rows get {instead}",
            field.name
        )
    })
}

/// The option `duplicates`.
fn keeps_duplicates(options: &OpenOptions) -> Result<bool> {
    match options.option("duplicates") {
        None | Some("newest") => Ok(false),
        Some("keep-all") => Ok(true),
        Some(other) => Err(Error::usage(format!("duplicates={other} is unknown"))
            .hint("`newest` keeps the newest row of each key, `keep-all` every row")),
    }
}

impl Source for MilvusSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        Ok(SourceIdentity::of(&self.files(), self.options.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        self.check_dims()?;
        let (collection, limits) = (&self.collection, &self.options.limits);
        let mut roles = Roles::of(&collection.fields)?;
        let document = self.options.document_column.as_deref().map(|name| collection.document(name)).transpose()?;
        roles.scalars.retain(|field| Some(*field) != document);
        let mut notes = self.notes.clone();
        let mut strangers = BTreeSet::new();
        let open = |segment| MappedSegment::open(segment, &collection.fields, limits, &mut strangers);
        let segments: Vec<MappedSegment> = collection.segments.iter().map(open).collect::<Result<_>>()?;
        if !strangers.is_empty() {
            let ids: Vec<String> = strangers.iter().map(i64::to_string).collect();
            notes.push(format!("fields {} are in the logs but not in the schema; they are left out", ids.join(", ")));
        }
        notes.extend(collection.fields.iter().filter_map(|field| late_note(field, &segments)));
        let stated: Option<u64> = collection.segments.iter().map(|segment| segment.rows).sum();
        let rows: u64 = segments.iter().map(|segment| segment.rows).sum();
        if let Some(stated) = stated.filter(|stated| *stated != rows) {
            notes.push(format!("the logs hold {rows} rows, the backup states {stated}"));
        }
        let live = self.live_rows(&segments, &roles, context)?;
        if live.superseded > 0 {
            notes.push(format!(
                "{} rows are older rows, or further copies, of keys that live; -o duplicates=keep-all keeps them",
                live.superseded
            ));
        }
        let logs = collection.segments.iter().flat_map(|segment| segment.groups.values().flatten());
        let stored: u64 = logs.map(Blob::len).sum();
        let row_bytes = (stored / rows.max(1)).max(self.schema.dense_row_bytes() as u64).max(1);
        Ok(Box::new(PreparedCollection {
            collection,
            schema: Arc::new(self.schema.clone()),
            roles,
            document,
            segments,
            live,
            limits,
            notes,
            rows_per_split: (context.split_bytes / row_bytes).clamp(1, SPLIT_ROWS),
            row_bytes,
        }))
    }
}

impl MilvusSource {
    /// Which rows are records: reads keys and times of all rows, and all deletes.
    fn live_rows(&self, segments: &[MappedSegment], roles: &Roles, context: &PrepareContext<'_>) -> Result<LiveRows> {
        let (collection, limits) = (&self.collection, &self.options.limits);
        let rows: Vec<u64> = segments.iter().map(|segment| segment.rows).collect();
        let total = rows.iter().try_fold(0u64, |sum, rows| sum.checked_add(*rows));
        if total.is_none_or(|total| total / 8 > context.memory_bytes) {
            return Err(Error::limit(format!("one bit for each of {} rows does not fit", total.unwrap_or(u64::MAX)))
                .with("collection", &collection.shown_name)
                .hint(format!("run with --memory of at least {} bytes", total.unwrap_or(u64::MAX) / 8)));
        }
        let mut liveness = Liveness::new(context.scratch, &rows, SameVersion::RowLives);
        if keeps_duplicates(&self.options)? {
            liveness = liveness.keeping_duplicates();
        }
        let field = collection.fields.get(roles.primary).ok_or_else(|| Error::bug("no primary key"))?;
        let scope = |partition: i64| if collection.is_hashed() { 0 } else { partition };
        for (part, segment) in segments.iter().enumerate() {
            let part = u32::try_from(part).map_err(|_| Error::bug("too many segments"))?;
            let keys = segment.stream(field.id, 0, segment.rows, limits);
            let times = segment.stream(TIMESTAMP, 0, segment.rows, limits);
            let (Some(mut keys), Some(mut times)) = (keys, times) else { continue };
            for row in 0..segment.rows {
                keys.advance()?;
                times.advance()?;
                let time = match times.cell() {
                    Cell::Integer(time) => u64::try_from(time).ok(),
                    _ => None,
                };
                let time = time.ok_or_else(|| {
                    Error::damaged("a row without time")
                        .with("file", segment.file_of(TIMESTAMP, row))
                        .with("row", row)
                        .hint("copy the file again from the object store")
                })?;
                let cell = keys.cell();
                // A row without key is kept apart from all others, to be rejected when it is read.
                let digest = Key::of(&cell)
                    .map_or(u128::from(part) << 64 | u128::from(row), |key| digest(scope(segment.partition), &key));
                liveness.row(digest, time, part, row)?;
            }
        }
        let partitions: BTreeSet<i64> = segments.iter().map(|segment| scope(segment.partition)).collect();
        let integers = field.data_type == DataType::Int64;
        for log in &collection.deletes {
            let scopes: Vec<i64> = match log.partition {
                Some(partition) => vec![scope(partition)],
                None => partitions.iter().copied().collect(),
            };
            deletes::read(&log.blob, integers, limits, |key, time| {
                scopes.iter().try_for_each(|scope| liveness.delete(digest(*scope, key), time))
            })?;
        }
        liveness.finish()
    }
}

/// The digest of a key within its partition.
fn digest(scope: i64, key: &Key<'_>) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&scope.to_le_bytes());
    match key {
        Key::Integer(number) => hash.update(&number.to_le_bytes()),
        Key::Text(text) => {
            hash.update(b"t");
            hash.update(text.as_bytes());
        }
    }
    hash.digest128()
}

impl Prepared for PreparedCollection<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        let LiveRows { live, deleted, superseded, .. } = self.live;
        let raw = self.segments.iter().map(|segment| segment.rows).sum();
        RowLedger { raw: Some(raw), live: Some(live), deleted, superseded, ..RowLedger::default() }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let per_split = self.rows_per_split;
        let ranges = self.segments.iter().enumerate().flat_map(move |(part, segment)| {
            let starts = (0..segment.rows.div_ceil(per_split)).map(move |n| n * per_split);
            starts.map(move |start| (part, start, (start + per_split).min(segment.rows)))
        });
        Ok(Box::new(ranges.enumerate().map(|(ordinal, (part, start, end))| {
            Ok(Split {
                ordinal: ordinal as u64,
                file: part.to_string(),
                start,
                end,
                bytes: (end - start) * self.row_bytes,
                ..Split::default()
            })
        })))
    }

    fn split_memory_bytes(&self, _split: &Split) -> u64 {
        let batches = 4 * tranship_connector::source::BATCH_BYTES as u64;
        batches + COLUMN_BYTES * self.collection.fields.len() as u64
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let part = split.file.parse().map_err(|_| Error::bug("a split of no segment"))?;
        Ok(Box::new(Reader::new(self, part, split.start, split.end, rejects)?))
    }
}
