//! How Qdrant calls things, what it cannot hold, and how ids get their point ids: data and pure functions.
//!
//! Sources: Qdrant 1.19 (REST schema, `types.rs`, `simple.rs`, `config_diff.rs`) and measurements against its segment
//! engine (qdrant-edge 0.9.0).
//!
//! # Point ids
//! A point id is a u64 or a UUID. Integers of u64 range and texts in canonical UUID spelling stay; every other record
//! gets the UUID that `tranship_connector::mapping` derives, and keeps its id in the payload.
//!
//! # Numbers
//! Qdrant parses JSON floats by one multiplication or division in f64 and stores payloads as JSON again, so a float of
//! 16 or 17 digits may come back one unit in the last place off (measured: 545 of 5,000 random floats), and integers
//! beyond 64 bits become floats. `Numbers::Digits15` is the conservative test; what fails it is kept as text as well.

use serde_json::{Value, json};
use tranship_collection::{Element, IndexSpec, Metric};
use tranship_connector::rules::{IdRules, IntegerIds, MetadataRules, Numbers, RowRules, TextIds, VectorRules};
use tranship_connector::{Grade, Loss, Rules};

/// Payload key of the namespace.
pub const NAMESPACE_KEY: &str = tranship_connector::mapping::NAMESPACE_KEY;

/// What Qdrant can hold when it is sent points. It brings cosine vectors to unit length in f32: where the square of the
/// length is beyond that, NaN or zeros would be stored without an error.
pub const RULES: Rules = Rules {
    target: "qdrant",
    title: "Qdrant",
    ids: IdRules { integers: IntegerIds::U64, texts: TextIds::Uuid },
    namespaces: false,
    documents: false,
    metadata: Some(MetadataRules { numbers: Numbers::Digits15, max_depth: MAX_DEPTH, ..MetadataRules::JSON }),
    vectors: VectorRules {
        elements: &[Element::F32, Element::F16, Element::U8],
        max_dim: MAX_DIM,
        max_dense: usize::MAX,
        max_sparse: usize::MAX,
        multi: true,
        bits: false,
        metrics: &[Metric::Cosine, Metric::Dot, Metric::L2, Metric::L1],
        normalises: true,
    },
    rows: RowRules { finite: true, multi_rows: true, norm_in_f32: true, ..RowRules::ANY },
};
/// What a snapshot can hold, in which cosine vectors stand at unit length already.
pub const RULES_SNAPSHOT: Rules = Rules { rows: RowRules { norm_in_f32: false, ..RULES.rows }, ..RULES };

/// Largest request body that we write, bytes. Qdrant refuses 32 MiB (`service.max_request_size_mb`).
pub const BODY_BYTES: u64 = 24_000_000;
/// Deepest metadata that Qdrant's JSON parser takes within a body: it stops at 128 levels, four of them the body's own.
pub const MAX_DEPTH: usize = 124;
/// Most elements of a dense vector.
pub const MAX_DIM: usize = 65_536;
/// Least `ef_construct`.
pub const MIN_EF_CONSTRUCT: u32 = 4;
/// Most bytes of a collection or vector name; Qdrant makes file names of them.
pub const MAX_NAME_BYTES: usize = 200;
/// `version.info` of a collection, the same in all releases since 1.7.
pub const COLLECTION_VERSION: &str = "0.4.2";
/// `version.info` of a segment, the same in all releases since 1.7.
pub const SEGMENT_VERSION: &str = "0.6.0";
/// `optimizers_config.indexing_threshold` of a server with default settings, kilobytes.
pub const INDEXING_THRESHOLD_KB: u64 = 10_000;

/// How far a cosine vector may come back from the exact unit vector, relative to its largest element.
///
/// Measured with qdrant-edge 0.9.0: at most 1.8e-7 from 8 to 65,536 dimensions, and 6.3e-7 for vectors whose square is
/// about 1e-6 away from one, where the engine's own rounding decides whether it touches them at all.
pub const UNIT_TOLERANCE: f32 = 1e-6;
/// The same for cosine vectors that Qdrant stores as `float16`: two units in the last place. One is what the engine's
/// rounding may do, the other what a second normalising of rounded values may do.
pub const UNIT_TOLERANCE_F16: f32 = 2e-3;

/// Qdrant's name of a metric, if it has it.
pub fn distance(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Cosine => Some("Cosine"),
        Metric::Dot => Some("Dot"),
        Metric::L2 => Some("Euclid"),
        Metric::L1 => Some("Manhattan"),
        Metric::Hamming | Metric::Jaccard => None,
    }
}

