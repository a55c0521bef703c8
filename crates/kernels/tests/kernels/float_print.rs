//! The print against the scan, `str::parse::<f32>` and the shortest digits of the standard library.

use proptest::collection::vec;
use proptest::prelude::*;
use tranship_kernels::{print_f32, print_f32_array, scan_f32_array};

use crate::numbers::any_finite;

fn printed(value: f32) -> String {
    let mut out = Vec::new();
    print_f32(value, &mut out);
    String::from_utf8(out).unwrap()
}

/// The significant digits of a decimal, without point, exponent, sign and outer zeros.
fn significant(text: &str) -> String {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    mantissa.replace(['.', '-'], "").trim_matches('0').to_owned()
}

fn assert_reads_back(values: &[f32]) {
    let mut text = Vec::new();
    print_f32_array(values, &mut text);
    let mut back = Vec::new();
    assert_eq!(scan_f32_array(&text, 0, &mut back), Ok(text.len()));
    assert!(back.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn a_printed_value_is_shortest_json_and_reads_back_bit_for_bit(value in any_finite()) {
        let text = printed(value);
        prop_assert_eq!(text.parse::<f32>().unwrap().to_bits(), value.to_bits());
        prop_assert!(serde_json::from_str::<f64>(&text).is_ok(), "{text} is not JSON");
        prop_assert!(text.contains(['.', 'e', 'E']), "{text} looks like an integer");
        prop_assert_eq!(significant(&text).len(), significant(&format!("{value:e}")).len());
    }

    #[test]
    fn a_printed_array_reads_back_bit_for_bit(values in vec(any_finite(), 0..40)) {
        assert_reads_back(&values);
    }
}

#[test]
fn whole_numbers_and_zeros_look_like_floats() {
    let mut text = Vec::new();
    print_f32_array(&[1.0, -0.0, 0.0, -2.5, 100.0, 0.1], &mut text);
    assert_eq!(text, b"[1.0,-0.0,0.0,-2.5,100.0,0.1]");
}

#[test]
fn an_empty_array_is_two_brackets_after_what_was_there() {
    let mut text = b"x".to_vec();
    print_f32_array(&[], &mut text);
    assert_eq!(text, b"x[]");
}

#[test]
fn extreme_values_are_valid_json() {
    for value in [f32::MAX, f32::MIN, f32::MIN_POSITIVE, f32::from_bits(1), 16_777_216.0, 1e16, 1e-5] {
        let text = printed(value);
        assert!(serde_json::from_str::<f64>(&text).is_ok(), "{text}");
        assert_reads_back(&[value]);
    }
}

#[test]
fn a_walk_over_all_bit_patterns_reads_back() {
    let values: Vec<f32> = (0..=u32::MAX).step_by(8191).map(f32::from_bits).filter(|value| value.is_finite()).collect();
    assert_reads_back(&values);
}
