//! Records as hashes.
//!
//! ```text
//! HSET key  vector fields: raw, little-endian  [document text]  metadata JSON text or nothing  scalars by their keys
//! ```
//! The scalars stand beside the metadata so that an index can filter by them: strings as they are, numbers and booleans
//! as JSON spells them. They hold nothing that the metadata does not, so reading takes the metadata and holds the scalars
//! against it.
//!
//! Errors are reasons for a reader to locate: a key of another collection, a field that is not what it must be.

use half::{bf16, f16};
use tranship_collection::batch::RowText;
use tranship_collection::json::{Entries, check_object};
use tranship_collection::{BatchBuilder, BatchView, Element, Fault, IdKind, VectorValue};

use super::commands;
use super::layout::Layout;

/// Our own entries in the metadata begin so; nobody filters by them.
const RESERVED: &str = "_tranship_";

/// Appends the command for row `row` of `view`.
pub fn append_command(layout: &Layout, view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let key = format!("{}{}", layout.namespace_prefix(view.namespace(row).unwrap_or("")), view.id(row));
    let mut arguments: Vec<Vec<u8>> = vec![b"HSET".to_vec(), key.into_bytes()];
    for (column, spec) in view.vector_specs().enumerate() {
        let field = layout.vectors.iter().find(|vector| vector.name == spec.name);
        if let (Some(field), Some(value)) = (field, view.vector(column, row)) {
            arguments.extend([field.field.clone().into_bytes(), raw(&value, field.element)]);
        }
    }
    if let Some(text) = view.document(row) {
        arguments.extend([layout.document.clone().into_bytes(), text.as_bytes().to_vec()]);
    }
    let metadata = view.metadata(row).unwrap_or("");
    arguments.extend([layout.metadata.clone().into_bytes(), metadata.as_bytes().to_vec()]);
    for (key, text) in scalars(layout, metadata)? {
        arguments.extend([key.into_bytes(), text.into_bytes()]);
    }
    commands::append(&arguments, out);
    Ok(())
}

/// Appends the record of an `HSET`.
pub fn append_arguments(layout: &Layout, arguments: &[&[u8]], builder: &mut BatchBuilder) -> Result<(), String> {
    let [command, key, fields @ ..] = arguments else { return Err("a command without a key".to_owned()) };
    let (pairs, rest) = fields.as_chunks::<2>();
    if *command != b"HSET" || !rest.is_empty() {
        return Err("the command is no HSET".to_owned());
    }
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    append_record(layout, key, &pairs, builder)
}

/// Appends the record that the hash `key` with these fields is.
pub fn append_record(
    layout: &Layout,
    key: &[u8],
    fields: &[(&[u8], &[u8])],
    builder: &mut BatchBuilder,
) -> Result<(), String> {
    let key = std::str::from_utf8(key).map_err(|_| "the key is not valid UTF-8")?;
    let rest = key.strip_prefix(layout.prefix().as_str()).ok_or("the key is of another collection")?;
    let (namespace, id) = layout.split_key(rest)?;
    let get = |name: &str| fields.iter().find(|(own, _)| *own == name.as_bytes()).map(|(_, value)| *value);
    let text = |name: &str| match get(name).map(std::str::from_utf8) {
        Some(Err(_)) => Err(format!("`{name}` is not valid UTF-8")),
        Some(Ok(text)) => Ok(Some(text)),
        None => Ok(None),
    };
    let mut known = 1;
    for vector in &layout.vectors {
        let Some(bytes) = get(&vector.field) else { continue };
        let wanted = vector.dim * vector.element.bytes();
        if bytes.len() != wanted {
            return Err(format!("`{}` has {} bytes, its vector has {wanted}", vector.field, bytes.len()));
        }
        let column = builder.vector_index(&vector.name).ok_or("the collection has no such vector")?;
        builder.push_bytes(column, bytes);
        known += 1;
    }
    let document = text(&layout.document)?;
    let metadata = text(&layout.metadata)?.ok_or_else(|| format!("there is no `{}`", layout.metadata))?;
    if !metadata.is_empty() {
        check_object(metadata, &mut Vec::new()).map_err(|fault| format!("`{}`: {fault}", layout.metadata))?;
    }
    let scalars = scalars(layout, metadata).map_err(|fault| fault.to_string())?;
    if let Some((key, _)) = scalars.iter().find(|(key, wanted)| get(key) != Some(wanted.as_bytes())) {
        return Err(format!("the field `{key}` is not what the metadata in `{}` says", layout.metadata));
    }
    known += scalars.len() + usize::from(document.is_some());
    if fields.len() != known {
        let is_known = |name: &str| layout.is_own(name) || scalars.iter().any(|(key, _)| key == name);
        let other = fields.iter().map(|(name, _)| String::from_utf8_lossy(name)).find(|name| !is_known(name));
        return Err(format!("the field `{}` is none that tranship wrote", other.unwrap_or_default()));
    }
    let metadata = Some(metadata).filter(|text| !text.is_empty());
    let row = RowText { id, id_kind: IdKind::Text, namespace: namespace.as_deref(), document, metadata };
    builder.finish_row(row).map_err(|fault| fault.to_string())
}

/// The scalars of the metadata, as fields.
fn scalars(layout: &Layout, metadata: &str) -> Result<Vec<(String, String)>, Fault> {
    if metadata.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for (key, value) in Entries::parse(metadata)?.0 {
        if key.is_empty() || key.starts_with(RESERVED) || layout.is_own(&key) {
            continue;
        }
        let text = value.get();
        match text.as_bytes().first() {
            Some(b'"') => {
                let own = serde_json::from_str(text).map_err(|e| Fault::BadJson { reason: e.to_string() })?;
                found.push((key.into_owned(), own));
            }
            Some(b't' | b'f' | b'-' | b'0'..=b'9') => found.push((key.into_owned(), text.to_owned())),
            _ => {}
        }
    }
    Ok(found)
}

/// The elements as they stand in a field.
pub fn raw(value: &VectorValue<'_>, element: Element) -> Vec<u8> {
    match value {
        VectorValue::Dense(values) => elements(values, element),
        VectorValue::Widened(values) => elements(values, element),
        // Left out by the rules.
        VectorValue::Sparse(..) | VectorValue::Multi(_) | VectorValue::Bits(_) => Vec::new(),
    }
}

fn elements(values: &[f32], element: Element) -> Vec<u8> {
    match element {
        Element::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Element::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
        Element::BF16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
        Element::I8 => values.iter().map(|value| (*value as i8).cast_unsigned()).collect(),
        Element::U8 => values.iter().map(|value| *value as u8).collect(),
    }
}
