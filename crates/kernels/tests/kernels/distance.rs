//! Every compilation of each distance against the documented order of summation, written out.

use proptest::collection::vec;
use proptest::prelude::*;
use tranship_kernels::{Kernels, cosine_similarity, dot, l1, l2_squared, norm};

use crate::numbers::{any_finite, embedding_like};

type Pairs = Vec<(f32, f32)>;

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// The order of summation as the module documents it, written out.
fn in_documented_order(pairs: &Pairs, add: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 32];
    let padded = pairs.len().next_multiple_of(32);
    for i in 0..padded {
        let (x, y) = pairs.get(i).copied().unwrap_or((0.0, 0.0));
        lanes[i % 32] = add(lanes[i % 32], x, y);
    }
    for half in [16, 8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

fn assert_twins_agree(pairs: &Pairs) {
    let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
    let expected_dot = in_documented_order(pairs, |sum, x, y| x.mul_add(y, sum));
    let expected_l2 = in_documented_order(pairs, |sum, x, y| (x - y).mul_add(x - y, sum));
    let expected_l1 = in_documented_order(pairs, |sum, x, y| sum + (x - y).abs());
    for kernels in Kernels::available() {
        let name = kernels.name();
        assert!(same(kernels.dot(&a, &b), expected_dot), "{name} dot of {pairs:?}");
        assert!(same(kernels.l2_squared(&a, &b), expected_l2), "{name} l2 of {pairs:?}");
        assert!(same(kernels.l1(&a, &b), expected_l1), "{name} l1 of {pairs:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn twins_agree_bit_for_bit_on_embeddings(
        pairs in vec((embedding_like(), embedding_like()), 0..300),
    ) {
        assert_twins_agree(&pairs);
    }

    #[test]
    fn twins_agree_bit_for_bit_on_values_of_any_magnitude(
        pairs in vec((any_finite(), any_finite()), 0..100),
    ) {
        assert_twins_agree(&pairs);
    }

    #[test]
    fn sums_are_close_to_sums_in_f64(pairs in vec((embedding_like(), embedding_like()), 0..300)) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
        let exact = |term: fn(f64, f64) -> f64| -> f64 {
            pairs.iter().map(|&(x, y)| term(f64::from(x), f64::from(y))).sum()
        };
        let close = |value: f32, exact: f64| (f64::from(value) - exact).abs() < 1e-4;
        prop_assert!(close(dot(&a, &b), exact(|x, y| x * y)));
        prop_assert!(close(l2_squared(&a, &b), exact(|x, y| (x - y) * (x - y))));
        prop_assert!(close(l1(&a, &b), exact(|x, y| (x - y).abs())));
    }
}

#[test]
fn small_vectors_by_hand() {
    let (a, b) = ([3.0, 4.0], [0.0, -2.0]);
    assert_eq!(dot(&a, &b), -8.0);
    assert_eq!(l2_squared(&a, &b), 45.0);
    assert_eq!(l1(&a, &b), 9.0);
    assert_eq!(norm(&a), 5.0);
    assert_eq!(cosine_similarity(&a, &b), Some(-0.8));
    assert_eq!(dot(&[], &[]), 0.0);
}

#[test]
fn cosine_is_undefined_for_zero_and_immeasurable_vectors() {
    assert_eq!(cosine_similarity(&[0.0, 0.0], &[1.0, 0.0]), None);
    assert_eq!(cosine_similarity(&[1.0, 0.0], &[0.0, 0.0]), None);
    assert_eq!(cosine_similarity(&[f32::MAX, 0.0], &[1.0, 0.0]), None);
    assert_eq!(cosine_similarity(&[f32::NAN], &[1.0]), None);
    assert_eq!(cosine_similarity(&[], &[]), None);
}

#[test]
#[should_panic(expected = "vectors of different dimension")]
fn vectors_of_different_dimension_are_refused() {
    dot(&[1.0; 40], &[1.0; 41]);
}
