//! What stands beside a matrix, one record per line, in the form of generic JSON lines.
//!
//! ```text
//! {"id": 7 | "a", "namespace"?: "n", "vector"?: [..], "vectors"?: {name: V}, "metadata"?: {..}, "document"?: ".."}
//! V = [f32,..] | [[f32,..],..] | {"indices": [..], "values": [..]} | {"bits": "0110"}
//! ```
//!
//! Invariant: what is written reads back bit for bit; metadata keeps its text, but for line breaks between tokens. The
//! matrix's own vector is not on the line.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use tranship_collection::batch::RowText;
use tranship_collection::json::{Entries, append_string};
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, BatchView, VectorKind, VectorValue};
use tranship_connector::{Error, Result};
use tranship_kernels::scan_f32_array;

use crate::rows::{
    Fitted, append_dense, append_floats, append_id, append_indices, close_object, column_of, open_entry, push_floats,
};

/// Appends the line of row `row`, without vector `main`.
pub fn append(view: &BatchView<'_>, row: usize, main: Option<usize>, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(b"{\"id\":");
    append_id(view, row, out);
    if let Some(namespace) = view.namespace(row) {
        out.extend_from_slice(b",\"namespace\":");
        append_string(namespace, out);
    }
    append_vectors(view, row, main, out)?;
    if let Some(metadata) = view.metadata(row) {
        out.extend_from_slice(b",\"metadata\":");
        // Within strings JSON has no line breaks: these are between tokens.
        out.extend(metadata.trim_ascii().bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
    }
    if let Some(document) = view.document(row) {
        out.extend_from_slice(b",\"document\":");
        append_string(document, out);
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

fn append_vectors(view: &BatchView<'_>, row: usize, main: Option<usize>, out: &mut Vec<u8>) -> Result<()> {
    let unnamed = |name: &str, kind| name.is_empty() && kind == VectorKind::Dense;
    let others = || view.vector_specs().enumerate().filter(|(column, _)| Some(*column) != main);
    let values = || others().filter_map(|(column, spec)| Some((column, spec, view.vector(column, row)?)));
    for (column, _, value) in values().filter(|(_, spec, _)| unnamed(&spec.name, spec.kind)) {
        out.extend_from_slice(b",\"vector\":");
        append_vector(&value, view.dim(column), out)?;
    }
    let mut named = values().filter(|(_, spec, _)| !unnamed(&spec.name, spec.kind)).peekable();
    if named.peek().is_none() {
        return Ok(());
    }
    out.extend_from_slice(b",\"vectors\":");
    let start = out.len();
    for (column, spec, value) in named {
        open_entry(start, &spec.name, out);
        append_vector(&value, view.dim(column), out)?;
    }
    close_object(start, out);
    Ok(())
}

fn append_vector(value: &VectorValue<'_>, dim: usize, out: &mut Vec<u8>) -> Result<()> {
    match value {
        VectorValue::Sparse(indices, values) => {
            out.extend_from_slice(b"{\"indices\":");
            append_indices(indices, out);
            out.extend_from_slice(b",\"values\":");
            append_array(values, out);
            out.push(b'}');
        }
        VectorValue::Multi(values) => {
            out.push(b'[');
            for (number, row) in values.chunks(dim.max(1)).enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                append_array(row, out);
            }
            out.push(b']');
        }
        VectorValue::Bits(bytes) => {
            out.extend_from_slice(b"{\"bits\":\"");
            out.extend((0..dim).map(|bit| b'0' + (bytes[bit / 8] >> (7 - bit % 8) & 1)));
            out.extend_from_slice(b"\"}");
        }
        dense => {
            if !append_dense(dense, out) {
                return Err(Error::bug("a vector of an unknown shape"));
            }
        }
    }
    Ok(())
}

fn append_array(values: &[f32], out: &mut Vec<u8>) {
    match values {
        [] => out.extend_from_slice(b"[]"),
        values => append_floats(values, out),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    vector: Option<&'a RawValue>,
    #[serde(borrow, default)]
    vectors: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    #[serde(default)]
    document: Option<String>,
}

/// Completes the builder's current row with what stands on a line.
pub fn push(text: &str, builder: &mut BatchBuilder, scratch: &mut Vec<f32>) -> Fitted<()> {
    let line: Line<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let (id, id_kind): (Cow<'_, str>, IdKind) = match line.id.get().starts_with('"') {
        true => (serde_json::from_str::<String>(line.id.get()).map_err(|e| e.to_string())?.into(), IdKind::Text),
        false => (line.id.get().into(), IdKind::Integer),
    };
    if let Some(value) = line.vector {
        push_floats(builder, "", value.get())?;
    }
    if let Some(vectors) = line.vectors {
        let entries = Entries::parse(vectors.get()).map_err(|fault| fault.to_string())?;
        for (name, value) in &entries.0 {
            push_vector(builder, name, value.get(), scratch)?;
        }
    }
    let row = RowText {
        id: &id,
        id_kind,
        namespace: line.namespace.as_deref(),
        document: line.document.as_deref(),
        metadata: line.metadata.map(RawValue::get),
    };
    builder.finish_row(row).map_err(|fault| fault.to_string())
}

fn push_vector(builder: &mut BatchBuilder, name: &str, text: &str, scratch: &mut Vec<f32>) -> Fitted<()> {
    let (column, kind) = column_of(builder, name)?;
    let dim = builder.schema().vector(name).and_then(|spec| spec.dim).unwrap_or(0);
    scratch.clear();
    match kind {
        VectorKind::Dense => push_floats(builder, name, text),
        VectorKind::Multi => {
            let rows: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| e.to_string())?;
            for row in &rows {
                scan_f32_array(row.get().as_bytes(), 0, scratch).map_err(|e| format!("vector `{name}`: {e}"))?;
            }
            match scratch.len() == rows.len() * dim {
                true => builder.push_multi(column, scratch),
                false => return Err(format!("vector `{name}` has rows of another length")),
            }
            Ok(())
        }
        VectorKind::Sparse => {
            #[derive(Deserialize)]
            struct Sparse<'a> {
                indices: Vec<u32>,
                #[serde(borrow)]
                values: &'a RawValue,
            }
            let sparse: Sparse<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
            scan_f32_array(sparse.values.get().as_bytes(), 0, scratch).map_err(|e| format!("vector `{name}`: {e}"))?;
            builder.push_sparse(column, &sparse.indices, scratch).map_err(|fault| fault.to_string())
        }
        VectorKind::Bits => {
            #[derive(Deserialize)]
            struct Bits<'a> {
                #[serde(borrow)]
                bits: &'a str,
            }
            let Bits { bits } = serde_json::from_str(text).map_err(|e| e.to_string())?;
            if bits.len() != dim || bits.bytes().any(|sign| !matches!(sign, b'0' | b'1')) {
                return Err(format!("vector `{name}` is not {dim} bits"));
            }
            let byte =
                |signs: &[u8]| signs.iter().enumerate().fold(0, |byte, (at, sign)| byte | (sign - b'0') << (7 - at));
            let bytes: Vec<u8> = bits.as_bytes().chunks(8).map(byte).collect();
            builder.push_bytes(column, &bytes);
            Ok(())
        }
    }
}
