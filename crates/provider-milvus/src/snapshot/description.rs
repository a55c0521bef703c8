//! Descriptions of collections as people and tools write them: JSON objects with many spellings of the same keys.
//!
//! | meaning | keys |
//! |---|---|
//! | fields | `fields`, `struct_array_fields` (their fields are called `struct[field]`) |
//! | id of a field | `fieldID`, `field_id`, `id`; else 100, 101, .. in order |
//! | type | `data_type`, `type`, `dtype`: a number or a name |
//! | primary key | `is_primary_key`, `is_primary` |
//! | dim, max_length, max_capacity | in the field, in its `params`, or in `type_params` [{key, value}] |
//! | dynamic field | a field with `is_dynamic`; or `enable_dynamic_field`, then `$meta` has the first free id |
//!
//! Numbers may stand as text; integers are never taken through a float. Errors: damaged or not recognised, by the
//! name of the field. Source: milvus-backup `core/proto/backup.proto` as Go's encoding/json writes it; pymilvus
//! `CollectionSchema.to_dict` and `MilvusClient.describe_collection`.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use serde_json::{Map, Value};
use tranship_connector::{Error, Result};
use tranship_container::protobuf::{self, Message};

use super::segment::FIRST_USER_FIELD;
use crate::dialect::{DYNAMIC_FIELD, DataType, Field, Index};

/// The integer under one of `keys`.
pub fn integer(object: &Value, keys: &[&str]) -> Option<i64> {
    match get(object, keys)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The text under one of `keys`.
pub fn text<'v>(object: &'v Value, keys: &[&str]) -> Option<&'v str> {
    get(object, keys)?.as_str()
}

/// True if a flag is set under one of `keys`.
pub fn flag(object: &Value, keys: &[&str]) -> bool {
    get(object, keys).and_then(Value::as_bool).unwrap_or(false)
}

/// The elements of the list under `key`; none if there is none.
pub fn list<'v>(object: &'v Value, key: &str) -> &'v [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A list of `{key, value}` as a map.
pub fn pairs(object: &Value, key: &str) -> Map<String, Value> {
    let entry = |pair: &Value| Some((text(pair, &["key"])?.to_owned(), pair.get("value")?.clone()));
    list(object, key).iter().filter_map(entry).collect()
}

fn get<'v>(object: &'v Value, keys: &[&str]) -> Option<&'v Value> {
    keys.iter().find_map(|key| object.get(key)).filter(|value| !value.is_null())
}

/// An index, as milvus-backup (`params` a map) or as pymilvus' describe_index (parameters beside the names) tells it.
pub fn index(described: &Value) -> Index {
    let own = || described.as_object().cloned().unwrap_or_default();
    let params = match described.get("params").or_else(|| described.get("index_params")) {
        Some(Value::Object(params)) => params.clone(),
        Some(Value::Array(_)) => pairs(described, "params"),
        _ => own(),
    };
    let plain = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let mut params: BTreeMap<String, String> = params.into_iter().map(|(key, value)| (key, plain(value))).collect();
    if let Some(metric) = text(described, &["metric_type"]) {
        params.entry("metric_type".to_owned()).or_insert_with(|| metric.to_owned());
    }
    Index {
        field: text(described, &["field_name"]).unwrap_or_default().to_owned(),
        kind: text(described, &["index_type"]).unwrap_or_default().to_owned(),
        params,
    }
}

/// The user fields of a collection.
pub fn fields(schema: &Value) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    for described in list(schema, "fields") {
        push(described, None, &mut fields)?;
    }
    for outer in list(schema, "struct_array_fields") {
        let name = text(outer, &["name"]).unwrap_or_default();
        for described in list(outer, "fields") {
            push(described, Some(name), &mut fields)?;
        }
    }
    if flag(schema, &["enable_dynamic_field"]) && !fields.iter().any(|field| field.dynamic) {
        match fields.iter_mut().find(|field| field.name == DYNAMIC_FIELD) {
            Some(field) => field.dynamic = true,
            None => {
                // Fields that were added later, and those of structs, have ids behind it.
                let taken: BTreeSet<i64> = fields.iter().map(|field| field.id).collect();
                let id = (FIRST_USER_FIELD..i64::MAX).find(|id| !taken.contains(id)).unwrap_or(i64::MAX);
                fields.push(Field { dynamic: true, ..Field::new(id, DYNAMIC_FIELD, DataType::Json) });
            }
        }
    }
    Ok(fields)
}

fn push(described: &Value, outer: Option<&str>, fields: &mut Vec<Field>) -> Result<()> {
    // Milvus keeps these names for itself. Go leaves out the id of RowID, for it is zero.
    if matches!(text(described, &["name"]), Some("RowID" | "Timestamp")) {
        return Ok(());
    }
    let next = i64::try_from(fields.len()).unwrap_or(0) + FIRST_USER_FIELD;
    fields.push(field(described, outer, next)?);
    Ok(())
}

