//! What a collection looks like: norms, zeros, duplicates and suspicious values of its vectors; types, nulls, sizes and
//! variety of its metadata; and what that suggests.
//!
//! Made in the pass that computes the fingerprint. Invariant: a profile is a function of the records alone, since splits
//! are merged in their order. Bounds: [`MAX_FIELDS`] keys, [`MAX_DISTINCT`] values of a key, [`MAX_HASHES`] vectors in the
//! search for duplicates; what goes beyond is said to.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;
use serde_json::Value;
use tranship_collection::digest::Digester;
use tranship_collection::fault::vector_label;
use tranship_collection::json::Entries;
use tranship_collection::{BatchView, SetFingerprint, VectorValue};
use tranship_connector::Result;
use tranship_pipeline::{EngineOptions, execute};

use crate::side::Side;

/// Metadata keys that are told apart.
pub const MAX_FIELDS: usize = 1000;
/// Values of one key that are told apart.
pub const MAX_DISTINCT: usize = 1000;
/// Vectors that are compared with each other, by hash.
pub const MAX_HASHES: usize = 8 << 20;

/// What a collection looks like.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Profile {
    /// Records.
    pub records: u64,
    /// Records with a document.
    pub documents: u64,
    /// Bytes of all documents.
    pub document_bytes: u64,
    /// Records with metadata.
    pub metadata: u64,
    /// Bytes of all metadata.
    pub metadata_bytes: u64,
    /// Vectors by name.
    pub vectors: BTreeMap<String, VectorProfile>,
    /// Metadata by key.
    pub fields: BTreeMap<String, FieldProfile>,
    /// True if there are more keys than are told apart.
    pub more_fields: bool,
}

/// One vector column.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VectorProfile {
    /// Records that have it.
    pub present: u64,
    /// Those that are zero throughout.
    pub zero: u64,
    /// Those of unit length, within 1e-3.
    pub unit: u64,
    /// Those whose every element is a whole number of 8 bits: they look quantised.
    pub whole_numbers: u64,
    /// Shortest length.
    pub shortest: f32,
    /// Longest length.
    pub longest: f32,
    /// Records by the power of two of the length: key `n` counts lengths from 2^n to 2^(n+1).
    pub lengths: BTreeMap<i32, u64>,
    /// Records whose vector another record has as well; `None` if there were too many to compare.
    pub duplicates: Option<u64>,
    #[serde(skip)]
    hashes: Vec<u64>,
    #[serde(skip)]
    uncounted: bool,
}

/// One metadata key.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FieldProfile {
    /// Records that have it.
    pub present: u64,
    /// Records by type of the value: null, bool, integer, float, text, list, object.
    pub types: BTreeMap<&'static str, u64>,
    /// Most bytes of a value as JSON.
    pub largest_bytes: usize,
    /// Different values; `None` if there are more than are told apart.
    pub distinct: Option<u64>,
    #[serde(skip)]
    values: BTreeSet<u64>,
    #[serde(skip)]
    uncounted: bool,
}

/// Fingerprint and profile of one side, in one read.
pub fn read(side: &Side<'_>, engine: EngineOptions<'_>) -> Result<(SetFingerprint, Profile)> {
    let table_bytes = tranship_pipeline::run::table_bytes(side.schema())?;
    let (mut total, mut profile) = (SetFingerprint::new(side.schema()), Profile::default());
    engine.progress.begin(&format!("read {}", side.label), None);
    execute(
        side.prepared,
        engine,
        table_bytes,
        |_| Ok(None),
        |split, stop| {
            let (mut set, mut digester) = (SetFingerprint::new(side.schema()), Digester::default());
            let (ordinal, bytes, mut found) = (split.ordinal, split.bytes, Profile::default());
            side.each_batch(split, |batch, rows| {
                stop.check()?;
                let view = BatchView::new(batch, side.schema()).map_err(|fault| side.located(ordinal, rows, &fault))?;
                set.add_batch(&view, &mut digester, |_, _| {})
                    .map_err(|(row, fault)| side.located(ordinal, rows + row as u64, &fault))?;
                found.add(&view);
                engine.progress.advance(view.len() as u64, 0);
                Ok(())
            })?;
            engine.progress.advance(0, bytes);
            Ok((set, found))
        },
        |(set, found)| {
            total.merge(&set);
            profile.merge(found);
            Ok(())
        },
    )?;
    profile.finish();
    Ok((total, profile))
}

impl Profile {
    fn add(&mut self, view: &BatchView<'_>) {
        for row in 0..view.len() {
            self.records += 1;
            if let Some(document) = view.document(row) {
                self.documents += 1;
                self.document_bytes += document.len() as u64;
            }
            if let Some(text) = view.metadata(row) {
                self.metadata += 1;
                self.metadata_bytes += text.len() as u64;
                self.add_fields(text);
            }
            for (column, spec) in view.vector_specs().enumerate() {
                if let Some(value) = view.vector(column, row) {
                    self.vectors.entry(spec.name.clone()).or_default().add(&value);
                }
            }
        }
    }

