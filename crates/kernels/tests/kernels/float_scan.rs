//! The scan against `str::parse::<f32>` for values and against serde_json for the grammar.

use proptest::collection::vec;
use proptest::prelude::*;
use tranship_kernels::{ScanError, ScanErrorKind, scan_f32_array, scan_f32_array_plain};

use crate::numbers::number_text;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Scans by both twins, which must agree, and gives their common answer.
fn scan(text: &str, start: usize) -> Result<(Vec<f32>, usize), ScanError> {
    let (mut fast, mut plain) = (vec![7.0], vec![7.0]);
    let fast_end = scan_f32_array(text.as_bytes(), start, &mut fast);
    let plain_end = scan_f32_array_plain(text.as_bytes(), start, &mut plain);
    assert_eq!(fast_end, plain_end, "ends differ on {text}");
    assert_eq!(bits(&fast), bits(&plain), "values differ on {text}");
    assert_eq!(fast[0], 7.0, "what was there before is kept");
    if fast_end.is_err() {
        assert_eq!(fast.len(), 1, "an error leaves the output as it was");
    }
    fast_end.map(|end| (fast[1..].to_vec(), end))
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
        match scan_f32_array(&text, start, &mut out) {
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
