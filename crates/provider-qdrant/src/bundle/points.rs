//! Reads points out of JSON: request bodies of a bundle and answers of a scroll.
//!
//! ```text
//! {"points":[P,..]}                                     a body
//! {"result":{"points":[P,..],"next_page_offset":..},..}  a page
//! P = {"id": u64 | "uuid", "vector": V, "payload": {..} | null}
//! V = [f32,..] | [[f32,..],..] | {name: [f32,..] | [[f32,..],..] | {"indices":[u32,..],"values":[f32,..]}} | null
//! ```
//!
//! Invariant: a point becomes exactly one record, or one reject with file and position; floats are the f32 nearest to
//! their text, payloads are kept as text. Other keys of a point (version, score, shard_key) are not records' content.

use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::Deserialize;
use serde_json::value::RawValue;
use tranship_collection::batch::RowText;
use tranship_collection::json::{Entries, check_object};
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, CollectionSchema, Fault, VectorKind};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, Reject, RejectSink, Result};
use tranship_kernels::scan_f32_array;

/// A part of a point, or why it does not fit.
type Fitted<T> = std::result::Result<T, String>;

/// One point, its parts still text.
#[derive(Deserialize)]
pub struct RawPoint<'a> {
    /// Point id.
    #[serde(borrow)]
    pub id: &'a RawValue,
    /// Vector or vectors.
    #[serde(borrow, default)]
    pub vector: Option<&'a RawValue>,
    /// Payload.
    #[serde(borrow, default)]
    pub payload: Option<&'a RawValue>,
}

/// The texts of the points in a body or page. `file` is for messages.
pub fn split_points<'a>(text: &'a [u8], file: &str) -> Result<Vec<&'a RawValue>> {
    #[derive(Deserialize)]
    struct Document<'a> {
        #[serde(borrow, default)]
        points: Option<Vec<&'a RawValue>>,
        #[serde(borrow, default)]
        result: Option<Answer<'a>>,
    }
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        points: Vec<&'a RawValue>,
    }
    let document: Document<'a> = serde_json::from_slice(text).map_err(|e| {
        Error::damaged("this is no body or scroll page of Qdrant")
            .with("file", file)
            .with("line", e.line())
            .with("column", e.column())
            .hint("fetch the page again, or write the bundle anew")
            .caused_by(e)
    })?;
    document.points.or(document.result.map(|answer| answer.points)).ok_or_else(|| {
        Error::damaged("no points in this body or scroll page of Qdrant")
            .with("file", file)
            .hint("a page is the whole answer of POST /collections/{c}/points/scroll")
    })
}

/// Turns points into batches of `schema` (the stored schema). Returns them with the number of points read.
pub fn read_batches(
    text: &[u8],
    file: &str,
    schema: &Arc<CollectionSchema>,
    rejects: &mut dyn RejectSink,
) -> Result<(Vec<RecordBatch>, u64)> {
    let points = split_points(text, file)?;
    let bad_layout = |fault: Fault| Error::bug(fault.to_string()).with("file", file);
    let mut builder = BatchBuilder::new(schema.clone()).map_err(bad_layout)?;
    let mut batches = Vec::new();
    let mut scratch = Vec::new();
    for (position, point) in points.iter().enumerate() {
        if let Err(reason) = append(&mut builder, point.get(), &mut scratch) {
            builder.rollback();
            rejects.reject(reject(file, position, point.get(), reason))?;
        }
        if builder.bytes() >= BATCH_BYTES {
            batches.push(builder.finish().map_err(bad_layout)?);
        }
    }
    if builder.rows() > 0 {
        batches.push(builder.finish().map_err(bad_layout)?);
    }
    Ok((batches, points.len() as u64))
}

fn reject(file: &str, position: usize, text: &str, reason: String) -> Reject {
    const RECORD_BYTES: usize = 64 << 10;
    let id = serde_json::from_str::<RawPoint<'_>>(text).ok().map(|point| point.id.get().trim_matches('"').to_owned());
    let record = (text.len() <= RECORD_BYTES).then(|| text.to_owned());
    Reject { place: format!("{file} point {position}"), id, reason, record }
}

