//! 8-bit codes against their definition, and every compilation against the portable one.

use proptest::collection::vec;
use proptest::prelude::*;
use tranship_kernels::Kernels;
use tranship_kernels::codes::MAX_CODES;

use crate::numbers::embedding_like;

proptest! {
    #[test]
    fn twins_give_the_same_codes_and_the_nearest_steps(
        vector in vec(embedding_like(), 0..300),
        length in prop::sample::select(vec![1e-35_f32, 1e-20, 1e-10, 1.0, 1e15]),
    ) {
        let vector: Vec<f32> = vector.iter().map(|value| value * length).collect();
        let mut expected = vec![0; vector.len()];
        let coded = Kernels::portable().encode(&vector, &mut expected);
        for kernels in Kernels::available() {
            let mut codes = vec![0; vector.len()];
            prop_assert_eq!(kernels.encode(&vector, &mut codes), coded, "{}", kernels.name());
            prop_assert_eq!(&codes, &expected, "{}", kernels.name());
        }
        let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let step = if largest < 1e-12 { 0.0 } else { f64::from(largest) / 127.0 };
        let left = |(value, code): (&f32, &i8)| f64::from(*value) - step * f64::from(*code);
        let misses: Vec<f64> = vector.iter().zip(&expected).map(left).collect();
        prop_assert!(step == 0.0 || misses.iter().all(|miss| miss.abs() <= step * 0.50001), "{misses:?} of {step}");
        let residual = misses.iter().map(|miss| miss * miss).sum::<f64>().sqrt();
        let given = f64::from(coded.residual);
        prop_assert!(given >= residual - 1e-4 * residual - 1e-6 * f64::from(largest), "{given} {residual}");
        prop_assert!(step == 0.0 || given <= 1.0001 * residual + 1e-6 * f64::from(largest), "{given} {residual}");
        prop_assert_eq!(coded.sum, expected.iter().map(|&code| i32::from(code)).sum::<i32>());
    }

    #[test]
    fn twins_give_the_exact_dot_product_of_codes(pairs in vec((any::<i8>(), any::<i8>()), 0..400)) {
        let (a, b): (Vec<i8>, Vec<i8>) = pairs.iter().copied().unzip();
        let exact: i32 = pairs.iter().map(|&(x, y)| i32::from(x) * i32::from(y)).sum();
        for kernels in Kernels::available() {
            prop_assert_eq!(kernels.dot_codes(&a, &b), exact, "{}", kernels.name());
        }
    }
}

#[test]
fn the_longest_codes_do_not_overflow() {
    for kernels in Kernels::available() {
        let (low, high) = (vec![-127; MAX_CODES], vec![127; MAX_CODES]);
        assert_eq!(kernels.dot_codes(&low, &low), 127 * 127 * MAX_CODES as i32, "{}", kernels.name());
        assert_eq!(kernels.dot_codes(&low, &high), -127 * 127 * MAX_CODES as i32, "{}", kernels.name());
    }
}

#[test]
#[should_panic(expected = "vectors of different dimension")]
fn codes_of_different_dimension_are_refused() {
    tranship_kernels::dot_codes(&[1; 40], &[1; 41]);
}
