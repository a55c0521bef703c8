//! The source is never changed: not by reading it, not by a journal beside it, not by a lock on it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tranship_connector::ErrorKind;

use crate::fixtures::{Dump, dump, list, open, options, read, read_with, tolerant};

/// Bytes and times of everything below a directory.
fn state(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64, u32)> {
    let mut state = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::metadata(&path).unwrap();
        let bytes = if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        state.insert(path, (bytes, metadata.mtime(), metadata.mtime_nsec(), metadata.mode()));
    }
    state
}

fn protect(root: &Path, mode_dir: u32, mode_file: u32) {
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let mode = if path.is_dir() { mode_dir } else { mode_file };
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn read_everything(dump: &Dump) {
    for info in list(&dump.root).unwrap() {
        let source = open(&dump.root, &options(&info.name)).unwrap();
        let before = source.identity().unwrap();
        read(&dump.root, &info.name).unwrap();
        assert_eq!(before.changed(&source.identity().unwrap()), None);
    }
}

#[test]
fn reading_changes_neither_bytes_nor_times_even_where_nothing_may_be_written() {
    for name in ["chroma-0.4.24", "chroma-0.5.23", "chroma-1.5.9", "chroma-wordnet"] {
        let dump = dump(name);
        protect(&dump.root, 0o555, 0o444);
        let before = state(&dump.root);
        read_everything(&dump);
        assert!(state(&dump.root) == before, "{name} was touched");
        protect(&dump.root, 0o755, 0o644);
    }
}

#[test]
fn the_identity_covers_the_database_and_the_segment_of_the_collection_only() {
    let dump = dump("chroma-1.5.9");
    let names = |collection: &str| -> Vec<String> {
        let identity = open(&dump.root, &options(collection)).unwrap().identity().unwrap();
        identity.files.iter().map(|f| f.path.rsplit('/').next().unwrap().to_owned()).collect()
    };
    let mut found = names("l2_32");
    found.sort();
    let segment = ["data_level0.bin", "header.bin", "index_metadata.pickle", "length.bin", "link_lists.bin"];
    assert_eq!(found, [&["chroma.sqlite3"], &segment[..]].concat());
    assert_eq!(names("empty"), ["chroma.sqlite3"]);
}

#[test]
fn a_write_ahead_log_is_read_from_a_private_copy() {
    let dump = dump("chroma-wordnet");
    let writer = Connection::open(dump.root.join("chroma.sqlite3")).unwrap();
    writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    writer
        .execute("UPDATE embedding_metadata SET string_value = 'from the log' WHERE key = 'chroma:document'", [])
        .unwrap();
    let before = state(&dump.root);
    assert!(before.keys().any(|path| path.ends_with("chroma.sqlite3-wal")));
    let outcome = read(&dump.root, "wordnet").unwrap();
    assert!(state(&dump.root) == before);
    assert!(outcome.records.iter().all(|(_, record)| record.document.as_deref() == Some("from the log")));
    assert!(
        outcome.notes[0]
            .ends_with("has an unfinished journal (chroma.sqlite3-wal): a private copy was recovered and read")
    );
    drop(writer);
    // Closed cleanly, the log is gone and the file itself is read, although its header still says WAL.
    let outcome = read(&dump.root, "wordnet").unwrap();
    assert_eq!((outcome.records.len(), outcome.notes.len()), (1480, 0));
    assert!(outcome.records.iter().all(|(_, record)| record.document.as_deref() == Some("from the log")));
}

#[test]
fn a_hot_journal_is_rolled_back_in_a_private_copy() {
    let original = dump("chroma-wordnet");
    let expected = read(&original.root, "wordnet").unwrap();
    let torn = dump("chroma-wordnet");
    let writer = Connection::open(original.root.join("chroma.sqlite3")).unwrap();
    writer
        .execute_batch("PRAGMA cache_size = 5; BEGIN; UPDATE embedding_metadata SET string_value = 'unfinished' WHERE string_value IS NOT NULL")
        .unwrap();
    for file in ["chroma.sqlite3", "chroma.sqlite3-journal"] {
        fs::copy(original.root.join(file), torn.root.join(file)).unwrap();
    }
    drop(writer);
    let database = fs::read(torn.root.join("chroma.sqlite3")).unwrap();
    assert!(database != fs::read(original.root.join("chroma.sqlite3")).unwrap(), "the copy is half written");
    let before = state(&torn.root);
    let outcome = read(&torn.root, "wordnet").unwrap();
    assert!(state(&torn.root) == before);
    assert_eq!(outcome.notes.len(), 1);
    assert!(outcome.records == expected.records);
}

#[test]
fn a_directory_that_its_database_holds_is_refused_unless_allowed() {
    let dump = dump("chroma-wordnet");
    let writer = Connection::open(dump.root.join("chroma.sqlite3")).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = read(&dump.root, "wordnet").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changing);
    assert!(error.to_string().ends_with("chroma.sqlite3 is being written to: its database holds a lock"), "{error}");
    assert!(error.next_step().unwrap().starts_with("stop the Chroma process"));
    let outcome = read_with(&dump.root, &tolerant("wordnet"), 1 << 27, 64 << 20).unwrap();
    assert_eq!(outcome.records.len(), 1480);
    assert!(outcome.notes[0].ends_with("is locked by its database and was read all the same"));
}
