//! The vector columns of a collection, and the collection schema that they make.
//!
//! Columns come from `config.json` of the collection (`params.vectors`, one object for the unnamed vector or a map by
//! name, and `params.sparse_vectors`), or, for a shard without it, from the `segment.json` of its segments. Everything
//! else of the configuration travels verbatim under `vendor.qdrant`.
//!
//! Errors: damaged for settings that are no settings, limit for dimensions beyond it.

use std::fmt;

use serde_json::{Map, Value, json};
use tranship_collection::{CollectionSchema, Element, IdKinds, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::{Error, Result};
use tranship_storage::Limits;

use super::bytes::damaged;
use super::segment::element;
use crate::dialect;

/// A vector of the collection as its configuration and its segments declare it.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Empty for the unnamed vector.
    pub name: String,
    /// Dense, multi or sparse.
    pub kind: VectorKind,
    /// Element type in the files (`datatype`), also of multivectors; f32 for sparse ones.
    pub stored: Element,
    /// Elements of a row; 0 for sparse vectors.
    pub dim: usize,
    /// `None` for sparse vectors.
    pub metric: Option<Metric>,
}

/// The vectors of a collection, by name: the order of the columns in batches.
pub type Columns = Vec<Column>;

impl Column {
    /// The name of the vector's directory in a segment: `vector_storage` or `vector_storage-<name>`.
    pub fn directory(&self) -> String {
        if self.name.is_empty() { "vector_storage".to_owned() } else { format!("vector_storage-{}", self.name) }
    }

    /// Bytes of one row of elements in the files.
    pub fn row_bytes(&self) -> usize {
        self.dim * self.stored.bytes()
    }

    /// True if the engine stores the vectors at unit length.
    pub fn is_normalised(&self) -> bool {
        self.metric == Some(Metric::Cosine) && matches!(self.stored, Element::F32 | Element::F16)
    }

    /// The element type in batches: multivectors and sparse vectors are widened.
    pub fn emitted(&self) -> Element {
        if self.kind == VectorKind::Dense { self.stored } else { Element::F32 }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} vector `{}`", self.kind, self.name)?;
        match self.metric {
            Some(metric) => write!(f, " of {} {:?} ({})", self.dim, self.stored, metric.name()),
            None => Ok(()),
        }
    }
}

/// The columns that the `params` of a collection declare.
pub fn collection_columns(params: &Value, file: &str, limits: &Limits) -> Result<Columns> {
    let none = Value::Object(Map::new());
    let vectors = params.get("vectors").unwrap_or(&none);
    let mut columns = match vectors.get("size").is_some_and(Value::is_u64) {
        true => vec![dense_column("", vectors, file, limits)?],
        false => entries(vectors, file)?
            .map(|(name, settings)| dense_column(name, settings, file, limits))
            .collect::<Result<_>>()?,
    };
    columns.extend(entries(params.get("sparse_vectors").unwrap_or(&none), file)?.map(|(name, _)| sparse_column(name)));
    sorted(columns, file)
}

/// The columns that a `segment.json` declares.
pub fn segment_columns(segment: &Value, file: &str, limits: &Limits) -> Result<Columns> {
    let none = Value::Object(Map::new());
    let group = |name: &str| segment.get("config").and_then(|config| config.get(name)).unwrap_or(&none);
    let dense = entries(group("vector_data"), file)?;
    let mut columns: Columns =
        dense.map(|(name, settings)| dense_column(name, settings, file, limits)).collect::<Result<_>>()?;
    columns.extend(entries(group("sparse_vector_data"), file)?.map(|(name, _)| sparse_column(name)));
    sorted(columns, file)
}

fn sorted(mut columns: Columns, file: &str) -> Result<Columns> {
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    match columns.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(damaged(file, format!("a dense and a sparse vector are called `{}`", pair[0].name))),
        None => Ok(columns),
    }
}

fn entries<'a>(map: &'a Value, file: &str) -> Result<impl Iterator<Item = (&'a String, &'a Value)>> {
    match map {
        Value::Object(map) => Ok(Some(map).into_iter().flatten()),
        Value::Null => Ok(None.into_iter().flatten()),
        _ => Err(damaged(file, "its vectors are no map by name")),
    }
}

