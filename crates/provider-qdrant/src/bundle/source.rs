//! Reads a bundle back as the collection that it was made from.
//!
//! Invariant: every body has the size and SHA-256 of the manifest before a point of it is taken, as many points as the
//! manifest says, and every record is undone through the mapping; so the set read has the source's fingerprint. One
//! split per body. Errors: damaged, with the file.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use tranship_collection::schema::IdKind;
use tranship_collection::{CollectionSchema, IdKinds, layout};
use tranship_connector::{
    Batches, Error, Mapping, OpenOptions, PrepareContext, Prepared, RejectSink, Result, RowLedger, Source, Split,
    Splits,
};
use tranship_storage::durable::sha256_bytes;
use tranship_storage::{InputFile, SourceIdentity};

use super::manifest::{FileEntry, Manifest};
use super::{MANIFEST, MAPPING, parse_mapping, points, stored_schema};

/// A bundle that has been opened.
pub struct BundleSource {
    root: PathBuf,
    manifest: Manifest,
    mapping: Mapping,
    /// How records stand in the bodies.
    stored: Arc<CollectionSchema>,
    /// How they stood at the source.
    schema: CollectionSchema,
    hash_all: bool,
}

impl BundleSource {
    /// Opens a bundle: checks the manifest and the mapping.
    pub fn open(root: &Path, options: &OpenOptions) -> Result<Self> {
        let path = root.join(MANIFEST);
        if !path.is_file() {
            return Err(Error::damaged("the bundle has no MANIFEST.json, which is written last")
                .with("file", path.display())
                .hint("copy the bundle again, or write it anew from the source"));
        }
        let limit = options.limits.max_page_bytes as u64;
        let manifest = Manifest::from_bytes(&read_whole(&path, limit)?, &path)?;
        let entry = manifest.files.get(MAPPING).ok_or_else(|| {
            Error::damaged("the manifest lists no mapping.json")
                .with("file", path.display())
                .hint("write the bundle anew")
        })?;
        let mapping = parse_mapping(&read_listed(root, MAPPING, entry)?, &root.join(MAPPING))?;
        let stored = Arc::new(stored_schema(&mapping.schema));
        let schema = mapping.schema.clone();
        if let Some(wanted) = &options.collection
            && *wanted != schema.name
            && *wanted != mapping.collection
        {
            return Err(Error::usage(format!("the bundle holds no collection `{wanted}`"))
                .hint(format!("it holds `{}`", schema.name)));
        }
        Ok(BundleSource { root: root.to_owned(), manifest, mapping, stored, schema, hash_all: options.hash_source })
    }

    /// The schema of the records that it yields.
    pub fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    /// Records in the bundle.
    pub fn records(&self) -> u64 {
        self.manifest.totals.rows
    }

    fn undo(&self, batch: &RecordBatch, file: &str) -> Result<RecordBatch> {
        let undone = self.mapping.undo(batch, &self.stored).map_err(|(row, fault)| {
            Error::damaged(format!("a point cannot be undone: {fault}")).with("file", file).with("row of batch", row)
        })?;
        self.with_stated_id_kind(undone, file)
    }

    /// Drops the column of id kinds where the source has one kind only.
    fn with_stated_id_kind(&self, batch: RecordBatch, file: &str) -> Result<RecordBatch> {
        let stated = match self.schema.ids {
            IdKinds::Mixed => return Ok(batch),
            IdKinds::Integer => IdKind::Integer,
            IdKinds::Text => IdKind::Text,
        };
        let kinds = batch.column_by_name(layout::ID_KIND).and_then(|column| column.as_primitive_opt::<UInt8Type>());
        let kinds = kinds.ok_or_else(|| Error::bug("an undone batch has no id kinds"))?;
        if let Some(row) = kinds.values().iter().position(|kind| *kind != stated as u8) {
            return Err(Error::damaged(format!("an id is no {stated:?} although the source has no others"))
                .with("file", file)
                .with("row of batch", row));
        }
        let keep: Vec<usize> =
            (0..batch.num_columns()).filter(|i| batch.schema_ref().field(*i).name() != layout::ID_KIND).collect();
        let columns = keep.iter().map(|i| batch.column(*i).clone()).collect();
        RecordBatch::try_new(layout::arrow_schema(&self.schema), columns)
            .map_err(|e| Error::bug("an undone batch does not fit").caused_by(e))
    }
}

