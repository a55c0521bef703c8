//! How records change form on the way into a target, and how to undo it.
//!
//! A mapping stands in `mapping.json` of every bundle. [`Mapping::shape`] brings the source's records into the form that
//! the target stores (ids it can hold, what it has no field for under reserved metadata keys); [`Mapping::undo`] brings
//! the target's records back. [`Mapping::project`] applies to the source's records what cannot be undone. Invariant: for
//! a target that keeps its promises, `undo(target) == project(source)`, bit for bit, or within [`Mapping::tolerance`]
//! where the engine recomputes floats.
//!
//! ```text
//! source --shape--> stored --the target's own form--> target
//! source --project--> expected  ==  undone <--undo-- stored
//! ```

mod names;
mod project;
mod shape;
mod undo;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::{CollectionSchema, Element, Metric};

use crate::loss::Loss;
use crate::native::{FieldType, NativeForm};
use crate::rules::{IdRules, MetadataRules, RowRules};

pub use names::Names;
pub use project::{nonzero, unit_scale};
pub use shape::{Changes, RowFault, Shaped, mapped_id};

/// Metadata key of the original id, wherever the target's id is another.
pub const ID_KEY: &str = "_tranship_id";
/// Metadata key of the namespace.
pub const NAMESPACE_KEY: &str = "_tranship_namespace";
/// Metadata key of the entries that the target does not hold as they are, as the text of one JSON object.
pub const EXACT_KEY: &str = "_tranship_exact";
/// Metadata key of documents, unless the user names another.
pub const DOCUMENT_KEY: &str = "document";

/// The content of `mapping.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// The target provider.
    pub target: String,
    /// Name of the collection at the target.
    pub collection: String,
    /// Which ids stay.
    #[serde(default)]
    pub ids: IdRules,
    /// Metadata key that holds the original id wherever the target's id is another.
    pub id_key: String,
    /// Metadata key that holds the document; `None` if the target has a field for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_key: Option<String>,
    /// Metadata key that holds the namespace; only if the source has namespaces and the target has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_key: Option<String>,
    /// Metadata key that holds, as JSON text, the entries that the target does not hold as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_key: Option<String>,
    /// Which metadata the target holds as it is.
    pub metadata: MetadataRules,
    /// The fields of a typed target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<BTreeMap<String, FieldType>>,
    /// Metadata keys that have another name at the target.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub renamed_keys: Names,
    /// Namespaces that have another name at the target; the default one is `""`.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub renamed_namespaces: Names,
    /// What each record must be.
    pub rows: RowRules,
    /// Codes of the rules whose violators are left out, by consent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Vectors that are left out, by consent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped_vectors: Vec<String>,
    /// True if documents are left out, by consent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drops_documents: bool,
    /// True if metadata is left out, by consent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drops_metadata: bool,
    /// Vectors that the target brings to unit length.
    pub normalised: Vec<String>,
    /// Sparse vectors whose explicit zeros the target does not keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_zeros: Vec<String>,
    /// True if the bundle holds those at unit length already; else the target makes them so when it loads them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unit_in_bundle: bool,
    /// Element types of the vectors that the target stores in another type than `f32`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elements: BTreeMap<String, Element>,
    /// Vectors that may differ from the projection by the engine's own rounding: largest absolute difference of one
    /// element, relative to the vector's largest element.
    pub tolerance: BTreeMap<String, f32>,
    /// The metric of each vector at the target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Metric>,
    /// What only the provider's own form understands.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub form: Value,
    /// What changes, and how badly.
    pub losses: Vec<Loss>,
    /// The source's schema.
    pub schema: CollectionSchema,
    /// Fingerprint of the records at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_fingerprint: Option<FingerprintSummary>,
    /// Fingerprint of the projected records; equal to the source's where nothing is projected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_fingerprint: Option<FingerprintSummary>,
    /// Records in the bundle, per namespace (`""` is the default one).
    #[serde(default)]
    pub records: BTreeMap<String, u64>,
}

impl Mapping {
    /// The mapping of a collection into a target that holds everything as it is.
    pub fn identity(target: &str, schema: &CollectionSchema) -> Self {
        Mapping {
            target: target.to_owned(),
            collection: schema.name.clone(),
            ids: IdRules::default(),
            id_key: ID_KEY.to_owned(),
            document_key: None,
            namespace_key: None,
            exact_key: Some(EXACT_KEY.to_owned()),
            metadata: MetadataRules::JSON,
            fields: None,
            renamed_keys: Names::default(),
            renamed_namespaces: Names::default(),
            rows: RowRules::ANY,
            left_out: Vec::new(),
            dropped_vectors: Vec::new(),
            drops_documents: false,
            drops_metadata: false,
            normalised: Vec::new(),
            without_zeros: Vec::new(),
            unit_in_bundle: false,
            elements: BTreeMap::new(),
            tolerance: BTreeMap::new(),
            metrics: BTreeMap::new(),
            form: Value::Null,
            losses: Vec::new(),
            schema: schema.clone(),
            source_fingerprint: None,
            expected_fingerprint: None,
            records: BTreeMap::new(),
        }
    }

    /// True if `project` changes anything.
    pub fn projects(&self) -> bool {
        !self.normalised.is_empty() || !self.without_zeros.is_empty() || self.leaves_out_anything()
    }

    /// True if something is not in the target at all, by consent.
    pub fn leaves_out_anything(&self) -> bool {
        !self.left_out.is_empty() || !self.dropped_vectors.is_empty() || self.drops_documents || self.drops_metadata
    }

    /// Which metadata entries are native.
    pub fn native_form(&self) -> NativeForm<'_> {
        NativeForm { rules: &self.metadata, fields: self.fields.as_ref() }
    }

    fn reserved(&self, key: &str) -> Option<Reserved> {
        match Some(key) {
            Some(key) if key == self.id_key => Some(Reserved::Id),
            key if key == self.document_key.as_deref() => Some(Reserved::Document),
            key if key == self.namespace_key.as_deref() => Some(Reserved::Namespace),
            key if key == self.exact_key.as_deref() => Some(Reserved::Exact),
            _ => None,
        }
    }
}

/// A metadata key that is ours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reserved {
    Id,
    Document,
    Namespace,
    Exact,
}

#[cfg(test)]
mod tests;
