//! Whether equal answers also come in the same order and with the same scores.
//!
//! Rank-biased overlap weighs the first places most: the mean over depths d = 1..k of the share of common answers among
//! the first d, with weights p^(d-1), p = 0.9. It is 1 for equal lists and 0 for disjoint ones. Distances are compared for
//! the neighbours that both sides have, where both order by the same metric.
//!
//! Source: Webber, Moffat, Zobel, "A similarity measure for indefinite rankings" (2010), cut at k and scaled to 1.

use serde::Serialize;

use crate::exact::Nearest;
use crate::set::VectorSet;

/// Weight of a place against the one before.
const PERSISTENCE: f64 = 0.9;

/// How the order and the scores of exact answers compare.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Order {
    /// Mean rank-biased overlap.
    pub rbo: f64,
    /// That of the worst query.
    pub least_rbo: f64,
    /// Mean absolute difference of the distances of common neighbours; none under different metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_score_delta: Option<f64>,
    /// The largest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_score_delta: Option<f64>,
}

impl Order {
    /// Compares the answers of all queries.
    pub(crate) fn between(a: &VectorSet, b: &VectorSet, exact_a: &[Nearest], exact_b: &[Nearest]) -> Self {
        let (mut sum, mut least) = (0.0, 1.0_f64);
        let (mut deltas, mut largest, mut common) = (0.0, 0.0_f64, 0_usize);
        for (here, there) in exact_a.iter().zip(exact_b) {
            let rows_a: Vec<usize> = here.neighbours().iter().map(|neighbour| neighbour.row).collect();
            let rows_b: Vec<Option<usize>> = there.neighbours().iter().map(|n| a.find(b, n.row)).collect();
            let rbo = rank_biased_overlap(&rows_a, &rows_b);
            sum += rbo;
            least = least.min(rbo);
            for (row, neighbour) in rows_b.iter().zip(there.neighbours()) {
                let Some(own) = here.neighbours().iter().find(|own| Some(own.row) == *row) else { continue };
                let delta = f64::from((own.distance - neighbour.distance).abs());
                deltas += delta;
                largest = largest.max(delta);
                common += 1;
            }
        }
        let comparable = a.metric() == b.metric() && common > 0;
        Order {
            rbo: if exact_a.is_empty() { 1.0 } else { sum / exact_a.len() as f64 },
            least_rbo: least,
            mean_score_delta: comparable.then(|| deltas / common as f64),
            max_score_delta: comparable.then_some(largest),
        }
    }

    /// The line of the report.
    pub(crate) fn text(&self) -> String {
        let order = format!("order of answers: rank-biased overlap {:.4}, least {:.4}", self.rbo, self.least_rbo);
        match self.mean_score_delta.zip(self.max_score_delta) {
            Some((mean, max)) => format!("{order}; distances differ by {mean:.1e} on average, {max:.1e} at most"),
            None => order,
        }
    }
}

/// Rank-biased overlap of two lists without repetitions; `None` stands for what the first cannot have.
pub(crate) fn rank_biased_overlap<T: PartialEq>(a: &[T], b: &[Option<T>]) -> f64 {
    let depth = a.len().max(b.len());
    if depth == 0 {
        return 1.0;
    }
    let (mut weight, mut weights, mut sum, mut common) = (1.0, 0.0, 0.0, 0);
    for d in 0..depth {
        if let Some(x) = a.get(d) {
            common += usize::from(b.iter().take(d + 1).flatten().any(|y| y == x));
        }
        if let Some(Some(y)) = b.get(d) {
            common += usize::from(a.iter().take(d).any(|x| x == y));
        }
        sum += weight * common as f64 / (d + 1) as f64;
        weights += weight;
        weight *= PERSISTENCE;
    }
    sum / weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_have_one_disjoint_ones_nothing_and_early_places_count_most() {
        let rbo = |b: [u8; 4]| rank_biased_overlap(&[1, 2, 3, 4], &b.map(Some));
        assert_eq!(rbo([1, 2, 3, 4]), 1.0);
        assert_eq!(rbo([5, 6, 7, 8]), 0.0);
        assert!(rbo([1, 2, 4, 3]) > rbo([2, 1, 3, 4]));
        // Depths 1 and 2 share nothing and all, weights 1 and 0.9.
        assert!((rank_biased_overlap(&[1, 2], &[Some(2), Some(1)]) - 0.9 / 1.9).abs() < 1e-12);
        assert_eq!(rank_biased_overlap::<u8>(&[], &[]), 1.0);
    }
}
