//! Rows of foreign Parquet as records.
//!
//! Invariant: a record's vector has the same values as the row. `f16` widens; an `f64` is taken if it is exactly an
//! `f32`, or the double nearest to the shortest decimal of one (a vector that was an `f32`, went through JSON text and
//! came out as double). Rows are counted from 0 in their file.
//!
//! Rejects: no id, a vector of another dimension, with nulls, not finite, or in doubles that `f32` cannot hold;
//! metadata that is no JSON object, or has a key that is also a column.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use tranship_collection::batch::RowText;
use tranship_collection::json::{self, append_string};
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, Fault};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, Reject, RejectSink, Result};
use tranship_kernels::print_f32;

use crate::decode::RawBatches;
use crate::error::damaged;
use crate::foreign::{ForeignColumns, IdSource};
use crate::foreign_sparse;
use crate::json_value::write_json;

/// What there is to one row, or the reason why it is a reject.
type Checked<T> = std::result::Result<T, String>;

/// Batches of one split of a foreign file.
pub struct ForeignBatches<'a> {
    pub(crate) path: &'a Path,
    pub(crate) raw: RawBatches,
    pub(crate) columns: &'a ForeignColumns,
    pub(crate) builder: BatchBuilder,
    /// Rows of the source before this file.
    pub(crate) rows_before: u64,
    /// The namespace of all rows of the file.
    pub(crate) namespace: Option<&'a str>,
    pub(crate) rejects: &'a mut dyn RejectSink,
    /// A batch that is not yet used up, with the number of its first row in the file and the next row to take.
    pub(crate) pending: Option<(u64, RecordBatch, usize)>,
    pub(crate) ended: bool,
    pub(crate) scratch: Scratch,
}

/// Buffers that are used again from row to row.
#[derive(Default)]
pub(crate) struct Scratch {
    metadata: Vec<u8>,
    canonical: Vec<u8>,
    number: Vec<u8>,
}

impl ForeignBatches<'_> {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.builder.bytes() < BATCH_BYTES {
            let Some((first_row, batch, next)) = self.pending.take() else {
                match self.raw.next().transpose()? {
                    Some((first_row, batch)) => self.pending = Some((first_row, batch, 0)),
                    None => {
                        self.ended = true;
                        break;
                    }
                }
                continue;
            };
            if next < batch.num_rows() {
                self.take_row(first_row, &batch, next)?;
                self.pending = Some((first_row, batch, next + 1));
            }
        }
        if self.builder.rows() == 0 {
            return Ok(None);
        }
        self.builder.finish().map(Some).map_err(|e| Error::bug("a batch cannot be built").caused_by(e))
    }

    fn take_row(&mut self, first_row: u64, batch: &RecordBatch, row: usize) -> Result<()> {
        let number = first_row + row as u64;
        let id = match self.id(batch, row, number) {
            Ok(id) => id,
            Err(reason) => return self.reject(number, None, reason),
        };
        match self.add(batch, row, &id) {
            Ok(()) => Ok(()),
            Err(reason) => {
                self.builder.rollback();
                self.reject(number, Some(id.0), reason)
            }
        }
    }

    fn reject(&mut self, row: u64, id: Option<String>, reason: String) -> Result<()> {
        let place = format!("{} row {row}", self.path.display());
        self.rejects.reject(Reject { place, id, reason, record: None })
    }

    fn id(&self, batch: &RecordBatch, row: usize, number: u64) -> Checked<(String, IdKind)> {
        let value = |name: &str| {
            let column = batch.column_by_name(name).ok_or_else(|| format!("there is no column `{name}`"))?;
            if column.is_null(row) { Err(format!("there is no `{name}`")) } else { Ok(column.clone()) }
        };
        match &self.columns.id {
            IdSource::RowNumber => Ok(((self.rows_before + number).to_string(), IdKind::Integer)),
            IdSource::Integer(name) => {
                let mut text = Vec::new();
                write_json(&value(name)?, row, &mut text)?;
                Ok((String::from_utf8_lossy(&text).into_owned(), IdKind::Integer))
            }
            IdSource::Text(name) => {
                let column = value(name)?;
                let texts = column.as_string_opt::<i32>().ok_or("the id is not text")?;
                Ok((texts.value(row).to_owned(), IdKind::Text))
            }
            IdSource::Uuid(name) => {
                let column = value(name)?;
                let bytes = column.as_fixed_size_binary_opt().ok_or("the id is not a UUID")?;
                Ok((uuid_text(bytes.value(row)), IdKind::Text))
            }
        }
    }

    fn add(&mut self, batch: &RecordBatch, row: usize, id: &(String, IdKind)) -> Checked<()> {
        if let Some(column) = self.columns.vector.as_ref().and_then(|name| batch.column_by_name(name)) {
            push_vector(column, row, &mut self.builder, &mut self.scratch.number)?;
        }
        if let Some(column) = self.columns.sparse.as_ref().and_then(|name| batch.column_by_name(name)) {
            foreign_sparse::push(column, row, &mut self.builder)?;
        }
        let text = |name: &Option<String>| {
            let column = name.as_ref().and_then(|name| batch.column_by_name(name))?;
            column.as_string_opt::<i32>().filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row))
        };
        let document = text(&self.columns.document);
        let Scratch { metadata, canonical, .. } = &mut self.scratch;
        metadata.clear();
        merge_metadata(text(&self.columns.metadata), self.columns, batch, row, metadata, canonical)?;
        let metadata = str::from_utf8(metadata).map_err(|e| e.to_string())?;
        let metadata = (!metadata.is_empty()).then_some(metadata);
        let record = RowText { id: &id.0, id_kind: id.1, namespace: self.namespace, document, metadata };
        self.builder.finish_row(record).map_err(|fault: Fault| fault.to_string())
    }
}

