//! One record's metadata as JSON, put together from its rows.
//!
//! A scalar is one row with exactly one value column filled, an array one row per element in row order. Types are kept:
//! an integer stays one, a float prints with its point, NaN (which SQLite stores as NULL) is `null`, infinities are
//! `{"$float":"inf"}`. Keys come sorted by their bytes. The key `chroma:document` is the document, all others
//! (`chroma:uri` too) are metadata.
//!
//! Rejects: a key that is no text or stands twice, a row with several values, text that is not UTF-8.

use std::ops::Range;

use rusqlite::Row;
use rusqlite::types::ValueRef;
use tranship_collection::json;

use crate::dialect::{self, DOCUMENT_KEY};

/// Collects the rows of one record; buffers are reused from record to record.
#[derive(Default)]
pub struct Assembler {
    keys: String,
    values: Vec<u8>,
    entries: Vec<Entry>,
    json: Vec<u8>,
    document: String,
    has_document: bool,
    fault: Option<String>,
}

struct Entry {
    key: Range<usize>,
    value: Range<usize>,
    is_array: bool,
}

/// A record's metadata and document.
pub struct Assembled<'a> {
    /// JSON object, `None` without any key.
    pub metadata: Option<&'a str>,
    /// Text of the document.
    pub document: Option<&'a str>,
}

impl Assembler {
    /// Forgets the last record.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.entries.clear();
        self.json.clear();
        self.document.clear();
        self.has_document = false;
        self.fault = None;
    }

    /// Adds a row (id, key, text, integer, float, boolean) of `embedding_metadata`.
    pub fn add_scalar(&mut self, row: &Row<'_>) {
        let added = self.try_scalar(row);
        self.remember(added);
    }

    /// Adds a row of `embedding_metadata_array`.
    pub fn add_element(&mut self, row: &Row<'_>) {
        let added = self.try_element(row);
        self.remember(added);
    }

    /// The record's metadata and document, or why it must be rejected.
    pub fn finish(&mut self) -> Result<Assembled<'_>, String> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let keys = &self.keys;
        self.entries.sort_by(|a, b| keys[a.key.clone()].cmp(&keys[b.key.clone()]));
        if let Some(pair) = self.entries.windows(2).find(|pair| keys[pair[0].key.clone()] == keys[pair[1].key.clone()])
        {
            return Err(format!("metadata key {:?} stands twice", &keys[pair[0].key.clone()]));
        }
        for (position, entry) in self.entries.iter().enumerate() {
            self.json.push(if position == 0 { b'{' } else { b',' });
            json::append_string(&keys[entry.key.clone()], &mut self.json);
            self.json.push(b':');
            self.json.extend_from_slice(&self.values[entry.value.clone()]);
            if entry.is_array {
                self.json.push(b']');
            }
        }
        if !self.entries.is_empty() {
            self.json.push(b'}');
        }
        let text = std::str::from_utf8(&self.json).map_err(|error| error.to_string())?;
        Ok(Assembled {
            metadata: (!text.is_empty()).then_some(text),
            document: self.has_document.then_some(self.document.as_str()),
        })
    }

    fn remember(&mut self, added: Result<(), String>) {
        if let Err(fault) = added {
            self.fault.get_or_insert(fault);
        }
    }

    fn try_scalar(&mut self, row: &Row<'_>) -> Result<(), String> {
        let key = text_at(row, 1, "a metadata key")?;
        if key == DOCUMENT_KEY {
            self.document.push_str(text_at(row, 2, "the document")?);
            self.has_document = true;
            return Ok(());
        }
        let start = self.values.len();
        append_value(row, key, &mut self.values)?;
        self.open_entry(key, start, false);
        Ok(())
    }

    fn try_element(&mut self, row: &Row<'_>) -> Result<(), String> {
        let key = text_at(row, 1, "a metadata key")?;
        let goes_on = self.entries.last().is_some_and(|entry| entry.is_array && self.keys[entry.key.clone()] == *key);
        let start = self.values.len();
        self.values.push(if goes_on { b',' } else { b'[' });
        append_value(row, key, &mut self.values)?;
        match self.entries.last_mut() {
            Some(entry) if goes_on => entry.value.end = self.values.len(),
            _ => self.open_entry(key, start, true),
        }
        Ok(())
    }

    fn open_entry(&mut self, key: &str, value_start: usize, is_array: bool) {
        let key_start = self.keys.len();
        self.keys.push_str(key);
        let entry = Entry { key: key_start..self.keys.len(), value: value_start..self.values.len(), is_array };
        self.entries.push(entry);
    }
}

fn text_at<'r>(row: &'r Row<'_>, column: usize, what: &str) -> Result<&'r str, String> {
    match row.get_ref(column) {
        Ok(ValueRef::Text(bytes)) => std::str::from_utf8(bytes).map_err(|_| format!("{what} is not valid UTF-8")),
        _ => Err(format!("{what} is no text")),
    }
}

/// Appends the one value of columns 2 to 5: text, integer, float, boolean.
fn append_value(row: &Row<'_>, key: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let mut values = (2..6).filter_map(|column| row.get_ref(column).ok().map(|value| (column, value)));
    let mut filled = values.by_ref().filter(|(_, value)| *value != ValueRef::Null);
    let Some(value) = filled.next() else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    if filled.next().is_some() {
        return Err(format!("metadata key {key:?} has several values"));
    }
    match value {
        (2, ValueRef::Text(_)) => json::append_string(text_at(row, 2, "a metadata value")?, out),
        (3, ValueRef::Integer(number)) => out.extend_from_slice(number.to_string().as_bytes()),
        (4, ValueRef::Real(number)) => dialect::append_float(number, out),
        (4, ValueRef::Integer(number)) => dialect::append_float(number as f64, out),
        (5, ValueRef::Integer(flag)) => out.extend_from_slice(if flag == 0 { b"false" } else { b"true" }),
        (_, other) => return Err(format!("metadata key {key:?} has a value of unknown type ({})", other.data_type())),
    }
    Ok(())
}
