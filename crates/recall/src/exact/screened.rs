//! Exact neighbours by screening: tiles of [`tranship_kernels::screen`] give each pair a ceiling of its nearness, the rows with
//! the highest ceilings are kept, and only their distances are computed.
//!
//! Nearness is q·x for cosine and dot (the negated distance), and q·x - |x|²/2 for L2 (where the distance is |q|² - 2 nearness).
//!
//! Invariant: a ceiling is not below the nearness that belongs to the *computed* distance of the pair; rows that are not kept
//! have ceilings up to a known threshold. So once the k-th distance is below the least that a ceiling allows, no row with that
//! ceiling or a lower one is among the k nearest, not even by a tie. Where the kept rows do not come to that, the query stays
//! open. Bounds are those of Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1: a sum of n fused terms is
//! wrong by at most n u sum(|terms|), and sum(|q_i x_i|) <= |q| |x|.
//!
//! Threads share rows out by ranges, and queries where there are few rows. Each task takes its rows through in blocks that stay
//! in cache while all panels of queries see them; codes of a block are made there and forgotten.

use std::ops::Range;

use rayon::ThreadPool;
use rayon::prelude::*;
use tranship_collection::Metric;
use tranship_kernels as kernels;
use tranship_kernels::screen::{
    self, Above, Ceilings, CodePanel, PANEL_QUERIES, Panel, QueryTerms, RowTerms, TILE_ROWS,
};

use super::{Nearest, Neighbour};
use crate::queries::QuerySet;
use crate::set::{VectorSet, distance};

/// Bytes of rows in one block.
const BLOCK_BYTES: usize = 256 * 1024;

/// Panels of queries in one task at most: 1,536 queries.
const PANELS_PER_TASK: usize = 32;

/// Rows in one task at least.
const LEAST_ROWS_PER_TASK: usize = 1_024;

/// Half a unit in the last place of 1.
const ROUNDOFF: f32 = f32::EPSILON / 2.0;

/// Lengths are taken to be at least this, so that no bound vanishes below the range of `f32`.
const LEAST_LENGTH: f32 = 1e-18;

/// More than the rounding of a computed bound.
const UP: f32 = 1.001;

/// The neighbours of every query; none where they could not be proven.
pub(super) fn search(
    set: &VectorSet,
    queries: &QuerySet,
    k: usize,
    codes: bool,
    pool: &ThreadPool,
) -> Vec<Option<Nearest>> {
    // One more, because the excluded row is among the best; codes tell near rows apart less well.
    let keep = if codes { 4 * k + 25 } else { k + 1 + (k / 4).max(15) };
    let bounds = Bounds::new(set);
    let threads = pool.current_num_threads();
    let ranges = ranges(set.len(), 2 * threads);
    let panels = if ranges.len() < threads { queries.len().div_ceil(threads * PANEL_QUERIES) } else { PANELS_PER_TASK };
    let group_queries = panels.clamp(1, PANELS_PER_TASK) * PANEL_QUERIES;
    let starts = (0..queries.len()).step_by(group_queries);
    pool.install(|| {
        let groups: Vec<Vec<Option<Nearest>>> = starts
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|start| {
                let asked = start..(start + group_queries).min(queries.len());
                let packed = Packed::new(queries, asked.clone(), codes);
                let kept: Vec<Vec<Best>> =
                    ranges.par_iter().map(|rows| scan(set, &packed, rows.clone(), keep, &bounds)).collect();
                let settle = |query: usize| {
                    let parts: Vec<&Best> = kept.iter().map(|best| &best[query - asked.start]).collect();
                    settle(set, queries, query, k, &parts, &bounds)
                };
                asked.clone().into_par_iter().map(settle).collect()
            })
            .collect();
        groups.into_iter().flatten().collect()
    })
}

fn ranges(rows: usize, most: usize) -> Vec<Range<usize>> {
    let count = (rows / LEAST_ROWS_PER_TASK).clamp(1, most);
    let share = rows.div_ceil(count).next_multiple_of(TILE_ROWS).max(TILE_ROWS);
    (0..rows).step_by(share).map(|start| start..(start + share).min(rows)).collect()
}

/// What rounding can do, as parts of the sums it happens to.
struct Bounds {
    metric: Metric,
    /// A blocked sum and a computed dot product together.
    sum: f32,
    /// A computed dot product or distance, and the few operations around it.
    single: f32,
}

impl Bounds {
    fn new(set: &VectorSet) -> Self {
        let dim = set.dim() as f32;
        let single = (dim / 32.0 + 20.0) * ROUNDOFF * UP;
        Bounds { metric: set.metric(), sum: dim * ROUNDOFF * UP + single, single }
    }

