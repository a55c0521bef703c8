//! What Milvus can hold, and the bodies that make a collection and its indexes.
//!
//! Sources: limits and types of Milvus 2.3 to 2.6, REST v2.

use serde_json::{Value, json};
use tranship_bundle::plan::clamped;
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{Element, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Keys, MetadataRules, Numbers, RowRules, TextIds, VectorRules,
};
use tranship_connector::{Grade, Loss, Mapping, Rules};

use super::fields;

/// Most bytes of a VarChar and of a JSON value.
const MAX_TEXT: usize = 65_535;

/// Milvus 2.4 and later.
pub const RULES: Rules = Rules {
    target: "milvus",
    title: "Milvus",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: MAX_TEXT, max_chars: usize::MAX, chars: Chars::NoNul },
    },
    namespaces: false,
    documents: false,
    // A key `$meta` within the dynamic field could not be told from the field.
    metadata: Some(MetadataRules { numbers: Numbers::I64, keys: Keys::NoDollar, ..MetadataRules::JSON }),
    vectors: VectorRules {
        elements: &[Element::F32, Element::F16, Element::BF16],
        max_dim: 32_768,
        max_dense: 4,
        max_sparse: 4,
        multi: false,
        bits: true,
        metrics: &[Metric::Cosine, Metric::Dot, Metric::L2],
        normalises: false,
    },
    rows: RowRules {
        vector_required: true,
        every_vector: true,
        finite: true,
        max_metadata_bytes: Some(MAX_TEXT),
        ..RowRules::ANY
    },
};

/// Milvus 2.3: one vector for each collection, of f32 or bits ([`super::fields::keep_one`]).
pub const RULES_2_3: Rules =
    Rules { vectors: VectorRules { elements: &[Element::F32], max_dense: 1, max_sparse: 0, ..RULES.vectors }, ..RULES };

/// What is wrong with a collection name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    let first = name.chars().next()?;
    if !(first.is_ascii_alphabetic() || first == '_') {
        return Some("it does not begin with a letter or `_`".to_owned());
    }
    if name.len() > 255 {
        return Some("it is longer than 255 bytes".to_owned());
    }
    let odd = name.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '_'));
    odd.map(|c| format!("it contains {c:?}"))
}

/// Index settings that Milvus takes otherwise, and more vectors than it has room for.
pub fn losses(mapping: &Mapping) -> Vec<Loss> {
    fields::kept(mapping).flat_map(|spec| index(spec).1).collect()
}

/// The body of `POST /v2/vectordb/collections/create`: no index, so that nothing is built while rows come in.
pub fn create_body(mapping: &Mapping) -> Value {
    let integer = mapping.ids.integers == IntegerIds::I64;
    let key = match integer {
        true => json!({ "fieldName": fields::key(mapping), "dataType": "Int64", "isPrimary": true }),
        false => json!({
            "fieldName": fields::key(mapping), "dataType": "VarChar", "isPrimary": true,
            "elementTypeParams": { "max_length": mapping.form["max_length"].to_string() }
        }),
    };
    let vector = |spec: &VectorSpec| {
        let name = fields::vector(mapping, &spec.name);
        match spec.kind {
            VectorKind::Sparse => json!({ "fieldName": name, "dataType": data_type(spec) }),
            _ => json!({
                "fieldName": name, "dataType": data_type(spec), "elementTypeParams": { "dim": dim(spec).to_string() }
            }),
        }
    };
    let all: Vec<Value> = std::iter::once(key).chain(fields::kept(mapping).map(vector)).collect();
    json!({
        "collectionName": mapping.collection,
        "schema": { "autoId": false, "enableDynamicField": true, "fields": all }
    })
}

/// Bits come in bytes.
pub fn dim(spec: &VectorSpec) -> usize {
    let dim = spec.dim.unwrap_or(0);
    if spec.kind == VectorKind::Bits { dim.next_multiple_of(8) } else { dim }
}

fn data_type(spec: &VectorSpec) -> &'static str {
    match (spec.kind, spec.element) {
        (VectorKind::Sparse, _) => "SparseFloatVector",
        (VectorKind::Bits, _) => "BinaryVector",
        (_, Element::F16) => "Float16Vector",
        (_, Element::BF16) => "BFloat16Vector",
        _ => "FloatVector",
    }
}

/// The body of `POST /v2/vectordb/indexes/create`.
pub fn index_body(mapping: &Mapping) -> Value {
    let one = |spec: &VectorSpec| {
        let (params, _) = index(spec);
        let metric = match (spec.kind, mapping.metrics.get(&spec.name).copied().or(spec.metric)) {
            (VectorKind::Sparse, _) => "IP",
            (VectorKind::Bits, Some(Metric::Jaccard)) => "JACCARD",
            (VectorKind::Bits, _) => "HAMMING",
            (_, Some(Metric::Dot)) => "IP",
            (_, Some(Metric::L2)) => "L2",
            _ => "COSINE",
        };
        let field = fields::vector(mapping, &spec.name);
        json!({ "fieldName": field, "indexName": field, "metricType": metric, "params": params })
    };
    let all: Vec<Value> = fields::kept(mapping).map(one).collect();
    json!({ "collectionName": mapping.collection, "indexParams": all })
}

fn index(spec: &VectorSpec) -> (Value, Vec<Loss>) {
    let path = vector_component(&spec.name);
    match (spec.kind, &spec.index) {
        (VectorKind::Sparse, _) => (json!({ "index_type": "SPARSE_INVERTED_INDEX" }), Vec::new()),
        (VectorKind::Bits, _) => (json!({ "index_type": "BIN_FLAT" }), Vec::new()),
        (_, None) => (json!({ "index_type": "AUTOINDEX" }), Vec::new()),
        (_, Some(IndexSpec::Flat)) => (json!({ "index_type": "FLAT" }), Vec::new()),
        (_, Some(IndexSpec::Hnsw { m, ef_construction, ef_search })) => {
            let (m, of_m) = clamped("m", *m, 2..=2048, &path);
            let (ef, of_ef) = clamped("ef_construction", *ef_construction, 1..=i32::MAX as u32, &path);
            let search = ef_search.map(|ef| {
                let to = format!("to be sent with each search as params.ef = {ef}");
                Loss::new("EF_SEARCH", &path, format!("ef_search {ef} of the index"), to, Grade::Equivalent)
            });
            let losses = of_m.into_iter().chain(of_ef).chain(search).collect();
            (json!({ "index_type": "HNSW", "M": m, "efConstruction": ef }), losses)
        }
        (_, Some(IndexSpec::Other { name, .. })) => {
            let to = "AUTOINDEX with the server's settings";
            let loss = Loss::new("INDEX_SETTINGS", &path, format!("index {name}"), to, Grade::Lossy);
            (json!({ "index_type": "AUTOINDEX" }), vec![loss])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers() {
        assert_eq!(name_fault("a_1"), None);
        assert!(name_fault("1a").is_some() && name_fault("a-b").is_some() && name_fault(&"x".repeat(256)).is_some());
    }
}
