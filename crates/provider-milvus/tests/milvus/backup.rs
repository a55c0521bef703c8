//! The binlogs of the stored dump as milvus-backup directories of all shapes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tranship_collection::{IndexSpec, Metric};
use tranship_connector::Count;

use crate::made::{dim, field, write_json};
use crate::support::{Dump, STRPK, TYPED, list, read, told};
use crate::truth::{assert_strpk, assert_typed};

/// How the backup is laid out.
#[derive(Clone, Copy)]
struct Shape {
    levels: bool,
    group: Option<i64>,
    with_log_ids: bool,
}

fn numbers(dir: &Path) -> Vec<i64> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut found: Vec<i64> = entries.map(|e| e.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    found.sort();
    found
}

/// Copies the logs of `dump` into a backup and writes its meta.
fn back_up(dump: &Dump, shape: Shape) -> PathBuf {
    let root = dump.dir.path().join("backups/monday");
    let mut collections = Vec::new();
    for (id, name, schema) in [(TYPED, "typed", typed_schema()), (STRPK, "strpk", strpk_schema())] {
        let mut partitions = Vec::new();
        for partition in numbers(&dump.root.join(format!("insert_log/{id}"))) {
            let segments: Vec<Value> = numbers(&dump.root.join(format!("insert_log/{id}/{partition}")))
                .into_iter()
                .map(|segment| segment_meta(dump, &root, [id, partition, segment], shape))
                .collect();
            partitions.push(json!({"partition_id": partition, "partition_name": "_default", "collection_id": id,
                                   "segment_backups": segments}));
        }
        collections.push(json!({"collection_id": id, "db_name": "default", "collection_name": name, "schema": schema,
            "has_index": true, "index_infos": [{"field_name": "v", "index_name": "v", "index_type": "HNSW",
            "params": {"index_type": "HNSW", "metric_type": "L2", "params": "{\"M\":16,\"efConstruction\":200}"}}],
            "partition_backups": partitions}));
    }
    let mut backup = json!({"id": "x", "state_code": 2, "name": "monday", "milvus_version": "v2.3.5"});
    if !shape.levels {
        backup["collection_backups"] = json!(collections);
        write_json(&root.join("meta/full_meta.json"), &backup);
        return root;
    }
    let (mut partitions, mut segments) = (Vec::new(), Vec::new());
    for collection in &mut collections {
        for mut partition in collection["partition_backups"].take().as_array().unwrap().clone() {
            segments.extend(partition["segment_backups"].take().as_array().unwrap().clone());
            partitions.push(partition);
        }
    }
    write_json(&root.join("meta/backup_meta.json"), &backup);
    for (name, infos) in [("collection", collections), ("partition", partitions), ("segment", segments)] {
        write_json(&root.join(format!("meta/{name}_meta.json")), &json!({ "infos": infos }));
    }
    root
}

fn segment_meta(dump: &Dump, root: &Path, [collection, partition, segment]: [i64; 3], shape: Shape) -> Value {
    let group = shape.group.map(|group| format!("{group}/")).unwrap_or_default();
    let mut rows = BTreeMap::new();
    let mut entry = |kind: &str, field: Option<i64>, log: i64| {
        let below = field.map(|field| format!("{field}/")).unwrap_or_default();
        let source = format!("{kind}/{collection}/{partition}/{segment}/{below}{log}");
        let target = root.join(format!("binlogs/{kind}/{collection}/{partition}/{group}{segment}/{below}{log}"));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(dump.root.join(&source), target).unwrap();
        rows.insert(field, ());
        match shape.with_log_ids {
            true => json!({"log_id": log, "log_path": ""}),
            false => json!({"log_path": format!("by-dev/{source}"), "log_size": 1}),
        }
    };
    let dir = dump.root.join(format!("insert_log/{collection}/{partition}/{segment}"));
    let mut binlogs = Vec::new();
    for field in numbers(&dir) {
        // Newest first: the order of the list means nothing.
        let logs: Vec<Value> = numbers(&dir.join(field.to_string()))
            .into_iter()
            .rev()
            .map(|log| entry("insert_log", Some(field), log))
            .collect();
        // Go leaves out what is zero.
        binlogs.push(if field == 0 { json!({ "binlogs": logs }) } else { json!({"fieldID": field, "binlogs": logs}) });
    }
    let dir = dump.root.join(format!("delta_log/{collection}/{partition}/{segment}"));
    let deltas: Vec<Value> = numbers(&dir).into_iter().map(|log| entry("delta_log", None, log)).collect();
    json!({"segment_id": segment, "collection_id": collection, "partition_id": partition, "num_of_rows": 1500,
           "binlogs": binlogs, "deltalogs": [{"binlogs": deltas}], "group_id": shape.group.unwrap_or(0)})
}

