//! What no dump has: torn manifests, cut logs, locks, journals, keys that were inserted twice.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field};
use serde_json::json;
use tempfile::TempDir;
use tranship_connector::{Count, ErrorKind, OpenOptions};

use super::{dump, list, locator, options, read, try_read};

/// A directory with one collection whose rows are only in logs.
struct Logs {
    _dir: TempDir,
    path: std::path::PathBuf,
}

const WAL: &str = "collections/c/wal";

impl Logs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hand.db");
        fs::create_dir_all(path.join(WAL)).unwrap();
        let field = |name: &str, dtype: &str| json!({"name": name, "dtype": dtype});
        let mut primary = field("pk", "int64");
        primary["is_primary"] = json!(true);
        let mut vector = field("v", "float_vector");
        (vector["dim"], vector["nullable"]) = (json!(2), json!(true));
        let mut late = field("late", "varchar");
        late["default_value"] = json!("none");
        let schema = json!({
            "collection_name": "c", "version": 1, "enable_dynamic_field": true,
            "fields": [primary, vector, field("j", "json"), late],
        });
        fs::write(path.join("collections/c/schema.json"), schema.to_string()).unwrap();
        Logs { _dir: dir, path }
    }

    fn manifest(self, manifest: &serde_json::Value) -> Self {
        fs::write(self.path.join("collections/c/manifest.json"), manifest.to_string()).unwrap();
        self
    }

    fn log(&self, name: &str) -> std::path::PathBuf {
        self.path.join(WAL).join(name)
    }

    /// One batch for each slice of rows: sequence, partition, key, vector, JSON, dynamic.
    fn rows(self, name: &str, batches: &[&[(u64, &str, i64, [f32; 2], &str, &str)]]) -> Self {
        let batch = |rows: &[(u64, &str, i64, [f32; 2], &str, &str)]| {
            let item = Arc::new(Field::new("item", DataType::Float32, true));
            let values = Float32Array::from(rows.iter().flat_map(|row| row.3).collect::<Vec<_>>());
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("_seq", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.0)))),
                ("_partition", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)))),
                ("pk", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)))),
                ("v", Arc::new(FixedSizeListArray::new(item, 2, Arc::new(values), None))),
                ("j", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.4)))),
                ("$meta", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.5)))),
            ];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        write(&self.log(name), &batches.iter().map(|rows| batch(rows)).collect::<Vec<_>>());
        self
    }

    fn deletes(self, name: &str, deletes: &[(i64, u64)]) -> Self {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("pk", Arc::new(Int64Array::from_iter_values(deletes.iter().map(|delete| delete.0)))),
            ("_seq", Arc::new(UInt64Array::from_iter_values(deletes.iter().map(|delete| delete.1)))),
            ("_partition", Arc::new(StringArray::from_iter_values(deletes.iter().map(|_| "_all")))),
        ];
        write(&self.log(name), &[RecordBatch::try_from_iter(columns).unwrap()]);
        self
    }
}

/// A stream without its end mark, as a killed writer leaves it.
fn write(path: &Path, batches: &[RecordBatch]) {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    drop(writer);
    fs::write(path, bytes).unwrap();
}

fn partitions() -> serde_json::Value {
    json!({"partitions": {"_default": {}, "p": {"data_files": [], "delta_files": []}}})
}

