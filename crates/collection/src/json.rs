//! Metadata by value: one canonical byte string for every JSON text that means the same.
//!
//! Invariant: two texts have the same canonical bytes exactly when they hold the same keys (in any order) with equal
//! values, where an integer literal and a float literal are never equal (`1` is not `1.0`), `null` is a value, and
//! integers may be of any size. Duplicate keys, lone surrogates, floats beyond f64 and nesting deeper than
//! [`MAX_DEPTH`] are faults.
//!
//! Encoding: `n` null, `t`/`f` booleans, `i` + u32 length + decimal digits without leading zeros, `d` + f64 bits (LE),
//! `s` + u32 length + UTF-8, `a` + u32 count + elements, `o` + u32 count + (u32 length + key, value) sorted by key bytes.
//! Grammar: RFC 8259, checked by serde_json.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::fault::Fault;

/// How deep metadata may nest.
pub const MAX_DEPTH: usize = 128;

/// Appends the canonical bytes of `text` to `out`.
pub fn canonical(text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    check_depth(text)?;
    let value: &RawValue = serde_json::from_str(text).map_err(bad)?;
    append_value(value.get(), out)
}

/// Checks that `text` is one acceptable JSON object and says whether it has any key.
pub fn check_object(text: &str, scratch: &mut Vec<u8>) -> Result<bool, Fault> {
    scratch.clear();
    canonical(text, scratch)?;
    match scratch.first() {
        Some(b'o') => Ok(scratch.get(1..5) != Some(&[0; 4][..])),
        _ => Err(Fault::BadJson { reason: "not an object".to_owned() }),
    }
}

/// True if the canonical bytes stand for no metadata at all: an empty object or null.
pub fn is_nothing(canonical: &[u8]) -> bool {
    canonical == b"n" || canonical == b"o\0\0\0\0"
}

fn bad(error: serde_json::Error) -> Fault {
    Fault::BadJson { reason: error.to_string() }
}

/// Bounds the recursion before it starts: brackets outside strings, counted in one pass.
fn check_depth(text: &str) -> Result<(), Fault> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth > MAX_DEPTH {
            return Err(Fault::BadJson { reason: format!("nested deeper than {MAX_DEPTH} levels") });
        }
    }
    Ok(())
}

fn append_value(text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    match text.as_bytes().first() {
        Some(b'{') => append_object(text, out),
        Some(b'[') => append_array(text, out),
        Some(b'"') => {
            let string: Cow<'_, str> = borrowed_str(text)?;
            append_text(b's', &string, out);
            Ok(())
        }
        Some(b'n') => push(b'n', out),
        Some(b't') => push(b't', out),
        Some(b'f') => push(b'f', out),
        _ => append_number(text, out),
    }
}

fn push(tag: u8, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.push(tag);
    Ok(())
}

fn append_text(tag: u8, text: &str, out: &mut Vec<u8>) {
    out.push(tag);
    append_sized(text, out);
}

fn append_sized(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn borrowed_str(text: &str) -> Result<Cow<'_, str>, Fault> {
    #[derive(Deserialize)]
    struct Str<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Str<'_>>(text).map(|s| s.0).map_err(bad)
}

fn append_number(text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    if text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
        let value: f64 = serde_json::from_str(text).map_err(bad)?;
        out.push(b'd');
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    } else {
        append_text(b'i', if text == "-0" { "0" } else { text }, out);
    }
    Ok(())
}

fn append_array(text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let items: Items<'_> = serde_json::from_str(text).map_err(bad)?;
    out.push(b'a');
    out.extend_from_slice(&(items.0.len() as u32).to_le_bytes());
    items.0.iter().try_for_each(|item| append_value(item.get(), out))
}

fn append_object(text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let Entries(mut entries) = serde_json::from_str(text).map_err(bad)?;
    entries.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Fault::BadJson { reason: format!("duplicate key {:?}", pair[0].0) });
    }
    out.push(b'o');
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    for (key, value) in &entries {
        append_sized(key, out);
        append_value(value.get(), out)?;
    }
    Ok(())
}

/// The elements of an array, each as its own text.
pub struct Items<'a>(pub Vec<&'a RawValue>);

