//! Layout `csv`: text for spreadsheets and for tools that read nothing else (RFC 4180, UTF-8, lines end with a line feed).
//!
//! ```text
//! id,id_kind,namespace,document,metadata,vector,vectors
//! "a",text,"tenant","a text","{""n"":1}","[0.5,1]","{""terms"":{""indices"":[3],""values"":[1]}}"
//! ```
//!
//! Texts are always quoted, so that a cell without quotes and without content is "none" and `""` is the empty text.
//! `vector` is the unnamed dense vector, `vectors` an object of all others: dense ones as lists, multivectors as lists of
//! lists, sparse ones as indices and values, bits as a text of `0` and `1`. Invariant: everything that is written comes back,
//! floats bit for bit. Errors: damaged, with the file and the record.

use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::Deserialize;
use serde_json::value::RawValue;
use tranship_bundle::form::{TextParts, TextShape};
use tranship_bundle::rows::{
    Fitted, append_dense, append_floats, append_indices, close_object, column_of, open_entry, push_floats,
};
use tranship_bundle::{DataFile, FormWriter, Part, Parts};
use tranship_collection::batch::RowText;
use tranship_collection::json::Entries;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, VectorKind, VectorSpec, VectorValue};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Batches, Error, Result};
use tranship_kernels::scan_f32_array;

const SHAPE: TextShape = TextShape {
    stem: "records",
    extension: "csv",
    start: b"id,id_kind,namespace,document,metadata,vector,vectors\n",
    between: b"",
    end: b"",
    max_bytes: 256_000_000,
    max_rows: u64::MAX,
};
const COLUMNS: usize = 7;

/// Memory for reading a file of so many bytes: its text, and the records that it makes.
pub fn memory_bytes(bytes: u64) -> u64 {
    3 * bytes + (1 << 20)
}

/// Writes the records of one shard.
pub struct Writer<'a> {
    stored: Arc<CollectionSchema>,
    files: TextParts<'a>,
    row: Vec<u8>,
    cell: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// For records in `stored`.
    pub fn new(parts: Parts<'a>, stored: &Arc<CollectionSchema>) -> Self {
        let files = TextParts::new(parts, SHAPE);
        Writer { stored: stored.clone(), files, row: Vec::new(), cell: Vec::new() }
    }
}

impl FormWriter for Writer<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let view = BatchView::new(batch, &self.stored).map_err(|fault| Error::bug(fault.to_string()))?;
        for row in 0..view.len() {
            let out = &mut self.row;
            out.clear();
            quote(view.id(row).as_bytes(), out);
            let integer = view.id_kind(row) == IdKind::Integer;
            out.extend_from_slice(if integer { b",integer" } else { b",text" });
            for text in [view.namespace(row), view.document(row), view.metadata(row)] {
                out.push(b',');
                if let Some(text) = text {
                    quote(text.as_bytes(), out);
                }
            }
            for unnamed in [true, false] {
                self.cell.clear();
                append_vectors(&view, row, unnamed, &mut self.cell);
                out.push(b',');
                if !self.cell.is_empty() {
                    quote(&self.cell, out);
                }
            }
            out.push(b'\n');
            self.files.push(&self.row, view.id(row))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Part>> {
        self.files.finish()
    }
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

fn is_unnamed(spec: &VectorSpec) -> bool {
    spec.name.is_empty() && spec.kind == VectorKind::Dense
}

/// The unnamed dense vector, or an object of all others; nothing if there is none.
fn append_vectors(view: &BatchView<'_>, row: usize, unnamed: bool, out: &mut Vec<u8>) {
    for (column, spec) in view.vector_specs().enumerate() {
        if is_unnamed(spec) != unnamed {
            continue;
        }
        let Some(value) = view.vector(column, row) else { continue };
        if !unnamed {
            open_entry(0, &spec.name, out);
        }
        append_vector(&value, view.dim(column), out);
    }
    if !unnamed && !out.is_empty() {
        close_object(0, out);
    }
}

fn append_vector(value: &VectorValue<'_>, dim: usize, out: &mut Vec<u8>) {
    match value {
        VectorValue::Sparse(indices, values) => {
            out.extend_from_slice(b"{\"indices\":");
            append_indices(indices, out);
            out.extend_from_slice(b",\"values\":");
            append_floats(values, out);
            out.push(b'}');
        }
        VectorValue::Multi(values) => {
            out.push(b'[');
            for (position, row) in values.chunks(dim.max(1)).enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                append_floats(row, out);
            }
            out.push(b']');
        }
        VectorValue::Bits(bytes) => {
            out.push(b'"');
            out.extend((0..dim).map(|bit| b'0' + (bytes[bit / 8] >> (7 - bit % 8) & 1)));
            out.push(b'"');
        }
        dense => {
            append_dense(dense, out);
        }
    }
}

