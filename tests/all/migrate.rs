//! The main job as the README shows it.

use tranship_testkit::{Tranship, fixtures};

use crate::support::locator;

#[test]
fn the_wordnet_collection_is_ready_to_load() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("demo");
    let ran = Tranship::run(["migrate", "chroma:fixtures/chroma-wordnet", &locator("qdrant", &target)]).expect(0);
    assert!(ran.stdout.contains("READY TO LOAD") && !ran.stdout.contains("NOT READY"), "{}", ran.stdout);
    assert!(ran.stdout.contains("1480 records"), "{}", ran.stdout);
    for file in [
        "demo/load.sh",
        "demo/check.sh",
        "demo/undo.sh",
        "demo/mapping.json",
        "demo/schema.json",
        "demo.tranship/MANIFEST.json",
        "demo.run/migrate.json",
    ] {
        assert!(dir.path().join(file).is_file(), "{file}");
    }
}

#[test]
fn all_five_collections_are_ready_to_load_and_an_empty_one_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("all");
    let source = locator("chroma", &fixtures::five_collections());
    let ran = Tranship::run(["migrate", &source, &locator("qdrant", &target), "--all", "--json"]).expect(0);
    let report = ran.json();
    let collections = report["collections"].as_array().unwrap();
    let records: Vec<(&str, u64)> =
        collections.iter().map(|c| (c["collection"].as_str().unwrap(), c["records"].as_u64().unwrap())).collect();
    let mut sorted = records.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [("cos64", 2751), ("empty", 0), ("ip_16_bigsync", 2751), ("l2_32", 2751), ("tiny", 2)]);
    assert!(collections.iter().all(|c| c["ready"] == true), "{report:#}");
    assert!(!target.join("empty/schema.json").exists(), "a collection without dimensions has no create body");
}

#[test]
fn a_second_migrate_keeps_what_is_there_and_proves_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let target = locator("qdrant", &dir.path().join("demo"));
    Tranship::run(["migrate", "chroma:fixtures/chroma-wordnet", &target]).expect(0);
    let again = Tranship::run(["migrate", "chroma:fixtures/chroma-wordnet", &target]).expect(0);
    assert!(again.stdout.contains("kept") && again.stdout.contains("proven again"), "{}", again.stdout);
    let five = locator("chroma", &fixtures::five_collections());
    for other in [[&*five, "--collection", "tiny"], ["chroma:fixtures/chroma-wordnet", "--as", "other"]] {
        let ran = Tranship::run(["migrate", other[0], &target, other[1], other[2]]).expect(20);
        assert!(ran.stderr.contains("another source, or with other options"), "{}", ran.stderr);
    }
}

#[test]
fn what_the_target_refuses_is_told_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("in.jsonl");
    std::fs::write(&lines, "{\"id\":\"a\",\"vector\":[1,2]}\n").unwrap();
    let target = locator("qdrant", &dir.path().join("demo"));
    let ran = Tranship::run(["migrate", &locator("jsonl", &lines), &target]).expect(2);
    assert!(ran.stderr.contains("--metric"), "{}", ran.stderr);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let ran = Tranship::run(["migrate", &locator("jsonl", &lines), &target, "--metric", "l2"]).expect(0);
    assert!(ran.stdout.contains("READY TO LOAD"), "{}", ran.stdout);
}

#[test]
fn a_metric_is_for_dense_vectors_and_leaves_sparse_ones_alone() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("in.jsonl");
    let record = "{\"id\":\"a\",\"vectors\":{\"d\":[1,2],\"s\":{\"indices\":[3],\"values\":[1]}}}\n";
    std::fs::write(&lines, record).unwrap();
    let (lines, target) = (locator("jsonl", &lines), locator("qdrant", &dir.path().join("demo")));
    let ran = Tranship::run(["inspect", &lines, "--metric", "cosine"]).expect(0);
    assert!(ran.stdout.contains("2 x f32, cosine") && ran.stdout.contains("sparse f32, no metric"), "{}", ran.stdout);
    Tranship::run(["migrate", &lines, &target, "--metric", "cosine"]).expect(0);
}

#[test]
fn a_declared_metric_stays_but_inner_products_of_faiss_may_be_called_cosine() {
    let indexes = fixtures::shared("ann-files").join("ann");
    let dir = tempfile::tempdir().unwrap();
    let target = locator("archive", &dir.path().join("ip.tranship"));
    let convert = |index: &str| {
        Tranship::run(["convert", &locator("faiss", &indexes.join(index)), &target, "--metric", "cosine"])
    };
    let ran = convert("flat_l2.faiss").expect(2);
    assert!(ran.stderr.contains("the source declares l2, not cosine"), "{}", ran.stderr);
    convert("flat_ip.faiss").expect(0);
    let ran = Tranship::run(["inspect", &target]).expect(0);
    assert!(ran.stdout.contains("24 x f32, cosine"), "{}", ran.stdout);
}

#[test]
fn records_that_were_set_aside_are_stated_beside_the_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("in.jsonl");
    std::fs::write(&lines, "{\"id\":\"a\",\"vector\":[1,2]}\n{\"id\":\"b\",\"vector\":[1]}\n").unwrap();
    let target = locator("qdrant", &dir.path().join("demo"));
    let arguments = ["migrate", &locator("jsonl", &lines), &target, "--metric", "l2", "--max-rejects", "1"];
    let ran = Tranship::run(arguments).expect(0);
    assert!(ran.stdout.contains("1 records were set aside"), "{}", ran.stdout);
    let strict = Tranship::run(&arguments[..5]).expect(20);
    assert!(strict.stderr.contains("other options"), "{}", strict.stderr);
}

#[test]
fn only_providers_and_only_sources_that_can_be_read_again_are_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let target = locator("archive", &dir.path().join("demo"));
    Tranship::run(["migrate", "chroma:fixtures/chroma-wordnet", &target]).expect(2);
    let ran = Tranship::run(["migrate", "jsonl:-", &locator("qdrant", &dir.path().join("demo"))]).expect(2);
    assert!(ran.stderr.contains("convert jsonl:-"), "{}", ran.stderr);
}

#[test]
fn a_bundle_that_was_tampered_with_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("demo");
    Tranship::run(["migrate", "chroma:fixtures/chroma-wordnet", &locator("qdrant", &target)]).expect(0);
    let body = std::fs::read_dir(target.join("data")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&body).unwrap();
    let position = text.find("0.0").unwrap();
    let tampered = format!("{}0.9{}", &text[..position], &text[position + 3..]);
    std::fs::write(&body, tampered).unwrap();
    let ran = Tranship::run(["migrate", "chroma:fixtures/chroma-wordnet", &locator("qdrant", &target)]);
    assert!(matches!(ran.code, Some(1 | 11)), "{ran:?}");
    assert!(!ran.stdout.contains("READY TO LOAD: "), "{}", ran.stdout);
}
