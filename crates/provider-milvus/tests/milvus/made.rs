//! Backups written by hand: binlogs, packed Parquet, deltas and the meta that names them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const COLLECTION: i64 = 7;
/// The partition `_default`.
pub const DEFAULT: i64 = 8;
/// The partition `eu`.
pub const EU: i64 = 9;

/// A backup of one collection in the making.
pub struct Made {
    pub dir: TempDir,
    pub meta: Value,
    segments: BTreeMap<i64, Vec<Value>>,
    l0: Vec<Value>,
    next_log: i64,
}

/// A field of the schema.
pub fn field(id: i64, name: &str, data_type: i64, more: Value) -> Value {
    let mut field = json!({"fieldID": id, "name": name, "data_type": data_type});
    let more = more.as_object().cloned().unwrap_or_default();
    field.as_object_mut().unwrap().extend(more);
    field
}

pub fn key() -> Value {
    field(100, "pk", 5, json!({"is_primary_key": true}))
}

pub fn dim(dim: usize) -> Value {
    json!({"type_params": [{"key": "dim", "value": dim.to_string()}]})
}

pub fn int64s(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// Bytes of one Parquet file; each column with its Milvus field id, or just a name.
pub fn parquet(columns: &[(&str, Option<i64>, ArrayRef)], group_rows: usize) -> Vec<u8> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, id, array)| {
            let field = Field::new(*name, array.data_type().clone(), true);
            let id = id.map(|id| ("PARQUET:field_id".to_owned(), id.to_string()));
            field.with_metadata(id.into_iter().collect::<std::collections::HashMap<_, _>>())
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.iter().map(|(.., array)| array.clone()).collect();
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Bytes of one binlog with one event for each payload, as a streaming writer leaves it: next_position is -1.
pub fn binlog(field: i64, data_type: i32, kind: u8, extras: &str, payloads: &[Vec<u8>]) -> Vec<u8> {
    let event = |kind: u8, body: &[u8]| {
        let mut event = 1u64.to_le_bytes().to_vec();
        event.push(kind);
        event.extend_from_slice(&(17 + body.len() as i32).to_le_bytes());
        event.extend_from_slice(&(-1i32).to_le_bytes());
        event.extend_from_slice(body);
        event
    };
    let mut body = Vec::new();
    for number in [COLLECTION, DEFAULT, 1, field, 1, 2] {
        body.extend_from_slice(&number.to_le_bytes());
    }
    body.extend_from_slice(&data_type.to_le_bytes());
    body.extend_from_slice(&[0x34, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10]);
    body.extend_from_slice(&(extras.len() as i32).to_le_bytes());
    body.extend_from_slice(extras.as_bytes());
    let mut bytes = vec![0xbc, 0xfa, 0xff, 0x00];
    bytes.extend(event(0, &body));
    for payload in payloads {
        bytes.extend(event(kind, &[&[0; 16][..], payload].concat()));
    }
    bytes
}

impl Made {
    pub fn new(fields: Vec<Value>) -> Self {
        let meta = json!({"name": "b", "milvus_version": "v2.6.1", "state_code": 2, "collection_backups": [{
            "collection_id": COLLECTION, "db_name": "default", "collection_name": "made",
            "schema": {"name": "made", "fields": fields},
        }]});
        let dir = tempfile::tempdir().unwrap();
        Made { dir, meta, segments: BTreeMap::new(), l0: Vec::new(), next_log: 1 }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("backup")
    }

    pub fn collection(&mut self) -> &mut Value {
        &mut self.meta["collection_backups"][0]
    }

    fn file(&mut self, relative: &str, bytes: &[u8]) -> i64 {
        let log = self.next_log;
        self.next_log += 1;
        let path = self.root().join("binlogs").join(relative).join(log.to_string());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        log
    }

    fn segment_meta(&mut self, partition: i64, segment: i64) -> &mut Value {
        let segments = self.segments.entry(partition).or_default();
        let found = segments.iter().position(|s| s["segment_id"] == segment);
        let at = found.unwrap_or_else(|| {
            segments.push(json!({"segment_id": segment, "partition_id": partition, "binlogs": [], "deltalogs": []}));
            segments.len() - 1
        });
        &mut segments[at]
    }

    /// Adds a log of a field or column group to a segment.
    pub fn log(&mut self, partition: i64, segment: i64, group: i64, bytes: &[u8]) {
        let log = self.file(&format!("insert_log/{COLLECTION}/{partition}/{segment}/{group}"), bytes);
        let binlogs = self.segment_meta(partition, segment)["binlogs"].as_array_mut().unwrap();
        let path = format!("files/insert_log/{COLLECTION}/{partition}/{segment}/{group}/{log}");
        let entry = json!({"log_path": path, "log_size": bytes.len()});
        match binlogs.iter_mut().find(|found| found["fieldID"] == group) {
            Some(found) => found["binlogs"].as_array_mut().unwrap().push(entry),
            None => binlogs.push(json!({"fieldID": group, "binlogs": [entry]})),
        }
    }

    /// Adds a segment of storage v1: each field (id, type, values) in a binlog of its own, rows of time `times`.
    pub fn segment(&mut self, partition: i64, segment: i64, times: &[i64], fields: &[(i64, i32, ArrayRef)]) {
        let system = [(0, 5, int64s(times)), (1, 5, int64s(times))];
        for (id, data_type, array) in system.iter().chain(fields) {
            let extras = if array.null_count() > 0 { r#"{"original_size":"1","nullable":true}"# } else { "{}" };
            let payload = parquet(&[("val", None, array.clone())], 1 << 20);
            self.log(partition, segment, *id, &binlog(*id, *data_type, 1, extras, &[payload]));
        }
    }

    /// Adds a delta log; of a segment of a partition, or of an L0 segment of all partitions.
    pub fn delta(&mut self, partition: Option<i64>, segment: i64, bytes: &[u8]) {
        let log = self.file(&format!("delta_log/{COLLECTION}/{}/{segment}", partition.unwrap_or(-1)), bytes);
        let deltalogs = json!([{"binlogs": [{"log_id": log}]}]);
        match partition {
            Some(partition) => self.segment_meta(partition, segment)["deltalogs"] = deltalogs,
            None => {
                self.l0.push(json!({"segment_id": segment, "partition_id": -1, "is_l0": true, "deltalogs": deltalogs}))
            }
        }
    }

    /// Writes the meta in one file and returns the backup.
    pub fn write(&mut self) -> PathBuf {
        let names = BTreeMap::from([(DEFAULT, "_default"), (EU, "eu")]);
        let partitions: Vec<Value> = names
            .iter()
            .map(|(id, name)| {
                let segments = self.segments.get(id).cloned().unwrap_or_default();
                json!({"partition_id": id, "partition_name": name, "collection_id": COLLECTION, "segment_backups": segments})
            })
            .collect();
        let l0 = self.l0.clone();
        self.collection()["partition_backups"] = json!(partitions);
        self.collection()["l0_segments"] = json!(l0);
        write_json(&self.root().join("meta/full_meta.json"), &self.meta);
        self.root()
    }
}

pub fn write_json(path: &Path, value: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value.to_string()).unwrap();
}

/// A delta log as Milvus 2.x writes it.
pub fn delta_v1(deletes: &[(i64, i64)]) -> Vec<u8> {
    let rows: Vec<String> = deletes.iter().map(|(pk, ts)| format!(r#"{{"pk":{pk},"ts":{ts},"pkType":5}}"#)).collect();
    let payload = parquet(&[("val", None, Arc::new(StringArray::from(rows)))], 1 << 20);
    binlog(-1, 20, 2, r#"{"original_size":"1"}"#, &[payload])
}

/// A delta log of two columns.
pub fn delta_v2(deletes: &[(i64, i64)]) -> Vec<u8> {
    let (keys, times): (Vec<i64>, Vec<i64>) = deletes.iter().copied().unzip();
    let payload = parquet(&[("pk", None, int64s(&keys)), ("ts", None, int64s(&times))], 1 << 20);
    binlog(-1, 5, 2, r#"{"original_size":"1","version":"MULTI_FIELD"}"#, &[payload])
}
