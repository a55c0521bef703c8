//! How records change form on the way into a target, and how to undo it.
//!
//! A mapping stands in `mapping.json` of every bundle. [`Mapping::undo`] turns records as the target holds them back
//! into the source's form (ids, namespaces and documents out of their reserved payload keys). [`Mapping::project`]
//! applies to the source's records what cannot be undone. Invariant: for a target that keeps its promises,
//! `undo(target) == project(source)`, bit for bit, or within [`Mapping::tolerance`] where the engine recomputes floats.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tranship_collection::batch::RowText;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::json::{self, Entries};
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_collection::{
    BatchBuilder, BatchView, CollectionSchema, Element, Fault, VectorKind, VectorSpec, VectorValue,
};

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
    /// Payload key that holds, as JSON text, the metadata entries whose numbers the target would change; they take
    /// the place of the entries of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_key: Option<String>,
    /// Vectors that the target brings to unit length.
    pub normalised: Vec<String>,
    /// Element types of the vectors that the target stores in another type than `f32`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elements: BTreeMap<String, Element>,
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

    /// The schema of projected records, for records that arrive in `schema`: a vector at unit length has the element
    /// type that the target stores it in.
    pub fn projected_schema(&self, schema: &CollectionSchema) -> CollectionSchema {
        let mut projected = schema.clone();
        for spec in projected.vectors.iter_mut().filter(|spec| self.normalises(spec)) {
            spec.element = self.stored_element(&spec.name);
        }
        projected
    }

    fn normalises(&self, spec: &VectorSpec) -> bool {
        self.normalised.contains(&spec.name) && matches!(spec.kind, VectorKind::Dense | VectorKind::Multi)
    }

    fn stored_element(&self, name: &str) -> Element {
        self.elements.get(name).copied().unwrap_or(Element::F32)
    }

    /// Applies to a batch of the source what the target does to it for good. The batch that comes out follows
    /// [`Self::projected_schema`].
    pub fn project(&self, batch: &RecordBatch, schema: &CollectionSchema) -> Result<RecordBatch, (usize, Fault)> {
        if !self.projects() {
            return Ok(batch.clone());
        }
        let view = BatchView::new(batch, schema).map_err(|fault| (0, fault))?;
        let to_unit = |spec: &VectorSpec| self.normalises(spec).then(|| self.stored_element(&spec.name));
        let to_unit: Vec<Option<Element>> = view.vector_specs().map(to_unit).collect();
        let mut builder = BatchBuilder::new(Arc::new(self.projected_schema(schema))).map_err(|fault| (0, fault))?;
        for row in 0..view.len() {
            for (column, to_unit) in to_unit.iter().enumerate() {
                push_vector(&mut builder, column, view.vector(column, row), *to_unit, view.dim(column))
                    .map_err(|f| (row, f))?;
            }
            builder.finish_row(Texts::of(&view, row).as_row()).map_err(|fault| (row, fault))?;
        }
        builder.finish().map_err(|fault| (0, fault))
    }

    fn undo_texts<'a>(&self, view: &BatchView<'a>, row: usize, text: &'a str) -> Result<Texts<'a>, Fault> {
        let mut texts = Texts::of(view, row);
        let entries = Entries::parse(text)?.0;
        if !entries.iter().any(|(key, _)| self.reserved(key).is_some()) {
            return Ok(texts);
        }
        let mut kept = Vec::with_capacity(entries.len());
        let mut exact = String::new();
        for (key, value) in entries {
            match self.reserved(&key) {
                Some(Reserved::Id) => (texts.id, texts.id_kind) = original_id(value.get())?,
                Some(Reserved::Document) => match text_of(value.get())? {
                    Some(document) => texts.document = Some(document.into()),
                    None => kept.push((key, value)),
                },
                Some(Reserved::Namespace) => match text_of(value.get())? {
                    Some(namespace) => texts.namespace = Some(namespace.into()),
                    None => kept.push((key, value)),
                },
                Some(Reserved::Exact) => match text_of(value.get())? {
                    Some(text) => exact = text,
                    None => kept.push((key, value)),
                },
                None => kept.push((key, value)),
            }
        }
        if !exact.is_empty() {
            replace_entries(&mut kept, Entries::parse(&exact)?.0);
        }
        texts.metadata = object_text(&kept).map(Into::into);
        Ok(texts)
    }

    fn reserved(&self, key: &str) -> Option<Reserved> {
        match key {
            _ if key == self.id_key => Some(Reserved::Id),
            _ if key == self.document_key => Some(Reserved::Document),
            _ if Some(key) == self.namespace_key.as_deref() => Some(Reserved::Namespace),
            _ if Some(key) == self.exact_key.as_deref() => Some(Reserved::Exact),
            _ => None,
        }
    }
}

enum Reserved {
    Id,
    Document,
    Namespace,
    Exact,
}