impl Iterator for ForeignBatches<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.next_batch();
        self.ended |= batch.is_err();
        batch.transpose()
    }
}

/// The metadata column's object, verbatim where there are no other keys, with the other columns behind it.
fn merge_metadata(
    verbatim: Option<&str>,
    columns: &ForeignColumns,
    batch: &RecordBatch,
    row: usize,
    out: &mut Vec<u8>,
    canonical: &mut Vec<u8>,
) -> Checked<()> {
    let mut first = true;
    if let Some(text) = verbatim {
        let has_keys = json::check_object(text, canonical).map_err(|fault| fault.to_string())?;
        if columns.keys.is_empty() {
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let inner = text.trim_ascii().strip_suffix('}').unwrap_or(text);
        out.extend_from_slice(inner.trim_ascii_end().as_bytes());
        first = !has_keys;
    } else if columns.keys.is_empty() {
        return Ok(());
    } else {
        out.push(b'{');
    }
    for name in &columns.keys {
        let column = batch.column_by_name(name).ok_or_else(|| format!("there is no column `{name}`"))?;
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        append_string(name, out);
        out.push(b':');
        write_json(column, row, out).map_err(|reason| format!("column `{name}`: {reason}"))?;
    }
    out.push(b'}');
    let text = str::from_utf8(out).map_err(|e| e.to_string())?;
    json::check_object(text, canonical).map(|_| ()).map_err(|fault| fault.to_string())
}

fn push_vector(column: &ArrayRef, row: usize, builder: &mut BatchBuilder, number: &mut Vec<u8>) -> Checked<()> {
    let list = column.as_list_opt::<i32>().ok_or("the vector column is not a list")?;
    if list.is_null(row) {
        return Ok(());
    }
    let values = list.value(row);
    if values.is_empty() {
        return Err("vector is empty; it should be null if the record has none".to_owned());
    }
    if values.null_count() > 0 {
        return Err("vector: an element is null".to_owned());
    }
    if builder.vector_index("").is_none() {
        return Err("vector: no row before had one".to_owned());
    }
    let out = builder.dense_values(0);
    match values.data_type() {
        DataType::Float32 => out.extend_from_slice(values.as_primitive::<Float32Type>().values()),
        DataType::Float16 => out.extend(values.as_primitive::<Float16Type>().values().iter().map(|v| v.to_f32())),
        DataType::Float64 => {
            for (position, value) in values.as_primitive::<Float64Type>().values().iter().enumerate() {
                out.push(narrow(*value, number).ok_or_else(|| {
                    format!(
                        "vector: element {position} is {value}, which f32 cannot hold; make the column FLOAT first \
                         if rounding is meant (DuckDB: SELECT * REPLACE (v::FLOAT[] AS v))"
                    )
                })?);
            }
        }
        other => return Err(format!("vector: elements are {other}")),
    }
    Ok(())
}

/// The `f32` that `value` was before it became a double, if there is one.
pub(crate) fn narrow(value: f64, number: &mut Vec<u8>) -> Option<f32> {
    let narrowed = value as f32;
    if f64::from(narrowed).to_bits() == value.to_bits() || !value.is_finite() {
        return Some(narrowed);
    }
    if !narrowed.is_finite() {
        return None;
    }
    number.clear();
    print_f32(narrowed, number);
    let spelled: f64 = str::from_utf8(number).ok()?.parse().ok()?;
    (spelled == value).then_some(narrowed)
}

fn uuid_text(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match hex.len() {
        32 => format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]),
        _ => hex,
    }
}

/// The error for a file of a directory whose columns are not those of the first.
pub(crate) fn other_columns(path: &Path, first: &Path) -> Error {
    damaged(path, format!("the columns are not those of {}", first.display()))
        .hint("all Parquet files of a directory must have the same columns; read them one by one")
}
