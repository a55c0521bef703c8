//! Dot products of every query with every base row: the exact scores behind recall and parity.
//!
//! Invariant: score (q, r) is `query[k].mul_add(row[k], sum)` over `k` ascending from sum 0, whatever the
//! block sizes and the CPU. (The lanes of [`crate::dot`] add in another order, so its last bits differ.)
//!
//! Queries are packed sixteen side by side, so that one step multiplies an element of a base row with the
//! same element of sixteen queries:
//!
//! ```text
//! queries, row-major      panel: dim x 16
//! q0  a b c ..            k=0  a d g ..
//! q1  d e f ..            k=1  b e h ..
//! q2  g h i ..            k=2  c f i ..
//! ```
//!
//! A tile is one panel by six base rows: 96 sums, which twelve eight-wide registers hold. Base rows go in
//! blocks that stay in the second-level cache while all panels pass over them. Shapes that do not match are
//! a mistake of the caller and panic.

use crate::dispatch::Kernels;

const PANEL_QUERIES: usize = 16;

/// Base rows in a tile.
pub(crate) const TILE_ROWS: usize = 6;

/// Elements of base rows in a block: 384 KiB.
const BLOCK_ELEMENTS: usize = 96 * 1024;

/// Element `k` of sixteen queries.
pub(crate) type QueryPanel = [f32; PANEL_QUERIES];

/// Sums of a tile, by base row and query.
pub(crate) type TileScores = [[f32; PANEL_QUERIES]; TILE_ROWS];

/// Queries laid out for [`PackedQueries::dot_block`]; pack once, score many blocks.
#[derive(Debug, Clone)]
pub struct PackedQueries {
    panels: Vec<QueryPanel>,
    queries: usize,
    dim: usize,
}

impl PackedQueries {
    /// Packs `queries`, row-major with `dim` elements each.
    ///
    /// # Panics
    /// If `dim` is 0 or does not divide the length.
    pub fn pack(queries: &[f32], dim: usize) -> Self {
        let count = rows_of(queries, dim);
        let mut panels = vec![[0.0; PANEL_QUERIES]; count.div_ceil(PANEL_QUERIES) * dim];
        for (q, query) in queries.chunks_exact(dim).enumerate() {
            let panel = &mut panels[q / PANEL_QUERIES * dim..][..dim];
            for (column, &element) in panel.iter_mut().zip(query) {
                column[q % PANEL_QUERIES] = element;
            }
        }
        Self { panels, queries: count, dim }
    }

    /// Number of queries.
    pub fn len(&self) -> usize {
        self.queries
    }

    /// Whether there is no query.
    pub fn is_empty(&self) -> bool {
        self.queries == 0
    }

    /// Writes the score of query `q` and base row `r` to `out[q * rows + r]`; `base` is row-major.
    ///
    /// # Panics
    /// If the dimension does not divide `base`, or `out` is not queries x rows long.
    pub fn dot_block(&self, base: &[f32], out: &mut [f32]) {
        self.dot_block_with(Kernels::detect(), base, out);
    }

    /// [`Self::dot_block`] with chosen kernels.
    ///
    /// # Panics
    /// As [`Self::dot_block`].
    pub fn dot_block_with(&self, kernels: &Kernels, base: &[f32], out: &mut [f32]) {
        let rows = rows_of(base, self.dim);
        assert_eq!(out.len(), self.queries * rows, "scores are queries x base rows");
        let tiles_per_block = (BLOCK_ELEMENTS / self.dim / TILE_ROWS).max(1);
        let block_rows = tiles_per_block * TILE_ROWS;
        for (block, block_base) in base.chunks(block_rows * self.dim).enumerate() {
            for (panel, panel_queries) in self.panels.chunks_exact(self.dim).enumerate() {
                for (tile, tile_base) in block_base.chunks(TILE_ROWS * self.dim).enumerate() {
                    let scores = kernels.score_tile(panel_queries, tile_rows(tile_base, self.dim));
                    let first_row = block * block_rows + tile * TILE_ROWS;
                    self.store(&scores, panel * PANEL_QUERIES, first_row, rows, out);
                }
            }
        }
    }

    /// Copies the part of a tile that is inside the matrix.
    fn store(&self, scores: &TileScores, first_query: usize, first_row: usize, rows: usize, out: &mut [f32]) {
        let tile_rows = TILE_ROWS.min(rows - first_row);
        let queries = out[first_query * rows..].chunks_exact_mut(rows).take(PANEL_QUERIES);
        for (q, query_scores) in queries.enumerate() {
            let target = &mut query_scores[first_row..first_row + tile_rows];
            for (score, row) in target.iter_mut().zip(scores) {
                *score = row[q];
            }
        }
    }
}

/// Writes the dot product of query `q` and base row `r` to `out[q * rows + r]`.
///
/// `queries` and `base` are row-major with `dim` elements per row.
///
/// # Panics
/// If `dim` is 0 or does not divide both lengths, or `out` is not queries x rows long.
pub fn dot_block(queries: &[f32], base: &[f32], dim: usize, out: &mut [f32]) {
    PackedQueries::pack(queries, dim).dot_block(base, out);
}

fn rows_of(matrix: &[f32], dim: usize) -> usize {
    assert!(dim > 0, "dimension 0");
    assert!(matrix.len().is_multiple_of(dim), "matrix is not a whole number of rows");
    matrix.len() / dim
}

/// The rows of a tile; where the matrix ends early its last row stands in, and those scores are dropped.
fn tile_rows(base: &[f32], dim: usize) -> [&[f32]; TILE_ROWS] {
    let last = base.len() / dim - 1;
    std::array::from_fn(|row| &base[row.min(last) * dim..][..dim])
}

/// Scores of one panel with six rows, each as long as the panel.
#[inline(always)]
pub(crate) fn score_tile(panel: &[QueryPanel], rows: [&[f32]; TILE_ROWS]) -> TileScores {
    let dim = panel.len();
    // Cut to one known length, so that the loop below needs no bounds checks.
    let rows = rows.map(|row| &row[..dim]);
    let mut scores = [[0.0; PANEL_QUERIES]; TILE_ROWS];
    for (k, queries) in panel.iter().enumerate() {
        for (sums, row) in scores.iter_mut().zip(rows) {
            let element = row[k];
            for (sum, query) in sums.iter_mut().zip(queries) {
                *sum = query.mul_add(element, *sum);
            }
        }
    }
    scores
}
