//! Finishes what a killed Chroma left undone: applies writes of the queue to ids and metadata, in a private copy.
//!
//! A write goes into `embeddings_queue` first and into `embeddings` and `embedding_metadata` afterwards; how far the
//! latter have come stands in `max_seq_id` of the metadata segment. Chroma catches up when it next opens a collection,
//! and so does this, with the same meaning of every operation: an add counts only if the id is absent, an update only
//! if it is present, a key that is `null` is removed, all other keys of the record stay.
//!
//! Invariant: the source is only copied; either all writes are applied or none.
//!
//! Errors: damaged for an unknown operation or metadata that are no JSON object of values that Chroma takes.
//! Source: chroma-core/chroma `chromadb/segment/impl/metadata/sqlite.py` (0.6), `rust/segment/src/sqlite_metadata.rs`.

use std::collections::{BTreeMap, HashMap};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::value::RawValue;
use tranship_connector::Result;

use super::catalog::Catalog;
use super::database::Database;
use super::vectors::{QUEUE_ROWS, max_seq_id, topic_of};

/// A collection whose ids and metadata have not seen every write.
#[derive(Debug)]
pub struct Lag {
    name: String,
    topic: String,
    segment: String,
    /// Last write that was applied, -1 for none.
    seen: i64,
    /// Last write of the queue.
    last: i64,
}

/// The collections that lag behind. Reads the queue once, from the oldest state on.
pub fn lags(database: &Database, catalog: &Catalog) -> Result<Vec<Lag>> {
    let connection = database.connect()?;
    let mut known = HashMap::new();
    for collection in catalog.collections.iter().filter(|collection| !collection.metadata_segment.is_empty()) {
        let seen = max_seq_id(database, &connection, &collection.metadata_segment)?.unwrap_or(-1);
        let (name, segment) = (collection.shown_name.clone(), collection.metadata_segment.clone());
        known.insert(collection.id.clone(), Lag { name, topic: topic_of(&collection.id), segment, seen, last: seen });
    }
    let Some(from) = known.values().map(|lag| lag.seen).min() else { return Ok(Vec::new()) };
    let failed = |error| database.failed(error);
    let mut statement =
        connection.prepare("SELECT seq_id, topic FROM embeddings_queue WHERE seq_id > ?1").map_err(failed)?;
    let mut rows = statement.query([from]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let seq_id: i64 = row.get(0).map_err(failed)?;
        let topic = row.get_ref(1).map_err(failed)?.as_str().unwrap_or_default();
        if let Some(lag) = topic.rsplit('/').next().and_then(|id| known.get_mut(id)) {
            lag.last = lag.last.max(seq_id);
        }
    }
    let mut lags: Vec<Lag> = known.into_values().filter(|lag| lag.last > lag.seen).collect();
    lags.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(lags)
}

/// Applies the missing writes to a private copy of the database, which is what is read from then on.
pub fn catch_up(database: &mut Database, lags: &[Lag]) -> Result<()> {
    let mut connection = database.connect_to_copy()?;
    let arrays = !database.columns(&connection, "embedding_metadata_array")?.is_empty();
    let booleans = database.columns(&connection, "embedding_metadata")?.contains("bool_value");
    let transaction = connection.transaction().map_err(|error| database.failed(error))?;
    let mut notes = Vec::new();
    for lag in lags {
        let writer = Writer { database, connection: &transaction, segment: &lag.segment, arrays, booleans };
        let count = writer.apply(lag)?;
        notes.push(format!(
            "Chroma was stopped before it had applied the last {count} writes to ids and metadata of collection `{}`: \
             they were applied in a private copy",
            lag.name
        ));
    }
    commit(database, transaction)?;
    drop(connection);
    database.notes.extend(notes);
    Ok(())
}

fn commit(database: &Database, transaction: Transaction<'_>) -> Result<()> {
    transaction.commit().map_err(|error| database.failed(error))
}

struct Writer<'a> {
    database: &'a Database,
    connection: &'a Connection,
    segment: &'a str,
    /// Whether this version has the table of arrays.
    arrays: bool,
    /// Whether this version has a column of booleans.
    booleans: bool,
}

