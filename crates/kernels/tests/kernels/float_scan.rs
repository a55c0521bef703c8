//! The scan against `str::parse::<f32>` for values and against serde_json for the grammar.

use proptest::collection::vec;
use proptest::prelude::*;
use tranship_kernels::{Kernels, ScanError, ScanErrorKind, scan_f32_array_plain, scan_f32_array_with};

use crate::numbers::{element_text, number_text};

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Scans by all twins, which must agree, and gives their common answer.
fn scan(text: &str, start: usize) -> Result<(Vec<f32>, usize), ScanError> {
    let mut plain = vec![7.0];
    let plain_end = scan_f32_array_plain(text.as_bytes(), start, &mut plain);
    for kernels in [Kernels::detect(), Kernels::portable()] {
        let mut fast = vec![7.0];
        let fast_end = scan_f32_array_with(kernels, text.as_bytes(), start, &mut fast);
        assert_eq!(fast_end, plain_end, "ends differ on {text} ({})", kernels.name());
        assert_eq!(bits(&fast), bits(&plain), "values differ on {text} ({})", kernels.name());
    }
    assert_eq!(plain[0], 7.0, "what was there before is kept");
    if plain_end.is_err() {
        assert_eq!(plain.len(), 1, "an error leaves the output as it was");
    }
    plain_end.map(|end| (plain[1..].to_vec(), end))
}

fn fault(text: &str) -> (ScanErrorKind, usize) {
    let error = scan(text, 0).expect_err(text);
    (error.kind, error.at)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_number_is_rounded_as_the_standard_library_rounds_it(
        numbers in vec(number_text(), 0..24),
        separator in prop_oneof![Just(","), Just(", "), Just(" ,\n\t")],
        after in "[ ,a-z]{0,40}",
    ) {
        let expected: Vec<f32> = numbers.iter().map(|number| number.parse().unwrap()).collect();
        let array = format!("[{}]", numbers.join(separator));
        match scan(&format!("{{\"v\": {array}{after}"), 6) {
            Ok((values, end)) => {
                prop_assert_eq!(bits(&values), bits(&expected));
                prop_assert_eq!(end, 6 + array.len());
            }
            Err(error) => {
                prop_assert_eq!(error.kind, ScanErrorKind::NonFinite);
                prop_assert!(expected.iter().any(|value| value.is_infinite()));
            }
        }
    }

    #[test]
    fn long_arrays_of_common_and_few_odd_elements_are_rounded_right(
        elements in vec(prop_oneof![200 => element_text(), 1 => number_text()], 0..300),
        separator in prop_oneof![4 => Just(","), 4 => Just(", "), 1 => Just("\t, "), 1 => Just(",\n  "), 1 => Just(",  ")],
        after in ".{0,100}",
    ) {
        let expected: Vec<f32> = elements.iter().map(|element| element.parse().unwrap()).collect();
        prop_assume!(expected.iter().all(|value| value.is_finite()));
        let array = format!("[{}]", elements.join(separator));
        let (values, end) = scan(&format!("{array}{after}"), 0).unwrap();
        prop_assert_eq!(bits(&values), bits(&expected));
        prop_assert_eq!(end, array.len());
    }

    #[test]
    fn a_long_array_with_one_byte_changed_is_accepted_exactly_when_a_strict_json_parser_accepts_it(
        elements in vec(element_text(), 1..60),
        place in any::<prop::sample::Index>(),
        byte in "[-+.eE0-9, \\]\\[n\"\\x0b]",
    ) {
        let mut text = format!("[{}]", elements.join(","));
        let place = place.index(text.len());
        text.replace_range(place..place + 1, &byte);
        let by_serde = serde_json::Deserializer::from_str(&text).into_iter::<Vec<f32>>().next().unwrap();
        let accepted = by_serde.as_ref().is_ok_and(|values| values.iter().all(|value| value.is_finite()));
        prop_assert_eq!(scan(&text, 0).is_ok(), accepted, "{}", text);
    }

    #[test]
    fn a_damaged_text_is_accepted_exactly_when_a_strict_json_parser_accepts_it(
        numbers in vec(number_text(), 0..4),
        damage in vec((any::<prop::sample::Index>(), 0..3, "[-+.eE0-9, \\]\\[nNaIf\"\\x0b]"), 0..4),
        after in "[ ,x]{0,40}",
    ) {
        let mut text = format!("[{}]{after}", numbers.join(", "));
        for (place, action, character) in damage {
            let at = place.index(text.len());
            match action {
                0 => text.insert_str(at, &character),
                1 => text.replace_range(at..=at, &character),
                _ if text.len() > 1 => { text.remove(at); }
                _ => {}
            }
        }
        let strict = |text: &str| serde_json::from_str::<Vec<serde_json::Number>>(text);
        match scan(&text, 0) {
            Ok((values, end)) => {
                let witness = strict(&text[..end]);
                prop_assert!(witness.is_ok(), "{text} is not JSON: {witness:?}");
                prop_assert_eq!(values.len(), witness.unwrap().len());
            }
            Err(error) => {
                prop_assert!(error.at <= text.len());
                // The witness holds f64, so what overflows only f32 passes there and is refused here.
                let cut = text.find(']').map_or(text.len(), |close| close + 1);
                let refused = strict(&text[..cut]).is_err() || !text.starts_with('[');
                prop_assert!(refused || error.kind == ScanErrorKind::NonFinite, "{text}: {error}");
            }
        }
    }

    #[test]
    fn any_bytes_give_a_place_inside_the_text(
        text in vec(any::<u8>(), 0..80),
        start in 0usize..100,
    ) {
        let mut out = Vec::new();
        match scan_f32_array_with(Kernels::detect(), &text, start, &mut out) {
            Ok(end) => prop_assert!(end <= text.len()),
            Err(error) => prop_assert!(error.at <= text.len()),
        }
    }

    #[test]
    fn a_text_cut_anywhere_is_truncated(numbers in vec(number_text(), 1..6), cut in any::<prop::sample::Index>()) {
        let text = format!("[{}]", numbers.join(" , "));
        prop_assume!(scan(&text, 0).is_ok());
        let cut = &text[..cut.index(text.len())];
        prop_assert_eq!(fault(cut), (ScanErrorKind::Truncated, cut.len()));
    }
}

