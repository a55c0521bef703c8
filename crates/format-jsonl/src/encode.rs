//! Turns the records of batches into lines.
//!
//! Invariant: one record is one line; keys stand in the order id, namespace, vector, vectors, metadata, document, and
//! what a record does not have is left out. Metadata is verbatim, except that line breaks between its tokens go.

use tranship_collection::batch::all_finite;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchView, Fault, VectorKind, VectorValue};
use tranship_connector::{Error, Result};
use tranship_kernels::print_f32_array;

/// Appends lines to a buffer.
#[derive(Debug, Default)]
pub struct RowEncoder;

impl RowEncoder {
    /// Appends the line of row `row`, with its newline.
    pub fn encode(view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(b"{\"id\":");
        encode_id(view.id(row), view.id_kind(row), out)?;
        if let Some(namespace) = view.namespace(row) {
            out.extend_from_slice(b",\"namespace\":");
            encode_string(namespace, out)?;
        }
        encode_vectors(view, row, out)?;
        if let Some(metadata) = view.metadata(row) {
            out.extend_from_slice(b",\"metadata\":");
            encode_metadata(metadata, out);
        }
        if let Some(document) = view.document(row) {
            out.extend_from_slice(b",\"document\":");
            encode_string(document, out)?;
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}

fn encode_id(id: &str, kind: IdKind, out: &mut Vec<u8>) -> Result<()> {
    if kind == IdKind::Text {
        return encode_string(id, out);
    }
    match crate::decode::id_of(id) {
        Some((text, IdKind::Integer)) => {
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        _ => Err(Error::bug(format!("the id {id:?} is said to be an integer"))),
    }
}

fn encode_vectors(view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    let unnamed = |name: &str, kind: VectorKind| name.is_empty() && kind == VectorKind::Dense;
    let mut named = 0;
    for (column, spec) in view.vector_specs().enumerate() {
        let Some(value) = view.vector(column, row) else { continue };
        if unnamed(&spec.name, spec.kind) {
            out.extend_from_slice(b",\"vector\":");
            encode_vector(&value, view.dim(column), out)?;
        } else {
            named += 1;
        }
    }
    if named == 0 {
        return Ok(());
    }
    out.extend_from_slice(b",\"vectors\":{");
    for (column, spec) in view.vector_specs().enumerate() {
        let Some(value) = view.vector(column, row).filter(|_| !unnamed(&spec.name, spec.kind)) else { continue };
        encode_string(&spec.name, out)?;
        out.push(b':');
        encode_vector(&value, view.dim(column), out)?;
        named -= 1;
        out.push(if named == 0 { b'}' } else { b',' });
    }
    Ok(())
}

fn encode_vector(value: &VectorValue<'_>, dim: usize, out: &mut Vec<u8>) -> Result<()> {
    match value {
        VectorValue::Dense(values) => encode_floats(values, out),
        VectorValue::Widened(values) => encode_floats(values, out),
        VectorValue::Sparse(indices, values) => {
            out.extend_from_slice(b"{\"indices\":");
            serde_json::to_writer(&mut *out, indices).map_err(unprintable)?;
            out.extend_from_slice(b",\"values\":");
            encode_floats(values, out)?;
            out.push(b'}');
            Ok(())
        }
        VectorValue::Multi(values) => {
            out.push(b'[');
            for (number, row) in values.chunks(dim.max(1)).enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                encode_floats(row, out)?;
            }
            out.push(b']');
            Ok(())
        }
        VectorValue::Bits(bytes) => {
            out.extend_from_slice(b"{\"bits\":\"");
            out.extend((0..dim).map(|bit| b'0' + (bytes[bit / 8] >> (7 - bit % 8) & 1)));
            out.extend_from_slice(b"\"}");
            Ok(())
        }
    }
}

fn encode_floats(values: &[f32], out: &mut Vec<u8>) -> Result<()> {
    if all_finite(values) {
        print_f32_array(values, out);
        return Ok(());
    }
    let fault = Fault::NonFinite { vector: String::new() };
    Err(Error::damaged("a vector cannot be written as JSON").caused_by(fault))
}

fn encode_string(text: &str, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, text).map_err(unprintable)
}

fn unprintable(error: serde_json::Error) -> Error {
    Error::bug("a value cannot be written as JSON").caused_by(error)
}

/// Appends the object as it stands, without line breaks.
fn encode_metadata(text: &str, out: &mut Vec<u8>) {
    if !text.bytes().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return out.extend_from_slice(text.as_bytes());
    }
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => continue,
            _ => {}
        }
        out.push(byte);
    }
}
