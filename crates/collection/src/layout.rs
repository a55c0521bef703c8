//! The canonical Arrow layout of a collection.
//!
//! | column | Arrow type | invariant |
//! |---|---|---|
//! | `id` | Utf8, not null | canonical text of the id |
//! | `id_kind` | UInt8, not null, only if kinds mix | 0 integer, 1 text |
//! | `namespace` | Dictionary<Int32, Utf8>, nullable, only if the schema is namespaced | null = the default namespace |
//! | `vector`, `vector.<name>` | FixedSizeList of the element, nullable | null = the record has no such vector |
//! | `sparse.<name>` | Struct{indices: List<UInt32>, values: List<Float32>}, nullable | indices strictly ascending |
//! | `multi.<name>` | List<FixedSizeList<Float32>>, nullable | 0..n rows |
//! | `bits.<name>` | FixedSizeBinary(ceil(dim / 8)), nullable | the most significant bit first, as numpy packs them; bits beyond `dim` are 0 |
//! | `document` | Utf8, nullable | source text |
//! | `metadata` | Utf8, nullable | the record's JSON object, verbatim |
//!
//! Columns stand in this order, vectors in the order of the schema.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};

use crate::schema::{CollectionSchema, IdKinds};
use crate::vector::{Element, VectorKind, VectorSpec};

/// Name of the id column.
pub const ID: &str = "id";
/// Name of the id kind column.
pub const ID_KIND: &str = "id_kind";
/// Name of the namespace column.
pub const NAMESPACE: &str = "namespace";
/// Name of the document column.
pub const DOCUMENT: &str = "document";
/// Name of the metadata column.
pub const METADATA: &str = "metadata";
/// Key of the collection schema in Arrow and Parquet metadata.
pub const SCHEMA_KEY: &str = "tranship.collection";

/// The column name of a vector.
pub fn vector_column(spec: &VectorSpec) -> String {
    let family = match spec.kind {
        VectorKind::Dense => "vector",
        VectorKind::Sparse => "sparse",
        VectorKind::Multi => "multi",
        VectorKind::Bits => "bits",
    };
    match (spec.kind, spec.name.is_empty()) {
        (VectorKind::Dense, true) => family.to_owned(),
        _ => format!("{family}.{}", spec.name),
    }
}

/// The Arrow type of one dense element.
pub fn element_type(element: Element) -> DataType {
    match element {
        Element::F32 => DataType::Float32,
        Element::F16 => DataType::Float16,
        Element::BF16 => DataType::UInt16,
        Element::I8 => DataType::Int8,
        Element::U8 => DataType::UInt8,
    }
}

/// The Arrow type of the namespace column: few values, many rows.
pub fn namespace_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The item field of vector lists: named `item`, never null.
pub fn item_field(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, false))
}

/// The two child fields of a sparse vector.
pub fn sparse_fields() -> Fields {
    Fields::from(vec![
        Field::new("indices", DataType::List(item_field(DataType::UInt32)), false),
        Field::new("values", DataType::List(item_field(DataType::Float32)), false),
    ])
}

/// The Arrow type of a vector column; `None` while its dimension is unknown.
pub fn vector_type(spec: &VectorSpec) -> Option<DataType> {
    let row = |dim: usize| DataType::FixedSizeList(item_field(element_type(spec.element)), dim as i32);
    match spec.kind {
        VectorKind::Dense => spec.dim.map(row),
        VectorKind::Multi => spec.dim.map(|dim| DataType::List(item_field(row(dim)))),
        VectorKind::Sparse => Some(DataType::Struct(sparse_fields())),
        VectorKind::Bits => spec.dim.map(|dim| DataType::FixedSizeBinary(dim.div_ceil(8) as i32)),
    }
}

/// The Arrow schema of every batch of the collection.
pub fn arrow_schema(schema: &CollectionSchema) -> SchemaRef {
    let mut fields = vec![Field::new(ID, DataType::Utf8, false)];
    if schema.ids == IdKinds::Mixed {
        fields.push(Field::new(ID_KIND, DataType::UInt8, false));
    }
    if schema.namespaced {
        fields.push(Field::new(NAMESPACE, namespace_type(), true));
    }
    for spec in &schema.vectors {
        if let Some(data_type) = vector_type(spec) {
            fields.push(Field::new(vector_column(spec), data_type, true));
        }
    }
    fields.push(Field::new(DOCUMENT, DataType::Utf8, true));
    fields.push(Field::new(METADATA, DataType::Utf8, true));
    Arc::new(Schema::new(fields))
}
