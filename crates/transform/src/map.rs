//! `--map FILE.toml`: names, types and places of fields, ids and vectors.
//!
//! ```toml
//! flatten = "."                          # objects in objects become keys joined by this
//! drop = ["debug"]                       # fields that go
//! rename = { lang = "language" }         # fields that get another name
//! cast = { year = "integer" }            # integer, float, text or boolean; lists element by element; null stays
//! default = { source = "import" }        # for records without the field
//! document = { from = "body" }           # a text field becomes the document; `to`: the document becomes a field
//! namespace = { from = "tenant" }        # the same for the namespace
//! id = { from = "sku", keep = "old_id", as = "text", prefix = "shop-" }   # as: text, integer or uuid5
//! unflatten = "."                        # keys become objects again
//! vectors = { rename = { title = "text" }, drop = ["image"] }             # "" is the unnamed vector
//! ```
//!
//! The steps run in this order: `flatten`, `drop` and `rename` go by the names of the source, what follows by the new names. An id comes
//! from a field, is then spelled as asked, and gets its prefix. A UUID is the one that a bundle would give the record.
//!
//! Invariant: no two fields become one, in any record, so that a map of names and places alone can be undone; [`Map::inverse`] is the map that
//! does. Values that are not cast keep their spelling.
//!
//! Rejects: a field that is there already where another would go, a value that the cast cannot take, an id that is not there.
//! Errors: usage, with file and line: unknown keys, two fields to one, a vector that the collection lacks.

mod apply;
mod cast;
mod inverse;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use tranship_collection::{CollectionSchema, IdKinds};
use tranship_connector::transforms::MapFile;
use tranship_connector::{Error, Grade, Loss, Result};

pub use self::cast::To;
use crate::chain::{Inverse, Step, Worker};

/// The file as it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    flatten: Option<Spanned<String>>,
    drop: Vec<Spanned<String>>,
    rename: BTreeMap<String, Spanned<String>>,
    cast: BTreeMap<String, Spanned<To>>,
    default: BTreeMap<String, toml::Value>,
    document: Move,
    namespace: Move,
    id: IdMove,
    unflatten: Option<Spanned<String>>,
    vectors: VectorMap,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Move {
    from: Option<Spanned<String>>,
    to: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct IdMove {
    from: Option<Spanned<String>>,
    keep: Option<Spanned<String>>,
    #[serde(rename = "as")]
    spelled: Option<IdAs>,
    prefix: Option<String>,
}

/// How ids are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdAs {
    Text,
    Integer,
    Uuid5,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct VectorMap {
    rename: BTreeMap<String, Spanned<String>>,
    drop: Vec<Spanned<String>>,
}

/// A field that was told, and its position among the mentions.
#[derive(Debug, Clone)]
struct Told<T> {
    what: T,
    mention: usize,
}

/// A map that has been read.
#[derive(Debug, Clone)]
pub struct Map {
    flatten: Option<String>,
    drop: HashMap<String, usize>,
    rename: HashMap<String, Told<String>>,
    /// Names that fields get, with the name that they had.
    renamed: HashMap<String, String>,
    cast: HashMap<String, Told<To>>,
    default: Vec<(String, String)>,
    document_from: Option<Told<String>>,
    document_to: Option<String>,
    namespace_from: Option<Told<String>>,
    namespace_to: Option<String>,
    id_from: Option<Told<String>>,
    id_keep: Option<String>,
    id_as: Option<IdAs>,
    id_prefix: Option<String>,
    unflatten: Option<String>,
    vector_rename: BTreeMap<String, String>,
    vector_drop: Vec<String>,
    mentions: Vec<(String, Option<usize>)>,
}

/// Reads a file, and knows where in it things stand.
struct Reader<'a> {
    file: &'a MapFile,
    mentions: Vec<(String, Option<usize>)>,
}

impl Reader<'_> {
    fn line(&self, byte: usize) -> usize {
        self.file.text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
    }

    fn wrong(&self, byte: Option<usize>, what: impl Into<String>) -> Error {
        let error = Error::usage(what).with("file", self.file.path.display());
        let error = match byte {
            Some(byte) => error.with("line", self.line(byte)),
            None => error,
        };
        error.hint("a map has drop, rename, cast, default, document, namespace, id, flatten, unflatten and vectors")
    }

    fn mention(&mut self, name: &str, byte: usize) -> usize {
        self.mentions.push((name.to_owned(), Some(self.line(byte))));
        self.mentions.len() - 1
    }

    fn told(&mut self, field: Option<Spanned<String>>) -> Option<Told<String>> {
        field.map(|field| {
            let mention = self.mention(field.get_ref(), field.span().start);
            Told { what: field.into_inner(), mention }
        })
    }

    fn separator(&self, separator: Option<Spanned<String>>) -> Result<Option<String>> {
        match separator {
            Some(empty) if empty.get_ref().is_empty() => {
                Err(self.wrong(Some(empty.span().start), "an empty separator"))
            }
            separator => Ok(separator.map(Spanned::into_inner)),
        }
    }

    /// The places that fields go to must be different ones.
    fn refuse_two_to_one(&self, file: &File) -> Result<()> {
        let moved = [&file.document.to, &file.namespace.to, &file.id.keep].into_iter().flatten();
        let mut places: Vec<(&str, usize)> =
            file.rename.values().chain(moved).map(|to| (to.get_ref().as_str(), to.span().start)).collect();
        places.sort_unstable();
        match places.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(self.wrong(Some(pair[1].1), format!("two fields would both become `{}`", pair[1].0))),
            None => Ok(()),
        }
    }
}