    /// What is subtracted from the dot product of a row, not too much.
    fn offset(&self, row: &[f32]) -> f32 {
        if self.metric == Metric::L2 { 0.5 * kernels::dot(row, row) * (1.0 - 2.0 * self.single) } else { 0.0 }
    }

    /// The least distance that can be computed for a row with this ceiling and a query of this squared norm.
    fn least_distance(&self, squared_norm: f64, ceiling: f32) -> f64 {
        if self.metric == Metric::L2 {
            let distance = squared_norm * (1.0 - 1e-9) - 2.0 * f64::from(ceiling);
            (distance * f64::from(1.0 - self.single)).max(0.0)
        } else {
            -f64::from(ceiling)
        }
    }
}

/// Norm of a vector, not too short.
fn length(vector: &[f32]) -> f32 {
    kernels::norm(vector).max(LEAST_LENGTH) * UP
}

/// Queries as tiles take them.
struct Packed {
    dim: usize,
    panels: Layout,
    terms: Vec<QueryTerms>,
}

enum Layout {
    Floats(Vec<Panel>),
    Codes(Vec<CodePanel>),
}

impl Packed {
    fn new(queries: &QuerySet, asked: Range<usize>, codes: bool) -> Self {
        let dim = queries.dim();
        let values = &queries.values()[asked.start * dim..asked.end * dim];
        let mut terms = vec![QueryTerms::none(); asked.len().div_ceil(PANEL_QUERIES)];
        let mut coded = vec![0; if codes { values.len() } else { 0 }];
        for (q, query) in values.chunks_exact(dim).enumerate() {
            let (terms, q) = (&mut terms[q / PANEL_QUERIES], q % PANEL_QUERIES);
            terms.threshold[q] = f32::NEG_INFINITY;
            terms.length[q] = length(query);
        }
        if codes {
            let rows = values.chunks_exact(dim).zip(coded.chunks_exact_mut(dim));
            for (q, (query, codes)) in rows.enumerate() {
                let known = kernels::encode(query, codes);
                let (terms, q) = (&mut terms[q / PANEL_QUERIES], q % PANEL_QUERIES);
                terms.scale[q] = known.scale;
                terms.miss[q] = known.residual * UP + 4.0 * ROUNDOFF * terms.length[q];
            }
        }
        let panels = if codes {
            Layout::Codes(screen::pack_codes(&coded, dim))
        } else {
            Layout::Floats(screen::pack(values, dim))
        };
        Packed { dim, panels, terms }
    }
}

/// Rows with the highest ceilings for one query.
struct Best {
    rows: Vec<(f32, u32)>,
    keep: usize,
    /// No row that is not kept has a higher ceiling.
    threshold: f32,
}

impl Best {
    fn offer(&mut self, ceiling: f32, row: u32) {
        if ceiling <= self.threshold {
            return;
        }
        self.rows.push((ceiling, row));
        // The lower half goes when there are twice as many as wanted: less work than to keep them in order.
        if self.rows.len() == 2 * self.keep {
            let (_, last, _) = self.rows.select_nth_unstable_by(self.keep - 1, |a, b| b.0.total_cmp(&a.0));
            self.threshold = last.0;
            self.rows.truncate(self.keep);
        }
    }
}

/// The best rows of a range for every packed query.
fn scan(set: &VectorSet, packed: &Packed, rows: Range<usize>, keep: usize, bounds: &Bounds) -> Vec<Best> {
    let mut terms = packed.terms.clone();
    let best = || Best { rows: Vec::new(), keep, threshold: f32::NEG_INFINITY };
    let mut best: Vec<Best> = (0..terms.len() * PANEL_QUERIES).map(|_| best()).collect();
    let bytes_per_row = if matches!(packed.panels, Layout::Codes(_)) { packed.dim } else { 4 * packed.dim };
    let block_rows = (BLOCK_BYTES / bytes_per_row).next_multiple_of(TILE_ROWS);
    let mut block = Block::default();
    let mut ceilings: Ceilings = [[0.0; PANEL_QUERIES]; TILE_ROWS];
    for start in rows.clone().step_by(block_rows) {
        block.fill(set, start..(start + block_rows).min(rows.end), packed, bounds);
        for (panel, terms) in terms.iter_mut().enumerate() {
            let best = &mut best[panel * PANEL_QUERIES..][..PANEL_QUERIES];
            for tile in 0..block.terms.len() {
                let above = block.screen(set, packed, panel, tile, terms, &mut ceilings);
                if above != [0; TILE_ROWS] {
                    take(above, &ceilings, block.first_row(tile)..block.rows.end, terms, best);
                }
            }
        }
    }
    best
}

