//! One collection in every form that a dump can take: unpacked, as a storage directory, as shards, of several nodes.

use std::path::{Path, PathBuf};
use std::process::Command;

use tranship_connector::{Count, ErrorKind, OpenOptions, PrepareContext};
use tranship_provider_qdrant::CONNECTOR;
use tranship_testkit::reading::read;

use crate::dumps::{compare, locator, open, read_all, read_collection};
use crate::truth::{Dump, same_points};

const SNAPSHOT: &str = "server119_mixed.snapshot";

/// The mixed snapshot of two shards, unpacked into `collection`.
struct Unpacked {
    dump: Dump,
    truth: String,
    collection: PathBuf,
}

fn unpacked() -> Unpacked {
    let dump = Dump::unpack("qdrant-1.19-mixed");
    let collection = dump.path("mixed");
    extract(&dump.path(SNAPSHOT), &collection);
    let truth = dump.truth("server119_mixed.jsonl");
    Unpacked { dump, truth, collection }
}

pub fn extract(tar: &Path, into: &Path) {
    std::fs::create_dir_all(into).unwrap();
    let mut command = Command::new("tar");
    // The tars of segments have no end mark, which GNU tar does not mind.
    assert!(command.arg("xSf").arg(tar).arg("-C").arg(into).status().unwrap().success());
}

fn pack(tar: &Path, dir: &Path, names: &[&str]) {
    let mut command = Command::new("tar");
    assert!(command.arg("cSf").arg(tar).arg("-C").arg(dir).args(names).status().unwrap().success());
}

