//! Milvus's types, metrics and indexes in tranship's vocabulary, and how its fields become a collection.
//!
//! | Milvus field | tranship |
//! |---|---|
//! | primary key | id: an integer (Int64) or text (VarChar) |
//! | the only vector field, unless sparse | the unnamed vector; its name stays under `milvus` of the vendor settings, `vector_field` |
//! | several vector fields | vectors by their names |
//! | ArrayOfVector | multivector, widened to `f32` |
//! | other declared fields | metadata keys; null is kept as `null` |
//! | dynamic field (`$meta`) | its keys are metadata keys; one named like a declared field stays under `$meta` |
//! | partition | namespace, the partition `_default` the default one; with a partition key none, since partitions are hash buckets then |
//!
//! Invariant: every reader of this crate builds its schema by [`collection_schema`] and places values by [`Roles`].
//! Errors: not recognised for types that are unknown; damaged for fields that contradict each other (no primary key,
//! two fields of one name). Source: milvus-io/milvus-proto `schema.proto`, milvus-io/milvus `pkg/util/indexparamcheck`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use tranship_collection::{CollectionSchema, Element, IdKinds, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::{Error, Result};
use tranship_storage::Limits;

/// Key of Milvus's own settings in a schema's vendor settings.
pub const VENDOR: &str = "milvus";
/// The partition that every collection has.
pub const DEFAULT_PARTITION: &str = "_default";
/// The dynamic field's name.
pub const DYNAMIC_FIELD: &str = "$meta";

/// `schemapb.DataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// A boolean.
    Bool,
    /// A signed byte.
    Int8,
    /// Sixteen bits.
    Int16,
    /// Thirty-two bits.
    Int32,
    /// Sixty-four bits.
    Int64,
    /// A float of four bytes.
    Float,
    /// A float of eight bytes.
    Double,
    /// Text, before there was a bound.
    String,
    /// Text of bounded length.
    VarChar,
    /// Values of one scalar type.
    Array,
    /// JSON text.
    Json,
    /// Well-known binary.
    Geometry,
    /// Text of any length.
    Text,
    /// Microseconds since 1970, UTC.
    Timestamptz,
    /// Bits, the most significant of a byte first.
    BinaryVector,
    /// `f32`.
    FloatVector,
    /// IEEE half.
    Float16Vector,
    /// bfloat16.
    BFloat16Vector,
    /// Pairs of index and value.
    SparseFloatVector,
    /// Signed bytes.
    Int8Vector,
    /// 0..n vectors of one type.
    ArrayOfVector,
}

/// Number and name of every type.
const TYPES: [(DataType, i64, &str); 21] = [
    (DataType::Bool, 1, "Bool"),
    (DataType::Int8, 2, "Int8"),
    (DataType::Int16, 3, "Int16"),
    (DataType::Int32, 4, "Int32"),
    (DataType::Int64, 5, "Int64"),
    (DataType::Float, 10, "Float"),
    (DataType::Double, 11, "Double"),
    (DataType::String, 20, "String"),
    (DataType::VarChar, 21, "VarChar"),
    (DataType::Array, 22, "Array"),
    (DataType::Json, 23, "JSON"),
    (DataType::Geometry, 24, "Geometry"),
    (DataType::Text, 25, "Text"),
    (DataType::Timestamptz, 26, "Timestamptz"),
    (DataType::BinaryVector, 100, "BinaryVector"),
    (DataType::FloatVector, 101, "FloatVector"),
    (DataType::Float16Vector, 102, "Float16Vector"),
    (DataType::BFloat16Vector, 103, "BFloat16Vector"),
    (DataType::SparseFloatVector, 104, "SparseFloatVector"),
    (DataType::Int8Vector, 105, "Int8Vector"),
    (DataType::ArrayOfVector, 106, "ArrayOfVector"),
];

