//! Variants that no dump at hand has: packed Parquet, L0 deltas, nullable and narrow vectors, late fields, partitions.

use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, ListBuilder};
use arrow_array::{ArrayRef, BinaryArray, FixedSizeBinaryArray, Float32Array, Int32Array, StringArray};
use serde_json::{Value, json};
use tranship_collection::{Element, VectorKind};
use tranship_testkit::reading::{Outcome, Vector};

use crate::made::{COLLECTION, DEFAULT, EU, Made, binlog, delta_v1, delta_v2, dim, field, int64s, key, parquet};
use crate::support::{read, read_with};

fn fixed(width: i32, values: &[&[u8]]) -> ArrayRef {
    assert!(values.iter().all(|value| value.len() == width as usize));
    Arc::new(FixedSizeBinaryArray::try_from_iter(values.iter()).unwrap())
}

fn binary(values: &[Option<&[u8]>]) -> ArrayRef {
    Arc::new(BinaryArray::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn sparse(pairs: &[(u32, f32)]) -> Vec<u8> {
    pairs.iter().flat_map(|(index, value)| [index.to_le_bytes(), value.to_le_bytes()].concat()).collect()
}

/// Ids with their namespaces, in order.
fn ids(outcome: &Outcome) -> Vec<(Option<&str>, &str)> {
    let mut ids: Vec<_> = outcome.records.iter().map(|r| (r.namespace.as_deref(), r.id.as_str())).collect();
    ids.sort_by_key(|(namespace, id)| (*namespace, id.parse::<i64>().unwrap()));
    ids
}

fn one_vector() -> Vec<Value> {
    vec![key(), field(101, "v", 101, dim(2))]
}

fn vectors(count: usize) -> ArrayRef {
    let rows: Vec<Vec<u8>> = (0..count).map(|row| floats(&[row as f32, 0.5])).collect();
    fixed(8, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[test]
fn every_vector_type_is_read_and_null_is_no_vector() {
    let nullable = |mut more: Value| {
        more["nullable"] = json!(true);
        more
    };
    let mut made = Made::new(vec![
        key(),
        field(101, "half", 102, dim(2)),
        field(102, "brain", 103, dim(1)),
        field(103, "byte", 105, dim(3)),
        field(104, "bits", 100, dim(16)),
        field(105, "terms", 104, nullable(json!({}))),
        field(106, "maybe", 101, nullable(dim(2))),
    ]);
    let (terms, some) = (sparse(&[(3, 0.5), (4_000_000_000, -2.0)]), floats(&[1.0, -0.0]));
    let columns = [
        (100, 5, int64s(&[1, 2])),
        (101, 102, fixed(4, &[&[0, 0x3c, 0, 0xc0], &[0, 0, 0, 0]])),
        (102, 103, fixed(2, &[&[0x80, 0x3f], &[0, 0]])),
        (103, 105, fixed(3, &[&[1, 0xff, 0x80], &[0, 0, 0]])),
        (104, 100, fixed(2, &[&[0xa5, 1], &[0, 0]])),
        (105, 104, binary(&[Some(&terms), None])),
        (106, 101, binary(&[None, Some(&some)])),
    ];
    made.segment(DEFAULT, 1, &[10, 11], &columns);
    let outcome = read(&made.write(), "", &[]).unwrap();
    let found = outcome.by_id();
    let (first, second) = (found[&(None, "1")], found[&(None, "2")]);
    assert_eq!(first.dense("half"), Some(&[1.0, -2.0][..]));
    assert_eq!(first.dense("brain"), Some(&[1.0][..]));
    assert_eq!(first.dense("byte"), Some(&[1.0, -1.0, -128.0][..]));
    assert_eq!(first.vectors["bits"], Vector::Bits(vec![0xa5, 1]));
    assert_eq!(first.vectors["terms"], Vector::Sparse(vec![3, 4_000_000_000], vec![0.5, -2.0]));
    assert_eq!((first.dense("maybe"), second.vectors.get("terms")), (None, None));
    assert_eq!(second.dense("maybe").unwrap()[1].to_bits(), (-0.0f32).to_bits());
    let elements: Vec<_> = outcome.schema.vectors.iter().map(|v| (v.name.as_str(), v.kind, v.element)).collect();
    assert_eq!(elements[2], ("byte", VectorKind::Dense, Element::I8));
    assert_eq!(elements[3], ("half", VectorKind::Dense, Element::F16));
}

#[test]
fn scalars_keep_their_types_and_null_stays_null() {
    let plain = |id, name, data_type| field(id, name, data_type, json!({"nullable": true}));
    let mut made = Made::new(vec![
        key(),
        plain(101, "f", 10),
        plain(102, "i", 4),
        plain(103, "t", 26),
        plain(104, "g", 24),
        plain(105, "text", 25),
        plain(106, "j", 23),
        field(107, "late", 10, json!({"default_value_base64": "JQAAoD8="})),
        plain(108, "later", 5),
        field(109, "$meta", 23, json!({"is_dynamic": true})),
    ]);
    let columns = [
        (100, 5, int64s(&[1, 2])),
        (101, 10, Arc::new(Float32Array::from(vec![Some(0.1), None])) as ArrayRef),
        (102, 4, Arc::new(Int32Array::from(vec![Some(-3), None]))),
        (103, 26, int64s(&[951_782_400_500_000, 0])),
        (104, 24, binary(&[Some(b"\x01\x02"), None])),
        (105, 25, texts(&["é", ""])),
        (106, 23, binary(&[Some(br#"{"x": 1.50, "y": [null]}"#), None])),
        (109, 23, binary(&[Some(br#"{"d": 1, "f": "hidden", "pk": 5}"#), Some(b"{}")])),
    ];
    made.segment(DEFAULT, 1, &[10, 11], &columns);
    let outcome = read(&made.write(), "", &[]).unwrap();
    let found = outcome.by_id();
    let expected = r#"{"f":0.10000000149011612,"i":-3,"t":{"$time":"2000-02-29T00:00:00.5Z"},"g":{"$bytes":"AQI="},"text":"é","j":{"x": 1.50, "y": [null]},"late":1.25,"later":null,"d":1,"$meta":{"f":"hidden","pk":5}}"#;
    assert_eq!(found[&(None, "1")].metadata.as_deref(), Some(expected));
    let nulls = json!({"f": null, "i": null, "t": {"$time": "1970-01-01T00:00:00Z"}, "g": null, "text": "", "j": null,
                       "late": 1.25, "later": null});
    assert_eq!(found[&(None, "2")].json(), nulls);
}

#[test]
fn json_that_is_none_is_a_reject_with_its_place() {
    let mut made = Made::new(vec![key(), field(101, "j", 23, json!({})), field(102, "terms", 104, json!({}))]);
    let good = sparse(&[(1, 1.0)]);
    let falling = sparse(&[(2, 1.0), (1, 1.0)]);
    let columns = [
        (100, 5, int64s(&[1, 2, 3, 4, 5])),
        (101, 23, binary(&[Some(b"{"), Some(b"\xff"), Some(br#"{"a":1,"a":2}"#), Some(b"1"), Some(b"1")])),
        (102, 104, binary(&[Some(&good), Some(&good), Some(&good), Some(&falling), Some(b"1234567")])),
    ];
    made.segment(DEFAULT, 1, &[10; 5], &columns);
    let outcome = read(&made.write(), "", &[]).unwrap();
    let rejected: Vec<_> = outcome.rejects.iter().map(|reject| reject.id.as_deref().unwrap()).collect();
    assert_eq!((rejected, outcome.records.len()), (vec!["1", "2", "3", "4", "5"], 0));
    assert!(outcome.rejects[3].place.ends_with("row 3") && outcome.rejects[3].place.contains("/100/"));
}

#[test]
fn packed_parquet_is_read_by_field_ids_across_groups_and_files() {
    for by_name in [false, true] {
        let mut made = Made::new(vec![
            key(),
            field(101, "v", 101, dim(2)),
            field(102, "s", 21, json!({})),
            field(103, "m", 106, json!({"element_type": 102, "type_params": [{"key": "dim", "value": "2"}]})),
        ]);
        let column = |id: i64, array: ArrayRef| (id.to_string(), (!by_name).then_some(id), array);
        let file = |columns: &[(String, Option<i64>, ArrayRef)]| {
            let named: Vec<_> = columns
                .iter()
                .map(|(name, id, array)| (if by_name { name.as_str() } else { "c" }, *id, array.clone()))
                .enumerate()
                .map(|(n, (name, id, array))| (if by_name { name.to_owned() } else { format!("c{n}") }, id, array))
                .collect();
            parquet(&named.iter().map(|(n, id, a)| (n.as_str(), *id, a.clone())).collect::<Vec<_>>(), 7)
        };
        let mut multi = ListBuilder::new(FixedSizeBinaryBuilder::new(4));
        for row in 0..50u8 {
            for _ in 0..row % 3 {
                multi.values().append_value([row, 0x3c, 0, 0xc0]).unwrap();
            }
            multi.append(true);
        }
        let multi: ArrayRef = Arc::new(multi.finish());
        let names: Vec<String> = (0..50).map(|row| format!("s{row}")).collect();
        let names = texts(&names.iter().map(String::as_str).collect::<Vec<_>>());
        // Group 0 in two files, the vectors cut elsewhere.
        for (start, len) in [(0, 20), (20, 30)] {
            let keys: Vec<i64> = (start..start + len).collect();
            let slice = |array: &ArrayRef| array.slice(start as usize, len as usize);
            let columns = [
                column(0, int64s(&keys)),
                column(1, int64s(&keys)),
                column(100, int64s(&keys)),
                column(102, slice(&names)),
            ];
            made.log(DEFAULT, 1, 0, &file(&columns));
        }
        for (start, len) in [(0, 33), (33, 17)] {
            made.log(DEFAULT, 1, 101, &file(&[column(101, vectors(50).slice(start, len))]));
        }
        made.log(DEFAULT, 1, 103, &file(&[column(103, multi)]));
        let deletes = [("pk", None, int64s(&[7, 8])), ("ts", None, int64s(&[8, 8]))];
        made.delta(Some(DEFAULT), 1, &parquet(&deletes, 100));
        let outcome = read(&made.write(), "", &[]).unwrap();
        assert_eq!(outcome.records.len(), 49, "row 7 is older than its delete, row 8 is not");
        for record in &outcome.records {
            let row: i64 = record.id.parse().unwrap();
            assert_eq!(record.dense("v"), Some(&[row as f32, 0.5][..]));
            assert_eq!(record.json(), json!({"s": format!("s{row}")}));
            let Vector::Multi(values) = &record.vectors["m"] else { panic!("no multivector") };
            assert_eq!(values.len() as i64, row % 3 * 2);
            assert!(values.chunks(2).all(|pair| pair[1] == -2.0 && pair[0] >= 1.0));
        }
    }
}

#[test]
fn deletes_hit_older_rows_of_their_partition_and_l0_deletes_all_partitions() {
    let mut made = Made::new(one_vector());
    for (partition, segment) in [(DEFAULT, 1), (EU, 2)] {
        let columns = [(100, 5, int64s(&[1, 2, 3, 4])), (101, 101, vectors(4))];
        made.segment(partition, segment, &[10, 10, 10, 20], &columns);
    }
    made.delta(Some(EU), 2, &delta_v1(&[(1, 11)]));
    made.delta(None, 30, &delta_v2(&[(2, 11), (3, 10), (4, 20)]));
    made.delta(None, 31, &delta_v1(&[(99, 50)]));
    let outcome = read(&made.write(), "", &[]).unwrap();
    let expected = [(None, "1"), (None, "3"), (None, "4"), (Some("eu"), "3"), (Some("eu"), "4")];
    assert_eq!(ids(&outcome), expected);
    assert!(outcome.schema.namespaced);
    assert_eq!((outcome.ledger.raw, outcome.ledger.deleted), (Some(8), 3));
}

#[test]
fn the_newest_row_of_a_key_lives_in_each_partition() {
    let mut made = Made::new(one_vector());
    let rows = |keys: &[i64]| [(100, 5, int64s(keys)), (101, 101, vectors(keys.len()))];
    made.segment(DEFAULT, 1, &[10, 12], &rows(&[1, 1]));
    made.segment(DEFAULT, 2, &[11], &rows(&[1]));
    made.segment(EU, 3, &[9], &rows(&[1]));
    let root = made.write();
    let outcome = read(&root, "", &[]).unwrap();
    assert_eq!(ids(&outcome), [(None, "1"), (Some("eu"), "1")]);
    assert_eq!(outcome.records.iter().find(|r| r.namespace.is_none()).unwrap().dense(""), Some(&[1.0, 0.5][..]));
    assert_eq!(outcome.ledger.superseded, 2);
    assert_eq!(read(&root, "", &[("duplicates", "keep-all")]).unwrap().records.len(), 4);
}

#[test]
fn partitions_of_a_partition_key_are_no_namespaces() {
    let mut fields = one_vector();
    fields.push(field(102, "tenant", 21, json!({"is_partition_key": true})));
    let mut made = Made::new(fields);
    for (partition, segment, time) in [(DEFAULT, 1, 10), (EU, 2, 20)] {
        let columns = [(100, 5, int64s(&[1])), (101, 101, vectors(1)), (102, 21, texts(&["t"]))];
        made.segment(partition, segment, &[time], &columns);
    }
    let outcome = read(&made.write(), "", &[]).unwrap();
    assert!(!outcome.schema.namespaced);
    assert_eq!((ids(&outcome), outcome.ledger.superseded), (vec![(None, "1")], 1));
}

#[test]
fn raw_packed_parquet_needs_a_schema_and_raw_partitions_may_be_named() {
    let mut made = Made::new(one_vector());
    for (partition, segment, first) in [(DEFAULT, 1, 0), (EU, 2, 10)] {
        let keys: Vec<i64> = (first..first + 3).collect();
        let column = |id: i64, array: ArrayRef| ("c", Some(id), array);
        let system = [("a", Some(0), int64s(&keys)), ("b", Some(1), int64s(&keys)), column(100, int64s(&keys))];
        made.log(partition, segment, 0, &parquet(&system, 100));
        made.log(partition, segment, 101, &parquet(&[column(101, vectors(3))], 100));
    }
    made.write();
    let tree = made.root().join("binlogs");
    let mut options = crate::support::options("", &[]);
    options.id_column = Some("100".to_owned());
    assert_eq!(read_with(&tree, &options).unwrap_err().kind().exit_code(), 2);
    let schema = made.dir.path().join("schema.json");
    let described = json!({"collection_name": "made", "collection_id": COLLECTION, "fields": [
        {"field_id": 100, "name": "pk", "type": 5, "is_primary": true},
        {"field_id": 101, "name": "v", "type": "FLOAT_VECTOR", "params": {"dim": 2}},
    ]});
    std::fs::write(&schema, described.to_string()).unwrap();
    let read_it = || read(&tree, "made", &[("schema", schema.to_str().unwrap())]).unwrap();
    let outcome = read_it();
    assert_eq!(outcome.records.iter().filter(|r| r.namespace.as_deref() == Some("9")).count(), 3);
    assert!(outcome.notes.iter().any(|note| note.contains("partitions are called by their ids")));
    let mut named = described;
    named["partitions"] = json!({"8": "_default", "9": "eu"});
    std::fs::write(&schema, named.to_string()).unwrap();
    assert_eq!(read_it().records.iter().filter(|r| r.namespace.as_deref() == Some("eu")).count(), 3);
}

#[test]
fn dynamic_keys_are_found_where_a_field_was_added_behind_them() {
    let mut made = Made::new(one_vector());
    let columns = [
        (100, 5, int64s(&[1])),
        (101, 101, vectors(1)),
        (102, 23, binary(&[Some(br#"{"d":1}"#)])),
        (103, 5, int64s(&[7])),
    ];
    made.segment(DEFAULT, 1, &[10], &columns);
    made.write();
    let schema = made.dir.path().join("schema.json");
    let described = json!({"collection_name": "made", "collection_id": COLLECTION, "fields": [
        {"field_id": 100, "name": "pk", "type": 5, "is_primary": true},
        {"field_id": 101, "name": "v", "type": "FLOAT_VECTOR", "params": {"dim": 2}},
        {"field_id": 103, "name": "late", "type": 5, "nullable": true},
    ], "enable_dynamic_field": true});
    std::fs::write(&schema, described.to_string()).unwrap();
    let outcome = read(&made.root().join("binlogs"), "made", &[("schema", schema.to_str().unwrap())]).unwrap();
    assert_eq!(outcome.records[0].metadata.as_deref(), Some(r#"{"late":7,"d":1}"#));
    assert!(outcome.notes.iter().all(|note| !note.contains("fields")), "{:?}", outcome.notes);
}

#[test]
fn documents_come_from_columns_of_bytes_and_from_defaults() {
    let fields = [
        one_vector(),
        vec![field(102, "t", 21, json!({})), field(103, "u", 21, json!({"default_value_base64": "MgJoaQ=="}))],
    ];
    let mut made = Made::new(fields.concat());
    let columns =
        [(100, 5, int64s(&[1, 2])), (101, 101, vectors(2)), (102, 21, binary(&[Some("é".as_bytes()), Some(b"\xff")]))];
    made.segment(DEFAULT, 1, &[10, 11], &columns);
    let root = made.write();
    let mut options = crate::support::options("", &[]);
    options.document_column = Some("t".to_owned());
    let outcome = read_with(&root, &options).unwrap();
    assert_eq!((outcome.records.len(), outcome.records[0].document.as_deref()), (1, Some("é")));
    assert!(outcome.rejects[0].reason.contains("the document"), "{}", outcome.rejects[0].reason);
    options.document_column = Some("u".to_owned());
    let outcome = read_with(&root, &options).unwrap();
    assert_eq!(outcome.records[0].document.as_deref(), Some("hi"));
    let told = |note: &String| {
        note.starts_with("1 segments hold no log of field `u`") && note.contains("2 rows get the default \"hi\"")
    };
    assert!(outcome.notes.iter().any(told), "{:?}", outcome.notes);
}

#[test]
fn several_events_of_one_binlog_follow_each_other() {
    let mut made = Made::new(vec![key()]);
    let payload = |keys: &[i64]| parquet(&[("val", None, int64s(keys))], 2);
    for (id, data_type) in [(0, 5), (1, 5), (100, 5)] {
        made.log(DEFAULT, 1, id, &binlog(id, data_type, 1, "{}", &[payload(&[1, 2, 3]), payload(&[4, 5])]));
        made.log(DEFAULT, 1, id, &binlog(id, data_type, 1, "", &[payload(&[6])]));
    }
    let outcome = read(&made.write(), "", &[]).unwrap();
    assert_eq!(outcome.records.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(outcome.schema.vectors, []);
}

#[test]
fn a_text_field_may_be_the_document() {
    let mut made = Made::new([one_vector(), vec![field(102, "body", 21, json!({}))]].concat());
    made.segment(DEFAULT, 1, &[1], &[(100, 5, int64s(&[1])), (101, 101, vectors(1)), (102, 21, texts(&["hello"]))]);
    let root = made.write();
    let mut options = crate::support::options("", &[]);
    options.document_column = Some("body".to_owned());
    let outcome = read_with(&root, &options).unwrap();
    let record = &outcome.records[0];
    assert_eq!((record.document.as_deref(), record.metadata.as_deref()), (Some("hello"), None));
    options.document_column = Some("none".to_owned());
    let error = read_with(&root, &options).unwrap_err();
    assert_eq!((error.kind().exit_code(), error.next_step()), (2, Some("text fields are: body")));
}
