//! The write-ahead log: storages of killed servers against what they answered after they had started again, operations
//! of every kind written by hand, and damage.

use std::path::{Path, PathBuf};

use minicbor::Encoder;
use serde_json::{Value, json};
use tranship_connector::{ErrorKind, OpenOptions, Result};
use tranship_testkit::damage::{Damage, flips, survey};
use tranship_testkit::reading::{Outcome, Vector, read, read_within};

use crate::dumps::{compare, open, read_all, read_collection};
use crate::unpacked::{find, storage as unpack};

/// The storage of a server whose points are all in the log, and the log.
fn log_only(dir: &Path) -> (PathBuf, PathBuf) {
    let storage = unpack("qdrant-1.19-crash-storage", dir);
    let log = find(&storage, "open-1");
    (storage, log)
}

#[test]
fn a_killed_server_of_the_rocksdb_era_lost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let storage = unpack("qdrant-1.10-crash_storage", dir.path());
    for (name, records) in [("crash", 1144), ("crash_mem", 630)] {
        let outcome = read_collection(&storage, name).unwrap();
        let truth = find(dir.path(), &format!("qdrant-1.10.1-crash_storage.{name}.jsonl"));
        assert_eq!(compare(&outcome, &std::fs::read_to_string(truth).unwrap()), records);
    }
}

#[test]
fn points_that_are_only_in_the_log_are_read_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, _) = log_only(dir.path());
    let truth = std::fs::read_to_string(find(dir.path(), "server119_crash_storage.jsonl")).unwrap();
    assert_eq!(compare(&read_all(&storage).unwrap(), &truth), 1387);
}

#[test]
fn operations_of_every_kind_are_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, log) = log_only(dir.path());
    let unit = |at: usize| (0..32).map(|i| if i == at { 2.0 } else { 0.0 }).collect::<Vec<f64>>();
    let uuid = "3f622591-baa6-5888-8a4f-6b3813e16a44";
    for operation in [
        json!({"delete_points_by_filter": {"must_not": [{"has_id": [1]}]}}),
        json!({"upsert_points": {"batch": {"ids": [1, 2, uuid], "vectors": [unit(1), unit(2), unit(3)],
            "payloads": [{"a": {"b": 1}, "n": 1.5}, null, {"tags": ["x", "y"]}]}}}),
        json!({"set_payload": {"payload": {"c": [true]}, "points": [1], "filter": null, "key": "a"}}),
        json!({"set_payload": {"payload": {"n": null, "m": 18446744073709551615u64}, "points": [1], "filter": null}}),
        json!({"overwrite_payload": {"payload": {"o": 1}, "points": null, "filter": {"must": [{"has_id": [2]}]}}}),
        json!({"delete_payload": {"keys": ["tags[]"], "points": [uuid], "filter": null}}),
        json!({"update_vectors": {"points": [{"id": 2, "vector": {"": unit(5)}}]}}),
        json!({"upsert_points_conditional": {"points_op": {"points": [
            {"id": 1, "vector": unit(7), "payload": null}, {"id": 4, "vector": unit(7), "payload": null}]},
            "condition": {"must": [{"key": "o", "match": {"value": 1}}]}}}),
        json!({"upsert_points_conditional": {"points_op": {"points": [{"id": 2, "vector": unit(9), "payload": {"o": 2}}]},
            "condition": {"must": [{"key": "o", "match": {"value": 1}}]}, "update_mode": "update_only"}}),
        json!({"sync_points": {"from_id": 4, "to_id": 9, "points": [{"id": 5, "vector": unit(4), "payload": {}}]}}),
        json!({"create_index": {"field_name": "o", "field_schema": "integer"}}),
        json!({"delete_vectors": [{"points": [5]}, [""]]}),
    ] {
        append(&log, &cbor(&operation));
    }
    let outcome = read_all(&storage).unwrap();
    assert_eq!(outcome.notes, Vec::<String>::new());
    let found = outcome.by_id();
    assert_eq!(found.keys().map(|(_, id)| *id).collect::<Vec<_>>(), ["1", "2", uuid, "5"]);
    let record = |id: &str| found[&(None, id)];
    let metadata = |id: &str| record(id).metadata.clone().unwrap_or_default();
    assert_eq!(metadata("1"), r#"{"a":{"b":1,"c":[true]},"m":18446744073709551615}"#);
    assert_eq!(metadata("2"), r#"{"o":2}"#);
    assert_eq!(metadata(uuid), r#"{"tags":[]}"#);
    let one = |at: usize| Vector::Dense((0..32).map(|i| if i == at { 1.0 } else { 0.0 }).collect());
    assert_eq!(record("1").vectors[""], one(1));
    assert_eq!(record("2").vectors[""], one(9));
    assert!(record("5").vectors.is_empty() && record("5").metadata.is_none());
}

#[test]
fn operations_that_only_the_server_can_apply_end_the_reading_or_are_told() {
    let filter = json!({"delete_points_by_filter": {"must": [{"key": "late", "match": {"value": 1}}]}});
    let raw = json!({"upsert_points_raw": [{"id": 7, "vectors": [["a", "bytes"]], "payload": null}]});
    let sync = json!({"sync_points": {"from_id": null, "to_id": null, "points": []}});
    for (operation, why) in [(filter, "by a filter"), (raw, "storage form"), (sync, "a range of ids")] {
        let dir = tempfile::tempdir().unwrap();
        let storage = unpack("qdrant-1.10-crash_storage", dir.path());
        append(&storage.join("collections/crash/0/wal/open-1"), &cbor(&operation));
        let error = read_collection(&storage, "crash").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changing, "{error}");
        let text = error.to_string();
        assert!(text.contains(why) && text.contains("open-1") && text.contains("operation 10"), "{text}");
        assert!(error.next_step().unwrap().contains("--allow-inconsistent"));
        let outcome = inconsistent(&storage, "crash").unwrap();
        assert_eq!(outcome.records.len(), 1144);
        assert!(
            outcome.notes.iter().any(|note| note.contains(why) && note.contains("left out")),
            "{:?}",
            outcome.notes
        );
    }
}

#[test]
fn conditions_that_are_not_understood_end_the_reading_or_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, log) = log_only(dir.path());
    let text = json!({"delete_points_by_filter": {"must": [{"key": "p", "match": {"text": "x"}}]}});
    append(&log, &cbor(&text));
    let error = read_all(&storage).unwrap_err();
    assert!(error.kind() == ErrorKind::Changing && error.to_string().contains("\"text\""), "{error}");
    let outcome = inconsistent(&storage, "crash").unwrap();
    assert_eq!((outcome.records.len(), outcome.notes.is_empty()), (1387, false));
}

