//! The native form of metadata: which entries a target takes as they are, and what stands there in place of the others.
//!
//! ```text
//! original   {"a":1, "n":null, "o":{"x":2}}
//! native      "a":1             "o.x":2                  what the target can filter by
//! exact      {"n":null,"o":{"x":2}}                      as one text, under a reserved key
//! ```
//!
//! Invariant: [`restore`] of what [`split`] made is the original by value. An exact entry comes back only if what
//! stands in the target is what it would have become, up to the target's own rounding of numbers: a value that was
//! changed in the target stays changed, so that a comparison finds it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tranship_collection::Fault;
use tranship_collection::json::{Entries, Items, append_string};

use crate::rules::{Keys, Lists, MetadataRules, Nested};

/// The one type that a field of a typed target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// true or false.
    Bool,
    /// Integers of 64 bits with sign.
    Integer,
    /// Doubles.
    Float,
    /// Texts.
    Text,
    /// Lists of booleans, not empty.
    Bools,
    /// Lists of integers, not empty.
    Integers,
    /// Lists of doubles, not empty.
    Floats,
    /// Lists of texts, not empty.
    Texts,
}

/// Which entries are native: the rules, and the declared fields of a typed target.
#[derive(Debug, Clone, Copy)]
pub struct NativeForm<'a> {
    /// What values and keys the target takes.
    pub rules: &'a MetadataRules,
    /// The declared fields; `None` for a target that takes any key.
    pub fields: Option<&'a BTreeMap<String, FieldType>>,
}

/// One entry: key, and the value's JSON text.
pub type Entry<'a> = (Cow<'a, str>, &'a RawValue);

/// Metadata in two parts.
#[derive(Debug, Default)]
pub struct Native<'a> {
    /// Entries that the target holds, in order.
    pub native: Vec<Entry<'a>>,
    /// Entries that it does not hold as they are.
    pub exact: Vec<Entry<'a>>,
}

