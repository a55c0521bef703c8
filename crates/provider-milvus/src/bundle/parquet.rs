//! Rows as Parquet, in the one dialect that every importer from 2.3 on takes.
//!
//! ```text
//! pk: INT64 or STRING | vector: LIST<FLOAT> | f16, bf16, bits: LIST<UINT8>, little-endian | sparse: STRING of JSON | $meta: STRING
//! ```
//!
//! All columns are OPTIONAL though none holds nulls, lists have their lengths, and the Arrow schema is not embedded: with
//! it the importer would see fixed-size lists, which it refuses. Vectors are neither compressed nor in a dictionary.

use std::fs::File;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::basic::Compression;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::schema::types::ColumnPath;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type, UInt8Type};
use arrow_array::{Array, ArrayRef, Float32Array, Int64Array, ListArray, RecordBatch, StringArray, UInt8Array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use tranship_bundle::rows::column_of;
use tranship_bundle::{DataFile, FormWriter, Part, Parts};
use tranship_collection::batch::RowText;
use tranship_collection::{
    BatchBuilder, BatchView, CollectionSchema, Element, IdKind, VectorKind, VectorSpec, VectorValue, layout,
};
use tranship_connector::rules::IntegerIds;
use tranship_connector::{Batches, Error, Mapping, Result};
use tranship_storage::DurableFile;

use super::fields;
use super::json::{parse_sparse, sparse_text};
use crate::dialect::DYNAMIC_FIELD;

/// Bytes of a row group.
pub const GROUP_BYTES: usize = 32 << 20;
const NAME: (&str, usize, &str) = ("rows", 0, "parquet");
const BATCH_ROWS: usize = 1024;

/// Writes rows of one shard.
pub struct ParquetRows<'a> {
    parts: Parts<'a>,
    mapping: &'a Mapping,
    stored: Arc<CollectionSchema>,
    schema: SchemaRef,
    /// Opened with the first row: a split without rows has no file.
    writer: Option<ArrowWriter<DurableFile>>,
    rows: u64,
}

impl<'a> ParquetRows<'a> {
    /// The file of one shard.
    pub fn new(parts: Parts<'a>, mapping: &'a Mapping, stored: &Arc<CollectionSchema>) -> Result<Self> {
        let schema = Arc::new(Schema::new(columns(mapping)));
        Ok(ParquetRows { parts, mapping, stored: stored.clone(), schema, writer: None, rows: 0 })
    }

    fn open(&self) -> Result<ArrowWriter<DurableFile>> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_dictionary_enabled(false)
            .set_max_row_group_row_count(Some(usize::MAX));
        for spec in fields::kept(self.mapping).filter(|spec| spec.kind != VectorKind::Sparse) {
            let path = vec![fields::vector(self.mapping, &spec.name).to_owned(), "list".to_owned(), "item".to_owned()];
            properties = properties.set_column_compression(ColumnPath::from(path), Compression::UNCOMPRESSED);
        }
        let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        let (stem, number, extension) = NAME;
        let file = self.parts.create(stem, number, extension)?;
        ArrowWriter::try_new_with_options(file, self.schema.clone(), options).map_err(broken)
    }

    fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let view = BatchView::new(batch, &self.stored).map_err(|fault| Error::bug(fault.to_string()))?;
        let rows = 0..view.len();
        let mut arrays: Vec<ArrayRef> = vec![match self.mapping.ids.integers {
            IntegerIds::I64 => {
                let digits = rows.clone().map(|row| view.id(row).parse::<i64>());
                Arc::new(Int64Array::from(
                    digits.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| Error::bug(e.to_string()))?,
                ))
            }
            _ => Arc::new(StringArray::from_iter_values(rows.clone().map(|row| view.id(row)))),
        }];
        for (column, spec) in view.vector_specs().enumerate() {
            let array =
                batch.column_by_name(&layout::vector_column(spec)).ok_or_else(|| Error::bug("a vector is gone"))?;
            arrays.push(vector_array(&view, column, spec, array));
        }
        let metadata = rows.map(|row| view.metadata(row).unwrap_or("{}"));
        arrays.push(Arc::new(StringArray::from_iter_values(metadata)));
        RecordBatch::try_new(self.schema.clone(), arrays).map_err(|e| Error::bug(e.to_string()))
    }
}

impl FormWriter for ParquetRows<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.convert(batch)?;
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.open()?,
        };
        writer.write(&batch).map_err(broken)?;
        if writer.in_progress_size() >= GROUP_BYTES {
            writer.flush().map_err(broken)?;
        }
        self.rows += batch.num_rows() as u64;
        self.writer = Some(writer);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Part>> {
        let Some(writer) = self.writer else { return Ok(Vec::new()) };
        let file = writer.into_inner().map_err(broken)?;
        Ok(vec![self.parts.finish(file, NAME, Some(self.rows), None)?])
    }
}

fn broken(error: ::parquet::errors::ParquetError) -> Error {
    match error {
        ::parquet::errors::ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(io) => Error::from(*io),
            Err(other) => Error::bug(other.to_string()),
        },
        other => Error::bug(other.to_string()),
    }
}

