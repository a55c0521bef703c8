//! What was measured of a collection before anything is written: which records a target would change or cannot hold.
//!
//! One pass over the source, in parallel: every split has a [`Survey`] of its own, and they are merged in split order.
//! Invariant: a survey is a function of the records alone; its memory is bounded by [`MAX_FIELDS`] keys,
//! [`MAX_NAMESPACES`] namespaces and [`EXAMPLES`] ids per finding.

use std::collections::BTreeMap;

use tranship_collection::json::Entries;
use tranship_collection::{BatchView, IdKind, VectorValue};

use crate::mapping::{Mapping, RowFault};
use crate::native::{FieldType, field_type};

/// Metadata keys that are told apart.
pub const MAX_FIELDS: usize = 4096;
/// Namespaces that are told apart.
pub const MAX_NAMESPACES: usize = 1 << 20;
/// Ids kept for each finding.
pub const EXAMPLES: usize = 5;

/// Records that have something in common, with a few ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// How many.
    pub records: u64,
    /// The first of their ids.
    pub examples: Vec<String>,
    /// What it is, in the words of the first.
    pub what: String,
}

/// What one vector column was measured to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VectorProfile {
    /// Records that have it.
    pub present: u64,
    /// Those whose length is one, within 1e-3.
    pub unit: u64,
    /// Most values of a sparse vector.
    pub most_values: u64,
    /// Largest index of a sparse vector.
    pub largest_index: u32,
    /// Records whose sparse vector holds an explicit zero.
    pub with_zeros: u64,
}

/// What one metadata key was measured to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldProfile {
    /// Records by type.
    pub types: BTreeMap<FieldType, u64>,
    /// Records with null.
    pub nulls: u64,
    /// Records with another value: an object, a mixed or empty list, an integer beyond 64 bits.
    pub other: u64,
}

/// The measured collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Records.
    pub records: u64,
    /// By code and path: what the target cannot hold.
    pub faults: BTreeMap<(String, String), Finding>,
    /// Records whose id is mapped.
    pub mapped_ids: Finding,
    /// Records whose namespace goes into the metadata.
    pub namespaces_moved: Finding,
    /// Records with a document that goes into the metadata.
    pub documents_moved: Finding,
    /// Records with entries that stand as text.
    pub exact: Finding,
    /// Records with a document.
    pub documents: u64,
    /// Records with metadata.
    pub metadata: u64,
    /// Integer ids beyond 64 bits with sign.
    pub ids_beyond_i64: u64,
    /// Integer ids that are 2^63 - 1, which Milvus stores and counts but never answers.
    pub ids_at_i64_max: u64,
    /// Records whose id is a text.
    pub text_ids: u64,
    /// Most bytes of an id.
    pub longest_id_bytes: usize,
    /// Most bytes of a document.
    pub longest_document_bytes: usize,
    /// Bytes of the texts of all records: ids, documents, metadata.
    pub text_bytes: u64,
    /// Vectors by name.
    pub vectors: BTreeMap<String, VectorProfile>,
    /// Metadata keys; empty if there are more than [`MAX_FIELDS`].
    pub fields: BTreeMap<String, FieldProfile>,
    /// True if there are more keys than that.
    pub too_many_fields: bool,
    /// Records by namespace; empty if there are more than [`MAX_NAMESPACES`].
    pub namespaces: BTreeMap<String, u64>,
}

impl Survey {
    /// Adds the records of one batch of `schema`, on their way through `mapping`.
    pub fn add(&mut self, view: &BatchView<'_>, mapping: &Mapping) {
        for row in 0..view.len() {
            self.records += 1;
            match mapping.changes(view, row) {
                Ok(changes) => {
                    self.mapped_ids.note(changes.id, view, row, "");
                    self.namespaces_moved.note(changes.namespace, view, row, "");
                    self.documents_moved.note(changes.document, view, row, "");
                    self.exact.note(!changes.exact.is_empty(), view, row, &changes.exact.join(", "));
                }
                Err(fault) => self.add_fault(fault, view, row),
            }
            self.add_texts(view, row);
            self.add_vectors(view, row);
        }
    }

