//! Bundles of hashes loaded into real servers by their own scripts: stopped, repeated, read back and taken back.

use std::ffi::OsStr;

use serde_json::{Value, json};
use tranship_connector::CreateOptions;
use tranship_testkit::{Generator, engines};

use crate::collections::{Collection, mapping, odd, options, undone, write};

fn check(server: &str, collection: &Collection, options: &CreateOptions) {
    let dir = tempfile::tempdir().unwrap();
    let (bundle, out) = (dir.path().join("bundle"), dir.path().join("out"));
    write(&bundle, collection, options).unwrap();
    let arguments = [OsStr::new(server), bundle.as_os_str(), out.as_os_str()];
    let report: Value = serde_json::from_str(&engines::run("redis", "redis_apply.py", &arguments)).unwrap();
    let mapping = mapping(&bundle);
    let (files, records) = (collection.1.len(), mapping.records.values().sum::<u64>());
    let exit = |step: &str| report[step]["exit"].as_i64().unwrap_or(-1);
    let says = |step: &str| report[step]["says"].as_str().unwrap_or_default();
    assert_eq!((exit("damaged"), &report["damaged"]["marks"]), (2, &json!(files - 1)), "{}", report["damaged"]);
    assert_eq!(exit("refused"), 2, "a collection that is there is left alone: {}", report["refused"]);
    assert_eq!(exit("unindexed"), 2, "{}", report["unindexed"]);
    assert!(says("unindexed").contains("no search module"), "{}", report["unindexed"]);
    for step in ["loaded", "undone", "again"] {
        assert_eq!(exit(step), 0, "{step}: {}", report[step]);
    }
    assert_eq!((&report["keys"], &report["same"]), (&json!(records), &json!(records)));
    for step in ["checked", "again_checked"] {
        assert_eq!(exit(step), 2, "there is no tranship for it: {}", report[step]);
        assert!(says(step).contains("tranship verify") && !says(step).contains("WRONG"), "{}", report[step]);
    }
    assert_eq!(exit("tampered"), 1, "{}", report["tampered"]);
    assert!(says("tampered").contains("WRONG") && says("tampered").contains("NO-GO"));
    assert_eq!(exit("asked"), 1, "without an answer nothing is deleted");
    assert_eq!(report["left"], json!(["somebody's"]));
    let expected = mapping.expected_fingerprint.unwrap();
    for (pulled, is_same) in [("pulled", true), ("tampered", false), ("again", true)] {
        assert_eq!(undone(&out.join(pulled).join("dump.rdb"), &bundle) == expected, is_same, "{pulled}");
    }
}

#[test]
fn names_and_ids_of_any_bytes_come_back_from_redis() {
    check("redis", &odd(), &CreateOptions::default());
}

#[test]
fn a_generated_collection_comes_back_from_valkey() {
    let generator = Generator {
        mixed_ids: true,
        namespaced: true,
        all_vectors: true,
        narrow: true,
        rows: 2_000,
        ..Generator::default()
    };
    let collection = (generator.schema(), generator.batches());
    check("valkey", &collection, &options(&["VECTOR_DROPPED"], "hash"));
}
