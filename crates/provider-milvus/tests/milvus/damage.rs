//! Cut, flipped and hostile files: an error that names the file, or records; never a panic.

use std::fs;
use std::path::PathBuf;

use arrow_array::ArrayRef;
use serde_json::json;
use tranship_testkit::damage::{Damage, cuts, flips, survey};

use crate::made::{DEFAULT, Made, delta_v1, delta_v2, dim, field, int64s, key, write_json};
use crate::support::{Dump, read};

/// A backup with one small segment; returns it with the log of `field`.
fn small(field_id: i64) -> (Made, PathBuf, PathBuf) {
    let mut made = Made::new(vec![key(), field(101, "v", 101, dim(2))]);
    let bytes: Vec<[u8; 8]> = (0..20u64).map(|n| n.to_le_bytes()).collect();
    let vectors: ArrayRef =
        std::sync::Arc::new(arrow_array::FixedSizeBinaryArray::try_from_iter(bytes.iter()).unwrap());
    let keys: Vec<i64> = (0..20).collect();
    made.segment(DEFAULT, 1, &keys, &[(100, 5, int64s(&keys)), (101, 101, vectors)]);
    made.delta(Some(DEFAULT), 1, &delta_v1(&[(3, 9), (4, 9)]));
    let root = made.write();
    let dir = match field_id {
        -1 => root.join("binlogs/delta_log/7/8/1"),
        id => root.join(format!("binlogs/insert_log/7/8/1/{id}")),
    };
    let log = fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    (made, root, log)
}

#[test]
fn every_cut_of_a_log_is_an_error_that_names_it() {
    for field in [101, -1] {
        let (_made, root, log) = small(field);
        let len = fs::metadata(&log).unwrap().len();
        // A log cut right behind its descriptor has no events, which its row count tells; a delta log may be empty.
        let cuts = cuts(len, &[], 1);
        let found = survey(&log, "log", &cuts, || read(&root, "", &[]));
        let empty = usize::from(field == -1);
        assert_eq!((found.unnoticed, found.errors), (empty, cuts.len() - empty), "field {field}: {found:?}");
    }
}

#[test]
fn flipped_bits_never_end_in_a_panic() {
    for field in [1, 100, 101, -1] {
        let (_made, root, log) = small(field);
        let len = fs::metadata(&log).unwrap().len();
        let found = survey(&log, "log", &flips(len, 120, 2), || read(&root, "", &[]));
        assert!(found.errors > 10, "{found:?}");
    }
}

#[test]
fn a_packed_delta_is_cut_with_an_error() {
    let (mut made, _, _) = small(100);
    made.delta(Some(DEFAULT), 1, &delta_v2(&[(3, 9), (4, 9)]));
    let root = made.write();
    let mut logs: Vec<_> =
        fs::read_dir(root.join("binlogs/delta_log/7/8/1")).unwrap().map(|e| e.unwrap().path()).collect();
    logs.sort_by_key(|log| log.file_name().unwrap().to_str().unwrap().parse::<i64>().unwrap());
    let log = logs.pop().unwrap();
    let len = fs::metadata(&log).unwrap().len();
    let behind_descriptor = 4 + u64::from(fs::read(&log).unwrap()[13]);
    let mut cuts: Vec<Damage> = cuts(len, &[], 3).into_iter().step_by(3).collect();
    cuts.push(Damage::Cut(behind_descriptor));
    let found = survey(&log, "log", &cuts, || read(&root, "", &[]));
    // A log without any event deletes nothing.
    assert!((1..=2).contains(&found.unnoticed), "{found:?}");
}

#[test]
fn hostile_lengths_are_refused_before_anything_is_allocated() {
    let (_made, root, log) = small(101);
    let bytes = fs::read(&log).unwrap();
    let first = 4 + i32::from_le_bytes(bytes[13..17].try_into().unwrap()) as u64;
    let footer = bytes.len() as u64 - 8;
    let mut damages = Vec::new();
    for value in [0i32, 1, 16, 33, 34, -1, i32::MAX, i32::MIN] {
        // Lengths of the descriptor, of its extras, of the event and of the footer.
        for at in [13, 21 + 60, first + 9, footer] {
            damages.push(Damage::Patch(at, value.to_le_bytes().to_vec()));
        }
    }
    damages.push(Damage::Patch(first + 8, vec![9]));
    damages.push(Damage::Patch(12, vec![1]));
    let found = survey(&log, "log", &damages, || read(&root, "", &[]));
    // The descriptor of this log has two bytes of extras and nothing else fits.
    assert_eq!(found.errors, damages.len(), "{found:?}");
}

#[test]
fn a_broken_meta_is_an_error_with_its_file() {
    let (made, root, _) = small(100);
    let meta = root.join("meta/full_meta.json");
    let text = fs::read(&meta).unwrap();
    for cut in (0..text.len()).step_by(7) {
        fs::write(&meta, &text[..cut]).unwrap();
        let error = read(&root, "", &[]).unwrap_err();
        assert!(error.to_string().contains("full_meta.json"), "{error}");
    }
    for (pointer, value) in [
        ("/collection_backups/0/collection_id", json!(1)),
        ("/collection_backups/0/schema", json!(null)),
        ("/collection_backups/0/schema/fields/1/data_type", json!(102)),
        ("/collection_backups/0/schema/fields/1/type_params/0/value", json!("18446744073709551615")),
        ("/collection_backups/0/schema/fields/1/type_params/0/value", json!("3")),
        ("/collection_backups/0/schema/fields/0/is_primary_key", json!(false)),
        ("/collection_backups/0/partition_backups/0/segment_backups/0/segment_id", json!(i64::MAX)),
        ("/collection_backups/0/partition_backups/0/segment_backups/0/binlogs/0/fieldID", json!(-5)),
        ("/collection_backups/0/partition_backups/0/segment_backups/0/binlogs/2/binlogs", json!([])),
    ] {
        let mut broken = made.meta.clone();
        *broken.pointer_mut(pointer).unwrap() = value;
        write_json(&meta, &broken);
        let error = read(&root, "", &[]).map(|_| pointer).unwrap_err();
        assert!(matches!(error.kind().exit_code(), 10..=12), "{pointer}: {error}");
    }
}

#[test]
fn a_damaged_log_of_the_real_dump_is_told() {
    let dump = Dump::new();
    let dir = dump.root.join("insert_log/470594003939498694/470594003939498695/470594003939498702");
    let log = dir.join("101/470594003939298685");
    let len = fs::metadata(&log).unwrap().len();
    let damages: Vec<Damage> = cuts(len, &[], 4).into_iter().step_by(101).chain(flips(len, 60, 5)).collect();
    let found = survey(&log, "298685", &damages, || dump.read("strpk"));
    assert!(found.errors > damages.len() / 4, "{found:?}");
    // A log that is gone leaves a segment whose fields do not agree.
    fs::remove_file(&log).unwrap();
    let error = dump.read("strpk").unwrap_err();
    assert!(matches!(error.kind().exit_code(), 2 | 11), "{error}");
}
