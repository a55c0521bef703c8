//! Vectors as BSON binary of subtype 9, in Extended JSON.
//!
//! ```text
//! {"$binary":{"base64":"..","subType":"09"}}
//! payload: 27 00  f32 little-endian, one after another
//!          03 00  i8
//!          10 pp  bits, the most significant of each byte first; pp bits of the last byte are padding
//! ```
//!
//! Source: the specification of BSON binary vectors. Invariant: floats and bytes keep every bit.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tranship_bundle::json::display;
use tranship_bundle::rows::Fitted;
use tranship_collection::json::Entries;
use tranship_collection::{BatchBuilder, Element, VectorKind, VectorSpec, VectorValue};

const FLOAT32: u8 = 0x27;
const INT8: u8 = 0x03;
const PACKED_BIT: u8 = 0x10;

/// Appends a vector; `false` for a kind that has no such form.
pub fn append(value: &VectorValue<'_>, spec: &VectorSpec, out: &mut Vec<u8>) -> bool {
    let payload = match value {
        VectorValue::Dense(values) => floats(values),
        VectorValue::Widened(values) if spec.element == Element::I8 => {
            [INT8, 0].into_iter().chain(values.iter().map(|v| *v as i8 as u8)).collect()
        }
        VectorValue::Widened(values) => floats(values),
        VectorValue::Bits(bytes) => {
            let padding = (8 - spec.dim.unwrap_or(0) % 8) % 8;
            [PACKED_BIT, padding as u8].into_iter().chain(bytes.iter().copied()).collect()
        }
        _ => return false,
    };
    out.extend_from_slice(b"{\"$binary\":{\"base64\":\"");
    out.extend_from_slice(STANDARD.encode(payload).as_bytes());
    out.extend_from_slice(b"\",\"subType\":\"09\"}}");
    true
}

fn floats(values: &[f32]) -> Vec<u8> {
    [FLOAT32, 0].into_iter().chain(values.iter().flat_map(|value| value.to_le_bytes())).collect()
}

/// Takes a vector into a column.
pub fn push(builder: &mut BatchBuilder, column: usize, spec: &VectorSpec, text: &str) -> Fitted<()> {
    let payload = payload(text)?;
    let (header, data) = payload.split_at_checked(2).ok_or("a vector without header")?;
    match (header[0], spec.kind) {
        (FLOAT32, VectorKind::Dense) if data.len().is_multiple_of(4) => {
            let (values, _) = data.as_chunks::<4>();
            builder.dense_values(column).extend(values.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
        (INT8, VectorKind::Dense) => {
            builder.dense_values(column).extend(data.iter().map(|byte| f32::from(*byte as i8)));
        }
        (PACKED_BIT, VectorKind::Bits) => {
            let bits = data.len() * 8 - usize::from(header[1]).min(data.len() * 8);
            if Some(bits) != spec.dim {
                return Err(format!("a vector of {bits} bits"));
            }
            builder.push_bytes(column, data);
        }
        (kind, _) => return Err(format!("a vector of type {kind:#04x} and {} bytes", data.len())),
    }
    if data.is_empty() { Err("a vector is empty".to_owned()) } else { Ok(()) }
}

fn payload(text: &str) -> Fitted<Vec<u8>> {
    let inner = |text: &str, key: &str| {
        let entries = Entries::parse(text).map_err(display)?.0;
        let found = entries.iter().find(|(own, _)| own == key).map(|(_, value)| value.get().to_owned());
        found.ok_or_else(|| format!("a vector without `{key}`"))
    };
    let binary = inner(text, "$binary")?;
    let kind = tranship_bundle::json::text(&inner(&binary, "subType")?)?;
    if kind.trim_start_matches('0') != "9" {
        return Err(format!("a vector of BSON subtype {kind}"));
    }
    let base64 = tranship_bundle::json::text(&inner(&binary, "base64")?)?;
    STANDARD.decode(base64).map_err(|e| format!("vector: {e}"))
}
