//! How records change form on the way into a target, and how to undo it.
//!
//! A mapping stands in `mapping.json` of every bundle. [`Mapping::undo`] turns records as the target holds them back
//! into the source's form (ids, namespaces and documents out of their reserved payload keys). [`Mapping::project`]
//! applies to the source's records what cannot be undone. Invariant: for a target that keeps its promises,
//! `undo(target) == project(source)`, bit for bit, or within [`Mapping::tolerance`] where the engine recomputes floats.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};
use tranship_collection::batch::RowText;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::json::{self, Entries};
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, Fault, VectorValue};

use crate::loss::Loss;

/// The content of `mapping.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// The target provider.
    pub target: String,
    /// Name of the collection at the target.
    pub collection: String,
    /// Payload key that holds the original id wherever the target's id is another.
    pub id_key: String,
    /// Payload key that holds the document.
    pub document_key: String,
    /// Payload key that holds the namespace; only if the source has namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_key: Option<String>,
    /// Vectors that the target brings to unit length.
    pub normalised: Vec<String>,
    /// Vectors that may differ from the projection by the engine's own rounding: largest absolute difference of one
    /// element, relative to the vector's largest element.
    pub tolerance: BTreeMap<String, f32>,
    /// What changes, and how badly.
    pub losses: Vec<Loss>,
    /// The source's schema.
    pub schema: CollectionSchema,
    /// Fingerprint of the records at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_fingerprint: Option<FingerprintSummary>,
    /// Fingerprint of the projected records; equal to the source's where nothing is projected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_fingerprint: Option<FingerprintSummary>,
    /// Records in the bundle, per namespace (`""` is the default one).
    #[serde(default)]
    pub records: BTreeMap<String, u64>,
}

impl Mapping {
    /// True if `project` changes anything.
    pub fn projects(&self) -> bool {
        !self.normalised.is_empty()
    }

    /// The schema of undone records, for records that arrive in `schema`.
    pub fn undone_schema(&self, schema: &CollectionSchema) -> CollectionSchema {
        let mut undone = schema.clone();
        undone.ids = IdKinds::Mixed;
        undone.namespaced = schema.namespaced || self.namespace_key.is_some();
        undone
    }

    /// Brings a batch of the target back into the source's form; records without reserved keys stay as they are.
    /// Returns the fault with the row that it was found in.
    pub fn undo(&self, batch: &RecordBatch, schema: &CollectionSchema) -> Result<RecordBatch, (usize, Fault)> {
        let undone = Arc::new(self.undone_schema(schema));
        rebuild(batch, schema, undone, |row, view| {
            let Some(text) = view.metadata(row) else {
                return Ok(Texts::of(view, row));
            };
            self.undo_texts(view, row, text)
        })
    }

    /// Applies to a batch of the source what the target does to it for good.
    pub fn project(&self, batch: &RecordBatch, schema: &CollectionSchema) -> Result<RecordBatch, (usize, Fault)> {
        if !self.projects() {
            return Ok(batch.clone());
        }
        let target = Arc::new(schema.clone());
        let view = BatchView::new(batch, schema).map_err(|fault| (0, fault))?;
        let names: Vec<&str> = view.vector_specs().map(|spec| spec.name.as_str()).collect();
        let normalise: Vec<bool> = names.iter().map(|name| self.normalised.iter().any(|n| n == name)).collect();
        let mut builder = BatchBuilder::new(target).map_err(|fault| (0, fault))?;
        for row in 0..view.len() {
            for (column, normalise) in normalise.iter().enumerate() {
                push_vector(&mut builder, column, view.vector(column, row), *normalise, view.dim(column))
                    .map_err(|f| (row, f))?;
            }
            builder.finish_row(Texts::of(&view, row).as_row()).map_err(|fault| (row, fault))?;
        }
        builder.finish().map_err(|fault| (0, fault))
    }

    fn undo_texts<'a>(&self, view: &BatchView<'a>, row: usize, text: &'a str) -> Result<Texts<'a>, Fault> {
        let mut texts = Texts::of(view, row);
        let mut kept = Vec::with_capacity(text.len());
        let mut found = false;
        for (key, value) in Entries::parse(text)?.0 {
            let reserved = self.reserved(&key).filter(|_| value.get().starts_with('"'));
            let Some(place) = reserved else {
                kept.push(if kept.is_empty() { b'{' } else { b',' });
                json::append_string(&key, &mut kept);
                kept.push(b':');
                kept.extend_from_slice(value.get().as_bytes());
                continue;
            };
            let value: String =
                serde_json::from_str(value.get()).map_err(|e| Fault::BadJson { reason: e.to_string() })?;
            found = true;
            match place {
                Reserved::Id => (texts.id, texts.id_kind) = (value.into(), IdKind::Text),
                Reserved::Document => texts.document = Some(value.into()),
                Reserved::Namespace => texts.namespace = Some(value.into()),
            }
        }
        if found {
            texts.metadata = (!kept.is_empty()).then(|| {
                kept.push(b'}');
                String::from_utf8_lossy(&kept).into_owned().into()
            });
        }
        Ok(texts)
    }

    fn reserved(&self, key: &str) -> Option<Reserved> {
        match key {
            _ if key == self.id_key => Some(Reserved::Id),
            _ if key == self.document_key => Some(Reserved::Document),
            _ if Some(key) == self.namespace_key.as_deref() => Some(Reserved::Namespace),
            _ => None,
        }
    }
}

enum Reserved {
    Id,
    Document,
    Namespace,
}

