//! From the source's form into the one that the target stores.
//!
//! # Ids
//! An id that the target cannot hold becomes the UUIDv5 in `NAMESPACE_URL` of the bytes
//!
//! ```text
//! namespace | 00 | id        text ids        (no namespace bytes in the default one, or where the target has namespaces)
//! namespace | 01 | id        integer ids, in decimal
//! ```
//!
//! and the id itself goes under the reserved metadata key. Where the target has no namespaces, ids of all but the
//! default one are mapped, since they are unique within a namespace only. In collections of both kinds whose integers
//! become digits, a text that spells an integer is mapped, so the two never fall together.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray, UInt8Array};
use arrow_select::filter::filter_record_batch;
use tranship_collection::json::{Entries, append_string};
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_collection::{BatchView, CollectionSchema, Fault, Metric, VectorKind, VectorSpec, VectorValue, layout};
use uuid::Uuid;

use super::undo::{INTEGER_PREFIX, JSON_PREFIX, TEXT_PREFIX, is_integer};
use super::{Mapping, Reserved};
use crate::native::object_text;
use crate::rules::{IntegerIds, Nested, TextIds};

/// What a record cannot be at the target, by stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// The code, for `--allow-loss`.
    pub code: &'static str,
    /// The column or key.
    pub path: String,
    /// What is wrong, in a few words.
    pub what: String,
}

/// What shaping changes about one record, all of it reversible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The id is mapped.
    pub id: bool,
    /// The namespace went into the metadata.
    pub namespace: bool,
    /// The document went into the metadata.
    pub document: bool,
    /// Entries that stand as text as well, or only.
    pub exact: Vec<String>,
}

/// A batch in the target's form.
pub struct Shaped {
    /// Records in [`Mapping::stored_schema`].
    pub batch: RecordBatch,
    /// Rows of the given batch that were left out, with the reason.
    pub left_out: Vec<(usize, RowFault)>,
}

/// Id and texts of one record in the target's form.
struct Stored<'a> {
    id: Cow<'a, str>,
    kind: IdKind,
    document: Option<&'a str>,
    metadata: Option<Cow<'a, str>>,
    changes: Changes,
}

/// The id that a record has at its target, if it cannot keep its own.
pub fn mapped_id(namespace: &str, kind: IdKind, id: &str) -> Uuid {
    let separator = u8::from(kind == IdKind::Integer);
    let name: Vec<u8> = namespace.bytes().chain([separator]).chain(id.bytes()).collect();
    Uuid::new_v5(&Uuid::NAMESPACE_URL, &name)
}

impl Mapping {
    /// The schema of records in the target's form.
    pub fn stored_schema(&self) -> CollectionSchema {
        let mut stored = self.schema.clone();
        stored.ids = match self.ids.integers {
            IntegerIds::U64 | IntegerIds::I64 | IntegerIds::Any => IdKinds::Mixed,
            IntegerIds::AsText | IntegerIds::Mapped => IdKinds::Text,
        };
        stored.namespaced = self.schema.namespaced && self.namespace_key.is_none();
        stored.vectors.retain(|spec| !self.dropped_vectors.contains(&spec.name));
        stored
    }

    /// Brings a batch of the source into the target's form. A record that the target cannot hold is left out if its
    /// code is in [`Self::left_out`], else it is an error with its row.
    pub fn shape(&self, batch: &RecordBatch, schema: &CollectionSchema) -> Result<Shaped, (usize, RowFault)> {
        let mut left_out = Vec::new();
        let view = BatchView::new(batch, schema).map_err(|fault| (0, broken(&fault)))?;
        let mut rows = Vec::with_capacity(view.len());
        for row in 0..view.len() {
            match self.stored_row(&view, row) {
                Ok(stored) => rows.push(stored),
                Err(fault) if self.left_out.iter().any(|code| code == fault.code) => left_out.push((row, fault)),
                Err(fault) => return Err((row, fault)),
            }
        }
        let kept = match left_out.is_empty() {
            true => batch.clone(),
            false => without(batch, &left_out).map_err(|fault| (0, broken(&fault)))?,
        };
        let batch = self.stored_batch(&kept, schema, &rows).map_err(|fault| (0, broken(&fault)))?;
        Ok(Shaped { batch, left_out })
    }

    /// What shaping one record changes, or why the target cannot hold it.
    pub fn changes(&self, view: &BatchView<'_>, row: usize) -> Result<Changes, RowFault> {
        self.stored_row(view, row).map(|stored| stored.changes)
    }