impl Writer<'_> {
    /// Applies every write after the last that was seen; returns their number.
    fn apply(&self, lag: &Lag) -> Result<u64> {
        let sql =
            format!("SELECT seq_id, operation, id, metadata FROM embeddings_queue WHERE {QUEUE_ROWS} ORDER BY seq_id");
        let failed = |error| self.database.failed(error);
        let mut statement = self.connection.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query(params![lag.seen, lag.topic]).map_err(failed)?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            let read = || Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            let (seq_id, operation, id, metadata): (i64, i64, String, Option<String>) = read().map_err(failed)?;
            self.write(seq_id, operation, &id, metadata.as_deref())?;
            count += 1;
        }
        self.run(
            "INSERT OR REPLACE INTO max_seq_id (segment_id, seq_id) VALUES (?1, ?2)",
            params![self.segment, lag.last],
        )?;
        Ok(count)
    }

    fn write(&self, seq_id: i64, operation: i64, id: &str, metadata: Option<&str>) -> Result<()> {
        let found = self
            .connection
            .prepare_cached("SELECT id FROM embeddings WHERE segment_id = ?1 AND embedding_id = ?2")
            .and_then(|mut statement| statement.query_row([self.segment, id], |row| row.get(0)).optional())
            .map_err(|error| self.database.failed(error))?;
        match (operation, found) {
            (0 | 2, None) => {
                let sql = "INSERT INTO embeddings (segment_id, embedding_id, seq_id) VALUES (?1, ?2, ?3)";
                self.run(sql, params![self.segment, id, seq_id])?;
                self.update(seq_id, self.connection.last_insert_rowid(), metadata)
            }
            (1 | 2, Some(row)) => self.update(seq_id, row, metadata),
            (3, Some(row)) => self.delete(row),
            (0, Some(_)) | (1 | 3, None) | (4, _) => Ok(()),
            _ => Err(self
                .database
                .damaged(format_args!("has an unknown operation {operation} in embeddings_queue row {seq_id}"))),
        }
    }

    fn update(&self, seq_id: i64, row: i64, metadata: Option<&str>) -> Result<()> {
        let Some(metadata) = metadata else { return Ok(()) };
        let fault = |what: String| {
            self.database.damaged(format_args!("has metadata in embeddings_queue row {seq_id} that {what}"))
        };
        let entries: Option<BTreeMap<String, &RawValue>> =
            serde_json::from_str(metadata).map_err(|error| fault(format!("are no JSON object: {error}")))?;
        for (key, value) in entries.into_iter().flatten() {
            let values = Values::parse(value.get()).ok_or_else(|| fault(format!("hold an odd value of {key:?}")))?;
            self.set(row, &key, values)?;
        }
        Ok(())
    }

    fn set(&self, row: i64, key: &str, values: Values) -> Result<()> {
        self.run("DELETE FROM embedding_metadata WHERE id = ?1 AND key = ?2", params![row, key])?;
        if self.arrays {
            self.run("DELETE FROM embedding_metadata_array WHERE id = ?1 AND key = ?2", params![row, key])?;
        }
        match values {
            Values::Nothing => Ok(()),
            Values::Scalar(scalar) => self.insert("embedding_metadata", row, key, scalar),
            Values::Array(elements) if self.arrays => {
                elements.into_iter().try_for_each(|element| self.insert("embedding_metadata_array", row, key, element))
            }
            Values::Array(_) => Err(self.database.damaged("has an array in metadata of a version without arrays")),
        }
    }

    fn insert(&self, table: &str, row: i64, key: &str, scalar: Scalar) -> Result<()> {
        let (column, value) = match scalar {
            Scalar::Text(text) => ("string_value", Value::Text(text)),
            Scalar::Int(number) => ("int_value", Value::Integer(number)),
            Scalar::Float(number) => ("float_value", Value::Real(number)),
            Scalar::Bool(flag) if self.booleans => ("bool_value", Value::Integer(flag.into())),
            Scalar::Bool(flag) => ("int_value", Value::Integer(flag.into())),
        };
        self.run(&format!("INSERT INTO {table} (id, key, {column}) VALUES (?1, ?2, ?3)"), params![row, key, value])
    }

    fn delete(&self, row: i64) -> Result<()> {
        if self.arrays {
            self.run("DELETE FROM embedding_metadata_array WHERE id = ?1", [row])?;
        }
        self.run("DELETE FROM embedding_metadata WHERE id = ?1", [row])?;
        self.run("DELETE FROM embeddings WHERE id = ?1", [row])
    }

    fn run(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<()> {
        let done = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(parameters));
        done.map(|_| ()).map_err(|error| self.database.failed(error))
    }
}

/// The new value of a key.
#[derive(Debug, PartialEq)]
enum Values {
    /// The key goes.
    Nothing,
    Scalar(Scalar),
    Array(Vec<Scalar>),
}

#[derive(Debug, PartialEq)]
enum Scalar {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Values {
    /// A JSON value as Chroma stores it; `None` for what it never writes.
    fn parse(json: &str) -> Option<Self> {
        match json.bytes().next()? {
            b'n' => Some(Values::Nothing),
            b'[' => {
                let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
                elements.iter().map(|element| Scalar::parse(element.get())).collect::<Option<_>>().map(Values::Array)
            }
            _ => Scalar::parse(json).map(Values::Scalar),
        }
    }
}

impl Scalar {
    fn parse(json: &str) -> Option<Self> {
        match json.bytes().next()? {
            b'"' => serde_json::from_str(json).ok().map(Scalar::Text),
            b't' => Some(Scalar::Bool(true)),
            b'f' => Some(Scalar::Bool(false)),
            b'-' | b'0'..=b'9' if json.contains(['.', 'e', 'E']) => json.parse().ok().map(Scalar::Float),
            b'-' | b'0'..=b'9' => json.parse().ok().map(Scalar::Int),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_the_types_of_the_queue() {
        let parsed = |json| Values::parse(json);
        assert_eq!(parsed("null"), Some(Values::Nothing));
        assert_eq!(parsed("1"), Some(Values::Scalar(Scalar::Int(1))));
        assert_eq!(parsed("1.0"), Some(Values::Scalar(Scalar::Float(1.0))));
        assert_eq!(parsed("1e+300"), Some(Values::Scalar(Scalar::Float(1e300))));
        assert_eq!(parsed("9007199254740993"), Some(Values::Scalar(Scalar::Int(9007199254740993))));
        assert_eq!(parsed("true"), Some(Values::Scalar(Scalar::Bool(true))));
        assert_eq!(parsed(r#""\u00e9\n""#), Some(Values::Scalar(Scalar::Text("é\n".into()))));
        assert_eq!(parsed(r#"["b", "a"]"#), Some(Values::Array(["b", "a"].map(|t| Scalar::Text(t.into())).into())));
        for odd in ["{}", "[[1]]", "[null]", "9223372036854775808", "NaN"] {
            assert_eq!(parsed(odd), None, "{odd}");
        }
    }
}
