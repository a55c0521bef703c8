//! Every live record of every fixture, compared with what the real engine's API said.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use tranship_collection::{IndexSpec, Metric, json};
use tranship_connector::{Count, RowLedger};

use crate::fixtures::{Outcome, dump, list, options, read, read_with};

#[derive(serde::Deserialize)]
struct Truth<'a> {
    collection: String,
    id: String,
    #[serde(borrow)]
    vector: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
    document: Option<String>,
}

/// How the vectors of a collection compare with the API's.
#[derive(Debug, Default, PartialEq, Eq)]
struct Vectors {
    exact: usize,
    /// Equal within 1e-5 of the largest element: the API normalises and multiplies again.
    close: BTreeSet<String>,
}

/// Compares everything; panics on any difference but close vectors.
fn compare(outcome: &Outcome, truth: &str, collection: &str) -> Vectors {
    let found = outcome.by_id();
    assert_eq!(found.len(), outcome.records.len(), "an id came twice");
    assert_eq!(outcome.rejects, []);
    let mut vectors = Vectors::default();
    let mut expected = 0;
    for line in truth.lines() {
        let truth: Truth<'_> = serde_json::from_str(line).unwrap();
        if truth.collection != collection {
            continue;
        }
        expected += 1;
        let record = found.get(truth.id.as_str()).unwrap_or_else(|| panic!("{} is missing", truth.id));
        assert_eq!(record.document, truth.document, "document of {}", truth.id);
        assert_eq!(
            canonical(record.metadata.as_deref()),
            canonical(Some(truth.metadata.get())),
            "metadata of {}",
            truth.id
        );
        let wanted = floats(truth.vector.get());
        let got = record.vector.as_ref().unwrap();
        if wanted.iter().map(|v| v.to_bits()).eq(got.iter().map(|v| v.to_bits())) {
            vectors.exact += 1;
        } else {
            let scale = wanted.iter().fold(0f32, |a, b| a.max(b.abs()));
            assert!(
                wanted.len() == got.len() && wanted.iter().zip(got).all(|(a, b)| (a - b).abs() <= 1e-5 * scale),
                "vector of {}",
                truth.id
            );
            vectors.close.insert(truth.id);
        }
    }
    assert_eq!(found.len(), expected, "extra records");
    vectors
}

/// No metadata and an empty object are the same.
fn canonical(text: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    json::canonical(text.unwrap_or("null"), &mut out).unwrap();
    if json::is_nothing(&out) { Vec::new() } else { out }
}

/// Each number's text parsed as f32, without a detour over f64.
fn floats(array: &str) -> Vec<f32> {
    array.trim_matches(['[', ']']).split(',').map(|number| number.trim().parse().unwrap()).collect()
}

fn check(name: &str, expected: &[(&str, usize, Option<Metric>)]) -> BTreeMap<String, (Outcome, Vectors)> {
    let dump = dump(name);
    let infos = list(&dump.root).unwrap();
    let listed: Vec<_> = infos.iter().map(|i| (i.name.as_str(), i.records, i.schema.vectors[0].metric)).collect();
    let wanted: Vec<_> = expected.iter().map(|(n, count, metric)| (*n, Count::Exact(*count as u64), *metric)).collect();
    assert_eq!(listed, wanted);
    let compared = expected.iter().map(|(collection, count, _)| {
        let outcome = read(&dump.root, collection).unwrap();
        let vectors = compare(&outcome, &dump.truth, collection);
        assert_eq!(vectors.exact + vectors.close.len(), *count);
        let queued = queued_ids(&dump.root, collection);
        assert!(vectors.close.is_subset(&queued), "{name}/{collection}: only queued vectors may differ");
        let ledger = outcome.ledger;
        assert_eq!(ledger.live, Some(*count as u64));
        assert_eq!(ledger.raw, Some(*count as u64 + ledger.deleted + ledger.superseded));
        (collection.to_string(), (outcome, vectors))
    });
    compared.collect()
}