impl Map {
    /// Reads the text of a map.
    pub fn parse(file: &MapFile) -> Result<Self> {
        let mut reader = Reader { file, mentions: Vec::new() };
        let read: File = toml::from_str(&file.text).map_err(|error| {
            reader.wrong(error.span().map(|span| span.start), error.message().trim().replace('\n', ", "))
        })?;
        reader.refuse_two_to_one(&read)?;
        let both = read.drop.iter().find(|field| read.rename.contains_key(field.get_ref()));
        if let Some(field) = both {
            return Err(reader.wrong(Some(field.span().start), format!("`{}` is dropped and renamed", field.get_ref())));
        }
        let mut map = Map {
            flatten: reader.separator(read.flatten)?,
            unflatten: reader.separator(read.unflatten)?,
            drop: HashMap::new(),
            rename: HashMap::new(),
            renamed: HashMap::new(),
            cast: HashMap::new(),
            default: Vec::new(),
            document_from: reader.told(read.document.from),
            document_to: read.document.to.map(Spanned::into_inner),
            namespace_from: reader.told(read.namespace.from),
            namespace_to: read.namespace.to.map(Spanned::into_inner),
            id_from: reader.told(read.id.from),
            id_keep: read.id.keep.map(Spanned::into_inner),
            id_as: read.id.spelled,
            id_prefix: read.id.prefix,
            vector_rename: read.vectors.rename.into_iter().map(|(from, to)| (from, to.into_inner())).collect(),
            vector_drop: read.vectors.drop.into_iter().map(Spanned::into_inner).collect(),
            mentions: Vec::new(),
        };
        for field in read.drop {
            let mention = reader.mention(field.get_ref(), field.span().start);
            map.drop.insert(field.into_inner(), mention);
        }
        for (from, to) in read.rename {
            let mention = reader.mention(&from, to.span().start);
            map.renamed.insert(to.get_ref().clone(), from.clone());
            map.rename.insert(from, Told { what: to.into_inner(), mention });
        }
        for (field, to) in read.cast {
            let mention = reader.mention(&field, to.span().start);
            map.cast.insert(field, Told { what: to.into_inner(), mention });
        }
        for (field, value) in read.default {
            let value =
                cast::json_of(&value).map_err(|reason| reader.wrong(None, format!("default `{field}`: {reason}")))?;
            map.default.push((field, value));
        }
        if map.id_prefix.is_some() && map.id_as == Some(IdAs::Integer) {
            return Err(reader.wrong(None, "an id with a prefix is no integer"));
        }
        map.mentions = reader.mentions;
        match map.is_empty() {
            true => Err(Error::usage("the map changes nothing")
                .with("file", file.path.display())
                .hint("say what to rename, drop or move")),
            false => Ok(map),
        }
    }

    fn is_empty(&self) -> bool {
        let vectors = !self.vector_rename.is_empty() || !self.vector_drop.is_empty();
        !vectors && !self.changes_texts()
    }

    /// True if anything but vectors is changed.
    fn changes_texts(&self) -> bool {
        !self.mentions.is_empty() || !self.default.is_empty() || self.changes_ids() || {
            let places = [&self.flatten, &self.unflatten, &self.document_to, &self.namespace_to];
            places.iter().any(|place| place.is_some())
        }
    }

    fn changes_ids(&self) -> bool {
        self.id_from.is_some() || self.id_keep.is_some() || self.id_as.is_some() || self.id_prefix.is_some()
    }

