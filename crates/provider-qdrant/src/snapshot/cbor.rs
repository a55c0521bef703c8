//! CBOR as Qdrant writes it (serde_cbor): payloads of the RocksDB era and entries of the write-ahead log.
//!
//! Maps and arrays of known and of unknown length both occur. Floats are packed to the shortest width that holds them
//! exactly and stay floats: `f9 3400` is `0.25`. UUIDs are strings of 16 bytes.
//!
//! Invariant: nesting is bounded by [`MAX_DEPTH`]; nothing is allocated from a length that was only read.
//! Errors: [`minicbor::decode::Error`], which says what was expected at which byte; the caller adds the place.

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;
use tranship_collection::json::{MAX_DEPTH, append_bool, append_bytes, append_float, append_integer, append_string};
use uuid::Uuid;

/// What decoding returns.
pub type Decoded<T> = Result<T, Error>;

/// The JSON text of the one map that `bytes` are.
pub fn object_text(bytes: &[u8]) -> Decoded<String> {
    let mut decoder = Decoder::new(bytes);
    let text = next_object(&mut decoder)?;
    if decoder.position() < bytes.len() { Err(wrong("more bytes than one map", &decoder)) } else { Ok(text) }
}

/// The JSON text of the next value, which must be a map.
pub fn next_object(decoder: &mut Decoder<'_>) -> Decoded<String> {
    match decoder.datatype()? {
        Type::Map | Type::MapIndef => next_text(decoder),
        other => Err(wrong(&format!("{other} where an object belongs"), decoder)),
    }
}

/// The JSON text of the next value. Sixteen bytes are a UUID and become its hyphenated text.
pub fn next_text(decoder: &mut Decoder<'_>) -> Decoded<String> {
    let mut out = Vec::new();
    append_value(decoder, &mut out, 0)?;
    String::from_utf8(out).map_err(|_| wrong("text that is not UTF-8", decoder))
}

/// The entries of the next value, which must be a map with text keys: `each` takes exactly one value off the decoder.
pub fn entries<'b>(
    decoder: &mut Decoder<'b>,
    mut each: impl FnMut(&'b str, &mut Decoder<'b>) -> Decoded<()>,
) -> Decoded<()> {
    let mut left = decoder.map()?;
    while more(decoder, &mut left)? {
        let key = decoder.str()?;
        each(key, decoder)?;
    }
    Ok(())
}

/// The elements of the next value, which must be an array.
pub fn items<'b, T>(
    decoder: &mut Decoder<'b>,
    mut each: impl FnMut(&mut Decoder<'b>) -> Decoded<T>,
) -> Decoded<Vec<T>> {
    let mut left = decoder.array()?;
    let mut found = Vec::new();
    while more(decoder, &mut left)? {
        found.push(each(decoder)?);
    }
    Ok(found)
}

/// The next value, or `None` if it is null.
pub fn optional<'b, T>(
    decoder: &mut Decoder<'b>,
    read: impl FnOnce(&mut Decoder<'b>) -> Decoded<T>,
) -> Decoded<Option<T>> {
    match decoder.datatype()? {
        Type::Null | Type::Undefined => decoder.skip().map(|()| None),
        _ => read(decoder).map(Some),
    }
}

/// A number as f32: floats of any width, and integers.
pub fn float(decoder: &mut Decoder<'_>) -> Decoded<f32> {
    match decoder.datatype()? {
        Type::F16 => decoder.f16(),
        Type::F32 => decoder.f32(),
        Type::F64 => decoder.f64().map(|value| value as f32),
        _ => decoder.int().map(|value| i128::from(value) as f32),
    }
}

/// An error at the decoder's place.
pub fn wrong(what: &str, decoder: &Decoder<'_>) -> Error {
    Error::message(what).at(decoder.position())
}

/// True if another element follows; takes the break off an open-ended array or map.
fn more(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Decoded<bool> {
    match left {
        Some(0) => Ok(false),
        Some(count) => {
            *count -= 1;
            Ok(true)
        }
        None if decoder.datatype()? == Type::Break => decoder.skip().map(|()| false),
        None => Ok(true),
    }
}

fn append_value(decoder: &mut Decoder<'_>, out: &mut Vec<u8>, depth: usize) -> Decoded<()> {
    if depth > MAX_DEPTH {
        return Err(wrong(&format!("nested deeper than {MAX_DEPTH} levels"), decoder));
    }
    match decoder.datatype()? {
        Type::Null | Type::Undefined => {
            decoder.skip()?;
            out.extend_from_slice(b"null");
        }
        Type::Bool => append_bool(decoder.bool()?, out),
        Type::F16 => append_float(f64::from(decoder.f16()?), out),
        Type::F32 => append_float(f64::from(decoder.f32()?), out),
        Type::F64 => append_float(decoder.f64()?, out),
        Type::String => append_string(decoder.str()?, out),
        Type::Bytes => match decoder.bytes()? {
            bytes if bytes.len() == 16 => append_string(&uuid_text(bytes), out),
            bytes => append_bytes(bytes, out),
        },
        Type::Array | Type::ArrayIndef => append_sequence(decoder, out, depth, false)?,
        Type::Map | Type::MapIndef => append_sequence(decoder, out, depth, true)?,
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => append_integer(i128::from(decoder.u64()?), out),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
            append_integer(i128::from(decoder.int()?), out);
        }
        other => return Err(wrong(&format!("a value of the type {other}"), decoder)),
    }
    Ok(())
}

fn append_sequence(decoder: &mut Decoder<'_>, out: &mut Vec<u8>, depth: usize, is_map: bool) -> Decoded<()> {
    let (open, close) = if is_map { (b'{', b'}') } else { (b'[', b']') };
    let mut left = if is_map { decoder.map()? } else { decoder.array()? };
    out.push(open);
    let mut first = true;
    while more(decoder, &mut left)? {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        if is_map {
            append_string(decoder.str()?, out);
            out.push(b':');
        }
        append_value(decoder, out, depth + 1)?;
    }
    out.push(close);
    Ok(())
}

fn uuid_text(bytes: &[u8]) -> String {
    Uuid::from_slice(bytes).unwrap_or_default().hyphenated().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_floats_stay_floats_and_keys_keep_their_order() {
        // {"z": 0.25, "a": -0.0, "n": [1, -1, 18446744073709551615, null], "o": {_ "t": true}}
        let bytes = b"\xa4\x61z\xf9\x34\x00\x61a\xf9\x80\x00\x61n\x84\x01\x20\x1b\xff\xff\xff\xff\xff\xff\xff\xff\xf6\
            \x61o\xbf\x61t\xf5\xff";
        let text = r#"{"z":0.25,"a":-0.0,"n":[1,-1,18446744073709551615,null],"o":{"t":true}}"#;
        assert_eq!(object_text(bytes).unwrap(), text);
        assert!(object_text(&bytes[..bytes.len() - 1]).is_err());
        assert!(object_text(b"\x01").is_err());
    }

    #[test]
    fn hostile_lengths_and_depths_are_errors() {
        assert!(object_text(b"\xa1\x61a\x9b\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
        assert!(object_text(b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x61a\x01").is_err());
        assert!(object_text(&[b"\xa1\x61a".as_slice(), &[0x81; 10_000]].concat()).is_err());
    }
}
