//! The ways in which exports write a vector, and the generic ones that they become.
//!
//! | written | is |
//! |---|---|
//! | `[1, 2.5]` | itself |
//! | `[{"$numberDouble": "1.0"}, ..]` | its numbers |
//! | `{"type"?: "tensor<float>(x[2])", "values": [..] or "3f80000040000000"}` | its values; hex is big-endian by cell type |
//! | `{"$binary": {"base64": .., "subType": "9"}}` | 27 00 f32, 03 00 i8, little-endian |
//! | `"AACAPw=="` | f32, little-endian (only where a vector is expected) |
//!
//! What is none of these goes on as it is and is refused where records are checked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tranship_collection::json::{Entries, Items};
use tranship_kernels::print_f32_array;

/// Elements of a value that is certainly a vector; `None` for everything else.
pub fn dims(text: &str) -> Option<usize> {
    match text.as_bytes().first()? {
        b'[' if is_numbers(text) => Some(text.bytes().filter(|byte| *byte == b',').count() + 1),
        b'[' => extended(text).map(|numbers| numbers.len()),
        b'{' => decoded(text).map(|values| values.len()),
        _ => None,
    }
}

/// Appends a vector in the generic way.
pub fn append(text: &str, out: &mut Vec<u8>) {
    match text.as_bytes().first() {
        Some(b'[') if !is_numbers(text) => {
            if let Some(numbers) = extended(text) {
                out.push(b'[');
                out.extend_from_slice(numbers.join(",").as_bytes());
                return out.push(b']');
            }
        }
        Some(b'{') => {
            if let Some(values) = decoded(text) {
                return print(&values, out);
            }
        }
        Some(b'"') => {
            if let Some(values) = base64_floats(text) {
                return print(&values, out);
            }
        }
        _ => {}
    }
    out.extend(text.bytes().map(|byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
}

/// Appends a sparse vector with its indices in order.
pub fn append_sparse(text: &str, out: &mut Vec<u8>) {
    #[derive(Deserialize)]
    struct Pair<'a> {
        indices: Vec<u64>,
        #[serde(borrow)]
        values: Vec<&'a serde_json::value::RawValue>,
    }
    match serde_json::from_str::<Pair<'_>>(text) {
        Ok(pair) if pair.indices.len() == pair.values.len() => {
            let mut both: Vec<(u64, &str)> =
                pair.indices.iter().copied().zip(pair.values.iter().map(|value| value.get())).collect();
            both.sort_by_key(|(index, _)| *index);
            let indices: Vec<String> = both.iter().map(|(index, _)| index.to_string()).collect();
            let values: Vec<&str> = both.iter().map(|(_, value)| *value).collect();
            let text = format!("{{\"indices\":[{}],\"values\":[{}]}}", indices.join(","), values.join(","));
            out.extend_from_slice(text.as_bytes());
        }
        _ => out.extend(text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r'))),
    }
}

/// True for a flat array of plain numbers that is not empty.
fn is_numbers(text: &str) -> bool {
    let inner = text.get(1..).unwrap_or_default();
    let first = inner.bytes().find(|byte| !byte.is_ascii_whitespace());
    first.is_some_and(|byte| byte == b'-' || byte.is_ascii_digit())
        && !inner.bytes().any(|byte| matches!(byte, b'[' | b'{' | b'"' | b'n' | b't' | b'f'))
}

/// The numbers of an array in which some are written as Extended JSON has them.
fn extended(text: &str) -> Option<Vec<String>> {
    let Items(items) = serde_json::from_str(text).ok()?;
    let number = |text: &str| -> Option<String> {
        if !text.starts_with('{') {
            return text.parse::<f64>().ok().map(|_| text.to_owned());
        }
        let entries = Entries::parse(text).ok()?;
        let [(key, value)] = entries.0.as_slice() else { return None };
        let known = ["$numberDouble", "$numberInt", "$numberLong"].contains(&key.as_ref());
        let text: String = serde_json::from_str(value.get()).ok().filter(|_| known)?;
        text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|_| text)
    };
    let numbers: Vec<String> = items.iter().map(|item| number(item.get())).collect::<Option<_>>()?;
    (!numbers.is_empty()).then_some(numbers)
}

