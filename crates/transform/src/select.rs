//! `--select`: which metadata keys, and whether documents, are kept.
//!
//! Ids, namespaces and vectors always stay; `document` stands for the document, `metadata.document` for a key of that name.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{Array, RecordBatch, StringArray};
use tranship_collection::json::Entries;
use tranship_collection::{BatchView, CollectionSchema, json, layout};
use tranship_connector::{Error, Grade, Loss, Result};

use crate::chain::{Pass, Step, Worker};
use crate::columns::{Columns, rebuilt};

/// The selection.
#[derive(Debug, Clone)]
pub struct Select {
    keys: Vec<String>,
    document: bool,
}

impl Select {
    pub fn parse(fields: &[String]) -> Result<Self> {
        let mut select = Select { keys: Vec::new(), document: false };
        let mut told = HashSet::new();
        for field in fields {
            if field.is_empty() || !told.insert(field) {
                let what = if field.is_empty() { "an empty name".to_owned() } else { format!("`{field}` twice") };
                return Err(Error::usage(format!("--select names {what}"))
                    .hint("name each field once, as in --select title,year"));
            }
            match field.as_str() {
                "document" => select.document = true,
                key => select.keys.push(key.strip_prefix("metadata.").unwrap_or(key).to_owned()),
            }
        }
        Ok(select)
    }

    /// The object with the selected keys alone; `None` if there are none. True if others are left out.
    fn selected(&self, text: &str, seen: &mut [bool]) -> std::result::Result<(Option<String>, bool), String> {
        let Entries(entries) = Entries::parse(text).map_err(|fault| fault.to_string())?;
        let (all, mut kept, mut out) = (entries.len(), 0, Vec::new());
        for (key, value) in entries {
            let Some(position) = self.keys.iter().position(|wanted| *wanted == key) else { continue };
            seen[position] = true;
            out.push(if kept == 0 { b'{' } else { b',' });
            json::append_string(&key, &mut out);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
            kept += 1;
        }
        if kept > 0 {
            out.push(b'}');
        }
        let object = String::from_utf8(out).map_err(|error| error.to_string())?;
        Ok(((kept > 0).then_some(object), kept < all))
    }
}

impl Step for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn losses(&self, _: &CollectionSchema) -> Vec<Loss> {
        let kept: Vec<&str> =
            self.keys.iter().map(String::as_str).chain(self.document.then_some("the document")).collect();
        vec![Loss::new("CHANGED_FIELDS", "select", "all fields", kept.join(", "), Grade::Dropped)]
    }

    fn mentions(&self) -> Vec<(String, Option<usize>)> {
        self.keys.iter().map(|key| (key.clone(), None)).collect()
    }

    fn worker<'a>(
        &'a self,
        _: &'a CollectionSchema,
        output: &'a Arc<CollectionSchema>,
    ) -> Result<Box<dyn Worker + 'a>> {
        Ok(Box::new(Selecting { select: self, output, seen: vec![false; self.keys.len()] }))
    }
}

struct Selecting<'a> {
    select: &'a Select,
    output: &'a CollectionSchema,
    seen: Vec<bool>,
}

impl Worker for Selecting<'_> {
    fn apply(&mut self, batch: &RecordBatch, view: &BatchView<'_>, pass: &mut Pass<'_>) -> Result<RecordBatch> {
        let (mut metadata, mut changed) = (StringBuilder::new(), 0);
        for row in 0..view.len() {
            let loses_document = !self.select.document && view.document(row).is_some();
            let selected = view.metadata(row).map(|text| self.select.selected(text, &mut self.seen)).transpose();
            match selected {
                Ok(selected) => {
                    let (object, loses) = selected.unwrap_or((None, false));
                    metadata.append_option(object);
                    changed += u64::from(loses || loses_document);
                }
                Err(reason) => {
                    metadata.append_null();
                    pass.reject(row, reason);
                }
            }
        }
        pass.count_changed(changed);
        let mut anew = Columns::from([(layout::METADATA.to_owned(), Arc::new(metadata.finish()) as _)]);
        if !self.select.document {
            let none: Arc<dyn Array> = Arc::new(StringArray::new_null(view.len()));
            anew.insert(layout::DOCUMENT.to_owned(), none);
        }
        rebuilt(batch, self.output, &anew)
    }

    fn seen(&self) -> &[bool] {
        &self.seen
    }
}