    fn add_fields(&mut self, text: &str) {
        let Ok(Entries(entries)) = Entries::parse(text) else { return };
        for (key, value) in entries {
            if self.fields.len() >= MAX_FIELDS && !self.fields.contains_key(&*key) {
                self.more_fields = true;
                continue;
            }
            self.fields.entry(key.into_owned()).or_default().add(value.get());
        }
    }

    fn merge(&mut self, later: Profile) {
        self.records += later.records;
        self.documents += later.documents;
        self.document_bytes += later.document_bytes;
        self.metadata += later.metadata;
        self.metadata_bytes += later.metadata_bytes;
        self.more_fields |= later.more_fields;
        for (name, found) in later.vectors {
            self.vectors.entry(name).or_default().merge(found);
        }
        for (key, found) in later.fields {
            if self.fields.len() >= MAX_FIELDS && !self.fields.contains_key(&key) {
                self.more_fields = true;
                continue;
            }
            self.fields.entry(key).or_default().merge(found);
        }
    }

    fn finish(&mut self) {
        for vector in self.vectors.values_mut() {
            vector.hashes.sort_unstable();
            let same = |pair: &[u64]| pair[0] == pair[1];
            let repeats = vector.hashes.windows(2).filter(|pair| same(pair)).count() as u64;
            let groups = vector.hashes.chunk_by(|a, b| a == b).filter(|group| group.len() > 1).count() as u64;
            vector.duplicates = (!vector.uncounted).then_some(repeats + groups);
            vector.hashes = Vec::new();
        }
        for field in self.fields.values_mut() {
            field.distinct = (!field.uncounted).then_some(field.values.len() as u64);
            field.values = BTreeSet::new();
        }
    }

    /// What the figures suggest, in sentences.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (name, vector) in &self.vectors {
            let label = vector_label(name);
            vector.tell(&label, self.records, &mut findings);
        }
        if self.documents > 0 && self.documents < self.records {
            findings.push(format!("{} of {} records have no document", self.records - self.documents, self.records));
        }
        for (key, field) in
            self.fields.iter().filter(|(_, field)| field.types.keys().filter(|kind| **kind != "null").count() > 1)
        {
            let types: Vec<String> = field.types.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            findings.push(format!("metadata `{key}` has values of several types: {}", types.join(", ")));
        }
        findings
    }
}

impl VectorProfile {
    fn add(&mut self, value: &VectorValue<'_>) {
        let floats: &[f32] = match value {
            VectorValue::Dense(values) => values,
            VectorValue::Widened(values) => values,
            // Lengths of the others mean something else.
            VectorValue::Sparse(..) | VectorValue::Multi(_) | VectorValue::Bits(_) => {
                self.present += 1;
                self.uncounted = true;
                return;
            }
        };
        let length = floats.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        let narrow = length as f32;
        self.shortest = if self.present == 0 { narrow } else { self.shortest.min(narrow) };
        self.longest = self.longest.max(narrow);
        self.present += 1;
        self.unit += u64::from((length - 1.0).abs() < 1e-3);
        match length > 0.0 {
            true => *self.lengths.entry(length.log2().floor() as i32).or_default() += 1,
            false => self.zero += 1,
        }
        let whole = |x: &f32| x.fract() == 0.0 && (-128.0..=255.0).contains(x);
        self.whole_numbers += u64::from(length > 0.0 && floats.iter().all(whole));
        if self.hashes.len() < MAX_HASHES {
            let mut hasher = DefaultHasher::new();
            floats.iter().for_each(|x| x.to_bits().hash(&mut hasher));
            self.hashes.push(hasher.finish());
        } else {
            self.uncounted = true;
        }
    }

    fn merge(&mut self, later: VectorProfile) {
        if later.present > 0 {
            self.shortest = if self.present == 0 { later.shortest } else { self.shortest.min(later.shortest) };
        }
        self.longest = self.longest.max(later.longest);
        self.present += later.present;
        self.zero += later.zero;
        self.unit += later.unit;
        self.whole_numbers += later.whole_numbers;
        later.lengths.into_iter().for_each(|(power, count)| *self.lengths.entry(power).or_default() += count);
        self.uncounted |= later.uncounted || self.hashes.len() + later.hashes.len() > MAX_HASHES;
        if self.uncounted {
            self.hashes = Vec::new();
        } else {
            self.hashes.extend(later.hashes);
        }
    }

