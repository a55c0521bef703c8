//! Where the rows of a segment lie: for each of its fields the pieces of Parquet, in the order of the rows.
//!
//! ```text
//! field 100   | payload 0, 4000 rows | payload 1, 4000 rows | payload 2, 123 rows |
//! field 101   | payload 0, 4000 rows | payload 1, 4000 rows | payload 2, 123 rows |      8123 rows each
//! ```
//!
//! Invariant: all fields that are there have the same number of rows, and row `i` of each belongs to one record. A
//! field that is nullable, dynamic or has a default may be missing: it was added after the segment was written.
//!
//! Errors: damaged for a log of another field or type, a missing field, and numbers of rows that differ.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::DataType as ArrowType;
use tranship_connector::{Error, Result};
use tranship_storage::{Blob, Limits};

use super::catalog::Segment;
use super::cell::{Cell, Values};
use super::log::{Header, Log, Payload};
use super::payload::{Column, Pages, Parquet};
use crate::dialect::{DataType, Field};

/// The field that holds the time of each row.
pub const TIMESTAMP: i64 = 1;
/// System fields have ids below this.
pub const FIRST_USER_FIELD: i64 = 100;

/// A segment whose footers have been read.
#[derive(Debug)]
pub struct MappedSegment {
    /// Rows of every field.
    pub rows: u64,
    /// Its partition.
    pub partition: i64,
    /// Pieces of each field by id.
    fields: BTreeMap<i64, Vec<Piece>>,
    /// The files, by number.
    logs: Vec<Blob>,
}

/// Some rows of one field.
#[derive(Debug, Clone, Copy)]
struct Piece {
    log: usize,
    payload: Payload,
    column: usize,
    first_row: u64,
    rows: u64,
}

impl MappedSegment {
    /// Reads all headers and footers of `segment`. Ids of fields that nobody declared go to `strangers`.
    pub fn open(segment: &Segment, fields: &[Field], limits: &Limits, strangers: &mut BTreeSet<i64>) -> Result<Self> {
        let mut mapped =
            MappedSegment { rows: 0, partition: segment.partition, fields: BTreeMap::new(), logs: Vec::new() };
        for (group, blobs) in &segment.groups {
            for blob in blobs {
                mapped.add(*group, blob, fields, limits)?;
            }
        }
        let declared = |id: &i64| *id < FIRST_USER_FIELD || fields.iter().any(|field| field.id == *id);
        strangers.extend(mapped.fields.keys().filter(|id| !declared(id)));
        mapped.check(segment, fields)?;
        Ok(mapped)
    }

    fn add(&mut self, group: i64, blob: &Blob, fields: &[Field], limits: &Limits) -> Result<()> {
        let log = Log::open(blob)?;
        if let Some(header) = &log.header {
            check_header(header, group, fields, log.label())?;
        }
        for payload in &log.payloads {
            let parquet = Parquet::open(&log.blob, *payload, limits)?;
            for (column, described) in parquet.columns().into_iter().enumerate() {
                let id = log.header.as_ref().map(|header| header.field).or(described.field);
                let Some(id) = id else {
                    return Err(Error::damaged(format!("column `{}` names no Milvus field", described.name))
                        .with("file", log.label())
                        .hint("packed Parquet has the field's id beside each column, or as its name"));
                };
                if let Some(field) = fields.iter().find(|field| field.id == id) {
                    check_type(field, &described, log.label())?;
                }
                self.push(id, column, *payload, parquet.rows());
            }
        }
        self.logs.push(blob.clone());
        Ok(())
    }

    fn push(&mut self, id: i64, column: usize, payload: Payload, rows: u64) {
        let pieces = self.fields.entry(id).or_default();
        let first_row = pieces.last().map_or(0, |last| last.first_row.saturating_add(last.rows));
        pieces.push(Piece { log: self.logs.len(), payload, column, first_row, rows });
    }

    fn check(&mut self, segment: &Segment, fields: &[Field]) -> Result<()> {
        let rows_of = |pieces: &Vec<Piece>| pieces.last().map_or(0, |last| last.first_row.saturating_add(last.rows));
        let key = fields.iter().find(|field| field.primary).map_or(0, |field| field.id);
        self.rows = self.fields.get(&key).map_or(0, rows_of);
        let place = || self.logs.first().map_or_else(String::new, |log| log.label().to_owned());
        for (id, pieces) in &self.fields {
            let rows = rows_of(pieces);
            if rows != self.rows {
                return Err(Error::damaged(format!(
                    "segment {} has {rows} rows of field {id} and {} of the primary key",
                    segment.id, self.rows
                ))
                .with("file", self.label_of(pieces))
                .hint("logs are missing, or the segment was being written; copy it again"));
            }
        }
        let needed = fields.iter().filter(|f| !f.nullable && !f.dynamic && f.default.is_none()).map(|f| f.id);
        let missing = needed.chain([TIMESTAMP]).find(|id| !self.fields.contains_key(id));
        if let Some(id) = missing.filter(|_| !self.fields.is_empty()) {
            return Err(Error::damaged(format!("segment {} has no log of field {id}", segment.id))
                .with("file", place())
                .hint("the directory of the segment is not whole; copy it again"));
        }
        Ok(())
    }

