//! Databases that the real RocksDB has just written, with every setting that changes bytes.

use std::path::{Path, PathBuf};

use tranship_connector::ErrorKind;
use tranship_testkit::{engines, fixtures};

use crate::{Content, check_gets, content, open};

struct Made {
    _dir: tempfile::TempDir,
    databases: PathBuf,
    truth: Vec<serde_json::Value>,
}

fn make(seed: &str) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let (databases, truth) = (dir.path().join("databases"), dir.path().join("truth.jsonl"));
    let arguments = [databases.as_os_str(), truth.as_os_str(), "--seed".as_ref(), seed.as_ref()];
    engines::run("rocksdb", "rocksdb_make.py", &arguments);
    Made { truth: fixtures::jsonl(&truth), _dir: dir, databases }
}

fn truth_of(truth: &[serde_json::Value], name: &str) -> Content {
    let mut content = Content::new();
    for line in truth.iter().filter(|line| line["db"] == name) {
        let family = content.entry(line["cf"].as_str().unwrap().to_owned()).or_default();
        if let Some(key) = line["key"].as_str() {
            family.insert(bytes(key), bytes(line["value"].as_str().unwrap()));
        }
    }
    content
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn logs_hold_something(dir: &Path) -> bool {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    files.into_iter().any(|e| e.file_name().to_str().unwrap().ends_with(".log") && e.metadata().unwrap().len() > 0)
}

#[test]
fn every_setting_of_the_engine_reads_back_as_the_engine_answers() {
    for seed in ["1", "2"] {
        let made = make(seed);
        let mut names: Vec<&str> = made.truth.iter().map(|line| line["db"].as_str().unwrap()).collect();
        names.dedup();
        assert_eq!(names.len(), 18);
        for name in names {
            let truth = truth_of(&made.truth, name);
            assert!(logs_hold_something(&made.databases.join(name)), "{name}: the end is in the log only");
            let database = open(&made.databases.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            let found = content(&database).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(found == truth, "{name}, seed {seed} differs");
            check_gets(&database, &truth);
            assert!(database.notes().is_empty(), "{name}: {:?}", database.notes());
        }
        for (name, why) in [("bzip2_5", "bzip2"), ("blobs", "blob file"), ("ranges", "range")] {
            let error = open(&made.databases.join(name)).and_then(|database| content(&database).map(drop));
            let error = error.expect_err(name);
            assert_eq!(error.kind(), ErrorKind::NotRecognised);
            assert!(error.to_string().contains(why), "{name}: {error}");
        }
    }
}
