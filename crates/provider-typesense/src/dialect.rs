//! How Typesense calls things and what it cannot hold: data and pure functions.
//!
//! Source: Typesense's documentation of collections, documents and vector search (v30). A document id that is no text,
//! or needs encoding in a URL, is not taken as the id; so ids are texts of plain characters. Distances are cosine and
//! inner product only.

use serde_json::{Value, json};
use tranship_bundle::json::{kept_vectors, vector_fields};
use tranship_collection::{Element, IndexSpec, Metric};
use tranship_connector::native::FieldType;
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Keys, MetadataRules, Nested, RowRules, TextIds, VectorRules,
};
use tranship_connector::{Grade, Loss, Mapping, Rules};

/// What Typesense can hold.
pub const RULES: Rules = Rules {
    target: "typesense",
    title: "Typesense",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: 512, max_chars: usize::MAX, chars: Chars::Url },
    },
    namespaces: false,
    documents: false,
    metadata: Some(MetadataRules {
        nulls: false,
        nested: Nested::AsText,
        keys: Keys::Identifier,
        nul: false,
        ..MetadataRules::JSON
    }),
    vectors: VectorRules {
        elements: &[Element::F32],
        max_dim: 65_536,
        max_dense: usize::MAX,
        max_sparse: 0,
        multi: false,
        bits: false,
        metrics: &[Metric::Dot, Metric::Cosine],
        normalises: false,
    },
    // A zero vector has no direction, so no search by cosine would find it.
    rows: RowRules { finite: true, nonzero_under_cosine: true, ..RowRules::ANY },
};

/// Most fields that are declared, without ours and the vectors.
pub const MAX_FIELDS: usize = 1000;
/// Types of fields.
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

/// Typesense's name of a metric, if it has it.
pub fn vec_dist(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Cosine => Some("cosine"),
        Metric::Dot => Some("ip"),
        _ => None,
    }
}

/// The name of a field's type.
pub fn type_name(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Bool => "bool",
        FieldType::Integer => "int64",
        FieldType::Float => "float",
        FieldType::Text => "string",
        FieldType::Bools => "bool[]",
        FieldType::Integers => "int64[]",
        FieldType::Floats => "float[]",
        FieldType::Texts => "string[]",
    }
}

/// `hnsw_params` of an index, with what they cannot carry.
pub fn hnsw_params(index: Option<&IndexSpec>, path: &str) -> (Option<Value>, Vec<Loss>) {
    let loss = |from: String, to: &str, grade| vec![Loss::new("INDEX_SETTINGS", path, from, to, grade)];
    match index {
        None => (None, Vec::new()),
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let ef = |ef: u32| {
                let to = format!("to be sent with each query as vector_query ef:{ef}");
                Loss::new("EF_SEARCH", path, format!("ef_search {ef} of the index"), to, Grade::Equivalent)
            };
            (Some(json!({ "M": m, "ef_construction": ef_construction })), ef_search.map(ef).into_iter().collect())
        }
        Some(IndexSpec::Flat) => {
            (None, loss("no index".to_owned(), "HNSW; flat_search_cutoff of a query scans", Grade::Equivalent))
        }
        Some(IndexSpec::Other { name, .. }) => {
            (None, loss(format!("index {name}"), "HNSW with Typesense's own settings", Grade::Lossy))
        }
    }
}

/// True for a metadata key that can be a field's name.
pub fn allowed_field(mapping: &Mapping) -> impl Fn(&str) -> bool + use<> {
    let vectors = vector_fields(mapping, None);
    move |key| Keys::Identifier.hold(key) && key != "id" && !vectors.iter().any(|field| field == key)
}

/// The body of `POST /collections`.
pub fn schema(mapping: &Mapping) -> Value {
    let mut fields = Vec::new();
    for (spec, field) in kept_vectors(mapping).zip(vector_fields(mapping, None)) {
        let metric = mapping.metrics.get(&spec.name).copied().unwrap_or(Metric::Cosine);
        let mut vector = json!({
            "name": field, "type": "float[]", "num_dim": spec.dim, "vec_dist": vec_dist(metric), "optional": true,
        });
        if let (Some(params), _) = hnsw_params(spec.index.as_ref(), "") {
            vector["hnsw_params"] = params;
        }
        fields.push(vector);
    }
    for key in tranship_bundle::json::reserved_keys(mapping) {
        let searched = Some(key) == mapping.document_key.as_deref() || Some(key) == mapping.namespace_key.as_deref();
        fields.push(json!({ "name": key, "type": "string", "optional": true, "index": searched }));
    }
    for (key, kind) in mapping.fields.iter().flatten() {
        fields.push(json!({ "name": key, "type": type_name(*kind), "optional": true }));
    }
    json!({ "name": mapping.collection, "fields": fields })
}

/// What is wrong with a collection name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    let odd = name.chars().find(|c| c.is_control() || matches!(c, '/' | '?' | '#'));
    odd.map(|c| format!("it contains {c:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_rules_has_a_name() {
        assert!(RULES.vectors.metrics.iter().all(|metric| vec_dist(*metric).is_some()));
    }
}
