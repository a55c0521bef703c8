//! What is to be changed on the way, as plain data, and what came of it.
//!
//! [`Transforms`] says what was asked for; crate `transform` carries it out around any source. Invariant: its serialised form
//! holds everything that decides about the records that come out, so that it can stand in a schema and in the plan of a run.
//! A [`Change`] is counted per split and added up in split order, so that sums of floats do not depend on threads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is to be changed of a collection while it is read. The steps run in the order of the fields, but for `sample`, which
/// comes before `dedupe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transforms {
    /// Keep records that this expression is true of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Keep records that this jq program is true of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_jq: Option<String>,
    /// Keep this many records, chosen by the digest of their ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// Keep the first of records that are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<Dedupe>,
    /// Keep this many records, in source order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Changes of fields, ids and names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<MapFile>,
    /// A jq program that makes each record anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_jq: Option<String>,
    /// Metadata keys, and `document`, that are kept; everything if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub select: Vec<String>,
    /// Keep this many dimensions of dense vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate_dims: Option<usize>,
    /// Bring dense vectors to unit length.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub normalise: bool,
    /// Store dense vectors in a narrower type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cast: Option<CastTo>,
}

/// A sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Records.
    pub records: u64,
    /// Another seed is another sample.
    pub seed: u64,
}

/// When two records are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dedupe {
    /// Same namespace, vectors, document and metadata, whatever the id.
    Content,
    /// Same namespace and id, whatever else they hold.
    Id,
}

/// The narrower type of a cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CastTo {
    /// 16-bit IEEE float.
    F16,
    /// bfloat16.
    Bf16,
    /// Signed bytes, by one scale for the whole column.
    I8,
    /// One bit per element: set where it is above zero.
    Bits,
}

/// The text of a `--map` file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapFile {
    /// Where it was read, for messages.
    #[serde(skip)]
    pub path: PathBuf,
    /// TOML.
    pub text: String,
}

/// What one step did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Records that it left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Records that it changed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changed: u64,
    /// How far vectors moved in a cast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CastError>,
}

/// How far the vectors of one column moved in a cast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CastError {
    /// Vectors.
    pub vectors: u64,
    /// Elements whose difference was measured; none where the new type has no scale of its own (bits).
    pub elements: u64,
    /// Largest difference of an element.
    pub largest: f64,
    /// Sum of the differences' absolute values.
    pub sum: f64,
    /// Least cosine similarity of a vector and what became of it.
    pub least_cosine: f64,
    /// Sum of the cosine similarities.
    pub sum_cosine: f64,
}

/// What the steps of a chain did, by name.
pub type Changed = BTreeMap<String, Change>;

impl Transforms {
    /// True if nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Transforms::default()
    }

    /// True if records may be left out.
    pub fn leaves_out(&self) -> bool {
        let Transforms { filter, filter_jq, sample, dedupe, limit, map_jq, .. } = self;
        filter.is_some()
            || filter_jq.is_some()
            || sample.is_some()
            || dedupe.is_some()
            || limit.is_some()
            || map_jq.is_some()
    }
}

impl Default for CastError {
    fn default() -> Self {
        CastError { vectors: 0, elements: 0, largest: 0.0, sum: 0.0, least_cosine: 1.0, sum_cosine: 0.0 }
    }
}

impl CastError {
    /// Mean difference of an element.
    pub fn mean(&self) -> f64 {
        self.sum / self.elements.max(1) as f64
    }

    /// Mean cosine similarity.
    pub fn mean_cosine(&self) -> f64 {
        self.sum_cosine / self.vectors.max(1) as f64
    }

    fn merge(&mut self, other: &CastError) {
        self.vectors += other.vectors;
        self.elements += other.elements;
        self.largest = self.largest.max(other.largest);
        self.sum += other.sum;
        self.least_cosine = self.least_cosine.min(other.least_cosine);
        self.sum_cosine += other.sum_cosine;
    }
}

impl Change {
    /// Adds what another split came to.
    pub fn merge(&mut self, other: &Change) {
        self.dropped += other.dropped;
        self.changed += other.changed;
        if let Some(error) = &other.error {
            self.error.get_or_insert_default().merge(error);
        }
    }
}

/// Adds what another split came to.
pub fn merge(total: &mut Changed, other: &Changed) {
    other.iter().for_each(|(step, change)| total.entry(step.clone()).or_default().merge(change));
}

/// Records that a chain left out.
pub fn dropped(changed: &Changed) -> u64 {
    changed.values().map(|change| change.dropped).sum()
}

pub(crate) fn is_zero(count: &u64) -> bool {
    *count == 0
}
