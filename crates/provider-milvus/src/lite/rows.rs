//! One collection of a SQLite file as a [`Source`].
//!
//! ```text
//! data = {1 repeated FieldData, 2 num_rows = 1}
//! FieldData = {1 type, 2 field_name, 3 ScalarField, 4 VectorField, 5 field_id, 7 valid_data}
//! VectorField = {1 dim, 2 {1 f32..}, 3 bits, 4 f16, 5 bf16, 6 {1 sparse}, 7 i8}
//! ```
//! Rows come in the order of their row ids; a split is a range of it. Deletes and upserts were done in place. A key
//! that was inserted twice without upsert has two rows: the later one is the record.
//!
//! Rejects: rows whose message does not hold together, keys that are not those of the row, vectors of another
//! dimension or with NaN.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use rusqlite::{Connection, params};
use tranship_collection::batch::RowText;
use tranship_collection::json::ObjectText;
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_collection::{BatchBuilder, CollectionSchema};
use tranship_connector::liveness::{LiveRows, Liveness, SameVersion};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    Batches, Error, OpenOptions, PrepareContext, Prepared, Reject, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_container::protobuf::{Message, Value};
use tranship_container::sqlite::{SqliteFile, quoted};
use tranship_storage::SourceIdentity;
use xxhash_rust::xxh3::xxh3_128;

use super::tables::{Table, Tables, bytes_of};
use super::values::{Checked, append_dynamic, append_json, push_sparse};
use crate::dialect::{DataType, Field, Roles};
use crate::scalar::{self, Scalar};

/// Rows per split at most: keeps the work of a split short where rows are small.
const SPLIT_ROWS: u64 = 20_000;

/// One collection.
pub struct TableSource {
    sqlite: SqliteFile,
    table: Table,
    schema: CollectionSchema,
    options: OpenOptions,
}

/// A collection whose rows are known.
struct PreparedTable<'a> {
    source: &'a TableSource,
    schema: Arc<CollectionSchema>,
    roles: Roles,
    live: LiveRows,
    rows: u64,
    splits: Vec<Split>,
}

impl TableSource {
    /// Opens the collection that the options choose.
    pub fn open(path: &std::path::Path, options: &OpenOptions) -> Result<Self> {
        let tables = Tables::open(path, options)?;
        let table = tables.choose(options)?;
        let schema = table.schema(options)?;
        Ok(TableSource { sqlite: tables.sqlite, table, schema, options: options.clone() })
    }

    /// The row ids in order, with their keys.
    fn each_row(&self, mut each: impl FnMut(i64, &[u8]) -> Result<()>) -> Result<()> {
        let connection = self.sqlite.connect()?;
        let sql = format!("SELECT id, milvus_id FROM {} ORDER BY id", quoted(&self.table.name));
        let mut statement = connection.prepare(&sql).map_err(|error| self.sqlite.failed(error))?;
        let mut rows = statement.query([]).map_err(|error| self.sqlite.failed(error))?;
        while let Some(row) = rows.next().map_err(|error| self.sqlite.failed(error))? {
            let id = row.get(0).map_err(|error| self.sqlite.failed(error))?;
            each(id, bytes_of(row.get_ref(1).map_err(|error| self.sqlite.failed(error))?))?;
        }
        Ok(())
    }
}

impl Source for TableSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let name = |path: PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (path, name)
        };
        let files: Vec<_> = self.sqlite.files().into_iter().map(name).collect();
        Ok(SourceIdentity::of(&files, self.options.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let mut rows = 0u64;
        self.each_row(|_, _| {
            rows += 1;
            Ok(())
        })?;
        let file_bytes = self.sqlite.path().metadata().map_or(0, |metadata| metadata.len());
        let row_bytes = file_bytes / rows.max(1);
        let rows_per_split = (context.split_bytes / row_bytes.max(1)).clamp(1, SPLIT_ROWS);
        let mut liveness = Liveness::new(context.scratch, &[rows], SameVersion::RowLives);
        if self.options.option("duplicates") == Some("keep-all") {
            liveness = liveness.keeping_duplicates();
        }
        let mut splits: Vec<Split> = Vec::new();
        let mut row = 0;
        self.each_row(|id, key| {
            liveness.row(xxh3_128(key), row, 0, row)?;
            if row % rows_per_split == 0 {
                let ordinal = splits.len() as u64;
                splits.push(Split { ordinal, start: id.cast_unsigned(), first_row: row, ..Split::default() });
            }
            if let Some(split) = splits.last_mut() {
                split.end = id.cast_unsigned().wrapping_add(1);
                split.bytes += row_bytes;
            }
            row += 1;
            Ok(())
        })?;
        Ok(Box::new(PreparedTable {
            source: self,
            schema: Arc::new(self.schema.clone()),
            roles: Roles::of(&self.table.fields)?,
            live: liveness.finish()?,
            rows,
            splits,
        }))
    }
}

