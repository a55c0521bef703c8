//! Decodes the operations of a write-ahead log.
//!
//! An entry is a CBOR map of one operation, named by its key, and on servers a `clock_tag`:
//! ```text
//! upsert_points             {points: [{id, vector, payload}]} | {batch: {ids, vectors, payloads}}
//! upsert_points_conditional {points_op: as above, condition: filter, update_mode?}
//! sync_points               {from_id, to_id, points}
//! upsert_points_raw, sync_points_raw      points whose vectors are in storage form
//! delete_points {ids}       delete_points_by_filter: filter
//! update_vectors            {points: [{id, vector}], update_filter?}
//! delete_vectors            [{points}, [names]]      delete_vectors_by_filter [filter, [names]]
//! set_payload, overwrite_payload          {payload, points, filter, key?}     delete_payload {keys, points, filter}
//! clear_payload {points}    clear_payload_by_filter: filter
//! create_index, delete_index, create_vector_name, delete_vector_name
//! ```
//! An id is an unsigned integer, 16 bytes or, in some lists, the text of a UUID; a vector is an array of numbers, an
//! array of arrays, or a map from names to arrays, arrays of arrays or `{indices, values}`. Where both are given, a list
//! of points goes before a filter.
//!
//! Errors: an operation of another name (not recognised), bytes that are no such map (damaged), each naming file,
//! byte and number of the operation.
//! Source: qdrant/qdrant `lib/shard/src/operations/`, v1.7 to v1.19.

use minicbor::Decoder;
use minicbor::data::Type;
use tranship_connector::{Error, Result};
use uuid::Uuid;

use super::files::Entry;
use super::filter::Filter;
use super::operation::{Operation, Point, PointChange, Sent, Targets, UpdateMode, Vectors};
use crate::snapshot::cbor::{Decoded, entries, float, items, next_object, next_text, optional, wrong};
use crate::snapshot::point_id::PointId;

impl Operation {
    /// Decodes an entry; returns the operation's name with it.
    pub fn decode(entry: &Entry) -> Result<(String, Self)> {
        let mut decoder = Decoder::new(&entry.data);
        let at_place = |error: Error| {
            let (file, byte) = &entry.place;
            error.with("file", file).with("byte", byte).with("operation", entry.index)
        };
        let mut found = None;
        let mut unknown = None;
        let read = entries(&mut decoder, |name, decoder| {
            match operation(name, decoder)? {
                Some(operation) => found = Some((name.to_owned(), operation)),
                None => {
                    unknown = unknown.take().or_else(|| (name != "clock_tag").then(|| name.to_owned()));
                    decoder.skip()?;
                }
            }
            Ok(())
        });
        match (read, found, unknown) {
            (Ok(()), Some(found), None) => Ok(found),
            (Ok(()), _, Some(name)) => Err(at_place(
                Error::not_recognised(format!("the operation {name:?} in a write-ahead log is not known"))
                    .hint("start the server once on a copy of the directory, so that it applies its log, and stop it"),
            )),
            (Ok(()), None, None) => Err(at_place(damaged("an entry of a write-ahead log holds no operation"))),
            (Err(error), ..) => Err(at_place(
                damaged("an entry of a write-ahead log is no operation in CBOR; releases before 1.0 wrote MessagePack")
                    .caused_by(error),
            )),
        }
    }
}

