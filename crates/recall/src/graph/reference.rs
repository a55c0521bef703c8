//! The graph engine hnsw_rs 0.3.5, wrapped so that no input can reach its hazards. The only file that names it.
//!
//! Hazards, and what is done about each:
//! - It ends the process for more than 256 links, and counts them in a `u8`: a larger m is an error.
//! - It panics on NaN and on negative distances: sets are finite, and negated dot products (cosine, dot) go through a
//!   map that keeps their order and is never negative. It only compares distances, so the order is all that counts;
//!   `DistDot` and the augmentation of dot to L2 (which bends the graph) are not needed.
//! - Its heaps reserve `ef` places: ef is held below the number of rows.
//! - It copies every vector: points here are row numbers, and the distance looks the vectors up. Queries are points
//!   behind the last row.
//! - Parallel insertion races: the first points can come to stand without any link, and no two runs are alike. Up to
//!   [`SEQUENTIAL_ROWS`] rows go in one after the other; above, the first thousand do and the report says so.
//! - It works on rayon's global pool in `parallel_insert`, `parallel_search` and when it is dropped: the first two are
//!   not used, and it is dropped inside the pool of the caller.
//! - Whatever panics in it becomes an error.
//!
//! Levels are drawn from a generator whose seed (397) is fixed inside hnsw_rs and cannot be chosen, so a sequential
//! build is a function of the set, the settings and the order of insertion.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hnsw_rs::prelude::{Distance, Hnsw};
use rayon::ThreadPool;
use rayon::prelude::*;
use tranship_collection::Metric;
use tranship_connector::{Error, Result};

use super::{GraphAnswers, HnswSettings, InsertionOrder};
use crate::queries::QuerySet;
use crate::random::sample;
use crate::set::{VectorSet, distance};

/// Sets up to this size are built one row after the other, and so always alike.
pub const SEQUENTIAL_ROWS: usize = 20_000;

/// Rows of a larger set that go in before threads start to race.
const FIRST_ROWS: usize = 1_000;

/// Rows between two looks at the clock.
const ROWS_PER_STEP: usize = 1_000;

const LAYERS: usize = 16;

const MAX_LINKS: u32 = 255;

/// A graph over a set, and the queries that may be asked.
pub struct HnswGraph<'a> {
    /// Empty only while it is dropped.
    graph: Option<Hnsw<'static, u32, RowDistance<'a>>>,
    set: &'a VectorSet,
    queries: &'a QuerySet,
    pool: &'a ThreadPool,
}

impl<'a> HnswGraph<'a> {
    /// Builds a graph over `set`; `queries` are those that [`HnswGraph::search`] will answer. `go_on` is asked from
    /// time to time with the number of rows inserted; when it refuses, there is no graph.
    ///
    /// # Errors
    /// More than 2^32 - 1 rows and queries, m above 255, or a panic inside the engine.
    pub fn build(
        set: &'a VectorSet,
        queries: &'a QuerySet,
        settings: HnswSettings,
        order: InsertionOrder,
        pool: &'a ThreadPool,
        go_on: &dyn Fn(usize) -> bool,
    ) -> Result<Option<Self>> {
        if u32::try_from(set.len().saturating_add(queries.len())).is_err() {
            return Err(Error::limit("more than 4,294,967,295 rows and queries in one graph").hint("compare a sample"));
        }
        if settings.m > MAX_LINKS {
            let message = format!("the graph engine hnsw_rs cannot build m {}, only up to {MAX_LINKS}", settings.m);
            return Err(Error::limit(message).hint("take the flat engine"));
        }
        let settings = settings.within_limits(&mut Vec::new());
        let candidates = (settings.ef_construction as usize).min(set.len().max(1));
        let distance =
            RowDistance { metric: set.metric(), rows: set.values(), queries: queries.values(), dim: set.dim() };
        let graph = Hnsw::new(settings.m as usize, set.len(), LAYERS, candidates, distance);
        let graph = HnswGraph { graph: Some(graph), set, queries, pool };
        let finished = contained(|| graph.insert_all(order, go_on))?;
        Ok(finished.then_some(graph))
    }

    /// Whether a set of this size is built by racing threads, so that two builds differ.
    pub fn is_racy(rows: usize, pool: &ThreadPool) -> bool {
        rows > SEQUENTIAL_ROWS && pool.current_num_threads() > 1
    }

    fn insert_all(&self, order: InsertionOrder, go_on: &dyn Fn(usize) -> bool) -> bool {
        let rows = self.rows_in(order);
        let alone = if Self::is_racy(rows.len(), self.pool) { FIRST_ROWS } else { rows.len() };
        let (first, rest) = rows.split_at(alone);
        let mut inserted = 0;
        for step in first.chunks(ROWS_PER_STEP) {
            step.iter().for_each(|&row| self.insert(row));
            inserted += step.len();
            if !go_on(inserted) {
                return false;
            }
        }
        for step in rest.chunks(ROWS_PER_STEP * self.pool.current_num_threads()) {
            self.pool.install(|| step.par_iter().for_each(|&row| self.insert(row)));
            inserted += step.len();
            if !go_on(inserted) {
                return false;
            }
        }
        true
    }