#[test]
fn an_operation_that_the_server_refused_changes_nothing_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, log) = log_only(dir.path());
    let before = read_all(&storage).unwrap();
    let id: u64 = before.records.iter().find_map(|record| record.id.parse().ok()).unwrap();
    for vector in [json!([1.0, 2.0]), json!({"indices": [1], "values": [1.0]}), json!([[1.0], [2.0]])] {
        append(
            &log,
            &cbor(&json!({"upsert_points": {"points": [{"id": id, "vector": {"": vector}, "payload": null}]}})),
        );
        append(&log, &cbor(&json!({"update_vectors": {"points": [{"id": id, "vector": {"": vector}}]}})));
    }
    let after = read_all(&storage).unwrap();
    assert_eq!((after.rejects.len(), after.records == before.records), (0, true));
    assert_eq!(after.notes.len(), 6);
    assert!(
        after.notes[0].contains("operation 19, upsert_points") && after.notes[0].contains("refused"),
        "{:?}",
        after.notes
    );
}

#[test]
fn notes_of_a_log_are_not_as_many_as_its_operations() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, log) = log_only(dir.path());
    let unit: Vec<f64> = (0..32).map(|i| f64::from(u8::from(i == 3))).collect();
    for id in 0..3 {
        let point = json!({"id": 900_000 + id, "vector": {"": unit, "gone": [1.0]}, "payload": null});
        append(&log, &cbor(&json!({"upsert_points": {"points": [point]}})));
    }
    for _ in 0..150 {
        append(&log, &cbor(&json!({"update_vectors": {"points": [{"id": 900_000, "vector": {"": [1.0]}}]}})));
    }
    let outcome = read_all(&storage).unwrap();
    assert_eq!(outcome.records.len(), 1390);
    assert_eq!(outcome.notes.iter().filter(|note| note.contains("\"gone\"")).count(), 1);
    assert!(
        outcome.notes.len() <= 101 && outcome.notes.last().unwrap().contains("more of this"),
        "{:?}",
        outcome.notes
    );
}

#[test]
fn unknown_operations_and_bytes_that_are_no_operation_are_errors_with_their_place() {
    for (entry, kind, wanted) in [
        (cbor(&json!({"teleport_points": {"ids": [1]}})), ErrorKind::NotRecognised, "teleport_points"),
        (cbor(&json!({"clock_tag": {}})), ErrorKind::Damaged, "no operation"),
        (b"\x81\x01".to_vec(), ErrorKind::Damaged, "MessagePack"),
        (cbor(&json!({"delete_points": {"ids": ["no uuid"]}})), ErrorKind::Damaged, "no UUID"),
        (b"\xa1\x6ddelete_points\xa1\x63ids\x9b\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), ErrorKind::Damaged, "CBOR"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (storage, log) = log_only(dir.path());
        append(&log, &entry);
        let error = read_all(&storage).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(wanted) && text.contains("open-1") && text.contains("operation 19"), "{text}");
        assert!(error.next_step().is_some());
    }
}

