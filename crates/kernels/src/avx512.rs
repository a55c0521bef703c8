//! What is written out for AVX-512 with VNNI, because the compiler does not find it: the tiles and the dot product of codes.
//!
//! Invariant: the same operations in the same order as the plain twins in [`crate::screen`] and [`crate::codes`]. All functions
//! need the CPU features that [`crate::dispatch`] looks for; loads and stores go through arrays of a register's size.

use std::arch::x86_64::*;

use crate::codes::check_codes;
use crate::screen::{Above, Ceilings, CodePanel, PANEL_QUERIES, Panel, QueryTerms, RowTerms, TILE_ROWS};

const WIDTH: usize = 16;
const REGISTERS: usize = PANEL_QUERIES / WIDTH;

/// Codes in a register.
const CODES: usize = 64;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(crate) fn screen(
    panel: &[Panel],
    rows: [&[f32]; TILE_ROWS],
    row_terms: &RowTerms,
    query_terms: &QueryTerms,
    ceilings: &mut Ceilings,
) -> Above {
    let mut rows = rows;
    for row in &mut rows {
        // Cut to one known length, so that the sums need no bounds checks.
        *row = &row[..panel.len()];
    }
    let mut sums = [[_mm512_setzero_ps(); REGISTERS]; TILE_ROWS];
    for (k, column) in panel.iter().enumerate() {
        let queries = [load(column, 0), load(column, 1), load(column, 2)];
        for (sums, row) in sums.iter_mut().zip(rows) {
            let element = _mm512_set1_ps(row[k]);
            for (sum, query) in sums.iter_mut().zip(queries) {
                *sum = _mm512_fmadd_ps(query, element, *sum);
            }
        }
    }
    let mut above = [0; TILE_ROWS];
    for r in 0..TILE_ROWS {
        let (slack, offset) = (_mm512_set1_ps(row_terms.slack[r]), _mm512_set1_ps(row_terms.offset[r]));
        for (part, sum) in sums[r].into_iter().enumerate() {
            let sum = _mm512_fmadd_ps(load(&query_terms.length, part), slack, sum);
            above[r] |= keep(_mm512_sub_ps(sum, offset), query_terms, part, &mut ceilings[r]);
        }
    }
    above
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(crate) fn screen_codes(
    panel: &[CodePanel],
    rows: [&[i8]; TILE_ROWS],
    row_terms: &RowTerms,
    query_terms: &QueryTerms,
    ceilings: &mut Ceilings,
) -> Above {
    let mut columns: [&[[i8; 4]]; TILE_ROWS] = [&[]; TILE_ROWS];
    for (columns, row) in columns.iter_mut().zip(rows) {
        *columns = &row.as_chunks::<4>().0[..panel.len()];
    }
    let mut sums = [[_mm512_setzero_si512(); REGISTERS]; TILE_ROWS];
    for (k, column) in panel.iter().enumerate() {
        let queries = [load_codes(column, 0), load_codes(column, 1), load_codes(column, 2)];
        for (sums, columns) in sums.iter_mut().zip(columns) {
            let [a, b, c, d] = columns[k];
            let codes = _mm512_set1_epi32(i32::from_le_bytes([a as u8, b as u8, c as u8, d as u8]));
            for (sum, query) in sums.iter_mut().zip(queries) {
                *sum = _mm512_dpbusd_epi32(*sum, query, codes);
            }
        }
    }
    let mut above = [0; TILE_ROWS];
    for r in 0..TILE_ROWS {
        let code_sum = _mm512_set1_epi32(128 * row_terms.code_sum[r]);
        let (scale, slack) = (_mm512_set1_ps(row_terms.scale[r]), _mm512_set1_ps(row_terms.slack[r]));
        let (length, offset) = (_mm512_set1_ps(row_terms.length[r]), _mm512_set1_ps(row_terms.offset[r]));
        for (part, sum) in sums[r].into_iter().enumerate() {
            let product = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, code_sum));
            let scaled = _mm512_mul_ps(_mm512_mul_ps(product, scale), load(&query_terms.scale, part));
            let unseen = _mm512_mul_ps(load(&query_terms.length, part), slack);
            let hidden = _mm512_fmadd_ps(load(&query_terms.miss, part), length, unseen);
            let ceiling = _mm512_sub_ps(_mm512_add_ps(scaled, hidden), offset);
            above[r] |= keep(ceiling, query_terms, part, &mut ceilings[r]);
        }
    }
    above
}

/// Stores ceilings if one of them is above its threshold, and tells which.
#[inline]
#[target_feature(enable = "avx512f")]
fn keep(values: __m512, query_terms: &QueryTerms, part: usize, ceilings: &mut Panel) -> u64 {
    let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(values, load(&query_terms.threshold, part));
    if above != 0 {
        store(values, &mut ceilings.as_chunks_mut::<WIDTH>().0[part]);
    }
    u64::from(above) << (part * WIDTH)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(crate) fn dot_codes(a: &[i8], b: &[i8]) -> i32 {
    check_codes(a, b);
    let (blocks_a, rest_a) = a.as_chunks::<CODES>();
    let (blocks_b, rest_b) = b.as_chunks::<CODES>();
    // The product takes one unsigned side: that is 128 too high, and 128 times the sum of the other goes off again.
    let mut products = _mm512_setzero_si512();
    let mut sums = _mm512_setzero_si512();
    for (x, y) in blocks_a.iter().zip(blocks_b) {
        (products, sums) = add_codes(products, sums, load_bytes(x), load_bytes(y));
    }
    if !rest_a.is_empty() {
        let (x, y) = (load_rest(rest_a), load_rest(rest_b));
        (products, sums) = add_codes(products, sums, x, y);
    }
    _mm512_reduce_add_epi32(_mm512_sub_epi32(products, sums))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_codes(products: __m512i, sums: __m512i, x: __m512i, y: __m512i) -> (__m512i, __m512i) {
    let high = _mm512_set1_epi8(-128);
    (_mm512_dpbusd_epi32(products, _mm512_xor_si512(x, high), y), _mm512_dpbusd_epi32(sums, high, y))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(panel: &Panel, part: usize) -> __m512 {
    let values: &[f32; WIDTH] = &panel.as_chunks::<WIDTH>().0[part];
    // SAFETY: reads the sixteen floats of the array; the load needs no alignment.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(values: __m512, target: &mut [f32; WIDTH]) {
    // SAFETY: writes the sixteen floats of the array; the store needs no alignment.
    unsafe { _mm512_storeu_ps(target.as_mut_ptr(), values) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_codes(panel: &CodePanel, part: usize) -> __m512i {
    let codes: &[[u8; 4]; WIDTH] = &panel.as_chunks::<WIDTH>().0[part];
    // SAFETY: reads the 64 bytes of the array; the load needs no alignment.
    unsafe { _mm512_loadu_si512(codes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_bytes(codes: &[i8; CODES]) -> __m512i {
    // SAFETY: reads the 64 bytes of the array; the load needs no alignment.
    unsafe { _mm512_loadu_si512(codes.as_ptr().cast()) }
}

/// Fewer than 64 codes, filled up with zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_rest(codes: &[i8]) -> __m512i {
    let present = (1_u64 << codes.len().min(CODES - 1)) - 1;
    // SAFETY: the mask lets only the bytes of the slice be read.
    unsafe { _mm512_maskz_loadu_epi8(present, codes.as_ptr()) }
}
