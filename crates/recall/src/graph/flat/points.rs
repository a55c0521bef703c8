//! The vectors of a graph's nodes, and how far a node is from a query or another node.

use tranship_collection::Metric;
use tranship_kernels as kernels;

use crate::set::{VectorSet, distance};

/// The vectors that a graph compares.
pub(super) struct Points<'a> {
    metric: Metric,
    dim: usize,
    values: &'a [f32],
}

/// A vector that nodes are compared with.
pub(super) struct Probe<'a> {
    points: &'a Points<'a>,
    vector: &'a [f32],
}

impl<'a> Points<'a> {
    pub(super) fn of_floats(set: &'a VectorSet) -> Self {
        Points { metric: set.metric(), dim: set.dim(), values: set.values() }
    }

    pub(super) fn probe(&'a self, vector: &'a [f32]) -> Probe<'a> {
        Probe { points: self, vector }
    }

    /// The vector of a node as a probe.
    pub(super) fn node(&'a self, node: u32) -> Probe<'a> {
        self.probe(self.vector(node))
    }

    pub(super) fn between(&self, a: u32, b: u32) -> f32 {
        distance(self.metric, self.vector(a), self.vector(b))
    }

    fn vector(&self, node: u32) -> &[f32] {
        &self.values[node as usize * self.dim..][..self.dim]
    }
}

impl Probe<'_> {
    #[inline]
    pub(super) fn distance(&self, node: u32) -> f32 {
        distance(self.points.metric, self.vector, self.points.vector(node))
    }

    /// Has the vector of a node brought near, ahead of [`Probe::distance`].
    #[inline]
    pub(super) fn prefetch(&self, node: u32) {
        kernels::prefetch(self.points.vector(node));
    }
}
