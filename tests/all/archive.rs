//! Archives in the hands of software that is not ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tranship_testkit::{Generator, MemorySource, Tranship, engines};

use crate::support::{arg, locator, wordnet_archive};
use crate::transfer;

/// What another reader sees in an archive.
fn numbers(archive: &Path, environment: &str, reader: &str) -> Value {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("numbers.json");
    engines::run(environment, "archive_read.py", &[arg(archive), arg(&file), "--reader".as_ref(), reader.as_ref()]);
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

const READERS: [(&str, &str); 4] =
    [("readers", "duckdb"), ("readers", "polars"), ("readers", "pyarrow"), ("pyarrow-old", "pyarrow")];

/// An archive of generated records, with the number of records without vector for each column.
fn generated(archive: &Path, rows: usize, dim: usize) -> (PathBuf, BTreeMap<String, u64>) {
    let generator = Generator { rows, dim, namespaced: true, narrow: true, bits: true, ..Generator::default() };
    let source = MemorySource::new(generator.schema(), generator.batches(), 4);
    let report = transfer::write(&source, &locator("archive", archive), transfer::engine(2, 512 << 20), 0).unwrap();
    let column = |name: &str| match name {
        "" => "vector".to_owned(),
        "flags" => "bits.flags".to_owned(),
        name => format!("vector.{name}"),
    };
    let nulls = report.null_vectors.iter().map(|(name, nulls)| (column(name), *nulls)).collect();
    (archive.to_owned(), nulls)
}

#[test]
fn every_reader_sees_the_same_numbers_null_vectors_included() {
    let dir = tempfile::tempdir().unwrap();
    // Narrow and wide vectors have levels of different forms, the wide ones several pages.
    let (narrow, narrow_nulls) = generated(&dir.path().join("narrow.tranship"), 2_000, 24);
    let (wide, wide_nulls) = generated(&dir.path().join("wide.tranship"), 3_000, 96);
    let wordnet_nulls = [("vector".to_owned(), 0)].into();
    let archives: [(_, u64, BTreeMap<String, u64>); 3] =
        [(wordnet_archive(dir.path()), 1_480, wordnet_nulls), (narrow, 2_000, narrow_nulls), (wide, 3_000, wide_nulls)];
    for (archive, records, nulls) in archives {
        let seen: Vec<Value> =
            READERS.iter().map(|(environment, reader)| numbers(&archive, environment, reader)).collect();
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
        assert_eq!(seen[0]["rows"], records);
        let vectors = seen[0]["vectors"].as_object().unwrap();
        let found = vectors.iter().map(|(name, numbers)| (name.clone(), numbers["nulls"].as_u64().unwrap())).collect();
        assert_eq!(nulls, found);
    }
}

#[test]
fn bagit_finds_the_bag_valid_and_a_damaged_one_not() {
    let dir = tempfile::tempdir().unwrap();
    let archive = wordnet_archive(dir.path());
    engines::run("readers", "bag_validate.py", &[arg(&archive)]);
    let part = archive.join("data/part-00000.parquet");
    let mut bytes = std::fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let broken = std::panic::catch_unwind(|| engines::run("readers", "bag_validate.py", &[arg(&archive)]));
    assert!(broken.is_err());
}

#[test]
fn fingerprint_agrees_with_the_python_implementation() {
    let dir = tempfile::tempdir().unwrap();
    let generated = dir.path().join("generated.tranship");
    let generator = Generator {
        rows: 800,
        mixed_ids: true,
        namespaced: true,
        all_vectors: true,
        narrow: true,
        bits: true,
        empty_multi: true,
        ..Generator::default()
    };
    let source = MemorySource::new(generator.schema(), generator.batches(), 4);
    transfer::write(&source, &locator("archive", &generated), transfer::engine(2, 512 << 20), 0).unwrap();
    for archive in [wordnet_archive(dir.path()), generated] {
        let out = dir.path().join("fingerprint.json");
        engines::run("readers", "fingerprint.py", &[arg(&archive), arg(&out)]);
        let theirs: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
        let manifest: Value = serde_json::from_slice(&std::fs::read(archive.join("MANIFEST.json")).unwrap()).unwrap();
        assert_eq!(theirs, manifest["fingerprint"]);
    }
}

#[test]
fn verify_reaches_each_level_and_says_what_it_leaves_open() {
    let dir = tempfile::tempdir().unwrap();
    let archive = wordnet_archive(dir.path());
    for (level, open) in [("L0", "content"), ("L1", "decoded"), ("L2", "duplicate"), ("L3", "source's")] {
        let ran = Tranship::run(["verify", archive.to_str().unwrap(), "--level", level]).expect(0);
        assert!(ran.stdout.contains(&format!("WHOLE at level {level}")) && ran.stdout.contains(open), "{}", ran.stdout);
    }
}

#[test]
fn recall_is_measured_for_narrow_elements_and_refused_by_name_for_bits() {
    let dir = tempfile::tempdir().unwrap();
    let generator = Generator { rows: 400, dim: 16, narrow: true, bits: true, ..Generator::default() };
    let source = MemorySource::new(generator.schema(), generator.batches(), 2);
    let (a, b) = (locator("archive", &dir.path().join("a")), locator("parquet", &dir.path().join("b")));
    for target in [&a, &b] {
        transfer::write(&source, target, transfer::engine(2, 512 << 20), 0).unwrap();
    }
    for name in ["half", "unit", "brain", "byte", "signed"] {
        let report = Tranship::run(["recall", &a, &b, "--vector", name, "--queries", "50", "--json"]).expect(0).json();
        assert_eq!(report["passes"], true, "{name}");
    }
    let refused = Tranship::run(["recall", &a, &b, "--vector", "flags"]).expect(2);
    assert!(refused.stderr.contains("bit vector"), "{}", refused.stderr);
}
