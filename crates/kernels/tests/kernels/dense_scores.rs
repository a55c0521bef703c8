//! Blocked scores against single ones, over shapes that leave tiles, panels and blocks part filled.

use proptest::collection::vec;
use proptest::prelude::*;
use tranship_kernels::{Kernels, PackedQueries, dot_block};

use crate::numbers::{any_finite, embedding_like};

/// Every score by the definition: one fused sum in ascending order.
fn one_by_one(queries: &[f32], base: &[f32], dim: usize) -> Vec<f32> {
    let score = |query: &[f32], row: &[f32]| query.iter().zip(row).fold(0.0, |sum, (&q, &x)| q.mul_add(x, sum));
    let rows = || base.chunks_exact(dim);
    queries.chunks_exact(dim).flat_map(|query| rows().map(move |row| score(query, row))).collect()
}

fn assert_scores_agree(queries: &[f32], base: &[f32], dim: usize) {
    let expected = one_by_one(queries, base, dim);
    let packed = PackedQueries::pack(queries, dim);
    for kernels in [Kernels::detect(), Kernels::portable()] {
        let mut out = vec![f32::NAN; expected.len()];
        packed.dot_block_with(kernels, base, &mut out);
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        assert!(out.iter().zip(&expected).all(same), "{} at dim {dim}", kernels.name());
    }
}

/// Two matrices with rows of the same dimension.
fn matrices(element: impl Strategy<Value = f32> + Clone) -> impl Strategy<Value = (Vec<f32>, Vec<f32>, usize)> {
    (0usize..40, 0usize..40, 1usize..70).prop_flat_map(move |(queries, rows, dim)| {
        (vec(element.clone(), queries * dim), vec(element.clone(), rows * dim), Just(dim))
    })
}

proptest! {
    #[test]
    fn blocked_scores_are_the_single_scores_bit_for_bit(
        (queries, base, dim) in matrices(-1.0f32..1.0),
    ) {
        assert_scores_agree(&queries, &base, dim);
    }

    #[test]
    fn blocked_scores_agree_on_values_of_any_magnitude(
        values in vec(any_finite(), 35 * 9),
    ) {
        let (queries, base) = values.split_at(17 * 9);
        assert_scores_agree(queries, base, 9);
    }

    #[test]
    fn scores_agree_over_several_blocks_of_base_rows(
        queries in vec(embedding_like(), 2 * 5000),
        row in vec(embedding_like(), 5000),
    ) {
        let base: Vec<f32> = (0..41).flat_map(|i| row.iter().map(move |x| x * i as f32)).collect();
        assert_scores_agree(&queries, &base, 5000);
    }
}

#[test]
fn scores_stand_by_query_and_then_by_row() {
    let queries = [1.0, 0.0, 0.0, 1.0];
    let base = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let mut out = [0.0; 6];
    dot_block(&queries, &base, 2, &mut out);
    assert_eq!(out, [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
}

#[test]
fn no_queries_and_no_rows_give_no_scores() {
    dot_block(&[], &[1.0, 2.0], 2, &mut []);
    dot_block(&[1.0, 2.0], &[], 2, &mut []);
    assert!(PackedQueries::pack(&[], 3).is_empty());
    assert_eq!(PackedQueries::pack(&[0.0; 51], 3).len(), 17);
}

#[test]
#[should_panic(expected = "scores are queries x base rows")]
fn an_output_of_the_wrong_size_is_refused() {
    dot_block(&[1.0], &[1.0, 2.0], 1, &mut [0.0]);
}
