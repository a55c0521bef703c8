//! From a record to the texts that are embedded for it.
//!
//! Invariant: what is digested is what the hook gets: line ends as `\n`, no white space around. A text without anything
//! left is none. Lengths are counted in Unicode characters. A text that is too long is refused, cut, or parted at white
//! space into texts whose vectors are averaged, as the user says.
//!
//! A template is text with `{document}`, `{id}`, `{namespace}` or a metadata key in braces, of which `a.b` reaches into objects;
//! `{{` and `}}` are braces, `\n` and `\t` what they are everywhere. A key that a record lacks is empty; a record that lacks all of them has no text.
//!
//! Errors: usage (a template that does not close its braces or names nothing).

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;
use tranship_collection::BatchView;
use tranship_connector::{Error, Result};

use crate::store::{Digest, digest};

/// What becomes of a text with too many characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TooLong {
    /// The record is a reject.
    Reject,
    /// Its beginning is embedded.
    Truncate,
    /// Its parts are embedded, and the record gets their mean.
    Split,
}

/// What becomes of a record without text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// The record is a reject.
    Reject,
    /// The record goes over without this vector.
    Skip,
}

/// How texts are made.
#[derive(Debug, Clone, Serialize)]
pub struct Recipe {
    /// The template as given; the document alone by default.
    pub template: Option<String>,
    /// Most characters of a text.
    pub max_chars: Option<usize>,
    /// What becomes of longer ones.
    pub too_long: TooLong,
    /// What becomes of records without text.
    pub missing: Missing,
    #[serde(skip)]
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Field(String),
}

/// A text to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its digest.
    pub digest: Digest,
    /// The text itself.
    pub text: String,
}

/// What a record comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// One text, or the parts of a long one.
    Texts(Vec<Piece>),
    /// The beginning of a long one.
    Cut(Piece),
    /// No text.
    None,
    /// Refused for its length, characters.
    TooLong(usize),
}

impl Recipe {
    /// Checks the template.
    pub fn new(
        template: Option<String>,
        max_chars: Option<usize>,
        too_long: TooLong,
        missing: Missing,
    ) -> Result<Self> {
        let parts = parse(template.as_deref().unwrap_or("{document}"))?;
        Ok(Recipe { template, max_chars, too_long, missing, parts })
    }

    /// The texts of one record.
    pub fn make(&self, view: &BatchView<'_>, row: usize) -> Made {
        let Some(text) = self.text(view, row) else { return Made::None };
        let chars = text.chars().count();
        let Some(max) = self.max_chars.filter(|max| chars > *max) else { return Made::Texts(vec![piece(text)]) };
        match self.too_long {
            TooLong::Reject => Made::TooLong(chars),
            TooLong::Truncate => Made::Cut(piece(normalised(&text.chars().take(max).collect::<String>()))),
            TooLong::Split => Made::Texts(split(&text, max).into_iter().map(piece).collect()),
        }
    }

    fn text(&self, view: &BatchView<'_>, row: usize) -> Option<String> {
        let mut text = String::new();
        let mut found = false;
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Field(name) => {
                    if let Some(value) = field(view, row, name).filter(|value| !value.trim().is_empty()) {
                        found = true;
                        text.push_str(&value);
                    }
                }
            }
        }
        let text = normalised(&text);
        (found && !text.is_empty()).then_some(text)
    }
}

fn piece(text: String) -> Piece {
    Piece { digest: digest(&text), text }
}

/// Line ends as `\n`, nothing around.
fn normalised(text: &str) -> String {
    text.trim().replace("\r\n", "\n").replace('\r', "\n")
}

fn field(view: &BatchView<'_>, row: usize, name: &str) -> Option<String> {
    match name {
        "document" => view.document(row).map(str::to_owned),
        "id" => Some(view.id(row).to_owned()),
        "namespace" => view.namespace(row).map(str::to_owned),
        key => member(view.metadata(row)?, key),
    }
}

/// The value under a key or a path of keys: a string as it is, else its JSON as it is spelled.
fn member(object: &str, path: &str) -> Option<String> {
    let members: HashMap<String, &RawValue> = serde_json::from_str(object).ok()?;
    if let Some(value) = members.get(path) {
        return match value.get() {
            "null" => None,
            text if text.starts_with('"') => serde_json::from_str(text).ok(),
            text => Some(text.to_owned()),
        };
    }
    let (first, rest) = path.split_once('.')?;
    member(members.get(first)?.get(), rest)
}

