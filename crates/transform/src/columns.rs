//! Batches put together from columns that stay and columns that are made anew.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, UInt8Array};
use tranship_collection::{BatchView, CollectionSchema, IdKind, layout};
use tranship_connector::{Error, Result};

/// Columns by name.
pub type Columns = HashMap<String, ArrayRef>;

/// The batch in the schema `output`: columns of `anew`, and those of `batch` for the rest.
pub fn rebuilt(batch: &RecordBatch, output: &CollectionSchema, anew: &Columns) -> Result<RecordBatch> {
    let arrow = layout::arrow_schema(output);
    let column = |name: &String| {
        let kept = || batch.column_by_name(name).cloned();
        anew.get(name).cloned().or_else(kept).ok_or_else(|| Error::bug(format!("a batch without the column {name}")))
    };
    let columns = arrow.fields().iter().map(|field| column(field.name())).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(arrow, columns).map_err(|e| Error::bug(e.to_string()))
}

/// What a record consists of besides its vectors, as a step has made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    pub id: String,
    pub kind: IdKind,
    pub namespace: Option<String>,
    pub document: Option<String>,
    /// The text of one JSON object.
    pub metadata: Option<String>,
}

impl Texts {
    /// Row `row` as it is.
    pub fn of(view: &BatchView<'_>, row: usize) -> Self {
        Texts {
            id: view.id(row).to_owned(),
            kind: view.id_kind(row),
            namespace: view.namespace(row).map(str::to_owned),
            document: view.document(row).map(str::to_owned),
            metadata: view.metadata(row).map(str::to_owned),
        }
    }
}

/// Collects the texts of a batch.
#[derive(Default)]
pub struct TextColumns {
    ids: StringBuilder,
    kinds: Vec<u8>,
    namespaces: Vec<Option<String>>,
    documents: StringBuilder,
    metadata: StringBuilder,
}

impl TextColumns {
    pub fn push(&mut self, texts: Texts) {
        self.ids.append_value(&texts.id);
        self.kinds.push(texts.kind as u8);
        self.namespaces.push(texts.namespace);
        self.documents.append_option(texts.document.as_deref());
        self.metadata.append_option(texts.metadata.as_deref());
    }

    /// The columns by name; those that the schema has no place for are not asked for.
    pub fn finish(mut self) -> Columns {
        let namespaces: DictionaryArray<Int32Type> = self.namespaces.iter().map(Option::as_deref).collect();
        let columns: [(&str, ArrayRef); 5] = [
            (layout::ID, Arc::new(self.ids.finish())),
            (layout::ID_KIND, Arc::new(UInt8Array::from(self.kinds))),
            (layout::NAMESPACE, Arc::new(namespaces)),
            (layout::DOCUMENT, Arc::new(self.documents.finish())),
            (layout::METADATA, Arc::new(self.metadata.finish())),
        ];
        columns.into_iter().map(|(name, column)| (name.to_owned(), column)).collect()
    }
}