    fn tell(&self, label: &str, records: u64, findings: &mut Vec<String>) {
        let dense = !self.lengths.is_empty() || self.zero > 0;
        if self.present < records {
            findings.push(format!("{} of {records} records have no {label}", records - self.present));
        }
        if !dense {
            return;
        }
        if self.zero > 0 {
            findings.push(format!("{} are zero throughout ({label}): under cosine they are at no angle", self.zero));
        }
        let rest = self.present - self.zero;
        if rest > 0 && self.unit == rest {
            findings.push(format!("{label}: all of unit length: cosine, dot and L2 rank the same"));
        } else if self.unit * 100 > rest && self.unit < rest {
            let others = rest - self.unit;
            findings.push(format!(
                "{label}: {} of unit length and {others} of other lengths: two models or two pipelines may be mixed here",
                self.unit
            ));
        } else if rest > 0 {
            let (short, long) = (self.shortest, self.longest);
            findings.push(format!(
                "{label}: lengths from {short:.4} to {long:.4}: they matter to dot and L2, not to cosine"
            ));
        }
        if self.whole_numbers > 0 {
            findings.push(format!(
                "{label}: {} hold whole numbers of 8 bits only: they look quantised",
                self.whole_numbers
            ));
        }
        match self.duplicates {
            Some(0) => {}
            Some(count) => findings.push(format!("{label}: {count} records share their vector with another")),
            None => findings.push(format!("{label}: too many to look for duplicates")),
        }
    }
}

impl FieldProfile {
    fn add(&mut self, text: &str) {
        self.present += 1;
        self.largest_bytes = self.largest_bytes.max(text.len());
        *self.types.entry(type_name(text)).or_default() += 1;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        self.count(hasher.finish());
    }

    fn count(&mut self, value: u64) {
        if self.values.len() < MAX_DISTINCT || self.values.contains(&value) {
            self.values.insert(value);
        } else {
            self.uncounted = true;
        }
    }

    fn merge(&mut self, later: FieldProfile) {
        self.present += later.present;
        self.largest_bytes = self.largest_bytes.max(later.largest_bytes);
        later.types.into_iter().for_each(|(kind, count)| *self.types.entry(kind).or_default() += count);
        self.uncounted |= later.uncounted;
        later.values.into_iter().for_each(|value| self.count(value));
    }
}

fn type_name(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "bool",
        Some(b'"') => "text",
        Some(b'[') => "list",
        Some(b'{') => "object",
        _ if matches!(serde_json::from_str(text), Ok(Value::Number(number)) if number.is_f64())
            && text.contains(['.', 'e', 'E']) =>
        {
            "float"
        }
        _ => "integer",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tranship_collection::batch::RowText;
    use tranship_collection::{BatchBuilder, CollectionSchema, IdKind, VectorSpec};

    use super::*;

    fn profile(vectors: &[[f32; 2]], metadata: &[&str]) -> Profile {
        let schema = CollectionSchema { vectors: vec![VectorSpec::dense("", 2)], ..CollectionSchema::new("c") };
        let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
        for (row, vector) in vectors.iter().enumerate() {
            builder.push_dense(0, vector);
            let (id, metadata) = (row.to_string(), metadata.get(row).copied());
            let text = RowText { id: &id, id_kind: IdKind::Text, namespace: None, document: None, metadata };
            builder.finish_row(text).unwrap();
        }
        let batch = builder.finish().unwrap();
        let view = BatchView::new(&batch, &schema).unwrap();
        let (mut first, mut second) = (Profile::default(), Profile::default());
        first.add(&view);
        second.merge(first);
        second.finish();
        second
    }

    #[test]
    fn lengths_duplicates_and_zeros_are_told() {
        let found = profile(&[[1.0, 0.0], [0.6, 0.8], [0.6, 0.8], [0.0, 0.0], [3.0, 4.0]], &[]);
        let vector = &found.vectors[""];
        assert_eq!((vector.present, vector.zero, vector.unit, vector.duplicates), (5, 1, 3, Some(2)));
        assert_eq!((vector.shortest, vector.longest, vector.whole_numbers), (0.0, 5.0, 2));
        let text = found.findings().join("\n");
        assert!(
            text.contains("two models") && text.contains("2 records share") && text.contains("zero throughout"),
            "{text}"
        );
        assert!(profile(&[[1.0, 0.0], [0.6, 0.8]], &[]).findings().iter().any(|line| line.contains("rank the same")));
    }

    #[test]
    fn fields_are_counted_by_type_and_value() {
        let found =
            profile(&[[1.0, 0.0]; 4], &[r#"{"a":1,"b":"x"}"#, r#"{"a":"1","b":"x"}"#, r#"{"a":1.5,"b":null}"#, "{}"]);
        assert_eq!(found.fields["a"].types, BTreeMap::from([("float", 1), ("integer", 1), ("text", 1)]));
        assert_eq!((found.fields["b"].present, found.fields["b"].distinct), (3, Some(2)));
        assert!(found.findings().iter().any(|line| line.contains("`a` has values of several types")));
        assert!(!found.findings().iter().any(|line| line.contains("`b`")));
    }
}
