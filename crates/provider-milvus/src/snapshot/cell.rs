//! One value of one column, and the arrays that it is taken from.
//!
//! Invariant: a [`Cell`] borrows from its array; integers of all widths are one kind. Errors: damaged for a column
//! whose Parquet type no Milvus field has.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, ListArray, StringArray,
};
use arrow_schema::DataType as ArrowType;

/// A value.
#[derive(Debug, Clone)]
pub enum Cell<'a> {
    /// None.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer of any width.
    Integer(i64),
    /// A float of four bytes.
    Float(f32),
    /// A float of eight bytes.
    Double(f64),
    /// Text.
    Text(&'a str),
    /// Bytes: vectors, arrays, JSON, geometry.
    Bytes(&'a [u8]),
    /// The elements of a list.
    List(ArrayRef),
}

/// An array with its type known.
#[derive(Debug, Clone)]
pub enum Values {
    /// Booleans.
    Bool(BooleanArray),
    /// Signed bytes.
    Int8(Int8Array),
    /// Sixteen bits.
    Int16(Int16Array),
    /// Thirty-two bits.
    Int32(Int32Array),
    /// Sixty-four bits.
    Int64(Int64Array),
    /// Floats of four bytes.
    Float(Float32Array),
    /// Floats of eight bytes.
    Double(Float64Array),
    /// Texts.
    Text(StringArray),
    /// Bytes of any length.
    Bytes(BinaryArray),
    /// Bytes of one length.
    Fixed(FixedSizeBinaryArray),
    /// Lists.
    List(ListArray),
}

impl Values {
    /// The values of `array`; `None` for a type that no Milvus field has.
    pub fn of(array: &ArrayRef) -> Option<Self> {
        Some(match array.data_type() {
            ArrowType::Boolean => Values::Bool(array.as_boolean().clone()),
            ArrowType::Int8 => Values::Int8(array.as_primitive::<Int8Type>().clone()),
            ArrowType::Int16 => Values::Int16(array.as_primitive::<Int16Type>().clone()),
            ArrowType::Int32 => Values::Int32(array.as_primitive::<Int32Type>().clone()),
            ArrowType::Int64 => Values::Int64(array.as_primitive::<Int64Type>().clone()),
            ArrowType::Float32 => Values::Float(array.as_primitive::<Float32Type>().clone()),
            ArrowType::Float64 => Values::Double(array.as_primitive::<Float64Type>().clone()),
            ArrowType::Utf8 => Values::Text(array.as_string::<i32>().clone()),
            ArrowType::Binary => Values::Bytes(array.as_binary::<i32>().clone()),
            ArrowType::FixedSizeBinary(_) => Values::Fixed(array.as_fixed_size_binary().clone()),
            ArrowType::List(_) => Values::List(array.as_list::<i32>().clone()),
            _ => return None,
        })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.array().len()
    }

    /// The value of `row`, which is below [`Self::len`].
    pub fn cell(&self, row: usize) -> Cell<'_> {
        if row >= self.len() || self.array().is_null(row) {
            return Cell::Null;
        }
        match self {
            Values::Bool(values) => Cell::Bool(values.value(row)),
            Values::Int8(values) => Cell::Integer(values.value(row).into()),
            Values::Int16(values) => Cell::Integer(values.value(row).into()),
            Values::Int32(values) => Cell::Integer(values.value(row).into()),
            Values::Int64(values) => Cell::Integer(values.value(row)),
            Values::Float(values) => Cell::Float(values.value(row)),
            Values::Double(values) => Cell::Double(values.value(row)),
            Values::Text(values) => Cell::Text(values.value(row)),
            Values::Bytes(values) => Cell::Bytes(values.value(row)),
            Values::Fixed(values) => Cell::Bytes(values.value(row)),
            Values::List(values) => Cell::List(values.value(row)),
        }
    }

    fn array(&self) -> &dyn Array {
        match self {
            Values::Bool(values) => values,
            Values::Int8(values) => values,
            Values::Int16(values) => values,
            Values::Int32(values) => values,
            Values::Int64(values) => values,
            Values::Float(values) => values,
            Values::Double(values) => values,
            Values::Text(values) => values,
            Values::Bytes(values) => values,
            Values::Fixed(values) => values,
            Values::List(values) => values,
        }
    }
}
