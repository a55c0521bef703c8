//! Every distance by itself: for the metrics and shapes that have no tiles, and for what screening leaves open.
//!
//! Threads share the queries out; each passes over the base in blocks that stay in cache while all its queries see them.

use rayon::ThreadPool;
use rayon::prelude::*;

use super::{Nearest, Neighbour};
use crate::queries::QuerySet;
use crate::set::{VectorSet, distance};

/// Queries that one task takes through the base: enough to make the pass over memory free.
const MAX_QUERIES_PER_TASK: usize = 128;

/// Elements of the base in one block: 384 KiB.
const BLOCK_ELEMENTS: usize = 96 * 1024;

/// The neighbours of the queries `asked`, in that order.
pub(super) fn search(
    set: &VectorSet,
    queries: &QuerySet,
    asked: &[usize],
    k: usize,
    pool: &ThreadPool,
) -> Vec<Nearest> {
    let share = asked.len().div_ceil(pool.current_num_threads()).clamp(1, MAX_QUERIES_PER_TASK);
    pool.install(|| asked.par_chunks(share).flat_map_iter(|asked| search_share(set, queries, asked, k)).collect())
}

fn search_share(set: &VectorSet, queries: &QuerySet, asked: &[usize], k: usize) -> Vec<Nearest> {
    let mut nearest = vec![Nearest::new(k); asked.len()];
    let block_rows = (BLOCK_ELEMENTS / set.dim()).max(1);
    for (block, rows) in set.values().chunks(block_rows * set.dim()).enumerate() {
        for (found, &query) in nearest.iter_mut().zip(asked) {
            let (vector, excluded) = (queries.vector(query), queries.excluded(query));
            for (offset, values) in rows.chunks_exact(set.dim()).enumerate() {
                let row = block * block_rows + offset;
                let distance = distance(set.metric(), vector, values);
                if found.may_admit(distance) && excluded != Some(row) {
                    found.offer(set, Neighbour { row, distance });
                }
            }
        }
    }
    nearest
}
