//! The columns of a table.
//!
//! Invariant: names are plain identifiers and differ even without regard to case, for LanceDB's SQL looks at neither
//! points nor case as one would wish.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tranship_collection::VectorSpec;
use tranship_connector::native::FieldType;
use tranship_connector::rules::Keys;
use tranship_connector::{Mapping, Survey};

/// Id, as int64 or text.
pub const ID: &str = "id";
/// True if the id is an integer; only where some are and others are not.
pub const ID_IS_INTEGER: &str = "id_is_integer";
/// Namespace; null for the default one.
pub const NAMESPACE: &str = "namespace";
/// Document.
pub const DOCUMENT: &str = "document";
/// JSON text.
pub const METADATA: &str = "metadata";
const FIXED: [&str; 6] = [ID, ID_IS_INTEGER, NAMESPACE, DOCUMENT, METADATA, "vector"];
/// Most typed columns.
const MAX_TYPED: usize = 500;

/// How ids stand in their column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// As int64.
    Integers,
    /// As text; every one is an integer.
    Digits,
    /// As text; none is an integer.
    Texts,
    /// As text, with [`ID_IS_INTEGER`] beside it.
    Both,
}

impl Ids {
    fn measured(survey: &Survey) -> Self {
        match survey.text_ids {
            0 if survey.ids_beyond_i64 == 0 => Ids::Integers,
            0 => Ids::Digits,
            texts if texts == survey.records => Ids::Texts,
            _ => Ids::Both,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Ids::Integers => "integers",
            Ids::Digits => "digits",
            Ids::Texts => "texts",
            Ids::Both => "both",
        }
    }

    /// As a mapping says.
    pub fn of(mapping: &Mapping) -> Self {
        let all = [Ids::Integers, Ids::Digits, Ids::Texts];
        all.into_iter().find(|ids| mapping.form["ids"] == ids.word()).unwrap_or(Ids::Both)
    }
}

/// Chooses the columns: `{"ids": .., "vectors": {vector: column}, "typed": {key: type}}`.
pub fn settle(mapping: &Mapping, survey: &Survey) -> Value {
    let mut taken: BTreeSet<String> = FIXED.iter().map(|name| (*name).to_owned()).collect();
    let mut columns = serde_json::Map::new();
    for spec in mapping.schema.stored_vectors() {
        let column = match spec.name.as_str() {
            "" => "vector".to_owned(),
            name => free(&identifier(name), &mut taken),
        };
        columns.insert(spec.name.clone(), json!(column));
    }
    let mut typed = serde_json::Map::new();
    for (key, kind) in survey.typed_fields() {
        let Some(word) = scalar(kind) else { continue };
        if typed.len() < MAX_TYPED && Keys::Identifier.hold(&key) && taken.insert(key.to_ascii_lowercase()) {
            typed.insert(key, json!(word));
        }
    }
    json!({ "ids": Ids::measured(survey).word(), "vectors": columns, "typed": typed })
}

/// The vectors with their columns.
pub fn vectors(mapping: &Mapping) -> impl Iterator<Item = (&VectorSpec, &str)> {
    let column = |spec: &VectorSpec| mapping.form["vectors"][&spec.name].as_str().unwrap_or("vector");
    mapping.schema.stored_vectors().map(move |spec| (spec, column(spec)))
}

/// The typed columns.
pub fn typed(mapping: &Mapping) -> impl Iterator<Item = (&str, FieldType)> {
    let entries = mapping.form["typed"].as_object().into_iter().flatten();
    entries.map(|(key, word)| {
        let kinds = [FieldType::Bool, FieldType::Integer, FieldType::Float];
        let kind = kinds.into_iter().find(|kind| scalar(*kind) == word.as_str());
        (key.as_str(), kind.unwrap_or(FieldType::Text))
    })
}

fn scalar(kind: FieldType) -> Option<&'static str> {
    match kind {
        FieldType::Bool => Some("bool"),
        FieldType::Integer => Some("integer"),
        FieldType::Float => Some("float"),
        FieldType::Text => Some("text"),
        _ => None,
    }
}

fn free(base: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = base.to_owned();
    while !taken.insert(name.to_ascii_lowercase()) {
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