    /// Adds what another split found; `later` comes after this one.
    pub fn merge(&mut self, later: Survey) {
        self.records += later.records;
        self.documents += later.documents;
        self.metadata += later.metadata;
        self.ids_beyond_i64 += later.ids_beyond_i64;
        self.ids_at_i64_max += later.ids_at_i64_max;
        self.text_bytes += later.text_bytes;
        self.text_ids += later.text_ids;
        self.longest_id_bytes = self.longest_id_bytes.max(later.longest_id_bytes);
        self.longest_document_bytes = self.longest_document_bytes.max(later.longest_document_bytes);
        self.mapped_ids.merge(later.mapped_ids);
        self.namespaces_moved.merge(later.namespaces_moved);
        self.documents_moved.merge(later.documents_moved);
        self.exact.merge(later.exact);
        for (key, finding) in later.faults {
            self.faults.entry(key).or_default().merge(finding);
        }
        for (name, found) in later.vectors {
            let own = self.vectors.entry(name).or_default();
            own.present += found.present;
            own.unit += found.unit;
            own.most_values = own.most_values.max(found.most_values);
            own.largest_index = own.largest_index.max(found.largest_index);
            own.with_zeros += found.with_zeros;
        }
        self.too_many_fields |= later.too_many_fields;
        for (key, found) in later.fields {
            let own = self.fields.entry(key).or_default();
            own.nulls += found.nulls;
            own.other += found.other;
            found.types.into_iter().for_each(|(kind, count)| *own.types.entry(kind).or_default() += count);
        }
        for (name, records) in later.namespaces {
            *self.namespaces.entry(name).or_default() += records;
        }
        self.bound();
    }

    /// True if every vector called `name` was measured to have unit length.
    pub fn all_unit(&self, name: &str) -> bool {
        self.vectors.get(name).is_some_and(|found| found.unit == found.present)
    }

    /// Fields whose every value has one type, or is null: what a typed target can declare.
    pub fn typed_fields(&self) -> BTreeMap<String, FieldType> {
        let only_type = |field: &FieldProfile| match field.types.iter().next() {
            Some((kind, _)) if field.types.len() == 1 && field.other == 0 => Some(*kind),
            _ => None,
        };
        self.fields.iter().filter_map(|(key, field)| Some((key.clone(), only_type(field)?))).collect()
    }

    /// Fields whose values of a type have one type, whatever else stands there: for targets that keep the others elsewhere.
    pub fn mostly_typed_fields(&self) -> BTreeMap<String, FieldType> {
        let only_type = |field: &FieldProfile| field.types.keys().next().copied().filter(|_| field.types.len() == 1);
        self.fields.iter().filter_map(|(key, field)| Some((key.clone(), only_type(field)?))).collect()
    }

    fn add_fault(&mut self, fault: RowFault, view: &BatchView<'_>, row: usize) {
        let finding = self.faults.entry((fault.code.to_owned(), fault.path)).or_default();
        finding.note(true, view, row, &fault.what);
    }

    fn add_texts(&mut self, view: &BatchView<'_>, row: usize) {
        self.longest_id_bytes = self.longest_id_bytes.max(view.id(row).len());
        self.text_bytes += view.id(row).len() as u64;
        let integer = view.id_kind(row) == IdKind::Integer;
        let value = view.id(row).parse::<i64>();
        self.ids_beyond_i64 += u64::from(integer && value.is_err());
        self.ids_at_i64_max += u64::from(integer && value == Ok(i64::MAX));
        self.text_ids += u64::from(view.id_kind(row) == IdKind::Text);
        if let Some(document) = view.document(row) {
            self.documents += 1;
            self.longest_document_bytes = self.longest_document_bytes.max(document.len());
            self.text_bytes += document.len() as u64;
        }
        let namespace = view.namespace(row).unwrap_or("");
        match self.namespaces.get_mut(namespace) {
            Some(records) => *records += 1,
            None => {
                self.namespaces.insert(namespace.to_owned(), 1);
            }
        }
        if let Some(text) = view.metadata(row) {
            self.metadata += 1;
            self.text_bytes += text.len() as u64;
            self.add_fields(text);
        }
    }

