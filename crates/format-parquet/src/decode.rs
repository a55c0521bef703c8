//! Reads Parquet files: footer and row groups, and our own parts back into the canonical layout.
//!
//! Invariant: lengths that the footer states lie within the file before anything is allocated for them, every vector
//! has exactly the schema's dimension, and what the Parquet crate panics about is damage of the file. Rows are counted
//! from the start of the file. Vector pages that we built are read by [`vector_decode`](crate::vector_decode), all else by
//! the Parquet crate.
//!
//! Errors: not Parquet, encrypted (not recognised); cut short, contradicting itself, columns other than the schema's
//! (damaged, with file and row). Source: apache/parquet-format 2.11.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::schema::types::SchemaDescriptor;
use tranship_collection::layout::{self, SCHEMA_KEY};
use tranship_collection::{CollectionSchema, Fault};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, ErrorKind, Result};
use tranship_storage::{InputFile, Limits, StorageError};

use crate::columns::canonical_column;
use crate::encode::{PAGES_KEY, PAGES_KIND};
use crate::error::{damaged, guarded, not_supported};
use crate::vector_decode::{ChunkPlace, VectorReader};
use crate::vector_encode::dense_dim;

const MAGIC: &[u8] = b"PAR1";
const ENCRYPTED: &[u8] = b"PARE";
/// Rows in one batch at most, however small they are.
const BATCH_ROWS: u64 = 8192;

/// A Parquet file whose footer has been read and checked.
pub struct PartFile {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    schema: Option<CollectionSchema>,
    row_groups: Vec<RowGroupInfo>,
    limits: Limits,
}

/// One row group, as the footer has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowGroupInfo {
    /// Rows of the file before this group.
    pub first_row: u64,
    /// Rows in the group.
    pub rows: u64,
    /// Bytes of the group before compression.
    pub bytes: u64,
}

impl PartFile {
    /// Reads the footer of `path`.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let len = check_envelope(path, limits)?;
        let file = open_file(path)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = guarded(path, "Parquet footer", || ArrowReaderMetadata::load(&file, options))?;
        let row_groups = guarded(path, "Parquet footer", || row_groups(&metadata, len))?;
        let schema = collection_schema(&metadata, path)?;
        Ok(PartFile { path: path.to_owned(), metadata, schema, row_groups, limits: limits.clone() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The collection schema, if the file is one of ours.
    pub fn schema(&self) -> Option<&CollectionSchema> {
        self.schema.as_ref()
    }

    /// The columns as a plain Parquet reader sees them.
    pub fn arrow_schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// The columns as the file states them.
    pub fn parquet_schema(&self) -> &SchemaDescriptor {
        self.metadata.parquet_schema()
    }

    /// The producer, as the file names it.
    pub fn created_by(&self) -> Option<&str> {
        self.metadata.metadata().file_metadata().created_by()
    }

    /// The row groups in order.
    pub fn row_groups(&self) -> &[RowGroupInfo] {
        &self.row_groups
    }

    /// Rows in the file.
    pub fn rows(&self) -> u64 {
        self.row_groups.iter().map(|group| group.rows).sum()
    }

    /// Batches of `groups` in the canonical layout of `target`.
    pub fn batches(&self, groups: Range<usize>, target: Arc<CollectionSchema>) -> Result<PartBatches> {
        let arrow = layout::arrow_schema(&target);
        let names: Vec<&str> = arrow.fields().iter().map(|field| field.name().as_str()).collect();
        if let Some(missing) = names.iter().find(|name| self.arrow_schema().column_with_name(name).is_none()) {
            return Err(damaged(&self.path, format!("there is no column `{missing}`")));
        }
        let vectors = self.vector_readers(groups.clone(), &arrow)?;
        let by_hand = |name: &&str| vectors.iter().any(|vector| vector.name() == *name);
        let names: Vec<&str> = names.into_iter().filter(|name| !by_hand(name)).collect();
        let raw = self.raw_batches(groups, Some(&names))?;
        Ok(PartBatches { raw, vectors, arrow })
    }

    /// Readers of the columns of `arrow` whose pages we built in all of `groups`.
    fn vector_readers(&self, groups: Range<usize>, arrow: &SchemaRef) -> Result<Vec<VectorReader>> {
        if metadata_value(&self.metadata, PAGES_KEY) != Some(PAGES_KIND) {
            return Ok(Vec::new());
        }
        let file = Arc::new(InputFile::open(&self.path)?);
        let columns = arrow.fields().iter().filter_map(|field| self.vector_chunks(field, groups.clone()));
        columns.map(|(field, dim, chunks)| VectorReader::new(file.clone(), field, dim, chunks, &self.limits)).collect()
    }

    fn vector_chunks<'a>(&self, field: &'a Field, groups: Range<usize>) -> Option<(&'a Field, usize, Vec<ChunkPlace>)> {
        let parquet = self.parquet_schema();
        let mut leaves =
            (0..parquet.num_columns()).filter(|leaf| parquet.get_column_root(*leaf).name() == field.name());
        let (leaf, None) = (leaves.next()?, leaves.next()) else { return None };
        let dim = dense_dim(field, &parquet.column(leaf))?;
        let place = |group: usize| {
            let rows = self.row_groups.get(group)?.rows;
            ChunkPlace::of(self.metadata.metadata().row_groups().get(group)?.columns().get(leaf)?, rows)
        };
        let chunks: Option<Vec<ChunkPlace>> = groups.map(place).collect();
        Some((field, dim, chunks?))
    }

    /// Batches of `groups` as a plain Parquet reader sees them; of all columns, or of the top-level ones in `names`.
    pub fn raw_batches(&self, groups: Range<usize>, names: Option<&[&str]>) -> Result<RawBatches> {
        let infos = self.row_groups.get(groups.clone()).unwrap_or(&[]);
        let mask = match names {
            Some(names) => {
                let parquet = self.parquet_schema();
                let leaves =
                    (0..parquet.num_columns()).filter(|leaf| names.contains(&parquet.get_column_root(*leaf).name()));
                ProjectionMask::leaves(parquet, leaves)
            }
            None => ProjectionMask::all(),
        };
        let file = open_file(&self.path)?;
        let reader = guarded(&self.path, "Parquet pages", || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(groups.collect())
                .with_projection(mask)
                .with_batch_size(rows_per_batch(infos))
                .build()
        })?;
        Ok(RawBatches {
            path: self.path.clone(),
            reader,
            next_row: infos.first().map_or(0, |group| group.first_row),
            rows_left: infos.iter().map(|group| group.rows).sum(),
        })
    }
}

