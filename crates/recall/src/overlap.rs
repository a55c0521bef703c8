//! Which answers are right: those among the exact neighbours, and those as near as the last of them.
//!
//! An answer is a tie if it is not among the exact neighbours, but its distance is within a tolerance of the last one's.
//! Sums of n products in f32 carry a relative error of about sqrt(n) x 2^-24 (Higham and Mary 2019), so the tolerance
//! is epsilon = 4 sqrt(dim) x 2^-24, relative to |q||x| for cosine and dot and to the distance itself for L2 and L1.
//! Where the two sides store other element types, the unit roundoff of the coarser one is added.

use tranship_collection::{Element, Metric};
use tranship_kernels::norm;

use crate::exact::Nearest;
use crate::queries::QuerySet;
use crate::set::{VectorSet, distance};

const F32_ROUNDOFF: f32 = 1.0 / 16_777_216.0;

/// The answers to one query against its exact neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Right answers, ties among them.
    pub(crate) right: usize,
    /// Right answers that are right only as ties.
    pub(crate) tied: usize,
    /// Exact neighbours: k, or fewer where the set has no more.
    pub(crate) expected: usize,
}

impl Judged {
    /// A query whose answers are right by proof.
    pub(crate) fn proved(exact: &Nearest) -> Self {
        let expected = exact.neighbours().len();
        Judged { right: expected, tied: 0, expected }
    }

    /// Share of right answers; 1 where there was nothing to answer.
    pub(crate) fn share(&self) -> f64 {
        if self.expected == 0 { 1.0 } else { self.right as f64 / self.expected as f64 }
    }
}

/// When two distances count as equal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    /// Relative error of a distance computed in f32.
    pub(crate) epsilon: f32,
    /// Relative error of a stored element, where the sides differ in it; else 0.
    pub(crate) roundoff: f32,
}

impl Tolerance {
    pub(crate) fn between(a: &VectorSet, b: &VectorSet) -> Self {
        let epsilon = 4.0 * (a.dim() as f32).sqrt() * F32_ROUNDOFF;
        let differ = a.stored_element() != b.stored_element();
        let coarser = unit_roundoff(a.stored_element()).max(unit_roundoff(b.stored_element()));
        Tolerance { epsilon, roundoff: if differ { coarser } else { 0.0 } }
    }

    /// The tolerance for answers of an index over the very vectors that were searched exactly.
    pub(crate) fn within_one_side(self) -> Self {
        Tolerance { roundoff: 0.0, ..self }
    }

    /// Whether `row` of `set` is as near to the query as `last`.
    pub(crate) fn is_tie(&self, set: &VectorSet, query: &[f32], row: usize, last: f32) -> bool {
        let vector = set.vector(row);
        let own = distance(set.metric(), query, vector);
        own <= last + self.of(set.metric(), query, vector, own)
    }

    fn of(&self, metric: Metric, query: &[f32], vector: &[f32], distance: f32) -> f32 {
        let shift = self.roundoff * norm(vector);
        match metric {
            // (d + s)^2 = d^2 + 2ds + s^2
            Metric::L2 => self.epsilon * distance + 2.0 * distance.sqrt() * shift + shift * shift,
            Metric::L1 => self.epsilon * distance + (vector.len() as f32).sqrt() * shift,
            _ => norm(query) * (self.epsilon * norm(vector) + shift),
        }
    }
}

/// Half the distance of 1 to the next number; bytes are stored exactly, what rounds them is the quantiser before.
fn unit_roundoff(element: Element) -> f32 {
    match element {
        Element::F32 => F32_ROUNDOFF,
        Element::F16 => 1.0 / 2048.0,
        Element::BF16 | Element::I8 | Element::U8 => 1.0 / 256.0,
    }
}

/// Judges the answers to one query; `answers` are rows of `set`, `None` for what is not in it.
pub(crate) fn judge(
    set: &VectorSet,
    queries: &QuerySet,
    query: usize,
    exact: &Nearest,
    answers: impl Iterator<Item = Option<usize>>,
    tolerance: Tolerance,
) -> Judged {
    let expected = exact.neighbours().len();
    let mut judged = Judged { right: 0, tied: 0, expected };
    let Some(last) = exact.last_distance() else { return judged };
    for row in answers.flatten().take(expected) {
        if exact.contains(row) {
            judged.right += 1;
        } else if queries.excluded(query) != Some(row) && tolerance.is_tie(set, queries.vector(query), row, last) {
            judged.right += 1;
            judged.tied += 1;
        }
    }
    judged
}