    fn vectors_of(&self, schema: &CollectionSchema) -> Result<Vec<tranship_collection::VectorSpec>> {
        let names: Vec<String> = schema.vectors.iter().map(|spec| format!("`{}`", spec.name)).collect();
        let unknown = self.vector_rename.keys().chain(&self.vector_drop).find(|name| schema.vector(name).is_none());
        if let Some(name) = unknown {
            return Err(Error::usage(format!("the map names the vector `{name}`, which the collection lacks"))
                .hint(format!("it has {}", names.join(", "))));
        }
        let mut vectors = schema.vectors.clone();
        vectors.retain(|spec| !self.vector_drop.contains(&spec.name));
        for spec in &mut vectors {
            if let Some(name) = self.vector_rename.get(&spec.name) {
                spec.name.clone_from(name);
            }
        }
        vectors.sort_by(|a, b| a.name.cmp(&b.name));
        match vectors.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => Err(Error::usage(format!("two vectors would both be `{}`", pair[0].name))
                .hint("drop one of them, or rename it too")),
            None => Ok(vectors),
        }
    }
}

impl Step for Map {
    fn name(&self) -> &'static str {
        "map"
    }

    fn output(&self, schema: &CollectionSchema) -> Result<CollectionSchema> {
        let mut output = schema.clone();
        output.vectors = self.vectors_of(schema)?;
        if self.namespace_to.is_some() && !schema.namespaced {
            return Err(
                Error::usage("the map moves the namespace, but no record has one").hint("leave namespace.to out")
            );
        }
        output.namespaced = self.namespace_from.is_some() || (schema.namespaced && self.namespace_to.is_none());
        let spelled = self.id_as.or((self.id_from.is_some() || self.id_prefix.is_some()).then_some(IdAs::Text));
        output.ids = match spelled {
            None => schema.ids,
            Some(IdAs::Integer) => IdKinds::Integer,
            Some(IdAs::Text | IdAs::Uuid5) => IdKinds::Text,
        };
        Ok(output)
    }

    fn losses(&self, _: &CollectionSchema) -> Vec<Loss> {
        self.described()
    }

    fn inverse(&self) -> Inverse {
        self.inverse_text().map_or(Inverse::None, Inverse::Map)
    }

    fn mentions(&self) -> Vec<(String, Option<usize>)> {
        self.mentions.clone()
    }

    fn worker<'a>(
        &'a self,
        _: &'a CollectionSchema,
        output: &'a Arc<CollectionSchema>,
    ) -> Result<Box<dyn Worker + 'a>> {
        Ok(Box::new(apply::Mapping::new(self, output)))
    }
}

impl Map {
    /// What is changed, in words, in the order of the steps.
    fn described(&self) -> Vec<Loss> {
        let field = |path: &str, from: &str, to: &str, grade| Loss::new("CHANGED_FIELDS", path, from, to, grade);
        fn sorted(mut names: Vec<&String>) -> Vec<&String> {
            names.sort();
            names
        }
        let reversible = if self.inverse_text().is_some() { Grade::Reversible } else { Grade::Lossy };
        let mut losses = Vec::new();
        losses.extend(
            self.flatten
                .iter()
                .map(|by| field("map", "objects in metadata", &format!("keys joined by {by:?}"), reversible)),
        );
        losses.extend(
            sorted(self.drop.keys().collect())
                .into_iter()
                .map(|name| field(name, "a field", "nothing", Grade::Dropped)),
        );
        losses.extend(
            sorted(self.rename.keys().collect())
                .into_iter()
                .map(|name| field(name, name, &self.rename[name].what, reversible)),
        );
        losses.extend(
            sorted(self.cast.keys().collect())
                .into_iter()
                .map(|name| field(name, "any type", self.cast[name].what.name(), Grade::Lossy)),
        );
        losses.extend(self.default.iter().map(|(name, value)| field(name, "missing", value, Grade::Lossy)));
        losses.extend(self.document_to.iter().map(|to| field("document", "the document", to, reversible)));
        losses.extend(self.document_from.iter().map(|from| field(&from.what, &from.what, "the document", reversible)));
        losses.extend(self.namespace_to.iter().map(|to| field("namespace", "the namespace", to, reversible)));
        losses
            .extend(self.namespace_from.iter().map(|from| field(&from.what, &from.what, "the namespace", reversible)));
        if self.changes_ids() {
            let from = self.id_from.as_ref().map_or("the id", |from| &from.what);
            let prefix = self.id_prefix.as_deref().unwrap_or_default();
            let spelled = self.id_as.map_or(String::new(), |spelled| format!(" as {spelled:?}").to_lowercase());
            losses.push(field("id", from, &format!("{prefix}id{spelled}"), Grade::Lossy));
        }
        losses.extend(
            self.unflatten.iter().map(|by| field("map", &format!("keys with {by:?}"), "objects", Grade::Lossy)),
        );
        losses.extend(
            self.vector_drop.iter().map(|name| field(&format!("vector.{name}"), "a vector", "nothing", Grade::Dropped)),
        );
        losses
            .extend(self.vector_rename.iter().map(|(from, to)| field(&format!("vector.{from}"), from, to, reversible)));
        losses
    }
}