impl DataType {
    /// The type with this number.
    pub fn of_number(number: i64) -> Result<Self> {
        TYPES.iter().find(|(_, n, _)| *n == number).map(|(found, ..)| *found).ok_or_else(|| unknown_type(&number))
    }

    /// The type with this name, whatever its case and underscores: `Int64`, `INT64`, `float_vector`, `FLOAT_VECTOR`.
    pub fn of_name(name: &str) -> Result<Self> {
        let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
        let wanted = plain(name);
        TYPES.iter().find(|(.., n)| plain(n) == wanted).map(|(found, ..)| *found).ok_or_else(|| unknown_type(&name))
    }

    /// Milvus's number of the type.
    pub fn number(self) -> i64 {
        TYPES.iter().find(|(found, ..)| *found == self).map_or(0, |(_, number, _)| *number)
    }

    /// Milvus's name of the type.
    pub fn name(self) -> &'static str {
        TYPES.iter().find(|(found, ..)| *found == self).map_or("", |(.., name)| *name)
    }

    /// True for vectors of every kind.
    pub fn is_vector(self) -> bool {
        self.number() >= 100
    }

    /// The element of a dense vector, or of the vectors in an array of vectors.
    pub fn element(self) -> Option<Element> {
        match self {
            DataType::FloatVector => Some(Element::F32),
            DataType::Float16Vector => Some(Element::F16),
            DataType::BFloat16Vector => Some(Element::BF16),
            DataType::Int8Vector => Some(Element::I8),
            _ => None,
        }
    }

    /// Bytes of one stored vector of `dim` elements; `None` for sparse vectors and arrays of vectors.
    pub fn vector_bytes(self, dim: usize) -> Option<usize> {
        match self {
            DataType::BinaryVector => Some(dim.div_ceil(8)),
            _ => self.element().map(|element| dim.saturating_mul(element.bytes())),
        }
    }

    /// Elements of a vector that takes `bytes`: the reverse of [`Self::vector_bytes`].
    pub fn dim_of_bytes(self, bytes: usize) -> Option<usize> {
        match self {
            DataType::BinaryVector => bytes.checked_mul(8),
            _ => self.element().filter(|e| bytes.is_multiple_of(e.bytes())).map(|e| bytes / e.bytes()),
        }
    }
}

impl Serialize for DataType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

fn unknown_type(name: &dyn std::fmt::Display) -> Error {
    Error::not_recognised(format!("the Milvus data type {name} is unknown"))
        .hint("it belongs to a newer Milvus than tranship knows; leave the field out when making the dump")
}

/// One field of a collection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// Milvus's number of the field; user fields begin at 100.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Type of the elements of an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element_type: Option<DataType>,
    /// Elements of a vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dim: Option<usize>,
    /// The primary key.
    #[serde(skip_serializing_if = "is_false")]
    pub primary: bool,
    /// Milvus makes its values.
    #[serde(skip_serializing_if = "is_false")]
    pub auto_id: bool,
    /// Its hash chooses the partition.
    #[serde(skip_serializing_if = "is_false")]
    pub partition_key: bool,
    /// The dynamic field: a JSON object whose keys stand beside the declared fields.
    #[serde(skip_serializing_if = "is_false")]
    pub dynamic: bool,
    /// May be null.
    #[serde(skip_serializing_if = "is_false")]
    pub nullable: bool,
    /// Bytes of a text at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// Elements of an array at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_capacity: Option<u64>,
    /// What stands for a value that was never given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Field {
    /// A plain field: neither key nor dynamic.
    pub fn new(id: i64, name: impl Into<String>, data_type: DataType) -> Self {
        Field {
            id,
            name: name.into(),
            data_type,
            element_type: None,
            dim: None,
            primary: false,
            auto_id: false,
            partition_key: false,
            dynamic: false,
            nullable: false,
            max_length: None,
            max_capacity: None,
            default: None,
        }
    }
}

