//! Screening: which of eight rows may be nearer to which of 48 queries than the nearest known so far.
//!
//! The nearness of a row to a query is their dot product less an offset of the row. A tile computes a *ceiling* of it for
//! each pair: the blocked sum, plus what rounding (or 8-bit codes) can hide. Only pairs whose ceiling is above the threshold
//! of the query come back, so that keeping the best costs almost nothing.
//!
//! ```text
//! floats   ceiling = sum + length[q] * slack[r] - offset[r]
//! codes    ceiling = (sum - 128 * code_sum[r]) * scale[r] * scale[q] + length[q] * slack[r] + miss[q] * length[r] - offset[r]
//! ```
//!
//! Invariant: the sum of floats is `query[k].mul_add(row[k], sum)` over `k` ascending from 0, that of codes is exact, and the
//! terms are added in the order above; so every CPU gives the same bits.
//!
//! Queries are packed 48 side by side, so that one step multiplies an element of a row with the same element of all:
//!
//! ```text
//! queries, row-major      panel: dim x 48              codes, four elements at a time: dim / 4 x 48
//! q0  a b c ..            k=0  a d g ..                (a b c .)+128 (d e f .)+128 ..
//! q1  d e f ..            k=1  b e h ..
//! ```

use crate::dispatch::Kernels;

/// Queries in a panel.
pub const PANEL_QUERIES: usize = 48;

/// Rows in a tile.
pub const TILE_ROWS: usize = 8;

/// Element `k` of the queries of a panel.
pub type Panel = [f32; PANEL_QUERIES];

/// Elements `4 k ..` of the queries of a panel, as codes above 128.
pub type CodePanel = [[u8; 4]; PANEL_QUERIES];

/// Ceilings by row and query; only those above their thresholds are written.
pub type Ceilings = [[f32; PANEL_QUERIES]; TILE_ROWS];

/// One bit per query, by row.
pub type Above = [u64; TILE_ROWS];

/// What is known of the rows of a tile.
#[derive(Debug, Clone, Default)]
pub struct RowTerms {
    /// Length of a step of the codes; not used for floats.
    pub scale: [f32; TILE_ROWS],
    /// Sum of the codes; not used for floats.
    pub code_sum: [i32; TILE_ROWS],
    /// What the sum may be too small by, for a query of length 1.
    pub slack: [f32; TILE_ROWS],
    /// Length of the row as its codes have it; not used for floats.
    pub length: [f32; TILE_ROWS],
    /// Taken from the dot product.
    pub offset: [f32; TILE_ROWS],
}

/// What is known of the queries of a panel.
#[derive(Debug, Clone)]
pub struct QueryTerms {
    /// Length of a step of the codes; not used for floats.
    pub scale: Panel,
    /// Norm of the query.
    pub length: Panel,
    /// Norm of what the codes leave out; not used for floats.
    pub miss: Panel,
    /// Ceilings up to here are not wanted; infinity where the panel has no query.
    pub threshold: Panel,
}

impl QueryTerms {
    /// A panel without queries.
    pub fn none() -> Self {
        let zeros = [0.0; PANEL_QUERIES];
        QueryTerms { scale: zeros, length: zeros, miss: zeros, threshold: [f32::INFINITY; PANEL_QUERIES] }
    }
}

/// Lays out `queries`, row-major with `dim` elements each: `dim` entries per panel, zeros where there is no query.
///
/// # Panics
/// If `dim` is 0.
pub fn pack(queries: &[f32], dim: usize) -> Vec<Panel> {
    let count = queries.len() / dim;
    let mut panels = vec![[0.0; PANEL_QUERIES]; count.div_ceil(PANEL_QUERIES) * dim];
    for (q, query) in queries.chunks_exact(dim).enumerate() {
        let panel = &mut panels[q / PANEL_QUERIES * dim..][..dim];
        for (column, &element) in panel.iter_mut().zip(query) {
            column[q % PANEL_QUERIES] = element;
        }
    }
    panels
}

/// Lays out codes of queries, row-major with `dim` elements each: `dim / 4` entries per panel, rounded up.
///
/// # Panics
/// If `dim` is 0.
pub fn pack_codes(codes: &[i8], dim: usize) -> Vec<CodePanel> {
    let (count, columns) = (codes.len() / dim, dim.div_ceil(4));
    // Code 0 stands as 128.
    let mut panels = vec![[[128; 4]; PANEL_QUERIES]; count.div_ceil(PANEL_QUERIES) * columns];
    for (q, query) in codes.chunks_exact(dim).enumerate() {
        let panel = &mut panels[q / PANEL_QUERIES * columns..][..columns];
        for (k, &code) in query.iter().enumerate() {
            panel[k / 4][q % PANEL_QUERIES][k % 4] = code as u8 ^ 0x80;
        }
    }
    panels
}

