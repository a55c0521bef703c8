//! Vectors as 8-bit codes, for graphs: a quarter of the memory to pass through, and integer products.
//!
//! Codes are made of what is left after the mean of the set is taken off, so that a common offset costs no precision:
//!
//! ```text
//! L2           |a - b|²  =  |a - mean|² + |b - mean|² - 2 (a - mean)·(b - mean)
//! dot, cosine  -a·b      =  (|mean|²/2 - a·mean) + (|mean|²/2 - b·mean) - (a - mean)·(b - mean)
//! both         distance  =  term(a) + term(b) - scale(a) scale(b) codes(a)·codes(b)
//! ```
//!
//! Invariant: the distance is symmetric, and that of equal vectors to any third is equal.

use rayon::ThreadPool;
use rayon::prelude::*;
use tranship_collection::Metric;
use tranship_kernels as kernels;
use tranship_kernels::codes::MAX_CODES;

use crate::set::{VectorSet, distance};

/// Smaller sets are searched fast enough by floats.
const LEAST_ROWS: usize = 10_000;

/// In fewer dimensions a code leaves out too much, and a vector of floats is short as well.
const LEAST_DIM: usize = 64;

/// Rows on which codes are tried, and how many of them ask for their neighbours among the others.
const TRIED_ROWS: usize = 2_048;
const TRIED_QUERIES: usize = 32;
const TRIED_NEIGHBOURS: usize = 10;

/// Part of the neighbours that codes must find on their own.
const LEAST_AGREEMENT: f64 = 0.8;

/// The codes of a set.
pub(super) struct Codes {
    metric: Metric,
    mean: Vec<f32>,
    codes: Vec<i8>,
    terms: Vec<Terms>,
}

#[derive(Clone, Copy, Default)]
struct Terms {
    scale: f32,
    term: f32,
}

/// The codes of one vector.
#[derive(Clone, Copy)]
pub(super) struct CodedVector<'a> {
    codes: &'a [i8],
    terms: Terms,
}

impl CodedVector<'_> {
    #[inline]
    pub(super) fn distance(&self, other: &CodedVector) -> f32 {
        let product = kernels::dot_codes(self.codes, other.codes) as f32;
        (self.terms.term + other.terms.term) - (self.terms.scale * other.terms.scale) * product
    }
}

impl Codes {
    /// The codes of a set; none where floats are to be used.
    pub(super) fn of(set: &VectorSet, pool: &ThreadPool) -> Option<Self> {
        let able = set.metric() != Metric::L1 && (LEAST_DIM..=MAX_CODES).contains(&set.dim());
        if !able || set.len() < LEAST_ROWS {
            return None;
        }
        let mut made = Codes {
            metric: set.metric(),
            mean: mean(set),
            codes: vec![0; set.values().len()],
            terms: vec![Terms::default(); set.len()],
        };
        let (mut codes, mut terms) = (std::mem::take(&mut made.codes), std::mem::take(&mut made.terms));
        pool.install(|| {
            let rows = set.values().par_chunks(set.dim()).zip(codes.par_chunks_mut(set.dim())).zip(&mut terms);
            rows.for_each(|((vector, codes), terms)| *terms = made.encode_into(vector, codes));
        });
        (made.codes, made.terms) = (codes, terms);
        made.agrees(set).then_some(made)
    }

    /// The codes of any vector, in `room`.
    pub(super) fn encode<'a>(&self, vector: &[f32], room: &'a mut Vec<i8>) -> CodedVector<'a> {
        room.resize(vector.len(), 0);
        let terms = self.encode_into(vector, room);
        CodedVector { codes: room, terms }
    }

    #[inline]
    pub(super) fn vector(&self, node: u32) -> CodedVector<'_> {
        let dim = self.mean.len();
        CodedVector { codes: &self.codes[node as usize * dim..][..dim], terms: self.terms[node as usize] }
    }

    #[inline]
    pub(super) fn prefetch(&self, node: u32) {
        let dim = self.mean.len();
        kernels::prefetch(&self.codes[node as usize * dim..][..dim]);
        kernels::prefetch(&self.terms[node as usize..=node as usize]);
    }

    fn encode_into(&self, vector: &[f32], codes: &mut [i8]) -> Terms {
        let left: Vec<f32> = vector.iter().zip(&self.mean).map(|(value, mean)| value - mean).collect();
        let known = kernels::encode(&left, codes);
        if self.metric == Metric::L2 {
            // The norm of what the codes stand for, so that equal codes are at distance 0.
            let squared = kernels::dot_codes(codes, codes) as f32 * known.scale * known.scale;
            Terms { scale: known.scale * std::f32::consts::SQRT_2, term: squared }
        } else {
            let term = 0.5 * kernels::dot(&self.mean, &self.mean) - kernels::dot(vector, &self.mean);
            Terms { scale: known.scale, term }
        }
    }

    /// Whether codes find the neighbours that floats find, tried on a part of the set.
    fn agrees(&self, set: &VectorSet) -> bool {
        let step = set.len().div_ceil(TRIED_ROWS);
        let rows: Vec<u32> = (0..set.len()).step_by(step).map(|rank| set.keys().row_at_rank(rank) as u32).collect();
        let mut found = 0.0;
        for &query in rows.iter().step_by(rows.len().div_ceil(TRIED_QUERIES)) {
            let vector = |row: u32| set.vector(row as usize);
            let by_floats = |row: u32| distance(self.metric, vector(query), vector(row));
            let by_codes = |row: u32| self.vector(query).distance(&self.vector(row));
            // The farthest of those that codes choose must not be much farther than it has to be: duplicates are as good.
            let last = nearest(&rows, by_floats).last().map_or(0.0, |&row| by_floats(row));
            let chosen = nearest(&rows, by_codes);
            let right = chosen.iter().filter(|&&row| by_floats(row) <= last).count();
            found += right as f64 / chosen.len() as f64;
        }
        found >= LEAST_AGREEMENT * rows.len().div_ceil(rows.len().div_ceil(TRIED_QUERIES)) as f64
    }
}

fn nearest(rows: &[u32], distance: impl Fn(u32) -> f32) -> Vec<u32> {
    let mut measured: Vec<(f32, u32)> = rows.iter().map(|&row| (distance(row), row)).collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    measured.into_iter().take(TRIED_NEIGHBOURS).map(|(_, row)| row).collect()
}

fn mean(set: &VectorSet) -> Vec<f32> {
    let mut sums = vec![0.0_f64; set.dim()];
    // By rank of the key: the order of rows must not show in the last bit.
    for rank in 0..set.len() {
        let vector = set.vector(set.keys().row_at_rank(rank));
        sums.iter_mut().zip(vector).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sums.into_iter().map(|sum| (sum / set.len() as f64) as f32).collect()
}