/// The metric that Qdrant calls `name`.
pub fn metric(name: &str) -> Option<Metric> {
    [Metric::Cosine, Metric::Dot, Metric::L2, Metric::L1].into_iter().find(|m| distance(*m) == Some(name))
}

/// Qdrant's name of an element type, if it stores vectors in it; it takes all others as `float32`.
pub fn datatype(element: Element) -> Option<&'static str> {
    match element {
        Element::F32 => Some("float32"),
        Element::F16 => Some("float16"),
        Element::U8 => Some("uint8"),
        Element::BF16 | Element::I8 => None,
    }
}

/// The element type that Qdrant calls `name`.
pub fn element(name: &str) -> Option<Element> {
    [Element::F32, Element::F16, Element::U8].into_iter().find(|element| datatype(*element) == Some(name))
}

/// `hnsw_config` for an index, with what it cannot carry. `path` names the vector in losses.
pub fn hnsw_config(index: Option<&IndexSpec>, path: &str) -> (Option<Value>, Vec<Loss>) {
    match index {
        None => (None, Vec::new()),
        // Without links there is no graph, and every search scans.
        Some(IndexSpec::Flat) => (Some(json!({ "m": 0 })), Vec::new()),
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let ef_construct = (*ef_construction).max(MIN_EF_CONSTRUCT);
            let mut losses = Vec::new();
            if ef_construct != *ef_construction {
                let (from, to) = (format!("ef_construction {ef_construction}"), format!("ef_construct {ef_construct}"));
                losses.push(Loss::new("INDEX_SETTINGS", path, from, to, Grade::Equivalent));
            }
            if let Some(ef) = ef_search {
                let to = format!("to be sent with each query as params.hnsw_ef = {ef}");
                losses.push(Loss::new(
                    "EF_SEARCH",
                    path,
                    format!("ef_search {ef} of the index"),
                    to,
                    Grade::Equivalent,
                ));
            }
            (Some(json!({ "m": m, "ef_construct": ef_construct })), losses)
        }
        Some(IndexSpec::Other { name, .. }) => {
            let to = "HNSW with the server's settings".to_owned();
            (None, vec![Loss::new("INDEX_SETTINGS", path, format!("index {name}"), to, Grade::Lossy)])
        }
    }
}

/// The index that `hnsw_config` objects describe: the vector's own settings over the collection's.
pub fn index_spec(vector: Option<&Value>, collection: Option<&Value>) -> Option<IndexSpec> {
    let setting = |key: &str| {
        let own = vector.and_then(|config| config.get(key)).and_then(Value::as_u64);
        let value = own.or_else(|| collection.and_then(|config| config.get(key)).and_then(Value::as_u64))?;
        u32::try_from(value).ok()
    };
    match (setting("m")?, setting("ef_construct")) {
        (0, _) => Some(IndexSpec::Flat),
        (m, Some(ef_construction)) => Some(IndexSpec::Hnsw { m, ef_construction, ef_search: None }),
        _ => None,
    }
}

/// What is wrong with a collection or vector name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    if name.len() > MAX_NAME_BYTES {
        return Some(format!("it is longer than {MAX_NAME_BYTES} bytes"));
    }
    let forbidden = |c: &char| "<>:\"/\\|?*".contains(*c) || c.is_control();
    name.chars().find(forbidden).map(|c| format!("it contains {c:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_settings_go_both_ways() {
        let index = IndexSpec::Hnsw { m: 16, ef_construction: 100, ef_search: None };
        let (config, losses) = hnsw_config(Some(&index), "vector");
        assert!(losses.is_empty());
        assert_eq!(index_spec(config.as_ref(), None), Some(index));
        let (config, losses) = hnsw_config(Some(&IndexSpec::Flat), "vector");
        assert!(losses.is_empty());
        assert_eq!(index_spec(config.as_ref(), Some(&json!({ "m": 16, "ef_construct": 100 }))), Some(IndexSpec::Flat));
        let clamped = IndexSpec::Hnsw { m: 8, ef_construction: 2, ef_search: Some(50) };
        let codes: Vec<String> = hnsw_config(Some(&clamped), "vector").1.into_iter().map(|loss| loss.code).collect();
        assert_eq!(codes, ["INDEX_SETTINGS", "EF_SEARCH"]);
    }
}
