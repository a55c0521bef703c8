//! Exact nearest neighbours: every query against every row.
//!
//! Invariant: the answer of a query is the first k rows by ([`distance`](crate::set::distance), rank of the key), whatever the
//! method, the number of threads, the block sizes, the CPU and the order of rows.
//!
//! [`plain`] computes each distance. [`screened`] computes ceilings of nearness by tiles, of floats or of 8-bit codes, and
//! distances only of the few rows that can be among the nearest; what it cannot prove is left to the plain search. Memory
//! beside the set does not grow with it.

mod plain;
mod screened;

use rayon::ThreadPool;
use tranship_collection::Metric;
use tranship_kernels::Kernels;
use tranship_kernels::codes::MAX_CODES;

use crate::queries::QuerySet;
use crate::set::VectorSet;

/// How neighbours are found; it does not change what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Every distance is computed by itself.
    Plain,
    /// Rows are screened by blocked dot products; for cosine, dot and L2.
    Floats,
    /// Rows are screened by dot products of 8-bit codes; for cosine, dot and L2.
    Codes,
}

/// Below this many queries a panel of the tiles would be mostly empty.
const LEAST_QUERIES: usize = 8;

/// Codes pay from here on: a row is coded once, and its codes leave out less in many dimensions.
const LEAST_QUERIES_FOR_CODES: usize = 96;
const LEAST_DIM_FOR_CODES: usize = 64;

/// Longer sums could be wrong by more than the bounds of [`screened`] allow for.
const MOST_DIM: usize = MAX_CODES;

/// To screen for more neighbours would take more memory than it saves time.
const MOST_NEIGHBOURS: usize = 1_024;

impl Method {
    /// The fastest method for these queries on this machine.
    pub fn fastest(set: &VectorSet, queries: &QuerySet) -> Self {
        let dim = set.dim();
        if set.metric() == Metric::L1 || queries.len() < LEAST_QUERIES || dim > MOST_DIM {
            Method::Plain
        } else if Kernels::detect().fast_codes()
            && queries.len() >= LEAST_QUERIES_FOR_CODES
            && dim >= LEAST_DIM_FOR_CODES
        {
            Method::Codes
        } else {
            Method::Floats
        }
    }
}

/// A row and how far it is; see [`crate::set::distance`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Row in the searched set.
    pub row: usize,
    /// Smaller is nearer.
    pub distance: f32,
}

/// The nearest rows of one query, nearest first; equal distances in order of their keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest {
    neighbours: Vec<Neighbour>,
    k: usize,
}

impl Nearest {
    fn new(k: usize) -> Self {
        Nearest { neighbours: Vec::with_capacity(k.min(1024)), k }
    }

    /// The neighbours, nearest first; fewer than k only where the set has no more.
    pub fn neighbours(&self) -> &[Neighbour] {
        &self.neighbours
    }

    /// The distance of the last neighbour: what is as near counts as a tie.
    pub fn last_distance(&self) -> Option<f32> {
        self.neighbours.last().map(|last| last.distance)
    }

    /// Whether `row` is among them.
    pub fn contains(&self, row: usize) -> bool {
        self.neighbours.iter().any(|neighbour| neighbour.row == row)
    }

    /// A first, cheap test that refuses almost every row.
    fn may_admit(&self, distance: f32) -> bool {
        self.neighbours.len() < self.k || self.last_distance().is_some_and(|last| distance <= last)
    }

    fn offer(&mut self, set: &VectorSet, offered: Neighbour) {
        let order = |n: &Neighbour| (n.distance, set.keys().rank(n.row));
        let (distance, rank) = order(&offered);
        let place = self.neighbours.partition_point(|kept| {
            let (kept_distance, kept_rank) = order(kept);
            kept_distance < distance || (kept_distance == distance && kept_rank < rank)
        });
        if place < self.k {
            self.neighbours.truncate(self.k - 1);
            self.neighbours.insert(place, offered);
        }
    }
}

/// The `k` nearest rows of every query, each without its excluded row.
///
/// `queries` must be made for `set`, see [`QuerySet`].
///
/// # Panics
/// If the queries have another dimension than the set.
pub fn exact_neighbours(set: &VectorSet, queries: &QuerySet, k: usize, pool: &ThreadPool) -> Vec<Nearest> {
    exact_neighbours_by(Method::fastest(set, queries), set, queries, k, pool)
}

/// [`exact_neighbours`] by a chosen method; the plain one stands in where a method cannot do.
///
/// # Panics
/// As [`exact_neighbours`].
pub fn exact_neighbours_by(
    method: Method,
    set: &VectorSet,
    queries: &QuerySet,
    k: usize,
    pool: &ThreadPool,
) -> Vec<Nearest> {
    if k == 0 {
        return vec![Nearest::new(0); queries.len()];
    }
    let able = set.metric() != Metric::L1 && set.dim() <= MOST_DIM && k <= MOST_NEIGHBOURS;
    let mut found = match method {
        Method::Floats | Method::Codes if able => screened::search(set, queries, k, method == Method::Codes, pool),
        _ => vec![None; queries.len()],
    };
    let open: Vec<usize> = (0..queries.len()).filter(|&query| found[query].is_none()).collect();
    for (&query, nearest) in open.iter().zip(plain::search(set, queries, &open, k, pool)) {
        found[query] = Some(nearest);
    }
    found.into_iter().flatten().collect()
}