impl NativeForm<'_> {
    /// Divides the entries of one metadata object.
    pub fn split<'a>(&self, entries: &[Entry<'a>]) -> Native<'a> {
        let mut parts = Native::default();
        if entries.iter().all(|(key, value)| self.holds(key, value.get(), 1)) {
            parts.native = entries.to_vec();
            return parts;
        }
        let flattened = self.flattened(entries);
        for (key, value) in entries {
            if self.holds(key, value.get(), 1) {
                parts.native.push((key.clone(), value));
                // Another entry flattens to this key; only the text says which is which.
                if flattened.iter().any(|(other, _)| other == key) {
                    parts.exact.push((key.clone(), value));
                }
            } else {
                parts.exact.push((key.clone(), value));
            }
        }
        let stand_ins = self.stand_ins(&parts.exact);
        parts.native.extend(stand_ins.into_iter().flatten());
        parts
    }

    /// Puts exact entries in place of what stands for them in `stored`.
    pub fn restore<'a>(&self, stored: Vec<Entry<'a>>, exact: Vec<Entry<'a>>) -> Vec<Entry<'a>> {
        let stand_ins = self.stand_ins(&exact);
        let mut restored = stored;
        let mut at_end = Vec::new();
        for (entry, stand_ins) in exact.into_iter().zip(stand_ins) {
            let held = self.holds(&entry.0, entry.1.get(), 1);
            let own = held.then(|| (entry.0.clone(), entry.1));
            let wanted: Vec<&Entry<'a>> = own.iter().chain(&stand_ins).collect();
            let is_there =
                |wanted: &&Entry<'a>| restored.iter().any(|(k, v)| *k == wanted.0 && is_rounding_of(v, wanted.1));
            if !wanted.iter().all(is_there) {
                continue;
            }
            match restored.iter().position(|(key, _)| *key == entry.0) {
                Some(at) => restored[at].1 = entry.1,
                None => {
                    let first = wanted.first().and_then(|w| restored.iter().position(|(key, _)| *key == w.0));
                    restored.retain(|(key, _)| !wanted.iter().any(|w| w.0 == *key));
                    match first {
                        Some(at) => restored.insert(at.min(restored.len()), entry),
                        None => at_end.push(entry),
                    }
                }
            }
        }
        restored.extend(at_end);
        restored
    }

    /// What the target holds in place of each exact entry; keys that other entries have are not taken.
    fn stand_ins<'a>(&self, exact: &[Entry<'a>]) -> Vec<Vec<Entry<'a>>> {
        let mut taken: BTreeSet<Cow<'a, str>> = exact.iter().map(|(key, _)| key.clone()).collect();
        let mut all = Vec::with_capacity(exact.len());
        for (key, value) in exact {
            let mut own = Vec::new();
            if !self.holds(key, value.get(), 1) {
                self.stand_in(key, value, &mut own);
            }
            // A rounded number stands under its own key.
            own.retain(|(other, _)| other == key || taken.insert(other.clone()));
            all.push(own);
        }
        all
    }

    fn flattened<'a>(&self, entries: &[Entry<'a>]) -> Vec<Entry<'a>> {
        let mut all = Vec::new();
        for (key, value) in entries.iter().filter(|(key, value)| !self.holds(key, value.get(), 1)) {
            self.stand_in(key, value, &mut all);
        }
        all.retain(|(key, _)| !entries.iter().any(|(own, value)| own == key && !self.holds(own, value.get(), 1)));
        all
    }

    fn stand_in<'a>(&self, key: &str, value: &'a RawValue, out: &mut Vec<Entry<'a>>) {
        if !self.key_holds(key)
            || self.rules.max_value_bytes.is_some_and(|max| value.get().len() > max && !value.get().starts_with('{'))
            || !self.declared(key, value.get(), true)
        {
            return;
        }
        match value.get().as_bytes().first() {
            // The target rounds it.
            Some(b'-' | b'0'..=b'9') if self.fields.is_none() && self.rules.numbers.takes(value.get()) => {
                out.push((key.to_owned().into(), value));
            }
            Some(b'{') if self.rules.nested == Nested::Flattened => {
                let Ok(Entries(entries)) = Entries::parse(value.get()) else { return };
                for (inner, value) in entries {
                    let path = format!("{key}.{inner}");
                    if value.get().starts_with('{') {
                        self.stand_in(&path, value, out);
                    } else if self.holds(&path, value.get(), 1) && !out.iter().any(|(taken, _)| *taken == path) {
                        out.push((path.into(), value));
                    }
                }
            }
            // Lists and objects whose numbers are rounded within.
            Some(b'{' | b'[') if self.fields.is_none() && self.shape_holds(value.get(), 1) => {
                out.push((key.to_owned().into(), value));
            }
            _ => {}
        }
    }

    /// True if the entry comes back from the target as it went.
    pub fn holds(&self, key: &str, text: &str, depth: usize) -> bool {
        self.key_holds(key)
            && self.rules.max_value_bytes.is_none_or(|max| text.len() <= max)
            && self.declared(key, text, false)
            && self.value_holds(text, depth, true)
    }

    fn key_holds(&self, key: &str) -> bool {
        self.rules.keys.hold(key) && (self.rules.nul || !key.contains('\0'))
    }

    /// True if only numbers within `text` are not held.
    fn shape_holds(&self, text: &str, depth: usize) -> bool {
        self.value_holds(text, depth, false)
    }

    /// Declared with the type that the value has. `nested` lets objects through, whose entries are asked for later.
    fn declared(&self, key: &str, text: &str, nested: bool) -> bool {
        match self.fields {
            None => true,
            Some(_) if nested && text.starts_with('{') => true,
            Some(fields) => fields.get(key).is_some_and(|declared| field_type(text) == Some(*declared)),
        }
    }

    fn value_holds(&self, text: &str, depth: usize, numbers: bool) -> bool {
        let rules = self.rules;
        match text.as_bytes().first() {
            Some(b'n') => rules.nulls,
            Some(b't' | b'f') => rules.booleans,
            Some(b'"') => rules.nul || !has_nul(text),
            Some(b'{') => {
                rules.nested == Nested::Kept && depth < rules.max_depth && self.object_holds(text, depth, numbers)
            }
            Some(b'[') => depth < rules.max_depth && self.list_holds(text, depth, numbers),
            _ if numbers => rules.numbers.hold(text),
            _ => rules.numbers.hold(text) || rules.numbers.takes(text),
        }
    }

    fn object_holds(&self, text: &str, depth: usize, numbers: bool) -> bool {
        let Ok(Entries(entries)) = Entries::parse(text) else { return false };
        let any_key = !matches!(self.rules.keys, Keys::NoDollarNoPoint | Keys::NoPoint);
        entries.iter().all(|(key, value)| {
            (any_key || self.rules.keys.hold(key))
                && (self.rules.nul || !key.contains('\0'))
                && self.value_holds(value.get(), depth + 1, numbers)
        })
    }

    fn list_holds(&self, text: &str, depth: usize, numbers: bool) -> bool {
        let Ok(Items(items)) = serde_json::from_str(text) else { return false };
        let all_hold = |depth| items.iter().all(|item| self.value_holds(item.get(), depth, numbers));
        match self.rules.lists {
            Lists::Any => all_hold(depth + 1),
            Lists::OneType => field_type(text).is_some() && all_hold(depth + 1),
            Lists::Texts => items.iter().all(|item| item.get().starts_with('"')) && all_hold(depth + 1),
            Lists::AsText => false,
        }
    }
}

