//! Generators: `f32` values of every magnitude, and decimal texts that are hard to round.

use proptest::prelude::*;

/// Finite values, uniform over bit patterns, so over exponents; subnormals and zeros come up often.
pub fn any_finite() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |value| value.is_finite()),
        1 => (0u32..0x0100_0000).prop_map(f32::from_bits),
        1 => Just(0.0f32),
        1 => Just(-0.0f32),
    ]
}

/// Values as embeddings have them.
pub fn embedding_like() -> impl Strategy<Value = f32> {
    -1.0f32..1.0
}

/// Elements as programs print them, and such that are hard to round.
pub fn element_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => embedding_like().prop_map(|value| format!("{value}")),
        4 => embedding_like().prop_map(|value| format!("{}", f64::from(value))),
        2 => (-9.9f64..9.9).prop_map(|value| format!("{value:.22}")),
        2 => r"-?[0-9]\.[0-9]{1,22}",
        1 => r"-?0\.0{1,22}",
        1 => r"-?0\.0{1,16}[1-9]{1,6}",
        1 => (1.0f32..9.0, 12usize..23).prop_map(|(value, places)| {
            let above = f32::from_bits(value.to_bits() + 1);
            format!("{:.places$}", f64::midpoint(f64::from(value), f64::from(above)))
        }),
    ]
}

/// Texts of JSON numbers inside the range of `f32`.
pub fn number_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any_finite().prop_map(|value| format!("{value:?}")),
        any_finite().prop_map(|value| format!("{value}")),
        any_finite().prop_map(|value| format!("{:e}", f64::from(value))),
        embedding_like().prop_map(|value| format!("{}", f64::from(value))),
        embedding_like().prop_map(|value| format!("{value:.9}")),
        (-1.0f64..1.0).prop_map(|value| format!("{value}")),
        (-10.0f64..10.0).prop_map(|value| format!("{value:.22}")),
        (-1e6f64..1e6).prop_map(|value| format!("{value}")),
        near_a_middle(),
        any::<i64>().prop_map(|value| value.to_string()),
        (-20_000_000i32..20_000_000).prop_map(|value| value.to_string()),
        r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,40})?",
        r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,25})?[eE](\+?[0-3]?[0-4]|-[0-9]{1,3})",
        Just("1e-50".to_owned()),
        Just("-1e-99999999999999999999".to_owned()),
        Just("0e99999999999999999999".to_owned()),
    ]
}

/// Decimals at and around the middle between two neighbouring `f32`, where rounding twice goes wrong.
fn near_a_middle() -> impl Strategy<Value = String> {
    let value = prop_oneof![any_finite(), embedding_like()];
    (value, -20_000i64..20_000, 0usize..5, 0usize..60).prop_map(|(value, ulps, style, places)| {
        let lower = f32::from_bits(value.to_bits() & 0x7f7f_fffe);
        let upper = f32::from_bits(lower.to_bits() + 1);
        let middle = f64::midpoint(f64::from(lower), f64::from(upper));
        let near = f64::from_bits(middle.to_bits().saturating_add_signed(ulps / 2));
        match style {
            0 => format!("{middle:.160}"),
            1 => format!("{middle:.160}{}1", "0".repeat(places)),
            2 => format!("{near:e}"),
            3 => format!("{near}"),
            _ => format!("{middle:.0$}", 12 + places / 5),
        }
    })
}
