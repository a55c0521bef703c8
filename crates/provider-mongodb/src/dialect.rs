//! How MongoDB and Atlas Vector Search call things and what they cannot hold: data and pure functions.
//!
//! Sources: the specification of BSON binary vectors (subtype 9), the documentation of the `vectorSearch` index type
//! (2026): at most 8,192 dimensions, `dotProduct` for vectors of unit length, packed bits under `euclidean` only.
//!
//! # Keys
//! A key with a point or a leading `$` is one that queries or Extended JSON take for something else, at any depth.

use serde_json::{Value, json};
use tranship_bundle::json::{kept_vectors, vector_fields};
use tranship_bundle::plan::clamped;
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{Element, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Keys, MetadataRules, Numbers, RowRules, TextIds, VectorRules,
};
use tranship_connector::{Grade, Loss, Mapping, Rules, Survey};

/// What MongoDB can hold.
pub const RULES: Rules = Rules {
    target: "mongodb",
    title: "MongoDB",
    ids: IdRules {
        integers: IntegerIds::I64,
        texts: TextIds::Text { max_bytes: 1024, max_chars: usize::MAX, chars: Chars::NoNul },
    },
    namespaces: false,
    documents: true,
    metadata: Some(MetadataRules {
        numbers: Numbers::I64,
        nul: false,
        keys: Keys::NoDollarNoPoint,
        max_depth: 90,
        ..MetadataRules::JSON
    }),
    vectors: VectorRules {
        elements: &[Element::F32, Element::I8],
        max_dim: 8192,
        max_dense: usize::MAX,
        max_sparse: 0,
        multi: false,
        bits: true,
        metrics: &[Metric::Cosine, Metric::L2, Metric::Dot],
        normalises: false,
    },
    // A zero vector under cosine is stored, but not in the index, so no search finds it.
    rows: RowRules { finite: true, nonzero_under_cosine: true, ..RowRules::ANY },
};

/// Largest document, bytes of BSON; as text it is larger or about as large.
pub const DOCUMENT_BYTES: u64 = 16_000_000;
/// Name of the search index.
pub const INDEX_NAME: &str = "vector_index";
const MAX_EDGES: std::ops::RangeInclusive<u32> = 16..=64;
const EDGE_CANDIDATES: std::ops::RangeInclusive<u32> = 100..=3200;

/// Atlas's name of a metric, if it has it.
pub fn similarity(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Cosine => Some("cosine"),
        Metric::L2 => Some("euclidean"),
        Metric::Dot => Some("dotProduct"),
        _ => None,
    }
}

/// `hnswOptions` of an index, with what they cannot carry.
pub fn hnsw_options(index: Option<&IndexSpec>, path: &str) -> (Option<Value>, Vec<Loss>) {
    let loss = |from: String, grade| {
        let to = "HNSW with Atlas's own settings";
        (None, vec![Loss::new("INDEX_SETTINGS", path, from, to, grade)])
    };
    match index {
        None => (None, Vec::new()),
        Some(IndexSpec::Flat) => loss("no index".to_owned(), Grade::Lossy),
        Some(IndexSpec::Other { name, .. }) => loss(format!("index {name}"), Grade::Lossy),
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let (edges, edges_loss) = clamped("m", *m, MAX_EDGES, path);
            let (candidates, candidates_loss) = clamped("ef_construction", *ef_construction, EDGE_CANDIDATES, path);
            let mut losses: Vec<Loss> = edges_loss.into_iter().chain(candidates_loss).collect();
            losses.extend(ef_search.map(|ef| {
                let to = format!("to be sent with each query as numCandidates {ef}");
                Loss::new("EF_SEARCH", path, format!("ef_search {ef} of the index"), to, Grade::Equivalent)
            }));
            (Some(json!({ "maxEdges": edges, "numEdgeCandidates": candidates })), losses)
        }
    }
}

/// What a vector loses beyond the general rules.
pub fn vector_losses(spec: &VectorSpec, mapping: &Mapping, survey: &Survey) -> Vec<Loss> {
    let path = vector_component(&spec.name);
    let mut losses = hnsw_options(spec.index.as_ref(), &path).1;
    let metric = |grade, to: &str| {
        let from = spec.metric.map_or("no metric", Metric::name);
        Loss::new("METRIC", &path, format!("metric {from}"), to, grade)
    };
    if spec.kind == VectorKind::Bits {
        let same_rank = spec.metric == Some(Metric::Hamming);
        let to = "euclidean, which ranks bits as hamming does";
        losses.push(metric(if same_rank { Grade::Equivalent } else { Grade::Lossy }, to));
        if spec.dim.is_some_and(|dim| !dim.is_multiple_of(8)) {
            let (from, to) = ("a number of bits that is no multiple of 8", "stored, but not indexed by Atlas");
            losses.push(Loss::new("INDEX_SETTINGS", &path, from, to, Grade::Lossy));
        }
    } else if mapping.metrics.get(&spec.name) == Some(&Metric::Dot) && !survey.all_unit(&spec.name) {
        losses.push(metric(Grade::Lossy, "dotProduct, which Atlas defines for vectors of unit length"));
    }
    losses
}

/// The `vectorSearch` index: vectors, and the metadata keys to filter by.
pub fn search_index(mapping: &Mapping, filters: &[String]) -> Value {
    let mut fields = Vec::new();
    for (spec, field) in kept_vectors(mapping).zip(vector_fields(mapping, None)) {
        let bits = spec.kind == VectorKind::Bits;
        if spec.dim.is_none() || (bits && spec.dim.is_some_and(|dim| !dim.is_multiple_of(8))) {
            continue;
        }
        let metric = if bits { Some(Metric::L2) } else { mapping.metrics.get(&spec.name).copied() };
        let mut vector = json!({
            "type": "vector",
            "path": format!("vectors.{field}"),
            "numDimensions": spec.dim,
            "similarity": metric.and_then(similarity),
        });
        if let (Some(options), _) = hnsw_options(spec.index.as_ref(), "") {
            vector["hnswOptions"] = options;
        }
        fields.push(vector);
    }
    let namespace = mapping.namespace_key.as_ref();
    let paths = filters.iter().chain(namespace).map(|key| format!("metadata.{key}"));
    fields.extend(paths.map(|path| json!({ "type": "filter", "path": path })));
    json!({ "name": INDEX_NAME, "type": "vectorSearch", "definition": { "fields": fields } })
}

/// What is wrong with a collection name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    if name.len() > 120 {
        return Some("it is longer than 120 bytes".to_owned());
    }
    if name.starts_with("system.") {
        return Some("names that begin with `system.` are the server's own".to_owned());
    }
    name.chars().find(|c| c.is_control() || *c == '$').map(|c| format!("it contains {c:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_settings_are_brought_into_range_and_told() {
        let index = IndexSpec::Hnsw { m: 8, ef_construction: 5000, ef_search: None };
        let (options, losses) = hnsw_options(Some(&index), "vector");
        assert_eq!(options.unwrap(), json!({ "maxEdges": 16, "numEdgeCandidates": 3200 }));
        assert_eq!(losses.len(), 2);
        assert!(losses.iter().all(|loss| loss.grade == Grade::Equivalent));
    }

    #[test]
    fn names_of_the_server_are_refused() {
        assert!(name_fault("system.x").is_some() && name_fault("a$b").is_some() && name_fault("notes ü").is_none());
    }
}
