//! What kind of difference two values show, where it can be told from the values alone.
//!
//! Invariant: a class is named only if it explains the whole difference; else there is none.

use std::collections::{BTreeMap, BTreeSet};

use half::{bf16, f16};
use serde_json::Value;

/// Kinds of difference, in the words of the report.
pub mod names {
    /// Every element of B is the nearest f16 of A's.
    pub const F16: &str = "rounded to f16";
    /// Every element of B is the nearest bf16 of A's.
    pub const BF16: &str = "rounded to bf16";
    /// B is A at unit length.
    pub const NORMALISED: &str = "normalised to unit length";
    /// B has at most 256 values, evenly spaced, and is near A.
    pub const QUANTISED: &str = "quantised";
    /// B is the beginning of A.
    pub const TRUNCATED: &str = "truncated dims";
    /// B is A with the opposite sign.
    pub const NEGATED: &str = "negated";
    /// An integer became a float of the same value, or the reverse.
    pub const INT_FLOAT: &str = "int became float";
    /// A value became its text, or the reverse.
    pub const STRINGIFIED: &str = "value became text";
    /// A null is missing.
    pub const NULL_MISSING: &str = "null became missing";
    /// The entries of an object stand as `outer.inner`.
    pub const FLATTENED: &str = "nested flattened";
    /// The same elements in another order.
    pub const REORDERED: &str = "reordered array";
    /// A float is another by rounding only.
    pub const ROUNDED: &str = "rounded number";
    /// The record stands whole under another id.
    pub const PERMUTED: &str = "permuted ids";
    /// A record that an earlier set had, A has no more, and B has.
    pub const RESURRECTED: &str = "resurrected delete";

    /// Those that two values of one record can show: what `--accept` takes.
    pub const OF_VALUES: [&str; 11] = [
        F16,
        BF16,
        NORMALISED,
        QUANTISED,
        TRUNCATED,
        NEGATED,
        INT_FLOAT,
        STRINGIFIED,
        NULL_MISSING,
        FLATTENED,
        REORDERED,
    ];
}

/// The class that a user means: its name with spaces or hyphens.
pub fn by_name(text: &str) -> Option<&'static str> {
    let spelled = text.to_lowercase().replace(['-', '_'], " ");
    names::OF_VALUES.into_iter().chain([names::ROUNDED]).find(|name| *name == spelled)
}

/// Two vectors that differ in at least one bit.
pub fn of_vectors(a: &[f32], b: &[f32]) -> Option<&'static str> {
    let same = |x: f32, y: f32| x.to_bits() == y.to_bits();
    if b.len() < a.len() && a.iter().zip(b).all(|(x, y)| same(*x, *y)) {
        return Some(names::TRUNCATED);
    }
    if a.len() != b.len() || a.is_empty() {
        return None;
    }
    let pairs = || a.iter().copied().zip(b.iter().copied());
    if pairs().all(|(x, y)| same(f16::from_f32(x).to_f32(), y)) {
        return Some(names::F16);
    }
    if pairs().all(|(x, y)| same(bf16::from_f32(x).to_f32(), y)) {
        return Some(names::BF16);
    }
    if pairs().all(|(x, y)| same(-x, y)) {
        return Some(names::NEGATED);
    }
    if is_normalised(a, b) {
        return Some(names::NORMALISED);
    }
    is_quantised(a, b).then_some(names::QUANTISED)
}

fn is_normalised(a: &[f32], b: &[f32]) -> bool {
    let length = |v: &[f32]| v.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    let (long, unit) = (length(a), length(b));
    long > 0.0
        && (unit - 1.0).abs() < 1e-3
        && a.iter().zip(b).all(|(x, y)| (f64::from(*x) / long - f64::from(*y)).abs() < 1e-5)
}

/// Few values at even distances, each near its own: what scalar quantisation leaves behind.
fn is_quantised(a: &[f32], b: &[f32]) -> bool {
    let levels: BTreeSet<u32> = b.iter().map(|value| value.to_bits()).collect();
    if b.len() < 16 || levels.len() > 256 {
        return false;
    }
    let mut values: Vec<f32> = levels.into_iter().map(f32::from_bits).collect();
    values.sort_by(f32::total_cmp);
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return false };
    let range = last - first;
    let gap = values.windows(2).map(|pair| pair[1] - pair[0]).fold(f32::INFINITY, f32::min);
    // Not every level need occur: the least gap may be a few of them.
    (1..=8).map(|levels| gap / levels as f32).any(|step| {
        let on_grid = |value: &f32| ((value - first) / step - ((value - first) / step).round()).abs() < 0.05;
        step.is_finite()
            && step > 0.0
            && range / step < 256.5
            && values.iter().all(on_grid)
            && a.iter().zip(b).all(|(x, y)| (x - y).abs() <= step)
    })
}

/// One metadata entry that differs; `None` stands for an entry that is not there.
pub fn of_values(a: Option<&str>, b: Option<&str>) -> Option<&'static str> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (a, b) {
        (Some("null"), None) | (None, Some("null")) => Some(names::NULL_MISSING),
        (Some(a), Some(b)) => of_json(&parse(a)?, &parse(b)?),
        _ => None,
    }
}