fn operation(name: &str, decoder: &mut Decoder<'_>) -> Decoded<Option<Operation>> {
    let by = |filter: Filter, change| Operation::Change { of: Targets::Filter(filter), change };
    Ok(Some(match name {
        "upsert_points" => Operation::Upsert(points_or_batch(decoder)?),
        "upsert_points_conditional" => upsert_if(decoder)?,
        "sync_points" => sync(decoder)?,
        "upsert_points_raw" | "sync_points_raw" => Operation::Raw(raw_ids(decoder)?),
        "delete_points" => Operation::Change { of: Targets::Ids(ids_of(decoder, "ids")?), change: PointChange::Delete },
        "delete_points_by_filter" => by(filter(decoder)?, PointChange::Delete),
        "update_vectors" => update_vectors(decoder)?,
        "delete_vectors" => pair(decoder, |decoder| Ok(Targets::Ids(ids_of(decoder, "points")?)))?,
        "delete_vectors_by_filter" => pair(decoder, |decoder| Ok(Targets::Filter(filter(decoder)?)))?,
        "set_payload" | "overwrite_payload" | "delete_payload" => payload_change(name, decoder)?,
        "clear_payload" => {
            Operation::Change { of: Targets::Ids(ids_of(decoder, "points")?), change: PointChange::ClearPayload }
        }
        "clear_payload_by_filter" => by(filter(decoder)?, PointChange::ClearPayload),
        "create_index" | "delete_index" | "create_vector_name" | "delete_vector_name" => {
            decoder.skip()?;
            Operation::Schema
        }
        _ => return Ok(None),
    }))
}

