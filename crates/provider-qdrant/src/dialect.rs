//! How Qdrant calls things, what it cannot hold, and how ids get their point ids: data and pure functions.
//!
//! Sources: Qdrant 1.19 (REST schema, `types.rs`, `simple.rs`, `config_diff.rs`) and measurements against its segment
//! engine (qdrant-edge 0.9.0).
//!
//! # Point ids
//! A point id is a u64 or a UUID. In the default namespace an integer id of u64 range stays a number and a text in
//! canonical UUID spelling (lower case, hyphenated) stays that UUID. Every other record gets the UUIDv5 in
//! `NAMESPACE_URL` of the bytes
//!
//! ```text
//! namespace | 00 | id        text ids        (the default namespace has no bytes)
//! namespace | 01 | id        integer ids, in decimal
//! ```
//!
//! and keeps its id under [`ID_KEY`] of the payload: as text, as JSON integer, or as `{"integer":"digits"}` beyond 64
//! bits. Ids are unique within a namespace only, so every record of another namespace gets such a UUID.
//!
//! # Numbers
//! Qdrant parses JSON floats by one multiplication or division in f64 and stores payloads as JSON again, so a float of
//! 16 or 17 digits may come back one unit in the last place off (measured: 545 of 5,000 random floats), and integers
//! beyond 64 bits become floats. [`number_survives`] is the conservative test; what fails it is kept as text under
//! [`EXACT_KEY`].

use serde_json::{Value, json};
use tranship_collection::{Element, IdKind, IndexSpec, Metric};
use tranship_connector::{Grade, Loss};
use uuid::Uuid;

/// Payload key of the original id.
pub const ID_KEY: &str = "_tranship_id";
/// Payload key of the namespace.
pub const NAMESPACE_KEY: &str = "_tranship_namespace";
/// Payload key of metadata entries that Qdrant's number parser would change, as the text of one JSON object.
pub const EXACT_KEY: &str = "_tranship_exact";
/// Payload key of documents, unless the user names another.
pub const DOCUMENT_KEY: &str = "document";

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

/// A point id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointId {
    /// Unsigned integer.
    Number(u64),
    /// UUID that is the record's own id.
    Uuid(Uuid),
    /// UUID made from namespace and id; the record's id goes into the payload.
    Derived(Uuid),
}

/// The point id of a record; see the module's rule.
pub fn point_id(namespace: &str, kind: IdKind, id: &str) -> PointId {
    if namespace.is_empty() {
        match kind {
            IdKind::Integer => {
                if let Ok(number) = id.parse() {
                    return PointId::Number(number);
                }
            }
            IdKind::Text => {
                if let Some(uuid) = canonical_uuid(id) {
                    return PointId::Uuid(uuid);
                }
            }
        }
    }
    let separator = if kind == IdKind::Integer { 1 } else { 0 };
    let name: Vec<u8> = namespace.bytes().chain([separator]).chain(id.bytes()).collect();
    PointId::Derived(Uuid::new_v5(&Uuid::NAMESPACE_URL, &name))
}

fn canonical_uuid(id: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(id).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (*uuid.hyphenated().encode_lower(&mut buffer) == *id).then_some(uuid)
}

/// The JSON value under [`ID_KEY`] for a record whose point id is derived.
pub fn original_id(kind: IdKind, id: &str) -> String {
    match kind {
        IdKind::Text => Value::from(id).to_string(),
        IdKind::Integer if number_survives(id) => id.to_owned(),
        IdKind::Integer => json!({ "integer": id }).to_string(),
    }
}

/// True if a JSON number comes back from Qdrant as the same value of the same type.
///
/// Integers must fit i64 or u64. Floats must have at most 15 significant digits and a magnitude whose text Qdrant's
/// parser resolves with a single correctly rounded operation.
pub fn number_survives(text: &str) -> bool {
    if !text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
        return text != "-0" && (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok());
    }
    let Ok(value) = text.parse::<f64>() else {
        return false;
    };
    let mantissa = text.split(['e', 'E']).next().unwrap_or("");
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|b| *b == b'0').collect();
    let significant = digits.iter().rposition(|b| *b != b'0').map_or(0, |last| last + 1);
    value == 0.0 || (significant <= 15 && (1e-7..1e15).contains(&value.abs()))
}

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
                losses.push(loss("INDEX_SETTINGS", path, from, to, Grade::Equivalent));
            }
            if let Some(ef) = ef_search {
                let to = format!("to be sent with each query as params.hnsw_ef = {ef}");
                losses.push(loss("EF_SEARCH", path, format!("ef_search {ef} of the index"), to, Grade::Equivalent));
            }
            (Some(json!({ "m": m, "ef_construct": ef_construct })), losses)
        }
        Some(IndexSpec::Other { name, .. }) => {
            let to = "HNSW with the server's settings".to_owned();
            (None, vec![loss("INDEX_SETTINGS", path, format!("index {name}"), to, Grade::Lossy)])
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

/// A loss of this target.
pub fn loss(code: &str, path: &str, from: impl Into<String>, to: impl Into<String>, grade: Grade) -> Loss {
    Loss { code: code.to_owned(), path: path.to_owned(), from: from.into(), to: to.into(), grade }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_canonical_uuids_stay_and_all_else_is_derived() {
        assert_eq!(point_id("", IdKind::Integer, "18446744073709551615"), PointId::Number(u64::MAX));
        let uuid = "3f622591-baa6-5888-8a4f-6b3813e16a44";
        assert_eq!(point_id("", IdKind::Text, uuid), PointId::Uuid(uuid.parse().unwrap()));
        for (kind, id) in [
            (IdKind::Text, "42"),
            (IdKind::Text, "3F622591-BAA6-5888-8A4F-6B3813E16A44"),
            (IdKind::Text, "3f622591baa658888a4f6b3813e16a44"),
            (IdKind::Text, ""),
            (IdKind::Integer, "-1"),
            (IdKind::Integer, "18446744073709551616"),
        ] {
            assert!(matches!(point_id("", kind, id), PointId::Derived(_)), "{id}");
        }
        assert!(matches!(point_id("n", IdKind::Integer, "1"), PointId::Derived(_)));
        assert!(matches!(point_id("n", IdKind::Text, uuid), PointId::Derived(_)));
    }

    #[test]
    fn derived_ids_are_the_same_for_ever_and_apart_for_kind_and_namespace() {
        let PointId::Derived(id) = point_id("", IdKind::Text, "doc-1") else { panic!("not derived") };
        assert_eq!(id, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"\0doc-1"));
        assert_eq!(id.to_string(), "075952c5-a927-591a-8587-0379fc8591fc");
        let all = [
            point_id("", IdKind::Text, "-1"),
            point_id("", IdKind::Integer, "-1"),
            point_id("n", IdKind::Text, "-1"),
            point_id("n", IdKind::Integer, "-1"),
        ];
        assert!(all.iter().enumerate().all(|(i, a)| all[..i].iter().all(|b| a != b)));
    }

    #[test]
    fn numbers_that_qdrant_would_change_are_recognised() {
        for text in ["0", "-1", "18446744073709551615", "-9223372036854775808", "1.5", "0.0", "-0.0", "1e3", "3.14e-5"]
        {
            assert!(number_survives(text), "{text}");
        }
        for text in ["-0", "18446744073709551616", "997833.0085806655", "1e22", "4.3722278880086245e-23", "1e400"] {
            assert!(!number_survives(text), "{text}");
        }
    }

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