/// Batches as a plain Parquet reader sees them, each with the number of its first row in the file.
pub struct RawBatches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    next_row: u64,
    rows_left: u64,
}

impl RawBatches {
    fn read(&mut self) -> Result<Option<(u64, RecordBatch)>> {
        let (path, reader, row) = (&self.path, &mut self.reader, self.next_row);
        let read = guarded(path, "Parquet pages", || reader.next().transpose()).map_err(|e| e.with("row", row))?;
        let Some(batch) = read else {
            return match self.rows_left {
                0 => Ok(None),
                left => Err(damaged(path, format!("{left} rows fewer than the footer states")).with("row", row)),
            };
        };
        let rows = batch.num_rows() as u64;
        self.rows_left = self.rows_left.checked_sub(rows).ok_or_else(|| damaged(path, "more rows than stated"))?;
        self.next_row += rows;
        Ok(Some((row, batch)))
    }
}

impl Iterator for RawBatches {
    type Item = Result<(u64, RecordBatch)>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.read();
        if item.is_err() {
            // What follows a damaged page is not to be trusted, nor is it missing rows.
            self.rows_left = 0;
        }
        item.transpose()
    }
}

/// Batches of one of our parts, in the canonical layout.
pub struct PartBatches {
    raw: RawBatches,
    vectors: Vec<VectorReader>,
    arrow: SchemaRef,
}

impl PartBatches {
    fn canonical(&mut self, first_row: u64, batch: &RecordBatch) -> Result<RecordBatch> {
        let PartBatches { raw, vectors, arrow } = self;
        let canonical = |field: &Arc<Field>| {
            if let Some(vector) = vectors.iter_mut().find(|vector| vector.name() == field.name()) {
                return vector.take(batch.num_rows()).map_err(|e| e.with("row", first_row));
            }
            let column = batch.column_by_name(field.name());
            let column = column.ok_or_else(|| Fault::Layout { reason: format!("no column `{}`", field.name()) });
            column
                .and_then(|column| canonical_column(column, field, first_row))
                .map_err(|fault| damaged(&raw.path, fault))
        };
        let columns = arrow.fields().iter().map(canonical).collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(arrow.clone(), columns).map_err(|e| damaged(&raw.path, e))
    }
}