/// The texts of one record, borrowed from a batch or made anew.
struct Texts<'a> {
    id: std::borrow::Cow<'a, str>,
    id_kind: IdKind,
    namespace: Option<std::borrow::Cow<'a, str>>,
    document: Option<std::borrow::Cow<'a, str>>,
    metadata: Option<std::borrow::Cow<'a, str>>,
}

impl<'a> Texts<'a> {
    fn of(view: &BatchView<'a>, row: usize) -> Self {
        Texts {
            id: view.id(row).into(),
            id_kind: view.id_kind(row),
            namespace: view.namespace(row).map(Into::into),
            document: view.document(row).map(Into::into),
            metadata: view.metadata(row).map(Into::into),
        }
    }

    fn as_row(&self) -> RowText<'_> {
        RowText {
            id: &self.id,
            id_kind: self.id_kind,
            namespace: self.namespace.as_deref(),
            document: self.document.as_deref(),
            metadata: self.metadata.as_deref(),
        }
    }
}

fn rebuild<'a>(
    batch: &'a RecordBatch,
    schema: &'a CollectionSchema,
    target: Arc<CollectionSchema>,
    texts: impl Fn(usize, &BatchView<'a>) -> Result<Texts<'a>, Fault>,
) -> Result<RecordBatch, (usize, Fault)> {
    let view = BatchView::new(batch, schema).map_err(|fault| (0, fault))?;
    let mut builder = BatchBuilder::new(target).map_err(|fault| (0, fault))?;
    let columns = view.vector_specs().count();
    for row in 0..view.len() {
        for column in 0..columns {
            push_vector(&mut builder, column, view.vector(column, row), false, view.dim(column))
                .map_err(|f| (row, f))?;
        }
        let texts = texts(row, &view).map_err(|fault| (row, fault))?;
        builder.finish_row(texts.as_row()).map_err(|fault| (row, fault))?;
    }
    builder.finish().map_err(|fault| (0, fault))
}

fn push_vector(
    builder: &mut BatchBuilder,
    column: usize,
    value: Option<VectorValue<'_>>,
    normalise: bool,
    dim: usize,
) -> Result<(), Fault> {
    match value {
        None => {}
        Some(VectorValue::Dense(values)) => push_rows(builder.dense_values(column), values, normalise, dim),
        Some(VectorValue::Widened(values)) => push_rows(builder.dense_values(column), &values, normalise, dim),
        Some(VectorValue::Sparse(indices, values)) => builder.push_sparse(column, indices, values)?,
        Some(VectorValue::Multi(rows)) => {
            let mut scaled = Vec::with_capacity(rows.len());
            push_rows(&mut scaled, rows, normalise, dim);
            builder.push_multi(column, &scaled);
        }
    }
    Ok(())
}

fn push_rows(out: &mut Vec<f32>, values: &[f32], normalise: bool, dim: usize) {
    if !normalise || dim == 0 {
        return out.extend_from_slice(values);
    }
    for row in values.chunks(dim) {
        let scale = unit_scale(row);
        out.extend(row.iter().map(|value| value * scale));
    }
}

/// The factor that brings `row` to unit length; 1 for rows that are zero or already there, as Qdrant has it.
pub fn unit_scale(row: &[f32]) -> f32 {
    let square: f32 = row.iter().map(|v| v * v).sum();
    if square < f32::EPSILON || (square - 1.0).abs() <= 1e-6 { 1.0 } else { 1.0 / square.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tranship_collection::VectorSpec;

    fn mapping() -> Mapping {
        Mapping {
            target: "qdrant".into(),
            collection: "c".into(),
            id_key: "_id".into(),
            document_key: "document".into(),
            namespace_key: None,
            normalised: vec![String::new()],
            tolerance: BTreeMap::new(),
            losses: Vec::new(),
            schema: CollectionSchema::new("c"),
            source_fingerprint: None,
            expected_fingerprint: None,
            records: BTreeMap::new(),
        }
    }

    fn batch(schema: &CollectionSchema, id: &str, vector: &[f32], metadata: Option<&str>) -> RecordBatch {
        let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
        builder.push_dense(0, vector);
        builder.finish_row(RowText { id, id_kind: IdKind::Text, namespace: None, document: None, metadata }).unwrap();
        builder.finish().unwrap()
    }

    #[test]
    fn undo_takes_id_and_document_out_of_their_reserved_keys() {
        let mut schema = CollectionSchema::new("c");
        schema.vectors = vec![VectorSpec::dense("", 2)];
        let stored = batch(&schema, "uuid", &[3.0, 4.0], Some(r#"{"document":"text","a":1,"_id":"one"}"#));
        let undone = mapping().undo(&stored, &schema).unwrap();
        let target = mapping().undone_schema(&schema);
        let view = BatchView::new(&undone, &target).unwrap();
        assert_eq!((view.id(0), view.document(0), view.metadata(0)), ("one", Some("text"), Some(r#"{"a":1}"#)));
        let again = mapping().undo(&undone, &target).unwrap();
        assert_eq!(again, undone);
    }

    #[test]
    fn projection_brings_vectors_to_unit_length_and_leaves_zeros() {
        let mut schema = CollectionSchema::new("c");
        schema.vectors = vec![VectorSpec::dense("", 2)];
        for (given, wanted) in [([3.0, 4.0], [0.6, 0.8]), ([0.0, 0.0], [0.0, 0.0])] {
            let projected = mapping().project(&batch(&schema, "a", &given, None), &schema).unwrap();
            let view = BatchView::new(&projected, &schema).unwrap();
            let Some(VectorValue::Dense(values)) = view.vector(0, 0) else { panic!("no vector") };
            assert!(values.iter().zip(wanted).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6));
        }
    }
}
