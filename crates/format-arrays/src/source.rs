//! Matrices, ids and metadata as one collection.
//!
//! Invariant: row i of the matrices, id i and line i of the metadata are one record; their numbers agree, or `prepare`
//! fails. A split is a range of rows of one matrix. State is one number per 1024 lines of a side file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tranship_collection::schema::IdKinds;
use tranship_collection::{BatchBuilder, CollectionSchema, Element, VectorKind, VectorSpec};
use tranship_connector::{
    Batches, Error, OpenOptions, PrepareContext, Prepared, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_storage::{Blob, InputFile, Limits, Scratch, SourceIdentity};

use crate::ids::{Ids, IdsFrom};
use crate::matrix::Matrix;
use crate::npy::{self, Header};
use crate::number::Class;
use crate::open::{self, Found};
use crate::reader::{How, Reader};
use crate::side::Side;

/// One collection in array files.
pub struct ArraysSource {
    parts: Vec<(String, Matrix)>,
    files: Vec<PathBuf>,
    schema: CollectionSchema,
    how: How,
    ids: IdsFrom,
    metadata: Option<Blob>,
    notes: Vec<String>,
    limits: Limits,
    hash_source: bool,
}

impl ArraysSource {
    /// Opens the files and reads their headers.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let found = open::find(path, options)?;
        let how = how(&found, options)?;
        let ids = ids(&found, options)?;
        let metadata = options.option("metadata").map(|name| Blob::of_path(Path::new(name))).transpose()?;
        let schema = schema(&found, how, ids.expected());
        let mut files = found.files;
        files.extend(options.option("metadata").map(PathBuf::from));
        files.extend(options.option("ids").map(PathBuf::from).filter(|_| !ids_in_archive(&ids)));
        let mut notes = found.notes;
        notes.extend(how.note());
        let (limits, hash_source) = (options.limits.clone(), options.hash_source);
        Ok(ArraysSource { parts: found.parts, files, schema, how, ids, metadata, notes, limits, hash_source })
    }

    /// Rows of all matrices.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|(_, matrix)| matrix.rows).sum()
    }

    /// What is worth telling before anything is read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Source for ArraysSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files: Vec<(PathBuf, String)> = self.files.iter().map(|path| (path.clone(), name(path))).collect();
        Ok(SourceIdentity::of(&files, self.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let scratch = Scratch::new(Some(context.scratch))?;
        let rows = self.rows();
        let metadata = self.metadata.as_ref().map(|blob| Side::scan(blob, rows, &self.limits)).transpose()?;
        let (mut ids, mut kinds) = self.ids.settle(rows, scratch.path(), &self.limits)?;
        if let (Ids::Rows, Some(own)) = (&ids, metadata.as_ref().and_then(|side| side.ids)) {
            (ids, kinds) = (Ids::WithMetadata, own);
        }
        let mut parts = Vec::with_capacity(self.parts.len());
        let mut first_row = 0;
        for (name, matrix) in &self.parts {
            let bytes = matrix.bytes.settle(scratch.path(), "matrix.npy")?;
            parts.push(Part { name: name.clone(), matrix: Matrix { bytes, ..matrix.clone() }, first_row });
            first_row += matrix.rows;
        }
        let schema = CollectionSchema { ids: kinds, ..self.schema.clone() };
        let split_bytes = context.split_bytes;
        Ok(Box::new(ArraysPrepared { source: self, parts, ids, metadata, schema, split_bytes, _scratch: scratch }))
    }
}

/// One matrix of the collection.
struct Part {
    name: String,
    matrix: Matrix,
    /// Rows before it.
    first_row: u64,
}

struct ArraysPrepared<'a> {
    source: &'a ArraysSource,
    parts: Vec<Part>,
    ids: Ids,
    metadata: Option<Side>,
    schema: CollectionSchema,
    split_bytes: u64,
    /// Holds what was unpacked.
    _scratch: Scratch,
}