#[test]
fn zeros_keep_their_sign_and_tiny_values_become_subnormal_or_zero() {
    let text = "[0, -0, 0.0, -0.0, -0.00000000000000000000, 1e-50, -1e-50, 1.4e-45, 0.7e-45, 1.1754942e-38]";
    let (values, _) = scan(text, 0).unwrap();
    let expected = [0.0, -0.0, 0.0, -0.0, -0.0, 0.0, -0.0, f32::from_bits(1), 0.0, 1.175_494_2e-38];
    assert_eq!(bits(&values), bits(&expected));
}

#[test]
fn an_empty_array_has_no_values() {
    assert_eq!(scan("[]", 0), Ok((vec![], 2)));
    assert_eq!(scan("x[ \r\n\t] ", 1), Ok((vec![], 7)));
}

#[test]
fn the_largest_value_passes_and_what_rounds_beyond_it_is_refused() {
    assert_eq!(scan("[3.4028235e38]", 0).unwrap().0, [f32::MAX]);
    assert_eq!(scan("[340282356779733661637539395458142568447]", 0).unwrap().0, [f32::MAX]);
    assert_eq!(fault("[1.0, 340282356779733661637539395458142568448]"), (ScanErrorKind::NonFinite, 6));
    assert_eq!(fault("[1e39]"), (ScanErrorKind::NonFinite, 1));
    assert_eq!(fault("[0.5, -1e400]"), (ScanErrorKind::NonFinite, 6));
}

#[test]
fn each_fault_has_its_kind_and_place() {
    use ScanErrorKind::*;
    let cases = [
        ("", Truncated, 0),
        ("1", NotAnArray, 0),
        ("[", Truncated, 1),
        ("[1.5, NaN]", NonFinite, 6),
        ("[-Infinity]", NonFinite, 1),
        ("[+inf]", NonFinite, 1),
        ("[1, null]", NullElement, 4),
        ("[nul", Truncated, 4),
        ("[1,[2]]", NestedArray, 3),
        ("[\"1\"]", NotANumber, 1),
        ("[{}]", NotANumber, 1),
        ("[true]", NotANumber, 1),
        ("[01]", NotANumber, 1),
        ("[00.5]", NotANumber, 1),
        ("[+1]", NotANumber, 1),
        ("[.5]", NotANumber, 1),
        ("[1.]", NotANumber, 1),
        ("[1e]", NotANumber, 1),
        ("[-]", NotANumber, 1),
        ("[0x10]", NotANumber, 1),
        ("[0.25f, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]", NotANumber, 1),
        ("[1,]", NotANumber, 3),
        ("[,1]", NotANumber, 1),
        ("[1 2]", MissingComma, 3),
        ("[1}", NotANumber, 1),
        ("[1 }", MissingComma, 3),
    ];
    for (text, kind, at) in cases {
        assert_eq!(fault(text), (kind, at), "{text}");
    }
}

#[test]
fn a_message_says_what_and_where() {
    let error = scan("[1, null]", 0).unwrap_err();
    assert_eq!(error.to_string(), "element is null where a number was expected at byte 4");
}
