//! Reads one Parquet file, or a directory of them in the order of their names.
//!
//! A split is a range of row groups of one file, cut after about `split_bytes` uncompressed bytes. Invariant: all files
//! have the columns (ours: the collection schema) of the first. Nothing but footers is read before a split is opened,
//! except for the dimension of a foreign vector column.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tranship_collection::{BatchBuilder, CollectionSchema};
use tranship_connector::{
    Batches, Error, OpenOptions, PrepareContext, Prepared, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_storage::{Limits, SourceIdentity, StorageError};

use crate::decode::{PartFile, RowGroupInfo};
use crate::dialects::{self, Found, FoundFile};
use crate::error::not_supported;
use crate::foreign::{ForeignColumns, find_dim};
use crate::foreign_rows::{ForeignBatches, other_columns};

/// Parquet files that make one collection.
pub struct ParquetSource {
    files: Vec<ParquetFile>,
    schema: CollectionSchema,
    /// `None` for our own files.
    foreign: Option<ForeignColumns>,
    producer: Option<String>,
    /// Files beside the data that the source consists of.
    others: Vec<PathBuf>,
    notes: Vec<String>,
    limits: Limits,
    hash_source: bool,
}

struct ParquetFile {
    path: PathBuf,
    /// The file's path below the source.
    name: String,
    /// The namespace of all its records.
    namespace: Option<String>,
    rows_before: u64,
    row_groups: Vec<RowGroupInfo>,
}

impl ParquetSource {
    /// Opens a file or directory and reads the footers.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let found = dialects::find(path, options)?;
        let options = &found.options;
        let open = |file: &FoundFile| PartFile::open(&file.path, &options.limits);
        let parts = found.files.iter().map(open).collect::<Result<Vec<PartFile>>>()?;
        let first = parts.first().ok_or_else(|| no_files(path))?;
        let differs = |part: &&PartFile| match (first.schema(), part.schema()) {
            (None, None) => part.arrow_schema() != first.arrow_schema(),
            (ours, other) => ours != other,
        };
        if let Some(part) = parts.iter().find(differs) {
            return Err(other_columns(part.path(), first.path()));
        }
        let (schema, foreign) = match first.schema() {
            Some(schema) => (schema.clone(), None),
            None => foreign_schema(path, &parts, &found)?,
        };
        if let Some(asked) = options.collection.as_ref().filter(|asked| **asked != schema.name) {
            return Err(Error::usage(format!("there is no collection `{asked}` in {}", path.display()))
                .hint(format!("leave out --collection: there is one, `{}`", schema.name)));
        }
        let producer = first.created_by().map(str::to_owned);
        Ok(ParquetSource {
            files: described(&parts, &found.files),
            others: found.others,
            notes: found.notes,
            schema,
            foreign,
            producer,
            limits: options.limits.clone(),
            hash_source: options.hash_source,
        })
    }

    /// Rows in all files, as their footers state.
    pub fn rows(&self) -> u64 {
        self.files.last().map_or(0, |file| file.rows_before + rows(&file.row_groups))
    }

    /// Who wrote the first file, as it says.
    pub fn producer(&self) -> Option<&str> {
        self.producer.as_deref()
    }
}

impl Source for ParquetSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let other =
            |path: &PathBuf| (path.clone(), path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let data = self.files.iter().map(|file| (file.path.clone(), file.name.clone()));
        let files: Vec<(PathBuf, String)> = self.others.iter().map(other).chain(data).collect();
        Ok(SourceIdentity::of(&files, self.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        Ok(Box::new(ParquetPrepared { source: self, split_bytes: context.split_bytes }))
    }
}

struct ParquetPrepared<'a> {
    source: &'a ParquetSource,
    split_bytes: u64,
}

