//! Vector kinds, element types and metrics.
//!
//! `dim` counts elements. A metric is the declared function of the collection, never a measured value.

use serde::{Deserialize, Serialize};

/// The element type that a dense vector is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// 32-bit IEEE float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// bfloat16, kept as its 16 bits.
    BF16,
    /// Signed byte.
    I8,
    /// Unsigned byte.
    U8,
}

impl Element {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F16 | Element::BF16 => 2,
            Element::I8 | Element::U8 => 1,
        }
    }

    /// The value of this type that is nearest to `value`, ties to even; what lies beyond an integer type's range
    /// becomes its end.
    pub fn nearest(self, value: f32) -> f32 {
        match self {
            Element::F32 => value,
            Element::F16 => half::f16::from_f32(value).to_f32(),
            Element::BF16 => half::bf16::from_f32(value).to_f32(),
            Element::I8 => f32::from(value.round_ties_even() as i8),
            Element::U8 => f32::from(value.round_ties_even() as u8),
        }
    }
}

/// The shape of one vector column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VectorKind {
    /// `dim` elements for every record.
    Dense,
    /// Ascending `u32` indices with `f32` values.
    Sparse,
    /// 0..n rows of `dim` elements for every record (late interaction).
    Multi,
    /// `dim` bits for every record, eight to a byte; the element type is `U8` and means nothing.
    Bits,
}

/// The function that the collection declares for comparing vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Cosine similarity: lengths do not matter.
    Cosine,
    /// Inner product, larger is nearer.
    Dot,
    /// Euclidean distance; whether a vendor squares it changes scores, not ranks.
    L2,
    /// Manhattan distance.
    L1,
    /// Hamming distance.
    Hamming,
    /// Jaccard distance.
    Jaccard,
}

impl Metric {
    /// The name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
            Metric::L2 => "l2",
            Metric::L1 => "l1",
            Metric::Hamming => "hamming",
            Metric::Jaccard => "jaccard",
        }
    }
}

/// One vector column of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VectorSpec {
    /// Empty for the unnamed vector.
    pub name: String,
    /// Dense, sparse, multi or bits.
    pub kind: VectorKind,
    /// Element type of dense and multi vectors; sparse values are `f32`.
    pub element: Element,
    /// Elements per vector; `None` for sparse vectors and for collections that never held one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dim: Option<usize>,
    /// The declared metric, if the origin declares one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// True if the origin guarantees unit length.
    #[serde(default)]
    pub normalised: bool,
    /// The embedding model, if the origin names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How the origin indexes this vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<crate::IndexSpec>,
}

impl VectorSpec {
    /// A dense `f32` vector with no metric or index known.
    pub fn dense(name: impl Into<String>, dim: usize) -> Self {
        VectorSpec {
            name: name.into(),
            kind: VectorKind::Dense,
            element: Element::F32,
            dim: Some(dim),
            metric: None,
            normalised: false,
            model: None,
            index: None,
        }
    }
}