impl Iterator for PartBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.raw.next()?;
        Some(item.and_then(|(first_row, batch)| self.canonical(first_row, &batch)))
    }
}

/// Checks magic and footer length and gives the file's length.
fn check_envelope(path: &Path, limits: &Limits) -> Result<u64> {
    let file = InputFile::open(path)?;
    let (mut head, mut tail) = ([0u8; 4], [0u8; 8]);
    let seen = file.read_at(0, &mut head)?;
    if seen < 4 || (head != MAGIC && head != ENCRYPTED) {
        return Err(not_supported(path, "this is not Parquet: it does not begin with PAR1").hint("name another format"));
    }
    let truncated = || {
        damaged(path, "the Parquet file is cut short: it does not end with PAR1")
            .with("byte", file.len())
            .hint("copy the file again: the footer at its end is missing")
    };
    if file.len() < 12 {
        return Err(truncated());
    }
    file.read_exact_at(file.len() - 8, &mut tail)?;
    let [a, b, c, d, magic @ ..] = tail;
    match magic.as_slice() {
        MAGIC => {}
        ENCRYPTED => {
            return Err(not_supported(path, "the Parquet file is encrypted").hint("decrypt it with its own tool first"));
        }
        _ => return Err(truncated()),
    }
    let footer = u64::from(u32::from_le_bytes([a, b, c, d]));
    if footer > file.len() - 12 {
        let reason = format!("the footer claims {footer} bytes of a file of {}", file.len());
        return Err(damaged(path, reason).with("byte", file.len() - 8));
    }
    if footer > limits.max_page_bytes as u64 {
        return Err(Error::limit(format!(
            "the footer is {footer} bytes, more than {} are not read",
            limits.max_page_bytes
        ))
        .with("file", path.display()));
    }
    Ok(file.len())
}

fn open_file(path: &Path) -> Result<File> {
    Ok(File::open(path).map_err(|e| StorageError::new("open", path, e))?)
}

/// The row groups, once every column chunk is known to lie within the file.
fn row_groups(metadata: &ArrowReaderMetadata, len: u64) -> std::result::Result<Vec<RowGroupInfo>, String> {
    let mut first_row = 0u64;
    let mut infos = Vec::new();
    for (number, group) in metadata.metadata().row_groups().iter().enumerate() {
        let size = |value: i64| u64::try_from(value).map_err(|_| format!("row group {number} has a negative size"));
        let rows = size(group.num_rows())?;
        for column in group.columns() {
            let start = size(column.dictionary_page_offset().unwrap_or(column.data_page_offset()))?;
            let length = size(column.compressed_size())?;
            if start.checked_add(length).is_none_or(|end| end > len) {
                let name = column.column_path();
                return Err(format!("column {name} of row group {number} ends after byte {len}, the end of the file"));
            }
        }
        infos.push(RowGroupInfo { first_row, rows, bytes: size(group.total_byte_size())? });
        first_row = first_row.checked_add(rows).ok_or("more rows than can be counted")?;
    }
    Ok(infos)
}

fn metadata_value<'a>(metadata: &'a ArrowReaderMetadata, key: &str) -> Option<&'a str> {
    let pairs = metadata.metadata().file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
}

fn collection_schema(metadata: &ArrowReaderMetadata, path: &Path) -> Result<Option<CollectionSchema>> {
    let Some(text) = metadata_value(metadata, SCHEMA_KEY) else {
        return Ok(None);
    };
    serde_json::from_str(text).map(Some).map_err(|e| {
        Error::new(ErrorKind::Damaged, format!("the collection schema under {SCHEMA_KEY} is not readable"))
            .with("file", path.display())
            .hint("the file may come from a newer tranship")
            .caused_by(e)
    })
}

/// Rows that make about [`BATCH_BYTES`] in the widest of the groups.
fn rows_per_batch(groups: &[RowGroupInfo]) -> usize {
    let widest = groups.iter().map(|group| group.bytes / group.rows.max(1)).max().unwrap_or(0);
    (BATCH_BYTES as u64 / widest.max(1)).clamp(1, BATCH_ROWS) as usize
}
