//! How Azure AI Search calls things and what it cannot hold: data and pure functions.
//!
//! Source: Microsoft's REST reference, naming rules and service limits (2026): 1,000 documents and 16 MB per request,
//! keys of 1,024 characters, vectors of 2 to 4,096 dimensions, texts that are filtered by of 32,766 bytes.

use serde_json::{Map, Value, json};
use tranship_bundle::json::{kept_vectors, reserved_keys, vector_fields, without_underscore};
use tranship_bundle::plan::clamped;
use tranship_collection::{Element, IndexSpec, Metric, VectorSpec};
use tranship_connector::native::FieldType;
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Keys, MetadataRules, Nested, RowRules, TextIds, VectorRules,
};
use tranship_connector::{Grade, Loss, Mapping, Rules};

/// What Azure AI Search can hold.
pub const RULES: Rules = Rules {
    target: "azure",
    title: "Azure AI Search",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: 1024, max_chars: usize::MAX, chars: Chars::UrlBase64 },
    },
    namespaces: false,
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
        elements: &[Element::F32, Element::F16, Element::I8],
        max_dim: 4096,
        max_dense: 100,
        max_sparse: 0,
        multi: false,
        bits: false,
        metrics: &[Metric::Cosine, Metric::L2, Metric::Dot],
        normalises: false,
    },
    rows: RowRules { finite: true, nonzero_under_cosine: true, ..RowRules::ANY },
};

/// Least dimensions of a vector.
pub const MIN_DIM: usize = 2;
/// Most documents of a request.
pub const BODY_DOCUMENTS: u64 = 1000;
/// Most bytes of a request that we write; the service takes about 16 MB.
pub const BODY_BYTES: u64 = 15_000_000;
/// Most bytes of a text that is filtered by.
pub const FILTERABLE_BYTES: usize = 32_766;
/// Most fields that are declared, without ours and the vectors; an index has at most 1,000.
pub const MAX_FIELDS: usize = 800;
/// Field of the key.
pub const KEY: &str = "id";
/// Types of fields: all of them.
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

/// Azure's name of a metric, if it has it.
pub fn metric_name(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Cosine => Some("cosine"),
        Metric::L2 => Some("euclidean"),
        Metric::Dot => Some("dotProduct"),
        _ => None,
    }
}

fn type_name(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Bool => "Edm.Boolean",
        FieldType::Integer => "Edm.Int64",
        FieldType::Float => "Edm.Double",
        FieldType::Text => "Edm.String",
        FieldType::Bools => "Collection(Edm.Boolean)",
        FieldType::Integers => "Collection(Edm.Int64)",
        FieldType::Floats => "Collection(Edm.Double)",
        FieldType::Texts => "Collection(Edm.String)",
    }
}

fn vector_type(element: Element) -> &'static str {
    match element {
        Element::F16 => "Collection(Edm.Half)",
        Element::I8 => "Collection(Edm.SByte)",
        _ => "Collection(Edm.Single)",
    }
}

/// True for a metadata key that can be a field's name.
pub fn allowed_field(mapping: &Mapping) -> impl Fn(&str) -> bool + use<> {
    let vectors = vector_fields(mapping, None);
    move |key| {
        let own = key == KEY || key.starts_with("azureSearch") || key.starts_with("tranship_");
        let good = Keys::Identifier.hold(key) && !key.starts_with('_') && key.len() <= 128;
        good && !own && !vectors.iter().any(|field| field == key)
    }
}

