//! Exact nearest neighbours: every query against every row.
//!
//! Invariant: the answer of a query is the first k rows by (distance, rank of the key), whatever the number of
//! threads, the block sizes, the CPU and the order of rows. Dot products add their terms in ascending order
//! ([`tranship_kernels::dense_scores`]); L2 and L1 are the pairwise kernels.
//!
//! Threads share the queries out; each passes over the base in blocks that stay in cache while all its queries see
//! them. Memory beside the set: one block of scores per thread.

use rayon::ThreadPool;
use rayon::prelude::*;
use tranship_collection::Metric;
use tranship_kernels::PackedQueries;

use crate::queries::QuerySet;
use crate::set::{VectorSet, distance};

/// Queries that one task takes through the base: enough to make the pass over memory free.
const MAX_QUERIES_PER_TASK: usize = 128;

/// Elements of the base in one block: 384 KiB.
const BLOCK_ELEMENTS: usize = 96 * 1024;

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
    let shares = queries.len().div_ceil(pool.current_num_threads()).clamp(1, MAX_QUERIES_PER_TASK);
    let starts: Vec<usize> = (0..queries.len()).step_by(shares).collect();
    pool.install(|| {
        starts
            .into_par_iter()
            .map(|start| search(set, &queries.part(start..(start + shares).min(queries.len())), k))
            .collect::<Vec<_>>()
            .into_iter()
            .flatten()
            .collect()
    })
}

fn search(set: &VectorSet, queries: &QuerySet, k: usize) -> Vec<Nearest> {
    let mut nearest = vec![Nearest::new(k); queries.len()];
    if k == 0 {
        return nearest;
    }
    let block_rows = (BLOCK_ELEMENTS / set.dim()).max(1);
    let mut scorer = Scorer::new(set.metric(), queries);
    for (block, rows) in set.values().chunks(block_rows * set.dim()).enumerate() {
        let first_row = block * block_rows;
        for (query, distances) in scorer.distances(queries, rows).enumerate() {
            let found = &mut nearest[query];
            for (offset, &distance) in distances.iter().enumerate() {
                let row = first_row + offset;
                if found.may_admit(distance) && queries.excluded(query) != Some(row) {
                    found.offer(set, Neighbour { row, distance });
                }
            }
        }
    }
    nearest
}

/// Distances of all queries to a block of rows.
struct Scorer {
    metric: Metric,
    /// The queries laid out for blocked dot products, with their signs turned: a nearer row has a smaller score.
    packed: Option<PackedQueries>,
    scores: Vec<f32>,
}

impl Scorer {
    fn new(metric: Metric, queries: &QuerySet) -> Self {
        let blocked = matches!(metric, Metric::Cosine | Metric::Dot);
        let packed = blocked.then(|| {
            let negated: Vec<f32> = queries.values().iter().map(|value| -value).collect();
            PackedQueries::pack(&negated, queries.dim())
        });
        Scorer { metric, packed, scores: Vec::new() }
    }

    /// One slice per query, with a distance per row.
    fn distances(&mut self, queries: &QuerySet, rows: &[f32]) -> std::slice::ChunksExact<'_, f32> {
        let count = rows.len() / queries.dim();
        self.scores.resize(queries.len() * count, 0.0);
        match &self.packed {
            Some(packed) => packed.dot_block(rows, &mut self.scores),
            None => {
                for (query, scores) in self.scores.chunks_exact_mut(count).enumerate() {
                    for (score, row) in scores.iter_mut().zip(rows.chunks_exact(queries.dim())) {
                        *score = distance(self.metric, queries.vector(query), row);
                    }
                }
            }
        }
        self.scores.chunks_exact(count)
    }
}
