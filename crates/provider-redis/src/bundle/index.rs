//! The search index over hashes, and what of a source's index settings Redis has no name for.
//!
//! ```text
//! FT.CREATE collection ON HASH PREFIX 1 prefix SCHEMA
//!   field VECTOR HNSW 10 TYPE FLOAT32 DIM 768 DISTANCE_METRIC COSINE M 16 EF_CONSTRUCTION 200
//!   document TEXT   key NUMERIC   key TAG SEPARATOR 1f CASESENSITIVE
//! ```
//! The number behind HNSW or FLAT counts the words that follow.
//! Source: Redis documentation, FT.CREATE and vector fields; VADD. Not run: no engine with them was at hand.

use tranship_bundle::plan::clamped;
use tranship_collection::{IndexSpec, VectorSpec};
use tranship_connector::native::FieldType;
use tranship_connector::{Grade, Loss, Mapping};

use super::layout::{Layout, is_flat};
use crate::dialect;

/// Most fields that the index filters by; an index has 1,024 fields at most.
pub const MAX_FILTERS: usize = 800;
/// What values of a tag are separated by: a character that texts do not hold.
const SEPARATOR: &str = "\x1f";
const DEFAULT_M: u32 = 16;
const DEFAULT_EF: u32 = 200;
const M: std::ops::RangeInclusive<u32> = 2..=512;
const EF: std::ops::RangeInclusive<u32> = 1..=4096;
/// Bounds of VADD.
const SET_M: std::ops::RangeInclusive<u32> = 4..=4096;
const SET_EF: std::ops::RangeInclusive<u32> = 1..=1_000_000;

/// The words of `FT.CREATE`.
pub fn create(mapping: &Mapping, layout: &Layout) -> Vec<String> {
    let mut words: Vec<String> =
        ["FT.CREATE", &layout.collection, "ON", "HASH", "PREFIX", "1", &layout.prefix(), "SCHEMA"]
            .map(str::to_owned)
            .into();
    for vector in &layout.vectors {
        let spec = mapping.schema.vector(&vector.name);
        let metric = mapping.metrics.get(&vector.name).copied().unwrap_or(tranship_collection::Metric::Cosine);
        let dim = vector.dim.to_string();
        let mut own: Vec<String> =
            ["TYPE", dialect::vector_type(vector.element), "DIM", &dim, "DISTANCE_METRIC", dialect::distance(metric)]
                .map(str::to_owned)
                .into();
        let index = spec.and_then(|spec| spec.index.as_ref());
        let method = if is_flat(index) { "FLAT" } else { "HNSW" };
        if !is_flat(index) {
            let (m, ef, search) = settings(index);
            let (m, ef) = (m.clamp(*M.start(), *M.end()), ef.clamp(*EF.start(), *EF.end()));
            own.extend(["M".to_owned(), m.to_string(), "EF_CONSTRUCTION".to_owned(), ef.to_string()]);
            own.extend(search.into_iter().flat_map(|ef| ["EF_RUNTIME".to_owned(), ef.clamp(1, 4096).to_string()]));
        }
        words.extend([vector.field.clone(), "VECTOR".to_owned(), method.to_owned(), own.len().to_string()]);
        words.extend(own);
    }
    words.extend([layout.document.clone(), "TEXT".to_owned()]);
    for (key, kind) in &layout.filters {
        words.push(key.clone());
        match kind {
            FieldType::Integer | FieldType::Float => words.push("NUMERIC".to_owned()),
            _ => words.extend(["TAG", "SEPARATOR", SEPARATOR, "CASESENSITIVE"].map(str::to_owned)),
        }
    }
    words
}

/// M and EF of a vector set.
pub fn set_settings(index: Option<&IndexSpec>) -> (u32, u32) {
    let (m, ef, _) = settings(index);
    (m.clamp(*SET_M.start(), *SET_M.end()), ef.clamp(*SET_EF.start(), *SET_EF.end()))
}

fn settings(index: Option<&IndexSpec>) -> (u32, u32, Option<u32>) {
    match index {
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => (*m, *ef_construction, *ef_search),
        _ => (DEFAULT_M, DEFAULT_EF, None),
    }
}

/// What the index over a hash field cannot carry.
pub fn hash_losses(spec: &VectorSpec, path: &str) -> Vec<Loss> {
    match &spec.index {
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let search = ef_search.and_then(|ef| clamped("ef_search", ef, 1..=4096, path).1);
            let built = [clamped("m", *m, M, path).1, clamped("ef_construction", *ef_construction, EF, path).1];
            built.into_iter().flatten().chain(search).collect()
        }
        Some(IndexSpec::Other { name, .. }) => vec![other(name, path)],
        None | Some(IndexSpec::Flat) => Vec::new(),
    }
}

/// What a vector set cannot carry.
pub fn set_losses(spec: &VectorSpec, path: &str) -> Vec<Loss> {
    match &spec.index {
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let search = ef_search.map(|ef| {
                let to = format!("to be sent with each VSIM as EF {ef}");
                Loss::new("EF_SEARCH", path, format!("ef_search {ef} of the index"), to, Grade::Equivalent)
            });
            let built = [clamped("m", *m, SET_M, path).1, clamped("ef_construction", *ef_construction, SET_EF, path).1];
            built.into_iter().flatten().chain(search).collect()
        }
        Some(IndexSpec::Flat) => {
            let to = "a graph; VSIM with TRUTH scans";
            vec![Loss::new("INDEX_SETTINGS", path, "no index", to, Grade::Equivalent)]
        }
        Some(IndexSpec::Other { name, .. }) => vec![other(name, path)],
        None => Vec::new(),
    }
}

fn other(name: &str, path: &str) -> Loss {
    let to = format!("HNSW with M {DEFAULT_M}, EF {DEFAULT_EF}");
    Loss::new("INDEX_SETTINGS", path, format!("index {name}"), to, Grade::Lossy)
}
