//! Fresh shards, made by Qdrant's own segment engine in a random workload, against its own scroll.

use std::ffi::OsStr;

use tranship_testkit::engines;

use crate::dumps::{compare, read_all};

/// Lets the engine make a shard and compares all points.
fn check(seed: &str, flags: &[&str]) -> tranship_testkit::reading::Outcome {
    let dir = tempfile::tempdir().unwrap();
    let (shard, truth) = (dir.path().join("shard"), dir.path().join("truth.jsonl"));
    let mut arguments: Vec<&OsStr> = vec![shard.as_os_str(), truth.as_os_str(), OsStr::new("--seed"), OsStr::new(seed)];
    arguments.extend(flags.iter().map(OsStr::new));
    let scrolled = engines::run("qdrant", "qdrant_make.py", &arguments);
    let outcome = read_all(&shard).unwrap();
    let compared = compare(&outcome, &std::fs::read_to_string(truth).unwrap());
    assert_eq!(compared.to_string(), scrolled.trim());
    outcome
}

#[test]
fn a_shard_with_every_kind_of_vector_is_what_its_engine_scrolls() {
    let outcome = check("20", &[]);
    assert!(outcome.ledger.deleted > 100, "{:?}", outcome.ledger);
}

#[test]
fn a_shard_with_one_unnamed_vector_is_what_its_engine_scrolls() {
    check("21", &["--unnamed"]);
}

#[test]
fn operations_that_stand_in_the_log_alone_are_replayed_as_the_engine_does() {
    check("22", &["--unflushed"]);
    check("23", &["--unflushed", "--unnamed"]);
}
