//! Writes records as points of a request body.
//!
//! ```text
//! {"id":I,"vector":V,"payload":{metadata entries verbatim, reserved entries}}
//! V = [..] if the unnamed vector is the only one, else {name: [..] | [[..],..] | {"indices":[..],"values":[..]}};
//!     {} for a record without vectors
//! ```
//!
//! Invariant: what is written can be undone. The metadata's text is spliced in, never printed anew; a record that
//! already uses a reserved key, or holds a vector that Qdrant refuses, is an error that names it.

use tranship_collection::json::{Entries, append_string};
use tranship_collection::{BatchView, CollectionSchema, VectorValue};
use tranship_connector::{Error, ErrorKind, Result};
use tranship_kernels::{print_f32, print_f32_array};

use crate::dialect::{self, EXACT_KEY, ID_KEY, NAMESPACE_KEY, PointId};

/// The one f32 whose shortest text, rounded first to f64, becomes its neighbour (found by trying all of them).
const ROUNDS_TWICE: u32 = 0x15ae_43fd;
const ROUNDS_TWICE_TEXT: &str = "7.0385307e-26";

/// Encodes the records of one collection.
pub struct PointEncoder {
    document_key: String,
    /// True if a record's vector is written without its name.
    unnamed: bool,
}

impl PointEncoder {
    /// An encoder for records of `schema`.
    pub fn new(schema: &CollectionSchema, document_key: &str) -> Self {
        let stored: Vec<_> = schema.stored_vectors().collect();
        PointEncoder {
            document_key: document_key.to_owned(),
            unnamed: matches!(stored.as_slice(), [only] if only.name.is_empty()),
        }
    }

    /// Appends row `row` of `view` as one point and returns its id.
    pub fn append(&self, view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) -> Result<PointId> {
        let namespace = view.namespace(row).unwrap_or("");
        let id = dialect::point_id(namespace, view.id_kind(row), view.id(row));
        out.extend_from_slice(b"{\"id\":");
        append_id(id, out);
        out.extend_from_slice(b",\"vector\":");
        self.append_vectors(view, row, out)?;
        out.extend_from_slice(b",\"payload\":");
        self.append_payload(view, row, id, namespace, out)?;
        out.push(b'}');
        Ok(id)
    }

    fn append_vectors(&self, view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.unnamed
            && let Some(value) = view.vector(0, row)
        {
            return append_vector(view, row, 0, &value, out);
        }
        let start = out.len();
        for (column, spec) in view.vector_specs().enumerate() {
            if let Some(value) = view.vector(column, row) {
                open_entry(start, &spec.name, out);
                append_vector(view, row, column, &value, out)?;
            }
        }
        close_object(start, out);
        Ok(())
    }

    fn append_payload(
        &self,
        view: &BatchView<'_>,
        row: usize,
        id: PointId,
        namespace: &str,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let start = out.len();
        if let Some(text) = view.metadata(row) {
            self.append_metadata(view.id(row), text, out)?;
        }
        if let PointId::Derived(_) = id {
            open_entry(start, ID_KEY, out);
            out.extend_from_slice(dialect::original_id(view.id_kind(row), view.id(row)).as_bytes());
        }
        if !namespace.is_empty() {
            open_entry(start, NAMESPACE_KEY, out);
            append_string(namespace, out);
        }
        if let Some(document) = view.document(row) {
            open_entry(start, &self.document_key, out);
            append_string(document, out);
        }
        close_object(start, out);
        Ok(())
    }

    /// Appends the metadata's text without its closing brace, and the entries that must be kept as text.
    fn append_metadata(&self, id: &str, text: &str, out: &mut Vec<u8>) -> Result<()> {
        let entries = Entries::parse(text)
            .map_err(|fault| Error::damaged(format!("the record `{id}` has no JSON object as metadata: {fault}")))?
            .0;
        if let Some((key, _)) = entries.iter().find(|(key, _)| self.is_reserved(key)) {
            return Err(self.reserved_key(id, key));
        }
        if depth(text) > dialect::MAX_DEPTH {
            let max = dialect::MAX_DEPTH;
            return Err(Error::limit(format!("the metadata of record `{id}` nests deeper than {max} levels"))
                .hint("flatten it, or set the record aside"));
        }
        if entries.is_empty() {
            return Ok(());
        }
        let start = out.len();
        let open = text.trim_ascii();
        out.extend_from_slice(open.strip_suffix('}').unwrap_or(open).trim_ascii_end().as_bytes());
        let mut exact = Vec::new();
        for (key, value) in entries.iter().filter(|(_, value)| !numbers_survive(value.get())) {
            open_entry(0, key, &mut exact);
            exact.extend_from_slice(value.get().as_bytes());
        }
        if !exact.is_empty() {
            exact.push(b'}');
            open_entry(start, EXACT_KEY, out);
            append_string(&String::from_utf8_lossy(&exact), out);
        }
        Ok(())
    }

    fn is_reserved(&self, key: &str) -> bool {
        key == self.document_key || [ID_KEY, NAMESPACE_KEY, EXACT_KEY].contains(&key)
    }