    /// The code by which a record is left out, if it is.
    pub(super) fn leaves_out(&self, view: &BatchView<'_>, row: usize) -> Result<Option<&'static str>, Fault> {
        if self.left_out.is_empty() {
            return Ok(None);
        }
        match self.stored_row(view, row) {
            Err(fault) if self.left_out.iter().any(|code| code == fault.code) => Ok(Some(fault.code)),
            _ => Ok(None),
        }
    }

    fn stored_row<'a>(&self, view: &BatchView<'a>, row: usize) -> Result<Stored<'a>, RowFault> {
        self.check_vectors(view, row)?;
        let (id, kind) = (view.id(row), view.id_kind(row));
        let namespace = view.namespace(row).unwrap_or("");
        let outer = if self.namespace_key.is_some() { namespace } else { "" };
        let mut changes = Changes::default();
        let (target_id, target_kind) = match self.kept_id(outer, kind, id) {
            Some(kept) => kept,
            None => {
                changes.id = true;
                (mapped_id(outer, kind, id).hyphenated().to_string().into(), IdKind::Text)
            }
        };
        let lost_kind = self.schema.ids == IdKinds::Mixed && kind != target_kind;
        let mut reserved = Vec::new();
        if changes.id || lost_kind {
            reserved.push((self.id_key.as_str(), self.id_text(kind, id)));
        }
        if let Some(key) = self.namespace_key.as_deref().filter(|_| !namespace.is_empty()) {
            changes.namespace = true;
            reserved.push((key, string(namespace)));
        }
        let document = view.document(row).filter(|_| !self.drops_documents);
        let inner = document.zip(self.document_key.as_deref());
        if let Some((text, key)) = inner {
            changes.document = true;
            reserved.push((key, string(text)));
        }
        let own = view.metadata(row).filter(|_| !self.drops_metadata);
        let metadata = self.stored_metadata(own, reserved, &mut changes)?;
        let stored = Stored {
            id: target_id,
            kind: target_kind,
            document: document.filter(|_| inner.is_none()),
            metadata,
            changes,
        };
        self.check_sizes(&stored, document)?;
        self.check_texts(document, Some(namespace).filter(|_| self.namespace_key.is_none()))?;
        Ok(stored)
    }

    /// The id as it stays at the target; `None` if it cannot.
    fn kept_id<'a>(&self, namespace: &str, kind: IdKind, id: &'a str) -> Option<(Cow<'a, str>, IdKind)> {
        if !namespace.is_empty() {
            return None;
        }
        let kept = match kind {
            IdKind::Integer => match self.ids.integers {
                IntegerIds::U64 => id.parse::<u64>().is_ok(),
                IntegerIds::I64 => id.parse::<i64>().is_ok(),
                IntegerIds::AsText => return Some((id.into(), IdKind::Text)),
                IntegerIds::Mapped => false,
                IntegerIds::Any => true,
            },
            IdKind::Text => match self.ids.texts {
                TextIds::Uuid => is_uuid(id),
                TextIds::Text { max_bytes, max_chars, chars } => {
                    let passes_for_integer =
                        self.schema.ids == IdKinds::Mixed && self.ids.integers == IntegerIds::AsText && is_integer(id);
                    !id.is_empty()
                        && !passes_for_integer
                        && id.len() <= max_bytes
                        && id.chars().count() <= max_chars
                        && chars.hold(id)
                }
                TextIds::Mapped => false,
            },
        };
        kept.then(|| (id.into(), kind))
    }

    /// The JSON value under the reserved key of ids.
    fn id_text(&self, kind: IdKind, id: &str) -> Vec<u8> {
        let plain_number = self.fields.is_none() && self.metadata.numbers.hold(id);
        match kind {
            IdKind::Integer if plain_number => id.as_bytes().to_vec(),
            IdKind::Integer if self.fields.is_none() && self.metadata.nested == Nested::Kept => {
                format!("{{\"integer\":\"{id}\"}}").into_bytes()
            }
            IdKind::Integer => string(&format!("{INTEGER_PREFIX}{id}")),
            IdKind::Text if !self.metadata.nul && id.contains('\0') => {
                let mut literal = JSON_PREFIX.as_bytes().to_vec();
                append_string(id, &mut literal);
                string(&String::from_utf8_lossy(&literal))
            }
            IdKind::Text if [INTEGER_PREFIX, TEXT_PREFIX, JSON_PREFIX].iter().any(|prefix| id.starts_with(prefix)) => {
                string(&format!("{TEXT_PREFIX}{id}"))
            }
            IdKind::Text => string(id),
        }
    }

    fn stored_metadata<'a>(
        &self,
        own: Option<&'a str>,
        reserved: Vec<(&str, Vec<u8>)>,
        changes: &mut Changes,
    ) -> Result<Option<Cow<'a, str>>, RowFault> {
        let entries = match own {
            Some(text) => Entries::parse(text).map_err(|fault| broken(&fault))?.0,
            None => Vec::new(),
        };
        if let Some((key, _)) = entries.iter().find(|(key, _)| self.reserved(key).is_some()) {
            return Err(self.reserved_key(key));
        }
        let parts = self.native_form().split(&entries);
        let exact = object_text(&parts.exact).unwrap_or_default();
        if parts.exact.is_empty() && reserved.is_empty() {
            return Ok(own.map(Cow::Borrowed));
        }
        let mut out = match (parts.exact.is_empty(), own) {
            (true, Some(text)) => open_object(text).to_owned().into_bytes(),
            _ => object_text(&parts.native).map_or_else(Vec::new, |text| open_object(&text).to_owned().into_bytes()),
        };
        let exact_key = self.exact_key.as_deref().filter(|_| !parts.exact.is_empty());
        changes.exact = parts.exact.iter().map(|(key, _)| key.clone().into_owned()).collect();
        let exact = exact_key.map(|key| (key, string(&exact)));
        for (key, value) in reserved.into_iter().chain(exact) {
            match out.as_slice() {
                [] => out.push(b'{'),
                [b'{'] => {}
                _ => out.push(b','),
            }
            append_string(key, &mut out);
            out.push(b':');
            out.extend_from_slice(&value);
        }
        out.push(b'}');
        let text = String::from_utf8(out).map_err(|_| broken(&Fault::BadJson { reason: "no UTF-8".to_owned() }))?;
        Ok(Some(text.into()))
    }

    fn reserved_key(&self, key: &str) -> RowFault {
        let what = match self.reserved(key) {
            Some(Reserved::Document) => {
                "needed for documents; choose another for them with --document-key NAME".to_owned()
            }
            _ => "needed by the bundle itself: this collection came out of a target that tranship had loaded; migrate \
                  the archive or bundle that it was loaded from"
                .to_owned(),
        };
        RowFault { code: "RESERVED_KEY", path: format!("metadata key `{key}`"), what }
    }

    fn check_vectors(&self, view: &BatchView<'_>, row: usize) -> Result<(), RowFault> {
        let rules = &self.rows;
        let kept = |spec: &&VectorSpec| !self.dropped_vectors.contains(&spec.name);
        let any_dense = view.vector_specs().filter(kept).any(|spec| spec.kind == VectorKind::Dense);
        for (column, spec) in view.vector_specs().enumerate() {
            if self.dropped_vectors.contains(&spec.name) {
                continue;
            }
            let fault = |code, what: &str| {
                let path = tranship_collection::fingerprint::vector_component(&spec.name);
                Err(RowFault { code, path, what: what.to_owned() })
            };
            let Some(value) = view.vector(column, row) else {
                let required = spec.kind == VectorKind::Dense || (!any_dense && spec.kind == VectorKind::Sparse);
                if rules.every_vector || (rules.vector_required && required) {
                    return fault("VECTOR_MISSING", "records without a vector");
                }
                continue;
            };
            let floats: &[f32] = match &value {
                VectorValue::Dense(values) | VectorValue::Multi(values) | VectorValue::Sparse(_, values) => values,
                VectorValue::Widened(values) => values,
                VectorValue::Bits(_) => &[],
            };
            if rules.finite && !tranship_collection::batch::all_finite(floats) {
                return fault("NON_FINITE", "NaN or infinity in a vector");
            }
            let dense = matches!(value, VectorValue::Dense(_) | VectorValue::Widened(_));
            let cosine = dense && spec.metric == Some(Metric::Cosine);
            if dense && rules.nonzero && floats.iter().all(|value| *value == 0.0) {
                return fault("ZERO_VECTOR", "a zero vector");
            }
            if rules.nonzero_under_cosine && cosine && floats.iter().all(|value| *value == 0.0) {
                return fault("ZERO_VECTOR", "a zero vector under cosine");
            }
            if rules.norm_in_f32 && cosine && !norm_fits_f32(floats) {
                return fault("NORM_OUT_OF_RANGE", "a cosine vector whose length squared no f32 holds");
            }
            if rules.sparse_values && matches!(value, VectorValue::Sparse([], _)) {
                return fault("EMPTY_SPARSE", "a sparse vector without values");
            }
            if rules.multi_rows && matches!(value, VectorValue::Multi([])) {
                return fault("EMPTY_MULTIVECTOR", "a multivector without rows");
            }
            if let (Some(max), VectorValue::Sparse(_, values)) = (rules.max_nonzeros, &value)
                && values.len() > max
            {
                return fault("SPARSE_TOO_LONG", &format!("more than {max} values in a sparse vector"));
            }
            if let (Some(max), VectorValue::Sparse(indices, _)) = (rules.max_sparse_index, &value)
                && indices.last().is_some_and(|index| *index > max)
            {
                return fault("SPARSE_INDEX_TOO_LARGE", &format!("an index above {max} in a sparse vector"));
            }
        }
        Ok(())
    }

    fn check_sizes(&self, stored: &Stored<'_>, document: Option<&str>) -> Result<(), RowFault> {
        let over =
            |max: Option<usize>, text: Option<&str>| max.filter(|max| text.is_some_and(|text| text.len() > *max));
        let fault = |code, path: &str, max: usize| {
            Err(RowFault { code, path: path.to_owned(), what: format!("more than {max} bytes") })
        };
        if let Some(max) = over(self.rows.max_metadata_bytes, stored.metadata.as_deref()) {
            return fault("METADATA_TOO_LARGE", "metadata", max);
        }
        if let Some(max) = self.rows.max_native_bytes.filter(|max| self.native_bytes(stored) > *max) {
            return fault("FILTERABLE_TOO_LARGE", "metadata", max);
        }
        match over(self.rows.max_document_bytes, document) {
            Some(max) => fault("DOCUMENT_TOO_LARGE", "document", max),
            None => Ok(()),
        }
    }

    /// Bytes of the entries that are not ours, keys and values.
    fn native_bytes(&self, stored: &Stored<'_>) -> usize {
        let entries = stored.metadata.as_deref().and_then(|text| Entries::parse(text).ok());
        let own = |(key, _): &&(Cow<'_, str>, _)| self.reserved(key).is_none();
        entries.map_or(0, |Entries(entries)| {
            entries.iter().filter(own).map(|(key, value)| key.len() + value.get().len()).sum()
        })
    }

    /// `namespace` if the target has namespaces of its own.
    fn check_texts(&self, document: Option<&str>, namespace: Option<&str>) -> Result<(), RowFault> {
        for (path, text) in [("document", document), ("namespace", namespace)] {
            if self.rows.no_nul && text.is_some_and(|text| text.contains('\0')) {
                let what = "U+0000 in a text".to_owned();
                return Err(RowFault { code: "NUL_IN_TEXT", path: path.to_owned(), what });
            }
        }
        match self.rows.max_namespace_bytes.filter(|max| namespace.is_some_and(|text| text.len() > *max)) {
            Some(max) => {
                let what = format!("more than {max} bytes");
                Err(RowFault { code: "NAMESPACE_TOO_LONG", path: "namespace".to_owned(), what })
            }
            None => Ok(()),
        }
    }

    fn stored_batch(
        &self,
        batch: &RecordBatch,
        schema: &CollectionSchema,
        rows: &[Stored<'_>],
    ) -> Result<RecordBatch, Fault> {
        let mut stored = self.stored_schema();
        // The dimensions that were found are those of the batch at hand.
        stored.vectors =
            schema.vectors.iter().filter(|spec| !self.dropped_vectors.contains(&spec.name)).cloned().collect();
        let arrow = layout::arrow_schema(&stored);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(arrow.fields().len());
        for field in arrow.fields() {
            let column: ArrayRef = match field.name().as_str() {
                layout::ID => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &*row.id))),
                layout::ID_KIND => Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| row.kind as u8))),
                layout::DOCUMENT => Arc::new(StringArray::from_iter(rows.iter().map(|row| row.document))),
                layout::METADATA => Arc::new(StringArray::from_iter(rows.iter().map(|row| row.metadata.as_deref()))),
                name => {
                    let missing = || Fault::Layout { reason: format!("no column `{name}`") };
                    batch.column_by_name(name).ok_or_else(missing)?.clone()
                }
            };
            columns.push(column);
        }
        RecordBatch::try_new(arrow, columns).map_err(|e| Fault::Layout { reason: e.to_string() })
    }
}

fn without(batch: &RecordBatch, left_out: &[(usize, RowFault)]) -> Result<RecordBatch, Fault> {
    let mut keep = vec![true; batch.num_rows()];
    left_out.iter().for_each(|(row, _)| keep[*row] = false);
    filter_record_batch(batch, &BooleanArray::from(keep)).map_err(|e| Fault::Layout { reason: e.to_string() })
}

fn broken(fault: &Fault) -> RowFault {
    RowFault { code: "BROKEN", path: "record".to_owned(), what: fault.to_string() }
}

/// True for zeros and for lengths whose square is far from the ends of f32.
fn norm_fits_f32(values: &[f32]) -> bool {
    let square: f64 = values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    square == 0.0 || (1e-36..1e38).contains(&square)
}

fn is_uuid(id: &str) -> bool {
    let mut buffer = Uuid::encode_buffer();
    Uuid::try_parse(id).is_ok_and(|uuid| *uuid.hyphenated().encode_lower(&mut buffer) == *id)
}

fn string(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    append_string(text, &mut out);
    out
}

/// An object's text without its closing brace.
fn open_object(text: &str) -> &str {
    let text = text.trim_ascii();
    text.strip_suffix('}').unwrap_or(text).trim_ascii_end()
}
