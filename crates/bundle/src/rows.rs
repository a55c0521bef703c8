//! Pieces that writers and readers of text forms share: vectors and values as JSON, and back.
//!
//! Invariant: a float is written with the fewest digits that read back as the same f32, also through f64; what is read
//! is the f32 nearest to its text. Errors are texts for a reader to locate.

use tranship_collection::json::{Items, append_string};
use tranship_collection::{BatchBuilder, BatchView, VectorKind, VectorValue};
use tranship_kernels::{print_f32, print_f32_array, scan_f32_array};

/// A part of a record, or why it does not fit.
pub type Fitted<T> = std::result::Result<T, String>;

/// The one f32 whose shortest text, rounded first to f64, becomes its neighbour (found by trying all of them).
const ROUNDS_TWICE: u32 = 0x15ae_43fd;
const ROUNDS_TWICE_TEXT: &str = "7.0385307e-26";

/// Appends a JSON array of floats.
pub fn append_floats(values: &[f32], out: &mut Vec<u8>) {
    let rounds_twice = |value: &f32| value.to_bits() & 0x7fff_ffff == ROUNDS_TWICE;
    if !values.iter().any(rounds_twice) {
        return print_f32_array(values, out);
    }
    for (position, value) in values.iter().enumerate() {
        out.push(if position == 0 { b'[' } else { b',' });
        match rounds_twice(value) {
            true if value.is_sign_negative() => out.extend_from_slice(format!("-{ROUNDS_TWICE_TEXT}").as_bytes()),
            true => out.extend_from_slice(ROUNDS_TWICE_TEXT.as_bytes()),
            false => print_f32(*value, out),
        }
    }
    out.push(b']');
}

/// Appends a JSON array of indices.
pub fn append_indices(indices: &[u32], out: &mut Vec<u8>) {
    for (position, index) in indices.iter().enumerate() {
        out.push(if position == 0 { b'[' } else { b',' });
        out.extend_from_slice(index.to_string().as_bytes());
    }
    if indices.is_empty() {
        out.push(b'[');
    }
    out.push(b']');
}

/// Appends the floats of a dense vector; `false` if it is not dense.
pub fn append_dense(value: &VectorValue<'_>, out: &mut Vec<u8>) -> bool {
    match value {
        VectorValue::Dense(values) => append_floats(values, out),
        VectorValue::Widened(values) => append_floats(values, out),
        _ => return false,
    }
    true
}

/// Opens the object that begins at `start`, or goes on with it, up to the colon.
pub fn open_entry(start: usize, key: &str, out: &mut Vec<u8>) {
    out.push(if out.len() == start { b'{' } else { b',' });
    append_string(key, out);
    out.push(b':');
}

/// Closes the object that begins at `start`.
pub fn close_object(start: usize, out: &mut Vec<u8>) {
    if out.len() == start {
        out.push(b'{');
    }
    out.push(b'}');
}

/// Appends an id: digits for an integer, else a JSON string.
pub fn append_id(view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) {
    match view.id_kind(row) {
        tranship_collection::IdKind::Integer => out.extend_from_slice(view.id(row).as_bytes()),
        tranship_collection::IdKind::Text => append_string(view.id(row), out),
    }
}

/// Scans a JSON array of floats into vector `name` of the builder's current row, in the element type of its column.
pub fn push_floats(builder: &mut BatchBuilder, name: &str, text: &str) -> Fitted<()> {
    let (column, kind) = column_of(builder, name)?;
    if kind != VectorKind::Dense {
        return Err(format!("vector `{name}` is not dense"));
    }
    let values = builder.dense_values(column);
    let before = values.len();
    scan_f32_array(text.as_bytes(), 0, values).map_err(|e| format!("vector `{name}`: {e}"))?;
    match builder.dense_values(column).len() == before {
        true => Err(format!("vector `{name}` is empty")),
        false => Ok(()),
    }
}

/// Appends a multivector as a list of rows.
pub fn append_multi(values: &[f32], dim: usize, out: &mut Vec<u8>) {
    for (position, row) in values.chunks(dim.max(1)).enumerate() {
        out.push(if position == 0 { b'[' } else { b',' });
        append_floats(row, out);
    }
    if values.is_empty() {
        out.push(b'[');
    }
    out.push(b']');
}

/// Scans a list of rows, of `dim` elements each, into a column.
pub fn push_multi(builder: &mut BatchBuilder, column: usize, dim: usize, text: &str) -> Fitted<()> {
    let Items(rows) = serde_json::from_str(text).map_err(|e| format!("multivector: {e}"))?;
    let mut values = Vec::with_capacity(rows.len().saturating_mul(dim).min(text.len()));
    for (position, row) in rows.iter().enumerate() {
        scan_f32_array(row.get().as_bytes(), 0, &mut values).map_err(|e| format!("multivector: {e}"))?;
        if values.len() != (position + 1) * dim {
            return Err(format!("row {position} of a multivector does not have {dim} elements"));
        }
    }
    builder.push_multi(column, &values);
    Ok(())
}

/// The position and kind of vector `name`.
pub fn column_of(builder: &BatchBuilder, name: &str) -> Fitted<(usize, VectorKind)> {
    let unknown = || format!("the collection has no vector `{name}`");
    let column = builder.vector_index(name).ok_or_else(unknown)?;
    let spec = builder.schema().vector(name).ok_or_else(unknown)?;
    Ok((column, spec.kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_float_that_rounds_twice_is_written_so_that_it_does_not() {
        let value = f32::from_bits(ROUNDS_TWICE);
        let mut out = Vec::new();
        append_floats(&[1.0, value, -value], &mut out);
        let text = String::from_utf8(out).unwrap();
        let read: Vec<f64> = serde_json::from_str(&text).unwrap();
        assert_eq!(read.iter().map(|v| *v as f32).collect::<Vec<_>>(), [1.0, value, -value]);
        assert_ne!("7.038531e-26".parse::<f64>().unwrap() as f32, value);
    }
}
