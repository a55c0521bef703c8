//! The collections of a SQLite file: their schemas and indexes, as protobuf messages.
//!
//! ```text
//! collection_meta(id, collection_name, meta_type, blob_field, string_field)
//!   'schema': CollectionSchema {1 name, 2 description, 4 fields, 5 dynamic} ; string_field = the primary key's name
//!             FieldSchema {1 id, 2 name, 3 primary, 5 type, 6 type_params, 8 auto_id, 10 element_type,
//!                          12 dynamic, 13 partition_key, 15 nullable}
//!   'index':  {1 field id, 3 name, 5 params} ; KeyValuePair {1 key, 2 value}
//! "<collection>"(id, milvus_id, data)    one table per collection
//! ```
//! The messages stand in columns of storage class TEXT although they are binary, so they are read as bytes.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::ValueRef;
use serde_json::json;
use tranship_collection::CollectionSchema;
use tranship_connector::{CollectionInfo, Count, Error, OpenOptions, Result};
use tranship_container::protobuf::{Message, Value};
use tranship_container::sqlite::{SqliteFile, quoted};

use super::sqlite::{self, META_TABLE};
use crate::dialect::{self, DYNAMIC_FIELD, DataType, Field, Index};

const PRODUCER: &str = "Milvus Lite 2";
/// Up to this size all rows are counted for a list.
const COUNTED_BYTES: u64 = 256 << 20;

/// The collections of a file.
pub struct Tables {
    /// The file.
    pub sqlite: SqliteFile,
    /// In the order in which they were created.
    pub tables: Vec<Table>,
}

/// One collection.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name, and the table's.
    pub name: String,
    /// Its fields, without those that only Milvus uses.
    pub fields: Vec<Field>,
    indexes: Vec<Index>,
    description: String,
}

impl Tables {
    /// Opens a file and reads what it says of its collections.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let sqlite = sqlite::open(path, options)?;
        let tables = read_tables(&sqlite)?;
        Ok(Tables { sqlite, tables })
    }

    /// The collections, with their counts.
    pub fn list(&self, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
        let infos = self.tables.iter().map(|table| {
            Ok(CollectionInfo {
                name: table.name.clone(),
                records: self.count(table)?,
                schema: table.schema(options)?,
                producer: Some(PRODUCER.to_owned()),
                notes: self.sqlite.notes.clone(),
            })
        });
        infos.collect()
    }

    /// The collection that the user means.
    pub fn choose(&self, options: &OpenOptions) -> Result<Table> {
        let names: Vec<String> = self.tables.iter().map(|table| table.name.clone()).collect();
        let label = self.sqlite.path().display().to_string();
        let position = super::choose(&names, options.collection.as_deref(), &label)?;
        self.tables.get(position).cloned().ok_or_else(|| Error::bug("a chosen collection is gone"))
    }

    /// A row may be an older copy of a record, but one id counts once.
    fn count(&self, table: &Table) -> Result<Count> {
        let (connection, name) = (self.sqlite.connect()?, quoted(&table.name));
        let bytes = self.sqlite.path().metadata().map_or(u64::MAX, |metadata| metadata.len());
        let (sql, exact) = match bytes {
            0..=COUNTED_BYTES => (format!("SELECT count(DISTINCT milvus_id) FROM {name}"), true),
            _ => (format!("SELECT coalesce(max(id) - min(id) + 1, 0) FROM {name}"), false),
        };
        let count = connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
        let count = count.map_err(|error| self.sqlite.failed(error))?.unsigned_abs();
        Ok(if exact { Count::Exact(count) } else { Count::UpTo(count) })
    }
}

impl Table {
    /// The schema of the collection.
    pub fn schema(&self, options: &OpenOptions) -> Result<CollectionSchema> {
        let mut vendor = serde_json::Map::new();
        vendor.insert("producer".to_owned(), json!(PRODUCER));
        if !self.description.is_empty() {
            vendor.insert("description".to_owned(), json!(self.description));
        }
        dialect::collection_schema(&self.name, &self.fields, &self.indexes, vendor, &options.limits)
            .map_err(|error| error.with("collection", &self.name))
    }
}

fn read_tables(sqlite: &SqliteFile) -> Result<Vec<Table>> {
    let connection = sqlite.connect()?;
    let sql = format!("SELECT collection_name, meta_type, blob_field, string_field FROM {META_TABLE} ORDER BY id");
    let mut statement = connection.prepare(&sql).map_err(|error| sqlite.failed(error))?;
    let mut rows = statement.query([]).map_err(|error| sqlite.failed(error))?;
    let mut tables: Vec<Table> = Vec::new();
    while let Some(row) = rows.next().map_err(|error| sqlite.failed(error))? {
        let text = |column: usize| row.get::<_, Option<String>>(column).map(Option::unwrap_or_default);
        let (name, kind) = (text(0).map_err(|e| sqlite.failed(e))?, text(1).map_err(|e| sqlite.failed(e))?);
        let message = bytes_of(row.get_ref(2).map_err(|error| sqlite.failed(error))?);
        let placed = |error: Error| error.with("file", sqlite.path().display()).with("collection", &name);
        match kind.as_str() {
            "schema" => tables.push(read_schema(&name, message).map_err(placed)?),
            "index" => {
                let table = tables.iter_mut().find(|table| table.name == name);
                let table =
                    table.ok_or_else(|| sqlite.damaged(format_args!("has an index of no collection `{name}`")))?;
                let index = read_index(message, &table.fields).map_err(placed)?;
                table.indexes.extend(index);
            }
            // Partitions are named, but 2.x keeps no rows apart by them.
            _ => {}
        }
    }
    drop(rows);
    for table in &tables {
        check_plain(sqlite, &connection, &table.name)?;
    }
    Ok(tables)
}

