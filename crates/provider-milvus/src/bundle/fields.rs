//! The names of a bundle's fields: the key, and one for each vector.
//!
//! Invariant: names are identifiers, all different, and no metadata key that the survey has seen is one of them: the
//! importer refuses a dynamic key that is a field as well.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{VectorKind, VectorSpec};
use tranship_connector::{Error, Grade, Loss, Mapping, Result, Survey};

/// Name of the primary key, unless a metadata key has it.
const KEY: &str = "pk";

/// Chooses the names: `{"rows": .., "key": NAME, "max_length": bytes, "vectors": {vector: field}}`.
pub fn settle(mapping: &Mapping, survey: &Survey, rows: &str) -> Result<Value> {
    if survey.too_many_fields {
        return Err(Error::limit("the metadata has too many keys to tell which names are free for fields")
            .hint("convert it to an archive or to another target"));
    }
    let mut taken: BTreeSet<String> = survey.fields.keys().cloned().collect();
    taken.extend(["document", "$meta"].map(str::to_owned));
    let key = free(KEY, &mut taken);
    let mut vectors = serde_json::Map::new();
    for spec in kept(mapping) {
        let base = if spec.name.is_empty() { "vector".to_owned() } else { identifier(&spec.name) };
        vectors.insert(spec.name.clone(), json!(free(&base, &mut taken)));
    }
    // Mapped ids are UUIDs of 36 bytes.
    let max_length = survey.longest_id_bytes.clamp(36, 65_535);
    Ok(json!({ "rows": rows, "key": key, "max_length": max_length, "vectors": vectors }))
}

/// Drops all vectors but one, by consent: the `wanted` one, else a dense one, else the first.
pub fn keep_one(mapping: &mut Mapping, wanted: Option<&str>) {
    let mut left: Vec<(bool, String)> =
        kept(mapping).map(|spec| (spec.kind != VectorKind::Dense, spec.name.clone())).collect();
    left.sort_by_key(|(bits, name)| (Some(name.as_str()) != wanted, *bits));
    for (_, name) in left.into_iter().skip(1) {
        let (from, to) =
            ("vector", "left out: Milvus 2.3 has one vector field; choose with --target-option vector=NAME");
        mapping.losses.push(Loss::new("VECTOR_DROPPED", &vector_component(&name), from, to, Grade::Dropped));
        mapping.metrics.remove(&name);
        mapping.dropped_vectors.push(name);
    }
}

/// The vectors that the target takes.
pub fn kept(mapping: &Mapping) -> impl Iterator<Item = &VectorSpec> {
    mapping.schema.stored_vectors().filter(|spec| !mapping.dropped_vectors.contains(&spec.name))
}

/// The field of the primary key.
pub fn key(mapping: &Mapping) -> &str {
    mapping.form["key"].as_str().unwrap_or(KEY)
}

/// The field of a vector.
pub fn vector<'a>(mapping: &'a Mapping, name: &str) -> &'a str {
    mapping.form["vectors"][name].as_str().unwrap_or("vector")
}

fn free(base: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = base.to_owned();
    while !taken.insert(name.clone()) {
        name.push('_');
    }
    name
}

/// The name with everything but letters, digits and `_` replaced.
fn identifier(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let text: String = name.chars().take(200).map(safe).collect();
    if text.starts_with(|c: char| c.is_ascii_digit()) || text.is_empty() { format!("v_{text}") } else { text }
}