#[test]
fn more_changes_than_memory_are_a_limit_that_says_what_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, _) = log_only(dir.path());
    let source = open(&storage, &OpenOptions::default()).unwrap();
    let error = read_within(&*source, 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    let hint = error.next_step().unwrap();
    let least: u64 = hint.split("at least ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(hint.contains("--memory"), "{hint}");
    // Preparing has half of it.
    assert_eq!(read_within(&*source, (least << 20) / 2).unwrap().records.len(), 1387);
}

#[test]
fn files_of_a_log_must_be_contiguous() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, log) = log_only(dir.path());
    std::fs::rename(&log, log.with_file_name("closed-0")).unwrap();
    let next = log.with_file_name("open-2");
    append(&next, &cbor(&json!({"delete_points": {"ids": [1, 2, 3]}})));
    let outcome = read_all(&storage).unwrap();
    assert_eq!(outcome.records.len(), 1387 - 3);
    std::fs::copy(&next, log.with_file_name("closed-25")).unwrap();
    let error = read_all(&storage).unwrap_err();
    assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains("closed-25"), "{error}");
}

#[test]
fn a_damaged_log_is_an_error_or_told_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, log) = log_only(dir.path());
    let end = entries_end(&log).0 as u64;
    let mut damages = flips(end, 60, 1);
    damages.extend((0..8).map(Damage::Cut));
    damages.extend([end / 2, end - 1, end + 3].map(Damage::Cut));
    for len in [u64::MAX, 1 << 62, 1 << 40, 4 << 20] {
        damages.push(Damage::Patch(8, len.to_le_bytes().to_vec()));
    }
    damages.push(Damage::Patch(0, b"was\0".to_vec()));
    damages.push(Damage::Patch(3, vec![9]));
    let survey = survey(&log, "open-1", &damages, || read_all(&storage));
    assert!(survey.told >= 60 && survey.errors >= 5, "{survey:?}");
}

fn inconsistent(storage: &Path, name: &str) -> Result<Outcome> {
    let options = OpenOptions { collection: Some(name.to_owned()), allow_inconsistent: true, ..OpenOptions::default() };
    read(&*open(storage, &options)?)
}

/// Where the entries of a log end, and the checksum of the last one.
fn entries_end(log: &Path) -> (usize, u32) {
    let bytes = std::fs::read(log).unwrap();
    let mut crc = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
    let mut at = 8;
    loop {
        let len = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        let covered = 8 + len + (4usize.wrapping_sub(len) & 7);
        if len == 0 {
            return (at, crc);
        }
        crc = crc32c::crc32c_append(!crc.reverse_bits(), &bytes[at..at + covered]);
        at += covered + 4;
        assert_eq!(crc.to_le_bytes(), bytes[at - 4..at]);
    }
}

/// Adds an entry as the server does.
fn append(log: &Path, data: &[u8]) {
    let (at, crc) = entries_end(log);
    let mut entry = (data.len() as u64).to_le_bytes().to_vec();
    entry.extend_from_slice(data);
    entry.resize(entry.len() + (4usize.wrapping_sub(data.len()) & 7), 0);
    let crc = crc32c::crc32c_append(!crc.reverse_bits(), &entry);
    entry.extend_from_slice(&crc.to_le_bytes());
    let mut bytes = std::fs::read(log).unwrap();
    bytes[at..at + entry.len()].copy_from_slice(&entry);
    std::fs::write(log, bytes).unwrap();
}

/// CBOR of a JSON value; floats in single precision, texts that are UUIDs stay texts.
fn cbor(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    encode(value, &mut encoder);
    encoder.into_writer()
}

fn encode(value: &Value, encoder: &mut Encoder<Vec<u8>>) {
    match value {
        Value::Null => drop(encoder.null().unwrap()),
        Value::Bool(value) => drop(encoder.bool(*value).unwrap()),
        Value::String(text) => drop(encoder.str(text).unwrap()),
        Value::Number(number) => match number.as_u64() {
            Some(number) => drop(encoder.u64(number).unwrap()),
            None => drop(encoder.f32(number.as_f64().unwrap() as f32).unwrap()),
        },
        Value::Array(elements) => {
            encoder.array(elements.len() as u64).unwrap();
            elements.iter().for_each(|element| encode(element, encoder));
        }
        Value::Object(map) => {
            encoder.begin_map().unwrap();
            for (key, value) in map {
                encoder.str(key).unwrap();
                encode(value, encoder);
            }
            encoder.end().unwrap();
        }
    }
}