fn points_or_batch(decoder: &mut Decoder<'_>) -> Decoded<Vec<Point>> {
    let mut found = None;
    entries(decoder, |key, decoder| {
        match key {
            "points" => found = Some(items(decoder, point)?),
            "batch" => found = Some(batch(decoder)?),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    found.ok_or_else(|| wrong("neither points nor batch", decoder))
}

fn upsert_if(decoder: &mut Decoder<'_>) -> Decoded<Operation> {
    let (mut points, mut condition, mut mode) = (None, None, None);
    entries(decoder, |key, decoder| {
        match key {
            "points_op" => points = Some(points_or_batch(decoder)?),
            "condition" => condition = Some(filter(decoder)?),
            "update_mode" => mode = optional(decoder, update_mode)?,
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    match (points, condition) {
        (Some(points), Some(condition)) => {
            Ok(Operation::UpsertIf { points, condition, mode: mode.unwrap_or_default() })
        }
        _ => Err(wrong("points_op or condition is missing", decoder)),
    }
}

fn update_mode(decoder: &mut Decoder<'_>) -> Decoded<UpdateMode> {
    match decoder.str()? {
        "upsert" => Ok(UpdateMode::Upsert),
        "insert_only" => Ok(UpdateMode::InsertOnly),
        "update_only" => Ok(UpdateMode::UpdateOnly),
        other => Err(wrong(&format!("the update mode {other:?}"), decoder)),
    }
}

fn sync(decoder: &mut Decoder<'_>) -> Decoded<Operation> {
    let (mut from, mut to, mut points) = (None, None, None);
    entries(decoder, |key, decoder| {
        match key {
            "from_id" => from = optional(decoder, id)?,
            "to_id" => to = optional(decoder, id)?,
            "points" => points = Some(items(decoder, point)?),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    let points = points.ok_or_else(|| wrong("points are missing", decoder))?;
    Ok(Operation::Sync { from, to, points })
}

/// The ids of points in storage form, in a list or below `points`.
fn raw_ids(decoder: &mut Decoder<'_>) -> Decoded<Vec<PointId>> {
    match decoder.datatype()? {
        Type::Array | Type::ArrayIndef => items(decoder, raw_id),
        _ => {
            let mut found = Vec::new();
            entries(decoder, |key, decoder| {
                match key {
                    "points" => found = items(decoder, raw_id)?,
                    _ => decoder.skip()?,
                }
                Ok(())
            })?;
            Ok(found)
        }
    }
}

fn raw_id(decoder: &mut Decoder<'_>) -> Decoded<PointId> {
    let mut found = None;
    entries(decoder, |key, decoder| {
        match key {
            "id" => found = Some(id(decoder)?),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    found.ok_or_else(|| wrong("an id is missing", decoder))
}

fn point(decoder: &mut Decoder<'_>) -> Decoded<Point> {
    let (mut found, mut sent, mut payload) = (None, None, None);
    entries(decoder, |key, decoder| {
        match key {
            "id" => found = Some(id(decoder)?),
            "vector" => sent = Some(vectors(decoder)?),
            "payload" => payload = optional(decoder, next_object)?,
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    match (found, sent) {
        (Some(id), Some(vectors)) => Ok(Point { id, vectors, payload }),
        _ => Err(wrong("an id or a vector is missing", decoder)),
    }
}

fn batch(decoder: &mut Decoder<'_>) -> Decoded<Vec<Point>> {
    let (mut ids, mut all, mut payloads) = (Vec::new(), Vec::new(), None);
    entries(decoder, |key, decoder| {
        match key {
            "ids" => ids = items(decoder, id)?,
            "vectors" => all = batch_vectors(decoder)?,
            "payloads" => payloads = optional(decoder, |d| items(d, |d| optional(d, next_object)))?,
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    let counts = all.iter().map(|(_, of_name)| of_name.len()).chain(payloads.iter().map(Vec::len));
    if counts.into_iter().any(|count| count != ids.len()) {
        return Err(wrong("a batch whose parts differ in length", decoder));
    }
    let mut columns: Vec<_> = all.into_iter().map(|(name, of_name)| (name, of_name.into_iter())).collect();
    let mut payloads = payloads.into_iter().flatten();
    let point = |id| {
        let vectors = columns.iter_mut().filter_map(|(name, of_name)| Some((name.clone(), of_name.next()?)));
        Point { id, vectors: vectors.collect(), payload: payloads.next().flatten() }
    };
    Ok(ids.into_iter().map(point).collect())
}

/// Vectors of a batch by name: one for every id.
fn batch_vectors(decoder: &mut Decoder<'_>) -> Decoded<Vec<(String, Vec<Sent>)>> {
    match decoder.datatype()? {
        Type::Array | Type::ArrayIndef => Ok(vec![(String::new(), items(decoder, vector)?)]),
        _ => {
            let mut found = Vec::new();
            entries(decoder, |name, decoder| {
                found.push((name.to_owned(), items(decoder, vector)?));
                Ok(())
            })?;
            Ok(found)
        }
    }
}

fn update_vectors(decoder: &mut Decoder<'_>) -> Decoded<Operation> {
    let (mut points, mut condition) = (None, None);
    entries(decoder, |key, decoder| {
        match key {
            "points" => points = Some(items(decoder, |d| point(d).map(|point| (point.id, point.vectors)))?),
            "update_filter" => condition = optional(decoder, filter)?,
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    let points = points.ok_or_else(|| wrong("points are missing", decoder))?;
    Ok(Operation::UpdateVectors { points, condition })
}

/// `[targets, [names]]`
fn pair(decoder: &mut Decoder<'_>, targets: impl Fn(&mut Decoder<'_>) -> Decoded<Targets>) -> Decoded<Operation> {
    let (mut of, mut names) = (None, None);
    items(decoder, |decoder| {
        match of {
            None => of = Some(targets(decoder)?),
            Some(_) => names = Some(texts(decoder)?),
        }
        Ok(())
    })?;
    match (of, names) {
        (Some(of), Some(names)) => Ok(Operation::Change { of, change: PointChange::DeleteVectors(names) }),
        _ => Err(wrong("points or names are missing", decoder)),
    }
}

fn payload_change(name: &str, decoder: &mut Decoder<'_>) -> Decoded<Operation> {
    let (mut payload, mut points, mut found, mut path, mut keys) = (None, None, None, None, None);
    entries(decoder, |key, decoder| {
        match key {
            "payload" => payload = Some(next_object(decoder)?),
            "points" => points = optional(decoder, |d| items(d, id))?,
            "filter" => found = optional(decoder, filter)?,
            "key" => path = optional(decoder, |d| d.str().map(str::to_owned))?,
            "keys" => keys = Some(texts(decoder)?),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    let change = match (name, payload, keys) {
        ("set_payload", Some(payload), _) => PointChange::SetPayload(payload, path),
        ("overwrite_payload", Some(payload), _) => PointChange::OverwritePayload(payload),
        ("delete_payload", _, Some(keys)) => PointChange::DeletePayload(keys),
        _ => return Err(wrong("payload or keys are missing", decoder)),
    };
    match (points, found) {
        (Some(ids), _) => Ok(Operation::Change { of: Targets::Ids(ids), change }),
        (None, Some(filter)) => Ok(Operation::Change { of: Targets::Filter(filter), change }),
        // The server refuses it too: nothing changes.
        (None, None) => Ok(Operation::Schema),
    }
}

fn vectors(decoder: &mut Decoder<'_>) -> Decoded<Vectors> {
    match decoder.datatype()? {
        Type::Array | Type::ArrayIndef => Ok(vec![(String::new(), vector(decoder)?)]),
        _ => {
            let mut found = Vec::new();
            entries(decoder, |name, decoder| {
                found.push((name.to_owned(), vector(decoder)?));
                Ok(())
            })?;
            Ok(found)
        }
    }
}

fn vector(decoder: &mut Decoder<'_>) -> Decoded<Sent> {
    if matches!(decoder.datatype()?, Type::Map | Type::MapIndef) {
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        entries(decoder, |key, decoder| {
            match key {
                "indices" => indices = items(decoder, Decoder::u32)?,
                "values" => values = items(decoder, float)?,
                _ => decoder.skip()?,
            }
            Ok(())
        })?;
        return Ok(Sent::Sparse(indices, values));
    }
    let mut rows = Vec::new();
    let row = items(decoder, |decoder| match decoder.datatype()? {
        Type::Array | Type::ArrayIndef => {
            rows.push(items(decoder, float)?);
            Ok(None)
        }
        _ => float(decoder).map(Some),
    })?;
    match row.iter().copied().collect::<Option<Vec<f32>>>() {
        Some(row) if rows.is_empty() => Ok(Sent::Row(row)),
        _ if row.len() == rows.len() => Ok(Sent::Rows(rows)),
        _ => Err(wrong("a vector of numbers and arrays", decoder)),
    }
}

fn id(decoder: &mut Decoder<'_>) -> Decoded<PointId> {
    match decoder.datatype()? {
        Type::Bytes => match decoder.bytes()?.try_into() {
            Ok(uuid) => Ok(PointId::Uuid(uuid)),
            Err(_) => Err(wrong("a UUID that is not 16 bytes long", decoder)),
        },
        Type::String => match Uuid::parse_str(decoder.str()?) {
            Ok(uuid) => Ok(PointId::Uuid(uuid.into_bytes())),
            Err(_) => Err(wrong("an id whose text is no UUID", decoder)),
        },
        _ => decoder.u64().map(PointId::Number),
    }
}

fn ids_of(decoder: &mut Decoder<'_>, wanted: &str) -> Decoded<Vec<PointId>> {
    let mut found = None;
    entries(decoder, |key, decoder| {
        match key == wanted {
            true => found = Some(items(decoder, id)?),
            false => decoder.skip()?,
        }
        Ok(())
    })?;
    found.ok_or_else(|| wrong(&format!("{wanted} are missing"), decoder))
}

fn texts(decoder: &mut Decoder<'_>) -> Decoded<Vec<String>> {
    items(decoder, |decoder| decoder.str().map(str::to_owned))
}

fn filter(decoder: &mut Decoder<'_>) -> Decoded<Filter> {
    let text = next_text(decoder)?;
    Filter::new(&text).map_err(|error| wrong(&format!("a filter that is no JSON: {error}"), decoder))
}

fn damaged(what: &str) -> Error {
    Error::damaged(what).hint("copy the whole directory again while its server is stopped, or take a new snapshot")
}