    fn rows_in(&self, order: InsertionOrder) -> Vec<usize> {
        let ranks = match order {
            InsertionOrder::ById => (0..self.set.len()).collect(),
            InsertionOrder::Shuffled(seed) => sample(self.set.len(), self.set.len(), seed),
        };
        ranks.into_iter().map(|rank| self.set.keys().row_at_rank(rank)).collect()
    }

    fn insert(&self, row: usize) {
        if let Some(graph) = &self.graph {
            graph.insert((&[row as u32], row));
        }
    }

    /// At most `k` rows for every query, nearest first, without its excluded row.
    ///
    /// # Errors
    /// A panic inside the engine.
    pub fn search(&self, k: usize, ef_search: u32) -> Result<GraphAnswers> {
        let rows = contained(|| {
            self.pool.install(|| {
                (0..self.queries.len()).into_par_iter().map(|query| self.search_one(query, k, ef_search)).collect()
            })
        })?;
        Ok(GraphAnswers { rows, distances: None, hops: None })
    }

    fn search_one(&self, query: usize, k: usize, ef_search: u32) -> Vec<usize> {
        let Some(graph) = &self.graph else { return Vec::new() };
        let excluded = self.queries.excluded(query);
        // The query may find itself; one more answer makes room for that.
        let wanted = (k + usize::from(excluded.is_some())).min(self.set.len());
        let candidates = (ef_search as usize).min(self.set.len());
        let point = [(self.set.len() + query) as u32];
        let found = graph.search(&point, wanted, candidates);
        found.iter().map(|answer| answer.d_id).filter(|&row| excluded != Some(row)).take(k).collect()
    }
}

impl Drop for HnswGraph<'_> {
    fn drop(&mut self) {
        let graph = self.graph.take();
        // A panic in a drop would end the process; memory that the engine cannot free is the lesser harm.
        let _ = catch_unwind(AssertUnwindSafe(|| self.pool.install(|| drop(graph))));
    }
}

/// Runs code of the engine; a panic becomes an error.
fn contained<T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Error::bug(format!("the graph engine hnsw_rs failed: {text}"))
            .hint("the exact comparison does not need it; report this with the collection's index settings")
    })
}

/// The distance between two points, by their numbers.
struct RowDistance<'a> {
    metric: Metric,
    rows: &'a [f32],
    queries: &'a [f32],
    dim: usize,
}

impl RowDistance<'_> {
    /// A row of the set, or a query behind the last one.
    fn vector(&self, point: &[u32]) -> &[f32] {
        let start = point[0] as usize * self.dim;
        match start.checked_sub(self.rows.len()) {
            None => &self.rows[start..][..self.dim],
            Some(start) => &self.queries[start..][..self.dim],
        }
    }
}

impl Distance<u32> for RowDistance<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        let distance = distance(self.metric, self.vector(a), self.vector(b));
        match self.metric {
            Metric::L2 | Metric::L1 => distance,
            _ => never_negative(distance),
        }
    }
}

/// Maps distances of either sign to floats that are not negative and have the same order; neighbours in the last bit
/// of the mantissa fall together. The bits of a float, read as an integer, are in its order once the negative half is
/// turned over; half of that integer is the bits of a float without a sign. Needs |distance| < 2^127, which the longest
/// vector that a set takes in ensures.
fn never_negative(distance: f32) -> f32 {
    // Adding zero makes one of the two zeros.
    let bits = (distance + 0.0).to_bits();
    let ordered = if distance < 0.0 { !bits } else { bits | 1 << 31 };
    f32::from_bits(ordered >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_distances_keep_their_order_and_are_never_negative() {
        let ascending = [-1e37, -2.5, -1.0, -0.999, -1e-30, 0.0, 1e-30, 0.999, 1.0, 2.5, 1e37];
        for pair in ascending.windows(2) {
            assert!(never_negative(pair[0]) < never_negative(pair[1]), "{pair:?}");
        }
        assert!(ascending.iter().all(|&distance| never_negative(distance) >= 0.0));
        assert!(never_negative(1e37).is_finite());
        assert_eq!(never_negative(-0.0), never_negative(0.0));
    }

    #[test]
    fn a_panic_of_the_engine_is_an_error() {
        let error = contained(|| panic!("got a NaN in a distance")).unwrap_err();
        assert!(error.to_string().contains("got a NaN in a distance"), "{error}");
    }
}
