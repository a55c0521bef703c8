//! Every live record of the stored dump, compared with what pymilvus answered.

use serde_json::{Value, json};
use tranship_collection::{IdKind, IdKinds};
use tranship_connector::Count;
use tranship_testkit::reading::{Outcome, Record, Vector};

use crate::support::{Dump, STRPK, TYPED, list, read};

/// Compares all records of `typed`.
pub fn assert_typed(outcome: &Outcome, truth: &[Value]) {
    assert_eq!((outcome.rejects.len(), outcome.records.len()), (0, truth.len()));
    let found = outcome.by_id();
    for row in truth {
        let id = row["pk"].to_string();
        let record: &Record = found.get(&(None, id.as_str())).unwrap_or_else(|| panic!("{id} is missing"));
        assert_eq!(record.kind, IdKind::Integer);
        let wanted: Vec<f32> = row["v"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(record.dense("").unwrap()), bits(&wanted), "vector of {id}");
        let mut expected = row.clone();
        for key in ["pk", "v", "collection"] {
            expected.as_object_mut().unwrap().remove(key);
        }
        assert_eq!(record.json(), expected, "metadata of {id}");
    }
}

/// Compares all records of `strpk`.
pub fn assert_strpk(outcome: &Outcome, truth: &[Value]) {
    assert_eq!((outcome.rejects.len(), outcome.records.len()), (0, truth.len()));
    let found = outcome.by_id();
    for row in truth {
        let id = row["pk"].as_str().unwrap();
        let record = found.get(&(None, id)).unwrap_or_else(|| panic!("{id} is missing"));
        assert_eq!((record.kind, record.json()), (IdKind::Text, Value::Null));
        assert_eq!(record.vectors[""], Vector::Bits(bytes(&row["bv"])), "vector of {id}");
    }
}

/// A binary vector, however the truth spells it.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(hex) => {
            (0..hex.len()).step_by(2).map(|n| u8::from_str_radix(&hex[n..n + 2], 16).unwrap()).collect()
        }
        other => other.as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect(),
    }
}

#[test]
fn all_rows_of_typed_equal_what_milvus_answered() {
    let dump = Dump::new();
    let outcome = dump.read("typed").unwrap();
    assert_typed(&outcome, &dump.truth("typed"));
    assert_eq!((outcome.schema.ids, outcome.schema.namespaced), (IdKinds::Integer, false));
    let ledger = outcome.ledger;
    assert_eq!(ledger.raw, Some(ledger.live.unwrap() + ledger.deleted + ledger.superseded));
    assert_eq!(ledger.live, Some(2717));
    assert!(ledger.deleted > 0);
}

#[test]
fn all_rows_with_text_keys_and_bits_equal_what_milvus_answered() {
    let dump = Dump::new();
    let outcome = dump.read("strpk").unwrap();
    assert_strpk(&outcome, &dump.truth("strpk"));
    assert_eq!((outcome.schema.ids, outcome.ledger.live), (IdKinds::Text, Some(298)));
}

#[test]
fn collections_are_listed_with_and_without_their_names() {
    let dump = Dump::new();
    let named = list(&dump.root, &[("schema", dump.schema().to_str().unwrap())]).unwrap();
    let names: Vec<&str> = named.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["strpk", "typed"]);
    let ids = list(&dump.root, &[]).unwrap();
    let names: Vec<&str> = ids.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, [TYPED.to_string(), STRPK.to_string()]);
    assert!(matches!(ids[0].records, Count::UpTo(rows) if rows >= 2717));
    let fields = &ids[0].schema.vendor["milvus"]["fields"];
    assert_eq!(fields[1], json!({"id": 101, "name": "field_101", "data_type": "FloatVector", "dim": 16}));
    assert!(ids[0].notes.iter().any(|note| note.contains("-o schema=FILE")));
}

#[test]
fn without_names_the_key_must_be_named_and_fields_are_called_by_their_ids() {
    let dump = Dump::new();
    let collection = TYPED.to_string();
    let refused = read(&dump.root, &collection, &[]).unwrap_err();
    assert_eq!(refused.kind().exit_code(), 2);
    let told = crate::support::told(&refused);
    assert!(told.contains("-o schema=FILE") && told.contains("field_100"), "{told}");
    let mut options = crate::support::options(&collection, &[]);
    options.id_column = Some("field_100".to_owned());
    let outcome = crate::support::read_with(&dump.root, &options).unwrap();
    assert_eq!(outcome.records.len(), 2717);
    let record = outcome.records.iter().find(|record| record.id == "4").unwrap();
    let truth = &dump.truth("typed").into_iter().find(|row| row["pk"] == 4).unwrap();
    assert_eq!((&record.json()["field_108"], &record.json()["field_109"]), (&truth["j"], &truth["a"]));
    assert_eq!(record.json()["field_110"], json!({"dyn": "dy4"}));
}

#[test]
fn without_names_a_field_whose_logs_are_missing_is_damage_and_not_null() {
    let dump = Dump::new();
    let collection = dump.root.join("insert_log").join(TYPED.to_string());
    let below = |dir: &std::path::Path| std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    let segment = below(&below(&collection));
    std::fs::remove_dir_all(segment.join("102")).unwrap();
    let mut options = crate::support::options(&TYPED.to_string(), &[]);
    options.id_column = Some("field_100".to_owned());
    // Unless it is the only segment, its fields are still known from the others.
    let segments = std::fs::read_dir(below(&collection)).unwrap().count();
    match crate::support::read_with(&dump.root, &options) {
        Err(error) => assert!(crate::support::told(&error).contains("no log of field 102"), "{error}"),
        Ok(_) => assert_eq!(segments, 1),
    }
}

#[test]
fn a_dynamic_field_whose_logs_are_missing_is_told_with_its_rows() {
    let dump = Dump::new();
    assert!(dump.read("typed").unwrap().notes.iter().all(|note| !note.contains("$meta")));
    let collection = dump.root.join("insert_log").join(TYPED.to_string());
    let below = |dir: &std::path::Path| std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_dir_all(below(&below(&collection)).join("110")).unwrap();
    let outcome = dump.read("typed").unwrap();
    let told = |note: &String| note.contains("hold no log of field `$meta`") && note.contains("rows get nothing");
    assert!(outcome.notes.iter().any(told), "{:?}", outcome.notes);
}

#[test]
fn an_older_row_is_replaced_and_kept_on_request() {
    let dump = Dump::new();
    let schema = dump.schema();
    let outcome =
        read(&dump.root, "typed", &[("schema", schema.to_str().unwrap()), ("duplicates", "keep-all")]).unwrap();
    let newest = dump.read("typed").unwrap();
    assert_eq!(outcome.records.len() as u64, newest.ledger.live.unwrap() + newest.ledger.superseded);
    assert_eq!(outcome.ledger.superseded, 0);
}
