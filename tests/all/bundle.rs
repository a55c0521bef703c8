//! Qdrant bundles, applied by Qdrant's own segment engine and read back from it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tranship_collection::Metric;
use tranship_testkit::{Generator, MemorySource, Tranship, engines, fixtures};

use crate::support::{arg, convert, locator};
use crate::transfer;

/// The bundle of an archive, and what the engine says after it was loaded.
fn load(archive: &Path, dir: &Path) -> (PathBuf, PathBuf) {
    let (bundle, scrolled) = (dir.join("bundle"), dir.join("scrolled.jsonl"));
    convert(&locator("archive", archive), &locator("qdrant", &bundle), &[]);
    engines::run("qdrant", "qdrant_apply.py", &[arg(&bundle), arg(&scrolled)]);
    (bundle, scrolled)
}

fn five() -> String {
    locator("chroma", &fixtures::five_collections())
}

fn mapping(bundle: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(bundle.join("mapping.json")).unwrap()).unwrap()
}

/// `verify ARCHIVE SCROLLED --mapping`.
fn proof(archive: &Path, bundle: &Path, scrolled: &Path) -> Value {
    let mapping = bundle.join("mapping.json");
    let arguments = [
        "verify",
        &locator("archive", archive),
        &locator("jsonl", scrolled),
        "--mapping",
        mapping.to_str().unwrap(),
        "--json",
    ];
    Tranship::run(arguments).expect(0).json()
}

fn generated(metric: Metric, dir: &Path) -> PathBuf {
    let archive = dir.join("generated.tranship");
    // Qdrant takes every finite float but what overflows its norm, and a snapshot that one as well; ids and payloads are the awkward ones.
    let generator = Generator { metric, rows: 1_000, mixed_ids: true, namespaced: true, ..Generator::default() };
    let source = MemorySource::new(generator.schema(), generator.batches(), 4);
    transfer::write(&source, &locator("archive", &archive), transfer::engine(2, 512 << 20), 0).unwrap();
    archive
}

#[test]
fn l2_and_dot_collections_come_back_from_the_engine_with_the_sources_own_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    let chroma = dir.path().join("l2_32.tranship");
    convert(&five(), &locator("archive", &chroma), &["--collection", "l2_32"]);
    let ip = dir.path().join("ip.tranship");
    convert(&five(), &locator("archive", &ip), &["--collection", "ip_16_bigsync"]);
    let (l2, dot) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for archive in [chroma, ip, generated(Metric::L2, l2.path()), generated(Metric::Dot, dot.path())] {
        let work = tempfile::tempdir().unwrap();
        let (bundle, scrolled) = load(&archive, work.path());
        let report = proof(&archive, &bundle, &scrolled);
        assert_eq!(
            (&report["by_fingerprint"], &report["tolerated"]),
            (&json!(true), &json!(0)),
            "{}",
            archive.display()
        );
        let mapping = mapping(&bundle);
        assert_eq!(report["b"], mapping["expected_fingerprint"]);
        assert_eq!(report["b"], mapping["source_fingerprint"]);
    }
}

#[test]
fn cosine_collections_come_back_with_the_expected_fingerprint_within_the_stated_tolerance() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("cos64.tranship");
    convert(&five(), &locator("archive", &archive), &["--collection", "cos64"]);
    let (bundle, scrolled) = load(&archive, dir.path());
    let report = proof(&archive, &bundle, &scrolled);
    let (expected, found) = (&mapping(&bundle)["expected_fingerprint"], &report["b"]);
    for exact in ["id", "document", "metadata"] {
        assert_eq!(found["components"][exact], expected["components"][exact], "{exact}");
    }
    assert_eq!(found["components"]["vector"]["count"], expected["components"]["vector"]["count"]);
    let largest = report["largest_tolerated"].as_f64().unwrap();
    assert!(largest < 1e-6, "the engine's rounding is {largest}");
}

