//! Names what differs: the first few records of each class are read again and compared field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tranship_collection::json::{self, Entries};
use tranship_collection::{BatchView, VectorValue};
use tranship_connector::{Error, Result};

use crate::class;
use crate::join::Place;
use crate::side::Side;
use crate::tolerance::relative_difference;

/// One record that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Its id.
    pub id: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The fields that differ.
    pub fields: Vec<FieldDifference>,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldDifference {
    /// "vector", "vector.NAME", "document", "metadata.KEY".
    pub field: String,
    /// The value in A, shortened.
    pub a: String,
    /// The value in B, shortened.
    pub b: String,
    /// What kind of difference it is, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// How far it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl FieldDifference {
    /// The component that the field belongs to.
    pub fn component(&self) -> String {
        let whole = |name: &str| self.field.starts_with(name) && self.field[name.len()..].starts_with('.');
        if whole("metadata") {
            return "metadata".to_owned();
        }
        self.field.split('[').next().unwrap_or_default().to_owned()
    }
}

/// One record, read again.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    id: String,
    namespace: Option<String>,
    vectors: BTreeMap<String, Vec<f32>>,
    document: Option<String>,
    metadata: Option<String>,
}

impl Fetched {
    /// Its content without its id; `None` where there is none.
    pub fn content(&self) -> Option<Vec<u8>> {
        if self.vectors.is_empty() && self.document.is_none() && self.metadata.is_none() {
            return None;
        }
        let mut out = Vec::new();
        for (name, values) in &self.vectors {
            out.extend_from_slice(name.as_bytes());
            out.push(0);
            values.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
        }
        for text in [self.document.clone().map(String::into_bytes), canonical(self.metadata.as_ref())] {
            out.push(u8::from(text.is_some()));
            out.extend_from_slice(&text.unwrap_or_default());
        }
        Some(out)
    }

    /// The value of a metadata key as text.
    pub fn metadata_text(&self, key: &str) -> Option<String> {
        entries(self.metadata.as_deref()).remove(key).map(|text| text.trim_matches('"').to_owned())
    }

    /// How a list of ids shows it.
    pub fn label(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.id),
            None => self.id.clone(),
        }
    }
}

/// Reads the records at `places` again, in the order of `places`.
pub fn fetch(side: &Side<'_>, places: &[Place]) -> Result<Vec<Fetched>> {
    let wanted: BTreeSet<Place> = places.iter().copied().collect();
    let mut found = BTreeMap::new();
    if !wanted.is_empty() {
        for split in side.prepared.splits()? {
            let split = split?;
            let rows: BTreeSet<u32> = wanted.iter().filter(|p| p.ordinal == split.ordinal).map(|p| p.row).collect();
            if rows.is_empty() {
                continue;
            }
            let ordinal = split.ordinal;
            side.each_batch(split, |batch, before| {
                let view =
                    BatchView::new(batch, side.schema()).map_err(|fault| side.located(ordinal, before, &fault))?;
                for row in 0..view.len() {
                    let number = (before + row as u64) as u32;
                    if rows.contains(&number) {
                        found.insert(Place { ordinal, row: number }, record(&view, row));
                    }
                }
                Ok(())
            })?;
        }
    }
    places
        .iter()
        .map(|place| {
            found
                .get(place)
                .cloned()
                .ok_or_else(|| Error::bug("a record that was read once is gone").with("split", place.ordinal))
        })
        .collect()
}

fn record(view: &BatchView<'_>, row: usize) -> Fetched {
    let mut vectors = BTreeMap::new();
    for (column, spec) in view.vector_specs().enumerate() {
        let values = match view.vector(column, row) {
            Some(VectorValue::Dense(values) | VectorValue::Multi(values)) => values.to_vec(),
            Some(VectorValue::Widened(values)) => values,
            Some(VectorValue::Sparse(indices, values)) => {
                indices.iter().map(|i| *i as f32).chain(values.iter().copied()).collect()
            }
            Some(VectorValue::Bits(bytes)) => {
                let bit = |place: usize| f32::from(bytes[place / 8] >> (7 - place % 8) & 1);
                (0..view.dim(column)).map(bit).collect()
            }
            None => continue,
        };
        vectors.insert(spec.name.clone(), values);
    }
    Fetched {
        id: view.id(row).to_owned(),
        namespace: view.namespace(row).map(str::to_owned),
        vectors,
        document: view.document(row).map(str::to_owned),
        metadata: view.metadata(row).map(str::to_owned),
    }
}

