//! Files that the library makes now, against what it reconstructs from them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;
use tranship_collection::{Element, VectorKind};
use tranship_connector::{Count, ErrorKind, OpenOptions};
use tranship_provider_faiss::CONNECTOR;

use crate::support::{Array, compare, compare_nearly, list, lossy, open, options, read_plain, read_with};

/// The files, made once.
static MADE: LazyLock<(tempfile::TempDir, BTreeMap<String, Value>)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("made");
    let arguments =
        [made.as_os_str(), OsStr::new("--seed"), OsStr::new("20261120"), OsStr::new("--rows"), OsStr::new("400")];
    tranship_testkit::engines::run("faiss", "faiss_make.py", &arguments);
    let kinds = serde_json::from_slice(&std::fs::read(made.join("kinds.json")).unwrap()).unwrap();
    (dir, kinds)
});

fn made() -> std::path::PathBuf {
    MADE.0.path().join("made")
}

fn kinds(read: &'static str) -> impl Iterator<Item = (&'static str, &'static Value)> {
    MADE.1.iter().filter(move |(_, facts)| facts["read"] == read).map(|(name, facts)| (name.as_str(), facts))
}

fn truth(dir: &Path, name: &str) -> (Vec<i64>, Vec<Vec<u32>>) {
    let ids = Array::load(&dir.join(format!("{name}.ids.npy"))).integers();
    (ids, Array::load(&dir.join(format!("{name}.npy"))).rows())
}

/// Differences that were rounded to 16 bits are told of: their sums with the centroids look exact.
fn notes_of(name: &str) -> usize {
    usize::from(name.contains("16_residual"))
}

#[test]
fn every_exact_kind_reads_as_the_library_reconstructs_it() {
    let mut count = 0;
    for (name, facts) in kinds("exact") {
        let path = made().join(format!("{name}.faiss"));
        let outcome = read_plain(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (ids, rows) = truth(&made(), name);
        compare(name, &outcome, &ids, &rows);
        assert_eq!(outcome.notes.len(), notes_of(name), "{name}: {:?}", outcome.notes);
        assert_eq!((CONNECTOR.probe)(&path), Some(95), "{name}");
        let spec = &outcome.schema.vectors[0];
        assert_eq!(spec.dim.map(|dim| dim as u64), facts["dim"].as_u64(), "{name}");
        assert_eq!(spec.metric.map(|metric| metric.name()), facts["metric"].as_str(), "{name}");
        assert_eq!(Some(spec.normalised), facts["normalised"].as_bool(), "{name}");
        let element = match (spec.kind, spec.element) {
            (VectorKind::Bits, _) => "bits",
            (_, Element::F32) => "f32",
            (_, Element::F16) => "f16",
            (_, Element::BF16) => "bf16",
            (_, Element::I8) => "i8",
            (_, Element::U8) => "u8",
        };
        assert_eq!(Some(element), facts["element"].as_str(), "{name}");
        let info = &list(&path, &OpenOptions::default()).unwrap()[0];
        assert_eq!((info.records, info.notes.len()), (Count::Exact(ids.len() as u64), notes_of(name)), "{name}");
        assert_eq!(info.schema, outcome.schema, "{name}");
        count += 1;
    }
    assert!(count > 60, "{count}");
}

#[test]
fn approximate_kinds_are_read_only_on_request_and_say_so() {
    for (name, facts) in kinds("lossy") {
        let path = made().join(format!("{name}.faiss"));
        let error = open(&path, &OpenOptions::default()).err().unwrap_or_else(|| panic!("{name} is read"));
        assert_eq!(error.kind(), ErrorKind::LossDenied, "{name}: {error}");
        assert!(error.next_step().unwrap().contains("--allow-lossy"));
        let info = &list(&path, &OpenOptions::default()).unwrap()[0];
        assert!(info.notes[0].starts_with("read only with --allow-lossy: "), "{name}: {:?}", info.notes);
        let outcome = read_with(&path, &lossy()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (ids, rows) = truth(&made(), name);
        compare_nearly(name, &outcome, &ids, &rows);
        assert!(outcome.notes[0].starts_with("the vectors are not exactly those that were added: "), "{name}");
        assert!(outcome.schema.vendor["faiss"]["approximate"].is_array(), "{name}");
        assert_eq!(outcome.schema.vectors[0].dim.map(|dim| dim as u64), facts["dim"].as_u64(), "{name}");
    }
}

#[test]
fn what_is_not_read_is_refused_by_name_and_still_listed() {
    let mut letters = Vec::new();
    for (name, _) in kinds("refused") {
        let path = made().join(format!("{name}.faiss"));
        for options in [OpenOptions::default(), lossy()] {
            let error = open(&path, &options).err().unwrap_or_else(|| panic!("{name} is read"));
            assert_eq!(error.kind(), ErrorKind::NotRecognised, "{name}: {error}");
            assert!(
                error.next_step().is_some() && error.to_string().contains(&format!("{name}.faiss")),
                "{name}: {error}"
            );
        }
        let info = &list(&path, &OpenOptions::default()).unwrap()[0];
        assert!(info.notes[0].starts_with("cannot be read: "), "{name}: {:?}", info.notes);
        letters.push((name, (CONNECTOR.probe)(&path)));
    }
    assert!(letters.len() > 12);
    assert!(letters.iter().all(|(name, score)| *score >= Some(90) || *name == "panorama"), "{letters:?}");
}

#[test]
fn settings_of_graphs_and_lists_are_in_the_schema() {
    let schema = |name: &str| read_plain(&made().join(format!("{name}.faiss"))).unwrap().schema;
    let index = |name: &str| serde_json::to_value(&schema(name).vectors[0].index).unwrap();
    assert_eq!(index("flat_l2"), serde_json::json!({"kind": "flat"}));
    assert_eq!(
        index("hnsw_flat"),
        serde_json::json!({"kind": "hnsw", "m": 12, "ef_construction": 50, "ef_search": 33})
    );
    assert_eq!(index("idmap_hnsw")["m"], 8);
    assert_eq!(index("ivf_flat_ip")["settings"], serde_json::json!({"nlist": 8, "nprobe": 1}));
    let vendor = schema("flat_lp").vendor["faiss"].clone();
    assert_eq!((&vendor["metric"], &vendor["metric_arg"]), (&"lp".into(), &3.5.into()));
    assert_eq!(vendor["ids"], "row number");
    assert_eq!(schema("idmap_ivf").vendor["faiss"]["ids"], "id map");
    assert_eq!(schema("idmap_ivf").vendor["faiss"]["types"], serde_json::json!(["IxM2", "IwFl"]));
    assert_eq!(schema("ivf_sq_fp16_residual").vendor["faiss"]["by_residual"], true);
}

#[test]
fn rows_are_numbered_on_request() {
    let path = made().join("idmap2.faiss");
    let outcome = read_with(&path, &options(&[("ids", "row")])).unwrap();
    let (ids, rows) = truth(&made(), "idmap2");
    let numbers: Vec<i64> = (0..ids.len() as i64).collect();
    compare("idmap2", &outcome, &numbers, &rows);
}