impl Prepared for PreparedTable<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        RowLedger {
            raw: Some(self.rows),
            live: Some(self.live.live),
            deleted: self.live.deleted,
            superseded: self.live.superseded,
            ..RowLedger::default()
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.source.sqlite.notes.clone();
        if self.live.superseded > 0 {
            notes.push(format!(
                "{} rows have a key that was inserted again later: the later row is the record",
                self.live.superseded
            ));
        }
        notes
    }

    fn splits(&self) -> Result<Splits<'_>> {
        Ok(Box::new(self.splits.iter().cloned().map(Ok)))
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let builder = BatchBuilder::new(self.schema.clone()).map_err(|fault| Error::bug(fault.to_string()))?;
        Ok(Box::new(Reader {
            connection: self.source.sqlite.connect()?,
            next: Some(split.start.cast_signed()),
            last: split.end.wrapping_sub(1).cast_signed(),
            row: split.first_row,
            appender: Appender { prepared: self, builder, metadata: ObjectText::default() },
            rejects,
        }))
    }
}

/// A split being read.
struct Reader<'a> {
    connection: Connection,
    /// Row id to go on from; `None` at the end.
    next: Option<i64>,
    last: i64,
    /// Number of the next row.
    row: u64,
    appender: Appender<'a>,
    rejects: &'a mut dyn RejectSink,
}

/// Puts rows into a batch.
struct Appender<'a> {
    prepared: &'a PreparedTable<'a>,
    builder: BatchBuilder,
    metadata: ObjectText,
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            self.next = None;
        }
        batch.transpose()
    }
}

impl Reader<'_> {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.next.is_some() {
            self.fill()?;
        }
        if self.appender.builder.rows() == 0 {
            return Ok(None);
        }
        self.appender.builder.finish().map(Some).map_err(|fault| Error::bug(fault.to_string()))
    }

    /// Reads rows until the batch is full or the split is done.
    fn fill(&mut self) -> Result<()> {
        let Reader { connection, next, last, row, appender, rejects } = self;
        let (sqlite, table) = (&appender.prepared.source.sqlite, &appender.prepared.source.table.name);
        let failed = |error| sqlite.failed(error);
        let sql = format!("SELECT id, milvus_id, data FROM {} WHERE id BETWEEN ?1 AND ?2 ORDER BY id", quoted(table));
        let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
        let mut found = statement.query(params![*next, *last]).map_err(failed)?;
        *next = None;
        while let Some(record) = found.next().map_err(failed)? {
            let id: i64 = record.get(0).map_err(failed)?;
            let number = *row;
            *row += 1;
            if appender.prepared.live.lives(0, number) {
                let key = bytes_of(record.get_ref(1).map_err(failed)?);
                let data = bytes_of(record.get_ref(2).map_err(failed)?);
                if let Err(reason) = appender.append(key, data) {
                    appender.builder.rollback();
                    let place = format!("{} table {table} id {id}", sqlite.path().display());
                    let id = std::str::from_utf8(key).ok().map(str::to_owned);
                    rejects.reject(Reject { place, id, reason, record: None })?;
                }
            }
            if appender.builder.bytes() >= BATCH_BYTES && id < *last {
                *next = id.checked_add(1);
                break;
            }
        }
        Ok(())
    }
}

impl Appender<'_> {
    /// Completes one record, or says why it must be rejected.
    fn append(&mut self, key: &[u8], data: &[u8]) -> Checked {
        let prepared = self.prepared;
        let (fields, roles) = (&prepared.source.table.fields, &prepared.roles);
        let found = Found::read(data, fields).map_err(|error| error.to_string())?;
        let key = std::str::from_utf8(key).map_err(|error| format!("milvus_id: {error}"))?;
        found.check_key(roles.primary, key)?;
        for (position, name) in &roles.vectors {
            let Some(field) = fields.get(*position) else { continue };
            let vector = match found.vector(*position) {
                Some(vector) => vector,
                None if field.nullable => continue,
                None => return Err(format!("the row has no vector `{}`", field.name)),
            };
            let Some(column) = self.builder.vector_index(name) else { continue };
            push_vector(field, vector, column, &mut self.builder).map_err(|error| error.to_string())?;
        }
        self.metadata.clear();
        for position in &roles.scalars {
            let Some(field) = fields.get(*position) else { continue };
            let out = self.metadata.key(&field.name);
            append_scalar(field, found.scalar(*position), out).map_err(|error| format!("`{}`: {error}", field.name))?;
        }
        if let Some(message) = roles.dynamic.and_then(|position| found.scalar(position)) {
            let mut dynamic = String::new();
            scalar::for_each(message, |value| {
                if let Scalar::Json(text) = value {
                    dynamic = text.to_owned();
                }
                Ok(())
            })
            .map_err(|error| error.to_string())?;
            append_dynamic(&dynamic, fields, &mut self.metadata)?;
        }
        let metadata = self.metadata.close().map_err(|fault| fault.to_string())?;
        let id_kind = if prepared.schema.ids == IdKinds::Integer { IdKind::Integer } else { IdKind::Text };
        let text = RowText { id: key, id_kind, namespace: None, document: None, metadata };
        self.builder.finish_row(text).map_err(|fault| fault.to_string())
    }
}

