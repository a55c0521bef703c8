//! How the layouts call their columns, and what stands in each: data and pure functions.
//!
//! | layout | id | document | unnamed vector | files |
//! |---|---|---|---|---|
//! | hf | `id`, int64 or text | `text` | `embedding` | `train-*` |
//! | vectordbbench | `id`, int64 | `text` | `emb` | `train-*` |
//! | vdf | `id`, text | `document` | `vector` | any, listed by directory in VDF_META.json |
//!
//! Named vectors are columns under their names, metadata keys of one type as well. Sources: datasets of the Hugging Face
//! hub, zilliztech/VectorDBBench (`backend/dataset.py`), AI-Northstar-Tech/vector-io (`meta_types.py`).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tranship_collection::{CollectionSchema, VectorKind, VectorSpec};
use tranship_connector::mapping::{EXACT_KEY, ID_KEY, NAMESPACE_KEY};
use tranship_connector::{Error, Mapping, Result};

/// Column of ids.
pub const ID: &str = "id";
/// Column of namespaces.
pub const NAMESPACE: &str = "namespace";
/// Column that tells integer ids from texts, where there are both.
pub const INTEGER_ID: &str = "_tranship_integer_id";
/// Column that tells metadata without entries from none.
pub const EMPTY_METADATA: &str = "_tranship_empty_metadata";
/// Metadata keys that become columns at most.
pub const MAX_FIELDS: usize = 512;

/// One layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// As `--target-option layout=` takes it.
    pub name: &'static str,
    /// For sentences.
    pub title: &'static str,
    /// Column of documents.
    pub document: &'static str,
    /// Column of the unnamed vector.
    pub vector: &'static str,
    /// File name before the number of the split.
    pub stem: &'static str,
    /// Ids are text, whatever they are at the source.
    pub text_ids: bool,
    /// Ids must be integers of 64 bits.
    pub integer_ids: bool,
}

const HF: Layout = Layout {
    name: "hf",
    title: "Hugging Face",
    document: "text",
    vector: "embedding",
    stem: "train",
    text_ids: false,
    integer_ids: false,
};

/// All layouts.
pub static LAYOUTS: [Layout; 3] = [
    HF,
    Layout { name: "vectordbbench", title: "VectorDBBench", vector: "emb", integer_ids: true, ..HF },
    Layout { name: "vdf", title: "VDF", document: "document", vector: "vector", stem: "part", text_ids: true, ..HF },
];

impl Layout {
    /// The layout called `name`.
    pub fn named(name: &str) -> Result<&'static Layout> {
        LAYOUTS.iter().find(|layout| layout.name == name).ok_or_else(|| {
            Error::usage(format!("`--target-option layout={name}` is unknown"))
                .hint("known are hf, vectordbbench, vdf and csv")
        })
    }

    /// The layout that a mapping settled on.
    pub fn of(mapping: &Mapping) -> &'static Layout {
        let name = mapping.form.get("layout").and_then(Value::as_str).unwrap_or_default();
        LAYOUTS.iter().find(|layout| layout.name == name).unwrap_or(&LAYOUTS[0])
    }

    /// The column of a vector.
    pub fn vector_column(&self, spec: &VectorSpec) -> String {
        let own = if spec.name.is_empty() { self.vector } else { &spec.name };
        match spec.kind {
            VectorKind::Dense if !self.fixed().contains(&own) || own == self.vector => own.to_owned(),
            VectorKind::Dense => format!("{}_{own}", self.vector),
            VectorKind::Sparse => format!("sparse_{own}"),
            VectorKind::Multi => format!("multi_{own}"),
            VectorKind::Bits => format!("bits_{own}"),
        }
    }

    /// The columns that no metadata key may be called.
    pub fn taken(&self, schema: &CollectionSchema) -> BTreeSet<String> {
        let fixed = self.fixed().into_iter().map(str::to_owned);
        fixed.chain(schema.stored_vectors().map(|spec| self.vector_column(spec))).collect()
    }

    fn fixed(&self) -> [&'static str; 9] {
        let document = self.document;
        [ID, NAMESPACE, document, self.vector, INTEGER_ID, EMPTY_METADATA, ID_KEY, EXACT_KEY, NAMESPACE_KEY]
    }
}

/// How ids stand in their column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// As int64.
    Integers,
    /// As text; every one is an integer at the source.
    Digits,
    /// As text; none is an integer.
    Texts,
    /// As text, with a column that tells which are integers.
    Both,
}

impl Ids {
    /// As a mapping says.
    pub fn of(mapping: &Mapping) -> Self {
        match mapping.form.get("ids").and_then(Value::as_str) {
            Some("integers") => Ids::Integers,
            Some("digits") => Ids::Digits,
            Some("texts") => Ids::Texts,
            _ => Ids::Both,
        }
    }

    /// The word in a mapping.
    pub fn word(self) -> &'static str {
        match self {
            Ids::Integers => "integers",
            Ids::Digits => "digits",
            Ids::Texts => "texts",
            Ids::Both => "both",
        }
    }
}

/// `VDF_META.json` of one collection, whose files lie in `data`. The version is that of the format's last release; there is no
/// time in it, for the same records give the same bytes.
pub fn vdf_meta(mapping: &Mapping, layout: &Layout, rows: u64) -> Value {
    let dense = || mapping.schema.stored_vectors().filter(|spec| spec.kind == VectorKind::Dense);
    let first = dense().find(|spec| spec.name.is_empty()).or_else(|| dense().next());
    let columns: Vec<String> = dense().map(|spec| layout.vector_column(spec)).collect();
    let index = json!({
        "namespace": "",
        "index_name": mapping.collection,
        "total_vector_count": rows,
        "exported_vector_count": rows,
        "dimensions": first.and_then(|spec| spec.dim).unwrap_or(0),
        "model_name": first.and_then(|spec| spec.model.as_deref()).unwrap_or(""),
        "vector_columns": columns,
        "data_path": "data",
        "metric": first.and_then(|spec| spec.metric).map(vdf_metric),
    });
    json!({
        "version": "0.1",
        "file_structure": ["data"],
        "author": "tranship",
        "exported_from": "tranship",
        "exported_at": "",
        "id_column": ID,
        "indexes": { mapping.collection.as_str(): [index] },
    })
}

fn vdf_metric(metric: tranship_collection::Metric) -> &'static str {
    match metric {
        tranship_collection::Metric::Cosine => "Cosine",
        tranship_collection::Metric::Dot => "Dot",
        tranship_collection::Metric::L2 => "Euclid",
        tranship_collection::Metric::L1 => "Manhattan",
        other => other.name(),
    }
}