/// The fields in which two records of one id differ.
pub fn difference(a: &Fetched, b: &Fetched, tolerances: &BTreeMap<String, f32>) -> Difference {
    let mut fields = Vec::new();
    let names: BTreeSet<&String> = a.vectors.keys().chain(b.vectors.keys()).collect();
    for name in names {
        let tolerance = tolerances.get(name).copied().unwrap_or(0.0);
        fields.extend(vector_difference(name, a.vectors.get(name), b.vectors.get(name), tolerance));
    }
    if a.document != b.document {
        let text =
            |text: &Option<String>| text.as_ref().map_or("none".to_owned(), |text| shortened(&format!("{text:?}")));
        fields.push(FieldDifference {
            field: "document".into(),
            a: text(&a.document),
            b: text(&b.document),
            class: None,
            note: None,
        });
    }
    fields.extend(metadata_differences(a.metadata.as_deref(), b.metadata.as_deref()));
    Difference { id: a.id.clone(), namespace: a.namespace.clone(), fields }
}

fn vector_difference(
    name: &str,
    a: Option<&Vec<f32>>,
    b: Option<&Vec<f32>>,
    tolerance: f32,
) -> Option<FieldDifference> {
    let field = tranship_collection::fingerprint::vector_component(name);
    let (Some(x), Some(y)) = (a, b) else {
        let shown = |v: Option<&Vec<f32>>| v.map_or("none".to_owned(), |v| format!("{} elements", v.len()));
        return (a.is_some() != b.is_some()).then(|| FieldDifference {
            field,
            a: shown(a),
            b: shown(b),
            class: None,
            note: None,
        });
    };
    if x.len() != y.len() {
        return Some(FieldDifference {
            field,
            a: format!("{} elements", x.len()),
            b: format!("{} elements", y.len()),
            class: class::of_vectors(x, y),
            note: None,
        });
    }
    let first = x.iter().zip(y).position(|(x, y)| x.to_bits() != y.to_bits())?;
    let relative = relative_difference(x, y);
    if relative <= tolerance {
        return None;
    }
    let differing = x.iter().zip(y).filter(|(x, y)| x.to_bits() != y.to_bits()).count();
    let note =
        format!("{differing} of {} elements differ, the largest by {relative:.1e} of the largest element", x.len());
    Some(FieldDifference {
        field: format!("{field}[{first}]"),
        a: format!("{:?}", x[first]),
        b: format!("{:?}", y[first]),
        class: class::of_vectors(x, y),
        note: Some(note),
    })
}

fn metadata_differences(a: Option<&str>, b: Option<&str>) -> Vec<FieldDifference> {
    let (a, b) = (entries(a), entries(b));
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differs = |key: &&&String| canonical(a.get(**key)) != canonical(b.get(**key));
    let keys: Vec<&String> = keys.iter().filter(differs).copied().collect();
    let flattened: BTreeSet<String> = keys.iter().flat_map(|key| flattened(key, &a, &b)).collect();
    let difference = |key: &&String| {
        let shown = |map: &BTreeMap<String, String>| map.get(*key).map_or("none".to_owned(), |text| shortened(text));
        let class = match flattened.contains(*key) {
            true => Some(class::names::FLATTENED),
            false => class::of_values(a.get(*key).map(String::as_str), b.get(*key).map(String::as_str)),
        };
        FieldDifference { field: format!("metadata.{key}"), a: shown(&a), b: shown(&b), class, note: None }
    };
    keys.iter().map(difference).collect()
}

/// The key of an object that stands flattened on the other side, and the keys of its entries there.
fn flattened(key: &str, a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<String> {
    let (object, other) = match (a.get(key), b.get(key)) {
        (Some(object), None) => (object, b),
        (None, Some(object)) => (object, a),
        _ => return Vec::new(),
    };
    let mut keys = class::flattened(key, object, other).unwrap_or_default();
    if !keys.is_empty() {
        keys.push(key.to_owned());
    }
    keys
}

fn entries(text: Option<&str>) -> BTreeMap<String, String> {
    let parsed = text.and_then(|text| Entries::parse(text).ok());
    parsed.map_or_else(BTreeMap::new, |entries| {
        entries.0.into_iter().map(|(k, v)| (k.into_owned(), v.get().to_owned())).collect()
    })
}

fn canonical(text: Option<&String>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    json::canonical(text?, &mut out).ok().map(|()| out)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
