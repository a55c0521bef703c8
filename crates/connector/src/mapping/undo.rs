//! From the target's form back into the source's.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::Deserialize;
use tranship_collection::batch::RowText;
use tranship_collection::json::Entries;
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, Fault};

use super::project::push_vector;
use super::{Mapping, Reserved};
use crate::native::object_text;

impl Mapping {
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
        let view = BatchView::new(batch, schema).map_err(|fault| (0, fault))?;
        let mut builder = BatchBuilder::new(undone).map_err(|fault| (0, fault))?;
        let columns = view.vector_specs().count();
        for row in 0..view.len() {
            for column in 0..columns {
                push_vector(&mut builder, column, view.vector(column, row), None, view.dim(column))
                    .map_err(|fault| (row, fault))?;
            }
            let texts = self.undone_texts(&view, row).map_err(|fault| (row, fault))?;
            builder.finish_row(texts.as_row()).map_err(|fault| (row, fault))?;
        }
        builder.finish().map_err(|fault| (0, fault))
    }

    fn undone_texts<'a>(&self, view: &BatchView<'a>, row: usize) -> Result<Texts<'a>, Fault> {
        let mut texts = Texts::of(view, row);
        if self.schema.ids == IdKinds::Integer && is_integer(&texts.id) {
            texts.id_kind = IdKind::Integer;
        }
        if let Some(name) = texts.namespace.as_deref().filter(|_| !self.renamed_namespaces.is_empty()) {
            texts.namespace =
                Some(self.renamed_namespaces.own(name).to_owned().into()).filter(|own: &Cow<'_, str>| !own.is_empty());
        }
        match view.metadata(row) {
            Some(text) => self.undo_metadata(texts, text),
            None => Ok(texts),
        }
    }

    fn undo_metadata<'a>(&self, mut texts: Texts<'a>, text: &'a str) -> Result<Texts<'a>, Fault> {
        let declared = self.as_declared(text)?;
        let entries = Entries::parse(declared.as_deref().unwrap_or(text))?.0;
        if !entries.iter().any(|(key, _)| self.reserved(key).is_some()) {
            drop(entries);
            texts.metadata = declared.map(Into::into).or(texts.metadata);
            return Ok(texts);
        }
        let mut kept = Vec::with_capacity(entries.len());
        let mut exact = String::new();
        for (key, value) in entries {
            let text = || text_of(value.get());
            match self.reserved(&key) {
                Some(Reserved::Id) => (texts.id, texts.id_kind) = original_id(value.get())?,
                Some(Reserved::Document) if text()?.is_some() => texts.document = text()?.map(Into::into),
                Some(Reserved::Namespace) if text()?.is_some() => texts.namespace = text()?.map(Into::into),
                Some(Reserved::Exact) if text()?.is_some() => exact = text()?.unwrap_or_default(),
                _ => kept.push((key, value)),
            }
        }
        if !exact.is_empty() {
            let exact = Entries::parse(&exact)?.0;
            let restored = self.native_form().restore(kept, exact);
            texts.metadata = object_text(&restored).map(Into::into);
        } else {
            texts.metadata = object_text(&kept).map(Into::into);
        }
        Ok(texts)
    }
}

/// True for the canonical decimal spelling of an integer.
pub fn is_integer(id: &str) -> bool {
    let digits = id.strip_prefix('-').unwrap_or(id);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain && (id == "0" || !digits.starts_with('0'))
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
        Some(b'"') => {
            let text = serde_json::from_str::<String>(value).map_err(bad)?;
            if let Some(digits) = text.strip_prefix(INTEGER_PREFIX).filter(|digits| is_integer(digits)) {
                return Ok((digits.to_owned().into(), IdKind::Integer));
            }
            if let Some(literal) = text.strip_prefix(JSON_PREFIX) {
                return Ok((serde_json::from_str::<String>(literal).map_err(bad)?.into(), IdKind::Text));
            }
            let plain = text.strip_prefix(TEXT_PREFIX).map(str::to_owned);
            Ok((plain.unwrap_or(text).into(), IdKind::Text))
        }
        Some(b'{') => Ok((serde_json::from_str::<Large>(value).map_err(bad)?.integer.into(), IdKind::Integer)),
        _ => {
            serde_json::from_str::<i128>(value).map_err(bad)?;
            Ok((value.to_owned().into(), IdKind::Integer))
        }
    }
}

/// How an integer id begins under the reserved key of a target that holds no such integer and no object.
pub const INTEGER_PREFIX: &str = "integer:";
/// How a text id with U+0000 begins where metadata may hold none: the rest is a JSON string with escapes.
pub const JSON_PREFIX: &str = "json:";
/// How a text id begins there that would otherwise begin with one of these.
pub const TEXT_PREFIX: &str = "text:";

/// The text of a JSON string, `None` for any other value.
fn text_of(value: &str) -> Result<Option<String>, Fault> {
    if !value.starts_with('"') {
        return Ok(None);
    }
    serde_json::from_str(value).map(Some).map_err(|e| Fault::BadJson { reason: e.to_string() })
}

/// The texts of one record, borrowed from a batch or made anew.
pub struct Texts<'a> {
    id: Cow<'a, str>,
    id_kind: IdKind,
    namespace: Option<Cow<'a, str>>,
    document: Option<Cow<'a, str>>,
    metadata: Option<Cow<'a, str>>,
}

impl<'a> Texts<'a> {
    /// As they stand in the batch.
    pub fn of(view: &BatchView<'a>, row: usize) -> Self {
        Texts {
            id: view.id(row).into(),
            id_kind: view.id_kind(row),
            namespace: view.namespace(row).map(Into::into),
            document: view.document(row).map(Into::into),
            metadata: view.metadata(row).map(Into::into),
        }
    }

    /// Without what the target leaves out.
    pub fn without(mut self, document: bool, metadata: bool) -> Self {
        self.document = self.document.filter(|_| !document);
        self.metadata = self.metadata.filter(|_| !metadata);
        self
    }

    /// For a builder.
    pub fn as_row(&self) -> RowText<'_> {
        RowText {
            id: &self.id,
            id_kind: self.id_kind,
            namespace: self.namespace.as_deref(),
            document: self.document.as_deref(),
            metadata: self.metadata.as_deref(),
        }
    }
}
