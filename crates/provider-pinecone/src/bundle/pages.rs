//! Answers of `GET /vectors/fetch`, as `check.sh` keeps them.
//!
//! ```text
//! {"vectors":{"ID":{"id":"ID","values":[f32,..],"sparseValues":{"indices":[u32,..],"values":[f32,..]},"metadata":{..}}},
//!  "namespace":"NAME","usage":{..}}
//! ```
//!
//! Invariant: a record of the answer becomes one record or one reject. Numbers are doubles at Pinecone, and how it spells a
//! whole one is not stated; since the bundle holds whole numbers only as integers, a whole double is read as one.

use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tranship_bundle::pages::Pages;
use tranship_bundle::rows::{Fitted, push_floats};
use tranship_collection::batch::RowText;
use tranship_collection::json::{Entries, append_string};
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, CollectionSchema, Fault, VectorKind};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, Mapping, Reject, RejectSink, Result};
use tranship_kernels::scan_f32_array;

use super::Notes;

/// Reads fetched pages.
pub struct Fetched;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    vectors: &'a RawValue,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    id: String,
    #[serde(borrow, default)]
    values: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sparse_values: Option<Sparse<'a>>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Sparse<'a> {
    indices: Vec<u32>,
    #[serde(borrow)]
    values: &'a RawValue,
}

impl Pages for Fetched {
    fn target(&self) -> &'static str {
        "pinecone"
    }

    fn read(
        &self,
        text: &[u8],
        label: &str,
        mapping: &Mapping,
        stored: &Arc<CollectionSchema>,
        rejects: &mut dyn RejectSink,
    ) -> Result<Vec<RecordBatch>> {
        let damaged =
            || Error::damaged("this is no answer of GET /vectors/fetch").with("file", label).hint("run check.sh again");
        let page: Page<'_> = serde_json::from_slice(text).map_err(|e| damaged().caused_by(e))?;
        let records = Entries::parse(page.vectors.get()).map_err(|_| damaged())?.0;
        let notes = Notes::of(mapping);
        let namespace = notes.source(&page.namespace).filter(|_| stored.namespaced);
        let bad_layout = |fault: Fault| Error::bug(fault.to_string()).with("file", label);
        let mut builder = BatchBuilder::new(stored.clone()).map_err(bad_layout)?;
        let mut batches = Vec::new();
        for (id, record) in records {
            if let Err(reason) = append(&mut builder, record.get(), namespace) {
                builder.rollback();
                let place = format!("{label} record `{id}`");
                rejects.reject(Reject { place, id: Some(id.into_owned()), reason, record: None })?;
            }
            if builder.bytes() >= BATCH_BYTES {
                batches.push(builder.finish().map_err(bad_layout)?);
            }
        }
        if builder.rows() > 0 {
            batches.push(builder.finish().map_err(bad_layout)?);
        }
        Ok(batches)
    }
}

fn append(builder: &mut BatchBuilder, text: &str, namespace: Option<&str>) -> Fitted<()> {
    let record: Record<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let schema = builder.schema().clone();
    for (column, spec) in schema.stored_vectors().enumerate() {
        match spec.kind {
            VectorKind::Dense => {
                if let Some(values) = record.values.filter(|values| values.get() != "[]") {
                    push_floats(builder, &spec.name, values.get())?;
                }
            }
            _ => {
                if let Some(sparse) = record.sparse_values.as_ref().filter(|sparse| !sparse.indices.is_empty()) {
                    push_sparse(builder, column, sparse)?;
                }
            }
        }
    }
    let metadata = record.metadata.map(|text| text.get()).filter(|text| *text != "null");
    let metadata = metadata.map(whole_numbers).transpose()?;
    let metadata = metadata.as_deref().filter(|text| *text != "{}");
    let row = RowText { id: &record.id, id_kind: IdKind::Text, namespace, document: None, metadata };
    builder.finish_row(row).map_err(|fault| fault.to_string())
}

fn push_sparse(builder: &mut BatchBuilder, column: usize, sparse: &Sparse<'_>) -> Fitted<()> {
    let mut values = Vec::with_capacity(sparse.indices.len());
    scan_f32_array(sparse.values.get().as_bytes(), 0, &mut values).map_err(|e| e.to_string())?;
    if values.len() != sparse.indices.len() {
        return Err("a sparse vector has more indices than values, or fewer".to_owned());
    }
    // No order is promised.
    let mut pairs: Vec<(u32, f32)> = sparse.indices.iter().copied().zip(values).collect();
    pairs.sort_by_key(|(index, _)| *index);
    let (indices, values): (Vec<u32>, Vec<f32>) = pairs.into_iter().unzip();
    builder.push_sparse(column, &indices, &values).map_err(|fault| fault.to_string())
}

/// The metadata with whole doubles spelled as integers.
fn whole_numbers(text: &str) -> Fitted<String> {
    let entries = Entries::parse(text).map_err(|fault| fault.to_string())?.0;
    let mut out = vec![b'{'];
    for (position, (key, value)) in entries.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        append_string(key, &mut out);
        out.push(b':');
        out.extend_from_slice(whole(value.get()).as_bytes());
    }
    out.push(b'}');
    String::from_utf8(out).map_err(|e| e.to_string())
}

fn whole(text: &str) -> String {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Number(number)) if number.is_f64() => match number.as_f64() {
            Some(value) if value.fract() == 0.0 && value.abs() <= EXACT => (value as i64).to_string(),
            _ => text.to_owned(),
        },
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_doubles_are_integers_and_others_stay() {
        let found = whole_numbers(r#"{"a":1.0,"b":1e3,"c":0.5,"d":7,"e":"1.0","f":["2.0"],"g":1e300}"#).unwrap();
        assert_eq!(found, r#"{"a":1,"b":1000,"c":0.5,"d":7,"e":"1.0","f":["2.0"],"g":1e300}"#);
    }
}
