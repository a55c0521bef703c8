//! Values that both formats of Milvus Lite hold alike: dynamic fields, JSON and sparse vectors.

use tranship_collection::BatchBuilder;
use tranship_collection::json::{Entries, ObjectText, append_string};

use crate::dialect::{DYNAMIC_FIELD, Field};

/// Done, or the reason for a reject.
pub type Checked = Result<(), String>;

/// Merges the keys of the dynamic field; those that are named like a declared field stay in an object of their own.
pub fn append_dynamic(object: &str, fields: &[Field], text: &mut ObjectText) -> Checked {
    if matches!(object.trim(), "" | "null") {
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
    let (pairs, []) = bytes.as_chunks::<8>() else {
        return Err(format!("vector `{name}`: {} bytes are no pairs of index and value", bytes.len()));
    };
    let pair = |[a, b, c, d, e, f, g, h]: &[u8; 8]| {
        (u32::from_le_bytes([*a, *b, *c, *d]), f32::from_le_bytes([*e, *f, *g, *h]))
    };
    let mut pairs: Vec<(u32, f32)> = pairs.iter().map(pair).collect();
    pairs.sort_by_key(|(index, _)| *index);
    let (indices, values): (Vec<u32>, Vec<f32>) = pairs.into_iter().unzip();
    builder.push_sparse(column, &indices, &values).map_err(|fault| fault.to_string())
}
