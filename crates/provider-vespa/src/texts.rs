//! How empty texts and control characters survive in Vespa, which has neither.
//!
//! ```text
//! tranship_empty    names of the fields that a record has, but empty
//! tranship_escaped  names of the fields whose texts stand as the inside of a JSON string: "x\u0001" as x\\u0001
//! ```
//!
//! Invariant: [`unescaped`] of [`escaped`] is the same value.

use serde_json::Value;
use tranship_bundle::rows::Fitted;

/// The field with the names of empty fields.
pub const EMPTY: &str = "tranship_empty";
/// The field with the names of escaped fields.
pub const ESCAPED: &str = "tranship_escaped";

/// True if a text or list of texts holds a character that Vespa refuses.
pub fn needs_escape(value: &str) -> bool {
    let refused =
        |c: char| (c.is_control() && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}');
    let has = |value: &Value| value.as_str().is_some_and(|text| text.chars().any(refused));
    // Control characters are escapes in JSON; the others are two bytes that begin so.
    let may = value.contains("\\u") || value.contains('\u{7f}') || value.chars().any(refused);
    may && match serde_json::from_str::<Value>(value) {
        Ok(Value::Array(items)) => items.iter().any(has),
        Ok(value) => has(&value),
        Err(_) => false,
    }
}

/// The texts of a value as insides of JSON strings, all beyond ASCII as escapes.
pub fn escaped(value: &str) -> String {
    changed(value, |text| Ok(inside(text))).unwrap_or_else(|_| value.to_owned())
}

/// Takes [`escaped`] back.
pub fn unescaped(value: &str) -> Fitted<String> {
    changed(value, |text| {
        serde_json::from_str(&format!("\"{text}\"")).map_err(|e| format!("an escaped text cannot be read: {e}"))
    })
}

fn changed(value: &str, change: impl Fn(&str) -> Fitted<String>) -> Fitted<String> {
    let value: Value = serde_json::from_str(value).map_err(|e| e.to_string())?;
    let one = |value: Value| match value {
        Value::String(text) => change(&text).map(Value::String),
        other => Ok(other),
    };
    let value = match value {
        Value::Array(items) => Value::Array(items.into_iter().map(one).collect::<Fitted<Vec<Value>>>()?),
        other => one(other)?,
    };
    Ok(value.to_string())
}

fn inside(text: &str) -> String {
    let mut out = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_whatever_they_hold() {
        for text in ["x\u{1}y", "\u{0}\"\\\u{1F980}\u{ffff}\n", "\u{85}", ""] {
            for value in [Value::from(text), Value::from(vec![text, "plain"])] {
                let value = value.to_string();
                let escaped = escaped(&value);
                assert!(!needs_escape(&escaped), "{escaped}");
                let (back, own): (Value, Value) = (
                    serde_json::from_str(&unescaped(&escaped).unwrap()).unwrap(),
                    serde_json::from_str(&value).unwrap(),
                );
                assert_eq!(back, own);
            }
        }
        assert!(needs_escape("\"a\\u0001\"") && !needs_escape("\"a\\u0041\\n\"") && needs_escape("[\"\u{7f}\"]"));
    }
}