fn decoded(text: &str) -> Option<Vec<f32>> {
    let entries = Entries::parse(text).ok()?;
    let get = |key: &str| entries.0.iter().find(|(own, _)| own == key).map(|(_, value)| value.get());
    if let Some(binary) = get("$binary") {
        return bson_vector(binary);
    }
    let known = entries.0.iter().all(|(key, _)| key == "type" || key == "values");
    let values = get("values").filter(|_| known)?;
    if values.starts_with('[') {
        let mut floats = Vec::new();
        tranship_kernels::scan_f32_array(values.as_bytes(), 0, &mut floats).ok()?;
        return (!floats.is_empty()).then_some(floats);
    }
    let hex: String = serde_json::from_str(values).ok()?;
    hex_floats(&hex, get("type").unwrap_or("\"tensor<float>"))
}

/// Cells in hex, as Vespa writes them: the most significant digit first.
fn hex_floats(hex: &str, tensor: &str) -> Option<Vec<f32>> {
    let digits = match tensor {
        tensor if tensor.contains("<int8>") => 2,
        tensor if tensor.contains("<bfloat16>") => 4,
        tensor if tensor.contains("<float>") => 8,
        _ => return None,
    };
    if hex.is_empty() || !hex.len().is_multiple_of(digits) || !hex.is_ascii() {
        return None;
    }
    let cell = |cell: &[u8]| {
        let bits = u32::from_str_radix(std::str::from_utf8(cell).ok()?, 16).ok()?;
        Some(match digits {
            2 => f32::from(bits as u8 as i8),
            4 => f32::from_bits(bits << 16),
            _ => f32::from_bits(bits),
        })
    };
    hex.as_bytes().chunks(digits).map(cell).collect()
}

/// MongoDB's vectors: element type, padding, elements.
fn bson_vector(text: &str) -> Option<Vec<f32>> {
    #[derive(Deserialize)]
    struct Binary {
        base64: String,
        #[serde(rename = "subType")]
        sub_type: String,
    }
    let binary: Binary = serde_json::from_str(text).ok()?;
    let bytes = STANDARD.decode(binary.base64).ok().filter(|_| binary.sub_type.trim_start_matches('0') == "9")?;
    match bytes.as_slice() {
        [0x27, 0, floats @ ..] => words(floats),
        [0x03, 0, bytes @ ..] if !bytes.is_empty() => Some(bytes.iter().map(|byte| f32::from(*byte as i8)).collect()),
        _ => None,
    }
}

fn base64_floats(text: &str) -> Option<Vec<f32>> {
    let text: String = serde_json::from_str(text).ok()?;
    words(&STANDARD.decode(text).ok()?)
}

fn words(bytes: &[u8]) -> Option<Vec<f32>> {
    let (words, rest) = bytes.as_chunks::<4>();
    let floats: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    (rest.is_empty() && !floats.is_empty() && floats.iter().all(|value| value.is_finite())).then_some(floats)
}

/// Prints floats; what is not finite has no number in JSON and is refused where records are checked.
fn print(values: &[f32], out: &mut Vec<u8>) {
    match values.iter().all(|value| value.is_finite()) {
        true => print_f32_array(values, out),
        false => out.extend_from_slice(b"[NaN]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> String {
        let mut out = Vec::new();
        append(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_way_of_writing_a_vector_has_its_dimensions_and_values() {
        let same = ["[1, -2.5]", "[1,\"x\"]", "[]", "{\"cells\":{\"a\":1}}", "\"no base64\"", "[[1]]", "null"];
        same.iter().for_each(|text| assert_eq!(generic(text), *text));
        assert_eq!(generic(r#"[{"$numberDouble":"0.5"},{"$numberInt":"3"},2]"#), "[0.5,3,2]");
        assert_eq!(generic(r#"{"type":"tensor<float>(x[2])","values":[1,2]}"#), "[1.0,2.0]");
        assert_eq!(generic(r#"{"type":"tensor<float>(x[2])","values":"3f80000040000000"}"#), "[1.0,2.0]");
        assert_eq!(generic(r#"{"type":"tensor<int8>(x[2])","values":"01ff"}"#), "[1.0,-1.0]");
        assert_eq!(generic(r#"{"type":"tensor<bfloat16>(x[1])","values":"3f80"}"#), "[1.0]");
        assert_eq!(generic(r#"{"$binary":{"base64":"JwAAAIA/AAAAQA==","subType":"09"}}"#), "[1.0,2.0]");
        assert_eq!(generic(r#"{"$binary":{"base64":"AwAB/w==","subType":"9"}}"#), "[1.0,-1.0]");
        assert_eq!(generic("\"AACAPwAAAEA=\""), "[1.0,2.0]");
        assert_eq!(dims("[1, 2,3]"), Some(3));
        assert_eq!(dims("[1, null]").or(dims("[]")).or(dims("\"AACAPw==\"")).or(dims("{\"a\":1}")), None);
    }
}
