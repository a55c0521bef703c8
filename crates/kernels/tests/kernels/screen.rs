//! Tiles against their formula, over every compilation.

use proptest::collection::vec;
use proptest::prelude::*;
use tranship_kernels::Kernels;
use tranship_kernels::screen::{PANEL_QUERIES, QueryTerms, RowTerms, TILE_ROWS, pack, pack_codes};

use crate::numbers::{any_finite, embedding_like};

fn terms(numbers: &[f32], queries: usize, threshold: f32) -> (RowTerms, QueryTerms) {
    let number = |place: usize| numbers[place % numbers.len()];
    let rows = RowTerms {
        scale: std::array::from_fn(|r| number(r).abs()),
        code_sum: [0; TILE_ROWS],
        slack: std::array::from_fn(|r| number(r + 8).abs()),
        length: std::array::from_fn(|r| number(r + 16).abs()),
        offset: std::array::from_fn(|r| number(r + 24)),
    };
    let mut panel = QueryTerms::none();
    for q in 0..queries.min(PANEL_QUERIES) {
        panel.scale[q] = number(q + 32).abs();
        panel.length[q] = number(q + 40).abs();
        panel.miss[q] = number(q + 48).abs();
        panel.threshold[q] = threshold;
    }
    (rows, panel)
}

proptest! {
    #[test]
    fn pairs_above_their_threshold_come_back_with_the_same_bits_on_every_cpu(
        values in prop_oneof![vec(embedding_like(), 3_000), vec(any_finite(), 3_000)],
        numbers in vec(embedding_like(), 60),
        queries in 1_usize..=PANEL_QUERIES,
        dim in 1_usize..50,
        threshold in prop::sample::select(vec![f32::NEG_INFINITY, 0.0, 1.0]),
    ) {
        let (base, asked) = (&values[..TILE_ROWS * dim], &values[TILE_ROWS * dim..][..queries * dim]);
        let rows: [&[f32]; TILE_ROWS] = std::array::from_fn(|r| &base[r * dim..][..dim]);
        let (row_terms, query_terms) = terms(&numbers, queries, threshold);
        let panel = pack(asked, dim);
        for kernels in Kernels::available() {
            let mut ceilings = [[0.0; PANEL_QUERIES]; TILE_ROWS];
            let above = kernels.screen(&panel, rows, &row_terms, &query_terms, &mut ceilings);
            for r in 0..TILE_ROWS {
                for (q, given) in ceilings[r].iter().enumerate() {
                    let query = asked.get(q * dim..(q + 1) * dim).unwrap_or(&[]);
                    let sum = query.iter().zip(rows[r]).fold(0.0_f32, |sum, (q, x)| q.mul_add(*x, sum));
                    let ceiling = query_terms.length[q].mul_add(row_terms.slack[r], sum) - row_terms.offset[r];
                    let expected = q < queries && ceiling > threshold;
                    prop_assert_eq!(above[r] >> q & 1 == 1, expected, "{} row {} query {}", kernels.name(), r, q);
                    prop_assert!(!expected || given.to_bits() == ceiling.to_bits());
                }
            }
        }
    }

    #[test]
    fn codes_above_their_threshold_come_back_with_the_same_bits_on_every_cpu(
        codes in vec(-127_i8..=127, 3_500),
        numbers in vec(embedding_like(), 60),
        queries in 1_usize..=PANEL_QUERIES,
        dim in 1_usize..60,
        threshold in prop::sample::select(vec![f32::NEG_INFINITY, 0.0, 100.0]),
    ) {
        let filled = dim.next_multiple_of(4);
        let mut base = vec![0; TILE_ROWS * filled];
        for (row, codes) in base.chunks_exact_mut(filled).zip(codes.chunks_exact(dim)) {
            row[..dim].copy_from_slice(codes);
        }
        let asked = &codes[TILE_ROWS * dim..][..queries * dim];
        let rows: [&[i8]; TILE_ROWS] = std::array::from_fn(|r| &base[r * filled..][..filled]);
        let (mut row_terms, query_terms) = terms(&numbers, queries, threshold);
        row_terms.code_sum = rows.map(|row| row.iter().map(|&code| i32::from(code)).sum());
        let panel = pack_codes(asked, dim);
        for kernels in Kernels::available() {
            let mut ceilings = [[0.0; PANEL_QUERIES]; TILE_ROWS];
            let above = kernels.screen_codes(&panel, rows, &row_terms, &query_terms, &mut ceilings);
            for r in 0..TILE_ROWS {
                for (q, given) in ceilings[r].iter().enumerate() {
                    let query = asked.get(q * dim..(q + 1) * dim).unwrap_or(&[]);
                    let sum: i32 = query.iter().zip(rows[r]).map(|(&q, &x)| i32::from(q) * i32::from(x)).sum();
                    let hidden =
                        query_terms.miss[q].mul_add(row_terms.length[r], query_terms.length[q] * row_terms.slack[r]);
                    let scaled = sum as f32 * row_terms.scale[r] * query_terms.scale[q];
                    let ceiling = scaled + hidden - row_terms.offset[r];
                    let expected = q < queries && ceiling > threshold;
                    prop_assert_eq!(above[r] >> q & 1 == 1, expected, "{} row {} query {}", kernels.name(), r, q);
                    prop_assert!(!expected || given.to_bits() == ceiling.to_bits());
                }
            }
        }
    }
}

#[test]
fn queries_fill_panels_side_by_side() {
    assert!(pack(&[], 3).is_empty());
    assert_eq!(pack(&[0.0; 49 * 3], 3).len(), 2 * 3);
    assert_eq!(pack(&[1.0, 2.0, 3.0, 4.0], 2)[1][..3], [2.0, 4.0, 0.0]);
    let codes = pack_codes(&[1, -1, 0, 127, -127, 5], 6);
    assert_eq!((codes[0][0], codes[1][0], codes[1][1]), ([129, 127, 128, 255], [1, 133, 128, 128], [128; 4]));
}
