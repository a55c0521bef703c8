//! Stored records as Parquet columns.
//!
//! | part | column |
//! |---|---|
//! | id | INT64, or UTF8 with a BOOLEAN `id_is_integer` where kinds mix |
//! | namespace, document, metadata | UTF8 |
//! | dense vector | LIST of FLOAT; `load.py` makes fixed-size lists of it, of half floats for f16 |
//! | multivector | LIST of LIST of FLOAT |
//! | bits | LIST of UINT_8, most significant bit first |
//! | sparse vector | STRUCT of LIST of UINT_32 `indices` and LIST of FLOAT `values` |
//! | typed key | BOOLEAN, INT64, DOUBLE or UTF8 |
//!
//! Invariant: what a record does not have is null. The Arrow schema is not embedded, so that every reader sees the same.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float32Builder, Float64Builder, Int64Builder, ListBuilder, StringBuilder, UInt8Builder,
    UInt32Builder,
};
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray, RecordBatch, StringArray, StructArray, cast::AsArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tranship_bundle::{FormWriter, Part, Parts};
use tranship_collection::json::Entries;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchView, CollectionSchema, Element, VectorKind, VectorSpec, VectorValue, layout};
use tranship_connector::native::FieldType;
use tranship_connector::{Error, Mapping, Result};
use tranship_format_parquet::write_error;
use tranship_storage::DurableFile;

use super::columns::{self, DOCUMENT, ID, ID_IS_INTEGER, Ids, METADATA, NAMESPACE};

/// Bytes of columns after which a row group ends.
pub const GROUP_BYTES: usize = 16 << 20;
const NAME: (&str, usize, &str) = ("rows", 0, "parquet");
const CREATED_BY: &str = concat!("tranship version ", env!("CARGO_PKG_VERSION"));

/// Memory of an open file: a row group as columns and encoded, and a batch.
pub fn memory_bytes(schema: &CollectionSchema) -> u64 {
    4 * GROUP_BYTES.max(4 * schema.dense_row_bytes()) as u64 + (16 << 20)
}

/// Writes the one file of a shard.
pub struct Writer<'a> {
    parts: Parts<'a>,
    mapping: &'a Mapping,
    stored: Arc<CollectionSchema>,
    /// `None` until the first record.
    file: Option<ArrowWriter<DurableFile>>,
    rows: u64,
}

impl<'a> Writer<'a> {
    /// For records in `stored`.
    pub fn new(parts: Parts<'a>, mapping: &'a Mapping, stored: &Arc<CollectionSchema>) -> Self {
        Writer { parts, mapping, stored: stored.clone(), file: None, rows: 0 }
    }

    fn begin(&self, batch: &RecordBatch) -> Result<ArrowWriter<DurableFile>> {
        let properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_coerce_types(true)
            .set_compression(Compression::SNAPPY)
            .set_dictionary_enabled(false)
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let file = self.parts.create(NAME.0, NAME.1, NAME.2)?;
        ArrowWriter::try_new_with_options(file, batch.schema(), options).map_err(write_error)
    }
}

impl FormWriter for Writer<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let plain = plain(batch, &self.stored, self.mapping)?;
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.begin(&plain)?,
        };
        file.write(&plain).map_err(write_error)?;
        if file.in_progress_size() >= GROUP_BYTES {
            file.flush().map_err(write_error)?;
        }
        self.rows += plain.num_rows() as u64;
        self.file = Some(file);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Part>> {
        let Some(file) = self.file.take() else { return Ok(Vec::new()) };
        let file = file.into_inner().map_err(write_error)?;
        Ok(vec![self.parts.finish(file, NAME, Some(self.rows), None)?])
    }
}

/// A stored batch as the columns of the table.
fn plain(batch: &RecordBatch, stored: &CollectionSchema, mapping: &Mapping) -> Result<RecordBatch> {
    let view = BatchView::new(batch, stored).map_err(|fault| Error::bug(fault.to_string()))?;
    let rows = || 0..view.len();
    let ids = Ids::of(mapping);
    let mut found: Vec<(String, ArrayRef)> = vec![(ID.to_owned(), id_array(&view, ids)?)];
    if ids == Ids::Both {
        let kinds: BooleanArray = rows().map(|row| Some(view.id_kind(row) == IdKind::Integer)).collect();
        found.push((ID_IS_INTEGER.to_owned(), Arc::new(kinds)));
    }
    if stored.namespaced {
        let namespaces: StringArray = rows().map(|row| view.namespace(row)).collect();
        found.push((NAMESPACE.to_owned(), Arc::new(namespaces)));
    }
    found.push((DOCUMENT.to_owned(), Arc::new(rows().map(|row| view.document(row)).collect::<StringArray>())));
    found.push((METADATA.to_owned(), Arc::new(rows().map(|row| view.metadata(row)).collect::<StringArray>())));
    for (position, (spec, column)) in columns::vectors(mapping).enumerate() {
        let own = batch.column_by_name(&layout::vector_column(spec)).ok_or_else(|| Error::bug("a vector is gone"))?;
        found.push((column.to_owned(), vector_array(&view, position, spec, own)?));
    }
    found.extend(typed_arrays(&view, mapping)?);
    let fields: Vec<Field> =
        found.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
    let arrays = found.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|e| Error::bug("columns do not fit").caused_by(e))
}

