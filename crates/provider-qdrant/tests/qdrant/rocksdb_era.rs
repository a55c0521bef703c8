//! Servers that keep trackers, payloads or vectors in RocksDB, against what they answered themselves.

use tranship_connector::ErrorKind;
use tranship_testkit::fixtures;

use crate::dumps::{compare, read_all, read_collection};
use crate::layouts::extract;
use crate::unpacked::{find, storage as unpack};

/// Compares the snapshot of a fixture with its truth, bit for bit.
fn same(fixture: &str, snapshot: &str, truth: &str) -> usize {
    let dir = tempfile::tempdir().unwrap();
    fixtures::unpack(fixture, dir.path());
    let outcome = read_all(&find(dir.path(), snapshot)).unwrap();
    assert_eq!(outcome.notes, Vec::<String>::new());
    compare(&outcome, &std::fs::read_to_string(find(dir.path(), truth)).unwrap())
}

#[test]
fn all_kinds_of_vectors_in_rocksdb_and_beside_it() {
    assert_eq!(same("qdrant-1.10-mixed", "qdrant-1.10.1-mixed.snapshot", "qdrant-1.10.1-mixed.jsonl"), 1571);
    assert_eq!(same("qdrant-1.10-named_mem", "qdrant-1.10.1-named_mem.snapshot", "qdrant-1.10.1-named_mem.jsonl"), 934);
    assert_eq!(same("qdrant-1.10-u8_euclid", "qdrant-1.10.1-u8_euclid.snapshot", "qdrant-1.10.1-u8_euclid.jsonl"), 993);
}

#[test]
fn a_rocksdb_tracker_beside_chunks_and_gridstore() {
    for snapshot in ["qdrant-1.13.6-dense_cos.snapshot", "qdrant-1.13.6-dense_cos_shard0.snapshot"] {
        assert_eq!(same("qdrant-1.13-dense_cos", snapshot, "qdrant-1.13.6-dense_cos.jsonl"), 2401);
    }
}

#[test]
fn a_flat_tracker_without_its_mappings_is_lost_though_a_rocksdb_stands_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    fixtures::unpack("qdrant-1.13-dense_cos", dir.path());
    let collection = dir.path().join("dense_cos");
    extract(&find(dir.path(), "qdrant-1.13.6-dense_cos.snapshot"), &collection);
    for entry in std::fs::read_dir(collection.join("0/segments")).unwrap() {
        let tar = entry.unwrap().path();
        extract(&tar, &tar.with_extension("dir"));
        std::fs::remove_file(&tar).unwrap();
        std::fs::rename(tar.with_extension("dir"), tar.with_extension("")).unwrap();
    }
    assert_eq!(read_all(&collection).unwrap().records.len(), 2401);
    std::fs::remove_file(find(&collection, "id_tracker.mappings")).unwrap();
    let error = read_all(&collection).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("holds values but no ids"), "{error}");
}

#[test]
fn a_snapshot_under_writes_is_completed_by_its_log_bit_for_bit() {
    assert_eq!(same("qdrant-1.11-hot_race", "qdrant-1.11.5-hot_race.snapshot", "qdrant-1.11.5-hot_race.jsonl"), 2970);
}

#[test]
fn a_segment_whose_rocksdb_is_damaged_names_segment_and_file() {
    let dir = tempfile::tempdir().unwrap();
    let storage = unpack("qdrant-1.10-crash_storage", dir.path());
    let segment = "74962709-aaf0-4cd4-afe0-6c794e730124";
    let table = find(&storage.join("collections/crash/0/segments").join(segment), "000017.sst");
    let read = || read_collection(&storage, "crash");
    let whole = std::fs::read(&table).unwrap();
    let told = |wanted: &str| {
        let error = read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        let text = error.to_string();
        assert!(text.contains(segment) && text.contains(wanted), "{text}");
        assert!(error.next_step().is_some());
    };
    std::fs::write(&table, &whole[..whole.len() - 1]).unwrap();
    told("000017.sst");
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    std::fs::write(&table, &flipped).unwrap();
    // Values are read long after the segment was opened.
    let error = read().unwrap_err();
    assert!(error.to_string().contains("000017.sst"), "{error}");
    std::fs::remove_file(&table).unwrap();
    told("000017.sst");
    std::fs::write(&table, &whole).unwrap();
    assert_eq!(read().unwrap().records.len(), 1144);
}