/// Fails unless the collection's table is there and is no view and no virtual table.
fn check_plain(sqlite: &SqliteFile, connection: &rusqlite::Connection, name: &str) -> Result<()> {
    let sql = "SELECT coalesce(sql, '') FROM sqlite_master WHERE type = 'table' AND name = ?1";
    let found = connection.query_row(sql, [name], |row| row.get::<_, String>(0));
    match found {
        Ok(sql) if sql.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("CREATE TABLE")) => Ok(()),
        Ok(_) | Err(rusqlite::Error::QueryReturnedNoRows) => {
            Err(sqlite.damaged(format_args!("has no plain table `{name}` for the collection of that name")))
        }
        Err(error) => Err(sqlite.failed(error)),
    }
}

/// The bytes of a column, whatever storage class they were given.
pub fn bytes_of(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        _ => &[],
    }
}

fn read_schema(name: &str, message: &[u8]) -> Result<Table> {
    let mut table =
        Table { name: name.to_owned(), fields: Vec::new(), indexes: Vec::new(), description: String::new() };
    for entry in Message::new(message) {
        match entry? {
            (2, value) => table.description = text(value)?,
            (4, value) => table.fields.extend(read_field(value.bytes()?)?),
            _ => {}
        }
    }
    Ok(table)
}

/// `None` for the fields that only Milvus uses: RowID and Timestamp.
fn read_field(message: &[u8]) -> Result<Option<Field>> {
    let mut field = Field::new(0, "", DataType::Int64);
    let mut data_type = 0;
    for entry in Message::new(message) {
        let (number, value) = entry?;
        match number {
            1 => field.id = value.varint()?.cast_signed(),
            2 => field.name = text(value)?,
            3 => field.primary = value.varint()? != 0,
            5 => data_type = value.varint()?.cast_signed(),
            6 => set_param(&mut field, value.bytes()?)?,
            8 => field.auto_id = value.varint()? != 0,
            10 => {
                let element = value.varint()?.cast_signed();
                field.element_type = if element == 0 { None } else { Some(DataType::of_number(element)?) };
            }
            12 => field.dynamic = value.varint()? != 0,
            13 => field.partition_key = value.varint()? != 0,
            15 => field.nullable = value.varint()? != 0,
            _ => {}
        }
    }
    if field.id < 100 && matches!(field.name.as_str(), "RowID" | "Timestamp") {
        return Ok(None);
    }
    field.data_type = DataType::of_number(data_type).map_err(|error| error.with("field", &field.name))?;
    field.dynamic |= field.name == DYNAMIC_FIELD && field.data_type == DataType::Json;
    Ok(Some(field))
}

fn set_param(field: &mut Field, message: &[u8]) -> Result<()> {
    let (key, value) = key_value(message)?;
    match key.as_str() {
        "dim" => field.dim = value.parse().ok(),
        "max_length" => field.max_length = value.parse().ok(),
        "max_capacity" => field.max_capacity = value.parse().ok(),
        _ => {}
    }
    Ok(())
}

/// `None` for an index over a field that is not there.
fn read_index(message: &[u8], fields: &[Field]) -> Result<Option<Index>> {
    let (mut id, mut params) = (0, BTreeMap::new());
    for entry in Message::new(message) {
        match entry? {
            (1, value) => id = value.varint()?.cast_signed(),
            (5, value) => params.extend([key_value(value.bytes()?)?]),
            _ => {}
        }
    }
    let field = fields.iter().find(|field| field.id == id);
    let kind = params.get("index_type").cloned().unwrap_or_default();
    Ok(field.map(|field| Index { field: field.name.clone(), kind, params }))
}

fn key_value(message: &[u8]) -> Result<(String, String)> {
    let (mut key, mut found) = (String::new(), String::new());
    for entry in Message::new(message) {
        match entry? {
            (1, value) => key = text(value)?,
            (2, value) => found = text(value)?,
            _ => {}
        }
    }
    Ok((key, found))
}

fn text(value: Value<'_>) -> Result<String> {
    let bytes = value.bytes()?;
    let text = std::str::from_utf8(bytes).map_err(|error| Error::damaged("a name is not UTF-8").caused_by(error))?;
    Ok(text.to_owned())
}
