//! Turns stored records into plain columns, and columns into Parquet.
//!
//! | part | column |
//! |---|---|
//! | id | INT64, or UTF8 |
//! | namespace, document, `_tranship_exact`, `_tranship_id` | UTF8 |
//! | dense vector | LIST of FLOAT |
//! | sparse vector | STRUCT of LIST of UINT_32 `indices` and LIST of FLOAT `values` |
//! | multivector | LIST of LIST of FLOAT |
//! | bits | UTF8 of `0` and `1` |
//! | metadata key of one type | BOOLEAN, INT64, DOUBLE, UTF8, or a LIST of one of them |
//!
//! Dialect: no embedded Arrow schema, three-level lists, SNAPPY, row groups of about [`GROUP_BYTES`], so that every
//! reader takes it. Invariant: a column that a record has nothing for is null.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float32Builder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
    UInt32Builder,
};
use arrow_array::{ArrayRef, RecordBatch, StructArray};
use arrow_buffer::NullBufferBuilder;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tranship_bundle::{FormWriter, Part, Parts};
use tranship_collection::json::Entries;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchView, CollectionSchema, VectorKind, VectorValue};
use tranship_connector::mapping::{EXACT_KEY, ID_KEY};
use tranship_connector::native::FieldType;
use tranship_connector::{Error, Mapping, Result};
use tranship_storage::DurableFile;

use crate::layout::{EMPTY_METADATA, ID, INTEGER_ID, Ids, Layout, NAMESPACE};

/// Bytes of columns after which a row group ends.
pub const GROUP_BYTES: usize = 16 << 20;
const CREATED_BY: &str = concat!("tranship version ", env!("CARGO_PKG_VERSION"));

/// Memory of an open file: a row group as columns and encoded, and a batch.
pub fn memory_bytes(schema: &CollectionSchema) -> u64 {
    4 * GROUP_BYTES.max(4 * schema.dense_row_bytes()) as u64 + (16 << 20)
}

/// One metadata key.
pub struct Key {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: FieldType,
}

/// The columns of one dataset, in their order.
pub struct Columns {
    /// How ids stand.
    pub ids: Ids,
    /// The layout.
    pub layout: &'static Layout,
    /// Declared metadata keys, then the reserved ones.
    pub keys: Vec<Key>,
    /// The schema that a Parquet reader sees.
    pub arrow: SchemaRef,
}

impl Columns {
    /// As the mapping settles them.
    pub fn of(mapping: &Mapping, stored: &CollectionSchema) -> Self {
        let (ids, layout) = (Ids::of(mapping), Layout::of(mapping));
        let declared = mapping.fields.iter().flatten().map(|(name, kind)| Key { name: name.clone(), kind: *kind });
        let reserved = [ID_KEY, EXACT_KEY].map(|name| Key { name: name.to_owned(), kind: FieldType::Text });
        let keys: Vec<Key> = declared.chain(reserved).collect();
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let id = if ids == Ids::Integers { DataType::Int64 } else { DataType::Utf8 };
        let mut fields = vec![Field::new(ID, id, true)];
        if ids == Ids::Both {
            fields.push(Field::new(INTEGER_ID, DataType::Boolean, true));
        }
        if stored.namespaced {
            fields.push(text(NAMESPACE));
        }
        fields.push(text(layout.document));
        for spec in stored.stored_vectors() {
            fields.push(Field::new(layout.vector_column(spec), vector_type(spec.kind), true));
        }
        fields.extend(keys.iter().map(|key| Field::new(&key.name, key_type(key.kind), true)));
        fields.push(Field::new(EMPTY_METADATA, DataType::Boolean, true));
        Columns { ids, layout, keys, arrow: Arc::new(Schema::new(fields)) }
    }
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn sparse_fields() -> Fields {
    let field = |name: &str, item| Field::new(name, list_of(item), true);
    Fields::from(vec![field("indices", DataType::UInt32), field("values", DataType::Float32)])
}

fn vector_type(kind: VectorKind) -> DataType {
    match kind {
        VectorKind::Dense => list_of(DataType::Float32),
        VectorKind::Sparse => DataType::Struct(sparse_fields()),
        VectorKind::Multi => list_of(list_of(DataType::Float32)),
        VectorKind::Bits => DataType::Utf8,
    }
}

fn key_type(kind: FieldType) -> DataType {
    match kind {
        FieldType::Bool => DataType::Boolean,
        FieldType::Integer => DataType::Int64,
        FieldType::Float => DataType::Float64,
        FieldType::Text => DataType::Utf8,
        FieldType::Bools => list_of(DataType::Boolean),
        FieldType::Integers => list_of(DataType::Int64),
        FieldType::Floats => list_of(DataType::Float64),
        FieldType::Texts => list_of(DataType::Utf8),
    }
}

/// Writes the one file of a shard.
pub struct Writer<'a> {
    parts: Parts<'a>,
    stored: Arc<CollectionSchema>,
    columns: Columns,
    /// `None` until the first record.
    file: Option<ArrowWriter<DurableFile>>,
    rows: u64,
}

