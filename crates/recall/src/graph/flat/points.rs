//! The vectors of a graph's nodes, and how far a node is from a query or another node: by floats, or by 8-bit codes.
//!
//! Invariant: whether codes are used depends on the set only, never on the CPU. Answers found by codes are measured again by
//! floats before they are given.

use rayon::ThreadPool;
use tranship_collection::Metric;
use tranship_kernels as kernels;

use super::codes::{CodedVector, Codes};
use crate::set::{VectorSet, distance};

/// The vectors that a graph compares.
pub(super) struct Points<'a> {
    metric: Metric,
    dim: usize,
    values: &'a [f32],
    codes: Option<Codes>,
}

/// A vector that nodes are compared with.
pub(super) enum Probe<'a> {
    Floats { points: &'a Points<'a>, vector: &'a [f32] },
    Codes { codes: &'a Codes, vector: CodedVector<'a> },
}

impl<'a> Points<'a> {
    /// Vectors compared by floats.
    pub(super) fn of_floats(set: &'a VectorSet) -> Self {
        Points { metric: set.metric(), dim: set.dim(), values: set.values(), codes: None }
    }

    /// Vectors compared by codes where that is faster and tells near from far as floats do.
    pub(super) fn of(set: &'a VectorSet, pool: &ThreadPool) -> Self {
        Points { codes: Codes::of(set, pool), ..Self::of_floats(set) }
    }

    pub(super) fn coded(&self) -> bool {
        self.codes.is_some()
    }

    /// A query as a probe; `room` is where its codes go.
    pub(super) fn probe(&'a self, vector: &'a [f32], room: &'a mut Vec<i8>) -> Probe<'a> {
        match &self.codes {
            Some(codes) => Probe::Codes { codes, vector: codes.encode(vector, room) },
            None => self.exact_probe(vector),
        }
    }

    /// A query as a probe that computes with floats.
    pub(super) fn exact_probe(&'a self, vector: &'a [f32]) -> Probe<'a> {
        Probe::Floats { points: self, vector }
    }

    /// The vector of a node as a probe.
    pub(super) fn node(&'a self, node: u32) -> Probe<'a> {
        match &self.codes {
            Some(codes) => Probe::Codes { codes, vector: codes.vector(node) },
            None => self.exact_probe(self.vector(node)),
        }
    }

    pub(super) fn between(&self, a: u32, b: u32) -> f32 {
        match &self.codes {
            Some(codes) => codes.vector(a).distance(&codes.vector(b)),
            None => distance(self.metric, self.vector(a), self.vector(b)),
        }
    }

    fn vector(&self, node: u32) -> &[f32] {
        &self.values[node as usize * self.dim..][..self.dim]
    }
}

impl Probe<'_> {
    #[inline]
    pub(super) fn distance(&self, node: u32) -> f32 {
        match self {
            Probe::Floats { points, vector } => distance(points.metric, vector, points.vector(node)),
            Probe::Codes { codes, vector } => vector.distance(&codes.vector(node)),
        }
    }

    /// Has the vector of a node brought near, ahead of [`Probe::distance`].
    #[inline]
    pub(super) fn prefetch(&self, node: u32) {
        match self {
            Probe::Floats { points, .. } => kernels::prefetch(points.vector(node)),
            Probe::Codes { codes, .. } => codes.prefetch(node),
        }
    }
}
