//! Rows as JSON, as the importer takes them: `{"rows":[{"pk":..,"vector":[..],"$meta":{..}},..]}`.
//!
//! Narrow floats are written as floats, bits as bytes, sparse vectors as an object from index to value.

use std::sync::Arc;

use arrow_array::RecordBatch;
use serde_json::value::RawValue;
use tranship_bundle::form::{TextParts, TextShape};
use tranship_bundle::rows::{append_dense, append_id, column_of, push_floats};
use tranship_bundle::{DataFile, FormWriter, Part, Parts};
use tranship_collection::batch::RowText;
use tranship_collection::json::{Entries, append_string};
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, IdKind, VectorKind, VectorValue};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Batches, Error, Mapping, Result};

use super::fields;
use crate::dialect::DYNAMIC_FIELD;

const SHAPE: TextShape = TextShape {
    stem: "rows",
    extension: "json",
    start: b"{\"rows\":[\n",
    between: b",\n",
    end: b"\n]}\n",
    max_bytes: 256_000_000,
    max_rows: u64::MAX,
};

/// Writes rows of one shard.
pub struct JsonRows<'a> {
    mapping: &'a Mapping,
    stored: Arc<CollectionSchema>,
    files: TextParts<'a>,
    row: Vec<u8>,
}

impl<'a> JsonRows<'a> {
    /// The files of one shard.
    pub fn new(parts: Parts<'a>, mapping: &'a Mapping, stored: &Arc<CollectionSchema>) -> Self {
        JsonRows { mapping, stored: stored.clone(), files: TextParts::new(parts, SHAPE), row: Vec::new() }
    }
}

impl FormWriter for JsonRows<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let view = BatchView::new(batch, &self.stored).map_err(|fault| Error::bug(fault.to_string()))?;
        for row in 0..view.len() {
            let out = &mut self.row;
            out.clear();
            out.push(b'{');
            append_string(fields::key(self.mapping), out);
            out.push(b':');
            append_id(&view, row, out);
            for (column, spec) in view.vector_specs().enumerate() {
                let Some(value) = view.vector(column, row) else { continue };
                out.push(b',');
                append_string(fields::vector(self.mapping, &spec.name), out);
                out.push(b':');
                append_vector(&value, out);
            }
            out.extend_from_slice(b",\"$meta\":");
            out.extend_from_slice(view.metadata(row).unwrap_or("{}").trim_ascii().as_bytes());
            out.push(b'}');
            self.files.push(&self.row, view.id(row))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Part>> {
        self.files.finish()
    }
}

fn append_vector(value: &VectorValue<'_>, out: &mut Vec<u8>) {
    match value {
        VectorValue::Sparse(indices, values) => out.extend_from_slice(sparse_text(indices, values).as_bytes()),
        VectorValue::Bits(bytes) => out.extend_from_slice(format!("{bytes:?}").as_bytes()),
        dense => {
            append_dense(dense, out);
        }
    }
}

/// A sparse vector as the importer takes it: an object from index to value.
pub fn sparse_text(indices: &[u32], values: &[f32]) -> String {
    let mut out = b"{".to_vec();
    for (position, (index, value)) in indices.iter().zip(values).enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{index}\":").as_bytes());
        tranship_kernels::print_f32(*value, &mut out);
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// A sparse vector out of such an object.
pub fn parse_sparse(text: &str) -> std::result::Result<(Vec<u32>, Vec<f32>), String> {
    let entries = Entries::parse(text).map_err(|fault| fault.to_string())?.0;
    let mut pairs = Vec::with_capacity(entries.len());
    for (index, value) in entries {
        let index: u32 = index.parse().map_err(|_| format!("{index} is no index"))?;
        let value: f32 = value.get().parse().map_err(|_| format!("{} is no float", value.get()))?;
        pairs.push((index, value));
    }
    pairs.sort_unstable_by_key(|(index, _)| *index);
    Ok(pairs.into_iter().unzip())
}

/// Reads one file back.
pub fn read<'a>(file: &DataFile<'a>, mapping: &'a Mapping, stored: &Arc<CollectionSchema>) -> Result<Batches<'a>> {
    #[derive(serde::Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        rows: Vec<&'a RawValue>,
    }
    let text = file.bytes()?;
    let document: Document<'_> = serde_json::from_slice(&text).map_err(|e| file.damaged(e.to_string()))?;
    let mut builder = BatchBuilder::new(stored.clone()).map_err(|fault| file.damaged(fault.to_string()))?;
    let mut batches = Vec::new();
    for (position, row) in document.rows.iter().enumerate() {
        append_row(&mut builder, row.get(), mapping).map_err(|what| file.damaged(format!("row {position}: {what}")))?;
        if builder.bytes() >= BATCH_BYTES {
            batches.push(builder.finish().map_err(|fault| file.damaged(fault.to_string()))?);
        }
    }
    if builder.rows() > 0 {
        batches.push(builder.finish().map_err(|fault| file.damaged(fault.to_string()))?);
    }
    Ok(Box::new(batches.into_iter().map(Ok)))
}

fn append_row(builder: &mut BatchBuilder, text: &str, mapping: &Mapping) -> std::result::Result<(), String> {
    let entries = Entries::parse(text).map_err(|fault| fault.to_string())?.0;
    let value = |name: &str| entries.iter().find(|(key, _)| key == name).map(|(_, value)| value.get());
    for spec in fields::kept(mapping) {
        let Some(text) = value(fields::vector(mapping, &spec.name)) else { continue };
        match spec.kind {
            VectorKind::Sparse => {
                let (indices, values) = parse_sparse(text)?;
                let (column, _) = column_of(builder, &spec.name)?;
                builder.push_sparse(column, &indices, &values).map_err(|fault| fault.to_string())?;
            }
            VectorKind::Bits => {
                let bytes: Vec<u8> = serde_json::from_str(text).map_err(|e| e.to_string())?;
                let (column, _) = column_of(builder, &spec.name)?;
                builder.push_bytes(column, &bytes);
            }
            _ => push_floats(builder, &spec.name, text)?,
        }
    }
    let key = value(fields::key(mapping)).ok_or("the key is missing")?;
    let (id, id_kind) = match key.starts_with('"') {
        true => (serde_json::from_str::<String>(key).map_err(|e| e.to_string())?, IdKind::Text),
        false => (key.to_owned(), IdKind::Integer),
    };
    let metadata = value(DYNAMIC_FIELD).filter(|text| *text != "{}");
    let row = RowText { id: &id, id_kind, namespace: None, document: None, metadata };
    builder.finish_row(row).map_err(|fault| fault.to_string())
}
