//! What users read when something is wrong: the whole text, so that a change of wording is a decision.

use std::fs;
use std::path::Path;

use tranship_connector::{Error, OpenOptions};
use tranship_provider_chroma::CONNECTOR;

use crate::fixtures::{dump, execute, open, read, segment, segment_file};

/// Message and next step, with paths and UUIDs made the same for every run.
fn shown(error: &Error, root: &Path, segments: &[String]) -> String {
    let text = format!("{} [{}]\n  -> {}", error, error.kind().code(), error.next_step().unwrap_or("(no next step)"));
    let text = text.replace(&root.display().to_string(), "DIR");
    segments.iter().fold(text, |text, segment| text.replace(segment, "SEGMENT"))
}

#[test]
fn directories_of_other_kinds_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let failed = |options: &OpenOptions| shown(&open(dir.path(), options).err().unwrap(), dir.path(), &[]);
    assert_eq!((CONNECTOR.probe)(dir.path()), None);
    assert_eq!(
        failed(&OpenOptions::default()),
        "DIR is no Chroma directory: it has no chroma.sqlite3 [TS0010]\n  \
         -> give the directory that was passed to chromadb.PersistentClient(path=..)"
    );
    fs::write(dir.path().join("chroma-embeddings.parquet"), b"PAR1").unwrap();
    assert_eq!((CONNECTOR.probe)(dir.path()), Some(90));
    assert_eq!(
        failed(&OpenOptions::default()),
        "DIR was written by Chroma 0.3 (DuckDB and Parquet) [TS0010]\n  \
         -> upgrade a copy with `pip install chroma-migrate` and `chroma-migrate`, then read the upgraded directory"
    );
    fs::write(dir.path().join("chroma.sqlite3"), b"not a database").unwrap();
    assert_eq!((CONNECTOR.probe)(dir.path()), Some(95));
    assert!(
        failed(&OpenOptions::default())
            .starts_with("DIR/chroma.sqlite3 is no SQLite database [TS0011]\n  -> check a copy")
    );
    fs::remove_file(dir.path().join("chroma.sqlite3")).unwrap();
    rusqlite::Connection::open(dir.path().join("chroma.sqlite3")).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert_eq!(
        failed(&OpenOptions::default()),
        "DIR/chroma.sqlite3 has no table `collections` [TS0010]\n  \
         -> this is a SQLite file, but not one that Chroma 0.4 to 1.5 writes"
    );
}

#[test]
fn an_unclear_choice_lists_the_collections() {
    let dump = dump("chroma-1.5.9");
    let error = open(&dump.root, &OpenOptions::default()).err().unwrap();
    assert_eq!(
        shown(&error, &dump.root, &[]),
        "the Chroma directory holds 5 collections [TS0002]\n  \
         -> choose with --collection one of: cos64, empty, ip_16_bigsync, l2_32, tiny; or take --all"
    );
    let error = read(&dump.root, "nope").unwrap_err();
    assert!(shown(&error, &dump.root, &[]).starts_with("there is no collection `nope` [TS0002]\n  -> choose with"));
    assert_eq!((CONNECTOR.probe)(&dump.root.join("chroma.sqlite3")), Some(95));
    let single = crate::fixtures::dump("chroma-wordnet");
    assert!(open(&single.root.join("chroma.sqlite3"), &OpenOptions::default()).is_ok());
}

#[test]
fn missing_files_are_named_with_what_says_that_they_should_be_there() {
    let dump = dump("chroma-1.5.9");
    let segments = ["cos64", "l2_32"].map(|name| segment(&dump.root, name, "VECTOR"));
    let failed = |name: &str| shown(&read(&dump.root, name).unwrap_err(), &dump.root, &segments);
    fs::remove_file(segment_file(&dump.root, "cos64", "data_level0.bin")).unwrap();
    assert_eq!(
        failed("cos64"),
        "DIR/SEGMENT/data_level0.bin is missing, although index_metadata.pickle says that the index was written [TS0011]\n  \
         -> copy the whole directory again while Chroma is stopped, and compare file sizes"
    );
    fs::remove_dir_all(dump.root.join(&segments[1])).unwrap();
    assert_eq!(
        failed("l2_32"),
        "DIR/SEGMENT is missing: chroma.sqlite3 says that vectors of collection `l2_32` were written there [TS0011]\n  \
         -> copy the whole directory, with its folders, not only chroma.sqlite3"
    );
    fs::remove_file(segment_file(&dump.root, "cos64", "index_metadata.pickle")).unwrap();
    assert!(failed("cos64").starts_with("DIR/SEGMENT/index_metadata.pickle is missing: chroma.sqlite3 says"));
}

