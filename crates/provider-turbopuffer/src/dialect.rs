//! How turbopuffer calls things and what it cannot hold: data and pure functions.
//!
//! Source: turbopuffer's documentation of writes, schemas and limits (2026). One kind of id per namespace, so all ids
//! are texts. An attribute has one type, which its first write fixes; so the schema is stated in every body.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use tranship_bundle::json::{kept_vectors, reserved_keys};
use tranship_collection::{Element, IdKind, IndexSpec, Metric};
use tranship_connector::mapping::mapped_id;
use tranship_connector::native::FieldType;
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Keys, MetadataRules, Nested, RowRules, TextIds, VectorRules,
};
use tranship_connector::{Grade, Loss, Mapping, Rules};

/// What turbopuffer can hold.
pub const RULES: Rules = Rules {
    target: "turbopuffer",
    title: "turbopuffer",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: 64, max_chars: usize::MAX, chars: Chars::NoNul },
    },
    namespaces: true,
    documents: false,
    metadata: Some(MetadataRules {
        nulls: false,
        nested: Nested::AsText,
        keys: Keys::Identifier,
        nul: false,
        max_value_bytes: Some(FILTERABLE_BYTES),
        ..MetadataRules::JSON
    }),
    vectors: VectorRules {
        elements: &[Element::F32, Element::F16],
        max_dim: 10_752,
        max_dense: 1,
        max_sparse: 0,
        multi: false,
        bits: false,
        metrics: &[Metric::L2, Metric::Cosine],
        normalises: false,
    },
    rows: RowRules {
        vector_required: true,
        finite: true,
        // Without a direction there is no cosine, so no search would find it.
        nonzero_under_cosine: true,
        max_document_bytes: Some(8 << 20),
        ..RowRules::ANY
    },
};

/// The attribute of the vector.
pub const VECTOR: &str = "vector";
/// Most bytes of a value that can be filtered by.
pub const FILTERABLE_BYTES: usize = 4096;
/// Most attributes that are declared; ours come on top of them.
pub const MAX_FIELDS: usize = 250;
/// Types of attributes.
pub const TYPES: &[FieldType] = &[
    FieldType::Bool,
    FieldType::Integer,
    FieldType::Float,
    FieldType::Text,
    FieldType::Bools,
    FieldType::Integers,
    FieldType::Floats,
    FieldType::Texts,
];

const MAX_NAME_BYTES: usize = 128;

/// turbopuffer's name of a metric, if it has it.
pub fn distance_metric(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Cosine => Some("cosine_distance"),
        Metric::L2 => Some("euclidean_squared"),
        _ => None,
    }
}

/// The name of an attribute's type.
pub fn type_name(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Bool => "bool",
        FieldType::Integer => "int",
        FieldType::Float => "float",
        FieldType::Text => "string",
        FieldType::Bools => "[]bool",
        FieldType::Integers => "[]int",
        FieldType::Floats => "[]float",
        FieldType::Texts => "[]string",
    }
}

/// True for a metadata key that can be an attribute's name.
pub fn allowed_field(key: &str) -> bool {
    Keys::Identifier.hold(key) && key.len() <= MAX_NAME_BYTES && key != "id" && key != VECTOR
}

/// The schema of a namespace: types, and what is not filtered by.
pub fn schema(mapping: &Mapping) -> Value {
    let mut schema = Map::new();
    schema.insert("id".to_owned(), json!("string"));
    for spec in kept_vectors(mapping) {
        let width = if spec.element == Element::F16 { "f16" } else { "f32" };
        let kind = format!("[{}]{width}", spec.dim.unwrap_or(0));
        schema.insert(VECTOR.to_owned(), json!({ "type": kind, "ann": true }));
    }
    for key in reserved_keys(mapping) {
        schema.insert(key.to_owned(), json!({ "type": "string", "filterable": false }));
    }
    for (key, kind) in mapping.fields.iter().flatten() {
        schema.insert(key.clone(), json!({ "type": type_name(*kind) }));
    }
    Value::Object(schema)
}

/// What an index loses: turbopuffer tunes its own.
pub fn index_loss(index: Option<&IndexSpec>, path: &str) -> Option<Loss> {
    let (from, grade) = match index? {
        IndexSpec::Flat => ("no index".to_owned(), Grade::Lossy),
        IndexSpec::Hnsw { m, ef_construction, .. } => (format!("hnsw {m}, {ef_construction}"), Grade::Equivalent),
        IndexSpec::Other { name, .. } => (format!("index {name}"), Grade::Lossy),
    };
    Some(Loss::new("INDEX_SETTINGS", path, from, "turbopuffer's own index, which has no settings", grade))
}

/// What is wrong with a collection name, if anything. Two points stand between it and a namespace of the source.
pub fn name_fault(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.len() > MAX_NAME_BYTES {
        return Some(format!("it is longer than {MAX_NAME_BYTES} bytes"));
    }
    if !name.bytes().all(plain) {
        return Some("names consist of letters, digits, `-`, `_` and `.`".to_owned());
    }
    name.contains("..").then(|| "two points in a row stand before the source's namespaces".to_owned())
}

/// The namespace at turbopuffer for one of the source: `c` for the default one, else `c..name`, with `.XX` for every
/// byte that no name holds. One that becomes too long has a UUID in place of its name.
pub fn namespace(collection: &str, namespace: &str) -> String {
    if namespace.is_empty() {
        return collection.to_owned();
    }
    let mut name = format!("{collection}..");
    for byte in namespace.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            _ => {
                let _infallible = write!(name, ".{byte:02X}");
            }
        }
    }
    if name.len() <= MAX_NAME_BYTES {
        return name;
    }
    let room = MAX_NAME_BYTES - 40;
    let uuid = mapped_id("", IdKind::Text, namespace).hyphenated();
    format!("{}...{uuid}", &collection[..collection.len().min(room)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_get_names_of_their_own() {
        assert_eq!(namespace("c", ""), "c");
        assert_eq!(namespace("c", "tenant ü.x"), "c..tenant.20.C3.BC.2Ex");
        let long = ["x".repeat(200), "x".repeat(201)].map(|name| namespace("c", &name));
        assert_ne!(long[0], long[1]);
        assert!(long.iter().all(|name| name.len() <= 128 && name.starts_with("c...")));
        assert!(name_fault("a..b").is_some() && name_fault("a/b").is_some() && name_fault("a.b-c_1").is_none());
    }

    #[test]
    fn every_metric_of_the_rules_has_a_name() {
        assert!(RULES.vectors.metrics.iter().all(|metric| distance_metric(*metric).is_some()));
        assert_eq!(distance_metric(Metric::Dot), None);
    }
}
