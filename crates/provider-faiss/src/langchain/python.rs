//! Objects of Python's standard library and of numpy, as their pickles describe them.
//!
//! ```text
//! datetime.datetime(bytes[10], timezone?)   year BE16 | month | day | hour | minute | second | microsecond BE24
//! datetime.date(bytes[4])                   year BE16 | month | day
//! datetime.timezone(timedelta(days, seconds, microseconds))
//! uuid.UUID, state {"int": 128-bit number}
//! pathlib.PosixPath(part, ..)
//! numpy.core.multiarray.scalar(dtype, bytes)  dtype(code, False, True), state (3, byte order, ..)
//! ```
//!
//! Bytes may come as `_codecs.encode(text, "latin1")` from protocols below 3. The highest bit of a month is the fold.
//! Source: CPython `Lib/{datetime,uuid,pathlib}.py` (`__reduce__`), numpy `_core/src/multiarray/scalartypes.c.src`.

use std::fmt::Write;

use tranship_collection::json::{append_bool, append_float, append_integer, append_string};
use tranship_container::pickle::{Node, Object, Values};

/// Appends the value that `object` stands for, or says that it has none in JSON.
pub fn append(object: Object<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let class = object.class();
    let done = match class {
        "datetime.datetime" => date_time(object).map(|text| append_time(&text, out)),
        "datetime.date" => date(object).map(|text| append_time(&text, out)),
        "uuid.UUID" => uuid(object).map(|text| append_string(&text, out)),
        _ if class.starts_with("pathlib.") && class.ends_with("Path") => {
            path(object).map(|text| append_string(&text, out))
        }
        _ if class.starts_with("numpy.") && class.ends_with(".multiarray.scalar") => numpy_scalar(object, out),
        "_codecs.encode" => latin1(object).map(|bytes| tranship_collection::json::append_bytes(&bytes, out)),
        _ => None,
    };
    done.ok_or_else(|| format!("an object of the class {} has no form in JSON", class.escape_debug()))
}