/// One index, as Milvus describes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    /// The field that it is over.
    pub field: String,
    /// Its type: `HNSW`, `IVF_FLAT`, ..; empty if only the parameters say.
    pub kind: String,
    /// Its parameters: `metric_type`, `index_type`, and either `params` (JSON text) or one by one.
    pub params: BTreeMap<String, String>,
}

impl Index {
    /// The metric; `None` for one that is no distance between two vectors (BM25), or where none is stated.
    pub fn metric(&self) -> Option<Metric> {
        self.params.get("metric_type").and_then(|name| metric(name))
    }

    /// The index settings.
    pub fn spec(&self) -> IndexSpec {
        let params = self.all_params();
        let name = if self.kind.is_empty() {
            params.get("index_type").cloned().unwrap_or_default()
        } else {
            self.kind.clone()
        };
        let number = |key: &str| params.get(key).and_then(|text| text.parse().ok());
        match (name.to_ascii_uppercase().as_str(), number("M"), number("efConstruction")) {
            ("FLAT" | "BIN_FLAT", ..) => IndexSpec::Flat,
            ("HNSW", Some(m), Some(ef_construction)) => IndexSpec::Hnsw { m, ef_construction, ef_search: None },
            _ => IndexSpec::Other { name, settings: json!(params) },
        }
    }

    /// The parameters with those that stand as JSON text in `params` taken out of it.
    fn all_params(&self) -> BTreeMap<String, String> {
        let mut params = self.params.clone();
        let nested = params.get("params").and_then(|text| serde_json::from_str::<BTreeMap<String, Value>>(text).ok());
        if let Some(nested) = nested {
            params.remove("params");
            params.extend(nested.into_iter().map(|(key, value)| match value {
                Value::String(text) => (key, text),
                other => (key, other.to_string()),
            }));
        }
        params
    }
}

/// Milvus's metric by its name; `None` for those that tranship has no name for.
pub fn metric(name: &str) -> Option<Metric> {
    match name.to_ascii_uppercase().as_str() {
        "L2" | "MAX_SIM_L2" => Some(Metric::L2),
        "IP" | "MAX_SIM_IP" => Some(Metric::Dot),
        "COSINE" | "MAX_SIM" | "MAX_SIM_COSINE" => Some(Metric::Cosine),
        "HAMMING" | "MAX_SIM_HAMMING" => Some(Metric::Hamming),
        "JACCARD" | "MAX_SIM_JACCARD" => Some(Metric::Jaccard),
        _ => None,
    }
}

/// What each field is for; positions are those of the fields given.
#[derive(Debug, Clone, PartialEq)]
pub struct Roles {
    /// The primary key.
    pub primary: usize,
    /// Vector fields, each with the name of its vector.
    pub vectors: Vec<(usize, String)>,
    /// Fields that become metadata keys, in the order of the fields.
    pub scalars: Vec<usize>,
    /// The dynamic field.
    pub dynamic: Option<usize>,
}

impl Roles {
    /// Finds them. Fails without a primary key that can be an id, and if two fields have one name.
    pub fn of(fields: &[Field]) -> Result<Self> {
        let position = |wanted: fn(&Field) -> bool| fields.iter().position(wanted);
        let primary = position(|f| f.primary).ok_or_else(|| {
            Error::damaged("the Milvus collection has no primary key").hint("check the schema; one field is_primary")
        })?;
        let names: std::collections::BTreeSet<&str> = fields.iter().map(|f| f.name.as_str()).collect();
        if names.len() < fields.len() {
            return Err(Error::damaged("the Milvus collection has two fields of one name").hint("check the schema"));
        }
        let dynamic = position(|f| f.dynamic);
        let is = |n: &usize, vector: bool| fields.get(*n).is_some_and(|f| f.data_type.is_vector() == vector);
        let all_vectors: Vec<usize> = (0..fields.len()).filter(|n| is(n, true)).collect();
        // Sparse vectors go by name everywhere.
        let is_sparse = |n: &usize| fields.get(*n).is_some_and(|f| f.data_type == DataType::SparseFloatVector);
        let alone = all_vectors.len() == 1 && !all_vectors.iter().any(is_sparse);
        let name = |n: usize| fields.get(n).filter(|_| !alone).map(|f| f.name.clone()).unwrap_or_default();
        let scalars = (0..fields.len()).filter(|n| is(n, false) && *n != primary && Some(*n) != dynamic).collect();
        Ok(Roles { primary, vectors: all_vectors.into_iter().map(|n| (n, name(n))).collect(), scalars, dynamic })
    }
}