#[test]
fn narrow_elements_are_stored_by_the_engine_as_such_or_as_f32_with_the_same_values() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("narrow.tranship");
    let generator = Generator { rows: 1_000, narrow: true, dim: 40, ..Generator::default() };
    let source = MemorySource::new(generator.schema(), generator.batches(), 4);
    transfer::write(&source, &locator("archive", &archive), transfer::engine(2, 512 << 20), 0).unwrap();
    let (bundle, scrolled) = load(&archive, dir.path());
    let schema: Value = serde_json::from_slice(&std::fs::read(bundle.join("schema.json")).unwrap()).unwrap();
    let stored = [("half", "float16"), ("unit", "float16"), ("byte", "uint8")];
    for (name, params) in schema["vectors"].as_object().unwrap() {
        let datatype = stored.iter().find(|(stored, _)| stored == name).map(|(_, datatype)| *datatype);
        assert_eq!(params["datatype"].as_str(), datatype, "{name}");
    }
    let report = proof(&archive, &bundle, &scrolled);
    let mapping = mapping(&bundle);
    let (expected, found) = (&mapping["expected_fingerprint"], &report["b"]);
    for exact in ["vector", "vector.byte", "vector.half", "vector.signed", "id", "document", "metadata"] {
        assert_eq!(found["components"][exact], expected["components"][exact], "{exact}");
    }
    let tolerances: Vec<(&String, f64)> =
        mapping["tolerance"].as_object().unwrap().iter().map(|(name, t)| (name, t.as_f64().unwrap())).collect();
    assert!(matches!(tolerances[..], [(_, brain), (_, unit)] if brain < 2e-6 && unit > 1e-3), "{tolerances:?}");
    let largest = report["largest_tolerated"].as_f64().unwrap();
    assert!(largest < 1e-3, "the engine's rounding is {largest}");
}

#[test]
fn a_vector_that_was_swapped_inside_the_target_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("cos64.tranship");
    convert(&five(), &locator("archive", &archive), &["--collection", "cos64"]);
    let (bundle, scrolled) = load(&archive, dir.path());
    let mut records = fixtures::jsonl(&scrolled);
    let (a, b) = (records[5]["vector"].clone(), records[6]["vector"].clone());
    (records[5]["vector"], records[6]["vector"]) = (b, a);
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    std::fs::write(&scrolled, text).unwrap();
    let mapping = bundle.join("mapping.json");
    let report = Tranship::run([
        "verify",
        &locator("archive", &archive),
        &locator("jsonl", &scrolled),
        "--mapping",
        mapping.to_str().unwrap(),
        "--json",
    ])
    .expect(1)
    .json();
    let mut found: Vec<&str> =
        report["differences"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap()).collect();
    let mut swapped: Vec<&str> =
        [5, 6].iter().map(|row| records[*row]["metadata"]["_tranship_id"].as_str().unwrap()).collect();
    found.sort_unstable();
    swapped.sort_unstable();
    assert_eq!(found, swapped);
}

#[test]
fn a_bundle_read_back_is_its_source_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("cos64.tranship");
    convert(&five(), &locator("archive", &archive), &["--collection", "cos64"]);
    let bundle = dir.path().join("bundle");
    convert(&locator("archive", &archive), &locator("qdrant", &bundle), &[]);
    let report = Tranship::run(["verify", &locator("archive", &archive), &locator("qdrant", &bundle), "--json"])
        .expect(0)
        .json();
    assert_eq!(report["by_fingerprint"], json!(true));
}

#[test]
fn a_snapshot_bundle_is_its_source_as_its_own_mapping_projects_it() {
    let dir = tempfile::tempdir().unwrap();
    let archive = generated(Metric::Cosine, dir.path());
    let bundle = dir.path().join("bundle");
    convert(&locator("archive", &archive), &locator("qdrant", &bundle), &["--target-option", "form=snapshot"]);
    let mapping = bundle.join("mapping.json");
    let report = Tranship::run([
        "verify",
        &locator("archive", &archive),
        &locator("qdrant", &bundle),
        "--mapping",
        mapping.to_str().unwrap(),
        "--json",
    ])
    .expect(0)
    .json();
    assert_eq!((&report["by_fingerprint"], &report["tolerated"]), (&json!(true), &json!(0)));
}

#[test]
fn the_points_of_a_snapshot_in_the_engine_are_go_by_verify() {
    let dir = tempfile::tempdir().unwrap();
    let archive = generated(Metric::Cosine, dir.path());
    let (bundle, pages) = (dir.path().join("bundle"), dir.path().join("pages"));
    convert(&locator("archive", &archive), &locator("qdrant", &bundle), &["--target-option", "form=snapshot"]);
    engines::run("qdrant", "qdrant_native.py", &[arg(&bundle), arg(&pages)]);
    let mapping = bundle.join("mapping.json");
    let sides = [locator("archive", &archive), locator("qdrant", &pages)];
    let report = Tranship::run(["verify", &sides[0], &sides[1], "--mapping", mapping.to_str().unwrap(), "--json"])
        .expect(0)
        .json();
    assert_eq!((&report["by_fingerprint"], &report["tolerated"]), (&json!(true), &json!(0)), "not a bit differs");
}
