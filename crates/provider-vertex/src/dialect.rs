//! How Vertex AI Vector Search calls things and what it cannot hold: data and pure functions.
//!
//! Source: Google's documentation of the input data format and of index configuration (2026). Metadata is a protobuf
//! `Struct` there, whose numbers are doubles. Only restricts are filtered by; they stand beside the metadata.

use serde_json::{Value, json};
use tranship_bundle::json::kept_vectors;
use tranship_collection::{Element, IndexSpec, Metric, VectorKind};
use tranship_connector::native::FieldType;
use tranship_connector::rules::{Chars, IdRules, IntegerIds, MetadataRules, Numbers, RowRules, TextIds, VectorRules};
use tranship_connector::{Grade, Loss, Mapping, Rules, Survey};

/// What Vector Search can hold.
pub const RULES: Rules = Rules {
    target: "vertex",
    title: "Vertex AI Vector Search",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: usize::MAX, max_chars: usize::MAX, chars: Chars::NoNul },
    },
    namespaces: false,
    documents: false,
    metadata: Some(MetadataRules {
        numbers: Numbers::Double,
        nul: false,
        // A level takes three of the hundred that protobuf parsers follow.
        max_depth: 30,
        ..MetadataRules::JSON
    }),
    vectors: VectorRules {
        elements: &[Element::F32],
        max_dim: 65_536,
        max_dense: 1,
        max_sparse: 1,
        multi: false,
        bits: false,
        metrics: &[Metric::Dot, Metric::Cosine, Metric::L2],
        normalises: false,
    },
    rows: RowRules { vector_required: true, finite: true, nonzero_under_cosine: true, ..RowRules::ANY },
};

/// Most files of a batch.
pub const MAX_FILES: u64 = 5000;
/// Most keys that become restricts.
const MAX_RESTRICTS: usize = 100;

/// Google's name of a metric, if it has it.
pub fn distance_measure(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Cosine => Some("COSINE_DISTANCE"),
        Metric::Dot => Some("DOT_PRODUCT_DISTANCE"),
        Metric::L2 => Some("SQUARED_L2_DISTANCE"),
        _ => None,
    }
}

/// What a metadata entry of a type becomes among the restricts: `allow`, `int` or `double`.
pub fn restrict_kind(field: FieldType) -> Option<&'static str> {
    match field {
        FieldType::Text | FieldType::Texts | FieldType::Bool => Some("allow"),
        FieldType::Integer => Some("int"),
        FieldType::Float => Some("double"),
        FieldType::Bools | FieldType::Integers | FieldType::Floats => None,
    }
}

/// The metadata keys that become restricts, with the kind that they become.
pub fn restricts(mapping: &Mapping, survey: &Survey) -> Value {
    let typed = survey.mostly_typed_fields().into_iter().filter_map(|(key, field)| Some((key, restrict_kind(field)?)));
    let namespace = mapping.namespace_key.iter().map(|key| (key.clone(), "allow"));
    typed.take(MAX_RESTRICTS).chain(namespace).map(|(key, kind)| (key, json!(kind))).collect()
}

/// What an index loses.
pub fn index_loss(index: Option<&IndexSpec>, path: &str) -> Option<Loss> {
    let (from, grade) = match index? {
        // Brute force is an index of its own.
        IndexSpec::Flat => return None,
        IndexSpec::Hnsw { m, ef_construction, .. } => (format!("hnsw {m}, {ef_construction}"), Grade::Lossy),
        IndexSpec::Other { name, .. } => (format!("index {name}"), Grade::Lossy),
    };
    Some(Loss::new("INDEX_SETTINGS", path, from, "tree-AH with Google's own settings", grade))
}

/// The metadata file of `gcloud ai indexes create`; the address of the files is filled in by `load.sh`.
pub fn index(mapping: &Mapping) -> Value {
    let dense = kept_vectors(mapping).find(|spec| spec.kind == VectorKind::Dense);
    let metric = dense.and_then(|spec| mapping.metrics.get(&spec.name)).copied().and_then(distance_measure);
    let algorithm = match dense.and_then(|spec| spec.index.as_ref()) {
        Some(IndexSpec::Flat) => json!({ "bruteForceConfig": {} }),
        _ => json!({ "treeAhConfig": { "leafNodeEmbeddingCount": 1000, "fractionLeafNodesToSearch": 0.05 } }),
    };
    json!({
        "contentsDeltaUri": "CONTENTS_DELTA_URI",
        "config": {
            "dimensions": dense.and_then(|spec| spec.dim),
            "approximateNeighborsCount": 150,
            "distanceMeasureType": metric,
            "featureNormType": "NONE",
            "algorithmConfig": algorithm,
        },
    })
}

/// What is wrong with a display name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    (name.len() > 128).then(|| "display names have at most 128 bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_rules_has_a_name() {
        assert!(RULES.vectors.metrics.iter().all(|metric| distance_measure(*metric).is_some()));
    }
}