/// The schema of a collection of `fields`; `vendor` holds whatever else is to be kept of the origin.
pub fn collection_schema(
    name: &str,
    fields: &[Field],
    indexes: &[Index],
    mut vendor: serde_json::Map<String, Value>,
    limits: &Limits,
) -> Result<CollectionSchema> {
    let roles = Roles::of(fields)?;
    let mut schema = CollectionSchema::new(name);
    schema.ids = match fields.get(roles.primary).map(|field| field.data_type) {
        Some(DataType::Int64) => IdKinds::Integer,
        Some(DataType::VarChar | DataType::String) => IdKinds::Text,
        other => {
            let found = other.map_or("", DataType::name);
            return Err(Error::not_recognised(format!(
                "the primary key is of type {found}, known are Int64 and VarChar"
            )));
        }
    };
    for (position, vector) in &roles.vectors {
        let Some(field) = fields.get(*position) else { continue };
        let index = indexes.iter().find(|index| index.field == field.name);
        schema.vectors.push(vector_spec(vector, field, index, limits)?);
    }
    schema.vectors.sort_by(|a, b| a.name.cmp(&b.name));
    if let [(only, _)] = roles.vectors.as_slice() {
        vendor.insert("vector_field".to_owned(), json!(fields.get(*only).map(|field| &field.name)));
    }
    vendor.insert("primary_field".to_owned(), json!(fields.get(roles.primary).map(|field| &field.name)));
    vendor.insert("fields".to_owned(), json!(fields));
    if !indexes.is_empty() {
        let described = indexes.iter().map(|i| json!({"field": i.field, "index_type": i.kind, "params": i.params}));
        vendor.insert("indexes".to_owned(), described.collect());
    }
    schema.vendor.insert(VENDOR.to_owned(), Value::Object(vendor));
    Ok(schema)
}

