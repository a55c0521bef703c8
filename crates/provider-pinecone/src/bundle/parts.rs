//! Parquet files of the import, both ways.
//!
//! ```text
//! id             STRING
//! values         LIST<FLOAT>                                           if the index is dense
//! sparse_values  STRUCT<indices LIST<UINT_32>, values LIST<FLOAT>>     if there are sparse vectors; null where a record has none
//! metadata       STRING, JSON text; null where a record has none
//! ```
//!
//! Invariant: no other column, no Arrow schema in the file, no null elements, one file per namespace and split. Source:
//! Pinecone's pages on importing data.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder, StringBuilder, UInt32Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt32Type};
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, StringArray, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tranship_bundle::{DataFile, FormWriter, Part, Parts};
use tranship_collection::batch::RowText;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, Fault, VectorKind, VectorValue};
use tranship_connector::{Batches, Error, Result};
use tranship_storage::StorageError;

use super::Notes;

/// Bytes of source in a split: what a shard holds in memory until it is written.
pub const SPLIT_BYTES: u64 = 20 << 20;
const GROUP_ROWS: usize = 65_536;
const READ_ROWS: usize = 1_024;
const CREATED_BY: &str = concat!("tranship version ", env!("CARGO_PKG_VERSION"));

/// The files of one shard: the columns of each namespace until the end.
pub struct Writer<'a> {
    parts: Parts<'a>,
    notes: Notes,
    stored: Arc<CollectionSchema>,
    namespaces: BTreeMap<String, Columns>,
}

impl<'a> Writer<'a> {
    /// Begins a shard.
    pub fn new(parts: Parts<'a>, notes: Notes, stored: Arc<CollectionSchema>) -> Self {
        Writer { parts, notes, stored, namespaces: BTreeMap::new() }
    }
}

impl FormWriter for Writer<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let stored = self.stored.clone();
        let view = BatchView::new(batch, &stored).map_err(|fault: Fault| Error::bug(fault.to_string()))?;
        for row in 0..view.len() {
            let namespace = view.namespace(row).unwrap_or("");
            let columns = match self.namespaces.get_mut(namespace) {
                Some(columns) => columns,
                None => self.namespaces.entry(namespace.to_owned()).or_insert_with(|| Columns::new(&stored)),
            };
            columns.append(&view, row)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Part>> {
        let Writer { parts, notes, namespaces, .. } = *self;
        let mut done = Vec::with_capacity(namespaces.len());
        for (namespace, columns) in namespaces {
            let stem = format!("{}/part", notes.target(&namespace));
            let batch = columns.finish()?;
            let properties = WriterProperties::builder()
                .set_created_by(CREATED_BY.to_owned())
                .set_compression(Compression::SNAPPY)
                .set_max_row_group_row_count(Some(GROUP_ROWS))
                .set_statistics_enabled(EnabledStatistics::None)
                .build();
            let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
            let file = parts.create(&stem, 0, "parquet")?;
            let mut writer = ArrowWriter::try_new_with_options(file, batch.schema(), options).map_err(failed)?;
            writer.write(&batch).map_err(failed)?;
            let file = writer.into_inner().map_err(failed)?;
            let named = Some(namespace).filter(|name| !name.is_empty());
            done.push(parts.finish(file, (&stem, 0, "parquet"), Some(batch.num_rows() as u64), named)?);
        }
        Ok(done)
    }
}

fn failed(error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => Error::from(*error),
            Err(inner) => Error::bug(format!("cannot write Parquet: {inner}")),
        },
        error => Error::bug("cannot write Parquet").caused_by(error),
    }
}

fn list_of(element: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", element, false))
}

/// The records of one namespace.
struct Columns {
    dense: Option<usize>,
    sparse: Option<usize>,
    ids: StringBuilder,
    values: ListBuilder<Float32Builder>,
    indices: ListBuilder<UInt32Builder>,
    weights: ListBuilder<Float32Builder>,
    has_sparse: Vec<bool>,
    metadata: StringBuilder,
}

impl Columns {
    fn new(stored: &CollectionSchema) -> Self {
        let column = |kind| stored.stored_vectors().position(|spec| spec.kind == kind);
        let floats = || ListBuilder::new(Float32Builder::new()).with_field(list_of(DataType::Float32));
        Columns {
            dense: column(VectorKind::Dense),
            sparse: column(VectorKind::Sparse),
            ids: StringBuilder::new(),
            values: floats(),
            indices: ListBuilder::new(UInt32Builder::new()).with_field(list_of(DataType::UInt32)),
            weights: floats(),
            has_sparse: Vec::new(),
            metadata: StringBuilder::new(),
        }
    }

