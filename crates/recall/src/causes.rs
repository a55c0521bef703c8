//! Why the answers of a query differ, told from the records themselves.
//!
//! Invariant: a query is listed if an exact answer or an answer of B's graph is wrong; every cause names records.

use crate::exact::Nearest;
use crate::overlap::Judged;
use crate::report::{Cause, Reason, WorstQuery};
use crate::set::{VectorSet, push_prepared};
use tranship_kernels::{l2_squared, norm};

/// Queries listed.
const MAX_QUERIES: usize = 10;

/// Ids named per cause.
const MAX_IDS: usize = 5;

/// Vectors further apart than this share of their length are different vectors, and not the same one rounded.
const SAME_VECTOR: f32 = 1e-5;

/// Everything known about the answers to all queries.
pub(crate) struct Answers<'a> {
    pub(crate) a: &'a VectorSet,
    pub(crate) b: &'a VectorSet,
    pub(crate) exact_a: &'a [Nearest],
    pub(crate) exact_b: &'a [Nearest],
    pub(crate) overlap: &'a [Judged],
    /// Judgements and answers of B's index by query, if it was measured.
    pub(crate) index_b: Option<(&'a [Judged], &'a [Vec<usize>])>,
}

impl Answers<'_> {
    /// The worst queries with their reasons, worst first.
    pub(crate) fn worst(&self, label: impl Fn(usize) -> String) -> Vec<WorstQuery> {
        let mut wrong: Vec<usize> = (0..self.overlap.len()).filter(|&query| self.is_wrong(query)).collect();
        let recall = |query: usize| self.recall_b(query).unwrap_or(1.0);
        wrong.sort_by(|&x, &y| {
            let overlaps = self.overlap[x].share().total_cmp(&self.overlap[y].share());
            overlaps.then(recall(x).total_cmp(&recall(y))).then_with(|| label(x).cmp(&label(y)))
        });
        wrong.truncate(MAX_QUERIES);
        wrong.into_iter().map(|query| self.explain(query, label(query))).collect()
    }

    fn is_wrong(&self, query: usize) -> bool {
        self.overlap[query].share() < 1.0 || self.recall_b(query).is_some_and(|recall| recall < 1.0)
    }

    fn recall_b(&self, query: usize) -> Option<f64> {
        self.index_b.map(|(judged, _)| judged[query].share())
    }

    fn explain(&self, query: usize, label: String) -> WorstQuery {
        let mut reasons = Vec::new();
        if self.overlap[query].share() < 1.0 {
            self.explain_exact(query, &mut reasons);
        }
        if self.recall_b(query).is_some_and(|recall| recall < 1.0) {
            reasons.extend(reason(Cause::Graph, self.missed_by_graph(query)));
        }
        WorstQuery { query: label, overlap: self.overlap[query].share(), recall_b: self.recall_b(query), reasons }
    }

    fn explain_exact(&self, query: usize, reasons: &mut Vec<Reason>) {
        let (mut missing, mut extra, mut changed, mut unchanged) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for neighbour in self.exact_a[query].neighbours() {
            let label = self.a.keys().label(neighbour.row);
            match self.b.find(self.a, neighbour.row) {
                None => missing.push(label),
                Some(there) if self.exact_b[query].contains(there) => {}
                Some(there) if self.differs(neighbour.row, there) => changed.push(label),
                Some(_) => unchanged.push(label),
            }
        }
        for neighbour in self.exact_b[query].neighbours() {
            let label = self.b.keys().label(neighbour.row);
            match self.a.find(self.b, neighbour.row) {
                None => extra.push(label),
                Some(here) if self.exact_a[query].contains(here) => {}
                Some(here) if self.differs(here, neighbour.row) => changed.push(label),
                Some(_) => unchanged.push(label),
            }
        }
        let nothing_else = missing.is_empty() && extra.is_empty() && changed.is_empty();
        if self.a.metric() != self.b.metric() {
            reasons.push(Reason { cause: Cause::Metric, count: unchanged.len(), ids: Vec::new() });
        } else if nothing_else {
            reasons.extend(reason(Cause::Tie, unchanged));
        }
        reasons.extend(reason(Cause::MissingId, missing));
        reasons.extend(reason(Cause::ExtraId, extra));
        reasons.extend(reason(Cause::ChangedVector, changed));
    }

    /// Whether a record has another vector in B; compared at unit length if one side keeps only that.
    fn differs(&self, row_a: usize, row_b: usize) -> bool {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        push_prepared(&mut here, self.a.vector(row_a), self.b.metric());
        push_prepared(&mut there, self.b.vector(row_b), self.a.metric());
        l2_squared(&here, &there).sqrt() > SAME_VECTOR * norm(&here)
    }

    fn missed_by_graph(&self, query: usize) -> Vec<String> {
        let Some((_, answers)) = self.index_b else { return Vec::new() };
        let neighbours = self.exact_b[query].neighbours().iter();
        let missed = neighbours.filter(|neighbour| !answers[query].contains(&neighbour.row));
        missed.map(|neighbour| self.b.keys().label(neighbour.row)).collect()
    }
}

fn reason(cause: Cause, mut ids: Vec<String>) -> Option<Reason> {
    let count = ids.len();
    ids.truncate(MAX_IDS);
    (count > 0).then_some(Reason { cause, count, ids })
}