/// Screens eight rows against a panel of floats.
///
/// # Panics
/// If a row is shorter than the panel.
#[inline]
pub fn screen(
    panel: &[Panel],
    rows: [&[f32]; TILE_ROWS],
    row_terms: &RowTerms,
    query_terms: &QueryTerms,
    ceilings: &mut Ceilings,
) -> Above {
    Kernels::detect().screen(panel, rows, row_terms, query_terms, ceilings)
}

/// Screens the codes of eight rows against a panel of codes; rows are filled up with zeros to a multiple of four.
///
/// # Panics
/// If a row is shorter than the panel.
#[inline]
pub fn screen_codes(
    panel: &[CodePanel],
    rows: [&[i8]; TILE_ROWS],
    row_terms: &RowTerms,
    query_terms: &QueryTerms,
    ceilings: &mut Ceilings,
) -> Above {
    Kernels::detect().screen_codes(panel, rows, row_terms, query_terms, ceilings)
}

/// Queries and rows whose sums eight-wide registers hold together.
const PART_QUERIES: usize = 16;
const PART_ROWS: usize = 4;

#[inline(always)]
pub(crate) fn screen_plain(
    panel: &[Panel],
    rows: [&[f32]; TILE_ROWS],
    row_terms: &RowTerms,
    query_terms: &QueryTerms,
    ceilings: &mut Ceilings,
) -> Above {
    let mut above = [0; TILE_ROWS];
    for first_row in (0..TILE_ROWS).step_by(PART_ROWS) {
        // Cut to one known length, so that the sums need no bounds checks.
        let part_rows: [&[f32]; PART_ROWS] = std::array::from_fn(|r| &rows[first_row + r][..panel.len()]);
        for first_query in (0..PANEL_QUERIES).step_by(PART_QUERIES) {
            let sums = part_sums(panel, first_query, part_rows);
            for (r, sums) in sums.iter().enumerate() {
                let r = first_row + r;
                for (q, sum) in sums.iter().enumerate() {
                    let q = first_query + q;
                    let ceiling = query_terms.length[q].mul_add(row_terms.slack[r], *sum) - row_terms.offset[r];
                    if ceiling > query_terms.threshold[q] {
                        above[r] |= 1 << q;
                        ceilings[r][q] = ceiling;
                    }
                }
            }
        }
    }
    above
}

#[inline(always)]
fn part_sums(panel: &[Panel], first_query: usize, rows: [&[f32]; PART_ROWS]) -> [[f32; PART_QUERIES]; PART_ROWS] {
    let mut sums = [[0.0; PART_QUERIES]; PART_ROWS];
    for (k, column) in panel.iter().enumerate() {
        let queries = &column[first_query..first_query + PART_QUERIES];
        for (sums, row) in sums.iter_mut().zip(rows) {
            let element = row[k];
            for (sum, query) in sums.iter_mut().zip(queries) {
                *sum = query.mul_add(element, *sum);
            }
        }
    }
    sums
}

#[inline(always)]
pub(crate) fn screen_codes_plain(
    panel: &[CodePanel],
    rows: [&[i8]; TILE_ROWS],
    row_terms: &RowTerms,
    query_terms: &QueryTerms,
    ceilings: &mut Ceilings,
) -> Above {
    let mut above = [0; TILE_ROWS];
    for (r, row) in rows.iter().enumerate() {
        let row = &row[..4 * panel.len()];
        let mut sums = [0_i32; PANEL_QUERIES];
        for (column, codes) in panel.iter().zip(row.as_chunks::<4>().0) {
            for (sum, query) in sums.iter_mut().zip(column) {
                *sum += (0..4).map(|i| i32::from(query[i]) * i32::from(codes[i])).sum::<i32>();
            }
        }
        for (q, sum) in sums.iter().enumerate() {
            let product = (sum - 128 * row_terms.code_sum[r]) as f32;
            let scaled = product * row_terms.scale[r] * query_terms.scale[q];
            let hidden = query_terms.miss[q].mul_add(row_terms.length[r], query_terms.length[q] * row_terms.slack[r]);
            let ceiling = scaled + hidden - row_terms.offset[r];
            if ceiling > query_terms.threshold[q] {
                above[r] |= 1 << q;
                ceilings[r][q] = ceiling;
            }
        }
    }
    above
}
