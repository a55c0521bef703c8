//! One line as its keys and the texts of their values, strictly checked.
//!
//! Invariant: the line is one JSON object (RFC 8259, checked by serde_json) with known keys only, each at most once
//! however it is spelled (`"vec\u0074or"` is `"vector"`).

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How the keys of a record are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The id.
    pub id: String,
    /// The unnamed dense vector.
    pub vector: String,
    /// The document.
    pub document: String,
}

impl Default for Keys {
    fn default() -> Self {
        Keys { id: "id".to_owned(), vector: "vector".to_owned(), document: "document".to_owned() }
    }
}

/// The values of one line, as texts; `null` is `None`.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    /// The id: number or string.
    pub id: Option<&'a RawValue>,
    /// The namespace: string.
    pub namespace: Option<&'a RawValue>,
    /// The unnamed dense vector: array.
    pub vector: Option<&'a RawValue>,
    /// Named vectors: object.
    pub vectors: Option<&'a RawValue>,
    /// The metadata: object.
    pub metadata: Option<&'a RawValue>,
    /// The document: string.
    pub document: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    /// Splits one line.
    pub fn parse(text: &'a str, keys: &Keys) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let fields = FieldsSeed(keys).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(fields)
    }

    fn slot(&mut self, key: &str, keys: &Keys) -> Option<&mut Option<&'a RawValue>> {
        Some(match key {
            _ if key == keys.id => &mut self.id,
            _ if key == keys.vector => &mut self.vector,
            _ if key == keys.document => &mut self.document,
            "namespace" => &mut self.namespace,
            "vectors" => &mut self.vectors,
            "metadata" => &mut self.metadata,
            _ => return None,
        })
    }
}

struct FieldsSeed<'k>(&'k Keys);

impl<'de> DeserializeSeed<'de> for FieldsSeed<'_> {
    type Value = Fields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldsSeed<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record: one JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let value = map.next_value::<&'de RawValue>()?;
            let Some(slot) = fields.slot(&key, self.0) else {
                return Err(A::Error::custom(format!(
                    "unknown key {key:?}: data of your own belongs into `metadata`; other names of the id, the vector \
                     and the document are given by --id-column, --vector-column, --document-column"
                )));
            };
            if slot.replace(value).is_some() {
                return Err(A::Error::custom(format!("duplicate key {key:?}")));
            }
        }
        Ok(fields)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// `None` where the key is missing or its value is `null`.
pub fn present(value: Option<&RawValue>) -> Option<&str> {
    value.map(RawValue::get).filter(|text| *text != "null")
}

/// The string that a JSON text stands for; `None` if it is not a string.
pub fn string(text: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Key<'_>>(text).ok().map(|key| key.0)
}

/// Finds the `[` of the array under the top-level key `name` by counting brackets, without checking what it skips.
/// `None` if there is none, or a key is spelled with escapes: then the whole line has to be parsed.
pub fn find_array(line: &[u8], name: &[u8]) -> Option<usize> {
    let mut at = skip_space(line, 0);
    if line.get(at) != Some(&b'{') {
        return None;
    }
    loop {
        at = skip_space(line, at + 1);
        let key_end = skip_string(line, at)?;
        let key = line.get(at + 1..key_end - 1)?;
        if key.contains(&b'\\') {
            return None;
        }
        at = skip_space(line, key_end);
        if line.get(at) != Some(&b':') {
            return None;
        }
        at = skip_space(line, at + 1);
        if key == name {
            return (line.get(at) == Some(&b'[')).then_some(at);
        }
        at = skip_space(line, skip_value(line, at)?);
        if line.get(at) != Some(&b',') {
            return None;
        }
    }
}

fn skip_space(line: &[u8], mut at: usize) -> usize {
    while line.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// The offset after the string that begins at `at`.
fn skip_string(line: &[u8], at: usize) -> Option<usize> {
    if line.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += line.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if line[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn skip_value(line: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match line.get(at)? {
            b'"' => at = skip_string(line, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b',' | b'}' | b']' if depth == 0 => return Some(at),
            _ => at += 1,
        }
        if depth == 0 && line.get(at - 1).is_some_and(|byte| matches!(byte, b'"' | b'}' | b']')) {
            return Some(at);
        }
    }
}