impl Prepared for ParquetPrepared<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.source.schema
    }

    fn ledger(&self) -> RowLedger {
        let rows = self.source.rows();
        // How many rows of a foreign file are records is known when they have been read.
        let live = self.source.foreign.is_none().then_some(rows);
        RowLedger { raw: Some(rows), live, ..RowLedger::default() }
    }

    fn notes(&self) -> Vec<String> {
        let columns = self.source.foreign.as_ref().map(ForeignColumns::notes).unwrap_or_default();
        self.source.notes.iter().cloned().chain(columns).collect()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let ranges = self.source.files.iter().flat_map(|file| file.splits(self.split_bytes));
        Ok(Box::new(ranges.enumerate().map(|(ordinal, split)| Ok(Split { ordinal: ordinal as u64, ..split }))))
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let source = self.source;
        let file = source.files.iter().find(|file| file.name == split.file);
        let file = file.ok_or_else(|| Error::bug(format!("a split names the unknown file {:?}", split.file)))?;
        let part = PartFile::open(&file.path, &source.limits)?;
        if part.row_groups() != file.row_groups {
            return Err(Error::new(tranship_connector::ErrorKind::Changing, "the file changed while it was read")
                .with("file", file.path.display()));
        }
        let groups = split.start as usize..split.end as usize;
        let schema = Arc::new(source.schema.clone());
        match &source.foreign {
            None => Ok(Box::new(part.batches(groups, schema)?)),
            Some(columns) => Ok(Box::new(ForeignBatches {
                path: &file.path,
                raw: part.raw_batches(groups, None)?,
                columns,
                builder: BatchBuilder::new(schema).map_err(|e| Error::bug("cannot build batches").caused_by(e))?,
                rows_before: file.rows_before,
                namespace: file.namespace.as_deref(),
                rejects,
                pending: None,
                ended: false,
                scratch: Default::default(),
            })),
        }
    }
}

impl ParquetFile {
    fn splits(&self, split_bytes: u64) -> Vec<Split> {
        let mut splits: Vec<Split> = Vec::new();
        for (position, group) in self.row_groups.iter().enumerate() {
            match splits.last_mut() {
                Some(split) if split.bytes < split_bytes => {
                    split.end += 1;
                    split.bytes += group.bytes;
                }
                _ => splits.push(Split {
                    file: self.name.clone(),
                    start: position as u64,
                    end: position as u64 + 1,
                    bytes: group.bytes,
                    first_row: self.rows_before + group.first_row,
                    ..Split::default()
                }),
            }
        }
        splits
    }
}

fn described(parts: &[PartFile], found: &[FoundFile]) -> Vec<ParquetFile> {
    let mut rows_before = 0;
    let describe = |(part, found): (&PartFile, &FoundFile)| {
        let file = ParquetFile {
            path: part.path().to_owned(),
            name: found.name.clone(),
            namespace: found.namespace.clone(),
            rows_before,
            row_groups: part.row_groups().to_vec(),
        };
        rows_before += part.rows();
        file
    };
    parts.iter().zip(found).map(describe).collect()
}

fn foreign_schema(
    path: &Path,
    parts: &[PartFile],
    found: &Found,
) -> Result<(CollectionSchema, Option<ForeignColumns>)> {
    let options = &found.options;
    let first = parts.first().ok_or_else(|| no_files(path))?;
    let columns = ForeignColumns::find(first, options)?;
    let dim = match &columns.vector {
        Some(column) => find_dim(parts, column, options.limits.max_dim)?,
        None => None,
    };
    let name = path.file_stem().map_or_else(|| "collection".into(), OsStr::to_string_lossy);
    let mut schema = columns.schema(found.name.as_deref().unwrap_or(&name), dim);
    schema.namespaced = found.namespaced;
    for spec in schema.vectors.iter_mut().filter(|spec| spec.name.is_empty()) {
        spec.metric = found.metric;
        spec.model.clone_from(&found.model);
    }
    Ok((schema, Some(columns)))
}

fn rows(row_groups: &[RowGroupInfo]) -> u64 {
    row_groups.iter().map(|group| group.rows).sum()
}

fn no_files(path: &Path) -> Error {
    not_supported(path, "there is no *.parquet file in the directory").hint("name the directory that holds the files")
}

/// The file itself, or the `*.parquet` files of a directory in the order of their names.
pub fn parquet_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |e| Error::from(StorageError::new("list", path, e));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension() == Some(OsStr::new("parquet")) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
