//! Reads the bodies of a bundle back as records.
//!
//! Invariant: the four lists of a body are equally long; entry n of each is record n. Errors: damaged, with file and
//! record.

use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::Deserialize;
use serde_json::value::RawValue;
use tranship_bundle::DataFile;
use tranship_bundle::rows::{Fitted, push_floats};
use tranship_collection::batch::RowText;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, CollectionSchema, Fault};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, Result};

#[derive(Deserialize)]
struct Body<'a> {
    ids: Vec<String>,
    #[serde(borrow)]
    embeddings: Vec<&'a RawValue>,
    documents: Vec<Option<String>>,
    #[serde(borrow)]
    metadatas: Vec<&'a RawValue>,
}

/// The records of one body.
pub fn read(file: &DataFile<'_>, stored: &Arc<CollectionSchema>) -> Result<Vec<RecordBatch>> {
    let text = file.bytes()?;
    let body: Body<'_> =
        serde_json::from_slice(&text).map_err(|e| file.damaged("this is no body of upsert").caused_by(e))?;
    let rows = body.ids.len();
    if [body.embeddings.len(), body.documents.len(), body.metadatas.len()] != [rows; 3] {
        return Err(file.damaged("the lists of the body differ in length"));
    }
    let vector = stored.stored_vectors().next().map_or("", |spec| spec.name.as_str());
    let bad_layout = |fault: Fault| Error::bug(fault.to_string()).with("file", file.label());
    let mut builder = BatchBuilder::new(stored.clone()).map_err(bad_layout)?;
    let mut batches = Vec::new();
    for row in 0..rows {
        append(&mut builder, &body, row, vector).map_err(|reason| file.damaged(reason).with("record", row))?;
        if builder.bytes() >= BATCH_BYTES {
            batches.push(builder.finish().map_err(bad_layout)?);
        }
    }
    if builder.rows() > 0 {
        batches.push(builder.finish().map_err(bad_layout)?);
    }
    Ok(batches)
}

fn append(builder: &mut BatchBuilder, body: &Body<'_>, row: usize, vector: &str) -> Fitted<()> {
    push_floats(builder, vector, body.embeddings[row].get())?;
    let metadata = Some(body.metadatas[row].get()).filter(|text| *text != "null");
    let text = RowText {
        id: &body.ids[row],
        id_kind: IdKind::Text,
        namespace: None,
        document: body.documents[row].as_deref(),
        metadata,
    };
    builder.finish_row(text).map_err(|fault| fault.to_string())
}