/// The elements of a set of a protocol that knows no sets.
pub fn set_of(object: Object<'_>) -> Option<Values<'_>> {
    let is_set = matches!(
        object.class(),
        "builtins.set" | "__builtin__.set" | "builtins.frozenset" | "__builtin__.frozenset" | "collections.deque"
    );
    match (is_set, argument(object, 0)?) {
        (true, Node::List(values) | Node::Tuple(values) | Node::Set(values)) => Some(values),
        _ => None,
    }
}

/// A little-endian two's complement number in decimal digits.
pub fn decimal(bytes: &[u8]) -> String {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut carry = u16::from(negative);
    let mut digits: Vec<u8> = Vec::with_capacity(bytes.len());
    for byte in bytes {
        let byte = u16::from(if negative { !byte } else { *byte }) + carry;
        digits.push(byte as u8);
        carry = byte >> 8;
    }
    // Base 1e9, least significant first.
    let mut groups: Vec<u32> = vec![0];
    for byte in digits.iter().rev() {
        let mut carry = u64::from(*byte);
        for group in &mut groups {
            let value = u64::from(*group) * 256 + carry;
            *group = (value % 1_000_000_000) as u32;
            carry = value / 1_000_000_000;
        }
        if carry > 0 {
            groups.push(carry as u32);
        }
    }
    let mut text = String::from(if negative { "-" } else { "" });
    let mut groups = groups.iter().rev();
    let _first = write!(text, "{}", groups.next().copied().unwrap_or(0));
    for group in groups {
        let _next = write!(text, "{group:09}");
    }
    text
}

fn argument(object: Object<'_>, position: usize) -> Option<Node<'_>> {
    match object.arguments() {
        Node::Tuple(arguments) => arguments.get(position),
        _ => None,
    }
}

fn bytes_of(node: Node<'_>) -> Option<Vec<u8>> {
    match node {
        Node::Bytes(bytes) => Some(bytes.to_vec()),
        Node::Object(object) if object.class() == "_codecs.encode" => latin1(object),
        _ => None,
    }
}

fn latin1(object: Object<'_>) -> Option<Vec<u8>> {
    let (Node::Text(text), Some(Node::Text("latin1"))) = (argument(object, 0)?, argument(object, 1)) else {
        return None;
    };
    text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
}

fn append_time(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"$time":"#);
    append_string(text, out);
    out.push(b'}');
}

fn date_time(object: Object<'_>) -> Option<String> {
    let bytes = bytes_of(argument(object, 0)?)?;
    let [year_high, year_low, month, day, hour, minute, second, a, b, c] = *bytes.as_slice() else { return None };
    let mut text = day_text(year_high, year_low, month & 0x7f, day)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let _time = write!(text, "T{hour:02}:{minute:02}:{second:02}");
    let microseconds = u32::from_be_bytes([0, a, b, c]);
    match microseconds {
        0 => {}
        1..1_000_000 => drop(write!(text, ".{microseconds:06}")),
        _ => return None,
    }
    match argument(object, 1) {
        None | Some(Node::None) => Some(text),
        Some(Node::Object(zone)) if zone.class() == "datetime.timezone" => {
            let Some(Node::Object(offset)) = argument(zone, 0) else { return None };
            text.push_str(&offset_text(offset)?);
            Some(text)
        }
        Some(_) => None,
    }
}

fn date(object: Object<'_>) -> Option<String> {
    let bytes = bytes_of(argument(object, 0)?)?;
    let [year_high, year_low, month, day] = *bytes.as_slice() else { return None };
    day_text(year_high, year_low, month, day)
}

fn day_text(year_high: u8, year_low: u8, month: u8, day: u8) -> Option<String> {
    let year = u16::from_be_bytes([year_high, year_low]);
    let sensible = (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    sensible.then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// `Z` or `+hh:mm`; offsets of seconds have no RFC 3339 text.
fn offset_text(offset: Object<'_>) -> Option<String> {
    let part = |position| match argument(offset, position) {
        Some(Node::Int(number)) if number.abs() < 1_000_000 => Some(number),
        _ => None,
    };
    let seconds = part(0)? * 86_400 + part(1)?;
    if seconds == 0 {
        return Some("Z".to_owned());
    }
    let minutes = (seconds % 60 == 0 && part(2)? == 0 && seconds.abs() < 86_400).then_some(seconds.abs() / 60)?;
    let sign = if seconds < 0 { '-' } else { '+' };
    Some(format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60))
}

fn uuid(object: Object<'_>) -> Option<String> {
    let Node::Dict(state) = object.state() else { return None };
    let number = match state.get("int")? {
        Node::Int(number) => u128::try_from(number).ok()?,
        Node::Long(bytes) => {
            let (value, rest) = bytes.split_at(bytes.len().min(16));
            if rest.iter().any(|byte| *byte != 0) {
                return None;
            }
            value.iter().rev().fold(0u128, |number, byte| number << 8 | u128::from(*byte))
        }
        _ => return None,
    };
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    Some([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

fn path(object: Object<'_>) -> Option<String> {
    let Node::Tuple(parts) = object.arguments() else { return None };
    let separator = if object.class().contains("Windows") { '\\' } else { '/' };
    let mut text = String::new();
    for part in parts.iter() {
        let Node::Text(part) = part else { return None };
        if !text.is_empty() && !text.ends_with(separator) {
            text.push(separator);
        }
        text.push_str(part);
    }
    Some(text)
}

fn numpy_scalar(object: Object<'_>, out: &mut Vec<u8>) -> Option<()> {
    let Node::Object(dtype) = argument(object, 0)? else { return None };
    let Some(Node::Text(code)) = argument(dtype, 0) else { return None };
    if let Node::Tuple(state) = dtype.state()
        && let Some(Node::Text(">")) = state.get(1)
    {
        return None;
    }
    let bytes = bytes_of(argument(object, 1)?)?;
    match (code, bytes.as_slice()) {
        ("f8", [..]) => append_float(f64::from_le_bytes(bytes.try_into().ok()?), out),
        ("f4", [..]) => append_float(f32::from_le_bytes(bytes.try_into().ok()?).into(), out),
        ("f2", [low, high]) => append_float(half::f16::from_le_bytes([*low, *high]).to_f64(), out),
        ("b1", [byte]) => append_bool(*byte != 0, out),
        ("i1" | "i2" | "i4" | "i8", all) if matches!(all.len(), 1 | 2 | 4 | 8) => {
            out.extend_from_slice(decimal(all).as_bytes());
        }
        ("u1" | "u2" | "u4" | "u8", all) if matches!(all.len(), 1 | 2 | 4 | 8) => {
            let number = all.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            append_integer(number.into(), out);
        }
        _ => return None,
    }
    Some(())
}
