//! Bundles loaded into PostgreSQL by their own scripts: stopped, repeated, copied back, dumped and taken back.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tranship_connector::{CreateOptions, OpenOptions};
use tranship_testkit::{Generator, engines};

use crate::collections::{Collection, ODD_NAME, mapping, odd, options, typed, undone, write};

struct Loaded {
    dir: TempDir,
    report: Value,
}

impl Loaded {
    fn of(collection: &Collection, options: &CreateOptions, version: &str, tamper: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (bundle, out) = (dir.path().join("bundle"), dir.path().join("out"));
        write(&bundle, collection, options).unwrap();
        let more = ["--postgres", version, "--tamper", tamper].map(OsStr::new);
        let arguments = [&[bundle.as_os_str(), out.as_os_str()][..], &more].concat();
        let report = serde_json::from_str(&engines::run("postgres", "pgvector_apply.py", &arguments)).unwrap();
        Loaded { dir, report }
    }

    fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join("out").join(name)
    }

    fn is_what_was_expected(&self, path: &Path, options: &OpenOptions) -> bool {
        let mapping = mapping(&self.bundle());
        undone(path, options, &mapping) == *mapping.expected_fingerprint.as_ref().unwrap()
    }

    /// The story of the load, as the script tells it.
    fn check(&self, files: usize) {
        let report = &self.report;
        let exit = |step: &str| report[step]["exit"].as_i64().unwrap_or(-1);
        let marks = |step: &str| report[step]["marks"].as_array().unwrap().len();
        assert_eq!(exit("damaged"), 2, "{}", report["damaged"]);
        assert_eq!(marks("damaged"), files, "the table and all files but the damaged one: {}", report["damaged"]);
        assert!(marks("killed") >= files);
        for step in ["loaded", "repeated", "undone", "again"] {
            assert_eq!(exit(step), 0, "{step}: {}", report[step]);
        }
        assert_eq!(report["loaded"]["marks"], report["repeated"]["marks"]);
        for step in ["checked", "again_checked"] {
            assert_eq!(exit(step), 2, "there is no tranship for it: {}", report[step]);
            let says = report[step]["says"].as_str().unwrap();
            assert!(says.contains("ok     all counts") && says.contains("tranship verify"), "{says}");
        }
        assert_eq!(exit("tampered"), 1, "{}", report["tampered"]);
        assert!(report["tampered"]["says"].as_str().unwrap().contains("NO-GO"));
        assert_eq!(exit("asked"), 1, "without an answer nothing is dropped");
        assert_eq!(report["left"], json!([]));
        assert_eq!(exit("refused"), 2, "a table of somebody else is left alone: {}", report["refused"]);
        let nothing = OpenOptions::default();
        assert!(self.is_what_was_expected(&self.out("pulled"), &nothing));
        assert!(self.is_what_was_expected(&self.out("again"), &nothing));
        assert!(!self.is_what_was_expected(&self.out("tampered"), &nothing));
    }
}

fn dump_options(table: &str) -> OpenOptions {
    let own = [("metadata".to_owned(), "metadata".to_owned())].into();
    OpenOptions { collection: Some(table.to_owned()), options: own, ..OpenOptions::default() }
}

#[test]
fn odd_names_and_every_kind_of_vector_come_back_from_postgres_18() {
    let table = ODD_NAME.replace('"', "\"\"");
    let tamper = format!("DELETE FROM \"{table}\" WHERE id = 'last'");
    let loaded = Loaded::of(&odd(), &CreateOptions::default(), "18", &tamper);
    loaded.check(4);
    let indexes = loaded.report["indexes"].as_array().unwrap();
    assert_eq!(indexes.len(), 6, "{indexes:?}");
    assert!(
        indexes.iter().any(|index| index.as_str().unwrap().contains("m='48', ef_construction='96'")),
        "{indexes:?}"
    );
}

#[test]
fn typed_columns_come_back_from_postgres_16() {
    let tamper = "DELETE FROM typed WHERE id = 4";
    let loaded = Loaded::of(&typed(), &options(&[], Some("columns")), "16", tamper);
    loaded.check(3);
    let indexes = loaded.report["indexes"].as_array().unwrap();
    assert!(indexes.iter().any(|index| index.as_str().unwrap().contains("ivfflat")), "{indexes:?}");
}

#[test]
fn a_dump_of_the_loaded_table_is_the_source_once_undone() {
    for (version, generator) in [
        ("18", Generator { rows: 2_000, ..Generator::default() }),
        ("16", Generator { mixed_ids: true, rows: 300, seed: 3, ..Generator::default() }),
    ] {
        let collection = (generator.schema(), generator.batches());
        let tamper = "UPDATE generated SET embedding = '[1,2,3,4,5,6,7,8]' WHERE id = 'id-0'; DELETE FROM generated WHERE id = 'id-4'";
        let loaded = Loaded::of(&collection, &CreateOptions::default(), version, tamper);
        loaded.check(collection.1.len());
        for dump in ["plain.sql", "custom.dump"] {
            let dump = loaded.out(dump);
            assert!(loaded.is_what_was_expected(&dump, &dump_options("generated")), "{}", dump.display());
        }
        let mapping = mapping(&loaded.bundle());
        assert_eq!(mapping.expected_fingerprint, mapping.source_fingerprint);
    }
}

#[test]
fn the_generated_collection_with_all_vectors_comes_back() {
    let generator = Generator {
        mixed_ids: true,
        namespaced: true,
        all_vectors: true,
        narrow: true,
        bits: true,
        ..Generator::default()
    };
    let collection = (generator.schema(), generator.batches());
    let tamper = "DELETE FROM generated WHERE id = 'id-4'";
    let loaded = Loaded::of(&collection, &options(&["VECTOR_DROPPED"], Some("columns")), "18", tamper);
    loaded.check(collection.1.len());
}