/// Reads one file back.
pub fn read<'a>(file: &DataFile<'a>, stored: &Arc<CollectionSchema>) -> Result<Batches<'a>> {
    let bytes = file.bytes()?;
    let text = bytes.strip_prefix(SHAPE.start).ok_or_else(|| file.damaged("the first line is not that of tranship"))?;
    let text = std::str::from_utf8(text).map_err(|e| file.damaged(e.to_string()))?;
    let mut builder = BatchBuilder::new(stored.clone()).map_err(|fault| file.damaged(fault.to_string()))?;
    let (mut rest, mut batches, mut cells) = (text, Vec::new(), Vec::new());
    for record in 0.. {
        if rest.is_empty() {
            break;
        }
        let damaged = |what: String| file.damaged(what).with("record", record);
        rest = cut_record(rest, &mut cells).map_err(damaged)?;
        append(&mut builder, &cells).map_err(damaged)?;
        if builder.bytes() >= BATCH_BYTES {
            batches.push(builder.finish().map_err(|fault| file.damaged(fault.to_string()))?);
        }
    }
    if builder.rows() > 0 {
        batches.push(builder.finish().map_err(|fault| file.damaged(fault.to_string()))?);
    }
    Ok(Box::new(batches.into_iter().map(Ok)))
}

/// Takes one line off `text` into cells; one without quotes and content is none.
fn cut_record<'a>(mut text: &'a str, cells: &mut Vec<Option<String>>) -> Fitted<&'a str> {
    cells.clear();
    loop {
        let (cell, after) = match text.strip_prefix('"') {
            Some(inner) => {
                let (cell, after) = cut_quoted(inner)?;
                (Some(cell), after)
            }
            None => {
                let end = text.find([',', '\n']).ok_or("the line has no end")?;
                (Some(text[..end].to_owned()).filter(|cell| !cell.is_empty()), &text[end..])
            }
        };
        cells.push(cell);
        match after.split_at_checked(1) {
            Some((",", next)) => text = next,
            Some(("\n", next)) => return Ok(next),
            _ => return Err("something follows a quoted cell".to_owned()),
        }
    }
}

/// The text up to the closing quote, and what comes behind it.
fn cut_quoted(mut text: &str) -> Fitted<(String, &str)> {
    let mut cell = String::new();
    loop {
        let (before, after) = text.split_once('"').ok_or("a quoted cell has no end")?;
        cell.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                cell.push('"');
                text = next;
            }
            None => return Ok((cell, after)),
        }
    }
}

fn append(builder: &mut BatchBuilder, cells: &[Option<String>]) -> Fitted<()> {
    let [id, id_kind, namespace, document, metadata, vector, vectors] = cells else {
        return Err(format!("there are {} cells, not {COLUMNS}", cells.len()));
    };
    if let Some(text) = vector {
        push_floats(builder, "", text)?;
    }
    if let Some(text) = vectors {
        for (name, value) in Entries::parse(text).map_err(|fault| fault.to_string())?.0 {
            push_vector(builder, &name, value.get()).map_err(|what| format!("vector `{name}`: {what}"))?;
        }
    }
    let id_kind = match id_kind.as_deref() {
        Some("integer") => IdKind::Integer,
        Some("text") => IdKind::Text,
        _ => return Err("the kind of the id is neither integer nor text".to_owned()),
    };
    let record = RowText {
        id: id.as_deref().ok_or("there is no id")?,
        id_kind,
        namespace: namespace.as_deref(),
        document: document.as_deref(),
        metadata: metadata.as_deref(),
    };
    builder.finish_row(record).map_err(|fault| fault.to_string())
}

#[derive(Deserialize)]
struct Sparse<'a> {
    indices: Vec<u32>,
    #[serde(borrow)]
    values: &'a RawValue,
}

fn push_vector(builder: &mut BatchBuilder, name: &str, text: &str) -> Fitted<()> {
    let (column, kind) = column_of(builder, name)?;
    let mut values = Vec::new();
    match kind {
        VectorKind::Dense => push_floats(builder, name, text)?,
        VectorKind::Sparse => {
            let pair: Sparse<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
            scan_f32_array(pair.values.get().as_bytes(), 0, &mut values).map_err(|e| e.to_string())?;
            builder.push_sparse(column, &pair.indices, &values).map_err(|fault| fault.to_string())?;
        }
        VectorKind::Multi => {
            let rows: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| e.to_string())?;
            for row in rows {
                scan_f32_array(row.get().as_bytes(), 0, &mut values).map_err(|e| e.to_string())?;
            }
            builder.push_multi(column, &values);
        }
        VectorKind::Bits => {
            let signs: &str = serde_json::from_str(text).map_err(|e| e.to_string())?;
            let byte = |signs: &[u8]| {
                signs.iter().enumerate().fold(0, |byte, (at, sign)| byte | u8::from(*sign == b'1') << (7 - at))
            };
            builder.push_bytes(column, &signs.as_bytes().chunks(8).map(byte).collect::<Vec<u8>>());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_and_empty_and_quotes_and_line_ends_stay_apart() {
        let mut cells = Vec::new();
        let rest = cut_record("\"a \"\"b\"\"\n,c\",,\"\",plain\nnext", &mut cells).unwrap();
        assert_eq!(rest, "next");
        let found: Vec<Option<&str>> = cells.iter().map(Option::as_deref).collect();
        assert_eq!(found, [Some("a \"b\"\n,c"), None, Some(""), Some("plain")]);
        for broken in ["\"a", "a", "\"a\"b\n", "\"a\""] {
            assert!(cut_record(broken, &mut cells).is_err(), "{broken}");
        }
    }
}
