//! Values in their places: vectors into the batch, everything else into the text of the metadata.
//!
//! Invariant: an `f32` scalar is widened exactly to `f64`, as pymilvus answers; null stays `null`; JSON stays as it is
//! written. The reason of a value that cannot be taken over comes back as text, for a reject.

use arrow_array::{Array, ArrayRef};
use tranship_collection::BatchBuilder;
use tranship_collection::json::{
    Entries, ObjectText, append_bool, append_bytes, append_float, append_integer, append_string,
};

use super::cell::{Cell, Values};
use crate::dialect::{DYNAMIC_FIELD, DataType, Field};
use crate::{scalar, time};

/// Done, or the reason for a reject.
pub type Checked = Result<(), String>;

/// Appends the value of a scalar field as JSON.
pub fn append_json(field: &Field, cell: &Cell<'_>, out: &mut Vec<u8>) -> Checked {
    match (field.data_type, cell) {
        (_, Cell::Null) => out.extend_from_slice(b"null"),
        (DataType::Timestamptz, Cell::Integer(micros)) => time::append_timestamptz(*micros, out),
        (_, Cell::Bool(value)) => append_bool(*value, out),
        (_, Cell::Integer(value)) => append_integer((*value).into(), out),
        (_, Cell::Float(value)) => append_float((*value).into(), out),
        (_, Cell::Double(value)) => append_float(*value, out),
        (DataType::Array, Cell::Bytes(message)) => {
            scalar::append_array(message, out).map_err(|error| format!("field `{}`: {error}", field.name))?;
        }
        (DataType::Geometry, Cell::Bytes(wkb)) => append_bytes(wkb, out),
        (DataType::Json, Cell::Text("") | Cell::Bytes(b"")) => out.extend_from_slice(b"null"),
        (DataType::Json, Cell::Text(text)) => out.extend_from_slice(text.as_bytes()),
        (DataType::Json, Cell::Bytes(bytes)) => out.extend_from_slice(utf8(field, bytes)?.as_bytes()),
        (_, Cell::Text(text)) => append_string(text, out),
        (_, Cell::Bytes(bytes)) => append_string(utf8(field, bytes)?, out),
        (_, Cell::List(_)) => return Err(format!("field `{}` holds a list", field.name)),
    }
    Ok(())
}

/// Merges the keys of the dynamic field; those that are named like a declared field stay in an object of their own.
pub fn append_dynamic(cell: &Cell<'_>, fields: &[Field], text: &mut ObjectText) -> Checked {
    let object = match cell {
        Cell::Text(text) => *text,
        Cell::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|error| format!("{DYNAMIC_FIELD}: {error}"))?,
        _ => return Ok(()),
    };
    if object.trim().is_empty() || object.trim() == "null" {
        return Ok(());
    }
    let entries = Entries::parse(object).map_err(|fault| format!("{DYNAMIC_FIELD}: {fault}"))?;
    let mut hidden = ObjectText::default();
    for (key, value) in &entries.0 {
        let declared = key == DYNAMIC_FIELD || fields.iter().any(|field| field.name == *key);
        let target = if declared { &mut hidden } else { &mut *text };
        target.key(key).extend_from_slice(value.get().as_bytes());
    }
    if let Some(hidden) = hidden.close().map_err(|fault| fault.to_string())? {
        text.key(DYNAMIC_FIELD).extend_from_slice(hidden.as_bytes());
    }
    Ok(())
}

/// Writes the value of a vector field into the open record.
pub fn push_vector(field: &Field, cell: &Cell<'_>, column: usize, builder: &mut BatchBuilder) -> Checked {
    match (field.data_type, cell) {
        (_, Cell::Null) => Ok(()),
        (DataType::SparseFloatVector, Cell::Bytes(bytes)) => {
            let (indices, values) = sparse(bytes).ok_or_else(|| {
                format!("vector `{}`: {} bytes are no pairs of index and value", field.name, bytes.len())
            })?;
            builder.push_sparse(column, &indices, &values).map_err(|fault| fault.to_string())
        }
        (DataType::ArrayOfVector, Cell::List(items)) => push_multi(field, items, column, builder),
        (_, Cell::Bytes(bytes)) => {
            builder.push_bytes(column, bytes);
            Ok(())
        }
        _ => Err(format!("vector `{}` is no vector", field.name)),
    }
}

/// Pairs of `u32` index and `f32` value.
pub fn sparse(bytes: &[u8]) -> Option<(Vec<u32>, Vec<f32>)> {
    let (pairs, []) = bytes.as_chunks::<8>() else { return None };
    let pair = |[a, b, c, d, e, f, g, h]: &[u8; 8]| {
        (u32::from_le_bytes([*a, *b, *c, *d]), f32::from_le_bytes([*e, *f, *g, *h]))
    };
    Some(pairs.iter().map(pair).unzip())
}

fn push_multi(field: &Field, items: &ArrayRef, column: usize, builder: &mut BatchBuilder) -> Checked {
    let bad = |what: &str| format!("vector `{}`: {what}", field.name);
    let element = field.element_type.unwrap_or(DataType::FloatVector);
    let width = field.dim.and_then(|dim| element.vector_bytes(dim)).ok_or_else(|| bad("of no dimension"))?;
    let values = Values::of(items).ok_or_else(|| bad("not a list of vectors"))?;
    let mut floats = Vec::with_capacity(items.len().saturating_mul(field.dim.unwrap_or(0)).min(1 << 20));
    for row in 0..values.len() {
        let Cell::Bytes(bytes) = values.cell(row) else { return Err(bad("an element is null")) };
        if bytes.len() != width {
            return Err(bad(&format!("an element has {} bytes, not {width}", bytes.len())));
        }
        widen(element, bytes, &mut floats);
    }
    builder.push_multi(column, &floats);
    Ok(())
}

/// Elements as floats of four bytes; exact for every type.
fn widen(element: DataType, bytes: &[u8], out: &mut Vec<f32>) {
    let pairs = bytes.as_chunks::<2>().0.iter();
    match element {
        DataType::Float16Vector => out.extend(pairs.map(|pair| half::f16::from_le_bytes(*pair).to_f32())),
        DataType::BFloat16Vector => out.extend(pairs.map(|pair| half::bf16::from_le_bytes(*pair).to_f32())),
        DataType::Int8Vector => out.extend(bytes.iter().map(|byte| f32::from(byte.cast_signed()))),
        _ => out.extend(bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word))),
    }
}

fn utf8<'b>(field: &Field, bytes: &'b [u8]) -> Result<&'b str, String> {
    std::str::from_utf8(bytes).map_err(|error| format!("field `{}`: {error}", field.name))
}