/// The type of a scalar, or of a list of scalars of one type.
pub fn field_type(text: &str) -> Option<FieldType> {
    if !text.starts_with('[') {
        return scalar_type(text);
    }
    let Items(items) = serde_json::from_str(text).ok()?;
    let first = scalar_type(items.first()?.get())?;
    if !items.iter().all(|item| scalar_type(item.get()) == Some(first)) {
        return None;
    }
    match first {
        FieldType::Bool => Some(FieldType::Bools),
        FieldType::Integer => Some(FieldType::Integers),
        FieldType::Float => Some(FieldType::Floats),
        FieldType::Text => Some(FieldType::Texts),
        _ => None,
    }
}

fn scalar_type(text: &str) -> Option<FieldType> {
    match text.as_bytes().first()? {
        b't' | b'f' => Some(FieldType::Bool),
        b'"' => Some(FieldType::Text),
        b'-' | b'0'..=b'9' if text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) => {
            text.parse::<f64>().is_ok_and(f64::is_finite).then_some(FieldType::Float)
        }
        b'-' | b'0'..=b'9' => (text != "-0" && text.parse::<i64>().is_ok()).then_some(FieldType::Integer),
        _ => None,
    }
}

/// The value of a declared float, or of a list of them, with the point that a whole number has lost at the target.
pub fn with_points(value: &str, declared: FieldType) -> String {
    let point = |text: &str| match text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        true => format!("{text}.0"),
        false => text.to_owned(),
    };
    match serde_json::from_str::<Items<'_>>(value) {
        Ok(Items(items)) if declared == FieldType::Floats => {
            let items: Vec<String> = items.iter().map(|item| point(item.get())).collect();
            format!("[{}]", items.join(","))
        }
        _ => point(value),
    }
}

/// True if a JSON string holds U+0000, which JSON can only spell as an escape.
fn has_nul(text: &str) -> bool {
    text.contains("\\u0000") && serde_json::from_str::<String>(text).is_ok_and(|text| text.contains('\0'))
}

/// The object of `entries` as text; `None` if there are none.
pub fn object_text(entries: &[Entry<'_>]) -> Option<String> {
    let mut out = Vec::new();
    for (key, value) in entries {
        out.push(if out.is_empty() { b'{' } else { b',' });
        append_string(key, &mut out);
        out.push(b':');
        out.extend_from_slice(value.get().as_bytes());
    }
    (!out.is_empty()).then(|| {
        out.push(b'}');
        String::from_utf8_lossy(&out).into_owned()
    })
}

fn is_rounding_of(stored: &RawValue, exact: &RawValue) -> bool {
    let parse = |raw: &RawValue| serde_json::from_str::<Value>(raw.get());
    stored.get() == exact.get()
        || matches!((parse(stored), parse(exact)), (Ok(stored), Ok(exact)) if is_rounded(&stored, &exact))
}

/// Equal but for numbers that are a few units in the last place of an f64 apart.
fn is_rounded(stored: &Value, exact: &Value) -> bool {
    match (stored, exact) {
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            _ if a == b => true,
            (Some(a), Some(b)) => (a - b).abs() <= 4.0 * f64::EPSILON * b.abs().max(f64::MIN_POSITIVE),
            _ => false,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_rounded(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_rounded(a, b)))
        }
        _ => stored == exact,
    }
}

