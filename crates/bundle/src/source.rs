//! Reads a bundle back as the collection that it was made from.
//!
//! Invariant: every data file has the size and SHA-256 of the manifest before a record of it is taken, as many records
//! as the manifest says, and every record is undone through the mapping; so the set read has the expected fingerprint.
//! One split per data file, or those of the engine's own dump (see `dump`). Errors: damaged, with the file.

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
use tranship_storage::SourceIdentity;

use crate::dump::PreparedDump;
use crate::form::{DataFile, Form, read_listed, read_whole};
use crate::manifest::{FileEntry, Manifest};
use crate::{MANIFEST, MAPPING};

/// A bundle that has been opened.
pub struct BundleSource {
    form: &'static dyn Form,
    root: PathBuf,
    manifest: Manifest,
    mapping: Mapping,
    /// How records stand in the files.
    stored: Arc<CollectionSchema>,
    /// How they stood at the source, as far as the target holds them.
    schema: CollectionSchema,
    /// The data, where it is a dump of the engine's.
    dump: Option<Box<dyn Source>>,
    hash_all: bool,
}

impl BundleSource {
    /// Opens a bundle: checks the manifest and the mapping.
    pub fn open(form: &'static dyn Form, root: &Path, options: &OpenOptions) -> Result<Self> {
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
        let text = read_listed(root, MAPPING, entry)?;
        let mapping: Mapping = serde_json::from_slice(&text).map_err(|e| {
            Error::damaged("mapping.json is not a mapping").with("file", root.join(MAPPING).display()).caused_by(e)
        })?;
        let target = form.rules().target;
        if mapping.target != target {
            return Err(Error::usage(format!("this bundle is for {}, not for {target}", mapping.target))
                .hint(format!("open it as {}:{}", mapping.target, root.display())));
        }
        let mut stored = mapping.stored_schema();
        let mut schema = mapping.projected_schema(&mapping.schema);
        if mapping.unit_in_bundle {
            stored = mapping.projected_schema(&stored);
        } else {
            for spec in &mut schema.vectors {
                spec.element = mapping.schema.vector(&spec.name).map_or(spec.element, |own| own.element);
            }
        }
        if let Some(wanted) = &options.collection
            && *wanted != schema.name
            && *wanted != mapping.collection
        {
            return Err(Error::usage(format!("the bundle holds no collection `{wanted}`"))
                .hint(format!("it holds `{}`", schema.name)));
        }
        Ok(BundleSource {
            form,
            root: root.to_owned(),
            manifest,
            mapping,
            stored: Arc::new(stored),
            schema,
            dump: form.dump(root, &OpenOptions { collection: None, ..options.clone() })?,
            hash_all: options.hash_source,
        })
    }

    /// How records stand in the files.
    pub(crate) fn stored(&self) -> &Arc<CollectionSchema> {
        &self.stored
    }

    /// Proves that every data file is what the manifest says.
    pub(crate) fn check_data(&self) -> Result<()> {
        self.manifest
            .bodies()
            .try_for_each(|(name, entry, rows)| self.data_file(name, entry, rows).checked_path().map(drop))
    }

    /// Records in the bundle.
    pub fn records(&self) -> u64 {
        self.manifest.totals.rows
    }

    /// A data file by its entry in the manifest.
    fn data_file(&self, name: &str, entry: &FileEntry, rows: u64) -> DataFile<'_> {
        DataFile {
            root: self.root.clone(),
            name: name.to_owned(),
            rows,
            namespace: entry.namespace.clone(),
            manifest: &self.manifest,
        }
    }

    pub(crate) fn undo(&self, batch: &RecordBatch, file: &str) -> Result<RecordBatch> {
        let undone = self.mapping.undo(batch, &self.stored).map_err(|(row, fault)| {
            Error::damaged(format!("a record cannot be undone: {fault}")).with("file", file).with("row of batch", row)
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
        let data = self.manifest.files.keys().filter(|name| name.starts_with("data/")).map(String::as_str);
        let files: Vec<(PathBuf, String)> =
            [MANIFEST, MAPPING].into_iter().chain(data).map(|name| (self.root.join(name), name.to_owned())).collect();
        Ok(SourceIdentity::of(&files, self.hash_all)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        match &self.dump {
            None => Ok(Box::new(PreparedBundle { bundle: self })),
            Some(dump) => Ok(Box::new(PreparedDump::new(self, &**dump, context)?)),
        }
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
        self.bundle.form.read_memory_bytes(split.bytes) + 2 * tranship_connector::source::BATCH_BYTES as u64
    }

    fn open<'a>(&'a self, split: Split, _rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let bundle = self.bundle;
        let entry = bundle.manifest.files.get(&split.file).filter(|entry| entry.rows == Some(split.end));
        let entry = entry.ok_or_else(|| Error::bug(format!("{} is no split of this bundle", split.file)))?;
        let file = bundle.data_file(&split.file, entry, split.end);
        let label = file.label();
        let batches = bundle.form.read(file, &bundle.mapping, &bundle.stored)?;
        Ok(Box::new(Undone { bundle, batches, label, promised: split.end, found: 0, done: false }))
    }
}

/// The batches of one file, undone and counted.
struct Undone<'a> {
    bundle: &'a BundleSource,
    batches: Batches<'a>,
    label: String,
    promised: u64,
    found: u64,
    done: bool,
}

impl Iterator for Undone<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        match self.batches.next() {
            Some(Ok(batch)) => {
                self.found += batch.num_rows() as u64;
                Some(self.bundle.undo(&batch, &self.label))
            }
            Some(Err(error)) => {
                self.done = true;
                Some(Err(error))
            }
            None => {
                self.done = true;
                (self.found != self.promised).then(|| {
                    let what = format!("the file holds {} records, the manifest says {}", self.found, self.promised);
                    Err(Error::damaged(what).with("file", &self.label).hint("write the bundle anew"))
                })
            }
        }
    }
}