    fn add_fields(&mut self, text: &str) {
        if self.too_many_fields {
            return;
        }
        let Ok(Entries(entries)) = Entries::parse(text) else { return };
        for (key, value) in entries {
            let field = match self.fields.get_mut(&*key) {
                Some(field) => field,
                None => self.fields.entry(key.into_owned()).or_default(),
            };
            match field_type(value.get()) {
                Some(kind) => *field.types.entry(kind).or_default() += 1,
                None if value.get() == "null" => field.nulls += 1,
                None => field.other += 1,
            }
        }
        self.bound();
    }

    fn add_vectors(&mut self, view: &BatchView<'_>, row: usize) {
        for (column, spec) in view.vector_specs().enumerate() {
            let Some(value) = view.vector(column, row) else { continue };
            let found = match self.vectors.get_mut(&spec.name) {
                Some(found) => found,
                None => self.vectors.entry(spec.name.clone()).or_default(),
            };
            found.present += 1;
            match &value {
                VectorValue::Dense(values) => found.unit += u64::from(is_unit(values)),
                VectorValue::Widened(values) => found.unit += u64::from(is_unit(values)),
                VectorValue::Sparse(indices, values) => {
                    found.with_zeros += u64::from(values.contains(&0.0));
                    found.most_values = found.most_values.max(indices.len() as u64);
                    found.largest_index = found.largest_index.max(indices.last().copied().unwrap_or(0));
                }
                VectorValue::Multi(_) | VectorValue::Bits(_) => {}
            }
        }
    }

    fn bound(&mut self) {
        if self.fields.len() > MAX_FIELDS {
            self.too_many_fields = true;
        }
        if self.too_many_fields {
            self.fields.clear();
        }
    }
}

impl Finding {
    fn note(&mut self, applies: bool, view: &BatchView<'_>, row: usize, what: &str) {
        if !applies {
            return;
        }
        if self.records == 0 {
            self.what = what.to_owned();
        }
        self.records += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(view.id(row).to_owned());
        }
    }

    fn merge(&mut self, later: Finding) {
        if self.records == 0 {
            self.what = later.what;
        }
        self.records += later.records;
        self.examples.extend(later.examples.into_iter().take(EXAMPLES - self.examples.len().min(EXAMPLES)));
    }
}

fn is_unit(values: &[f32]) -> bool {
    let mut lanes = [0f32; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += value * value);
    }
    let square = lanes.iter().sum::<f32>() + rest.iter().map(|value| value * value).sum::<f32>();
    (square - 1.0).abs() <= 2e-3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_typed_if_all_its_values_but_nulls_have_one_type() {
        let (mut survey, mut later) = (Survey::default(), Survey::default());
        for text in [r#"{"n": 1, "o": 1, "l": [1], "m": 1, "x": null}"#, r#"{"n": null, "l": [2, 3]}"#] {
            survey.add_fields(text);
        }
        later.add_fields(r#"{"n": 2, "o": {"a": 1}, "l": [], "m": "text", "big": 18446744073709551616}"#);
        assert_eq!(survey.typed_fields().len(), 4);
        survey.merge(later);
        assert_eq!(survey.typed_fields(), [("n".to_owned(), FieldType::Integer)].into());
        assert_eq!((survey.fields["n"].nulls, survey.fields["o"].other, survey.fields["x"].nulls), (1, 1, 1));
    }
}