/// The entries of an object in the order of the text, duplicates kept.
pub struct Entries<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Entries<'a> {
    /// Splits one object into its keys and the texts of its values.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        serde_json::from_str(text).map_err(bad)
    }
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, PartialEq, Eq, Hash)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    entries.push((key.0, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The text of one JSON object, put together key by key in the order in which keys come.
///
/// Typed sources write their values through the `append_` functions of this module, so that the same value has the
/// same text whoever reads it: integers of any size without a point, floats always with one, what JSON cannot say in
/// wrapper objects of one key (`{"$float":"inf"}`, `{"$bytes":"<base64>"}`).
#[derive(Debug, Default)]
pub struct ObjectText {
    out: Vec<u8>,
}

impl ObjectText {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// Begins the entry `key`: append exactly one value to what is returned.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.push(if self.out.is_empty() { b'{' } else { b',' });
        append_string(key, &mut self.out);
        self.out.push(b':');
        &mut self.out
    }

    /// Closes the object and returns its text; `None` if it has no entry. Call [`Self::clear`] before the next one.
    /// Fails where something else than UTF-8 was appended.
    pub fn close(&mut self) -> Result<Option<&str>, Fault> {
        if self.out.is_empty() {
            return Ok(None);
        }
        self.out.push(b'}');
        std::str::from_utf8(&self.out).map(Some).map_err(|error| Fault::BadJson { reason: error.to_string() })
    }
}

/// Appends an integer.
pub fn append_integer(value: i128, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}

/// Appends a float that stays a float: `1.0`, `1e300`; `{"$float":"nan"}`, `{"$float":"inf"}`, `{"$float":"-inf"}`.
pub fn append_float(value: f64, out: &mut Vec<u8>) {
    match value {
        _ if value.is_finite() => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
        _ if value.is_nan() => out.extend_from_slice(br#"{"$float":"nan"}"#),
        _ if value > 0.0 => out.extend_from_slice(br#"{"$float":"inf"}"#),
        _ => out.extend_from_slice(br#"{"$float":"-inf"}"#),
    }
}

/// Appends a boolean.
pub fn append_bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Appends bytes as `{"$bytes":"<base64>"}`, standard alphabet with padding.
pub fn append_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    out.extend_from_slice(format!(r#"{{"$bytes":"{text}"}}"#).as_bytes());
}

/// Appends the elements of an array, each written by `append`.
pub fn append_array_of<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut append: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        append(item, out);
    }
    out.push(b']');
}

/// Appends `text` as a JSON string literal.
pub fn append_string(text: &str, out: &mut Vec<u8>) {
    // Writing a str into a Vec cannot fail.
    if let Ok(literal) = serde_json::to_string(text) {
        out.extend_from_slice(literal.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        canonical(text, &mut out).unwrap();
        out
    }

    #[test]
    fn key_order_and_spelling_do_not_matter_but_types_do() {
        assert_eq!(bytes(r#"{"a":1,"b":[1.50,"x"]}"#), bytes(r#"{ "b" : [1.5, "\u0078"], "a" : 1 }"#));
        assert_ne!(bytes(r#"{"a":1}"#), bytes(r#"{"a":1.0}"#));
        assert_ne!(bytes(r#"{"a":null}"#), bytes(r#"{}"#));
        assert_ne!(bytes(r#"{"a":true}"#), bytes(r#"{"a":"true"}"#));
        assert_ne!(bytes("0.0"), bytes("-0.0"));
        assert_ne!(bytes("18446744073709551616"), bytes("18446744073709551617"));
    }

    #[test]
    fn duplicate_keys_lone_surrogates_and_depth_are_faults() {
        let mut out = Vec::new();
        assert!(canonical(r#"{"a":1,"\u0061":2}"#, &mut out).is_err());
        assert!(canonical(r#"{"a":"\ud800"}"#, &mut out).is_err());
        assert!(canonical(&"[".repeat(10_000), &mut out).is_err());
        assert!(canonical("1e999", &mut out).is_err());
    }

    #[test]
    fn typed_values_have_one_text() {
        let mut object = ObjectText::default();
        assert_eq!(object.close(), Ok(None));
        append_float(1.0, object.key("f"));
        append_float(f64::NEG_INFINITY, object.key("inf"));
        append_integer(-7, object.key("i"));
        append_bytes(b"\xff\0", object.key("b"));
        append_array_of([true, false], object.key("a\"b"), append_bool);
        let text = r#"{"f":1.0,"inf":{"$float":"-inf"},"i":-7,"b":{"$bytes":"/wA="},"a\"b":[true,false]}"#;
        assert_eq!(object.close(), Ok(Some(text)));
        assert_eq!(check_object(text, &mut Vec::new()), Ok(true));
    }

    #[test]
    fn an_empty_object_is_no_metadata() {
        let mut scratch = Vec::new();
        assert_eq!(check_object("{ }", &mut scratch), Ok(false));
        assert!(is_nothing(&scratch));
        assert_eq!(check_object(r#"{"a":1}"#, &mut scratch), Ok(true));
        assert!(check_object("[]", &mut scratch).is_err());
    }
}
