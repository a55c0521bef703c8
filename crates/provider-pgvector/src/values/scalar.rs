//! The text of a value as JSON.
//!
//! | type | JSON |
//! |---|---|
//! | int2, int4, int8, oid | the number |
//! | real, double precision | PostgreSQL's digits, always with a point or exponent; NaN and infinities as `{"$float": ..}` |
//! | numeric | its digits as they are; NaN and infinities as above; a fraction beyond f64 as a string |
//! | boolean | `true`, `false` |
//! | json, jsonb | verbatim |
//! | bytea | `{"$bytes": base64}` |
//! | arrays | arrays, nested for more dimensions |
//! | vector, halfvec as metadata | arrays of floats |
//! | everything else | a string |
//!
//! Errors: texts that the type does not have, JSON with duplicate keys or nested too deep.

use tranship_collection::json;
use tranship_kernels::float_print::print_f32;

use super::{Reason, array, vector};
use crate::dialect::Type;

/// Appends the value whose text is `text`.
pub fn append(kind: &Type, text: &str, out: &mut Vec<u8>) -> Result<(), Reason> {
    match kind {
        Type::Integer(_) | Type::Oid => append_integer(text, out),
        Type::Float4 | Type::Float8 => append_float(text, out),
        Type::Numeric => append_numeric(text, out),
        Type::Bool => append_bool(text, out),
        Type::Json | Type::Jsonb => append_json(text, out),
        Type::Bytea => {
            json::append_bytes(&bytea(text)?, out);
            Ok(())
        }
        Type::Array(element) => array::append(element, text, out),
        Type::Vector(_) | Type::HalfVec(_) => append_vector(text, out),
        _ => {
            json::append_string(text, out);
            Ok(())
        }
    }
}

/// True for the one spelling of an integer that PostgreSQL has.
pub fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" && text.len() == 1 || !digits.starts_with('0');
    canonical && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// True for a number as JSON spells it.
pub fn is_number(text: &str) -> bool {
    let rest = text.strip_prefix('-').unwrap_or(text);
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.starts_with('0')) {
        return false;
    }
    let mut rest = rest.get(whole..).unwrap_or("");
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = fraction.get(count..).unwrap_or("");
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

fn append_integer(text: &str, out: &mut Vec<u8>) -> Result<(), Reason> {
    if !is_integer(text) {
        return Err(format!("{} is no integer", shown(text)));
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn append_non_finite(text: &str, out: &mut Vec<u8>) -> bool {
    let value = match text {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ => return false,
    };
    json::append_float(value, out);
    true
}

fn append_float(text: &str, out: &mut Vec<u8>) -> Result<(), Reason> {
    if append_non_finite(text, out) {
        return Ok(());
    }
    if !is_number(text) || !text.parse::<f64>().is_ok_and(f64::is_finite) {
        return Err(format!("{} is no floating-point number", shown(text)));
    }
    out.extend_from_slice(text.as_bytes());
    if !text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
        out.extend_from_slice(b".0");
    }
    Ok(())
}

fn append_numeric(text: &str, out: &mut Vec<u8>) -> Result<(), Reason> {
    if append_non_finite(text, out) {
        return Ok(());
    }
    if !is_number(text) {
        return Err(format!("{} is no number", shown(text)));
    }
    let whole = !text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'));
    if whole || text.parse::<f64>().is_ok_and(f64::is_finite) {
        out.extend_from_slice(text.as_bytes());
    } else {
        json::append_string(text, out);
    }
    Ok(())
}

fn append_bool(text: &str, out: &mut Vec<u8>) -> Result<(), Reason> {
    let value = match text {
        "t" | "true" | "TRUE" => true,
        "f" | "false" | "FALSE" => false,
        _ => return Err(format!("{} is no boolean", shown(text))),
    };
    json::append_bool(value, out);
    Ok(())
}

fn append_json(text: &str, out: &mut Vec<u8>) -> Result<(), Reason> {
    json::canonical(text, &mut Vec::new()).map_err(|fault| fault.to_string())?;
    out.extend_from_slice(text.trim_ascii().as_bytes());
    Ok(())
}

fn append_vector(text: &str, out: &mut Vec<u8>) -> Result<(), Reason> {
    let mut values = Vec::new();
    vector::floats(text.as_bytes(), &mut values)?;
    append_floats(&values, out);
    Ok(())
}

/// Appends an array of floats, which must be finite.
pub fn append_floats(values: &[f32], out: &mut Vec<u8>) {
    json::append_array_of(values, out, |value, out| print_f32(*value, out));
}

/// The bytes that a bytea's text stands for, in hex (`\x00ff`) or escape format (`\000abc\\`).
pub fn bytea(text: &str) -> Result<Vec<u8>, Reason> {
    let wrong = || format!("{} is no bytea", shown(text));
    if let Some(hex) = text.strip_prefix("\\x") {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        return bytes.filter(|_| rest.is_empty()).ok_or_else(wrong);
    }
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        let (byte, after) = match (first, behind) {
            (b'\\', [b'\\', after @ ..]) => (b'\\', after),
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), after)
            }
            (b'\\', _) => return Err(wrong()),
            (byte, after) => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    Ok(bytes)
}

/// A text for a message: quoted and not too long.
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}..", text.get(..end).unwrap_or("")),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(kind: &Type, text: &str) -> Result<String, Reason> {
        let mut out = Vec::new();
        append(kind, text, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn texts_become_json() {
        let long = format!("{}.5", "9".repeat(400));
        for (kind, text, expected) in [
            (Type::Integer(8), "-9223372036854775808", "-9223372036854775808"),
            (Type::Float8, "1", "1.0"),
            (Type::Float8, "-0", "-0.0"),
            (Type::Float8, "1e+20", "1e+20"),
            (Type::Float4, "0.1", "0.1"),
            (Type::Float8, "-Infinity", r#"{"$float":"-inf"}"#),
            (Type::Numeric, "385.7142857142857143", "385.7142857142857143"),
            (Type::Numeric, "400", "400"),
            (Type::Numeric, "NaN", r#"{"$float":"nan"}"#),
            (Type::Numeric, long.as_str(), &format!("\"{long}\"")),
            (Type::Bool, "t", "true"),
            (Type::Jsonb, r#"{"k": [1, null]}"#, r#"{"k": [1, null]}"#),
            (Type::Bytea, r"\x00ff5c0a", r#"{"$bytes":"AP9cCg=="}"#),
            (Type::Bytea, r"\000\377\\", r#"{"$bytes":"AP9c"}"#),
            (Type::Vector(None), "[1,2.5]", "[1.0,2.5]"),
            (Type::Other("mood".to_owned()), "a\"b", r#""a\"b""#),
        ] {
            assert_eq!(json_of(&kind, text).as_deref(), Ok(expected), "{kind:?} {text}");
        }
    }

    #[test]
    fn texts_that_the_type_does_not_have_are_refused() {
        for (kind, text) in [
            (Type::Integer(4), "007"),
            (Type::Integer(4), "-0"),
            (Type::Integer(4), "1.0"),
            (Type::Integer(4), ""),
            (Type::Float8, "abc"),
            (Type::Float8, "1e999"),
            (Type::Float8, "01"),
            (Type::Numeric, "1."),
            (Type::Numeric, "1e"),
            (Type::Bool, "x"),
            (Type::Json, r#"{"a":1,"a":2}"#),
            (Type::Json, "{"),
            (Type::Bytea, r"\x0"),
            (Type::Bytea, r"\9"),
            (Type::Vector(None), "[1,"),
        ] {
            assert!(json_of(&kind, text).is_err(), "{kind:?} {text}");
        }
    }
}
