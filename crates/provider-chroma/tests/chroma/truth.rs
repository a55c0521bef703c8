//! Every live record of every fixture, compared with what the real engine's API said.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use tranship_collection::{Metric, json};
use tranship_connector::Count;

use crate::fixtures::{Outcome, dump, list, read};

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
        assert_eq!(canonical(record.metadata.as_deref()), canonical(Some(truth.metadata.get())), "metadata of {}", truth.id);
        let wanted = floats(truth.vector.get());
        let got = record.vector.as_ref().unwrap();
        if wanted.iter().map(|v| v.to_bits()).eq(got.iter().map(|v| v.to_bits())) {
            vectors.exact += 1;
        } else {
            let scale = wanted.iter().fold(0f32, |a, b| a.max(b.abs()));
            assert!(wanted.len() == got.len() && wanted.iter().zip(got).all(|(a, b)| (a - b).abs() <= 1e-5 * scale), "vector of {}", truth.id);
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
    let sql = "SELECT q.id FROM embeddings_queue q JOIN collections c ON q.topic LIKE '%/' || c.id WHERE c.name = ?1 AND q.vector IS NOT NULL";
    let mut statement = connection.prepare(sql).unwrap();
    let ids = statement.query_map([collection], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

const FIVE: [(&str, usize, Option<Metric>); 5] = [
    ("cos64", 2751, Some(Metric::Cosine)),
    ("empty", 0, Some(Metric::L2)),
    ("ip_16_bigsync", 2751, Some(Metric::Dot)),
    ("l2_32", 2751, Some(Metric::L2)),
    ("tiny", 2, Some(Metric::L2)),
];

#[test]
fn chroma_0_4_24_is_read_as_its_api_reads_it() {
    let read = check("chroma-0.4.24", &FIVE);
    assert!(["l2_32", "ip_16_bigsync", "tiny"].iter().all(|name| read[*name].1.close.is_empty()));
    println!("0.4.24 cos64: {:?}", read["cos64"].1.close.len());
}

#[test]
fn chroma_0_5_23_is_read_as_its_api_reads_it() {
    let read = check("chroma-0.5.23", &FIVE);
    assert!(["l2_32", "ip_16_bigsync", "tiny"].iter().all(|name| read[*name].1.close.is_empty()));
    println!("0.5.23 cos64: {:?}", read["cos64"].1.close.len());
}

#[test]
fn chroma_1_5_9_is_read_as_its_api_reads_it() {
    let read = check("chroma-1.5.9", &FIVE);
    assert!(["l2_32", "ip_16_bigsync", "tiny"].iter().all(|name| read[*name].1.close.is_empty()));
    println!("1.5.9 cos64: {:?}", read["cos64"].1.close.len());
    for (name, (outcome, _)) in &read {
        println!("{name} {:?}", outcome.ledger);
    }
}

#[test]
fn the_wordnet_dump_is_read_as_its_api_reads_it() {
    let started = std::time::Instant::now();
    let read = check("chroma-wordnet", &[("wordnet", 1480, Some(Metric::Cosine))]);
    println!("{:?} {:?} {:?}", read["wordnet"].0.ledger, read["wordnet"].1.close.len(), started.elapsed());
}