/// Rows of the logs: key 1 written twice, key 2 deleted and written again, key 3 deleted, key 4 in another partition.
fn logs() -> Logs {
    Logs::new()
        .manifest(&partitions())
        .rows(
            "wal_data_000001.arrow",
            &[
                &[(1, "_default", 1, [1.0, 1.0], "{\"a\": 1}", "{}"), (2, "_default", 2, [2.0, 2.0], "plain", "{}")],
                &[(3, "_default", 3, [3.0, 3.0], "[1]", ""), (5, "p", 4, [4.0, 4.0], "\"t\"", r#"{"x": 1, "pk": 9}"#)],
            ],
        )
        .rows(
            "wal_data_000002.arrow",
            &[&[(6, "p", 1, [5.0, 5.0], "", "null"), (7, "_default", 2, [0.0, 0.0], "5", "{}")]],
        )
        .deletes("wal_delta_000001.arrow", &[(2, 4), (3, 4), (9, 4)])
}

#[test]
fn logs_without_end_mark_give_the_newest_rows_that_no_delete_hits() {
    let logs = logs();
    let outcome = read(&logs.path, "c");
    assert!(outcome.rejects.is_empty(), "{:?}", outcome.rejects);
    assert_eq!(outcome.notes.len(), 1);
    assert!(outcome.notes[0].starts_with("1 vectors `v` have zeros only"), "{:?}", outcome.notes);
    let found = outcome.by_id();
    let keys: Vec<_> = found.keys().copied().collect();
    assert_eq!(keys, [(None, "2"), (Some("p"), "1"), (Some("p"), "4")]);
    assert_eq!(found[&(Some("p"), "1")].dense(""), Some(&[5.0, 5.0][..]));
    assert_eq!(found[&(None, "2")].dense(""), None, "zeros of a nullable vector stand for null");
    let metadata = |key| found[&key].metadata.as_deref().unwrap();
    assert_eq!(metadata((Some("p"), "1")), r#"{"j":null,"late":"none"}"#);
    assert_eq!(metadata((None, "2")), r#"{"j":5,"late":"none"}"#);
    assert_eq!(metadata((Some("p"), "4")), r#"{"j":"t","late":"none","x":1,"$meta":{"pk":9}}"#);
    let ledger = outcome.ledger;
    assert_eq!((ledger.raw, ledger.live, ledger.deleted, ledger.superseded), (Some(6), Some(3), 2, 1));
    assert_eq!(list(&logs.path)[0].records, Count::Unknown);
}

#[test]
fn a_log_that_was_cut_gives_what_was_written_whole_and_says_so() {
    let logs = logs();
    let file = logs.log("wal_data_000001.arrow");
    let whole = fs::read(&file).unwrap();
    let mut rows_seen = std::collections::BTreeSet::new();
    for len in 0..whole.len() {
        fs::write(&file, &whole[..len]).unwrap();
        let outcome = read(&logs.path, "c");
        let raw = outcome.ledger.raw.unwrap();
        rows_seen.insert(raw);
        let told = outcome.notes.iter().any(|note| note.contains("wal_data_000001.arrow ends within a write"));
        // Between two messages nothing is amiss: the writer was stopped there.
        assert!(told || raw < 6 && outcome.notes.len() == 1, "{len}: {:?}", outcome.notes);
    }
    assert_eq!(rows_seen.into_iter().collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn flipped_bits_of_a_log_never_end_in_a_panic_and_name_the_file() {
    use tranship_testkit::damage::{flips, survey};
    let logs = logs();
    let file = logs.log("wal_data_000001.arrow");
    let len = fs::metadata(&file).unwrap().len();
    let found = survey(&file, "wal_data_000001.arrow", &flips(len, 400, 5), || try_read(&logs.path, &options("c")));
    assert!(found.errors > 50, "{found:?}");
}

#[test]
fn hostile_sizes_in_a_log_are_errors_or_cuts() {
    let logs = logs();
    let file = logs.log("wal_data_000001.arrow");
    let whole = fs::read(&file).unwrap();
    for size in [u32::MAX, 1 << 31, whole.len() as u32] {
        let mut bytes = whole.clone();
        bytes[4..8].copy_from_slice(&size.to_le_bytes());
        fs::write(&file, bytes).unwrap();
        let outcome = read(&logs.path, "c");
        assert!(outcome.notes[0].contains("ends within a write (at byte 0)"), "{:?}", outcome.notes);
    }
    fs::write(&file, b"no stream of arrow").unwrap();
    let error = try_read(&logs.path, &options("c")).unwrap_err();
    assert!(error.to_string().contains("a message does not begin where it should"), "{error}");
}

#[test]
fn a_torn_manifest_falls_back_to_the_one_before_and_says_so() {
    let dump = dump("3.2.2");
    let place = dump.path.join("collections/strpk");
    let manifest = fs::read(place.join("manifest.json")).unwrap();
    fs::write(place.join("manifest.json.prev"), &manifest).unwrap();
    fs::write(place.join("manifest.json"), &manifest[..manifest.len() / 2]).unwrap();
    let outcome = read(&dump.path, "strpk");
    assert_eq!(outcome.records.len(), 198);
    assert!(outcome.notes[0].contains("is torn") && outcome.notes[0].contains("manifest.json.prev was read"));
    fs::remove_file(place.join("manifest.json.prev")).unwrap();
    let error = try_read(&dump.path, &options("strpk")).unwrap_err();
    assert!(error.to_string().contains("manifest.json is no JSON"), "{error}");
    fs::write(place.join("manifest.json"), r#"{"partitions": {"_default": {"data_files": ["../../x"]}}}"#).unwrap();
    let error = try_read(&dump.path, &options("strpk")).unwrap_err();
    assert!(error.to_string().contains("is missing, but the manifest names it"), "{error}");
}

#[test]
fn files_that_the_manifest_does_not_name_are_not_read() {
    let dump = dump("3.2.2");
    let data = dump.path.join("collections/strpk/partitions/_default/data");
    fs::copy(data.join("data_000001_000200.parquet"), data.join("data_000900_000999.parquet")).unwrap();
    assert_eq!(read(&dump.path, "strpk").ledger.raw, Some(198));
    fs::remove_file(data.join("data_000001_000200.parquet")).unwrap();
    assert_eq!(try_read(&dump.path, &options("strpk")).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn a_directory_that_is_open_is_not_read_without_leave() {
    let logs = logs();
    let lock = fs::File::create(logs.path.join("LOCK")).unwrap();
    lock.lock().unwrap();
    let error = try_read(&logs.path, &options("c")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changing);
    let allowed = OpenOptions { allow_inconsistent: true, ..options("c") };
    assert!(try_read(&logs.path, &allowed).unwrap().notes[0].contains("is open in its database"));
}

#[test]
fn an_unfinished_journal_is_recovered_in_a_copy_and_twice_inserted_keys_have_one_record() {
    let dump = dump("2.5.1");
    let connection = rusqlite::Connection::open(&dump.path).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection
        .execute_batch("INSERT INTO strpk(milvus_id, data) SELECT milvus_id, data FROM strpk WHERE milvus_id = 'k-0'")
        .unwrap();
    let copy = dump.path.with_file_name("copy.db");
    for suffix in ["", "-wal"] {
        let from = dump.path.with_file_name(format!("milvus-lite-2.5.1.db{suffix}"));
        fs::copy(from, copy.with_file_name(format!("copy.db{suffix}"))).unwrap();
    }
    drop(connection);
    let before = fs::read(&copy).unwrap();
    let outcome = read(&copy, "strpk");
    let ledger = outcome.ledger;
    assert_eq!((ledger.raw.unwrap() - ledger.live.unwrap(), ledger.superseded), (1, 1));
    let notes = outcome.notes.join("\n");
    assert!(
        notes.contains("unfinished journal") && notes.contains("1 rows have a key that was inserted again"),
        "{notes}"
    );
    assert_eq!(fs::read(&copy).unwrap(), before, "the source is not written to");
    assert!(!copy.with_file_name("copy.db-shm").exists());
}

#[test]
fn collections_are_chosen_by_name() {
    let dump = dump("2.5.1");
    let open = tranship_provider_milvus::CONNECTOR.open.unwrap();
    let error = open(&locator(&dump.path), &OpenOptions::default()).err().unwrap();
    assert!(error.next_step().unwrap().contains("typed, sparse, binv, f16, strpk"), "{error}");
    assert!(open(&locator(&dump.path), &options("nope")).err().unwrap().to_string().contains("no collection `nope`"));
    let probe = tranship_provider_milvus::CONNECTOR.probe;
    assert_eq!((probe(&dump.path), probe(&dump.path.with_extension("db.truth.jsonl"))), (Some(96), None));
}
