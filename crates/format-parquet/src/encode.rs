//! Writes one collection, or one part of it, as a plain Parquet file.
//!
//! Invariant: the same rows under the same schema give the same bytes, however they were cut into batches: row groups
//! are cut by the sizes of the rows alone, and a row group is encoded in one piece.
//!
//! | column | Parquet type | encoding |
//! |---|---|---|
//! | `id`, `document`, `metadata` | BYTE_ARRAY (UTF8) | PLAIN + zstd |
//! | `id_kind` | INT32 (UINT_8) | dictionary + zstd |
//! | `namespace` | BYTE_ARRAY (UTF8) | dictionary + zstd |
//! | vectors of `f32` | LIST of FLOAT, three levels, elements required | BYTE_STREAM_SPLIT + zstd, or PLAIN + zstd |
//! | vectors of other elements | LIST | PLAIN or dictionary + zstd |
//!
//! No Arrow schema is embedded, so that every reader sees `list<float>`. The collection schema stands as JSON in the
//! file's key-value metadata. Page format 1, for the oldest readers. Source: apache/parquet-format 2.11.

use std::io::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use tranship_collection::layout::{self, ID, ID_KIND, NAMESPACE, SCHEMA_KEY};
use tranship_collection::{BatchView, CollectionSchema};
use tranship_connector::{Error, Result};

use crate::columns::{plain_batch, plain_schema, row_bytes};
use crate::error::parquet_error;

/// Bytes of rows in one row group; part of the format of deterministic output.
pub const GROUP_BYTES: usize = 16 << 20;
/// Rows in one row group at most.
pub const GROUP_ROWS: usize = 65_536;
const CREATED_BY: &str = concat!("tranship version ", env!("CARGO_PKG_VERSION"));
const VECTOR_ZSTD: i32 = 1;
const TEXT_ZSTD: i32 = 3;

/// How a part is encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// PLAIN instead of BYTE_STREAM_SPLIT, for readers that do not know it.
    pub plain: bool,
}

/// What a finished part holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartStats {
    /// Records.
    pub rows: u64,
    /// Row groups.
    pub row_groups: u64,
}

/// Writes batches of one collection to one Parquet file. Holds at most one row group, encoded and not.
pub struct PartEncoder<W: Write + Send> {
    schema: Arc<CollectionSchema>,
    canonical: SchemaRef,
    plain: SchemaRef,
    writer: ArrowWriter<W>,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    pending_bytes: usize,
    stats: PartStats,
}

impl<W: Write + Send> PartEncoder<W> {
    /// Begins a file for batches of `schema`.
    pub fn new(writer: W, schema: &CollectionSchema, options: EncodeOptions) -> Result<Self> {
        let canonical = layout::arrow_schema(schema);
        let plain = plain_schema(&canonical);
        let properties = properties(schema, &plain, options)?;
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer =
            ArrowWriter::try_new_with_options(writer, plain.clone(), options).map_err(|e| parquet_error("write", e))?;
        Ok(PartEncoder {
            schema: Arc::new(schema.clone()),
            canonical,
            plain,
            writer,
            pending: Vec::new(),
            pending_rows: 0,
            pending_bytes: 0,
            stats: PartStats::default(),
        })
    }