/// The algorithm of an index, with what it cannot carry.
pub fn algorithm(index: Option<&IndexSpec>, metric: Option<&str>, path: &str) -> (Value, Vec<Loss>) {
    match index {
        Some(IndexSpec::Flat) => {
            (json!({ "kind": "exhaustiveKnn", "exhaustiveKnnParameters": { "metric": metric } }), Vec::new())
        }
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let (m, m_loss) = clamped("m", *m, 4..=10, path);
            let (ef, ef_loss) = clamped("ef_construction", *ef_construction, 100..=1000, path);
            let mut parameters = json!({ "m": m, "efConstruction": ef, "metric": metric });
            let mut losses: Vec<Loss> = m_loss.into_iter().chain(ef_loss).collect();
            if let Some(search) = ef_search {
                let (search, loss) = clamped("ef_search", *search, 100..=1000, path);
                parameters["efSearch"] = json!(search);
                losses.extend(loss);
            }
            (json!({ "kind": "hnsw", "hnswParameters": parameters }), losses)
        }
        other => {
            let name = |index: &IndexSpec| match index {
                IndexSpec::Other { name, .. } => format!("index {name}"),
                _ => "no settings".to_owned(),
            };
            let to = "HNSW with Azure's own settings";
            let loss = other.map(|index| Loss::new("INDEX_SETTINGS", path, name(index), to, Grade::Lossy));
            (json!({ "kind": "hnsw", "hnswParameters": { "metric": metric } }), loss.into_iter().collect())
        }
    }
}

/// The body of `PUT /indexes/{i}`.
pub fn index(mapping: &Mapping) -> Value {
    let mut fields = vec![json!({
        "name": KEY, "type": "Edm.String", "key": true, "filterable": true, "sortable": true, "retrievable": true,
    })];
    let (mut algorithms, mut profiles) = (Vec::new(), Vec::new());
    for (spec, field) in kept_vectors(mapping).zip(vector_fields(mapping, None)) {
        fields.push(vector_field(spec, &field));
        let metric = mapping.metrics.get(&spec.name).copied().and_then(metric_name);
        let (mut own, _) = algorithm(spec.index.as_ref(), metric, "");
        own["name"] = json!(format!("algorithm-{field}"));
        algorithms.push(own);
        profiles.push(json!({ "name": format!("profile-{field}"), "algorithm": format!("algorithm-{field}") }));
    }
    for key in reserved_keys(mapping) {
        let searched = Some(key) == mapping.document_key.as_deref();
        let filtered = Some(key) == mapping.namespace_key.as_deref();
        fields.push(json!({
            "name": without_underscore(key), "type": "Edm.String", "searchable": searched, "filterable": filtered,
            "sortable": false, "facetable": false, "retrievable": true,
        }));
    }
    for (key, kind) in mapping.fields.iter().flatten() {
        fields.push(json!({ "name": key, "type": type_name(*kind), "filterable": true, "retrievable": true }));
    }
    let mut index = Map::new();
    index.insert("name".to_owned(), json!(mapping.collection));
    index.insert("fields".to_owned(), Value::Array(fields));
    if !profiles.is_empty() {
        index.insert("vectorSearch".to_owned(), json!({ "algorithms": algorithms, "profiles": profiles }));
    }
    Value::Object(index)
}

fn vector_field(spec: &VectorSpec, field: &str) -> Value {
    json!({
        "name": field, "type": vector_type(spec.element), "dimensions": spec.dim, "searchable": true,
        "retrievable": true, "stored": true, "vectorSearchProfile": format!("profile-{field}"),
    })
}

/// What is wrong with an index name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(2..=128).contains(&name.len()) {
        return Some("index names have 2 to 128 characters".to_owned());
    }
    let good = name.bytes().all(plain) && !name.starts_with('-') && !name.ends_with('-') && !name.contains("--");
    (!good).then(|| "index names consist of lower-case letters, digits and single `-` between them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_settings_are_brought_into_range_and_told() {
        let hnsw = IndexSpec::Hnsw { m: 16, ef_construction: 200, ef_search: Some(80) };
        let (value, losses) = algorithm(Some(&hnsw), Some("cosine"), "vector");
        let wanted = json!({ "m": 10, "efConstruction": 200, "efSearch": 100, "metric": "cosine" });
        assert_eq!(value["hnswParameters"], wanted);
        assert_eq!(losses.len(), 2);
        assert_eq!(algorithm(Some(&IndexSpec::Flat), Some("cosine"), "").0["kind"], "exhaustiveKnn");
    }

    #[test]
    fn index_names_are_checked() {
        assert!(["ab", "a-1"].iter().all(|name| name_fault(name).is_none()));
        assert!(["a", "A1", "-ab", "a--b", "a_b"].iter().all(|name| name_fault(name).is_some()));
    }
}