/// The values of a row, by the position of their field.
struct Found<'m> {
    values: Vec<Option<FoundValue<'m>>>,
}

#[derive(Clone, Copy)]
enum FoundValue<'m> {
    Scalar(&'m [u8]),
    Vector(&'m [u8]),
}

impl<'m> Found<'m> {
    fn read(data: &'m [u8], fields: &[Field]) -> Result<Self> {
        let mut found = Found { values: vec![None; fields.len()] };
        for entry in Message::new(data) {
            if let (1, value) = entry? {
                found.add(value.bytes()?, fields)?;
            }
        }
        Ok(found)
    }

    fn add(&mut self, message: &'m [u8], fields: &[Field]) -> Result<()> {
        let (mut id, mut name, mut value, mut valid) = (0, &b""[..], None, true);
        for entry in Message::new(message) {
            match entry? {
                (2, found) => name = found.bytes()?,
                (3, found) => value = Some(FoundValue::Scalar(found.bytes()?)),
                (4, found) => value = Some(FoundValue::Vector(found.bytes()?)),
                (5, found) => id = found.varint()?.cast_signed(),
                (7, found) => found.varints(|flag| valid &= flag != 0)?,
                _ => {}
            }
        }
        let by_id = fields.iter().position(|field| field.id == id && id >= 100);
        let position = by_id.or_else(|| fields.iter().position(|field| field.name.as_bytes() == name));
        if let Some(slot) = position.and_then(|position| self.values.get_mut(position)) {
            *slot = value.filter(|_| valid);
        }
        Ok(())
    }

    fn scalar(&self, position: usize) -> Option<&'m [u8]> {
        match self.values.get(position) {
            Some(Some(FoundValue::Scalar(message))) => Some(message),
            _ => None,
        }
    }

    fn vector(&self, position: usize) -> Option<&'m [u8]> {
        match self.values.get(position) {
            Some(Some(FoundValue::Vector(message))) => Some(message),
            _ => None,
        }
    }

    /// The primary key within the message must be the key of the row.
    fn check_key(&self, primary: usize, key: &str) -> Checked {
        let message = self.scalar(primary).ok_or("the row has no primary key")?;
        let mut same = false;
        scalar::for_each(message, |value| {
            same = match value {
                Scalar::Integer(number) => number.to_string() == key,
                Scalar::Text(text) => text == key,
                _ => false,
            };
            Ok(())
        })
        .map_err(|error| error.to_string())?;
        if same { Ok(()) } else { Err("the primary key is not the milvus_id of the row".to_owned()) }
    }
}

/// The one value of a scalar field, or null.
fn append_scalar(field: &Field, message: Option<&[u8]>, out: &mut Vec<u8>) -> Result<()> {
    let (start, mut count) = (out.len(), 0);
    scalar::for_each(message.unwrap_or_default(), |value| {
        count += 1;
        match value {
            Scalar::Json(text) => append_json(text, out),
            Scalar::Integer(number) if field.data_type == DataType::Bool => {
                out.extend_from_slice(if number == 0 { b"false" } else { b"true" });
            }
            value => scalar::append_scalar(value, out)?,
        }
        Ok(())
    })?;
    match count {
        0 => out.extend_from_slice(b"null"),
        1 => {}
        more => {
            out.truncate(start);
            return Err(Error::damaged(format!("the row has {more} values")));
        }
    }
    Ok(())
}

fn push_vector(field: &Field, message: &[u8], column: usize, builder: &mut BatchBuilder) -> Result<()> {
    for entry in Message::new(message) {
        let (number, value) = entry?;
        match number {
            2 => each_inner(value, |floats| {
                builder.push_bytes(column, floats);
                Ok(())
            })?,
            3 | 4 | 5 | 7 => builder.push_bytes(column, value.bytes()?),
            6 => each_inner(value, |pairs| push_sparse(&field.name, pairs, column, builder).map_err(Error::damaged))?,
            _ => {}
        }
    }
    Ok(())
}

/// Shows field 1 of a nested message.
fn each_inner(value: Value<'_>, mut show: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    for entry in Message::new(value.bytes()?) {
        if let (1, inner) = entry? {
            show(inner.bytes()?)?;
        }
    }
    Ok(())
}