    fn append(&mut self, view: &BatchView<'_>, row: usize) -> Result<()> {
        self.ids.append_value(view.id(row));
        if let Some(column) = self.dense {
            match view.vector(column, row) {
                Some(VectorValue::Dense(values)) => self.values.values().append_slice(values),
                Some(VectorValue::Widened(values)) => self.values.values().append_slice(&values),
                _ => return Err(Error::bug("a record without a dense vector on its way to Pinecone")),
            }
            self.values.append(true);
        }
        if let Some(column) = self.sparse {
            let value = view.vector(column, row);
            self.has_sparse.push(value.is_some());
            if let Some(VectorValue::Sparse(indices, values)) = value {
                self.indices.values().append_slice(indices);
                self.weights.values().append_slice(values);
            }
            self.indices.append(true);
            self.weights.append(true);
        }
        let metadata = view.metadata(row).filter(|text| is_filled(text));
        self.metadata.append_option(metadata);
        Ok(())
    }

    fn finish(mut self) -> Result<RecordBatch> {
        let mut columns: Vec<(&str, ArrayRef)> = vec![("id", Arc::new(self.ids.finish()))];
        if self.dense.is_some() {
            columns.push(("values", Arc::new(self.values.finish())));
        }
        let broken = |e| Error::bug("columns do not fit together").caused_by(e);
        if self.sparse.is_some() {
            let (indices, weights) = (self.indices.finish(), self.weights.finish());
            let fields = Fields::from(vec![
                Field::new("indices", indices.data_type().clone(), true),
                Field::new("values", weights.data_type().clone(), true),
            ]);
            let lists: Vec<ArrayRef> = vec![Arc::new(indices), Arc::new(weights)];
            let pairs = StructArray::try_new(fields, lists, Some(NullBuffer::from(self.has_sparse))).map_err(broken)?;
            columns.push(("sparse_values", Arc::new(pairs)));
        }
        columns.push(("metadata", Arc::new(self.metadata.finish())));
        let fields: Vec<Field> =
            columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        let arrays = columns.into_iter().map(|(_, column)| column).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(broken)
    }
}

fn is_filled(text: &str) -> bool {
    tranship_collection::json::check_object(text, &mut Vec::new()).unwrap_or(false)
}

/// The records of one file, as batches of `stored`.
pub fn read<'a>(file: DataFile<'a>, stored: Arc<CollectionSchema>) -> Result<Batches<'a>> {
    let path = file.checked_path()?;
    let opened = File::open(&path).map_err(|e| StorageError::new("open", &path, e))?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(opened, options)
        .and_then(|builder| builder.with_batch_size(READ_ROWS).build())
        .map_err(|e| file.damaged("this is no Parquet file").caused_by(e))?;
    Ok(Box::new(reader.map(move |batch| {
        let batch = batch.map_err(|e| file.damaged("a row group cannot be read").caused_by(e))?;
        records(&batch, &file, &stored).map_err(|reason| file.damaged(reason))
    })))
}

fn records(
    batch: &RecordBatch,
    file: &DataFile<'_>,
    stored: &Arc<CollectionSchema>,
) -> std::result::Result<RecordBatch, String> {
    let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let list = |name: &str| batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>());
    let missing = |name: &str| format!("there is no column `{name}` of the type that the import takes");
    let (ids, metadata): (&StringArray, &StringArray) =
        (text("id").ok_or_else(|| missing("id"))?, text("metadata").ok_or_else(|| missing("metadata"))?);
    let values = list("values");
    let sparse = batch.column_by_name("sparse_values").and_then(|column| column.as_struct_opt());
    let mut builder = BatchBuilder::new(stored.clone()).map_err(|fault| fault.to_string())?;
    for row in 0..batch.num_rows() {
        for (column, spec) in stored.stored_vectors().enumerate() {
            match spec.kind {
                VectorKind::Dense => {
                    let values = values.ok_or_else(|| missing("values"))?;
                    builder.push_dense(column, floats(values, row).ok_or_else(|| missing("values"))?.values());
                }
                VectorKind::Sparse => {
                    let pairs = sparse.ok_or_else(|| missing("sparse_values"))?;
                    push_sparse(&mut builder, column, pairs, row).ok_or_else(|| missing("sparse_values"))??;
                }
                VectorKind::Multi | VectorKind::Bits => return Err("Pinecone has no such vectors".to_owned()),
            }
        }
        let row = RowText {
            id: ids.value(row),
            id_kind: IdKind::Text,
            namespace: file.namespace.as_deref(),
            document: None,
            metadata: metadata.is_valid(row).then(|| metadata.value(row)),
        };
        builder.finish_row(row).map_err(|fault| fault.to_string())?;
    }
    builder.finish().map_err(|fault| fault.to_string())
}

fn floats(list: &ListArray, row: usize) -> Option<arrow_array::Float32Array> {
    list.value(row).as_primitive_opt::<Float32Type>().cloned()
}

/// `None` if the columns have other types.
fn push_sparse(
    builder: &mut BatchBuilder,
    column: usize,
    pairs: &StructArray,
    row: usize,
) -> Option<std::result::Result<(), String>> {
    if pairs.is_null(row) {
        return Some(Ok(()));
    }
    let indices = pairs.column_by_name("indices")?.as_list_opt::<i32>()?.value(row);
    let indices = indices.as_primitive_opt::<UInt32Type>()?;
    let weights = floats(pairs.column_by_name("values")?.as_list_opt::<i32>()?, row)?;
    Some(builder.push_sparse(column, indices.values(), weights.values()).map_err(|fault| fault.to_string()))
}
