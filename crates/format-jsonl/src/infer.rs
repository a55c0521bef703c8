//! The schema of a JSONL input, inferred from its first records.
//!
//! Invariant: the schema is a function of the first [`SAMPLE_RECORDS`] records within the first [`SAMPLE_BYTES`] and of
//! the options, nothing else. The first record that has a vector decides its shape and dimension; later records that
//! do not fit are rejects of the reader. Lines that are no records are left for the reader to reject.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tranship_collection::json::Entries;
use tranship_collection::schema::IdKinds;
use tranship_collection::{CollectionSchema, Element, VectorKind, VectorSpec};
use tranship_kernels::scan_f32_array;

use crate::decode::{BitsText, Shape, shape_of};
use crate::record::{Fields, Keys, present};

/// Bytes that are looked at.
pub const SAMPLE_BYTES: usize = 1 << 20;
/// Records that are looked at.
pub const SAMPLE_RECORDS: usize = 1000;

/// What the sample says.
#[derive(Debug, Clone, PartialEq)]
pub struct Inferred {
    /// The schema.
    pub schema: CollectionSchema,
    /// Records that it was inferred from.
    pub records: usize,
    /// True if no record has an id, so that row numbers stand in.
    pub ordinal_ids: bool,
}

#[derive(Default)]
struct Sample {
    records: usize,
    ids: usize,
    namespaced: bool,
    vectors: BTreeMap<String, VectorSpec>,
}

/// Infers the schema of a collection called `name` from whole lines.
pub fn infer<'a>(name: &str, lines: impl Iterator<Item = &'a [u8]>, keys: &Keys, max_dim: usize) -> Inferred {
    let mut sample = Sample::default();
    for line in lines {
        let fields = str::from_utf8(line).ok().and_then(|text| Fields::parse(text, keys).ok());
        if let Some(fields) = fields {
            sample.look_at(&fields, max_dim);
        }
        if sample.records == SAMPLE_RECORDS {
            break;
        }
    }
    let ordinal_ids = sample.records > 0 && sample.ids == 0;
    let mut schema = CollectionSchema::new(name);
    schema.ids = if ordinal_ids { IdKinds::Integer } else { IdKinds::Mixed };
    schema.namespaced = sample.namespaced;
    schema.vectors = sample.vectors.into_values().collect();
    if ordinal_ids {
        schema.vendor.insert("jsonl".to_owned(), serde_json::json!({ "ids": "row number from 0" }));
    }
    Inferred { schema, records: sample.records, ordinal_ids }
}

impl Sample {
    fn look_at(&mut self, fields: &Fields<'_>, max_dim: usize) {
        self.records += 1;
        self.ids += usize::from(present(fields.id).is_some());
        self.namespaced |= present(fields.namespace).is_some();
        if let Some(text) = present(fields.vector) {
            self.look_at_vector("", text, max_dim);
        }
        let entries = present(fields.vectors).and_then(|text| Entries::parse(text).ok());
        for (name, value) in entries.iter().flat_map(|entries| &entries.0) {
            self.look_at_vector(name, value.get(), max_dim);
        }
    }

    fn look_at_vector(&mut self, name: &str, text: &str, max_dim: usize) {
        if self.vectors.contains_key(name) {
            return;
        }
        let spec = match shape_of(text) {
            Some(Shape::Numbers) => dim_of(text).map(|dim| VectorSpec::dense(name, dim)),
            Some(Shape::Rows) => serde_json::from_str::<Vec<&RawValue>>(text)
                .ok()
                .and_then(|rows| rows.first().and_then(|row| dim_of(row.get())))
                .map(|dim| VectorSpec { kind: VectorKind::Multi, ..VectorSpec::dense(name, dim) }),
            Some(Shape::Pair) => Some(VectorSpec { kind: VectorKind::Sparse, dim: None, ..VectorSpec::dense(name, 0) }),
            Some(Shape::Bits) => serde_json::from_str::<BitsText<'_>>(text).ok().map(|text| VectorSpec {
                kind: VectorKind::Bits,
                element: Element::U8,
                ..VectorSpec::dense(name, text.bits.len())
            }),
            Some(Shape::Empty) | None => None,
        };
        if let Some(spec) = spec.filter(|spec| spec.dim.is_none_or(|dim| (1..=max_dim).contains(&dim))) {
            self.vectors.insert(name.to_owned(), spec);
        }
    }
}

fn dim_of(text: &str) -> Option<usize> {
    let mut values = Vec::new();
    scan_f32_array(text.as_bytes(), 0, &mut values).ok()?;
    Some(values.len())
}
