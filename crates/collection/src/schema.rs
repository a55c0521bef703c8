//! The schema of a collection: everything about it that is not a record.
//!
//! It travels in the archive (`data/collection.json`) and in the metadata of every file that we write. Maps are
//! sorted, so the same schema has one serialisation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::vector::{VectorKind, VectorSpec};

/// Whether an id is a number or a text; only an integer stays an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum IdKind {
    /// A decimal integer, canonical spelling.
    Integer = 0,
    /// Any other text; a UUID is text in lower-case hyphenated spelling.
    Text = 1,
}

/// Which id kinds a collection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdKinds {
    /// Integers only.
    Integer,
    /// Texts only.
    Text,
    /// Both: the batches carry an `id_kind` column.
    Mixed,
}

/// Everything about a collection that is not a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionSchema {
    /// The collection's name at its origin.
    pub name: String,
    /// Which id kinds occur.
    pub ids: IdKinds,
    /// True if records carry a namespace (tenant, partition, shard key).
    #[serde(default)]
    pub namespaced: bool,
    /// Vector columns in canonical order (by name). May be empty.
    pub vectors: Vec<VectorSpec>,
    /// Other names of the collection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What only the origin understands, under `vendor.<provider>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vendor: BTreeMap<String, serde_json::Value>,
}

impl CollectionSchema {
    /// A schema with text ids and no vectors.
    pub fn new(name: impl Into<String>) -> Self {
        CollectionSchema {
            name: name.into(),
            ids: IdKinds::Text,
            namespaced: false,
            vectors: Vec::new(),
            aliases: Vec::new(),
            vendor: BTreeMap::new(),
        }
    }

    /// The vector columns that exist in batches: all but dense, multi and bit vectors without dimensions.
    pub fn stored_vectors(&self) -> impl Iterator<Item = &VectorSpec> {
        self.vectors.iter().filter(|v| v.dim.is_some() || v.kind == VectorKind::Sparse)
    }

    /// The vector called `name`, the unnamed one for `""`.
    pub fn vector(&self, name: &str) -> Option<&VectorSpec> {
        self.vectors.iter().find(|v| v.name == name)
    }

    /// Bytes of one record's dense and bit vectors: what a reader may count on per row.
    pub fn dense_row_bytes(&self) -> usize {
        self.vectors
            .iter()
            .map(|v| match v.kind {
                VectorKind::Dense => v.dim.unwrap_or(0) * v.element.bytes(),
                VectorKind::Bits => v.dim.unwrap_or(0).div_ceil(8),
                VectorKind::Sparse | VectorKind::Multi => 0,
            })
            .sum()
    }
}
