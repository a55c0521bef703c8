//! Chroma directories against what the engine itself says is in them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tranship_testkit::{Tranship, engines, fixtures};

use crate::support::{arg, convert, locator};

/// Bits of a vector as the engine printed it.
fn bits(vector: &Value) -> Vec<u32> {
    let numbers = vector.as_array().expect("a vector is an array");
    numbers.iter().map(|n| n.to_string().parse::<f32>().expect("a vector holds numbers").to_bits()).collect()
}

/// Metadata by value and type; nothing and `{}` are the same.
fn metadata(record: &Value) -> BTreeMap<String, Value> {
    let object = record.get("metadata").and_then(Value::as_object);
    object.map(|map| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()).unwrap_or_default()
}

/// How far two vectors are apart, relative to the largest element.
fn distance(a: &[u32], b: &[u32]) -> f32 {
    let floats = |v: &[u32]| v.iter().map(|bits| f32::from_bits(*bits)).collect::<Vec<_>>();
    let (a, b) = (floats(a), floats(b));
    let scale = a.iter().fold(f32::MIN_POSITIVE, |max, v| max.max(v.abs()));
    a.iter().zip(&b).fold(0.0, |max, (x, y)| f32::max(max, (x - y).abs() / scale))
}

/// Compares every record of one collection; returns how many vectors differ by rounding only. The engine normalises
/// cosine vectors that still wait in its queue and multiplies them back, so its answer may be an ulp away from what
/// was added, which is what we keep.
fn compare(name: &str, truth: &[&Value], found: &[Value], cosine: bool) -> usize {
    let by_id: BTreeMap<&str, &Value> = found.iter().map(|record| (record["id"].as_str().unwrap(), record)).collect();
    assert_eq!(found.len(), by_id.len(), "{name}: an id occurs twice");
    assert_eq!(found.len(), truth.len(), "{name}: number of records");
    let mut rounded = 0;
    for expected in truth {
        let id = expected["id"].as_str().unwrap();
        let record = by_id.get(id).unwrap_or_else(|| panic!("{name}: {id} is missing"));
        assert_eq!(record.get("document").unwrap_or(&Value::Null), &expected["document"], "{name}/{id}: document");
        let mut wanted = metadata(expected);
        if let Some(uri) = expected.get("uri").filter(|uri| !uri.is_null()) {
            wanted.insert("chroma:uri".into(), uri.clone());
        }
        assert_eq!(metadata(record), wanted, "{name}/{id}: metadata");
        let (a, b) = (bits(&expected["vector"]), bits(&record["vector"]));
        if a != b {
            assert!(cosine && distance(&a, &b) < 1e-5, "{name}/{id}: vector");
            rounded += 1;
        }
    }
    rounded
}

/// Reads one collection through an archive into JSONL.
fn read(directory: &Path, collection: &str, work: &Path) -> Vec<Value> {
    let archive = work.join("c.tranship");
    let lines = work.join("c.jsonl");
    convert(&locator("chroma", directory), &locator("archive", &archive), &["--collection", collection]);
    convert(&locator("archive", &archive), &locator("jsonl", &lines), &[]);
    fixtures::jsonl(&lines)
}

fn stored_dump_equals_its_truth(version: &str) {
    let dir = tempfile::tempdir().unwrap();
    let directory = fixtures::chroma(version, dir.path());
    let truth = fixtures::chroma_truth(version, &directory);
    let mut collections: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for record in &truth {
        collections.entry(record["collection"].as_str().unwrap()).or_default().push(record);
    }
    for (name, records) in collections {
        let work = tempfile::tempdir().unwrap();
        let found = read(&directory, name, work.path());
        let cosine = name.starts_with("cos") || name == "wordnet";
        let rounded = compare(name, &records, &found, cosine);
        assert!(rounded < 1_001, "{name}: {rounded} vectors differ by rounding, more than a queue holds");
    }
}

#[test]
fn every_record_of_a_0_4_directory_equals_the_engines_answer() {
    stored_dump_equals_its_truth("0.4.24");
}

#[test]
fn every_record_of_a_0_5_directory_equals_the_engines_answer() {
    stored_dump_equals_its_truth("0.5.23");
}

#[test]
fn every_record_of_a_1_5_directory_equals_the_engines_answer() {
    stored_dump_equals_its_truth("1.5.9");
}

#[test]
fn every_record_of_the_wordnet_directory_equals_the_engines_answer() {
    stored_dump_equals_its_truth("wordnet");
}

#[test]
fn fresh_directories_of_the_real_engine_equal_its_answer() {
    for seed in ["11", "12"] {
        let dir = tempfile::tempdir().unwrap();
        let (directory, truth) = (dir.path().join("db"), dir.path().join("truth.jsonl"));
        engines::run("chroma", "chroma_make.py", &[arg(&directory), arg(&truth), "--seed".as_ref(), seed.as_ref()]);
        let truth = fixtures::jsonl(&truth);
        let mut collections: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for record in &truth {
            let part = |key: &str| record[key].as_str().unwrap();
            collections
                .entry(format!("{}/{}/{}", part("tenant"), part("database"), part("collection")))
                .or_default()
                .push(record);
        }
        let listed = Tranship::run(["inspect", &locator("chroma", &directory), "--json"]).expect(0).json();
        for (name, records) in &collections {
            let work = tempfile::tempdir().unwrap();
            let found = read(&directory, name, work.path());
            let info = listed["collections"].as_array().unwrap().iter().find(|c| {
                let listed = c["name"].as_str().unwrap();
                listed == name || name.ends_with(&format!("/{listed}"))
            });
            let metric = &info.unwrap_or_else(|| panic!("{name} is not listed"))["schema"]["vectors"][0]["metric"];
            compare(name, records, &found, metric == "cosine");
        }
        assert!(collections.len() >= 4, "the engine made {} collections with records", collections.len());
    }
}

#[test]
fn reading_changes_nothing_in_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let directory = fixtures::chroma("1.5.9", dir.path());
    let state = |root: &Path| {
        let mut files: Vec<_> = walk(root)
            .into_iter()
            .map(|path| {
                let metadata = path.metadata().unwrap();
                (path.clone(), metadata.modified().unwrap(), std::fs::read(&path).ok())
            })
            .collect();
        files.sort();
        files
    };
    let before = state(&directory);
    Tranship::run(["inspect", &locator("chroma", &directory), "--full"]).expect(0);
    convert(
        &locator("chroma", &directory),
        &locator("archive", &dir.path().join("a.tranship")),
        &["--collection", "l2_32"],
    );
    assert_eq!(state(&directory), before);
}

fn walk(root: &Path) -> Vec<std::path::PathBuf> {
    let mut paths = vec![root.to_owned()];
    if root.is_dir() {
        std::fs::read_dir(root).unwrap().for_each(|entry| paths.extend(walk(&entry.unwrap().path())));
    }
    paths
}