fn of_json(a: &Value, b: &Value) -> Option<&'static str> {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            if x.is_f64() != y.is_f64() && integer(x).or(integer(y)) == exact(x).or(exact(y)) {
                return Some(names::INT_FLOAT);
            }
            // Two integers that are near each other are two integers.
            let rounds = x.is_f64() || y.is_f64();
            let (x, y) = (x.as_f64()?, y.as_f64()?);
            (rounds && (x - y).abs() <= 1e-6 * x.abs().max(y.abs())).then_some(names::ROUNDED)
        }
        (Value::String(text), other) | (other, Value::String(text)) if !other.is_string() => {
            let spelled = serde_json::from_str::<Value>(text).is_ok_and(|value| value == *other);
            spelled.then_some(names::STRINGIFIED)
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            let sorted = |list: &[Value]| {
                let mut texts: Vec<String> = list.iter().map(Value::to_string).collect();
                texts.sort();
                texts
            };
            (sorted(x) == sorted(y)).then_some(names::REORDERED)
        }
        _ => None,
    }
}

/// The value of an integer.
fn integer(number: &serde_json::Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// The value of a float that is a whole number of at most 2^64, which is one integer and no other.
fn exact(number: &serde_json::Number) -> Option<i128> {
    let value =
        number.as_f64().filter(|value| number.is_f64() && value.fract() == 0.0 && value.abs() <= 2f64.powi(64))?;
    Some(value as i128)
}

/// The keys under which the entries of the object `value` stand in `other`, as `key.inner` and to any depth, each with its
/// own value; `None` if one of them does not.
pub fn flattened(key: &str, value: &str, other: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let Ok(Value::Object(inner)) = serde_json::from_str(value) else { return None };
    let (mut found, mut open) = (Vec::new(), vec![(key.to_owned(), inner)]);
    while let Some((outer, entries)) = open.pop() {
        for (name, value) in entries {
            let path = format!("{outer}.{name}");
            match (other.get(&path), value) {
                (Some(text), value) if serde_json::from_str::<Value>(text).is_ok_and(|own| own == value) => {
                    found.push(path);
                }
                (None, Value::Object(deeper)) => open.push((path, deeper)),
                _ => return None,
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_to_a_vector_is_named() {
        let a: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.3) / 17.7).collect();
        let map = |f: &dyn Fn(f32) -> f32| a.iter().map(|x| f(*x)).collect::<Vec<f32>>();
        let length = a.iter().map(|x| x * x).sum::<f32>().sqrt();
        let (low, step) = (-1.8f32, 3.7f32 / 255.0);
        for (b, wanted) in [
            (map(&|x| f16::from_f32(x).to_f32()), Some(names::F16)),
            (map(&|x| bf16::from_f32(x).to_f32()), Some(names::BF16)),
            (map(&|x| x / length), Some(names::NORMALISED)),
            (map(&|x| -x), Some(names::NEGATED)),
            (map(&|x| low + ((x - low) / step).round() * step), Some(names::QUANTISED)),
            (a[..32].to_vec(), Some(names::TRUNCATED)),
            (map(&|x| x + 0.5), None),
        ] {
            assert_eq!(of_vectors(&a, &b), wanted);
        }
    }

    #[test]
    fn what_was_done_to_a_value_is_named() {
        for (a, b, wanted) in [
            (Some("1"), Some("1.0"), Some(names::INT_FLOAT)),
            (Some("true"), Some("\"true\""), Some(names::STRINGIFIED)),
            (Some("[1,2]"), Some("\"[1,2]\""), Some(names::STRINGIFIED)),
            (Some("null"), None, Some(names::NULL_MISSING)),
            (Some("[1,2,3]"), Some("[3,1,2]"), Some(names::REORDERED)),
            (Some("0.1"), Some("0.10000000149011612"), Some(names::ROUNDED)),
            (Some("1"), Some("2"), None),
            (Some("\"a\""), Some("\"b\""), None),
            (Some("1"), None, None),
        ] {
            assert_eq!(of_values(a, b), wanted, "{a:?} {b:?}");
        }
    }

    #[test]
    fn integers_that_are_near_each_other_are_of_no_class() {
        for (a, b) in [
            ("1000000", "1000001"),
            ("9007199254740993", "9007199254740992.0"),
            ("18446744073709551615", "18446744073709551616.0"),
        ] {
            assert_ne!(of_values(Some(a), Some(b)), Some(names::INT_FLOAT), "{a} {b}");
        }
        assert_eq!(of_values(Some("1000000"), Some("1000001")), None);
        assert_eq!(of_values(Some("9007199254740992"), Some("9007199254740992.0")), Some(names::INT_FLOAT));
    }

    #[test]
    fn an_object_is_flattened_only_if_every_value_of_it_is_there() {
        let flat = BTreeMap::from([("o.x", "1"), ("o.y.z", "[2]")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        let keys = |text| {
            flattened("o", text, &flat).map(|mut keys| {
                keys.sort();
                keys
            })
        };
        assert_eq!(keys("{\"x\":1,\"y\":{\"z\":[2]}}"), Some(vec!["o.x".to_owned(), "o.y.z".to_owned()]));
        for other in ["{\"x\":2}", "{\"w\":1}", "{\"x\":1,\"w\":1}", "{}", "1"] {
            assert_eq!(keys(other), None, "{other}");
        }
    }

    #[test]
    fn a_class_is_named_as_people_type_it() {
        assert_eq!(by_name("rounded-to-f16"), Some(names::F16));
        assert_eq!(by_name("Int became float"), Some(names::INT_FLOAT));
        assert_eq!(by_name("permuted ids"), None);
    }
}