fn typed_schema() -> Value {
    let plain = |id, name, data_type| field(id, name, data_type, json!({}));
    json!({"name": "typed", "enable_dynamic_field": true, "fields": [
        field(100, "pk", 5, json!({"is_primary_key": true})), field(101, "v", 101, dim(16)),
        field(102, "s", 21, json!({"type_params": [{"key": "max_length", "value": "200"}]})),
        plain(103, "f", 10), plain(104, "d", 11), plain(105, "b", 1), plain(106, "i8", 2), plain(107, "i16", 3),
        plain(108, "j", 23), field(109, "a", 22, json!({"element_type": 5})),
        field(110, "$meta", 23, json!({"is_dynamic": true})),
    ]})
}

fn strpk_schema() -> Value {
    json!({"name": "strpk", "fields": [field(100, "pk", 21, json!({"is_primary_key": true})), field(101, "bv", 100, dim(64))]})
}

const PLAIN: Shape = Shape { levels: false, group: None, with_log_ids: true };

#[test]
fn backups_of_all_shapes_hold_the_same_rows() {
    for shape in [
        PLAIN,
        Shape { levels: true, with_log_ids: false, ..PLAIN },
        Shape { group: Some(3), with_log_ids: false, ..PLAIN },
    ] {
        let dump = Dump::new();
        let root = back_up(&dump, shape);
        assert_typed(&read(&root, "typed", &[]).unwrap(), &dump.truth("typed"));
        assert_strpk(&read(&root, "strpk", &[]).unwrap(), &dump.truth("strpk"));
    }
}

#[test]
fn a_backup_is_found_by_its_parent_its_meta_and_a_file_of_it() {
    let dump = Dump::new();
    let root = back_up(&dump, PLAIN);
    for path in [root.clone(), root.parent().unwrap().to_owned(), root.join("meta"), root.join("meta/full_meta.json")] {
        let infos = list(&path, &[]).unwrap();
        let names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
        assert_eq!(names, ["strpk", "typed"], "{}", path.display());
    }
}

#[test]
fn index_settings_and_the_producer_are_told() {
    let dump = Dump::new();
    let root = back_up(&dump, PLAIN);
    let typed = list(&root, &[]).unwrap().remove(1);
    assert!(matches!(typed.records, Count::UpTo(_)));
    assert_eq!(typed.producer.as_deref(), Some("Milvus v2.3.5, by milvus-backup"));
    let vector = &typed.schema.vectors[0];
    assert_eq!(vector.metric, Some(Metric::L2));
    assert_eq!(vector.index, Some(IndexSpec::Hnsw { m: 16, ef_construction: 200, ef_search: None }));
}

#[test]
fn a_missing_log_is_named() {
    let dump = Dump::new();
    let root = back_up(&dump, PLAIN);
    let dir = root.join(format!("binlogs/insert_log/{STRPK}"));
    let mut dir = dir.join(numbers(&dir)[0].to_string());
    dir = dir.join(numbers(&dir)[0].to_string()).join("101");
    let log = numbers(&dir)[0];
    fs::remove_file(dir.join(log.to_string())).unwrap();
    let error = read(&root, "typed", &[]).unwrap_err();
    assert_eq!(error.kind().exit_code(), 11);
    assert!(error.to_string().contains(&format!("101/{log}")), "{error}");
}

#[test]
fn several_backups_are_listed() {
    let dump = Dump::new();
    let root = back_up(&dump, PLAIN);
    write_json(&root.with_file_name("tuesday").join("meta/full_meta.json"), &json!({}));
    let error = list(root.parent().unwrap(), &[]).unwrap_err();
    assert_eq!(error.kind().exit_code(), 2);
    assert!(told(&error).contains("monday, tuesday"), "{}", told(&error));
}