/// Ids that the queue gives a vector after the index was last written.
fn queued_ids(root: &std::path::Path, collection: &str) -> BTreeSet<String> {
    let connection = rusqlite::Connection::open(root.join("chroma.sqlite3")).unwrap();
    let sql = "SELECT q.id FROM embeddings_queue q JOIN collections c ON q.topic LIKE '%/' || c.id \
               WHERE c.name = ?1 AND q.vector IS NOT NULL AND q.seq_id > ?2";
    let mut statement = connection.prepare(sql).unwrap();
    let persisted = persisted_until(&connection, root, collection);
    let ids = statement.query_map(rusqlite::params![collection, persisted], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

/// What `max_seq_id` says of the vector segment; in the 0.4 dump only the pickles know, and `pickletools` read them.
fn persisted_until(connection: &rusqlite::Connection, root: &std::path::Path, collection: &str) -> i64 {
    if root.ends_with("chroma-0.4.24") {
        return match collection {
            "cos64" => 3000,
            "l2_32" => 6853,
            _ => -1,
        };
    }
    let sql = "SELECT m.seq_id FROM max_seq_id m JOIN segments s ON s.id = m.segment_id \
               JOIN collections c ON c.id = s.collection WHERE c.name = ?1 AND s.scope = 'VECTOR'";
    let number = connection.query_row(sql, [collection], |row| {
        Ok(match row.get_ref(0)? {
            rusqlite::types::ValueRef::Blob(bytes) => i64::from_be_bytes(bytes.try_into().unwrap()),
            other => other.as_i64().unwrap(),
        })
    });
    number.unwrap_or(-1)
}

const FIVE: [(&str, usize, Option<Metric>); 5] = [
    ("cos64", 2751, Some(Metric::Cosine)),
    ("empty", 0, Some(Metric::L2)),
    ("ip_16_bigsync", 2751, Some(Metric::Dot)),
    ("l2_32", 2751, Some(Metric::L2)),
    ("tiny", 2, Some(Metric::L2)),
];

/// The five collections of one version; returns how many cosine vectors differ by rounding.
fn check_five(name: &str) -> usize {
    let mut read = check(name, &FIVE);
    let (_, cosine) = read.remove("cos64").unwrap();
    assert!(read.values().all(|(_, vectors)| vectors.close.is_empty()), "l2 and ip are bit for bit the API's");
    assert!(cosine.exact > 2000);
    cosine.close.len()
}

#[test]
fn chroma_0_4_24_is_read_as_its_api_reads_it() {
    assert_eq!(check_five("chroma-0.4.24"), 356);
}

#[test]
fn chroma_0_5_23_is_read_as_its_api_reads_it() {
    assert_eq!(check_five("chroma-0.5.23"), 336);
}

#[test]
fn chroma_1_5_9_is_read_as_its_api_reads_it() {
    assert_eq!(check_five("chroma-1.5.9"), 139);
}

#[test]
fn the_wordnet_dump_is_read_as_its_api_reads_it() {
    let read = check("chroma-wordnet", &[("wordnet", 1480, Some(Metric::Cosine))]);
    let (outcome, vectors) = &read["wordnet"];
    assert_eq!(vectors.close.len(), 128);
    let ledger = RowLedger { raw: Some(1510), live: Some(1480), deleted: 20, superseded: 10, filtered: 0 };
    assert_eq!(outcome.ledger, ledger);
    assert_eq!(outcome.notes, [""; 0]);
}

/// The collections of a small directory: persisted every ten writes, or never.
fn check_small(name: &str, records: usize) -> BTreeMap<String, (Outcome, Vectors)> {
    let expected = [
        ("cos1", records, Some(Metric::Cosine)),
        ("l2s", records, Some(Metric::L2)),
        ("none", 0, Some(Metric::L2)),
        ("queued", records, Some(Metric::Dot)),
    ];
    let read = check(name, &expected);
    assert!(["l2s", "queued"].iter().all(|name| read[*name].1.close.is_empty()));
    read
}

#[test]
fn the_first_0_4_is_read_as_its_api_reads_it() {
    let read = check_small("chroma-small-0.4.0", 31);
    assert!(read.values().all(|(outcome, _)| outcome.notes.is_empty()));
}

#[test]
fn the_last_0_6_is_read_as_its_api_reads_it() {
    check_small("chroma-small-0.6.3", 31);
    let dump = dump("chroma-small-0.6.3");
    let expected = Some(IndexSpec::Hnsw { m: 16, ef_construction: 100, ef_search: Some(100) });
    assert!(list(&dump.root).unwrap().iter().all(|info| info.schema.vectors[0].index == expected));
}

#[test]
fn the_first_1_0_is_read_as_its_api_reads_it() {
    check_small("chroma-small-1.0.0", 31);
}

#[test]
fn a_killed_1_5_is_read_as_its_api_reads_it_after_the_restart() {
    let dump = dump("chroma-killed-1.5.9");
    let notes = read(&dump.root, "queued").unwrap().notes;
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("the last 6 writes to ids and metadata of collection `queued`"), "{notes:?}");
    let expected = [
        ("cos1", 36, Some(Metric::Cosine)),
        ("l2s", 36, Some(Metric::L2)),
        ("none", 0, Some(Metric::L2)),
        ("queued", 37, Some(Metric::Dot)),
    ];
    check("chroma-killed-1.5.9", &expected);
}

#[test]
fn index_settings_and_the_raw_configuration_travel_in_the_schema() {
    let wordnet = dump("chroma-wordnet");
    let info = list(&wordnet.root).unwrap().remove(0);
    let spec = &info.schema.vectors[0];
    assert_eq!(spec.index, Some(IndexSpec::Hnsw { m: 24, ef_construction: 128, ef_search: Some(100) }));
    assert_eq!((spec.dim, spec.metric), (Some(384), Some(Metric::Cosine)));
    let vendor = &info.schema.vendor["chroma"];
    assert_eq!(vendor["tenant"], "default_tenant");
    assert_eq!(vendor["collection_metadata"]["embedding_model"], "all-MiniLM-L6-v2");
    assert!(vendor["schema_str"].as_str().unwrap().contains("max_neighbors"));
    assert_eq!(info.producer.as_deref(), Some("Chroma 1.5 (migrations sysdb 10, metadb 6, embeddings_queue 2)"));
    let old = list(&dump("chroma-0.4.24").root).unwrap();
    assert!(old.iter().all(|i| i.producer.as_deref().unwrap().starts_with("Chroma 0.4 ")));
    let empty = old.iter().find(|i| i.name == "empty").unwrap();
    assert_eq!(empty.schema.vectors[0].dim, None);
    assert_eq!(
        empty.schema.vectors[0].index,
        Some(IndexSpec::Hnsw { m: 16, ef_construction: 100, ef_search: Some(10) })
    );
}

#[test]
fn splits_cut_the_same_records_in_the_same_order_whatever_the_memory() {
    let dump = dump("chroma-wordnet");
    let whole = read(&dump.root, "wordnet").unwrap();
    let small = read_with(&dump.root, &options("wordnet"), 100_000, 64 << 20).unwrap();
    let tight = read_with(&dump.root, &options("wordnet"), 100_000, 8 << 20).unwrap();
    assert_eq!(whole.splits.len(), 1);
    assert!(small.splits.len() > 20, "{}", small.splits.len());
    assert_eq!(small.splits, tight.splits);
    assert!(small.records == whole.records && tight.records == whole.records);
}