#[test]
fn a_pickle_with_a_foreign_class_is_named_and_not_executed() {
    let dump = dump("chroma-1.5.9");
    let segments = [segment(&dump.root, "l2_32", "VECTOR")];
    let pickle = segment_file(&dump.root, "l2_32", "index_metadata.pickle");
    fs::write(pickle, b"cposix\nsystem\n(S'touch /tmp/pwned'\ntR.").unwrap();
    assert_eq!(
        shown(&read(&dump.root, "l2_32").unwrap_err(), &dump.root, &segments),
        "the pickle names the class `posix.system` (byte 0, file DIR/SEGMENT/index_metadata.pickle) [TS0011]\n  \
         -> no database writes this class here and nothing of it was executed; do not open this file with Python"
    );
}

#[test]
fn a_metric_that_the_data_contradict_is_an_error_in_both_directions() {
    let dump = dump("chroma-1.5.9");
    let segments = ["cos64", "l2_32"].map(|name| segment(&dump.root, name, "VECTOR"));
    execute(
        &dump.root,
        r#"UPDATE collections SET schema_str = replace(schema_str, '"space":"l2"', '"space":"cosine"') WHERE name = 'l2_32';
           UPDATE collections SET schema_str = replace(schema_str, '"space":"cosine"', '"space":"ip"') WHERE name = 'cos64';"#,
    );
    let error = shown(&read(&dump.root, "l2_32").unwrap_err(), &dump.root, &segments);
    assert!(
        error.starts_with(
            "metadata and data disagree about the metric: the collection declares cosine, but record 0 has length "
        ),
        "{error}"
    );
    assert!(
        error.contains("where Chroma stores 1 (file DIR/SEGMENT/data_level0.bin) [TS0011]\n  -> check hnsw:space in"),
        "{error}"
    );
    let error = shown(&read(&dump.root, "cos64").unwrap_err(), &dump.root, &segments);
    assert!(
        error.starts_with(
            "metadata and data disagree about the metric: the collection declares dot, but every stored vector has length 1 and \
             length.bin holds other lengths, as under cosine (file DIR/SEGMENT/data_level0.bin) [TS0011]"
        ),
        "{error}"
    );
}

#[test]
fn catalogue_trouble_is_named() {
    let dump = dump("chroma-1.5.9");
    let failed = |name: &str| shown(&read(&dump.root, name).unwrap_err(), &dump.root, &[]);
    execute(&dump.root, "UPDATE collections SET dimension = 31 WHERE name = 'l2_32'");
    assert!(failed("l2_32").contains("header.bin has vectors of 32 dimensions, the collection has 31 [TS0011]"));
    execute(&dump.root, "UPDATE collections SET schema_str = '{' WHERE name = 'tiny'");
    assert!(
        failed("tiny").starts_with("collections.schema_str is no JSON (collection tiny): EOF"),
        "{}",
        failed("tiny")
    );
    execute(&dump.root, "UPDATE segments SET type = 'urn:chroma:segment/vector/spann' WHERE scope = 'VECTOR'");
    assert!(
        failed("tiny")
            .contains("is kept in a segment of type `urn:chroma:segment/vector/spann` [TS0010]\n  -> only local")
    );
    execute(&dump.root, "DELETE FROM segments WHERE scope = 'VECTOR'");
    assert!(
        failed("tiny")
            .starts_with("DIR/chroma.sqlite3 gives collection `tiny` 0 segments of scope VECTOR, not one [TS0011]")
    );
    execute(&dump.root, "DELETE FROM collections");
    assert!(
        shown(&open(&dump.root, &OpenOptions::default()).err().unwrap(), &dump.root, &[])
            .starts_with("the Chroma directory holds no collection [TS0002]")
    );
}