/// Puts the segments of a shard where a server has them.
pub fn unpack_segments(shard: &Path) {
    let segments = shard.join("segments");
    for entry in std::fs::read_dir(&segments).unwrap() {
        let tar = entry.unwrap().path();
        let around = segments.join("around");
        extract(&tar, &around);
        std::fs::rename(around.join("snapshot/files"), tar.with_extension("")).unwrap();
        std::fs::remove_dir_all(around).unwrap();
        std::fs::remove_file(tar).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn an_unpacked_snapshot_a_storage_directory_and_tars_of_them_hold_the_same_points() {
    let Unpacked { dump, truth, collection } = unpacked();
    same_points(&collection, &truth);
    pack(&dump.path("again.tar"), dump.path("").as_path(), &["mixed"]);
    same_points(&dump.path("again.tar"), &truth);
    unpack_segments(&collection.join("0"));
    unpack_segments(&collection.join("1"));
    // What a server leaves lying about.
    for name in ["0/segments/x.deleted", "0/segments/.hidden", "0/temp_segments", "1/segments/unfinished"] {
        std::fs::create_dir_all(collection.join(name)).unwrap();
        std::fs::write(collection.join(name).join("segment.json"), "{").unwrap();
    }
    let outcome = same_points(&collection, &truth);
    assert_eq!(outcome.notes.len(), 1, "{:?}", outcome.notes);
    assert!(outcome.notes[0].contains("unfinished of shard 1"), "{:?}", outcome.notes);
    let storage = dump.path("server/storage");
    std::fs::create_dir_all(storage.join("collections")).unwrap();
    std::fs::create_dir_all(storage.join("aliases")).unwrap();
    std::fs::write(storage.join("aliases/data.json"), r#"{"other":"mixed","third":"not here"}"#).unwrap();
    std::fs::rename(&collection, storage.join("collections/mixed")).unwrap();
    for root in [dump.path("server"), storage.clone(), storage.join("collections"), storage.join("collections/mixed")] {
        assert_eq!((CONNECTOR.probe)(&root), Some(95), "{}", root.display());
        assert_eq!(same_points(&root, &truth).schema.name, "mixed");
    }
    assert_eq!(read_collection(&storage, "other").unwrap().schema.aliases, ["other"]);
    pack(&dump.path("storage.tar"), &dump.path("server"), &["./storage"]);
    same_points(&dump.path("storage.tar"), &truth);
}

#[test]
fn a_shard_has_the_settings_of_its_segments_or_of_the_collection_around_it() {
    let Unpacked { truth, collection, dump: _dump } = unpacked();
    let both: usize =
        [0, 1].iter().map(|shard| read_all(&collection.join(shard.to_string())).unwrap().records.len()).sum();
    assert_eq!(both, truth.lines().count());
    let around = read_all(&collection.join("1")).unwrap();
    assert_eq!(around.schema.name, "mixed");
    assert!(around.notes[0].contains("shards 0 of collection `mixed` are not here"), "{:?}", around.notes);
    std::fs::remove_file(collection.join("config.json")).unwrap();
    let alone = read_all(&collection.join("1")).unwrap();
    assert_eq!((alone.schema.name.as_str(), alone.notes.len()), ("1", 0));
    assert_eq!(alone.schema.vectors, around.schema.vectors);
    assert_eq!(alone.records, around.records);
}

#[test]
fn a_storage_snapshot_has_its_collections_and_their_aliases() {
    let Unpacked { dump, truth, .. } = unpacked();
    let root = dump.path("full");
    std::fs::create_dir(&root).unwrap();
    std::fs::rename(dump.path(SNAPSHOT), root.join("m-1-2026-11-20-12-15-38.snapshot")).unwrap();
    let other = Dump::unpack("qdrant-1.19-u8_euclid");
    std::fs::rename(other.path("server119_u8_euclid.snapshot"), root.join("u.snapshot")).unwrap();
    let config = r#"{"collections_mapping":{"mixed":"m-1-2026-11-20-12-15-38.snapshot","bytes":"u.snapshot"},
                     "collections_aliases":{"alias":"bytes"}}"#;
    std::fs::write(root.join("config.json"), config).unwrap();
    let full = dump.path("full.snapshot");
    pack(&full, &root, &["m-1-2026-11-20-12-15-38.snapshot", "u.snapshot", "config.json"]);
    for path in [&full, &root] {
        let infos = CONNECTOR.list.unwrap()(&locator(path), &OpenOptions::default()).unwrap();
        let counts: Vec<_> = infos.iter().map(|info| (info.name.as_str(), info.records)).collect();
        assert_eq!(counts, [("bytes", Count::Exact(1120)), ("mixed", Count::Exact(1862))]);
        assert_eq!(infos[0].schema.aliases, ["alias"]);
        compare(&read_collection(path, "mixed").unwrap(), &truth);
        compare(&read_collection(path, "alias").unwrap(), &other.truth("server119_u8_euclid.jsonl"));
        let error = open(path, &OpenOptions::default()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.next_step().unwrap().contains("bytes, mixed"), "{error}");
    }
    std::fs::remove_file(root.join("u.snapshot")).unwrap();
    let error = read_collection(&root, "mixed").unwrap_err();
    assert!(error.to_string().contains("does not hold \"u.snapshot\" of collection `bytes`"), "{error}");
}

/// A snapshot of one node that holds some of the shards.
fn node(from: &Unpacked, number: u64, shards: &[&str]) -> PathBuf {
    let dir = from.dump.path(&format!("node-{number}"));
    copy(&from.collection, &dir);
    for shard in ["0", "1"] {
        let state = dir.join(shard).join("replica_state.json");
        replace(&state, "\"this_peer_id\":3576325280392575", &format!("\"this_peer_id\":{number}"));
        if !shards.contains(&shard) {
            replace(&state, "\"is_local\":true", "\"is_local\":false");
            std::fs::remove_dir_all(dir.join(shard).join("segments")).unwrap();
        }
    }
    dir
}

fn snapshot_of(dir: &Path, into: &Path) {
    std::fs::create_dir_all(into.parent().unwrap()).unwrap();
    let names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    pack(into, dir, &names.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn snapshots_of_several_nodes_are_one_collection() {
    let from = unpacked();
    let (first, second, all) = (node(&from, 11, &["0"]), node(&from, 12, &["1"]), node(&from, 13, &["0", "1"]));
    let dir = from.dump.path("nodes");
    let name = |peer: u64| dir.join(format!("mixed-{peer}-2026-11-20-12-15-38.snapshot"));
    snapshot_of(&first, &name(11));
    let part = read_all(&dir).unwrap();
    assert!(part.records.len() < 1862 && part.notes[0].contains("shards 1 of collection `mixed` are not here"));
    snapshot_of(&second, &name(12));
    let whole = same_points(&dir, &from.truth);
    assert_eq!((whole.schema.name.as_str(), whole.notes.len()), ("mixed", 0));
    // The third node holds a second copy of everything.
    snapshot_of(&all, &name(13));
    let copies = same_points(&dir, &from.truth);
    assert_eq!((copies.ledger.raw, copies.ledger.superseded), (Some(1862), 0));
    assert!(copies.notes.len() == 2 && copies.notes[0].contains("shard 0 is here in 2 copies"), "{:?}", copies.notes);
    // The same with names that tell nothing.
    for (number, peer) in [11, 12, 13].into_iter().enumerate() {
        std::fs::rename(name(peer), dir.join(format!("from-node-{number}.snapshot"))).unwrap();
    }
    same_points(&dir, &from.truth);
    snapshot_of(&all, &dir.join("from-node-2-again.snapshot"));
    let infos = CONNECTOR.list.unwrap()(&locator(&dir), &OpenOptions::default());
    assert!(infos.is_ok_and(|infos| infos.len() == 2), "renamed snapshots of one node are not put together");
    std::fs::rename(dir.join("from-node-2.snapshot"), name(13)).unwrap();
    std::fs::rename(dir.join("from-node-2-again.snapshot"), dir.join("mixed-13-2026-11-21-12-15-38.snapshot")).unwrap();
    let error = open(&dir, &OpenOptions::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("two snapshots of one node"), "{error}");
}

/// Sets the clocks of a shard.
fn set_clock(shard: &Path, tick: u64) {
    let clocks = format!(r#"{{"clocks":[{{"peer_id":5,"clock_id":0,"current_tick":{tick},"token":9}}]}}"#);
    std::fs::write(shard.join("newest_clocks.json"), clocks).unwrap();
}

#[test]
fn of_several_copies_of_a_shard_the_one_that_has_seen_everything_is_read() {
    let from = unpacked();
    let (ahead, behind) = (node(&from, 11, &["0", "1"]), node(&from, 12, &["0", "1"]));
    for shard in [&ahead, &behind].into_iter().flat_map(|path| [path.join("0"), path.join("1")]) {
        for entry in std::fs::read_dir(shard.join("wal")).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    // What the copies hold differs in a way that versions do not tell: the newer one has fewer points.
    let segments = ahead.join("0/segments");
    let largest =
        std::fs::read_dir(&segments).unwrap().map(|e| e.unwrap().path()).max_by_key(|p| p.metadata().unwrap().len());
    std::fs::remove_file(largest.unwrap()).unwrap();
    let dir = from.dump.path("nodes");
    let lay_out = |ticks: [u64; 2], state: Option<&str>| {
        for ((node, path), tick) in [(11, &ahead), (12, &behind)].into_iter().zip(ticks) {
            for shard in ["0", "1"] {
                set_clock(&path.join(shard), tick);
                let state = state.map_or(String::new(), |state| format!(r#""11":"{state}""#));
                let text = format!(r#"{{"is_local":true,"this_peer_id":{node},"peers":{{{state}}}}}"#);
                std::fs::write(path.join(shard).join("replica_state.json"), text).unwrap();
            }
            snapshot_of(path, &dir.join(format!("mixed-{node}-2026-11-20-12-15-38.snapshot")));
        }
        read_all(&dir).unwrap()
    };
    let outcome = lay_out([1020, 1015], None);
    assert!(outcome.records.len() < 1862, "{} records", outcome.records.len());
    assert!(outcome.notes[0].contains("read from node 11"), "{:?}", outcome.notes);
    let outcome = lay_out([1015, 1020], Some("Active"));
    assert!(outcome.records.len() == 1862 && outcome.notes[0].contains("node 12"), "{:?}", outcome.notes);
    // A copy that any node calls dead is not whole, whatever its clocks.
    let outcome = lay_out([1020, 1015], Some("Dead"));
    assert!(outcome.records.len() == 1862 && outcome.notes[0].contains("node 12"), "{:?}", outcome.notes);
    // Neither has seen what the other has.
    let mixed = |shard: &Path, other: u64| {
        let clocks = format!(r#"{{"clocks":[{{"peer_id":{other},"clock_id":0,"current_tick":3,"token":9}}]}}"#);
        std::fs::write(shard.join("newest_clocks.json"), clocks).unwrap();
    };
    for shard in ["0", "1"] {
        mixed(&ahead.join(shard), 1);
        mixed(&behind.join(shard), 2);
        for (node, path) in [(11, &ahead), (12, &behind)] {
            std::fs::write(
                path.join(shard).join("replica_state.json"),
                format!(r#"{{"is_local":true,"this_peer_id":{node},"peers":{{}}}}"#),
            )
            .unwrap();
            snapshot_of(path, &dir.join(format!("mixed-{node}-2026-11-20-12-15-38.snapshot")));
        }
    }
    let outcome = same_points(&dir, &from.truth);
    assert!(outcome.notes[0].contains("none has seen all operations"), "{:?}", outcome.notes);
}

#[test]
fn a_shard_beyond_those_of_the_collection_is_told() {
    let from = unpacked();
    copy(&from.collection.join("1"), &from.collection.join("2"));
    let outcome = read_all(&from.collection).unwrap();
    assert!(outcome.notes[0].contains("shard 2 is beyond the 2"), "{:?}", outcome.notes);
}

#[test]
fn a_number_and_a_text_of_one_spelling_are_two_shard_keys() {
    let from = unpacked();
    replace(
        &from.collection.join("config.json"),
        "\"shard_number\":2",
        "\"shard_number\":1,\"sharding_method\":\"custom\"",
    );
    let mapping = r#"[{"key":"7","shard_ids":[0]},{"key":7,"shard_ids":[1]}]"#;
    std::fs::write(from.collection.join("shard_key_mapping.json"), mapping).unwrap();
    std::fs::remove_dir_all(from.collection.join("1")).unwrap();
    copy(&from.collection.join("0"), &from.collection.join("1"));
    let outcome = read_all(&from.collection).unwrap();
    assert_eq!(outcome.by_id().len(), outcome.records.len());
    assert!(outcome.records.iter().any(|record| record.namespace.as_deref() == Some("\"7\"")));
}

#[test]
fn a_snapshot_that_holds_no_collection_is_not_passed_over() {
    let from = unpacked();
    let dir = from.dump.path("nodes");
    snapshot_of(&node(&from, 11, &["0", "1"]), &dir.join("mixed-11-2026-11-20-12-15-38.snapshot"));
    std::fs::create_dir_all(from.dump.path("strange/a")).unwrap();
    std::fs::write(from.dump.path("strange/a/b"), "c").unwrap();
    pack(&dir.join("other.snapshot"), &from.dump.path("strange"), &["a"]);
    let error = read_all(&dir).unwrap_err();
    assert!(error.to_string().contains("other.snapshot"), "{error}");
}

#[test]
fn a_split_of_nine_vectors_in_rocksdb_is_read_within_512_mib() {
    let from = Dump::unpack("qdrant-1.10-mixed");
    let source = open(&from.path("qdrant-1.10.1-mixed.snapshot"), &OpenOptions::default()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let context = PrepareContext { memory_bytes: 256 << 20, split_bytes: 64 << 20, scratch: scratch.path() };
    let prepared = source.prepare(&context).unwrap();
    for split in prepared.splits().unwrap() {
        let needed = prepared.split_memory_bytes(&split.unwrap());
        assert!(needed <= 128 << 20, "{} MiB for {} vectors", needed >> 20, prepared.schema().vectors.len());
    }
}

#[test]
fn shard_keys_become_namespaces_in_both_spellings() {
    let from = unpacked();
    let config = from.collection.join("config.json");
    replace(&config, "\"shard_number\":2", "\"shard_number\":1,\"sharding_method\":\"custom\"");
    let new = r#"[{"key":"berlin","shard_ids":[0]},{"key":7,"shard_ids":[1]}]"#;
    for (mapping, keys) in [(new, ["berlin", "7"]), (r#"{"a b":[0],"c":[1]}"#, ["a b", "c"])] {
        std::fs::write(from.collection.join("shard_key_mapping.json"), mapping).unwrap();
        // The same points in both shards: ids are never compared across shards.
        std::fs::remove_dir_all(from.collection.join("1")).unwrap();
        copy(&from.collection.join("0"), &from.collection.join("1"));
        let outcome = read_all(&from.collection).unwrap();
        assert!(outcome.schema.namespaced && outcome.notes.is_empty(), "{:?}", outcome.notes);
        let of = |key: &str| outcome.records.iter().filter(|r| r.namespace.as_deref() == Some(key)).count();
        assert_eq!((of(keys[0]), of(keys[1])), (outcome.records.len() / 2, outcome.records.len() / 2));
        assert_eq!(outcome.by_id().len(), outcome.records.len());
        assert_eq!(outcome.ledger.superseded, 0);
    }
}

#[test]
fn the_newest_copy_of_a_point_lives_whichever_segment_it_lies_in() {
    let Unpacked { truth, collection, dump: _dump } = unpacked();
    let segments = collection.join("0/segments");
    let full =
        std::fs::read_dir(&segments).unwrap().map(|e| e.unwrap().path()).max_by_key(|p| p.metadata().unwrap().len());
    let full = full.unwrap();
    // The first name and the last: of equal versions any will do, but only one of them.
    for name in ["00000000-old.tar", "ffffffff-old.tar"] {
        std::fs::copy(&full, segments.join(name)).unwrap();
    }
    let outcome = same_points(&collection, &truth);
    assert_eq!(outcome.ledger.raw, Some(1862 + outcome.ledger.superseded));
    assert!(outcome.ledger.superseded > 900);
}

#[test]
fn a_directory_that_its_server_holds_is_changing() {
    let Unpacked { truth, collection, dump: _dump } = unpacked();
    let lock = std::fs::File::open(collection.join("1/wal")).unwrap();
    lock.lock().unwrap();
    let error = read_all(&collection).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changing);
    assert!(error.to_string().contains("1/wal is being written to"), "{error}");
    let allowed = OpenOptions { allow_inconsistent: true, ..OpenOptions::default() };
    let outcome = read(&*open(&collection, &allowed).unwrap()).unwrap();
    compare(&outcome, &truth);
    assert!(outcome.notes[0].contains("locked"), "{:?}", outcome.notes);
    drop(lock);
    same_points(&collection, &truth);
}

#[test]
fn storages_that_are_not_read_are_named_with_their_segment() {
    let Unpacked { dump, collection, .. } = unpacked();
    unpack_segments(&collection.join("0"));
    let segments = collection.join("0/segments");
    let segment = std::fs::read_dir(&segments)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.join("id_tracker.mappings").is_file());
    let segment = segment.unwrap();
    let uuid = segment.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = dump.path("whole");
    copy(&segment, &whole);
    let refused = |change: &dyn Fn(&Path), said: &str| {
        change(&segment);
        let error = read_all(&collection).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotRecognised, "{error}");
        assert!(error.to_string().contains(said) && error.to_string().contains(&uuid), "{error}");
        std::fs::remove_dir_all(&segment).unwrap();
        copy(&whole, &segment);
    };
    let json = |from: &'static str, to: &'static str| move |dir: &Path| replace(&dir.join("segment.json"), from, to);
    refused(&json("\"size\":40,", "\"size\":40,\"datatype\":\"turbo4\","), "turbo4");
    refused(&json("\"size\":40,", "\"size\":40,\"datatype\":\"int3\","), "int3");
    refused(&json("\"InRamMmap\"", "\"Holographic\""), "Holographic");
    refused(&json("{\"type\":\"mmap\"}", "{\"type\":\"tape\"}"), "tape");
    refused(&|dir| std::fs::write(dir.join("id_tracker.i2e"), "").unwrap(), "disk id tracker");
    let grid = |dir: &Path| dir.join("payload_storage/config.json");
    refused(&|dir| replace(&grid(dir), "\"mutable\"", "\"append_only\""), "Logstore");
    refused(&|dir| replace(&grid(dir), "LZ4", "Brotli"), "Brotli");
    assert!(read_all(&collection).is_ok());
}