fn columns(mapping: &Mapping) -> Vec<Field> {
    let key = match mapping.ids.integers {
        IntegerIds::I64 => DataType::Int64,
        _ => DataType::Utf8,
    };
    let vector = |spec: &VectorSpec| {
        let item = |kind| DataType::List(Arc::new(Field::new("item", kind, true)));
        let kind = match (spec.kind, spec.element) {
            (VectorKind::Sparse, _) => DataType::Utf8,
            (VectorKind::Bits, _) | (_, Element::F16 | Element::BF16) => item(DataType::UInt8),
            _ => item(DataType::Float32),
        };
        Field::new(fields::vector(mapping, &spec.name), kind, true)
    };
    let key = Field::new(fields::key(mapping), key, true);
    let meta = Field::new(DYNAMIC_FIELD, DataType::Utf8, true);
    std::iter::once(key).chain(fields::kept(mapping).map(vector)).chain([meta]).collect()
}

fn vector_array(view: &BatchView<'_>, column: usize, spec: &VectorSpec, array: &ArrayRef) -> ArrayRef {
    let rows = view.len();
    let list = |values: ArrayRef, width: usize| -> ArrayRef {
        let item = Arc::new(Field::new("item", values.data_type().clone(), true));
        Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows)), values, None))
    };
    let width = spec.dim.unwrap_or(0);
    match (spec.kind, spec.element) {
        (VectorKind::Sparse, _) => {
            let text = |row| match view.vector(column, row) {
                Some(VectorValue::Sparse(indices, values)) => sparse_text(indices, values),
                _ => "{}".to_owned(),
            };
            Arc::new(StringArray::from_iter_values((0..rows).map(text)))
        }
        (VectorKind::Bits, _) => {
            let bytes = (0..rows).flat_map(|row| match view.vector(column, row) {
                Some(VectorValue::Bits(bytes)) => bytes.to_vec(),
                _ => vec![0; width.div_ceil(8)],
            });
            list(Arc::new(UInt8Array::from_iter_values(bytes)), width.div_ceil(8))
        }
        // The values of a fixed-size list, which has no nulls here, are those of the list.
        (_, Element::F32) => {
            let values = array.as_fixed_size_list().values().clone();
            list(values, width)
        }
        (_, Element::F16 | Element::BF16) => {
            let data = array.as_fixed_size_list().values().to_data();
            let start = data.offset() * 2;
            let bytes = &data.buffers()[0].as_slice()[start..start + 2 * rows * width];
            list(Arc::new(UInt8Array::from_iter_values(bytes.iter().copied())), 2 * width)
        }
        _ => {
            let floats = (0..rows).flat_map(|row| match view.vector(column, row) {
                Some(VectorValue::Widened(values)) => values,
                _ => vec![0.0; width],
            });
            list(Arc::new(Float32Array::from_iter_values(floats)), width)
        }
    }
}

/// Reads one file back.
pub fn read<'a>(file: &DataFile<'a>, mapping: &'a Mapping, stored: &Arc<CollectionSchema>) -> Result<Batches<'a>> {
    let path = file.checked_path()?;
    let opened = File::open(&path).map_err(|e| file.damaged(e.to_string()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(opened)
        .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
        .map_err(|e| file.damaged(e.to_string()))?;
    let (file, stored) = (file.clone(), stored.clone());
    Ok(Box::new(reader.map(move |batch| {
        let batch = batch.map_err(|e| file.damaged(e.to_string()))?;
        rebuild(&batch, mapping, &stored).map_err(|what| file.damaged(what))
    })))
}

fn rebuild(
    batch: &RecordBatch,
    mapping: &Mapping,
    stored: &Arc<CollectionSchema>,
) -> std::result::Result<RecordBatch, String> {
    let mut builder = BatchBuilder::new(stored.clone()).map_err(|fault| fault.to_string())?;
    let column = |name: &str| batch.column_by_name(name).cloned().ok_or(format!("the column {name} is missing"));
    let keys = column(fields::key(mapping))?;
    let metadata = column(DYNAMIC_FIELD)?;
    let metadata: &StringArray = metadata.as_string_opt().ok_or("$meta is no text")?;
    for row in 0..batch.num_rows() {
        for spec in fields::kept(mapping) {
            let array = column(fields::vector(mapping, &spec.name))?;
            push(&mut builder, spec, &array, row)?;
        }
        let (id, id_kind) = match keys.as_primitive_opt::<Int64Type>() {
            Some(keys) => (keys.value(row).to_string(), IdKind::Integer),
            None => (keys.as_string_opt::<i32>().ok_or("the key is no text")?.value(row).to_owned(), IdKind::Text),
        };
        let metadata = Some(metadata.value(row)).filter(|text| *text != "{}");
        let row = RowText { id: &id, id_kind, namespace: None, document: None, metadata };
        builder.finish_row(row).map_err(|fault| fault.to_string())?;
    }
    builder.finish().map_err(|fault| fault.to_string())
}

fn push(
    builder: &mut BatchBuilder,
    spec: &VectorSpec,
    array: &ArrayRef,
    row: usize,
) -> std::result::Result<(), String> {
    let (column, _) = column_of(builder, &spec.name)?;
    if spec.kind == VectorKind::Sparse {
        let (indices, values) =
            parse_sparse(array.as_string_opt::<i32>().ok_or("a sparse vector is no text")?.value(row))?;
        return builder.push_sparse(column, &indices, &values).map_err(|fault| fault.to_string());
    }
    let values = array.as_list_opt::<i32>().ok_or("a vector is no list")?.value(row);
    if let Some(bytes) = values.as_primitive_opt::<UInt8Type>() {
        builder.push_bytes(column, bytes.values());
    } else {
        let floats = values.as_primitive_opt::<Float32Type>().ok_or("a vector holds no floats")?;
        builder.dense_values(column).extend_from_slice(floats.values());
    }
    Ok(())
}