impl<'a> Writer<'a> {
    /// For records in `stored`.
    pub fn new(parts: Parts<'a>, mapping: &Mapping, stored: &Arc<CollectionSchema>) -> Result<Self> {
        Ok(Writer { parts, columns: Columns::of(mapping, stored), stored: stored.clone(), file: None, rows: 0 })
    }

    fn name(&self) -> (&'static str, usize, &'static str) {
        (self.columns.layout.stem, 0, "parquet")
    }

    fn begin(&self) -> Result<ArrowWriter<DurableFile>> {
        let (stem, number, extension) = self.name();
        let properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_coerce_types(true)
            .set_compression(Compression::SNAPPY)
            .set_dictionary_enabled(false)
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let file = self.parts.create(stem, number, extension)?;
        ArrowWriter::try_new_with_options(file, self.columns.arrow.clone(), options).map_err(failed)
    }
}

impl FormWriter for Writer<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.begin()?,
        };
        let stored = self.stored.clone();
        let view = BatchView::new(batch, &stored).map_err(|fault| Error::bug(fault.to_string()))?;
        file.write(&plain(&view, &self.columns)?).map_err(failed)?;
        if file.in_progress_size() >= GROUP_BYTES {
            file.flush().map_err(failed)?;
        }
        self.rows += view.len() as u64;
        self.file = Some(file);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Part>> {
        let Some(file) = self.file.take() else { return Ok(Vec::new()) };
        let file = file.into_inner().map_err(failed)?;
        Ok(vec![self.parts.finish(file, self.name(), Some(self.rows), None)?])
    }
}

fn failed(error: ParquetError) -> Error {
    tranship_format_parquet::write_error(error)
}

/// A stored batch as plain columns.
fn plain(view: &BatchView<'_>, columns: &Columns) -> Result<RecordBatch> {
    let rows = 0..view.len();
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.arrow.fields().len());
    match columns.ids {
        Ids::Integers => {
            let mut ids = Int64Builder::with_capacity(view.len());
            for row in rows.clone() {
                let id = view.id(row).parse().map_err(|_| Error::bug("an id that is no integer of 64 bits"))?;
                ids.append_value(id);
            }
            arrays.push(Arc::new(ids.finish()));
        }
        _ => arrays.push(texts(rows.clone().map(|row| Some(view.id(row))))),
    }
    if columns.ids == Ids::Both {
        let kinds = rows.clone().map(|row| Some(view.id_kind(row) == IdKind::Integer));
        arrays.push(Arc::new(kinds.collect::<arrow_array::BooleanArray>()));
    }
    if columns.arrow.column_with_name(NAMESPACE).is_some() {
        arrays.push(texts(rows.clone().map(|row| view.namespace(row))));
    }
    arrays.push(texts(rows.clone().map(|row| view.document(row))));
    for (column, spec) in view.vector_specs().enumerate() {
        arrays.push(vectors(view, column, spec.kind)?);
    }
    arrays.extend(metadata(view, &columns.keys)?);
    let empty = |row| view.metadata(row).map(|text| Entries::parse(text).is_ok_and(|entries| entries.0.is_empty()));
    arrays.push(Arc::new(rows.map(|row| empty(row).filter(|empty| *empty)).collect::<arrow_array::BooleanArray>()));
    RecordBatch::try_new(columns.arrow.clone(), arrays).map_err(|e| Error::bug("columns do not fit").caused_by(e))
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut builder = StringBuilder::new();
    values.for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

fn vectors(view: &BatchView<'_>, column: usize, kind: VectorKind) -> Result<ArrayRef> {
    let values = (0..view.len()).map(|row| view.vector(column, row));
    Ok(match kind {
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
        VectorKind::Sparse => {
            let mut all_indices = ListBuilder::new(UInt32Builder::new());
            let mut all_values = ListBuilder::new(Float32Builder::new());
            let mut present = NullBufferBuilder::new(view.len());
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
            let pair = StructArray::try_new(sparse_fields(), arrays, present.finish());
            Arc::new(pair.map_err(|e| Error::bug("a sparse column does not fit").caused_by(e))?)
        }
        VectorKind::Multi => {
            let mut list = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
            for value in values {
                if let Some(VectorValue::Multi(rows)) = &value {
                    for row in rows.chunks(view.dim(column).max(1)) {
                        list.values().values().append_slice(row);
                        list.values().append(true);
                    }
                }
                list.append(value.is_some());
            }
            Arc::new(list.finish())
        }
        VectorKind::Bits => {
            let dim = view.dim(column);
            let sign = |bytes: &[u8], bit: usize| if bytes[bit / 8] >> (7 - bit % 8) & 1 == 1 { '1' } else { '0' };
            let mut list = StringBuilder::new();
            for value in values {
                match value {
                    Some(VectorValue::Bits(bytes)) => {
                        list.append_value((0..dim).map(|bit| sign(bytes, bit)).collect::<String>());
                    }
                    _ => list.append_null(),
                }
            }
            Arc::new(list.finish())
        }
    })
}