fn vector_spec(name: &str, field: &Field, index: Option<&Index>, limits: &Limits) -> Result<VectorSpec> {
    // Eight bits take as much as one byte.
    let max_dim = if field.data_type == DataType::BinaryVector { 8 * limits.max_dim } else { limits.max_dim };
    let too_large = |dim: &usize| *dim > max_dim || *dim == 0;
    if let Some(dim) = field.dim.filter(too_large) {
        return Err(Error::limit(format!("field `{}` has {dim} dimensions, the limit is 1 to {max_dim}", field.name)));
    }
    let (kind, element) = match field.data_type {
        DataType::SparseFloatVector => (VectorKind::Sparse, Element::F32),
        DataType::BinaryVector => (VectorKind::Bits, Element::U8),
        DataType::ArrayOfVector => (VectorKind::Multi, Element::F32),
        other => (VectorKind::Dense, other.element().unwrap_or(Element::F32)),
    };
    if field.data_type == DataType::ArrayOfVector && field.element_type.is_some_and(|e| e.element().is_none()) {
        let found = field.element_type.map_or("", DataType::name);
        return Err(Error::not_recognised(format!("field `{}` is an array of {found}, which is not read", field.name))
            .hint("arrays of float, half, bfloat16 and int8 vectors are"));
    }
    let dim = if kind == VectorKind::Sparse { None } else { field.dim };
    Ok(VectorSpec {
        name: name.to_owned(),
        kind,
        element,
        dim,
        metric: index.and_then(Index::metric),
        normalised: false,
        model: None,
        index: index.map(Index::spec),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<Field> {
        vec![
            Field { primary: true, ..Field::new(100, "pk", DataType::Int64) },
            Field { dim: Some(16), ..Field::new(101, "v", DataType::FloatVector) },
            Field::new(102, "s", DataType::VarChar),
            Field { dynamic: true, ..Field::new(103, DYNAMIC_FIELD, DataType::Json) },
        ]
    }

    fn schema(fields: &[Field], indexes: &[Index]) -> Result<CollectionSchema> {
        collection_schema("c", fields, indexes, serde_json::Map::new(), &Limits::default())
    }

    #[test]
    fn the_only_vector_is_unnamed_and_several_keep_their_names() {
        let one = schema(&fields(), &[]).unwrap();
        assert_eq!((one.vectors.len(), one.vectors[0].name.as_str(), one.vectors[0].dim), (1, "", Some(16)));
        assert_eq!((one.ids, &one.vendor[VENDOR]["vector_field"]), (IdKinds::Integer, &json!("v")));
        let more = [fields(), vec![Field { dim: Some(8), ..Field::new(104, "b", DataType::BinaryVector) }]].concat();
        let two = schema(&more, &[]).unwrap();
        let names: Vec<_> = two.vectors.iter().map(|v| (v.name.as_str(), v.kind)).collect();
        assert_eq!(names, [("b", VectorKind::Bits), ("v", VectorKind::Dense)]);
        let roles = Roles::of(&more).unwrap();
        assert_eq!((roles.primary, roles.scalars, roles.dynamic), (0, vec![2], Some(3)));
    }

    #[test]
    fn fields_that_make_no_collection_are_errors() {
        assert!(Roles::of(&fields()[1..]).is_err());
        assert!(Roles::of(&[fields(), fields()].concat()).is_err());
        let mut wide = fields();
        wide[1].dim = Some(1 << 40);
        assert!(schema(&wide, &[]).is_err());
        wide[0].data_type = DataType::Float;
        assert!(schema(&wide, &[]).is_err());
    }

    #[test]
    fn indexes_are_understood_in_both_shapes() {
        let params = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let flat = params(&[("metric_type", "COSINE"), ("M", "16"), ("efConstruction", "200")]);
        let nested = params(&[("metric_type", "COSINE"), ("params", r#"{"M":16,"efConstruction":"200"}"#)]);
        for params in [flat, nested] {
            let index = Index { field: "v".to_owned(), kind: "HNSW".to_owned(), params };
            let schema = schema(&fields(), std::slice::from_ref(&index)).unwrap();
            assert_eq!(schema.vectors[0].metric, Some(Metric::Cosine));
            let expected = IndexSpec::Hnsw { m: 16, ef_construction: 200, ef_search: None };
            assert_eq!(schema.vectors[0].index, Some(expected));
        }
        let other = Index { kind: "IVF_FLAT".to_owned(), params: params(&[("nlist", "128")]), ..Index::default() };
        assert!(
            matches!(other.spec(), IndexSpec::Other { name, settings } if name == "IVF_FLAT" && settings["nlist"] == "128")
        );
        let flat = Index { params: params(&[("index_type", "FLAT")]), ..Index::default() };
        assert_eq!((flat.spec(), flat.metric()), (IndexSpec::Flat, None));
    }

    #[test]
    fn types_are_known_by_number_and_by_any_spelling() {
        for (data_type, number, name) in TYPES {
            assert_eq!(DataType::of_number(number).unwrap(), data_type);
            assert_eq!(DataType::of_name(&name.to_uppercase()).unwrap(), data_type);
        }
        assert_eq!(DataType::of_name("SPARSE_FLOAT_VECTOR").unwrap(), DataType::SparseFloatVector);
        assert!(DataType::of_number(99).is_err() && DataType::of_name("tensor").is_err());
    }
}
