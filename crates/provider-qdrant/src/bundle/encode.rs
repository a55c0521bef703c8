//! Writes shaped records as points of a request body.
//!
//! ```text
//! {"id":I,"vector":V,"payload":{metadata, verbatim}}
//! V = [..] if the unnamed vector is the only one, else {name: [..] | [[..],..] | {"indices":[..],"values":[..]}};
//!     {} for a record without vectors
//! ```
//!
//! Invariant: one point per record, ids and payload as the mapping has shaped them; the payload's text is spliced in,
//! never printed anew.

use tranship_bundle::rows::{append_dense, append_floats, append_id, append_indices, close_object, open_entry};
use tranship_collection::{BatchView, VectorValue};
use tranship_connector::{Error, Result};

/// Appends row `row` of `view` as one point.
pub fn append_point(view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(b"{\"id\":");
    append_id(view, row, out);
    out.extend_from_slice(b",\"vector\":");
    append_vectors(view, row, out)?;
    out.extend_from_slice(b",\"payload\":");
    out.extend_from_slice(view.metadata(row).unwrap_or("{}").trim_ascii().as_bytes());
    out.push(b'}');
    Ok(())
}

fn append_vectors(view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    let mut specs = view.vector_specs();
    let unnamed = specs.next().is_some_and(|spec| spec.name.is_empty()) && specs.next().is_none();
    if unnamed && let Some(value) = view.vector(0, row) {
        return append_vector(view, 0, &value, out);
    }
    let start = out.len();
    for (column, spec) in view.vector_specs().enumerate() {
        if let Some(value) = view.vector(column, row) {
            open_entry(start, &spec.name, out);
            append_vector(view, column, &value, out)?;
        }
    }
    close_object(start, out);
    Ok(())
}

fn append_vector(view: &BatchView<'_>, column: usize, value: &VectorValue<'_>, out: &mut Vec<u8>) -> Result<()> {
    match value {
        VectorValue::Multi(values) => {
            for (position, row) in values.chunks(view.dim(column).max(1)).enumerate() {
                out.push(if position == 0 { b'[' } else { b',' });
                append_floats(row, out);
            }
            out.push(b']');
        }
        VectorValue::Sparse(indices, values) => {
            out.extend_from_slice(b"{\"indices\":");
            append_indices(indices, out);
            out.extend_from_slice(b",\"values\":");
            append_floats(values, out);
            out.push(b'}');
        }
        dense => {
            if !append_dense(dense, out) {
                return Err(Error::bug("a bit vector on its way to Qdrant"));
            }
        }
    }
    Ok(())
}
