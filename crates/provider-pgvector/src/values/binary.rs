//! Values of COPY BINARY, all big-endian.
//!
//! ```text
//! array   i32 dimensions | i32 has nulls | u32 element type | (i32 length, i32 lower bound) per dimension
//!         then per element i32 length (-1 for null) and its bytes
//! jsonb   u8 version 1 | text
//! ```
//! Errors: lengths that the type does not have, texts that are no UTF-8, types without a known binary form.
//! Source: PostgreSQL `src/backend/utils/adt`, the `*_send` functions.

use tranship_collection::json;

use super::{Reason, numeric, scalar, time, vector};
use crate::dialect::Type;

/// Deepest nesting: PostgreSQL's own limit.
const MAX_DIMENSIONS: usize = 6;

/// Appends the value as JSON.
pub fn append(kind: &Type, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    match kind {
        Type::Array(element) => append_array(element, bytes, out),
        Type::Bytea => {
            json::append_bytes(bytes, out);
            Ok(())
        }
        Type::Vector(_) | Type::HalfVec(_) => {
            let mut values = Vec::new();
            match kind {
                Type::Vector(_) => vector::binary_floats(bytes, &mut values)?,
                _ => vector::binary_halves(bytes, &mut values)?,
            }
            scalar::append_floats(&values, out);
            Ok(())
        }
        _ => scalar::append(kind, &text(kind, bytes)?, out),
    }
}

/// The text that PostgreSQL prints for a value that is no array.
pub fn text(kind: &Type, bytes: &[u8]) -> Result<String, Reason> {
    Ok(match kind {
        Type::Integer(width) => integer(bytes, *width)?.to_string(),
        Type::Oid => u32::from_be_bytes(fixed(bytes)?).to_string(),
        Type::Float4 => float4(f32::from_be_bytes(fixed(bytes)?)),
        Type::Float8 => float8(f64::from_be_bytes(fixed(bytes)?)),
        Type::Numeric => numeric::text(bytes)?,
        Type::Bool => match bytes {
            [0] => "f".to_owned(),
            [1] => "t".to_owned(),
            _ => return Err("not the byte of a boolean".to_owned()),
        },
        Type::Text | Type::Json => utf8(bytes)?.to_owned(),
        Type::Jsonb => match bytes.split_first() {
            Some((1, text)) => utf8(text)?.to_owned(),
            _ => return Err("not the bytes of a jsonb".to_owned()),
        },
        Type::Uuid => uuid(fixed(bytes)?),
        Type::Bytea => bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}")),
        Type::Date => time::date(i32::from_be_bytes(fixed(bytes)?)),
        Type::Time => time::time(i64::from_be_bytes(fixed(bytes)?)),
        Type::TimeTz => {
            let (micros, zone) = bytes.split_first_chunk::<8>().ok_or("not the bytes of a time")?;
            time::time_tz(i64::from_be_bytes(*micros), i32::from_be_bytes(fixed(zone)?))
        }
        Type::Timestamp => time::timestamp(i64::from_be_bytes(fixed(bytes)?), ""),
        Type::TimestampTz => time::timestamp(i64::from_be_bytes(fixed(bytes)?), "+00"),
        Type::Interval => {
            let (micros, rest) = bytes.split_first_chunk::<8>().ok_or("not the bytes of an interval")?;
            let (days, months) = rest.split_first_chunk::<4>().ok_or("not the bytes of an interval")?;
            let [days, months] = [*days, fixed(months)?].map(i32::from_be_bytes);
            time::interval(i64::from_be_bytes(*micros), days, months)
        }
        Type::SparseVec(_) => {
            let mut sparse = vector::Sparse::default();
            sparse.read_binary(bytes)?;
            let pairs = sparse.indices.iter().zip(&sparse.values);
            let entries: Vec<String> = pairs.map(|(index, value)| format!("{}:{value}", u64::from(*index) + 1)).collect();
            format!("{{{}}}/{}", entries.join(","), sparse.dim)
        }
        Type::Bit(_) => {
            let (bits, packed) = vector::binary_bits(bytes)?;
            vector::bits_text(bits, packed)
        }
        Type::Vector(_) | Type::HalfVec(_) | Type::Array(_) => return Err("an array where a single value belongs".to_owned()),
        Type::Other(name) => return Err(format!("no binary form of type {name} is known")),
    })
}

