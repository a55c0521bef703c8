//! What a LanceDB table can hold, and its names of metrics and indexes: data and pure functions.
//!
//! Sources: lancedb 0.40.0 (`create_index`, table names) and trials with it.
//!
//! | tranship | LanceDB |
//! |---|---|
//! | cosine, dot, l2 of a dense vector | `cosine`, `dot`, `l2` |
//! | multivector | late interaction under `cosine`, the only metric that it has for them |
//! | bits | bytes under `hamming` |
//! | HNSW | `IVF_HNSW_FLAT` with one partition: one graph over unquantised vectors |
//! | flat, or nothing said | no index: exact search |
//!
//! A table takes every finite vector and null, but no index is built over one whose length squared is beyond an f32
//! (measured: "null partition ID"); `load.py` says so, and search stays exact.

use serde_json::{Value, json};
use tranship_bundle::plan::clamped;
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{Element, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::rules::{Chars, IdRules, IntegerIds, MetadataRules, RowRules, TextIds, VectorRules};
use tranship_connector::{Grade, Loss, Mapping, Rules};

/// Most bytes of a table's name, which is that of a directory with `.lance` behind it.
const MAX_NAME: usize = 200;

/// What a table can hold.
pub const RULES: Rules = Rules {
    target: "lancedb",
    title: "LanceDB",
    ids: IdRules {
        integers: IntegerIds::Any,
        texts: TextIds::Text { max_bytes: usize::MAX, max_chars: usize::MAX, chars: Chars::Any },
    },
    namespaces: true,
    documents: true,
    metadata: Some(MetadataRules::JSON),
    vectors: VectorRules {
        elements: &[Element::F32, Element::F16],
        max_dim: 65_536,
        max_dense: usize::MAX,
        max_sparse: usize::MAX,
        multi: true,
        bits: true,
        metrics: &[Metric::Cosine, Metric::Dot, Metric::L2],
        normalises: false,
    },
    rows: RowRules { finite: true, ..RowRules::ANY },
};

/// What is wrong with a table's name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    if name.len() > MAX_NAME {
        return Some(format!("it is longer than {MAX_NAME} bytes"));
    }
    let odd = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "_-.".contains(*c)));
    odd.map(|c| format!("it contains {c:?}"))
}

/// LanceDB's name of a vector's metric at the target.
pub fn metric(mapping: &Mapping, spec: &VectorSpec) -> &'static str {
    match (spec.kind, mapping.metrics.get(&spec.name).copied().or(spec.metric)) {
        (VectorKind::Bits, _) => "hamming",
        (VectorKind::Multi, _) => "cosine",
        (_, Some(Metric::Dot)) => "dot",
        (_, Some(Metric::L2)) => "l2",
        _ => "cosine",
    }
}

/// The arguments of `create_index` for one vector, but for its column and metric; `None` where none is made.
pub fn index(spec: &VectorSpec) -> (Option<Value>, Vec<Loss>) {
    let path = vector_component(&spec.name);
    match &spec.index {
        None | Some(IndexSpec::Flat) => (None, Vec::new()),
        Some(_) if spec.kind == VectorKind::Sparse => (None, Vec::new()),
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let (m, of_m) = clamped("m", *m, 2..=u32::MAX, &path);
            let (ef, of_ef) = clamped("ef_construction", *ef_construction, 1..=u32::MAX, &path);
            let search = ef_search.map(|ef| {
                let to = format!("to be said with each search: .ef({ef})");
                Loss::new("EF_SEARCH", &path, format!("ef_search {ef} of the index"), to, Grade::Equivalent)
            });
            let settings = json!({ "index_type": "IVF_HNSW_FLAT", "num_partitions": 1, "m": m, "ef_construction": ef });
            (Some(settings), of_m.into_iter().chain(of_ef).chain(search).collect())
        }
        Some(IndexSpec::Other { name, .. }) => {
            let to = "no index: exact search";
            (None, vec![Loss::new("INDEX_SETTINGS", &path, format!("index {name}"), to, Grade::Lossy)])
        }
    }
}

/// What LanceDB does not do with vectors that it stores.
pub fn losses(mapping: &Mapping) -> Vec<Loss> {
    let mut losses = Vec::new();
    for spec in mapping.schema.stored_vectors() {
        let path = vector_component(&spec.name);
        losses.extend(index(spec).1);
        let changed = |to: &str| {
            let from = spec.metric.map_or("no metric".to_owned(), |metric| format!("metric {}", metric.name()));
            Loss::new("METRIC", &path, from, to, Grade::Lossy)
        };
        match (spec.kind, spec.metric) {
            (VectorKind::Sparse, _) => {
                let to = "a column of indices and values, which is kept but cannot be searched";
                losses.push(Loss::new("SPARSE_NOT_SEARCHED", &path, "sparse vector", to, Grade::Lossy));
            }
            (VectorKind::Bits, Some(Metric::Hamming) | None) | (VectorKind::Multi, Some(Metric::Cosine) | None) => {}
            (VectorKind::Bits, _) => losses.push(changed("metric hamming: search answers otherwise")),
            (VectorKind::Multi, _) => losses.push(changed("metric cosine: search answers otherwise")),
            (VectorKind::Dense, _) => {}
        }
    }
    losses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_client_takes() {
        assert_eq!((name_fault("a-b_c.1"), name_fault(".x")), (None, None));
        assert!(["ü", "a b", "a/b"].iter().all(|name| name_fault(name).is_some()));
        assert!(name_fault(&"x".repeat(MAX_NAME + 1)).is_some());
    }

    #[test]
    fn a_graph_is_one_partition_of_unquantised_vectors() {
        let hnsw = IndexSpec::Hnsw { m: 1, ef_construction: 64, ef_search: Some(50) };
        let (settings, losses) = index(&VectorSpec { index: Some(hnsw), ..VectorSpec::dense("", 4) });
        let wanted = json!({ "index_type": "IVF_HNSW_FLAT", "num_partitions": 1, "m": 2, "ef_construction": 64 });
        assert_eq!(settings, Some(wanted));
        assert_eq!(losses.iter().map(|loss| loss.code.as_str()).collect::<Vec<_>>(), ["INDEX_SETTINGS", "EF_SEARCH"]);
        assert_eq!(index(&VectorSpec::dense("", 4)), (None, Vec::new()));
    }
}