/// Values of one metadata key.
enum Values {
    Bool(BooleanBuilder),
    Integer(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Bools(ListBuilder<BooleanBuilder>),
    Integers(ListBuilder<Int64Builder>),
    Floats(ListBuilder<Float64Builder>),
    Texts(ListBuilder<StringBuilder>),
}

fn metadata(view: &BatchView<'_>, keys: &[Key]) -> Result<Vec<ArrayRef>> {
    let places: BTreeMap<&str, usize> = keys.iter().enumerate().map(|(at, key)| (key.name.as_str(), at)).collect();
    let mut columns: Vec<Values> = keys.iter().map(|key| Values::new(key.kind)).collect();
    for row in 0..view.len() {
        if let Some(text) = view.metadata(row) {
            let entries = Entries::parse(text).map_err(|fault| Error::bug(fault.to_string()))?;
            for (key, value) in &entries.0 {
                let column = places.get(key.as_ref()).and_then(|at| columns.get_mut(*at));
                let column = column.ok_or_else(|| Error::bug(format!("the metadata key {key:?} has no column")))?;
                column.push(value.get()).map_err(|e| Error::bug(format!("metadata key {key:?}")).caused_by(e))?;
            }
        }
        columns.iter_mut().for_each(|column| column.fill(row + 1));
    }
    Ok(columns.into_iter().map(Values::finish).collect())
}

impl Values {
    fn new(kind: FieldType) -> Self {
        match kind {
            FieldType::Bool => Values::Bool(BooleanBuilder::new()),
            FieldType::Integer => Values::Integer(Int64Builder::new()),
            FieldType::Float => Values::Float(Float64Builder::new()),
            FieldType::Text => Values::Text(StringBuilder::new()),
            FieldType::Bools => Values::Bools(ListBuilder::new(BooleanBuilder::new())),
            FieldType::Integers => Values::Integers(ListBuilder::new(Int64Builder::new())),
            FieldType::Floats => Values::Floats(ListBuilder::new(Float64Builder::new())),
            FieldType::Texts => Values::Texts(ListBuilder::new(StringBuilder::new())),
        }
    }

    fn push(&mut self, text: &str) -> serde_json::Result<()> {
        match self {
            Values::Bool(builder) => builder.append_value(serde_json::from_str(text)?),
            Values::Integer(builder) => builder.append_value(serde_json::from_str(text)?),
            Values::Float(builder) => builder.append_value(serde_json::from_str(text)?),
            Values::Text(builder) => builder.append_value(serde_json::from_str::<String>(text)?),
            Values::Bools(list) => {
                let values: Vec<bool> = serde_json::from_str(text)?;
                list.values().append_slice(&values);
                list.append(true);
            }
            Values::Integers(list) => {
                let values: Vec<i64> = serde_json::from_str(text)?;
                list.values().append_slice(&values);
                list.append(true);
            }
            Values::Floats(list) => {
                let values: Vec<f64> = serde_json::from_str(text)?;
                list.values().append_slice(&values);
                list.append(true);
            }
            Values::Texts(list) => {
                let values: Vec<String> = serde_json::from_str(text)?;
                values.iter().for_each(|value| list.values().append_value(value));
                list.append(true);
            }
        }
        Ok(())
    }

    /// Null for a row that had no value.
    fn fill(&mut self, rows: usize) {
        match self {
            Values::Bool(builder) if builder.len() < rows => builder.append_null(),
            Values::Integer(builder) if builder.len() < rows => builder.append_null(),
            Values::Float(builder) if builder.len() < rows => builder.append_null(),
            Values::Text(builder) if builder.len() < rows => builder.append_null(),
            Values::Bools(list) if list.len() < rows => list.append(false),
            Values::Integers(list) if list.len() < rows => list.append(false),
            Values::Floats(list) if list.len() < rows => list.append(false),
            Values::Texts(list) if list.len() < rows => list.append(false),
            _ => {}
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Values::Bool(mut builder) => Arc::new(builder.finish()),
            Values::Integer(mut builder) => Arc::new(builder.finish()),
            Values::Float(mut builder) => Arc::new(builder.finish()),
            Values::Text(mut builder) => Arc::new(builder.finish()),
            Values::Bools(mut list) => Arc::new(list.finish()),
            Values::Integers(mut list) => Arc::new(list.finish()),
            Values::Floats(mut list) => Arc::new(list.finish()),
            Values::Texts(mut list) => Arc::new(list.finish()),
        }
    }
}
