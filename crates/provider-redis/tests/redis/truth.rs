//! Every record of the stored dump, compared with what the server was told.

use std::collections::BTreeMap;

use tranship_collection::{Element, json};
use tranship_connector::{Count, PrepareContext, RowLedger};
use tranship_testkit::fixtures;
use tranship_testkit::reading::Outcome;

use crate::reading::{list, open, options, read};

fn canonical(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json::canonical(text, &mut out).unwrap();
    out
}

/// Compares all records with the truth.
fn compare(outcome: &Outcome, truth: &[serde_json::Value]) {
    let found = outcome.by_id();
    assert_eq!(found.len(), truth.len());
    assert!(outcome.rejects.is_empty());
    for line in truth {
        let id = line["id"].as_str().unwrap();
        let record = found.get(&(None, id)).unwrap_or_else(|| panic!("{id} is missing"));
        let wanted: Vec<u32> =
            line["vector"].as_array().unwrap().iter().map(|v| (v.as_f64().unwrap() as f32).to_bits()).collect();
        let got: Vec<u32> = record.dense("").unwrap().iter().map(|v| v.to_bits()).collect();
        assert_eq!(got, wanted, "vector of {id}");
        let metadata = record.metadata.as_deref().unwrap();
        assert_eq!(canonical(metadata), canonical(&line["metadata"].to_string()), "metadata of {id}");
    }
}

fn dump() -> (tempfile::TempDir, std::path::PathBuf, Vec<serde_json::Value>) {
    let dir = tempfile::tempdir().unwrap();
    fixtures::unpack("redis-7-rdb", dir.path());
    let root = dir.path().join("redis");
    let mut truth = fixtures::jsonl(&root.join("truth.jsonl"));
    // The truth is what was written; this key was deleted afterwards.
    truth.retain(|line| line["id"] != "doc:5");
    (dir, root.join("dump.rdb"), truth)
}

#[test]
fn the_dump_of_redis_7_is_read_as_it_was_written() {
    let (_dir, path, truth) = dump();
    assert_eq!(truth.len(), 1999);
    let outcome = read(&path, &[("vector", "embedding")]);
    compare(&outcome, &truth);
    assert_eq!(outcome.ledger, RowLedger { raw: Some(1999), live: Some(1999), ..RowLedger::default() });
    let vector = &outcome.schema.vectors[0];
    assert_eq!((vector.dim, vector.element, vector.metric), (Some(32), Element::F32, None));
    let notes = outcome.notes.join("\n");
    assert!(notes.contains("20 hashes without `embedding` are not part of the collection"), "{notes}");
    let by_prefix = read(&path, &[("prefix", "doc:")]);
    compare(&by_prefix, &truth);
    assert_eq!(by_prefix.schema.name, "doc");
}

#[test]
fn a_directory_is_read_by_its_dump() {
    let (_dir, path, _) = dump();
    let outcome = read(path.parent().unwrap(), &[("prefix", "small:"), ("strip-prefix", "true")]);
    assert_eq!(outcome.records.len(), 20);
    let first = &outcome.by_id()[&(None, "0")];
    assert_eq!(first.dense("").unwrap().len(), 4);
}

#[test]
fn a_list_tells_producer_counts_and_what_there_is_to_choose() {
    let (_dir, path, _) = dump();
    let info = list(&path, &[]).remove(0);
    assert_eq!((info.name.as_str(), info.records), ("db0", Count::UpTo(2019)));
    assert_eq!(info.producer.as_deref(), Some("Redis 7.0.15 (RDB 10)"));
    let notes = info.notes.join("\n");
    assert!(notes.contains("`embedding` (32 x f32, in 1999 hashes), `v` (4 x f32, in 20 hashes)"), "{notes}");
    let info = list(&path, &[("vector", "embedding")]).remove(0);
    assert_eq!((info.records, info.schema.vectors[0].dim), (Count::Exact(1999), Some(32)));
}

#[test]
fn splits_are_a_function_of_the_file_and_can_be_read_in_any_order_and_again() {
    let (_dir, path, truth) = dump();
    let options = options(&[("vector", "embedding")]);
    let source = open(&path, &options).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let context = PrepareContext { memory_bytes: 1 << 20, split_bytes: 20_000, scratch: scratch.path() };
    let prepared = source.prepare(&context).unwrap();
    let splits: Vec<_> = prepared.splits().unwrap().map(Result::unwrap).collect();
    assert!(splits.len() > 10);
    let again: Vec<_> = prepared.splits().unwrap().map(Result::unwrap).collect();
    assert_eq!(splits, again);
    let mut rows = BTreeMap::new();
    let mut rejects = NoRejects;
    for split in splits.iter().rev().chain(&splits) {
        let count: usize =
            prepared.open(split.clone(), &mut rejects).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
        assert!(rows.insert(split.ordinal, count).is_none_or(|before| before == count));
    }
    assert_eq!(rows.values().sum::<usize>(), truth.len());
}

struct NoRejects;

impl tranship_connector::RejectSink for NoRejects {
    fn reject(&mut self, reject: tranship_connector::Reject) -> tranship_connector::Result<()> {
        panic!("{reject:?}")
    }
}