fn dense_column(name: &str, settings: &Value, file: &str, limits: &Limits) -> Result<Column> {
    let about = |what: &str| damaged(file, format!("vector `{name}` {what}"));
    let dim = settings.get("size").and_then(Value::as_u64).ok_or_else(|| about("has no size"))?;
    let distance = settings.get("distance").and_then(Value::as_str).ok_or_else(|| about("has no distance"))?;
    let metric = dialect::metric(distance).ok_or_else(|| about(&format!("has the unknown distance {distance:?}")))?;
    let dim = usize::try_from(dim).ok().filter(|dim| *dim <= limits.max_dim).ok_or_else(|| {
        Error::limit(format!("vector `{name}` has {dim} dimensions, the limit is {}", limits.max_dim))
            .with("file", file)
    })?;
    if dim == 0 {
        return Err(about("has no dimensions"));
    }
    let is_multi = settings.get("multivector_config").is_some_and(|config| !config.is_null());
    Ok(Column {
        name: name.to_owned(),
        kind: if is_multi { VectorKind::Multi } else { VectorKind::Dense },
        stored: element(settings.get("datatype").and_then(Value::as_str), file)?,
        dim,
        metric: Some(metric),
    })
}

fn sparse_column(name: &str) -> Column {
    Column { name: name.to_owned(), kind: VectorKind::Sparse, stored: Element::F32, dim: 0, metric: None }
}

/// What a dump says of a collection besides its vectors.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `config.json` of the collection.
    pub config: Option<Value>,
    /// `segment.json` of the shard's largest segment, where there is no collection configuration.
    pub segment: Option<Value>,
    /// `payload_index.json`.
    pub payload_index: Option<Value>,
    /// `shard_key_mapping.json`.
    pub shard_keys: Option<Value>,
    /// Other names of the collection.
    pub aliases: Vec<String>,
}

/// The schema of a collection. Ids are told once the trackers have been read.
pub fn collection_schema(name: &str, columns: &Columns, settings: &Settings, namespaced: bool) -> CollectionSchema {
    let mut schema = CollectionSchema::new(name);
    schema.ids = IdKinds::Mixed;
    schema.namespaced = namespaced;
    schema.aliases = settings.aliases.clone();
    schema.vectors = columns.iter().map(|column| vector_spec(column, settings)).collect();
    let mut vendor = Map::new();
    let mut put = |key: &str, value: &Option<Value>| {
        if let Some(value) = value {
            vendor.insert(key.to_owned(), value.clone());
        }
    };
    put("config", &settings.config);
    put("segment", &settings.segment);
    put("payload_index", &settings.payload_index);
    put("shard_keys", &settings.shard_keys);
    let widened = columns.iter().filter(|column| column.emitted() != column.stored);
    let widened: Map<String, Value> =
        widened.map(|column| (column.name.clone(), json!(format!("{:?}", column.stored).to_lowercase()))).collect();
    if !widened.is_empty() {
        vendor.insert("multivector_datatype".to_owned(), Value::Object(widened));
    }
    schema.vendor.insert("qdrant".to_owned(), Value::Object(vendor));
    schema
}

fn vector_spec(column: &Column, settings: &Settings) -> VectorSpec {
    VectorSpec {
        name: column.name.clone(),
        kind: column.kind,
        element: column.emitted(),
        dim: (column.kind != VectorKind::Sparse).then_some(column.dim),
        metric: Some(column.metric.unwrap_or(Metric::Dot)),
        normalised: column.is_normalised(),
        model: None,
        index: if column.kind == VectorKind::Sparse { None } else { index(column, settings) },
    }
}

/// The HNSW settings of a vector: its own over the collection's, or those of the segment.
fn index(column: &Column, settings: &Settings) -> Option<IndexSpec> {
    if let Some(config) = settings.config.as_ref().filter(|config| config.get("params").is_some()) {
        let vectors = config.pointer("/params/vectors");
        let own = if column.name.is_empty() { vectors } else { vectors.and_then(|all| all.get(&column.name)) };
        return dialect::index_spec(own.and_then(|own| own.get("hnsw_config")), config.get("hnsw_config"));
    }
    let segment = settings.segment.as_ref()?;
    let own = segment.get("config")?.get("vector_data")?.get(&column.name)?.get("index")?;
    dialect::index_spec(own.get("options"), None)
}