    fn reserved_key(&self, id: &str, key: &str) -> Error {
        let hint = if key == self.document_key {
            "choose a payload key for documents that no record uses, with --document-key NAME"
        } else {
            "this collection came out of a Qdrant that tranship had loaded; migrate the archive or bundle that it was loaded from"
        };
        Error::new(
            ErrorKind::LossDenied,
            format!("the metadata of record `{id}` already has the key `{key}`, which the bundle needs for itself"),
        )
        .hint(hint)
    }
}

fn append_id(id: PointId, out: &mut Vec<u8>) {
    match id {
        PointId::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        PointId::Uuid(uuid) | PointId::Derived(uuid) => {
            let mut buffer = uuid::Uuid::encode_buffer();
            out.push(b'"');
            out.extend_from_slice(uuid.hyphenated().encode_lower(&mut buffer).as_bytes());
            out.push(b'"');
        }
    }
}

/// Opens the object that begins at `start`, or goes on with it, up to the colon.
fn open_entry(start: usize, key: &str, out: &mut Vec<u8>) {
    out.push(if out.len() == start { b'{' } else { b',' });
    append_string(key, out);
    out.push(b':');
}

fn close_object(start: usize, out: &mut Vec<u8>) {
    if out.len() == start {
        out.push(b'{');
    }
    out.push(b'}');
}

fn append_vector(
    view: &BatchView<'_>,
    row: usize,
    column: usize,
    value: &VectorValue<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let refused = |what: &str| {
        let name = view.vector_specs().nth(column).map_or("", |spec| spec.name.as_str());
        let label = tranship_collection::fault::vector_label(name);
        Error::new(ErrorKind::LossDenied, format!("{label} of record `{}` {what}", view.id(row)))
            .hint("set such records aside before they go to Qdrant")
    };
    match value {
        VectorValue::Bits(_) => return Err(refused("is a bit vector, which Qdrant does not have")),
        VectorValue::Dense(values) => append_floats(values, out),
        VectorValue::Widened(values) => append_floats(values, out),
        VectorValue::Multi([]) => return Err(refused("is a multivector without rows, which Qdrant refuses")),
        VectorValue::Multi(values) => {
            let rows = values.chunks(view.dim(column).max(1));
            out.push(b'[');
            for (position, row) in rows.enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                append_floats(row, out);
            }
            out.push(b']');
        }
        VectorValue::Sparse(indices, values) => {
            out.extend_from_slice(b"{\"indices\":");
            let list: Vec<String> = indices.iter().map(u32::to_string).collect();
            out.extend_from_slice(format!("[{}]", list.join(",")).as_bytes());
            out.extend_from_slice(b",\"values\":");
            append_floats(values, out);
            out.push(b'}');
        }
    }
    if floats(value).iter().any(|v| !v.is_finite()) {
        return Err(refused("holds NaN or an infinity, which JSON cannot carry"));
    }
    Ok(())
}

fn floats<'a>(value: &'a VectorValue<'_>) -> &'a [f32] {
    match value {
        VectorValue::Dense(values) | VectorValue::Multi(values) | VectorValue::Sparse(_, values) => values,
        VectorValue::Widened(values) => values,
        VectorValue::Bits(_) => &[],
    }
}

/// Shortest texts that read back as the same f32, also for readers that go through f64.
fn append_floats(values: &[f32], out: &mut Vec<u8>) {
    let rounds_twice = |value: &f32| value.to_bits() & 0x7fff_ffff == ROUNDS_TWICE;
    if !values.iter().any(rounds_twice) {
        return print_f32_array(values, out);
    }
    for (position, value) in values.iter().enumerate() {
        out.push(if position == 0 { b'[' } else { b',' });
        match rounds_twice(value) {
            true if value.is_sign_negative() => out.extend_from_slice(format!("-{ROUNDS_TWICE_TEXT}").as_bytes()),
            true => out.extend_from_slice(ROUNDS_TWICE_TEXT.as_bytes()),
            false => print_f32(*value, out),
        }
    }
    out.push(b']');
}

/// True if every number in a JSON text comes back from Qdrant as it went.
fn numbers_survive(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = after_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let rest = &text[at..];
                let length = rest.bytes().position(|b| !b"+-.eE0123456789".contains(&b)).unwrap_or(rest.len());
                if !dialect::number_survives(&rest[..length]) {
                    return false;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    true
}

/// How deep brackets nest in a JSON text.
fn depth(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut deepest) = (0, 0usize, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = after_string(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        at += 1;
    }
    deepest
}

fn after_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_looked_at_and_strings_are_not() {
        assert!(numbers_survive(r#"{"a":[1,2.5,"1e999 \" 99999999999999999999"],"b":null}"#));
        assert!(!numbers_survive(r#"["x",{"y":99999999999999999999}]"#));
        assert!(!numbers_survive("997833.0085806655"));
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        assert_eq!(depth(r#"{"a":[{"[[[\"[":1}],"b":[]}"#), 3);
    }

    #[test]
    fn the_float_that_rounds_twice_is_written_so_that_it_does_not() {
        let value = f32::from_bits(ROUNDS_TWICE);
        let mut out = Vec::new();
        append_floats(&[1.0, value, -value], &mut out);
        let text = String::from_utf8(out).unwrap();
        let read: Vec<f64> = serde_json::from_str(&text).unwrap();
        assert_eq!(read.iter().map(|v| *v as f32).collect::<Vec<_>>(), [1.0, value, -value]);
        assert_ne!("7.038531e-26".parse::<f64>().unwrap() as f32, value);
    }
}