fn parse(template: &str) -> Result<Vec<Part>> {
    let wrong = |what: &str| {
        Error::usage(format!("--text {what}: {template}"))
            .hint("as in --text '{title}\\n{document}'; {{ and }} are braces")
    };
    let (mut parts, mut literal) = (Vec::new(), String::new());
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => literal.push('\n'),
                Some('t') => literal.push('\t'),
                Some(other) => literal.extend((other != '\\').then_some('\\').into_iter().chain([other])),
                None => literal.push('\\'),
            },
            '{' if chars.next_if_eq(&'{').is_some() => literal.push('{'),
            '}' if chars.next_if_eq(&'}').is_some() => literal.push('}'),
            '}' => return Err(wrong("closes a brace that is not open")),
            '{' => {
                let mut name = String::new();
                loop {
                    match chars.next() {
                        Some('}') => break,
                        Some(c) if c != '{' => name.push(c),
                        _ => return Err(wrong("does not close a brace")),
                    }
                }
                parts.push(Part::Text(std::mem::take(&mut literal)));
                parts.push(Part::Field(name));
            }
            c => literal.push(c),
        }
    }
    parts.push(Part::Text(literal));
    if parts.iter().any(|part| matches!(part, Part::Field(_))) { Ok(parts) } else { Err(wrong("names no field")) }
}

/// Parts of at most `max` characters, cut at white space where there is any.
fn split(text: &str, max: usize) -> Vec<String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let end = rest.char_indices().nth(max.max(1)).map_or(rest.len(), |(at, _)| at);
        let at_space = rest[..end].rfind(char::is_whitespace).filter(|at| end < rest.len() && *at > 0);
        let (part, left) = rest.split_at(at_space.unwrap_or(end));
        parts.push(normalised(part));
        rest = left.trim_start();
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tranship_collection::batch::RowText;
    use tranship_collection::{BatchBuilder, CollectionSchema, IdKind};

    use super::*;

    fn made(recipe: &Recipe, document: Option<&str>, metadata: &str) -> Made {
        let schema = Arc::new(CollectionSchema::new("c"));
        let mut builder = BatchBuilder::new(schema.clone()).unwrap();
        let row = RowText { id: "7", id_kind: IdKind::Text, namespace: None, document, metadata: Some(metadata) };
        builder.finish_row(row).unwrap();
        let batch = builder.finish().unwrap();
        recipe.make(&BatchView::new(&batch, &schema).unwrap(), 0)
    }

    fn texts(made: Made) -> Vec<String> {
        match made {
            Made::Texts(pieces) => pieces.into_iter().map(|piece| piece.text).collect(),
            Made::Cut(piece) => vec![piece.text],
            _ => Vec::new(),
        }
    }

    fn recipe(template: &str, max: Option<usize>, too_long: TooLong) -> Recipe {
        Recipe::new(Some(template.to_owned()), max, too_long, Missing::Reject).unwrap()
    }

    #[test]
    fn a_template_takes_documents_and_metadata_at_any_depth() {
        let recipe = recipe("{{{id}}} {title}\\n{a.b}: {document}", None, TooLong::Reject);
        let whole = made(&recipe, Some(" two\r\nlines "), r#"{"title":"T","a":{"b":1.50}}"#);
        assert_eq!(texts(whole), ["{7} T\n1.50:  two\nlines"]);
        assert_eq!(texts(made(&recipe, None, "{}")), ["{7} \n:"]);
    }

    #[test]
    fn a_record_without_any_of_the_fields_has_no_text() {
        let recipe = recipe("passage: {title}{document}", None, TooLong::Reject);
        assert_eq!(made(&recipe, Some(" \n"), r#"{"title":null}"#), Made::None);
        assert_eq!(texts(made(&recipe, None, r#"{"title":"x"}"#)), ["passage: x"]);
    }

    #[test]
    fn long_texts_are_refused_cut_or_parted_at_white_space() {
        let text = Some("äö one two three");
        assert_eq!(made(&recipe("{document}", Some(8), TooLong::Reject), text, "{}"), Made::TooLong(16));
        assert_eq!(texts(made(&recipe("{document}", Some(7), TooLong::Truncate), text, "{}")), ["äö one"]);
        let parts = texts(made(&recipe("{document}", Some(8), TooLong::Split), text, "{}"));
        assert_eq!(parts, ["äö one", "two", "three"]);
        assert_eq!(split("aaaaa", 2), ["aa", "aa", "a"]);
    }

    #[test]
    fn a_template_that_makes_no_sense_is_refused() {
        for template in ["no field", "{open", "close}", "{a{b}}"] {
            assert!(parse(template).is_err(), "{template}");
        }
    }
}