/// The id under the reserved key: a text, an integer, or `{"integer":"digits"}` for one that the target cannot hold.
fn original_id<'a>(value: &str) -> Result<(Cow<'a, str>, IdKind), Fault> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Large {
        integer: String,
    }
    let bad = |e: serde_json::Error| Fault::BadJson { reason: format!("the original id {value}: {e}") };
    match value.as_bytes().first() {
        Some(b'"') => Ok((serde_json::from_str::<String>(value).map_err(bad)?.into(), IdKind::Text)),
        Some(b'{') => Ok((serde_json::from_str::<Large>(value).map_err(bad)?.integer.into(), IdKind::Integer)),
        _ => {
            serde_json::from_str::<i128>(value).map_err(bad)?;
            Ok((value.to_owned().into(), IdKind::Integer))
        }
    }
}

/// The text of a JSON string, `None` for any other value.
fn text_of(value: &str) -> Result<Option<String>, Fault> {
    if !value.starts_with('"') {
        return Ok(None);
    }
    serde_json::from_str(value).map(Some).map_err(|e| Fault::BadJson { reason: e.to_string() })
}

/// Puts exact values in place of what the engine made of them. A value that is not what it would have made of the
/// exact one was changed in the target: it stays, so that a comparison finds it.
fn replace_entries<'a>(kept: &mut [(Cow<'a, str>, &'a RawValue)], exact: Vec<(Cow<'a, str>, &'a RawValue)>) {
    for (key, value) in exact {
        if let Some(entry) = kept.iter_mut().find(|entry| entry.0 == key && is_rounding_of(entry.1, value)) {
            entry.1 = value;
        }
    }
}

fn is_rounding_of(stored: &RawValue, exact: &RawValue) -> bool {
    let parse = |raw: &RawValue| serde_json::from_str::<Value>(raw.get());
    matches!((parse(stored), parse(exact)), (Ok(stored), Ok(exact)) if is_rounded(&stored, &exact))
}

/// Equal but for numbers that are a few units in the last place of an f64 apart.
fn is_rounded(stored: &Value, exact: &Value) -> bool {
    match (stored, exact) {
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            _ if a == b => true,
            (Some(a), Some(b)) => (a - b).abs() <= 4.0 * f64::EPSILON * b.abs().max(f64::MIN_POSITIVE),
            _ => false,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_rounded(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_rounded(a, b)))
        }
        _ => stored == exact,
    }
}

/// The object of `entries`; `None` if there are none.
fn object_text(entries: &[(Cow<'_, str>, &RawValue)]) -> Option<String> {
    let mut out = Vec::new();
    for (key, value) in entries {
        out.push(if out.is_empty() { b'{' } else { b',' });
        json::append_string(key, &mut out);
        out.push(b':');
        out.extend_from_slice(value.get().as_bytes());
    }
    (!out.is_empty()).then(|| {
        out.push(b'}');
        String::from_utf8_lossy(&out).into_owned()
    })
}

/// The texts of one record, borrowed from a batch or made anew.
struct Texts<'a> {
    id: Cow<'a, str>,
    id_kind: IdKind,
    namespace: Option<Cow<'a, str>>,
    document: Option<Cow<'a, str>>,
    metadata: Option<Cow<'a, str>>,
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
            push_vector(&mut builder, column, view.vector(column, row), None, view.dim(column))
                .map_err(|f| (row, f))?;
        }
        let texts = texts(row, &view).map_err(|fault| (row, fault))?;
        builder.finish_row(texts.as_row()).map_err(|fault| (row, fault))?;
    }
    builder.finish().map_err(|fault| (0, fault))
}

/// Appends a vector; at unit length in the element type `to_unit`, if there is one.
fn push_vector(
    builder: &mut BatchBuilder,
    column: usize,
    value: Option<VectorValue<'_>>,
    to_unit: Option<Element>,
    dim: usize,
) -> Result<(), Fault> {
    match value {
        None => {}
        Some(VectorValue::Dense(values)) => push_rows(builder.dense_values(column), values, to_unit, dim),
        Some(VectorValue::Widened(values)) => push_rows(builder.dense_values(column), &values, to_unit, dim),
        Some(VectorValue::Sparse(indices, values)) => builder.push_sparse(column, indices, values)?,
        Some(VectorValue::Multi(rows)) => {
            let mut scaled = Vec::with_capacity(rows.len());
            push_rows(&mut scaled, rows, to_unit, dim);
            builder.push_multi(column, &scaled);
        }
        Some(VectorValue::Bits(bytes)) => builder.push_bytes(column, bytes),
    }
    Ok(())
}

fn push_rows(out: &mut Vec<f32>, values: &[f32], to_unit: Option<Element>, dim: usize) {
    let Some(element) = to_unit.filter(|_| dim > 0) else {
        return out.extend_from_slice(values);
    };
    for row in values.chunks(dim) {
        let scale = unit_scale(row);
        out.extend(row.iter().map(|value| element.nearest(value * scale)));
    }
}