/// What becomes of one metadata object as text: native entries, and the exact ones if there are any.
pub fn split_text(form: NativeForm<'_>, text: &str) -> Result<(Option<String>, Option<String>), Fault> {
    let entries = Entries::parse(text)?.0;
    let parts = form.split(&entries);
    Ok((object_text(&parts.native), object_text(&parts.exact)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Numbers;

    fn round_trip(form: NativeForm<'_>, original: &str) -> (Option<String>, Option<String>, String) {
        let (native, exact) = split_text(form, original).unwrap();
        let stored = native.clone().unwrap_or_else(|| "{}".to_owned());
        let text = exact.clone().unwrap_or_else(|| "{}".to_owned());
        let restored = form.restore(Entries::parse(&stored).unwrap().0, Entries::parse(&text).unwrap().0);
        (native, exact, object_text(&restored).unwrap_or_else(|| "{}".to_owned()))
    }

    fn same(a: &str, b: &str) {
        let canonical = |text: &str| {
            let mut out = Vec::new();
            tranship_collection::json::canonical(text, &mut out).unwrap();
            out
        };
        assert_eq!(canonical(a), canonical(b), "{a} {b}");
    }

    #[test]
    fn flat_targets_get_flattened_entries_and_give_the_original_back() {
        let form = NativeForm { rules: &MetadataRules::FLAT, fields: None };
        let original = r#"{"a":1,"n":null,"o":{"x":2,"y":{"z":"t"},"l":[1]},"l":[1,2],"e":{}}"#;
        let (native, exact, restored) = round_trip(form, original);
        assert_eq!(native.unwrap(), r#"{"a":1,"o.x":2,"o.y.z":"t"}"#);
        assert_eq!(exact.unwrap(), r#"{"n":null,"o":{"x":2,"y":{"z":"t"},"l":[1]},"l":[1,2],"e":{}}"#);
        same(&restored, original);
    }

    #[test]
    fn keys_that_fall_together_once_flattened_come_apart_again() {
        let form = NativeForm { rules: &MetadataRules::FLAT, fields: None };
        for original in [
            r#"{"o":{"x":1},"o.x":2}"#,
            r#"{"o.x":2,"o":{"x":1}}"#,
            r#"{"o":{"x":{"y":1}},"o.x":{"y":2}}"#,
            r#"{"o.x":null,"o":{"x":1}}"#,
            r#"{"o":{"x":{"y":1},"x.y":3}}"#,
        ] {
            same(&round_trip(form, original).2, original);
        }
    }

    #[test]
    fn rounded_numbers_come_back_and_changed_ones_do_not() {
        let rules = MetadataRules { numbers: Numbers::Digits15, ..MetadataRules::JSON };
        let form = NativeForm { rules: &rules, fields: None };
        let original = r#"{"n":0.12345678901234567,"l":[{"d":99999999999999999999}],"k":1}"#;
        let (native, _, restored) = round_trip(form, original);
        same(&native.unwrap(), original);
        same(&restored, original);
        let stored = Entries::parse(r#"{"n":5.0,"k":1}"#).unwrap().0;
        let exact = Entries::parse(r#"{"n":0.12345678901234567}"#).unwrap().0;
        assert_eq!(object_text(&form.restore(stored, exact)).unwrap(), r#"{"n":5.0,"k":1}"#);
    }

    #[test]
    fn typed_targets_hold_only_values_of_the_declared_type() {
        let fields = BTreeMap::from([("year".to_owned(), FieldType::Integer), ("tags".to_owned(), FieldType::Texts)]);
        let rules = MetadataRules { lists: Lists::OneType, keys: Keys::Identifier, ..MetadataRules::FLAT };
        let form = NativeForm { rules: &rules, fields: Some(&fields) };
        for (original, wanted) in [
            (r#"{"year":1999,"tags":["a"]}"#, Some(r#"{"year":1999,"tags":["a"]}"#)),
            (r#"{"year":"1999","tags":[]}"#, None),
            (r#"{"year":1999.0,"other":1,"tags":["a",1]}"#, None),
        ] {
            let (native, _, restored) = round_trip(form, original);
            assert_eq!(native.as_deref(), wanted);
            same(&restored, original);
        }
    }
}