impl Prepared for ArraysPrepared<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        let rows = Some(self.source.rows());
        RowLedger { raw: rows, live: rows, ..RowLedger::default() }
    }

    fn notes(&self) -> Vec<String> {
        let metadata = self.metadata.as_ref().map(Side::note);
        self.source.notes.iter().cloned().chain(metadata).collect()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let several = self.parts.len() > 1;
        let ranges = self.parts.iter().flat_map(move |part| {
            let stride = part.matrix.stride();
            let per_split = (self.split_bytes / stride).max(1);
            (0..part.matrix.rows.div_ceil(per_split)).map(move |number| {
                let start = number * per_split;
                let end = part.matrix.rows.min(start + per_split);
                Split {
                    file: if several { part.name.clone() } else { String::new() },
                    start,
                    end,
                    bytes: (end - start) * stride,
                    first_row: part.first_row + start,
                    ..Split::default()
                }
            })
        });
        Ok(Box::new(ranges.enumerate().map(|(ordinal, split)| Ok(Split { ordinal: ordinal as u64, ..split }))))
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let part = self.parts.iter().find(|part| split.file.is_empty() || part.name == split.file);
        let part = part.ok_or_else(|| Error::bug(format!("a split names the unknown file {:?}", split.file)))?;
        let builder = BatchBuilder::new(Arc::new(self.schema.clone()))
            .map_err(|e| Error::bug("cannot build batches").caused_by(e))?;
        let first_row = part.first_row + split.start;
        Ok(Box::new(Reader {
            matrix: part.matrix.open()?,
            shape: &part.matrix,
            name: &part.name,
            how: self.source.how,
            next: split.start,
            end: split.end.min(part.matrix.rows),
            next_record: first_row,
            ids: self.ids.reader(first_row)?,
            metadata: self.metadata.as_ref().map(|side| side.reader(first_row)).transpose()?,
            builder,
            rejects,
            block: Vec::new(),
            row_ids: Vec::new(),
            failed: false,
        }))
    }
}

/// How numbers become elements.
fn how(found: &Found, options: &OpenOptions) -> Result<How> {
    let Some((name, matrix)) = found.parts.first() else {
        return Err(Error::not_recognised("there is no .npy file in the directory"));
    };
    let number = matrix.number;
    match options.option("bits") {
        Some("yes") if number.class == Class::Unsigned && number.bytes == 1 => return Ok(How::Bits),
        Some("yes") => {
            return Err(Error::usage(format!("`-o bits=yes` is for packed bits in u1, {name} has {}", number.name()))
                .hint("pack bits with np.packbits(a, axis=1)"));
        }
        Some("no") | None => {}
        Some(other) => {
            return Err(
                Error::usage(format!("`-o bits={other}` is unknown")).hint("give `-o bits=yes`, or leave it out")
            );
        }
    }
    Ok(match number.kept_as() {
        Some(element) => How::Kept(element),
        None => How::Widened { lossy: options.allow_lossy },
    })
}

/// Ids as `-o ids=` says: a member of the archive, else a file.
fn ids(found: &Found, options: &OpenOptions) -> Result<IdsFrom> {
    let Some(name) = options.option("ids") else { return Ok(IdsFrom::Rows) };
    if let Some(archive) = &found.archive
        && let Some((bytes, header)) = open::array_in(archive, name)?
    {
        return IdsFrom::array(bytes, header, name);
    }
    let path = Path::new(name);
    let blob = Blob::of_path(path)?;
    let mut head = [0; 6];
    let count = InputFile::open(path)?.read_at(0, &mut head)?;
    if head.get(..count).is_some_and(|head| head.starts_with(npy::MAGIC)) {
        let header = Header::read(&blob.open()?)?;
        return IdsFrom::array(crate::matrix::Bytes::Plain(blob), header, name);
    }
    let json = path.extension().is_some_and(|extension| extension == "jsonl" || extension == "ndjson");
    Ok(IdsFrom::Lines(blob, json))
}

fn ids_in_archive(ids: &IdsFrom) -> bool {
    matches!(ids, IdsFrom::Array(crate::matrix::Bytes::Member(..), ..))
}

fn schema(found: &Found, how: How, ids: IdKinds) -> CollectionSchema {
    let mut schema = CollectionSchema::new(&found.name);
    schema.ids = ids;
    let dim = found.parts.first().map_or(0, |(_, matrix)| matrix.dim);
    let (kind, element, dim) = match how {
        How::Kept(element) => (VectorKind::Dense, element, dim),
        How::Widened { .. } => (VectorKind::Dense, Element::F32, dim),
        How::Bits => (VectorKind::Bits, Element::U8, 8 * dim),
    };
    schema.vectors = vec![VectorSpec { kind, element, metric: found.metric, ..VectorSpec::dense("", dim) }];
    if let Some((_, matrix)) = found.parts.first() {
        let settings = serde_json::json!({ "element": matrix.number.name() });
        schema.vendor.insert("arrays".to_owned(), settings);
    }
    schema
}