/// True if the binary form of the type is known.
pub fn is_known(kind: &Type) -> bool {
    match kind {
        Type::Array(element) => is_known(element),
        Type::Other(_) => false,
        _ => true,
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Reason> {
    bytes.try_into().map_err(|_| format!("{} bytes where the type has {N}", bytes.len()))
}

fn integer(bytes: &[u8], width: usize) -> Result<i64, Reason> {
    Ok(match width {
        2 => i64::from(i16::from_be_bytes(fixed(bytes)?)),
        4 => i64::from(i32::from_be_bytes(fixed(bytes)?)),
        _ => i64::from_be_bytes(fixed(bytes)?),
    })
}

fn utf8(bytes: &[u8]) -> Result<&str, Reason> {
    std::str::from_utf8(bytes).map_err(|error| format!("no UTF-8 at byte {}", error.valid_up_to()))
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or("");
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

fn float8(value: f64) -> String {
    match value {
        _ if value.is_finite() => zmij::Buffer::new().format_finite(value).to_owned(),
        _ if value.is_nan() => "NaN".to_owned(),
        _ if value > 0.0 => "Infinity".to_owned(),
        _ => "-Infinity".to_owned(),
    }
}

/// PostgreSQL's digits are the fewest that lie strictly between the neighbours' midpoints; the usual shortest digits may
/// lie on a midpoint, where they mean another number once they are read as f64.
fn float4(value: f32) -> String {
    if !value.is_finite() {
        return float8(f64::from(value));
    }
    let shortest = zmij::Buffer::new().format_finite(value).to_owned();
    let exact = f64::from(value);
    let towards = |neighbour: f32| (exact + f64::from(neighbour)) / 2.0;
    let (below, above) = (towards(value.next_down()), towards(value.next_up()));
    let inside = |text: &str| text.parse::<f64>().is_ok_and(|read| (below < read && read < above) || exact == 0.0);
    let longer = (1..=8).map(|digits| format!("{exact:.digits$e}"));
    std::iter::once(shortest.clone()).chain(longer).find(|text| inside(text)).unwrap_or(shortest)
}

fn append_array(element: &Type, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let wrong = || "not the bytes of an array".to_owned();
    let mut rest = bytes;
    let mut word = || -> Result<i32, Reason> {
        let (word, behind) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        rest = behind;
        Ok(i32::from_be_bytes(*word))
    };
    let dimensions = usize::try_from(word()?).ok().filter(|count| *count <= MAX_DIMENSIONS).ok_or_else(wrong)?;
    let (_has_nulls, _element_type) = (word()?, word()?);
    let mut lengths = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        lengths.push(usize::try_from(word()?).map_err(|_| wrong())?);
        word()?;
    }
    if dimensions == 0 {
        out.extend_from_slice(b"[]");
    } else {
        append_level(element, &lengths, &mut rest, out)?;
    }
    if rest.is_empty() { Ok(()) } else { Err(wrong()) }
}

fn append_level(element: &Type, lengths: &[usize], rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let wrong = || "not the bytes of an array".to_owned();
    let Some((length, inner)) = lengths.split_first() else {
        let (len, behind) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        *rest = behind;
        let len = i32::from_be_bytes(*len);
        if len == -1 {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        let (value, behind) = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len)).ok_or_else(wrong)?;
        *rest = behind;
        return append(element, value, out);
    };
    // Each element takes at least its length; an empty level would let a few bytes stand for any number of arrays.
    if *length == 0 || *length > rest.len() / 4 {
        return Err(wrong());
    }
    out.push(b'[');
    for at in 0..*length {
        if at > 0 {
            out.push(b',');
        }
        append_level(element, inner, rest, out)?;
    }
    out.push(b']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_the_text_of_their_type() {
        for (kind, bytes, expected) in [
            (Type::Integer(2), &[0xff, 0xfe][..], "-2"),
            (Type::Oid, &[0xff; 4], "4294967295"),
            (Type::Bool, &[1], "t"),
            (Type::Float4, &0.1f32.to_be_bytes(), "0.1"),
            (Type::Float4, &33_554_472f32.to_be_bytes(), "3.3554472e7"),
            (Type::Float4, &f32::MIN_POSITIVE.to_be_bytes(), "1.1754944e-38"),
            (Type::Float4, &1e-45f32.to_be_bytes(), "1e-45"),
            (Type::Float4, &f32::MAX.to_be_bytes(), "3.4028235e+38"),
            (Type::Float4, &(-0.0f32).to_be_bytes(), "-0.0"),
            (Type::Float8, &f64::NEG_INFINITY.to_be_bytes(), "-Infinity"),
            (Type::Jsonb, b"\x01{}", "{}"),
            (Type::Bytea, &[0, 255], "\\x00ff"),
            (Type::Bit(None), &[0, 0, 0, 3, 0xa0], "101"),
            (Type::Uuid, &[0xab; 16], "abababab-abab-abab-abab-abababababab"),
        ] {
            assert_eq!(text(&kind, bytes).as_deref(), Ok(expected), "{kind:?}");
        }
        assert!(text(&Type::Integer(4), &[0; 8]).is_err());
        assert!(text(&Type::Jsonb, b"{}").is_err());
        assert!(text(&Type::Text, &[0xff]).is_err());
        assert!(text(&Type::Other("mood".to_owned()), b"x").is_err());
    }

    fn array(dims: &[i32], elements: &[Option<&[u8]>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let head = [dims.len() as i32, 1, 25].into_iter().chain(dims.iter().flat_map(|dim| [*dim, 1]));
        head.for_each(|word| bytes.extend(word.to_be_bytes()));
        for element in elements {
            bytes.extend(element.map_or(-1, |e| e.len() as i32).to_be_bytes());
            bytes.extend(element.unwrap_or_default());
        }
        bytes
    }

    #[test]
    fn arrays_of_any_dimensions_are_read() {
        let json_of = |bytes: &[u8]| {
            let mut out = Vec::new();
            append(&Type::Array(Box::new(Type::Text)), bytes, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        let flat = array(&[3], &[Some(b"a"), None, Some(b"")]);
        assert_eq!(json_of(&flat).as_deref(), Ok(r#"["a",null,""]"#));
        let nested = array(&[2, 2], &[Some(b"a"), Some(b"b"), Some(b"c"), None]);
        assert_eq!(json_of(&nested).as_deref(), Ok(r#"[["a","b"],["c",null]]"#));
        assert_eq!(json_of(&array(&[], &[])).as_deref(), Ok("[]"));
        for end in 0..flat.len() {
            assert!(json_of(&flat[..end]).is_err());
        }
        for hostile in [array(&[i32::MAX], &[]), array(&[0, i32::MAX], &[]), array(&[-1], &[]), array(&[1; 7], &[])] {
            assert!(json_of(&hostile).is_err());
        }
    }
}
