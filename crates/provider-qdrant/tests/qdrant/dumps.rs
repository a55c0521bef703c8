//! Dumps of Qdrant and the truth that the same engine told by scrolling.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::value::RawValue;
use tranship_collection::IdKind;
use tranship_collection::json::{self, Entries};
use tranship_connector::{Locator, OpenOptions, Result, Source};
use tranship_provider_qdrant::CONNECTOR;
use tranship_testkit::reading::{Outcome, Vector, read};

pub fn locator(path: &Path) -> Locator {
    Locator { provider: Some("qdrant".to_owned()), path: path.to_owned() }
}

pub fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Source>> {
    CONNECTOR.open.unwrap()(&locator(path), options)
}

/// All of the only collection at `path`.
pub fn read_all(path: &Path) -> Result<Outcome> {
    read(&*open(path, &OpenOptions::default())?)
}

/// All of one of the collections at `path`.
pub fn read_collection(path: &Path, name: &str) -> Result<Outcome> {
    let options = OpenOptions { collection: Some(name.to_owned()), ..OpenOptions::default() };
    read(&*open(path, &options)?)
}

#[derive(serde::Deserialize)]
struct Truth<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    vector: &'a RawValue,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Compares all records with the lines of `truth`, vectors bit for bit; panics at the first difference. Returns the records compared.
pub fn compare(outcome: &Outcome, truth: &str) -> usize {
    let found = outcome.by_id();
    assert_eq!(outcome.rejects, []);
    let mut seen = BTreeSet::new();
    for line in truth.lines().filter(|line| !line.trim().is_empty()) {
        let truth: Truth<'_> = serde_json::from_str(line).unwrap();
        let id = truth.id.get().trim_matches('"');
        let record = found.get(&(None, id)).unwrap_or_else(|| panic!("{id} is missing"));
        let kind = if truth.id.get().starts_with('"') { IdKind::Text } else { IdKind::Integer };
        assert_eq!(record.kind, kind, "kind of {id}");
        let payload = canonical(truth.payload.map_or("null", RawValue::get));
        assert_eq!(canonical(record.metadata.as_deref().unwrap_or("null")), payload, "payload of {id}");
        same_vectors(id, &record.vectors, &vectors(truth.vector.get()));
        assert!(seen.insert(id.to_owned()), "{id} comes twice in the truth");
    }
    assert_eq!(found.len(), seen.len(), "extra records");
    let ledger = outcome.ledger;
    assert_eq!(ledger.live, Some(seen.len() as u64));
    assert_eq!(ledger.raw, Some(seen.len() as u64 + ledger.deleted + ledger.superseded));
    seen.len()
}

fn same_vectors(id: &str, found: &BTreeMap<String, Vector>, truth: &BTreeMap<String, Vector>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>(), "vectors of {id}");
    for (name, wanted) in truth {
        let (got, wanted) = (values(&found[name]), values(wanted));
        assert_eq!(got.0, wanted.0, "indices of {name} of {id}");
        assert_eq!(got.1.len(), wanted.1.len(), "vector {name} of {id}");
        let same = got.1.iter().zip(wanted.1).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "vector {name} of {id}: {:?} is not {:?}", got.1, wanted.1);
    }
}

fn values(vector: &Vector) -> (&[u32], &[f32]) {
    match vector {
        Vector::Dense(values) | Vector::Multi(values) => (&[], values),
        Vector::Sparse(indices, values) => (indices, values),
        Vector::Bits(_) => panic!("Qdrant has no bit vectors"),
    }
}

/// A list is the unnamed vector, an object has them by name.
fn vectors(text: &str) -> BTreeMap<String, Vector> {
    match text.as_bytes()[0] {
        b'[' => BTreeMap::from([(String::new(), vector(text))]),
        b'{' => {
            Entries::parse(text).unwrap().0.into_iter().map(|(name, v)| (name.into_owned(), vector(v.get()))).collect()
        }
        _ => BTreeMap::new(),
    }
}

fn vector(text: &str) -> Vector {
    if text.starts_with('{') {
        let entries = Entries::parse(text).unwrap().0;
        let field = |name: &str| entries.iter().find(|(key, _)| key == name).unwrap().1.get();
        let indices = numbers(field("indices")).map(|index| index.parse().unwrap()).collect();
        return Vector::Sparse(indices, numbers(field("values")).map(|value| value.parse().unwrap()).collect());
    }
    let values = numbers(text).map(|value| value.parse().unwrap()).collect();
    let is_multi = text[1..].trim_start().starts_with('[');
    if is_multi { Vector::Multi(values) } else { Vector::Dense(values) }
}

/// All numbers of a list or a list of lists, each parsed from its own text, without a detour over f64.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(['[', ']', ',', ' ']).filter(|number| !number.is_empty())
}

/// No payload and an empty one are the same.
fn canonical(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json::canonical(text, &mut out).unwrap();
    if json::is_nothing(&out) { Vec::new() } else { out }
}