    /// True if it holds the field.
    pub fn has(&self, field: i64) -> bool {
        self.fields.contains_key(&field)
    }

    fn label_of(&self, pieces: &[Piece]) -> &str {
        let log = pieces.first().and_then(|piece| self.logs.get(piece.log));
        log.map_or("", Blob::label)
    }

    /// The file that holds the row of a field, for messages.
    pub fn file_of(&self, field: i64, row: u64) -> &str {
        let piece = self.fields.get(&field).and_then(|pieces| pieces.iter().rfind(|piece| piece.first_row <= row));
        piece.and_then(|piece| self.logs.get(piece.log)).map_or("", Blob::label)
    }

    /// Reads rows `start..end` of a field; `None` if the segment does not have it.
    pub fn stream(&self, field: i64, start: u64, end: u64, limits: &Limits) -> Option<Stream<'_>> {
        let pieces = self.fields.get(&field)?;
        let wanted = pieces.iter().filter(|p| p.first_row < end && p.first_row.saturating_add(p.rows) > start);
        let pieces: Vec<Piece> = wanted.copied().collect();
        Some(Stream {
            segment: self,
            pieces: pieces.into_iter(),
            start,
            end,
            limits: limits.clone(),
            pages: None,
            values: None,
            next: 0,
        })
    }
}

/// The values of one field, row by row.
pub struct Stream<'a> {
    segment: &'a MappedSegment,
    pieces: std::vec::IntoIter<Piece>,
    start: u64,
    end: u64,
    limits: Limits,
    pages: Option<Pages>,
    values: Option<Values>,
    next: usize,
}

impl Stream<'_> {
    /// Steps to the next row.
    pub fn advance(&mut self) -> Result<()> {
        self.next += 1;
        while self.values.as_ref().is_none_or(|values| self.next >= values.len()) {
            self.next = 0;
            self.values = Some(self.load()?);
        }
        Ok(())
    }

    /// The value of the row that was stepped to.
    pub fn cell(&self) -> Cell<'_> {
        self.values.as_ref().map_or(Cell::Null, |values| values.cell(self.next))
    }

    fn load(&mut self) -> Result<Values> {
        loop {
            if let Some(pages) = &mut self.pages
                && let Some(array) = pages.next_array()?
            {
                return Values::of(&array).ok_or_else(|| Error::bug("a column changed its type"));
            }
            let piece = self.pieces.next().ok_or_else(|| Error::bug("more rows were asked for than there are"))?;
            self.pages = Some(self.open(piece)?);
        }
    }

    fn open(&mut self, piece: Piece) -> Result<Pages> {
        let blob = self.segment.logs.get(piece.log).ok_or_else(|| Error::bug("a log without a file"))?;
        let from = self.start.saturating_sub(piece.first_row);
        let to = (self.end - piece.first_row).min(piece.rows);
        Parquet::open(blob, piece.payload, &self.limits)?.read(piece.column, from, to)
    }
}

fn check_header(header: &Header, group: i64, fields: &[Field], label: &str) -> Result<()> {
    let wrong = |what: String| {
        Error::damaged(format!("the Milvus log is {what}"))
            .with("file", label)
            .hint("it lies in a directory where it does not belong; copy the dump again")
    };
    if header.field != group {
        return Err(wrong(format!("one of field {}, not {group}", header.field)));
    }
    let declared = fields.iter().find(|field| field.id == header.field).map(|field| field.data_type);
    match declared.filter(|declared| declared.number() != header.data_type) {
        Some(declared) => {
            Err(wrong(format!("of type {}, field {} is declared {}", header.data_type, header.field, declared.name())))
        }
        None => Ok(()),
    }
}

/// Checks that values of a column can be values of the field.
fn check_type(field: &Field, column: &Column, label: &str) -> Result<()> {
    use DataType as T;
    let vector_bytes = || field.dim.and_then(|dim| field.data_type.vector_bytes(dim));
    let fits = match (field.data_type, &column.data_type) {
        (T::Bool, ArrowType::Boolean) => true,
        (T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Timestamptz, found) => {
            matches!(found, ArrowType::Int8 | ArrowType::Int16 | ArrowType::Int32 | ArrowType::Int64)
        }
        (T::Float, ArrowType::Float32) | (T::Double, ArrowType::Float64) => true,
        (T::String | T::VarChar | T::Text | T::Json | T::Geometry, ArrowType::Utf8 | ArrowType::Binary) => true,
        (T::Array | T::SparseFloatVector, ArrowType::Binary) => true,
        (T::ArrayOfVector, ArrowType::List(item)) => {
            matches!(item.data_type(), ArrowType::FixedSizeBinary(_) | ArrowType::Binary)
        }
        (vector, ArrowType::Binary) => vector.is_vector(),
        (vector, ArrowType::FixedSizeBinary(width)) if vector.is_vector() => {
            vector_bytes() == usize::try_from(*width).ok()
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let dim = field.dim.map(|dim| format!(" of {dim} dimensions")).unwrap_or_default();
    Err(Error::damaged(format!(
        "field `{}` is declared {}{dim}, but its column is {}",
        field.name,
        field.data_type.name(),
        column.data_type
    ))
    .with("file", label)
    .hint("check that the schema belongs to this collection"))
}
