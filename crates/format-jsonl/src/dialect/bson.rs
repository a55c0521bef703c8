//! BSON as mongodump leaves it, each document as the text of Extended JSON.
//!
//! ```text
//! document   i32 bytes, itself and the last one included | elements | 00
//! element    u8 type | name | 00 | value
//! ```
//!
//! Doubles and integers become plain numbers, everything that JSON has no word for an object with a `$` key, as
//! mongoexport writes it; a UUID is `{"$uuid": ..}`. Invariant: every length lies within its document before it is
//! believed, and nesting is bounded. Source: bsonspec.org 1.1, MongoDB Extended JSON v2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tranship_collection::json::{append_float, append_string};

/// Most bytes of a document that is believed; MongoDB's own limit is 16 MiB.
pub const MAX_DOCUMENT_BYTES: usize = 64 << 20;
/// How deep MongoDB lets documents nest.
const MAX_DEPTH: usize = 100;
/// What an archive of mongodump begins with.
const ARCHIVE_MAGIC: &[u8] = &[0x6d, 0xe2, 0x99, 0x81];

/// Bytes of the document that `bytes` begins with; `None` if four bytes are not there, an error if they are no length.
pub fn length(bytes: &[u8]) -> Option<Result<usize, i32>> {
    let stated = i32::from_le_bytes(*bytes.first_chunk::<4>()?);
    Some(usize::try_from(stated).ok().filter(|length| (5..=MAX_DOCUMENT_BYTES).contains(length)).ok_or(stated))
}

/// True for the beginning of a file of BSON documents.
pub fn begins(sample: &[u8]) -> bool {
    let Some(Ok(length)) = length(sample) else { return false };
    let ends = sample.get(length - 1).is_none_or(|last| *last == 0);
    ends && matches!(sample.get(4), Some(0x00..=0x13 | 0x7f | 0xff)) && (length > 5 || sample.get(4) == Some(&0))
}

/// True for an archive, which holds several collections in slices.
pub fn is_archive(sample: &[u8]) -> bool {
    sample.starts_with(ARCHIVE_MAGIC)
}