/// Keeps the pairs above their thresholds, and raises the thresholds.
fn take(above: Above, ceilings: &Ceilings, rows: Range<usize>, terms: &mut QueryTerms, best: &mut [Best]) {
    for ((mut above, ceilings), row) in above.into_iter().zip(ceilings).zip(rows) {
        while above != 0 {
            let q = above.trailing_zeros() as usize;
            above &= above - 1;
            best[q].offer(ceilings[q], row as u32);
            terms.threshold[q] = best[q].threshold;
        }
    }
}

/// Rows that stay in cache, with what is known of each tile of them.
#[derive(Default)]
struct Block {
    rows: Range<usize>,
    terms: Vec<RowTerms>,
    /// Codes, each row filled up with zeros to a multiple of four.
    codes: Vec<i8>,
}

impl Block {
    fn fill(&mut self, set: &VectorSet, rows: Range<usize>, packed: &Packed, bounds: &Bounds) {
        let coded = matches!(packed.panels, Layout::Codes(_));
        let filled = packed.dim.next_multiple_of(4);
        self.terms.clear();
        self.terms.resize(rows.len().div_ceil(TILE_ROWS), RowTerms::default());
        self.codes.resize(if coded { rows.len() * filled } else { 0 }, 0);
        for (place, row) in rows.clone().enumerate() {
            let (vector, terms, r) = (set.vector(row), &mut self.terms[place / TILE_ROWS], place % TILE_ROWS);
            let length = length(vector);
            terms.offset[r] = bounds.offset(vector);
            terms.slack[r] = length * bounds.sum;
            if coded {
                let known = kernels::encode(vector, &mut self.codes[place * filled..][..packed.dim]);
                terms.scale[r] = known.scale;
                terms.code_sum[r] = known.sum;
                terms.length[r] = (length + known.residual) * UP;
                terms.slack[r] = known.residual * UP + terms.length[r] * bounds.single;
            }
        }
        self.rows = rows;
    }

    fn first_row(&self, tile: usize) -> usize {
        self.rows.start + tile * TILE_ROWS
    }

    /// Screens a tile; where the block ends early its last row stands in, and [`take`] drops those pairs.
    fn screen(
        &self,
        set: &VectorSet,
        packed: &Packed,
        panel: usize,
        tile: usize,
        terms: &QueryTerms,
        ceilings: &mut Ceilings,
    ) -> Above {
        let row = |r: usize| (self.first_row(tile) + r).min(self.rows.end - 1);
        let known = &self.terms[tile];
        match &packed.panels {
            Layout::Floats(panels) => {
                let rows: [&[f32]; TILE_ROWS] = std::array::from_fn(|r| set.vector(row(r)));
                screen::screen(&panels[panel * packed.dim..][..packed.dim], rows, known, terms, ceilings)
            }
            Layout::Codes(panels) => {
                let columns = packed.dim.div_ceil(4);
                let codes = |r: usize| &self.codes[(row(r) - self.rows.start) * 4 * columns..][..4 * columns];
                let rows: [&[i8]; TILE_ROWS] = std::array::from_fn(codes);
                screen::screen_codes(&panels[panel * columns..][..columns], rows, known, terms, ceilings)
            }
        }
    }
}

/// Computes distances, highest ceilings first, until no further row can be among the nearest; none if that cannot be told.
fn settle(
    set: &VectorSet,
    queries: &QuerySet,
    query: usize,
    k: usize,
    parts: &[&Best],
    bounds: &Bounds,
) -> Option<Nearest> {
    let (vector, excluded) = (queries.vector(query), queries.excluded(query));
    let mut rows: Vec<(f32, u32)> = parts.iter().flat_map(|best| &best.rows).copied().collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut nearest = Nearest::new(k);
    let squared_norm: f64 = vector.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    let settled = |nearest: &Nearest, ceiling: f32| {
        let last = nearest.last_distance().filter(|_| nearest.neighbours.len() == k);
        last.is_some_and(|last| f64::from(last) < bounds.least_distance(squared_norm, ceiling))
    };
    for (ceiling, row) in rows {
        if settled(&nearest, ceiling) {
            break;
        }
        let row = row as usize;
        let distance = distance(bounds.metric, vector, set.vector(row));
        if nearest.may_admit(distance) && excluded != Some(row) {
            nearest.offer(set, Neighbour { row, distance });
        }
    }
    let threshold = parts.iter().fold(f32::NEG_INFINITY, |highest, best| highest.max(best.threshold));
    (threshold == f32::NEG_INFINITY || settled(&nearest, threshold)).then_some(nearest)
}