fn field(described: &Value, outer: Option<&str>, next_id: i64) -> Result<Field> {
    let name = text(described, &["name"])
        .ok_or_else(|| Error::damaged("a field of the Milvus schema has no name").hint("check the schema"))?;
    let named = |error: Error| error.with("field", name);
    let data_type = get(described, &["data_type", "type", "dtype"]);
    let data_type = data_type.ok_or_else(|| named(Error::damaged("a field of the Milvus schema has no type")))?;
    let element = get(described, &["element_type"]).map(data_type_of).transpose();
    let full_name = match outer {
        Some(outer) if !name.contains('[') => format!("{outer}[{name}]"),
        _ => name.to_owned(),
    };
    let id = integer(described, &["fieldID", "field_id", "id"]).unwrap_or(next_id);
    let mut field = Field::new(
        id,
        full_name,
        data_type_of(data_type)
            .map_err(named)?
            .ok_or_else(|| named(Error::damaged("a field of the Milvus schema is of type 0, which is none")))?,
    );
    field.element_type = element.map_err(named)?.flatten();
    field.primary = flag(described, &["is_primary_key", "is_primary"]);
    field.auto_id = flag(described, &["autoID", "auto_id"]);
    field.partition_key = flag(described, &["is_partition_key"]);
    field.dynamic = flag(described, &["is_dynamic"]);
    field.nullable = flag(described, &["nullable"]);
    let number = |key: &str| parameter(described, key).and_then(|n| u64::try_from(n).ok());
    field.dim = number("dim").and_then(|dim| usize::try_from(dim).ok());
    field.max_length = number("max_length");
    field.max_capacity = number("max_capacity");
    field.default = default_of(described).map_err(named)?;
    Ok(field)
}

/// A parameter of a field, wherever it stands.
fn parameter(described: &Value, key: &str) -> Option<i64> {
    let in_params = described.get("params").and_then(|params| integer(params, &[key]));
    let listed = || pairs(described, "type_params").get(key).cloned();
    integer(described, &[key]).or(in_params).or_else(|| integer(&serde_json::json!({ "value": listed()? }), &["value"]))
}

/// A type as number or name; 0 is none.
fn data_type_of(value: &Value) -> Result<Option<DataType>> {
    match value {
        Value::Number(number) if number.as_i64() == Some(0) => Ok(None),
        Value::Number(number) => DataType::of_number(number.as_i64().unwrap_or(-1)).map(Some),
        Value::String(text) => match text.parse::<i64>() {
            Ok(0) => Ok(None),
            Ok(number) => DataType::of_number(number).map(Some),
            Err(_) => DataType::of_name(text.strip_prefix("DataType.").unwrap_or(text)).map(Some),
        },
        other => Err(Error::damaged(format!("{other} is no data type"))),
    }
}

/// The default value: a protobuf `ValueField` in base64.
fn default_of(described: &Value) -> Result<Option<Value>> {
    let Some(encoded) = text(described, &["default_value_base64"]).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let bad = || Error::damaged("default_value_base64 is no value");
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| bad())?;
    // 1 bool | 2 int | 3 long | 4 float | 5 double | 6 string | 7 bytes
    let Some(field) = Message::new(&bytes).next() else { return Ok(None) };
    Ok(Some(match field? {
        (1, value) => (value.varint()? != 0).into(),
        (2 | 3, value) => value.varint()?.cast_signed().into(),
        (4, protobuf::Value::Fixed32(bits)) => f64::from(f32::from_le_bytes(bits)).into(),
        (5, protobuf::Value::Fixed64(bits)) => f64::from_le_bytes(bits).into(),
        (6, value) => std::str::from_utf8(value.bytes()?).map_err(|_| bad())?.into(),
        // The default of a JSON field is its text.
        (7, value) => serde_json::from_slice(value.bytes()?).map_err(|_| bad())?,
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_understood_as_milvus_backup_and_as_pymilvus_write_them() {
        let backup = json!({"fields": [
            {"name": "RowID", "data_type": 5},
            {"fieldID": 1, "name": "Timestamp", "data_type": 5},
            {"fieldID": 100, "name": "pk", "is_primary_key": true, "data_type": 5, "autoID": true},
            {"fieldID": 101, "name": "v", "data_type": 101, "type_params": [{"key": "dim", "value": "16"}]},
            {"fieldID": 102, "name": "a", "data_type": 22, "element_type": 21, "nullable": true},
            {"fieldID": 103, "name": "n", "data_type": 3, "default_value_base64": "EAc="},
            {"fieldID": 104, "name": "$meta", "data_type": 23, "is_dynamic": true},
        ], "enable_dynamic_field": true});
        let found = fields(&backup).unwrap();
        assert_eq!(found.iter().map(|f| f.id).collect::<Vec<_>>(), [100, 101, 102, 103, 104]);
        assert!(found[0].primary && found[0].auto_id && found[2].nullable && found[4].dynamic);
        assert_eq!((found[1].dim, found[2].element_type), (Some(16), Some(DataType::VarChar)));
        assert_eq!(found[3].default, Some(json!(7)));
        let pymilvus = json!({"fields": [
            {"name": "pk", "type": 21, "is_primary": true, "params": {"max_length": 64}},
            {"name": "bv", "type": "BINARY_VECTOR", "params": {"dim": 64}},
        ], "enable_dynamic_field": true});
        let found = fields(&pymilvus).unwrap();
        assert_eq!((found[0].max_length, found[1].dim, found[1].id), (Some(64), Some(64), 101));
        assert_eq!((found[2].name.as_str(), found[2].id, found[2].dynamic), ("$meta", 102, true));
    }

    #[test]
    fn the_dynamic_field_lies_before_fields_that_were_added_later() {
        let pymilvus = json!({"fields": [
            {"field_id": 100, "name": "pk", "type": 5, "is_primary": true},
            {"field_id": 101, "name": "v", "type": 101, "params": {"dim": 64}},
            {"field_id": 103, "name": "late", "type": 5, "nullable": true},
        ], "enable_dynamic_field": true});
        let found = fields(&pymilvus).unwrap();
        assert_eq!((found[3].id, found[3].dynamic), (102, true));
    }

    #[test]
    fn fields_that_make_no_sense_are_named() {
        for field in [json!({"name": "x"}), json!({"name": "x", "type": 99}), json!({"name": "x", "type": []})] {
            assert!(fields(&json!({ "fields": [field] })).unwrap_err().to_string().contains('x'));
        }
        assert!(fields(&json!({"fields": [{"type": 5}]})).is_err());
    }
}
