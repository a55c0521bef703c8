//! Values that both formats of Milvus Lite hold alike: dynamic fields, JSON and sparse vectors.

use tranship_collection::BatchBuilder;
use tranship_collection::json::{ObjectText, append_string};

use crate::dialect::Field;
use crate::snapshot::cell::Cell;
pub use crate::snapshot::value::Checked;
use crate::snapshot::value::{self, sparse};

/// Merges the keys of the dynamic field; those that are named like a declared field stay in an object of their own.
pub fn append_dynamic(object: &str, fields: &[Field], text: &mut ObjectText) -> Checked {
    value::append_dynamic(&Cell::Text(object), fields, text)
}

/// Appends JSON as it is written. Milvus Lite 3 keeps a JSON string without its quotes: what is no JSON is text.
pub fn append_json(text: &str, out: &mut Vec<u8>) {
    match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        Ok(_) => out.extend_from_slice(text.as_bytes()),
        Err(_) if text.is_empty() => out.extend_from_slice(b"null"),
        Err(_) => append_string(text, out),
    }
}

/// Appends a sparse vector: pairs of `u32` index and `f32` value, little-endian, in any order.
pub fn push_sparse(name: &str, bytes: &[u8], column: usize, builder: &mut BatchBuilder) -> Checked {
    let (indices, values) = sparse(bytes)
        .ok_or_else(|| format!("vector `{name}`: {} bytes are no pairs of index and value", bytes.len()))?;
    let mut pairs: Vec<(u32, f32)> = indices.into_iter().zip(values).collect();
    pairs.sort_by_key(|(index, _)| *index);
    let (indices, values): (Vec<u32>, Vec<f32>) = pairs.into_iter().unzip();
    builder.push_sparse(column, &indices, &values).map_err(|fault| fault.to_string())
}