fn id_array(view: &BatchView<'_>, ids: Ids) -> Result<ArrayRef> {
    if ids != Ids::Integers {
        return Ok(Arc::new(StringArray::from_iter_values((0..view.len()).map(|row| view.id(row)))));
    }
    let mut integers = Int64Builder::with_capacity(view.len());
    for row in 0..view.len() {
        let id = view.id(row).parse().map_err(|_| Error::bug("an id that is no integer of 64 bits"))?;
        integers.append_value(id);
    }
    Ok(Arc::new(integers.finish()))
}

fn vector_array(view: &BatchView<'_>, position: usize, spec: &VectorSpec, own: &ArrayRef) -> Result<ArrayRef> {
    let values = (0..view.len()).map(|row| view.vector(position, row));
    Ok(match spec.kind {
        // The values of a fixed-size list without nulls are those of the list.
        VectorKind::Dense if spec.element == Element::F32 && own.null_count() == 0 => {
            let item = Arc::new(Field::new("item", DataType::Float32, true));
            let lengths = std::iter::repeat_n(spec.dim.unwrap_or(0), view.len());
            let values = own.as_fixed_size_list().values().clone();
            Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths), values, None))
        }
        VectorKind::Dense => {
            let mut list = ListBuilder::new(Float32Builder::new());
            for value in values {
                match &value {
                    Some(VectorValue::Dense(values)) => list.values().append_slice(values),
                    Some(VectorValue::Widened(values)) => list.values().append_slice(values),
                    _ => {}
                }
                list.append(value.is_some());
            }
            Arc::new(list.finish())
        }
        VectorKind::Multi => {
            let mut list = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
            for value in values {
                if let Some(VectorValue::Multi(rows)) = &value {
                    for row in rows.chunks(view.dim(position).max(1)) {
                        list.values().values().append_slice(row);
                        list.values().append(true);
                    }
                }
                list.append(value.is_some());
            }
            Arc::new(list.finish())
        }
        VectorKind::Bits => {
            let mut list = ListBuilder::new(UInt8Builder::new());
            for value in values {
                if let Some(VectorValue::Bits(bytes)) = &value {
                    list.values().append_slice(bytes);
                }
                list.append(value.is_some());
            }
            Arc::new(list.finish())
        }
        VectorKind::Sparse => sparse_array(values, view.len())?,
    })
}

fn sparse_array<'a>(values: impl Iterator<Item = Option<VectorValue<'a>>>, rows: usize) -> Result<ArrayRef> {
    let mut all_indices = ListBuilder::new(UInt32Builder::new());
    let mut all_values = ListBuilder::new(Float32Builder::new());
    let mut present = NullBufferBuilder::new(rows);
    for value in values {
        if let Some(VectorValue::Sparse(indices, values)) = &value {
            all_indices.values().append_slice(indices);
            all_values.values().append_slice(values);
        }
        all_indices.append(value.is_some());
        all_values.append(value.is_some());
        present.append(value.is_some());
    }
    let arrays: Vec<ArrayRef> = vec![Arc::new(all_indices.finish()), Arc::new(all_values.finish())];
    let names = ["indices", "values"];
    let fields: Fields =
        names.iter().zip(&arrays).map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let pairs = StructArray::try_new(fields, arrays, present.finish());
    Ok(Arc::new(pairs.map_err(|e| Error::bug("a sparse column does not fit").caused_by(e))?))
}

enum Typed {
    Bool(BooleanBuilder),
    Integer(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
}

impl Typed {
    fn push(&mut self, text: Option<&str>) -> serde_json::Result<()> {
        let text = text.unwrap_or("null");
        match self {
            Typed::Bool(builder) => builder.append_option(serde_json::from_str(text)?),
            Typed::Integer(builder) => builder.append_option(serde_json::from_str(text)?),
            Typed::Float(builder) => builder.append_option(serde_json::from_str(text)?),
            Typed::Text(builder) => builder.append_option(serde_json::from_str::<Option<String>>(text)?),
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Typed::Bool(mut builder) => Arc::new(builder.finish()),
            Typed::Integer(mut builder) => Arc::new(builder.finish()),
            Typed::Float(mut builder) => Arc::new(builder.finish()),
            Typed::Text(mut builder) => Arc::new(builder.finish()),
        }
    }
}

fn typed_arrays(view: &BatchView<'_>, mapping: &Mapping) -> Result<Vec<(String, ArrayRef)>> {
    let mut columns: Vec<(&str, Typed)> = columns::typed(mapping)
        .map(|(key, kind)| {
            let builder = match kind {
                FieldType::Bool => Typed::Bool(BooleanBuilder::new()),
                FieldType::Integer => Typed::Integer(Int64Builder::new()),
                FieldType::Float => Typed::Float(Float64Builder::new()),
                _ => Typed::Text(StringBuilder::new()),
            };
            (key, builder)
        })
        .collect();
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    for row in 0..view.len() {
        let entries = Entries::parse(view.metadata(row).unwrap_or("{}")).map_err(|e| Error::bug(e.to_string()))?.0;
        for (key, builder) in &mut columns {
            let value = entries.iter().find(|(name, _)| name == key).map(|(_, value)| value.get());
            builder.push(value).map_err(|e| Error::bug(format!("metadata key {key:?}")).caused_by(e))?;
        }
    }
    Ok(columns.into_iter().map(|(key, builder)| (key.to_owned(), builder.finish())).collect())
}