/// Appends a document as JSON text, or says what is wrong with it.
pub fn append_document(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut cursor = Cursor { bytes };
    cursor.document(0, false, out)?;
    match cursor.bytes.len() {
        0 => Ok(()),
        rest => Err(format!("{rest} bytes behind the document")),
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], String> {
        let (taken, rest) =
            self.bytes.split_at_checked(count).ok_or_else(|| format!("the document ends within {what}"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        let taken = self.take(N, what)?;
        taken.first_chunk::<N>().copied().ok_or_else(|| format!("the document ends within {what}"))
    }

    fn size(&mut self, what: &str) -> Result<usize, String> {
        let stated = i32::from_le_bytes(self.array(what)?);
        usize::try_from(stated).map_err(|_| format!("{what} of {stated} bytes"))
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let end = self.bytes.iter().position(|byte| *byte == 0).ok_or("a name without its end")?;
        let name = std::str::from_utf8(self.take(end, "a name")?).map_err(|_| "a name that is no UTF-8")?;
        self.take(1, "a name")?;
        Ok(name)
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let size = self.size("a string")?;
        let bytes = self.take(size, "a string")?;
        let text = bytes.strip_suffix(&[0]).ok_or("a string without its end")?;
        std::str::from_utf8(text).map_err(|_| "a string that is no UTF-8".to_owned())
    }

    fn document(&mut self, depth: usize, list: bool, out: &mut Vec<u8>) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let size = self.size("a document")?;
        let body = self.take(size.checked_sub(4).ok_or("a document shorter than its length")?, "a document")?;
        let mut inner = Cursor { bytes: body.strip_suffix(&[0]).ok_or("a document without its end")? };
        out.push(if list { b'[' } else { b'{' });
        let mut first = true;
        while !inner.bytes.is_empty() {
            let [kind] = inner.array("an element")?;
            let name = inner.name()?;
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            if !list {
                append_string(name, out);
                out.push(b':');
            }
            inner.value(kind, depth, out).map_err(|what| format!("{name:?}: {what}"))?;
        }
        out.push(if list { b']' } else { b'}' });
        Ok(())
    }

    fn value(&mut self, kind: u8, depth: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match kind {
            0x01 => match f64::from_le_bytes(self.array("a double")?) {
                value if value.is_finite() => append_float(value, out),
                value if value.is_nan() => put("{\"$numberDouble\":\"NaN\"}", out),
                value if value > 0.0 => put("{\"$numberDouble\":\"Infinity\"}", out),
                _ => put("{\"$numberDouble\":\"-Infinity\"}", out),
            },
            0x02 => append_string(self.string()?, out),
            0x03 => self.document(depth + 1, false, out)?,
            0x04 => self.document(depth + 1, true, out)?,
            0x05 => self.binary(out)?,
            0x06 => put("{\"$undefined\":true}", out),
            0x07 => put(&format!("{{\"$oid\":\"{}\"}}", hex(self.take(12, "an ObjectId")?)), out),
            0x08 => put(if self.array::<1>("a boolean")? == [0] { "false" } else { "true" }, out),
            0x09 => {
                let time = i64::from_le_bytes(self.array("a time")?);
                put(&format!("{{\"$date\":{{\"$numberLong\":\"{time}\"}}}}"), out);
            }
            0x0a => put("null", out),
            0x0b => {
                put("{\"$regularExpression\":{\"pattern\":", out);
                append_string(self.name()?, out);
                put(",\"options\":", out);
                append_string(self.name()?, out);
                put("}}", out);
            }
            0x0d | 0x0e => {
                put(if kind == 0x0d { "{\"$code\":" } else { "{\"$symbol\":" }, out);
                append_string(self.string()?, out);
                out.push(b'}');
            }
            0x0f => {
                self.size("code")?;
                put("{\"$code\":", out);
                append_string(self.string()?, out);
                put(",\"$scope\":", out);
                self.document(depth + 1, false, out)?;
                out.push(b'}');
            }
            0x10 => put(&i32::from_le_bytes(self.array("an integer")?).to_string(), out),
            0x11 => {
                let stamp = u64::from_le_bytes(self.array("a timestamp")?);
                put(&format!("{{\"$timestamp\":{{\"t\":{},\"i\":{}}}}}", stamp >> 32, stamp & 0xffff_ffff), out);
            }
            0x12 => put(&i64::from_le_bytes(self.array("an integer")?).to_string(), out),
            0x13 => {
                let text = decimal(u128::from_le_bytes(self.array("a decimal")?));
                put(&format!("{{\"$numberDecimal\":\"{text}\"}}"), out);
            }
            0xff => put("{\"$minKey\":1}", out),
            0x7f => put("{\"$maxKey\":1}", out),
            other => return Err(format!("a value of type {other:#04x}")),
        }
        Ok(())
    }

    fn binary(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let size = self.size("binary data")?;
        let [sub_type] = self.array("binary data")?;
        let bytes = self.take(size, "binary data")?;
        if sub_type == 4 && size == 16 {
            let hex = hex(bytes);
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            put(&format!("{{\"$uuid\":\"{}\"}}", parts.join("-")), out);
        } else {
            let text = STANDARD.encode(bytes);
            put(&format!("{{\"$binary\":{{\"base64\":\"{text}\",\"subType\":\"{sub_type:02x}\"}}}}"), out);
        }
        Ok(())
    }
}

fn put(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// IEEE 754 decimal128 in binary encoding, as digits and exponent.
fn decimal(bits: u128) -> String {
    let sign = if bits >> 127 == 1 { "-" } else { "" };
    match bits >> 122 & 0x1f {
        0x1f => return "NaN".to_owned(),
        0x1e => return format!("{sign}Infinity"),
        _ => {}
    }
    // The form with two exponent bits further down stands for no valid coefficient: zero.
    let (exponent, digits) = match bits >> 125 & 3 {
        3 => (bits >> 111 & 0x3fff, 0),
        _ => (bits >> 113 & 0x3fff, bits & ((1 << 113) - 1)),
    };
    match exponent as i64 - 6176 {
        0 => format!("{sign}{digits}"),
        exponent => format!("{sign}{digits}E{exponent}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document of these elements.
    pub fn document(elements: &[u8]) -> Vec<u8> {
        let mut bytes = (elements.len() as i32 + 5).to_le_bytes().to_vec();
        bytes.extend_from_slice(elements);
        bytes.push(0);
        bytes
    }

    fn text(elements: &[u8]) -> Result<String, String> {
        let mut out = Vec::new();
        append_document(&document(elements), &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_are_those_of_extended_json() {
        assert_eq!(
            text(b"\x01d\0\0\0\0\0\0\0\xf0\x3f\x10i\0\xff\xff\xff\xff\x0an\0").unwrap(),
            r#"{"d":1.0,"i":-1,"n":null}"#
        );
        assert_eq!(text(b"\x02s\0\x03\0\0\0\xc3\xa9\0\x08b\0\x01").unwrap(), r#"{"s":"é","b":true}"#);
        assert_eq!(text(b"\x07o\0ABCDEFGHIJKL").unwrap(), r#"{"o":{"$oid":"4142434445464748494a4b4c"}}"#);
        let uuid = [b"\x05u\0\x10\0\0\0\x04".as_slice(), &[0xab; 16]].concat();
        assert_eq!(text(&uuid).unwrap(), r#"{"u":{"$uuid":"abababab-abab-abab-abab-abababababab"}}"#);
        let list = [b"\x04l\0".as_slice(), &document(b"\x100\0\x05\0\0\0\x011\0\0\0\0\0\0\0\0\x40")].concat();
        assert_eq!(text(&list).unwrap(), r#"{"l":[5,2.0]}"#);
        let price = (150u128 | (6176 - 2) << 113).to_le_bytes();
        let price = [b"\x13p\0".as_slice(), &price].concat();
        assert_eq!(text(&price).unwrap(), r#"{"p":{"$numberDecimal":"150E-2"}}"#);
    }

    #[test]
    fn every_cut_and_every_hostile_length_is_a_fault() {
        let list = document(b"\x100\0\x05\0\0\0");
        let elements = [b"\x02s\0\x03\0\0\0ab\0\x04l\0".as_slice(), &list, b"\x05b\0\x01\0\0\0\x00z"].concat();
        let whole = document(&elements);
        let mut out = Vec::new();
        append_document(&whole, &mut out).unwrap();
        for cut in 0..whole.len() {
            assert!(append_document(&whole[..cut], &mut Vec::new()).is_err(), "{cut}");
        }
        for at in 0..whole.len() - 4 {
            for hostile in [-1i32, i32::MIN, i32::MAX, 0, 3] {
                let mut bytes = whole.clone();
                bytes[at..at + 4].copy_from_slice(&hostile.to_le_bytes());
                let _outcome = append_document(&bytes, &mut Vec::new());
            }
        }
        let mut deep = document(b"");
        for _ in 0..200 {
            deep = document(&[b"\x03d\0".as_slice(), &deep].concat());
        }
        assert!(append_document(&deep, &mut Vec::new()).unwrap_err().contains("deeper"));
        assert!(text(b"\x0cp\0").is_err() && text(b"\x55p\0").is_err());
    }
}
