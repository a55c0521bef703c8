//! Milvus's `schemapb.ScalarField`: the values of an array, or of one column of rows, as a protobuf message.
//!
//! ```text
//! ScalarField = oneof: 1 bool | 2 int (i32) | 3 long (i64) | 4 float | 5 double | 6 string | 7 bytes | 8 array | 9 json
//!                      10 geometry (WKB) | 11 timestamptz (microseconds) | 12 geometry (WKT); each a message {1: repeated}
//! 1a 06 0a 04 00 01 02 03 = longs 0, 1, 2, 3        1a 00 = no longs        (no bytes) = nothing
//! ```
//!
//! Invariant: values come in the order of the message; an `f32` is widened exactly. Errors: damaged for bytes that are
//! no such message, and for text that is not UTF-8. Source: milvus-io/milvus-proto `schema.proto`.

use tranship_collection::json::{append_bool, append_bytes, append_float, append_integer, append_string};
use tranship_connector::{Error, Result};
use tranship_container::protobuf::{self, Message};

use crate::time::append_timestamptz;

/// How deep arrays may lie in arrays.
const MAX_DEPTH: usize = 16;

/// One value of a column or array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// A boolean.
    Bool(bool),
    /// An integer of any width.
    Integer(i64),
    /// A float of four bytes.
    Float(f32),
    /// A float of eight bytes.
    Double(f64),
    /// Text.
    Text(&'a str),
    /// Bytes; a geometry as WKB is such.
    Bytes(&'a [u8]),
    /// A nested `ScalarField`.
    Array(&'a [u8]),
    /// JSON text, not checked.
    Json(&'a str),
    /// Microseconds since 1970, UTC.
    Timestamptz(i64),
}

/// Shows every value of the `ScalarField` in `message`, in order.
pub fn for_each<'a>(message: &'a [u8], mut each: impl FnMut(Scalar<'a>) -> Result<()>) -> Result<()> {
    for field in Message::new(message) {
        let (kind, value) = field?;
        if !(1..=12).contains(&kind) {
            return Err(Error::not_recognised(format!(
                "a Milvus ScalarField has data of kind {kind}, which is unknown"
            ))
            .hint("it was written by a newer Milvus than tranship knows"));
        }
        for entry in Message::new(value.bytes()?) {
            let (number, value) = entry?;
            if number == 1 {
                repeated(kind, value, &mut each)?;
            }
        }
    }
    Ok(())
}

/// Appends the values of the `ScalarField` in `message` as a JSON array.
pub fn append_array(message: &[u8], out: &mut Vec<u8>) -> Result<()> {
    append_array_at(message, 0, out)
}

/// Appends one value as JSON.
pub fn append_scalar(value: Scalar<'_>, out: &mut Vec<u8>) -> Result<()> {
    append_scalar_at(value, 0, out)
}

fn append_array_at(message: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::damaged(format!("arrays are nested deeper than {MAX_DEPTH} levels")));
    }
    out.push(b'[');
    let mut first = true;
    for_each(message, |value| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        append_scalar_at(value, depth, out)
    })?;
    out.push(b']');
    Ok(())
}

fn append_scalar_at(value: Scalar<'_>, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Scalar::Bool(value) => append_bool(value, out),
        Scalar::Integer(value) => append_integer(value.into(), out),
        Scalar::Float(value) => append_float(value.into(), out),
        Scalar::Double(value) => append_float(value, out),
        Scalar::Text(text) => append_string(text, out),
        Scalar::Bytes(bytes) => append_bytes(bytes, out),
        Scalar::Array(message) => append_array_at(message, depth + 1, out)?,
        Scalar::Json(text) => out.extend_from_slice(text.as_bytes()),
        Scalar::Timestamptz(micros) => append_timestamptz(micros, out),
    }
    Ok(())
}

/// One occurrence of the repeated field: one value, or many packed.
fn repeated<'a>(kind: u32, value: protobuf::Value<'a>, each: &mut impl FnMut(Scalar<'a>) -> Result<()>) -> Result<()> {
    let mut outcome = Ok(());
    let mut show = |value: Scalar<'a>| {
        if outcome.is_ok() {
            outcome = each(value);
        }
    };
    match kind {
        1 => value.varints(|n| show(Scalar::Bool(n != 0)))?,
        // An i32 stands on the wire as the varint of its sign-extended 64 bits.
        2 | 3 => value.varints(|n| show(Scalar::Integer(n.cast_signed())))?,
        4 => value.fixed32s(|bytes| show(Scalar::Float(f32::from_le_bytes(bytes))))?,
        5 => value.fixed64s(|bytes| show(Scalar::Double(f64::from_le_bytes(bytes))))?,
        6 | 12 => show(Scalar::Text(text(value.bytes()?)?)),
        7 | 10 => show(Scalar::Bytes(value.bytes()?)),
        8 => show(Scalar::Array(value.bytes()?)),
        9 => show(Scalar::Json(text(value.bytes()?)?)),
        _ => value.varints(|n| show(Scalar::Timestamptz(n.cast_signed())))?,
    }
    outcome
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| Error::damaged("a text is not UTF-8").caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(message: &[u8]) -> Result<String> {
        let mut out = Vec::new();
        append_array(message, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_kind_of_array_becomes_json() {
        let cases: [(&[u8], &str); 11] = [
            (b"\x1a\x06\x0a\x04\0\x01\x02\x03", "[0,1,2,3]"),
            (b"\x1a\0", "[]"),
            (b"", "[]"),
            (b"\x0a\x04\x0a\x02\x01\0", "[true,false]"),
            (b"\x12\x0c\x0a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "[-1]"),
            (b"\x22\x06\x0a\x04\0\0\xc0\x3f", "[1.5]"),
            (b"\x2a\x0a\x0a\x08\0\0\0\0\0\0\xf0\x7f", r#"[{"$float":"inf"}]"#),
            (b"\x32\x08\x0a\x02\xc3\xa9\x0a\x02q\"", r#"["é","q\""]"#),
            (b"\x3a\x03\x0a\x01\xff", r#"[{"$bytes":"/w=="}]"#),
            (b"\x42\x08\x0a\x06\x1a\x04\x0a\x02\x05\x06", "[[5,6]]"),
            (b"\x4a\x09\x0a\x07{\"a\":1}", r#"[{"a":1}]"#),
        ];
        for (message, expected) in cases {
            assert_eq!(json(message).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_scalar_field_is_damage() {
        for message in [&b"\x1a\x7f"[..], b"\x08\x01", b"\x32\x03\x0a\x01\xff", b"\x22\x05\x0a\x03abc", b"\xf2\x06\x00"]
        {
            assert!(json(message).is_err(), "{message:?}");
        }
        let mut nested = vec![0x1a, 0];
        for _ in 0..30 {
            let len = nested.len() as u8;
            nested = [&[0x42, len + 2, 0x0a, len][..], &nested].concat();
        }
        assert!(json(&nested).unwrap_err().to_string().contains("nested"));
    }
}
