//! The rows of delta logs: which key was deleted when.
//!
//! | log | payload |
//! |---|---|
//! | binlog, one column of text | `{"pk": 17, "ts": 470594004..., "pkType": 5}`, or the ancient `17,470594004...` |
//! | binlog `MULTI_FIELD`, or plain Parquet | two columns, the key and the time |
//!
//! Invariant: a delete hits rows that are strictly older; an upsert writes its delete and its row with one time.
//! Errors: damaged with file and row for a delete that cannot be read: leaving one out would bring rows back.
//! Source: milvus-io/milvus `internal/storage/{delta_data,serde_delta}.go`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use tranship_connector::{Error, Result};
use tranship_storage::{Blob, Limits};

use super::cell::{Cell, Values};
use super::log::Log;
use super::payload::{Column, Parquet};
use super::segment::TIMESTAMP;

/// A primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key<'a> {
    /// Of an Int64 field.
    Integer(i64),
    /// Of a VarChar field.
    Text(Cow<'a, str>),
}

impl<'a> Key<'a> {
    /// The key in a cell of the primary key's column.
    pub fn of(cell: &Cell<'a>) -> Option<Self> {
        match cell {
            Cell::Integer(number) => Some(Key::Integer(*number)),
            Cell::Text(text) => Some(Key::Text(Cow::Borrowed(text))),
            Cell::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(|text| Key::Text(Cow::Borrowed(text))),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    pk: &'a RawValue,
    ts: u64,
}

/// Shows every delete of `blob` with its time.
pub fn read(
    blob: &Blob,
    integers: bool,
    limits: &Limits,
    mut show: impl FnMut(&Key<'_>, u64) -> Result<()>,
) -> Result<()> {
    let log = Log::open(blob)?;
    let mut row = 0u64;
    for payload in &log.payloads {
        let parquet = Parquet::open(&log.blob, *payload, limits)?;
        let columns = parquet.columns();
        let bad = |row: u64| {
            Error::damaged("a delete of the Milvus delta log cannot be read")
                .with("file", log.label())
                .with("row", row)
                .hint("copy the file again from the object store")
        };
        if let [_] = columns.as_slice() {
            let rows = parquet.rows();
            let mut pages = parquet.read(0, 0, rows)?;
            while let Some(array) = pages.next_array()? {
                let values = Values::of(&array).ok_or_else(|| bad(row))?;
                for position in 0..values.len() {
                    let (key, time) = parse(&values.cell(position), integers).ok_or_else(|| bad(row))?;
                    show(&key, time)?;
                    row += 1;
                }
            }
            continue;
        }
        let (key_column, time_column) = two_columns(&columns).ok_or_else(|| bad(row))?;
        let rows = parquet.rows();
        let mut keys = parquet.read(key_column, 0, rows)?;
        let mut times = Parquet::open(&log.blob, *payload, limits)?.read(time_column, 0, rows)?;
        let mut left = Vec::new().into_iter();
        while let Some(array) = keys.next_array()? {
            let keys = Values::of(&array).ok_or_else(|| bad(row))?;
            for position in 0..keys.len() {
                let time: u64 = match left.next() {
                    Some(time) => time,
                    None => {
                        let array = times.next_array()?.ok_or_else(|| bad(row))?;
                        left = numbers(&array).ok_or_else(|| bad(row))?.into_iter();
                        left.next().ok_or_else(|| bad(row))?
                    }
                };
                let key = Key::of(&keys.cell(position)).filter(|key| fits(key, integers)).ok_or_else(|| bad(row))?;
                show(&key, time)?;
                row += 1;
            }
        }
    }
    Ok(())
}

fn fits(key: &Key<'_>, integers: bool) -> bool {
    matches!(key, Key::Integer(_)) == integers
}

/// The positions of key and time.
fn two_columns(columns: &[Column]) -> Option<(usize, usize)> {
    let is_time =
        |c: &Column| c.field == Some(TIMESTAMP) || matches!(c.name.as_str(), "ts" | "Timestamp" | "timestamp");
    let time = columns.iter().position(is_time).or((columns.len() == 2).then_some(1))?;
    let is_key = |c: &Column| c.name == "pk" || c.field.is_some_and(|id| id >= super::segment::FIRST_USER_FIELD);
    let named = (0..columns.len()).find(|n| *n != time && columns.get(*n).is_some_and(is_key));
    let key = named.or_else(|| (0..columns.len()).find(|n| *n != time))?;
    Some((key, time))
}

fn numbers(array: &arrow_array::ArrayRef) -> Option<Vec<u64>> {
    let values = Values::of(array)?;
    let number = |row| match values.cell(row) {
        Cell::Integer(number) => u64::try_from(number).ok(),
        _ => None,
    };
    (0..values.len()).map(number).collect()
}

/// One delete of a log with one column.
fn parse<'a>(cell: &Cell<'a>, integers: bool) -> Option<(Key<'a>, u64)> {
    let text: &'a str = match *cell {
        Cell::Text(text) => text,
        Cell::Bytes(bytes) => std::str::from_utf8(bytes).ok()?,
        _ => return None,
    };
    if !text.starts_with('{') {
        let (key, time) = text.split_once(',')?;
        return Some((Key::Integer(key.parse().ok()?), time.parse().ok()?)).filter(|(key, _)| fits(key, integers));
    }
    let line: Line<'a> = serde_json::from_str(text).ok()?;
    let key = match integers {
        true => Key::Integer(line.pk.get().parse().ok()?),
        false => Key::Text(Cow::Owned(serde_json::from_str::<String>(line.pk.get()).ok()?)),
    };
    Some((key, line.ts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletes_of_all_ages_are_understood() {
        let parsed = |text: &'static str, integers| parse(&Cell::Text(text), integers);
        let modern = parsed(r#"{"pk":-7,"ts":470594004098641921,"pkType":5}"#, true);
        assert_eq!(modern, Some((Key::Integer(-7), 470_594_004_098_641_921)));
        assert_eq!(parsed("17,42", true), Some((Key::Integer(17), 42)));
        let text = parsed(r#"{"pk":"a\"b","ts":1,"pkType":21}"#, false);
        assert_eq!(text, Some((Key::Text("a\"b".into()), 1)));
        for (broken, integers) in [
            ("", true),
            ("17", true),
            ("17,x", true),
            ("17,42", false),
            (r#"{"pk":"a","ts":1}"#, true),
            (r#"{"pk":1,"ts":-1}"#, true),
        ] {
            assert_eq!(parsed(broken, integers), None, "{broken}");
        }
    }
}
