//! The form that one provider's import takes: the only thing that a provider writes itself.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::CollectionSchema;
use tranship_connector::{
    Batches, Error, Job, Mapping, OpenOptions, Result, Rules, ShardFile, ShardOutput, Source, Survey,
};
use tranship_storage::durable::sha256_bytes;
use tranship_storage::staging::JOB_DIR;
use tranship_storage::{DurableFile, InputFile, sha256_file};

use crate::deletes::Deletes;
use crate::facts::{Extra, Facts};
use crate::manifest::{FileEntry, Manifest};

/// How one provider's import wants records, and how to read that back.
pub trait Form: Send + Sync {
    /// What the target can hold.
    fn rules(&self) -> &'static Rules;

    /// What is wrong with a collection name at the target, if anything.
    fn name_fault(&self, name: &str) -> Option<String>;

    /// Settles what the rules cannot say: index settings, typed fields, vector names, the form's own notes. Adds losses
    /// to `mapping.losses`. Errors: what no consent can mend.
    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()>;

    /// Split size that suits the target, bytes of source.
    fn split_bytes(&self) -> u64 {
        tranship_connector::source::SPLIT_BYTES
    }

    /// Memory that one open shard needs, bytes.
    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64;

    /// Opens the files of one shard for records in `stored` ([`Mapping::stored_schema`]).
    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>>;

    /// Makes the data files that can only be made once all shards are there, out of what these left beside the output
    /// ([`Parts::create_beside`]).
    fn complete(&self, _finished: &Finished<'_>) -> Result<Vec<Part>> {
        Ok(Vec::new())
    }

    /// The files beside the data: schema, scripts, README.
    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>>;

    /// How ids are taken out of the target, for bundles of deltas; `None` for a form without.
    fn deletes(&self) -> Option<Deletes> {
        None
    }

    /// The data as the engine's own dump, for a form that writes one: it is read by the provider's reader, split by
    /// split, and its records are as [`Self::open`] was given them, but for vectors at unit length where
    /// [`Mapping::unit_in_bundle`] says so.
    fn dump(&self, _root: &Path, _options: &OpenOptions) -> Result<Option<Box<dyn Source>>> {
        Ok(None)
    }

    /// Memory that reading one data file of so many bytes needs.
    fn read_memory_bytes(&self, bytes: u64) -> u64;

    /// Reads one data file as batches of `stored`. What does not fit is damaged: the bundle is our own.
    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>>;
}

/// The data files of one shard under construction.
pub trait FormWriter {
    /// Appends a batch in the stored schema.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Completes the files.
    fn finish(self: Box<Self>) -> Result<Vec<Part>>;
}

/// All shards of a bundle, when the last one is written.
pub struct Finished<'a> {
    /// Where the files are made.
    pub job: &'a Job,
    /// How records changed form.
    pub mapping: &'a Mapping,
    /// In the order of the splits.
    pub shards: &'a [ShardOutput],
}

/// A finished data file.
#[derive(Debug, Clone)]
pub struct Part {
    /// The file; below `job/` it does not reach the output.
    pub file: ShardFile,
    /// Records in it; `None` for a file that belongs to another one and is not read by itself.
    pub rows: Option<u64>,
    /// The namespace of all its records, where files are divided by it.
    pub namespace: Option<String>,
}

/// Creates the data files of one shard.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    job: &'a Job,
    ordinal: u64,
}

impl<'a> Parts<'a> {
    /// The files of shard `ordinal`.
    pub fn new(job: &'a Job, ordinal: u64) -> Self {
        Parts { job, ordinal }
    }

    /// Position of the split.
    pub fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// Creates `data/<stem>-<ordinal>-<number>.<extension>`; `stem` may begin with folders.
    pub fn create(&self, stem: &str, number: usize, extension: &str) -> Result<DurableFile> {
        self.job.create(&format!("data/{stem}-{:05}-{number:03}.{extension}", self.ordinal))
    }

    /// Creates a file of the shard that does not reach the output: what [`Form::complete`] needs of it.
    pub fn create_beside(&self, stem: &str, extension: &str) -> Result<DurableFile> {
        self.job.create(&beside(stem, self.ordinal, extension))
    }

    /// Completes a file that [`Self::create_beside`] made under the same name.
    pub fn finish_beside(&self, file: DurableFile, stem: &str, extension: &str) -> Result<Part> {
        let digest = file.finish()?;
        let path = beside(stem, self.ordinal, extension);
        let file = ShardFile { path, bytes: digest.bytes, sha256: digest.sha256 };
        Ok(Part { file, rows: None, namespace: None })
    }

    /// Completes a file that [`Self::create`] made under the same name.
    pub fn finish(
        &self,
        file: DurableFile,
        name: (&str, usize, &str),
        rows: Option<u64>,
        namespace: Option<String>,
    ) -> Result<Part> {
        let (stem, number, extension) = name;
        let path = format!("data/{stem}-{:05}-{number:03}.{extension}", self.ordinal);
        let digest = file.finish()?;
        Ok(Part { file: ShardFile { path, bytes: digest.bytes, sha256: digest.sha256 }, rows, namespace })
    }
}

/// Path of a shard's file that does not reach the output.
pub fn beside(stem: &str, ordinal: u64, extension: &str) -> String {
    format!("{JOB_DIR}/{stem}-{ordinal:05}.{extension}")
}

/// Data files that are text: records one after another, cut at the target's limits.
pub struct TextParts<'a> {
    parts: Parts<'a>,
    shape: TextShape,
    done: Vec<Part>,
    open: Option<(DurableFile, u64)>,
}

