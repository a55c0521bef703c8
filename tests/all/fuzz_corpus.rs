//! What the fuzzers keep is read again on the stable toolchain.

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::path::PathBuf;

use targets::{Harness, TARGETS};
use tranship_testkit::fixtures;
use tranship_toolkit::providers;

fn corpus(target: &str) -> PathBuf {
    fixtures::root().join("tests/fuzz/corpus").join(target)
}

#[test]
fn every_input_that_the_fuzzers_keep_is_read_without_a_panic() {
    for target in TARGETS {
        let harness = Harness::new(target);
        let inputs = std::fs::read_dir(corpus(target.name)).unwrap_or_else(|e| panic!("{}: {e}", target.name));
        for input in inputs {
            let path = input.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| harness.read(&bytes)));
            assert!(outcome.is_ok(), "{} ends in a panic", path.display());
        }
    }
}

/// They read what tranship wrote, where every file has its SHA-256 in a manifest that has its own; `pinecone` reads the
/// pages that its own `check.sh` has fetched as well.
const OWN_FILES_ONLY: [&str; 13] = [
    "archive",
    "azure",
    "dataset",
    "elasticsearch",
    "mongodb",
    "opensearch",
    "pinecone",
    "s3vectors",
    "turbopuffer",
    "typesense",
    "vertex",
    "vespa",
    "weaviate",
];

#[test]
fn every_reader_is_fuzzed_and_every_corpus_has_its_target() {
    let registry = providers::registry();
    for connector in registry.connectors.iter().filter(|c| c.open.is_some() && !OWN_FILES_ONLY.contains(&c.name)) {
        assert!(TARGETS.iter().any(|target| target.provider == connector.name), "{} is not fuzzed", connector.name);
    }
    for entry in std::fs::read_dir(corpus("")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(TARGETS.iter().any(|target| target.name == name), "the corpus {name} has no target");
    }
}