fn append(builder: &mut BatchBuilder, text: &str, scratch: &mut Vec<u8>) -> Fitted<()> {
    let point: RawPoint<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let (id, id_kind) = point_id(point.id.get())?;
    if let Some(vector) = point.vector {
        append_vectors(builder, vector.get())?;
    }
    let metadata = match point.payload {
        Some(payload) if check_object(payload.get(), scratch).map_err(display)? => Some(payload.get()),
        _ => None,
    };
    let row = RowText { id: &id, id_kind, namespace: None, document: None, metadata };
    builder.finish_row(row).map_err(display)
}

fn point_id(text: &str) -> Fitted<(String, IdKind)> {
    if text.starts_with('"') {
        let id: String = serde_json::from_str(text).map_err(|e| e.to_string())?;
        return Ok((id, IdKind::Text));
    }
    match text.parse::<u64>() {
        Ok(number) => Ok((number.to_string(), IdKind::Integer)),
        Err(_) => Err(format!("{text} is no point id")),
    }
}

fn append_vectors(builder: &mut BatchBuilder, text: &str) -> Fitted<()> {
    if !text.starts_with('{') {
        return append_vector(builder, "", text);
    }
    let entries = Entries::parse(text).map_err(display)?.0;
    for (position, (name, value)) in entries.iter().enumerate() {
        if entries[..position].iter().any(|(earlier, _)| earlier == name) {
            return Err(format!("vector `{name}` stands there twice"));
        }
        append_vector(builder, name, value.get())?;
    }
    Ok(())
}

fn append_vector(builder: &mut BatchBuilder, name: &str, text: &str) -> Fitted<()> {
    let unknown = || display(Fault::UnknownVector { vector: name.to_owned() });
    let column = builder.vector_index(name).ok_or_else(unknown)?;
    let spec = builder.schema().vector(name).ok_or_else(unknown)?;
    match spec.kind {
        VectorKind::Dense => append_dense(builder, column, text),
        VectorKind::Multi => {
            let dim = spec.dim.unwrap_or(0);
            append_multi(builder, column, name, dim, text)
        }
        VectorKind::Sparse => append_sparse(builder, column, text),
        VectorKind::Bits => Err("Qdrant has no bit vectors".to_owned()),
    }
}

fn append_dense(builder: &mut BatchBuilder, column: usize, text: &str) -> Fitted<()> {
    let values = builder.dense_values(column);
    let before = values.len();
    scan(text, values)?;
    // An empty list would pass for an absent vector.
    if builder.dense_values(column).len() == before { Err("the vector is empty".to_owned()) } else { Ok(()) }
}

fn append_multi(builder: &mut BatchBuilder, column: usize, name: &str, dim: usize, text: &str) -> Fitted<()> {
    let rows: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| format!("multivector `{name}`: {e}"))?;
    let mut values = Vec::with_capacity(rows.len().saturating_mul(dim).min(text.len()));
    for (position, row) in rows.iter().enumerate() {
        scan(row.get(), &mut values)?;
        if values.len() != (position + 1) * dim {
            let found = values.len() - position * dim;
            return Err(display(Fault::WrongDim { vector: name.to_owned(), expected: dim, found }));
        }
    }
    builder.push_multi(column, &values);
    Ok(())
}

fn append_sparse(builder: &mut BatchBuilder, column: usize, text: &str) -> Fitted<()> {
    #[derive(Deserialize)]
    struct Sparse<'a> {
        indices: Vec<u32>,
        #[serde(borrow)]
        values: &'a RawValue,
    }
    let sparse: Sparse<'_> = serde_json::from_str(text).map_err(|e| format!("sparse vector: {e}"))?;
    let mut values = Vec::with_capacity(sparse.indices.len());
    scan(sparse.values.get(), &mut values)?;
    builder.push_sparse(column, &sparse.indices, &values).map_err(display)
}

fn scan(text: &str, out: &mut Vec<f32>) -> Fitted<()> {
    scan_f32_array(text.as_bytes(), 0, out).map(drop).map_err(|e| format!("vector: {e}"))
}

fn display(fault: Fault) -> String {
    fault.to_string()
}