    /// Appends a batch in the canonical layout of the schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let schema = self.schema.clone();
        let view = BatchView::new(batch, &schema).map_err(bad_batch)?;
        let mut start = 0;
        for row in 0..view.len() {
            let bytes = row_bytes(&view, &schema, row);
            let rows = self.pending_rows + row - start;
            if rows > 0 && (rows == GROUP_ROWS || self.pending_bytes + bytes > GROUP_BYTES) {
                self.keep(batch, start, row);
                self.flush_group()?;
                start = row;
            }
            self.pending_bytes += bytes;
        }
        self.keep(batch, start, view.len());
        Ok(())
    }

    /// Completes the file and gives the writer back.
    pub fn finish(mut self) -> Result<(W, PartStats)> {
        self.flush_group()?;
        let writer = self.writer.into_inner().map_err(|e| parquet_error("write", e))?;
        Ok((writer, self.stats))
    }

    fn keep(&mut self, batch: &RecordBatch, start: usize, end: usize) {
        if end > start {
            self.pending.push(batch.slice(start, end - start));
            self.pending_rows += end - start;
        }
    }

    fn flush_group(&mut self) -> Result<()> {
        let pieces = std::mem::take(&mut self.pending);
        let rows = std::mem::take(&mut self.pending_rows);
        self.pending_bytes = 0;
        if rows == 0 {
            return Ok(());
        }
        let group = match pieces.as_slice() {
            [whole] => whole.clone(),
            pieces => concat_batches(&self.canonical, pieces).map_err(|e| Error::bug("batches differ").caused_by(e))?,
        };
        drop(pieces);
        let group = plain_batch(&group, &self.plain).map_err(bad_batch)?;
        self.writer.write(&group).map_err(|e| parquet_error("write", e))?;
        self.writer.flush().map_err(|e| parquet_error("write", e))?;
        self.stats.rows += rows as u64;
        self.stats.row_groups += 1;
        Ok(())
    }
}

/// Memory that an encoder needs at most, bytes: a row group as batches, in one piece, as levels and encoded.
pub fn encoder_memory_bytes(schema: &CollectionSchema) -> u64 {
    let widest = GROUP_BYTES.max(schema.dense_row_bytes()) as u64;
    6 * widest
}

fn properties(schema: &CollectionSchema, plain: &SchemaRef, options: EncodeOptions) -> Result<WriterProperties> {
    let json = serde_json::to_string(schema).map_err(|e| Error::bug("a schema cannot be serialised").caused_by(e))?;
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_coerce_types(true)
        .set_max_row_group_row_count(Some(usize::MAX))
        .set_key_value_metadata(Some(vec![KeyValue::new(SCHEMA_KEY.to_owned(), json)]))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(TEXT_ZSTD).map_err(|e| parquet_error("write", e))?))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None);
    let columns = parquet_schema(plain)?;
    for (position, column) in columns.columns().iter().enumerate() {
        properties = column_properties(properties, columns.get_column_root(position).name(), column, options)?;
    }
    Ok(properties.build())
}

fn parquet_schema(plain: &SchemaRef) -> Result<SchemaDescriptor> {
    ArrowSchemaConverter::new().with_coerce_types(true).convert(plain).map_err(|e| parquet_error("write", e))
}

fn column_properties(
    properties: WriterPropertiesBuilder,
    root: &str,
    column: &Arc<ColumnDescriptor>,
    options: EncodeOptions,
) -> Result<WriterPropertiesBuilder> {
    let path = column.path().clone();
    Ok(match root {
        ID => properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk),
        ID_KIND | NAMESPACE => properties
            .set_column_dictionary_enabled(path.clone(), true)
            .set_column_statistics_enabled(path, EnabledStatistics::Chunk),
        layout::DOCUMENT | layout::METADATA => properties,
        _ => {
            let level = ZstdLevel::try_new(VECTOR_ZSTD).map_err(|e| parquet_error("write", e))?;
            let properties = properties.set_column_compression(path.clone(), Compression::ZSTD(level));
            match column.physical_type() {
                Type::FLOAT if options.plain => properties.set_column_encoding(path, Encoding::PLAIN),
                Type::FLOAT => properties.set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT),
                // Bytes take four bytes each as INT32: 256 values make a good dictionary.
                Type::INT32 => properties.set_column_dictionary_enabled(path, true),
                _ => properties,
            }
        }
    })
}

fn bad_batch(fault: tranship_collection::Fault) -> Error {
    Error::bug("a batch does not fit the collection it is written to").caused_by(fault)
}
