//! Files that the libraries make themselves, and what they say is in them. Shared by the crates of array and index files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tranship_collection::json::canonical;
use tranship_connector::{Connector, Locator, OpenOptions, Result, Source};
use tranship_testkit::fixtures::jsonl;
use tranship_testkit::reading::{Outcome, Record, Vector};
use tranship_testkit::{engines, fixtures, reading};

/// Opens `path` with options given as pairs; `collection` and `allow_lossy` are generic ones.
pub fn open(connector: &Connector, path: &Path, options: &[(&str, &str)]) -> Result<Box<dyn Source>> {
    let mut chosen = OpenOptions::default();
    for (key, value) in options {
        match *key {
            "collection" => chosen.collection = Some((*value).to_owned()),
            "allow_lossy" => chosen.allow_lossy = true,
            key => drop(chosen.options.insert(key.to_owned(), (*value).to_owned())),
        }
    }
    connector.check_options(&chosen)?;
    let locator = Locator { provider: None, path: path.to_owned() };
    (connector.open.expect("it reads"))(&locator, &chosen)
}

/// Opens and reads everything.
pub fn read(connector: &Connector, path: &Path, options: &[(&str, &str)]) -> Result<Outcome> {
    reading::read(open(connector, path, options)?.as_ref())
}

/// Makes the cases called `what` with their library and compares each; returns how many there were.
pub fn compare_with_library(connector: &Connector, what: &str, skip: impl Fn(&str) -> bool) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join(what);
    engines::run("ann", "ann_make.py", &[OsStr::new(what), home.as_os_str()]);
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(home.join("cases.json")).unwrap()).unwrap();
    let mut compared = 0;
    for case in cases.iter().filter(|case| !skip(case["file"].as_str().unwrap())) {
        let options: Vec<(&str, &str)> =
            case["options"].as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
        let path = home.join(case["file"].as_str().unwrap());
        assert!((connector.probe)(&path).is_some(), "{case}");
        let outcome = read(connector, &path, &options).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(outcome.rejects.is_empty(), "{case}: {:?}", outcome.rejects);
        compare(&outcome, case, &jsonl(&home.join(case["truth"].as_str().unwrap())));
        compared += 1;
    }
    compared
}

fn compare(outcome: &Outcome, case: &Value, truth: &[Value]) {
    let found = outcome.by_id();
    assert_eq!(found.len(), truth.len(), "{case}");
    for wanted in truth {
        let id = wanted["id"].as_str().map_or_else(|| wanted["id"].to_string(), str::to_owned);
        let record = found.get(&(None, id.as_str())).unwrap_or_else(|| panic!("{case}: {id} is missing"));
        assert_eq!(record.kind as u8, u8::from(wanted["id"].is_string()), "{case}: {id}");
        compare_record(record, wanted, case);
    }
    let spec = &outcome.schema.vectors[0];
    let metric = spec.metric.map_or(Value::Null, |metric| Value::from(metric.name()));
    assert_eq!(metric, case["metric"], "{case}");
    let element = match spec.kind {
        tranship_collection::VectorKind::Bits => "bits".to_owned(),
        _ => format!("{:?}", spec.element).to_lowercase(),
    };
    assert_eq!(element, case["element"], "{case}");
    let ledger = outcome.ledger;
    assert_eq!(ledger.raw, case["raw"].as_u64(), "{case}");
    assert_eq!((ledger.live, Some(ledger.deleted)), (Some(truth.len() as u64), case["deleted"].as_u64()), "{case}");
}

fn compare_record(record: &Record, wanted: &Value, case: &Value) {
    let id = &record.id;
    match record.vectors.get("").unwrap_or_else(|| panic!("{case}: {id} has no vector")) {
        Vector::Bits(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, wanted["bits"], "{case}: {id}");
        }
        Vector::Dense(values) => {
            let exact: Vec<u32> =
                wanted["vector"].as_array().unwrap().iter().map(|v| (v.as_f64().unwrap() as f32).to_bits()).collect();
            let values: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
            assert_eq!(values, exact, "{case}: {id}");
        }
        other => panic!("{case}: {id} has {other:?}"),
    }
    assert_eq!(record.document.as_deref(), wanted["document"].as_str(), "{case}: {id}");
    let bytes = |text: &str| {
        let mut out = Vec::new();
        canonical(text, &mut out).unwrap();
        out
    };
    let metadata = wanted.get("metadata").map_or_else(|| "null".to_owned(), Value::to_string);
    assert_eq!(bytes(record.metadata.as_deref().unwrap_or("null")), bytes(&metadata), "{case}: {id}");
}

/// The stored array and index files, unpacked.
pub fn stored() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fixtures::unpack("ann-files", dir.path());
    let home = dir.path().join("ann");
    (dir, home)
}

/// The stored matrix `truth_X.npy` of the fixture, row by row: 3000 x 24.
pub fn stored_matrix(home: &Path) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(home.join("truth_X.npy")).unwrap();
    let values: Vec<f32> = bytes[128..].as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
    values.chunks_exact(24).map(<[f32]>::to_vec).collect()
}

/// The bits of floats, which tell -0 from 0.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
