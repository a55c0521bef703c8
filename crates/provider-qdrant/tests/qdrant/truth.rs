//! Stored dumps in flat files, compared point by point with what the engine that wrote it had scrolled.

use std::path::{Path, PathBuf};

use tranship_collection::{Element, IndexSpec, Metric, VectorKind};
use tranship_connector::{Count, OpenOptions, RowLedger};
use tranship_provider_qdrant::CONNECTOR;
use tranship_testkit::fixtures;
use tranship_testkit::reading::Outcome;

use crate::dumps::{compare, locator, read_all};

/// A fixture, unpacked.
pub struct Dump {
    dir: tempfile::TempDir,
}

impl Dump {
    pub fn unpack(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fixtures::unpack(name, dir.path());
        Dump { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn truth(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

fn ledger(raw: u64, live: u64, deleted: u64, superseded: u64) -> RowLedger {
    RowLedger { raw: Some(raw), live: Some(live), deleted, superseded, filtered: 0 }
}

/// Reads the snapshot of a fixture whose truth lies beside it.
fn check(fixture: &str, stem: &str) -> Outcome {
    let dump = Dump::unpack(fixture);
    let snapshot = dump.path(&format!("{stem}.snapshot"));
    assert_eq!((CONNECTOR.probe)(&snapshot), Some(95));
    let outcome = read_all(&snapshot).unwrap();
    let compared = compare(&outcome, &dump.truth(&format!("{stem}.jsonl")));
    let infos = CONNECTOR.list.unwrap()(&locator(&snapshot), &OpenOptions::default()).unwrap();
    assert_eq!(infos.iter().map(|info| info.records).collect::<Vec<_>>(), [Count::Exact(compared as u64)]);
    let producer = infos[0].producer.as_deref().unwrap();
    assert!(producer.starts_with("Qdrant (") && producer.ends_with("; its files name no version)"), "{producer}");
    outcome
}

#[test]
fn a_collection_of_1_19_with_every_kind_of_vector_is_what_its_server_scrolled() {
    let outcome = check("qdrant-1.19-mixed", "server119_mixed");
    assert_eq!(outcome.ledger, ledger(1862, 1862, 0, 0));
    let schema = &outcome.schema;
    let kinds: Vec<_> =
        schema.vectors.iter().map(|v| (v.name.as_str(), v.kind, v.dim, v.metric, v.normalised)).collect();
    let (cosine, l2, dot) = (Some(Metric::Cosine), Some(Metric::L2), Some(Metric::Dot));
    assert_eq!(
        kinds,
        [
            ("a", VectorKind::Dense, Some(40), cosine, true),
            ("b", VectorKind::Dense, Some(24), l2, false),
            ("col", VectorKind::Multi, Some(16), cosine, true),
            ("sp", VectorKind::Sparse, None, dot, false),
            ("sp_disk", VectorKind::Sparse, None, dot, false),
        ]
    );
    let index = Some(IndexSpec::Hnsw { m: 16, ef_construction: 100, ef_search: None });
    assert_eq!(schema.vectors[0].index, index);
    let config = &schema.vendor["qdrant"]["config"];
    assert_eq!(config["optimizer_config"]["indexing_threshold"], 50);
}

#[test]
fn two_appendable_segments_of_1_19_are_what_their_server_scrolled() {
    assert_eq!(check("qdrant-1.19-plain_dot", "server119_plain_dot").ledger, ledger(1507, 1402, 105, 0));
}

#[test]
fn bytes_of_1_19_stay_bytes() {
    let outcome = check("qdrant-1.19-u8_euclid", "server119_u8_euclid");
    assert_eq!(outcome.schema.vectors[0].element, Element::U8);
    assert_eq!(outcome.ledger, ledger(1207, 1120, 87, 0));
}

#[test]
fn the_mixed_era_of_1_13_is_what_its_server_scrolled() {
    let outcome = check("qdrant-1.13-dense_cos", "qdrant-1.13.6-dense_cos");
    assert_eq!(outcome.ledger, ledger(2680, 2401, 279, 0));
    assert_eq!(outcome.schema.vendor["qdrant"]["payload_index"]["schema"]["i"], "integer");
}

/// Whatever is made of a dump, the same points must come.
pub fn same_points(path: &Path, truth: &str) -> Outcome {
    let outcome = read_all(path).unwrap();
    compare(&outcome, truth);
    outcome
}