/// The factor that brings `row` to unit length; 1 for rows that are zero or already there, as Qdrant has it.
///
/// Summed in f64: engines add in lanes, and only the exact sum stays within one rounding of all of them at any `dim`.
pub fn unit_scale(row: &[f32]) -> f32 {
    let square: f64 = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    if square < f64::from(f32::EPSILON) || (square - 1.0).abs() <= 1e-6 { 1.0 } else { (1.0 / square.sqrt()) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping() -> Mapping {
        Mapping {
            target: "qdrant".into(),
            collection: "c".into(),
            id_key: "_id".into(),
            document_key: "document".into(),
            namespace_key: Some("_ns".into()),
            exact_key: Some("_exact".into()),
            normalised: vec![String::new()],
            elements: BTreeMap::new(),
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
    fn undo_knows_integers_namespaces_and_entries_kept_as_text() {
        let mut schema = CollectionSchema::new("c");
        schema.vectors = vec![VectorSpec::dense("", 2)];
        let payload = [
            (r#"{"_id":-7,"_ns":"n","document":{"a":1}}"#, "-7", Some(r#"{"document":{"a":1}}"#)),
            (r#"{"_id":{"integer":"99999999999999999999"},"_ns":"n"}"#, "99999999999999999999", None),
            (
                r#"{"a":1.5,"_exact":"{\"a\":1.50000000000000011}","b":[],"_id":1,"_ns":"n"}"#,
                "1",
                Some(r#"{"a":1.50000000000000011,"b":[]}"#),
            ),
        ];
        for (given, id, metadata) in payload {
            let undone = mapping().undo(&batch(&schema, "uuid", &[3.0, 4.0], Some(given)), &schema).unwrap();
            let target = mapping().undone_schema(&schema);
            let view = BatchView::new(&undone, &target).unwrap();
            assert_eq!((view.id(0), view.id_kind(0), view.metadata(0)), (id, IdKind::Integer, metadata));
            assert_eq!(view.namespace(0), Some("n"));
        }
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

    #[test]
    fn narrow_vectors_are_projected_into_the_element_that_the_target_stores() {
        let narrow = |element| CollectionSchema {
            vectors: vec![VectorSpec { element, ..VectorSpec::dense("", 2) }],
            ..CollectionSchema::new("c")
        };
        let stored_as_f16 = Mapping { elements: [(String::new(), Element::F16)].into(), ..mapping() };
        for (mapping, given, stored) in [
            (&mapping(), Element::BF16, Element::F32),
            (&mapping(), Element::I8, Element::F32),
            (&stored_as_f16, Element::F16, Element::F16),
            (&stored_as_f16, Element::F32, Element::F16),
        ] {
            let schema = narrow(given);
            let projected = mapping.project(&batch(&schema, "a", &[1.0, 2.0], None), &schema).unwrap();
            let target = mapping.projected_schema(&schema);
            assert_eq!(target.vectors[0].element, stored);
            let view = BatchView::new(&projected, &target).unwrap();
            let values = match view.vector(0, 0) {
                Some(VectorValue::Dense(values)) => values.to_vec(),
                Some(VectorValue::Widened(values)) => values,
                other => panic!("{other:?}"),
            };
            let unit = [1.0 / 5.0f32.sqrt(), 2.0 / 5.0f32.sqrt()].map(|value| stored.nearest(value));
            assert!(values.iter().zip(unit).all(|(a, b)| (a - b).abs() < 1e-7), "{given:?}: {values:?}, {unit:?}");
        }
    }

    #[test]
    fn a_number_that_was_changed_in_the_target_is_not_put_right_in_silence() {
        let mut schema = CollectionSchema::new("c");
        schema.vectors = vec![VectorSpec::dense("", 2)];
        let mapping = Mapping { exact_key: Some("_exact".into()), namespace_key: Some("_ns".into()), ..mapping() };
        let undone = |stored: &str| {
            let batch = batch(&schema, "a", &[3.0, 4.0], Some(stored));
            let undone = mapping.undo(&batch, &schema).unwrap();
            BatchView::new(&undone, &mapping.undone_schema(&schema)).unwrap().metadata(0).unwrap().to_owned()
        };
        let exact = r#""_exact":"{\"n\":0.12345678901234567}""#;
        assert_eq!(undone(&format!(r#"{{"n":0.12345678901234566,{exact}}}"#)), r#"{"n":0.12345678901234567}"#);
        assert_eq!(undone(&format!(r#"{{"n":5.0,{exact}}}"#)), r#"{"n":5.0}"#);
        assert_eq!(undone(r#"{"n":5.0,"_exact":7,"_ns":8}"#), r#"{"n":5.0,"_exact":7,"_ns":8}"#);
    }
}
