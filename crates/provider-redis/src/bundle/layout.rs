//! How keys and fields are called: settled once, kept in `mapping.json`, used by all that write and read.
//!
//! ```text
//! hash        collection:id                    or  collection:namespace:id
//! vector set  collection                       or  collection:namespace
//! ```
//! A namespace is percent-encoded, so the first colon behind it ends it; the id stands in the key as it is.
//!
//! Invariant: no two fields have one name; a metadata key that is also the name of a field is in the metadata only.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tranship_bundle::facts::percent_encode;
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{Element, IndexSpec};
use tranship_connector::native::FieldType;
use tranship_connector::{Error, Grade, Loss, Mapping, Result, Survey};

use super::index;

/// Which commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `HSET`, a hash per record.
    Hash,
    /// `VADD`, a vector set per namespace.
    Set,
}

/// Names of keys and fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Which commands.
    pub kind: Kind,
    /// The collection's name.
    pub collection: String,
    /// Keys hold the namespace.
    pub namespaced: bool,
    /// The vectors.
    pub vectors: Vec<VectorField>,
    /// Field of the document.
    pub document: String,
    /// Field of the metadata, the text of one JSON object; empty for none.
    pub metadata: String,
    /// Metadata keys whose scalars have one type: what the index can filter by.
    pub filters: BTreeMap<String, FieldType>,
}

/// The field of a vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorField {
    /// The vector.
    pub name: String,
    /// The field.
    pub field: String,
    /// Type of its elements, little-endian.
    pub element: Element,
    /// Dimensions.
    pub dim: usize,
}

impl Layout {
    /// The layout that a mapping holds.
    pub fn of(mapping: &Mapping) -> Result<Self> {
        Layout::deserialize(&mapping.form)
            .map_err(|e| Error::damaged("mapping.json describes no keys").hint("write the bundle anew").caused_by(e))
    }

    /// What all keys begin with.
    pub fn prefix(&self) -> String {
        match self.kind {
            Kind::Set if !self.namespaced => self.collection.clone(),
            _ => format!("{}:", self.collection),
        }
    }

    /// What the keys of one namespace begin with: in a vector set, its key.
    pub fn namespace_prefix(&self, namespace: &str) -> String {
        let end = if self.kind == Kind::Hash { ":" } else { "" };
        match self.namespaced {
            true => format!("{}{}{end}", self.prefix(), percent_encode(namespace)),
            false => self.prefix(),
        }
    }

    /// Namespace and id of a hash by what follows the prefix in its key.
    pub fn split_key<'k>(&self, rest: &'k str) -> std::result::Result<(Option<Cow<'k, str>>, &'k str), String> {
        if !self.namespaced {
            return Ok((None, rest));
        }
        let (namespace, id) = rest.split_once(':').ok_or("the key has no namespace")?;
        Ok((self.namespace(namespace)?, id))
    }

    /// The namespace that stands encoded in a key.
    pub fn namespace<'k>(&self, encoded: &'k str) -> std::result::Result<Option<Cow<'k, str>>, String> {
        if encoded.is_empty() {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(encoded.len());
        let mut rest = encoded.as_bytes();
        while let Some((first, behind)) = rest.split_first() {
            rest = behind;
            if *first != b'%' {
                bytes.push(*first);
                continue;
            }
            let (digits, behind) = rest.split_at_checked(2).ok_or("the namespace in the key is cut")?;
            let byte = std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(byte.ok_or("the namespace in the key is not percent-encoded")?);
            rest = behind;
        }
        let text = String::from_utf8(bytes).map_err(|_| "the namespace in the key is not valid UTF-8")?;
        // One namespace has one spelling, or two keys could be one record.
        match percent_encode(&text) == encoded {
            true => Ok(Some(text.into())),
            false => Err("the namespace in the key is not percent-encoded as tranship does it".to_owned()),
        }
    }

    /// True if a field of that name is the bundle's own.
    pub fn is_own(&self, field: &str) -> bool {
        field == self.document || field == self.metadata || self.vectors.iter().any(|vector| vector.field == field)
    }
}

/// Settles names, what the index filters by, and what of its settings has no place.
pub fn settle(mapping: &mut Mapping, survey: &Survey, kind: Kind) -> Result<()> {
    let stored = mapping.stored_schema();
    let mut taken = BTreeSet::new();
    let (document, metadata) = (free_name("document", &mut taken), free_name("_metadata", &mut taken));
    let mut vectors = Vec::new();
    for spec in stored.stored_vectors() {
        let own = if spec.name.is_empty() { "embedding" } else { &spec.name };
        let (field, dim) = (free_name(own, &mut taken), spec.dim.unwrap_or(0));
        let element = if kind == Kind::Set { Element::F32 } else { spec.element };
        if element != Element::F32 {
            mapping.elements.insert(spec.name.clone(), element);
        }
        vectors.push(VectorField { name: spec.name.clone(), field, element, dim });
        let path = vector_component(&spec.name);
        mapping.losses.extend(match kind {
            Kind::Hash => index::hash_losses(spec, &path),
            Kind::Set => index::set_losses(spec, &path),
        });
        if kind == Kind::Set && !survey.all_unit(&spec.name) {
            let to = "unit length within the set; VEMB gives the vector back, rounded";
            mapping.losses.push(Loss::new("NORM", &path, "vectors of any length", to, Grade::Equivalent));
        }
    }
    if !mapping.schema.aliases.is_empty() {
        let to = "none: FT.ALIASADD can name the index so at cut-over";
        let from = mapping.schema.aliases.join(", ");
        mapping.losses.push(Loss::new("ALIASES", "collection", from, to, Grade::Equivalent));
    }
    let scalar =
        |kind: &FieldType| matches!(kind, FieldType::Bool | FieldType::Integer | FieldType::Float | FieldType::Text);
    let typed = survey
        .typed_fields()
        .into_iter()
        .filter(|(key, kind)| scalar(kind) && !key.is_empty() && !key.contains('\0') && !taken.contains(key));
    let filters = if kind == Kind::Hash { typed.take(index::MAX_FILTERS).collect() } else { BTreeMap::new() };
    let (collection, namespaced) = (mapping.collection.clone(), stored.namespaced);
    let layout = Layout { kind, collection, namespaced, vectors, document, metadata, filters };
    mapping.form = serde_json::to_value(layout).map_err(|e| Error::bug("a layout is no JSON").caused_by(e))?;
    Ok(())
}

/// True if the vector is to be found without a graph.
pub fn is_flat(index: Option<&IndexSpec>) -> bool {
    index == Some(&IndexSpec::Flat)
}

fn free_name(own: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = own.to_owned();
    while taken.contains(&name) {
        name.insert(0, '_');
    }
    taken.insert(name.clone());
    name
}
