//! A random workload on a real Milvus 2.3.5, with what pymilvus answered at its end: partitions, a partition key,
//! upserts, deletes with and without a partition, rows inserted twice, compacted segments beside those they replaced.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tranship_collection::{IndexSpec, Metric};
use tranship_testkit::fixtures;
use tranship_testkit::reading::{Outcome, Record, Vector};

use crate::support::{list, read};

const NAME: &str = "milvus-2.3.5-partitions";

struct Workload {
    dir: TempDir,
}

impl Workload {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fixtures::unpack(NAME, dir.path());
        Workload { dir }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.dir.path().join(format!("{NAME}{suffix}"))
    }

    fn read(&self, collection: &str, duplicates: &str) -> Outcome {
        let schema = self.path(".schema.json");
        let options = [("schema", schema.to_str().unwrap()), ("duplicates", duplicates)];
        read(&self.path(""), collection, &options).unwrap()
    }

    /// The rows of a collection by namespace and id.
    fn truth(&self, collection: &str, key: &str) -> BTreeMap<Key, Value> {
        let rows = fixtures::jsonl(&self.path(".truth.jsonl"));
        let rows = rows.into_iter().filter(|row| row["collection"] == collection).map(|mut row| {
            let id = match &row["row"][key] {
                Value::String(id) => id.clone(),
                other => other.to_string(),
            };
            ((row["ns"].as_str().map(str::to_owned), id), row["row"].take())
        });
        rows.collect()
    }

    /// Reads a collection and compares all of it; returns the keys of rows that differ.
    fn compare(&self, collection: &str, key: &str, vector: &str, records: usize) -> (Outcome, Vec<Key>) {
        let outcome = self.read(collection, "newest");
        let truth = self.truth(collection, key);
        let found = outcome.by_id();
        let missing: Vec<_> = truth.keys().filter(|(ns, id)| !found.contains_key(&(ns.as_deref(), id))).collect();
        assert_eq!((missing.len(), found.len(), truth.len()), (0, records, records), "{missing:?}");
        let same = |((ns, id), row): &(&Key, &Value)| same(found[&(ns.as_deref(), id.as_str())], row, key, vector);
        let different = truth.iter().filter(|pair| !same(pair)).map(|(key, _)| key.clone()).collect();
        let ledger = outcome.ledger;
        assert_eq!(ledger.raw, Some(ledger.live.unwrap() + ledger.deleted + ledger.superseded));
        assert_eq!(outcome.rejects, []);
        (outcome, different)
    }
}

/// Namespace and id.
type Key = (Option<String>, String);

/// True if the record has the vector, bit for bit, and the metadata of the row.
fn same(record: &Record, row: &Value, key: &str, vector: &str) -> bool {
    let mut expected = row.clone();
    let values = expected.as_object_mut().unwrap();
    values.remove(key);
    let vectors = match (&record.vectors[""], values.remove(vector).unwrap()) {
        (Vector::Dense(found), Value::Array(wanted)) => {
            let wanted = wanted.iter().map(|value| (value.as_f64().unwrap() as f32).to_bits());
            found.iter().map(|value| value.to_bits()).eq(wanted)
        }
        (Vector::Bits(found), Value::String(wanted)) => {
            found.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == wanted
        }
        _ => false,
    };
    let json = if expected == serde_json::json!({}) { Value::Null } else { expected };
    vectors && record.json() == json
}

#[test]
fn partitions_upserts_and_deletes_come_out_as_milvus_answers() {
    let workload = Workload::new();
    let (outcome, different) = workload.compare("parts", "id", "emb", 2503);
    // Of 26 keys that have two living rows Milvus answered the newest 24 times, where they lie in two segments; where
    // both lie in one segment it answers the older.
    let ids: Vec<&str> = different.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["122", "138"]);
    let (all, truth) = (workload.read("parts", "keep-all"), workload.truth("parts", "id"));
    for key in &different {
        let mut rows = all.records.iter().filter(|record| (&record.namespace, &record.id) == (&key.0, &key.1));
        assert!(rows.any(|record| same(record, &truth[key], "id", "emb")), "{key:?}");
    }
    assert!(outcome.schema.namespaced && outcome.ledger.deleted > 0 && outcome.ledger.superseded > 0);
    let vector = &outcome.schema.vectors[0];
    let index = IndexSpec::Hnsw { m: 12, ef_construction: 80, ef_search: None };
    assert_eq!((vector.metric, &vector.index), (Some(Metric::L2), &Some(index)));
}

#[test]
fn a_partition_key_and_arrays_of_all_types_come_out_as_milvus_answers() {
    let (outcome, different) = Workload::new().compare("keyed", "key", "e", 879);
    assert_eq!(different, []);
    assert!(!outcome.schema.namespaced && outcome.ledger.deleted > 0);
}

#[test]
fn automatic_ids_and_bits_come_out_as_milvus_answers() {
    let (outcome, different) = Workload::new().compare("auto", "pk", "bv", 1500);
    assert_eq!(different, []);
    assert_eq!(outcome.schema.vectors[0].metric, Some(Metric::Jaccard));
}

#[test]
fn all_three_are_listed() {
    let workload = Workload::new();
    let infos = list(&workload.path(""), &[("schema", workload.path(".schema.json").to_str().unwrap())]).unwrap();
    assert_eq!(infos.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["auto", "keyed", "parts"]);
}
