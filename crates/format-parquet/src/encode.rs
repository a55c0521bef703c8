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
//! | vectors of `f16` | LIST of FIXED_LEN_BYTE_ARRAY(2), elements required | PLAIN + zstd |
//! | vectors of other elements, sparse and multi | LIST, also in groups | PLAIN or dictionary + zstd |
//!
//! No Arrow schema is embedded, so that every reader sees `list<float>`. The collection schema stands as JSON in the
//! file's key-value metadata, and [`PAGES_KEY`] tells our own reader what pages it meets. Page format 1, for the oldest
//! readers. Source: apache/parquet-format 2.11.

use std::io::Write;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions, compute_leaves,
};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use tranship_collection::layout::{self, ID, ID_KIND, NAMESPACE, SCHEMA_KEY};
use tranship_collection::{BatchView, CollectionSchema};
use tranship_connector::{Error, Result};

use crate::columns::{layout_fault, plain_column, plain_schema, row_bytes};
use crate::error::parquet_error;
use crate::vector_encode::{VectorColumn, VectorEncoder};

/// Bytes of rows in one row group; part of the format of deterministic output.
pub const GROUP_BYTES: usize = 16 << 20;
/// Rows in one row group at most.
pub const GROUP_ROWS: usize = 65_536;
/// Key of the kind of vector pages in the file's metadata. Parts of earlier versions have none.
pub const PAGES_KEY: &str = "tranship.vector_pages";
/// The kind that is written.
pub const PAGES_KIND: &str = "1";
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
    plain: SchemaRef,
    writer: SerializedFileWriter<W>,
    arrow_writers: ArrowRowGroupWriterFactory,
    /// For each column whether its pages are built by hand.
    vectors: Vec<Option<VectorColumn>>,
    vector_encoder: VectorEncoder,
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
        let arrow_options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let (writer, arrow_writers) = ArrowWriter::try_new_with_options(writer, plain.clone(), arrow_options)
            .and_then(ArrowWriter::into_serialized_writer)
            .map_err(|e| parquet_error("write", e))?;
        let vectors = vector_columns(&canonical, writer.schema_descr(), options);
        Ok(PartEncoder {
            schema: Arc::new(schema.clone()),
            plain,
            writer,
            arrow_writers,
            vectors,
            vector_encoder: VectorEncoder::new()?,
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
        let failed = |e| parquet_error("write", e);
        let number = self.stats.row_groups as usize;
        let mut leaves = self.arrow_writers.create_column_writers(number).map_err(failed)?.into_iter();
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for (position, vector) in self.vectors.iter().enumerate() {
            let arrays: Vec<&ArrayRef> = pieces.iter().map(|piece| piece.column(position)).collect();
            match vector {
                Some(vector) => {
                    leaves.next();
                    self.vector_encoder.append(vector, &arrays, &mut group)?;
                }
                None => append_arrow(&self.plain, position, &arrays, &mut leaves, &mut group)?,
            }
        }
        group.close().map_err(failed)?;
        self.stats.rows += rows as u64;
        self.stats.row_groups += 1;
        Ok(())
    }
}

/// Appends a column the way of the Parquet crate, in one piece.
fn append_arrow<W: Write + Send>(
    plain: &SchemaRef,
    position: usize,
    arrays: &[&ArrayRef],
    leaves: &mut impl Iterator<Item = ArrowColumnWriter>,
    group: &mut SerializedRowGroupWriter<'_, W>,
) -> Result<()> {
    let whole = match arrays {
        [whole] => Arc::clone(whole),
        pieces => {
            let pieces: Vec<&dyn Array> = pieces.iter().map(|piece| piece.as_ref()).collect();
            concat(&pieces).map_err(|e| Error::bug("batches differ").caused_by(e))?
        }
    };
    let column = plain_column(&whole).map_err(|e| bad_batch(layout_fault(e)))?;
    let failed = |e| parquet_error("write", e);
    for leaf in compute_leaves(plain.field(position), &column).map_err(failed)? {
        let mut writer = leaves.next().ok_or_else(|| Error::bug("a column has more leaves than the file"))?;
        writer.write(&leaf).map_err(failed)?;
        writer.close().and_then(|chunk| chunk.append_to_row_group(group)).map_err(failed)?;
    }
    Ok(())
}

fn vector_columns(
    canonical: &SchemaRef,
    parquet: &SchemaDescriptor,
    options: EncodeOptions,
) -> Vec<Option<VectorColumn>> {
    let of_field = |field: &Arc<arrow_schema::Field>| {
        let leaf = (0..parquet.num_columns()).find(|leaf| parquet.get_column_root(*leaf).name() == field.name())?;
        VectorColumn::of(field, &parquet.column(leaf), options.plain)
    };
    canonical.fields().iter().map(of_field).collect()
}

/// Memory that an encoder needs at most, bytes: a row group as batches, and for columns of the Parquet crate in one piece,
/// as levels and encoded.
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
        .set_key_value_metadata(Some(vec![
            KeyValue::new(SCHEMA_KEY.to_owned(), json),
            KeyValue::new(PAGES_KEY.to_owned(), PAGES_KIND.to_owned()),
        ]))
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