impl Source for BundleSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let bodies = self.manifest.bodies().map(|(path, _, _)| path.as_str());
        let files: Vec<(PathBuf, String)> =
            [MANIFEST, MAPPING].into_iter().chain(bodies).map(|name| (self.root.join(name), name.to_owned())).collect();
        Ok(SourceIdentity::of(&files, self.hash_all)?)
    }

    fn prepare<'a>(&'a self, _context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        Ok(Box::new(PreparedBundle { bundle: self }))
    }
}

struct PreparedBundle<'a> {
    bundle: &'a BundleSource,
}

impl Prepared for PreparedBundle<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.bundle.schema
    }

    fn ledger(&self) -> RowLedger {
        let rows = Some(self.bundle.records());
        RowLedger { raw: rows, live: rows, ..RowLedger::default() }
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let mut first_row = 0;
        Ok(Box::new(self.bundle.manifest.bodies().enumerate().map(move |(ordinal, (path, entry, rows))| {
            let split = Split {
                ordinal: ordinal as u64,
                file: path.clone(),
                start: 0,
                end: rows,
                bytes: entry.bytes,
                first_row,
                ..Split::default()
            };
            first_row += rows;
            Ok(split)
        })))
    }

    fn split_memory_bytes(&self, split: &Split) -> u64 {
        body_memory_bytes(split.bytes)
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let bundle = self.bundle;
        let entry = bundle.manifest.files.get(&split.file).filter(|entry| entry.rows == Some(split.end));
        let entry = entry.ok_or_else(|| Error::bug(format!("{} is no split of this bundle", split.file)))?;
        let text = read_listed(&bundle.root, &split.file, entry)?;
        let file = bundle.root.join(&split.file).display().to_string();
        let (batches, found) = points::read_batches(&text, &file, &bundle.stored, rejects)?;
        if found != split.end {
            return Err(Error::damaged(format!("the body holds {found} points, the manifest says {}", split.end))
                .with("file", file)
                .hint("write the bundle anew"));
        }
        Ok(Box::new(batches.into_iter().map(move |batch| bundle.undo(&batch, &file))))
    }
}

/// Memory for one body or page: its text, the list of its points, its batches, and one of them undone.
pub fn body_memory_bytes(bytes: u64) -> u64 {
    3 * bytes + 2 * tranship_connector::source::BATCH_BYTES as u64
}

/// Reads a file of at most `limit` bytes.
pub fn read_whole(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = InputFile::open(path)?;
    if file.len() > limit {
        return Err(Error::limit(format!("the file has {} bytes, the limit is {limit}", file.len()))
            .with("file", path.display())
            .hint("scroll fewer points per page"));
    }
    let mut bytes = Vec::with_capacity(file.len() as usize);
    file.range(0, file.len()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file of the bundle and compares it with its entry.
fn read_listed(root: &Path, name: &str, entry: &FileEntry) -> Result<Vec<u8>> {
    let path = root.join(name);
    let damaged = |what: String| {
        Error::damaged(what)
            .with("file", path.display())
            .hint("copy the bundle again, or write it anew from the source")
    };
    let found = InputFile::open(&path)?.len();
    if found != entry.bytes {
        return Err(damaged(format!("the file has {found} bytes, the manifest says {}", entry.bytes)));
    }
    let bytes = read_whole(&path, entry.bytes)?;
    if sha256_bytes(&bytes) != entry.sha256 {
        return Err(damaged("the file does not have the SHA-256 of the manifest".to_owned()));
    }
    Ok(bytes)
}
