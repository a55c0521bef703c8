//! The text literals of protocol 0 and the variable-length integers of protocol 2.

use super::store::{Store, Value};

/// A little-endian two's complement integer, if it fits 64 bits.
pub(super) fn little_endian(bytes: &[u8]) -> Option<i64> {
    let Some(last) = bytes.last() else { return Some(0) };
    if bytes.len() > 8 {
        return None;
    }
    let mut wide = [if last & 0x80 == 0 { 0 } else { 0xff }; 8];
    wide.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Some(i64::from_le_bytes(wide))
}

/// A decimal number of at most 32 bits.
pub(super) fn decimal(line: &[u8]) -> Option<u32> {
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// The value of a line opcode: `I`, `L`, `F`, `S` or `V`.
pub(super) fn parse(opcode: u8, line: &[u8], store: &mut Store) -> Option<Value> {
    match (opcode, line) {
        (b'I', b"00") => Some(Value::Bool(false)),
        (b'I', b"01") => Some(Value::Bool(true)),
        (b'I', _) => integer(line),
        (b'L', [digits @ .., b'L']) => integer(digits),
        (b'L', _) => integer(line),
        (b'F', _) => std::str::from_utf8(line).ok()?.trim().parse().ok().map(Value::Float),
        (b'S', _) => quoted(line).map(|bytes| Value::Bytes(store.add_bytes(&bytes))),
        _ => raw_unicode(line).map(|text| store.add_text(&text)),
    }
}

fn integer(digits: &[u8]) -> Option<Value> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok().map(Value::Int)
}

/// A Python 2 string literal in its quotes.
fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let (quote, rest) = line.split_first()?;
    let (last, mut inner) = rest.split_last()?;
    if quote != last || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    let mut bytes = Vec::with_capacity(inner.len());
    while let Some((first, rest)) = inner.split_first() {
        inner = rest;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (kind, rest) = inner.split_first()?;
        inner = rest;
        match kind {
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'r' => bytes.push(b'\r'),
            b'x' => {
                bytes.push(u8::try_from(hex(inner.get(..2)?)?).ok()?);
                inner = inner.get(2..)?;
            }
            b'\\' | b'\'' | b'"' => bytes.push(*kind),
            _ => return None,
        }
    }
    Some(bytes)
}

/// Latin-1 text with `\uXXXX` and `\UXXXXXXXX`.
fn raw_unicode(mut line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    while let Some((first, rest)) = line.split_first() {
        let digits = match (first, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(*first));
                line = rest;
                continue;
            }
        };
        text.push(char::from_u32(hex(rest.get(1..=digits)?)?)?);
        line = rest.get(1 + digits..)?;
    }
    Some(text)
}

fn hex(digits: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