/// What stands around the records of a text file, and how long it may become.
#[derive(Debug, Clone, Copy)]
pub struct TextShape {
    /// File name before the ordinal.
    pub stem: &'static str,
    /// Extension, without dot.
    pub extension: &'static str,
    /// Before the first record.
    pub start: &'static [u8],
    /// Between two records.
    pub between: &'static [u8],
    /// After the last record.
    pub end: &'static [u8],
    /// Most bytes of a file.
    pub max_bytes: u64,
    /// Most records of a file.
    pub max_rows: u64,
}

impl<'a> TextParts<'a> {
    /// The text files of one shard.
    pub fn new(parts: Parts<'a>, shape: TextShape) -> Self {
        TextParts { parts, shape, done: Vec::new(), open: None }
    }

    /// Appends one record; `id` is for the error of one that no file can hold.
    pub fn push(&mut self, record: &[u8], id: &str) -> Result<()> {
        let shape = self.shape;
        let needed = (record.len() + shape.between.len() + shape.end.len()) as u64;
        if needed + shape.start.len() as u64 > shape.max_bytes {
            return Err(Error::limit(format!(
                "record `{id}` takes {} bytes, a file of the target has at most {}",
                record.len(),
                shape.max_bytes
            ))
            .hint("shorten its document or metadata, or set the record aside"));
        }
        let full =
            |(file, rows): &(DurableFile, u64)| file.bytes() + needed > shape.max_bytes || *rows >= shape.max_rows;
        if self.open.as_ref().is_some_and(full) {
            self.close()?;
        }
        let (mut file, rows) = match self.open.take() {
            Some((mut file, rows)) => {
                file.write_all(shape.between)?;
                (file, rows)
            }
            None => {
                let mut file = self.parts.create(shape.stem, self.done.len(), shape.extension)?;
                file.write_all(shape.start)?;
                (file, 0)
            }
        };
        file.write_all(record)?;
        self.open = Some((file, rows + 1));
        Ok(())
    }

    /// Completes the files.
    pub fn finish(mut self) -> Result<Vec<Part>> {
        self.close()?;
        Ok(self.done)
    }

    fn close(&mut self) -> Result<()> {
        if let Some((mut file, rows)) = self.open.take() {
            file.write_all(self.shape.end)?;
            let name = (self.shape.stem, self.done.len(), self.shape.extension);
            self.done.push(self.parts.finish(file, name, Some(rows), None)?);
        }
        Ok(())
    }
}

/// A data file of a bundle that is read back.
#[derive(Clone)]
pub struct DataFile<'a> {
    /// The bundle's directory.
    pub root: PathBuf,
    /// Path within it.
    pub name: String,
    /// Records that the manifest promises.
    pub rows: u64,
    /// The namespace of all its records, where files are divided by it.
    pub namespace: Option<String>,
    /// What the bundle consists of.
    pub manifest: &'a Manifest,
}

impl DataFile<'_> {
    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// For messages.
    pub fn label(&self) -> String {
        self.path().display().to_string()
    }

    /// An error about this file.
    pub fn damaged(&self, what: impl Into<String>) -> Error {
        Error::damaged(what)
            .with("file", self.path().display())
            .hint("copy the bundle again, or write it anew from the source")
    }

    /// The whole file, which is what the manifest says.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        read_listed(&self.root, &self.name, self.entry(&self.name)?)
    }

    /// Proves without keeping it that the file is what the manifest says, and gives its path.
    pub fn checked_path(&self) -> Result<PathBuf> {
        self.checked_sibling(&self.name)
    }

    /// The same for another file of the bundle that belongs to this one.
    pub fn checked_sibling(&self, name: &str) -> Result<PathBuf> {
        let (entry, path) = (self.entry(name)?, self.root.join(name));
        let found = sha256_file(&path)?;
        if found.bytes != entry.bytes || found.sha256 != entry.sha256 {
            return Err(not_listed(&path, "is not what the manifest says"));
        }
        Ok(path)
    }

    fn entry(&self, name: &str) -> Result<&FileEntry> {
        self.manifest.files.get(name).ok_or_else(|| self.damaged(format!("the manifest lists no {name}")))
    }
}

fn not_listed(path: &std::path::Path, what: &str) -> Error {
    Error::damaged(format!("the file {what}"))
        .with("file", path.display())
        .hint("copy the bundle again, or write it anew from the source")
}

/// Reads a file of the bundle and compares it with its entry.
pub fn read_listed(root: &std::path::Path, name: &str, entry: &FileEntry) -> Result<Vec<u8>> {
    let path = root.join(name);
    let found = InputFile::open(&path)?.len();
    if found != entry.bytes {
        return Err(not_listed(&path, &format!("has {found} bytes, the manifest says {}", entry.bytes)));
    }
    let bytes = read_whole(&path, entry.bytes)?;
    if sha256_bytes(&bytes) != entry.sha256 {
        return Err(not_listed(&path, "does not have the SHA-256 of the manifest"));
    }
    Ok(bytes)
}

/// Reads a file of at most `limit` bytes.
pub fn read_whole(path: &std::path::Path, limit: u64) -> Result<Vec<u8>> {
    let file = InputFile::open(path)?;
    if file.len() > limit {
        return Err(Error::limit(format!("the file has {} bytes, the limit is {limit}", file.len()))
            .with("file", path.display())
            .hint("divide it into smaller files"));
    }
    let mut bytes = vec![0; file.len() as usize];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}
