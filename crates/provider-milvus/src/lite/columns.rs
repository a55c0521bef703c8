//! Columns of Milvus Lite 3, in Parquet files and logs alike, and what becomes of their values.
//!
//! | field | column | tranship |
//! |---|---|---|
//! | bool, int8..64, float, double | the same | literal; an `f32` is widened exactly |
//! | varchar, geometry (WKT) | utf8 | string |
//! | json, `$meta` | utf8 | as it is written |
//! | timestamptz | timestamp in microseconds, UTC | `{"$time": ..}` |
//! | array | list | array |
//! | float_vector | list or fixed-size list of float | dense; in a nullable field zeros only stand for null |
//! | sparse_float_vector | binary | sparse |
//! | other vectors | binary of either kind | dense or bits |
//!
//! A column that is not there gives nulls: the field was added later.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType as ArrowType, TimeUnit};
use tranship_collection::BatchBuilder;
use tranship_collection::json::{append_bool, append_float, append_integer, append_string};

use super::values::{Checked, append_json, push_sparse};
use crate::dialect::{DataType, Field};
use crate::time::append_timestamptz;

/// The number of the operation that wrote a row.
pub const SEQUENCE: &str = "_seq";
/// The partition of a row in a log.
pub const PARTITION: &str = "_partition";

/// A primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    Integer(i64),
    Text(&'a str),
}

impl Key<'_> {
    /// The digest that stands for it.
    pub fn digest(&self) -> u128 {
        match self {
            Key::Integer(number) => xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes()),
            Key::Text(text) => xxhash_rust::xxh3::xxh3_128(text.as_bytes()),
        }
    }
}

/// The column of keys and that of sequence numbers, their types known; the reason if they are not what they should be.
pub struct Keys<'b> {
    keys: &'b ArrayRef,
    sequence: &'b ArrayRef,
}

impl<'b> Keys<'b> {
    /// Finds them in a batch.
    pub fn of(batch: &'b RecordBatch, primary: &str) -> Result<Self, String> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("there is no column `{name}`"));
        let (keys, sequence) = (column(primary)?, column(SEQUENCE)?);
        if !matches!(keys.data_type(), ArrowType::Int64 | ArrowType::Utf8) || keys.null_count() > 0 {
            return Err(format!("`{primary}` is {} with {} nulls, no key", keys.data_type(), keys.null_count()));
        }
        if sequence.data_type() != &ArrowType::UInt64 || sequence.null_count() > 0 {
            return Err(format!("`{SEQUENCE}` is {}, no number", sequence.data_type()));
        }
        Ok(Keys { keys, sequence })
    }

    /// The key of a row of the batch.
    pub fn key(&self, row: usize) -> Key<'b> {
        match self.keys.data_type() {
            ArrowType::Int64 => Key::Integer(self.keys.as_primitive::<Int64Type>().value(row)),
            _ => Key::Text(self.keys.as_string::<i32>().value(row)),
        }
    }

    /// The sequence number of a row of the batch.
    pub fn sequence(&self, row: usize) -> u64 {
        self.sequence.as_primitive::<UInt64Type>().value(row)
    }
}

/// The text in a row of a text column; `None` for null and for no column.
pub fn text<'b>(batch: &'b RecordBatch, name: &str, row: usize) -> Result<Option<&'b str>, String> {
    match batch.column_by_name(name) {
        Some(column) if column.data_type() != &ArrowType::Utf8 => Err(format!("`{name}` is {}", column.data_type())),
        Some(column) if column.is_valid(row) => Ok(Some(column.as_string::<i32>().value(row))),
        _ => Ok(None),
    }
}

/// Appends the value of a scalar field.
pub fn append_value(field: &Field, column: Option<&ArrayRef>, row: usize, out: &mut Vec<u8>) -> Checked {
    let Some(column) = column.filter(|column| column.is_valid(row)) else {
        let default = field.default.as_ref().filter(|_| column.is_none());
        out.extend_from_slice(default.map_or("null".to_owned(), ToString::to_string).as_bytes());
        return Ok(());
    };
    match (field.data_type, column.data_type()) {
        (DataType::Json, ArrowType::Utf8) => append_json(column.as_string::<i32>().value(row), out),
        _ => append_element(column, row, out).map_err(|reason| format!("`{}`: {reason}", field.name))?,
    }
    Ok(())
}

fn append_element(column: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Checked {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match column.data_type() {
        ArrowType::Boolean => append_bool(column.as_boolean().value(row), out),
        ArrowType::Int8 => append_integer(column.as_primitive::<Int8Type>().value(row).into(), out),
        ArrowType::Int16 => append_integer(column.as_primitive::<Int16Type>().value(row).into(), out),
        ArrowType::Int32 => append_integer(column.as_primitive::<Int32Type>().value(row).into(), out),
        ArrowType::Int64 => append_integer(column.as_primitive::<Int64Type>().value(row).into(), out),
        ArrowType::Float32 => append_float(column.as_primitive::<Float32Type>().value(row).into(), out),
        ArrowType::Float64 => append_float(column.as_primitive::<Float64Type>().value(row), out),
        ArrowType::Utf8 => append_string(column.as_string::<i32>().value(row), out),
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
            append_timestamptz(column.as_primitive::<TimestampMicrosecondType>().value(row), out);
        }
        ArrowType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            out.push(b'[');
            for item in 0..items.len() {
                if item > 0 {
                    out.push(b',');
                }
                append_element(&items, item, out)?;
            }
            out.push(b']');
        }
        other => return Err(format!("the type {other} is not known here")),
    }
    Ok(())
}

/// Writes the value of a vector field into the open record.
pub fn push_vector(
    field: &Field,
    array: Option<&ArrayRef>,
    row: usize,
    column: usize,
    builder: &mut BatchBuilder,
) -> Checked {
    let Some(array) = array.filter(|array| array.is_valid(row)) else { return Ok(()) };
    let items = match array.data_type() {
        ArrowType::List(_) => array.as_list::<i32>().value(row),
        ArrowType::FixedSizeList(..) => array.as_fixed_size_list().value(row),
        ArrowType::Binary if field.data_type == DataType::SparseFloatVector => {
            return push_sparse(&field.name, array.as_binary::<i32>().value(row), column, builder);
        }
        ArrowType::Binary => {
            builder.push_bytes(column, array.as_binary::<i32>().value(row));
            return Ok(());
        }
        ArrowType::FixedSizeBinary(_) => {
            builder.push_bytes(column, array.as_fixed_size_binary().value(row));
            return Ok(());
        }
        other => return Err(format!("`{}`: {other} is no vector", field.name)),
    };
    if items.data_type() != &ArrowType::Float32 || items.null_count() > 0 {
        return Err(format!("`{}`: a vector of {} with {} nulls", field.name, items.data_type(), items.null_count()));
    }
    let values = items.as_primitive::<Float32Type>().values();
    if !(field.nullable && is_zero(values)) {
        builder.push_dense(column, values);
    }
    Ok(())
}

/// True if a row of the column of a nullable vector field has zeros only, which Milvus Lite writes for null.
pub fn stands_for_null(array: &ArrayRef, row: usize) -> bool {
    let items = match array.data_type() {
        ArrowType::List(_) if array.is_valid(row) => array.as_list::<i32>().value(row),
        ArrowType::FixedSizeList(..) if array.is_valid(row) => array.as_fixed_size_list().value(row),
        _ => return false,
    };
    items.as_primitive_opt::<Float32Type>().is_some_and(|floats| is_zero(floats.values()))
}

fn is_zero(values: &[f32]) -> bool {
    values.iter().all(|value| value.to_bits() == 0)
}
