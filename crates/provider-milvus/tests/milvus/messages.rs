//! What a user is told who brings something that is known and not read, or not clear.

use std::fs;

use serde_json::json;
use tranship_connector::{Error, Result};

use crate::made::{DEFAULT, Made, binlog, int64s, key, parquet};
use crate::support::{Dump, list, read, told};

fn refused<T>(result: Result<T>, exit_code: u8, parts: &[&str]) {
    let error: Error = result.map(|_| "it was read").unwrap_err();
    let text = told(&error);
    assert_eq!(error.kind().exit_code(), exit_code, "{text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

fn made() -> Made {
    let mut made = Made::new(vec![key()]);
    made.segment(DEFAULT, 1, &[1], &[(100, 5, int64s(&[1]))]);
    made
}

#[test]
fn formats_that_are_not_read_are_named() {
    let mut snapshot = made();
    snapshot.meta["format"] = json!("snapshot");
    refused(list(&snapshot.write(), &[]), 10, &["format `snapshot`", "binlog format"]);

    let mut v3 = made();
    v3.write();
    v3.collection()["partition_backups"] =
        json!([{"partition_id": 8, "segment_backups": [{"segment_id": 1, "storage_version": 3, "num_of_rows": 1}]}]);
    crate::made::write_json(&v3.root().join("meta/full_meta.json"), &v3.meta);
    refused(list(&v3.root(), &[]), 10, &["segment 1 is of storage version 3"]);

    let mut tree = made();
    tree.write();
    let dir = tree.root().join("binlogs/insert_log/7/8/2/_metadata");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("manifest-1.avro"), b"MILV").unwrap();
    refused(list(&tree.root().join("binlogs"), &[]), 10, &["storage v3", "manifest-1.avro"]);

    let mut minio = made();
    minio.write();
    let dir = minio.root().join("binlogs/insert_log/7/8/2/100/9");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("xl.meta"), b"XL2 ").unwrap();
    refused(list(&minio.root().join("binlogs"), &[]), 10, &["MinIO", "mc mirror"]);
}

#[test]
fn an_encrypted_log_is_refused() {
    let mut made = made();
    let payload = parquet(&[("val", None, int64s(&[1]))], 10);
    made.log(DEFAULT, 1, 100, &binlog(100, 5, 1, r#"{"edek":"abc","encryption_zone":"1"}"#, &[payload]));
    refused(read(&made.write(), "", &[]), 10, &["encrypted", "insert_log"]);
}

#[test]
fn a_backup_that_is_not_whole_is_refused_unless_allowed() {
    let mut made = made();
    made.meta["state_code"] = json!(3);
    let root = made.write();
    refused(read(&root, "", &[]), 11, &["has failed", "--allow-inconsistent"]);
    let mut options = crate::support::options("", &[]);
    options.allow_inconsistent = true;
    assert_eq!(crate::support::read_with(&root, &options).unwrap().records.len(), 1);
}

#[test]
fn wrong_choices_name_the_right_ones() {
    let dump = Dump::new();
    let schema = dump.schema();
    let with = |collection: &str| read(&dump.root, collection, &[("schema", schema.to_str().unwrap())]);
    refused(with(""), 2, &["2 collections", "strpk, typed"]);
    refused(with("none"), 2, &["no collection `none`", "strpk, typed"]);
    let mut made = made();
    let root = made.write();
    refused(read(&root, "", &[("duplicates", "some")]), 2, &["duplicates=some", "keep-all"]);
    refused(read(&root, "", &[("schema", "x")]), 2, &["leave out -o schema"]);
    refused(read(&root, "", &[("shcema", "x")]), 2, &["shcema", "schema"]);
    refused(list(dump.dir.path().join("nothing").as_path(), &[]), 10, &["no Milvus dump", "meta/full_meta.json"]);
}

#[test]
fn a_schema_that_fits_two_collections_asks_for_the_id() {
    let mut made = made();
    made.write();
    let tree = made.root().join("binlogs");
    let copy = tree.join("insert_log/70/80/1");
    fs::create_dir_all(&copy).unwrap();
    for field in ["0", "1", "100"] {
        let from = tree.join("insert_log/7/8/1").join(field);
        let log = fs::read_dir(&from).unwrap().next().unwrap().unwrap();
        fs::create_dir_all(copy.join(field)).unwrap();
        fs::copy(log.path(), copy.join(field).join(log.file_name())).unwrap();
    }
    let schema = made.dir.path().join("schema.py");
    fs::write(&schema, "{'fields': [{'name': 'pk', 'type': <DataType.INT64: 5>, 'is_primary': True}]}").unwrap();
    let options = [("schema", schema.to_str().unwrap())];
    let infos = list(&tree, &options).unwrap();
    assert_eq!(infos.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["7", "70"]);
    assert!(infos[0].notes.iter().any(|note| note.contains("schema `unnamed` fits 2 collections")));
    assert_eq!(read(&tree, "70", &options).unwrap().records.len(), 1);
    refused(read(&tree, "unnamed", &options), 2, &["fits 2 collections", "7, 70", "collection_id"]);
}

#[test]
fn a_schema_that_cannot_be_read_is_told_of_as_what_it_looks_like() {
    let mut made = made();
    made.write();
    let tree = made.root().join("binlogs");
    let schema = made.dir.path().join("schema.py");
    let options = [("schema", schema.to_str().unwrap())];
    for (text, said) in [
        ("not a schema", "the end expected, found \"a schema\""),
        ("{'fields': [{'name': 'pk\\u00e9'}]}", "other escapes than"),
        (
            "{\"fields\": [\n  {\"name\": \"pk\\u00e9\" \"type\": 5}\n]}",
            "no JSON: expected `,` or `}` at line 2 column 23",
        ),
        ("[{\"fields\": [", "no JSON: EOF while parsing a list at line 1 column 13"),
        ("{\"schema\": \"{\\\"fields\\\": 1 2}\"}", "no JSON: expected `,` or `}` at line 1 column 14"),
    ] {
        fs::write(&schema, text).unwrap();
        refused(list(&tree, &options), 2, &["schema.py", said]);
    }
    fs::write(&schema, "{").unwrap();
    refused(list(&tree, &options), 2, &["describe_collection"]);
}
