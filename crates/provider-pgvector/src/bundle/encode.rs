//! Writes shaped records as rows of COPY BINARY; the format stands in `rows::binary` and `values::binary`.
//!
//! Invariant: one row per record, one field per column of the layout, NULL for what the record does not have. A metadata
//! entry whose column has another type than its value stays in the jsonb, so no entry stands in both.

use std::sync::Arc;

use half::f16;
use tranship_collection::json::{Entries, Items, ObjectText};
use tranship_collection::{BatchView, CollectionSchema, Fault, VectorValue};
use tranship_connector::mapping::nonzero;
use tranship_connector::native::{FieldType, field_type};
use tranship_connector::{Error, Result};

use super::layout::Layout;

/// How a file begins: signature, no flags, no extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// How it ends.
pub const TRAILER: &[u8] = &[0xff, 0xff];

/// A part of a record, or why it is no JSON.
type Fitted<T> = std::result::Result<T, Fault>;

/// NULL.
const NULL: [u8; 4] = [0xff; 4];

/// Encodes the rows of one layout.
pub struct Encoder {
    layout: Layout,
    columns: i16,
    /// Position of each of the layout's vectors in the batches.
    vectors: Vec<usize>,
    rest: ObjectText,
}

impl Encoder {
    /// For batches of `stored`.
    pub fn new(layout: Layout, stored: &Arc<CollectionSchema>) -> Self {
        let position =
            |name: &String| stored.stored_vectors().position(|spec| spec.name == *name).unwrap_or(usize::MAX);
        let vectors = layout.vectors.iter().map(|vector| position(&vector.name)).collect();
        let columns = i16::try_from(layout.columns().len()).unwrap_or(i16::MAX);
        Encoder { layout, columns, vectors, rest: ObjectText::default() }
    }

    /// Appends row `row` of `view`.
    pub fn append(&mut self, view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let broken = |fault: Fault| Error::bug(format!("record `{}`: {fault}", view.id(row)));
        out.extend_from_slice(&self.columns.to_be_bytes());
        if self.layout.namespaced {
            append_bytes(view.namespace(row).unwrap_or("").as_bytes(), out)?;
        }
        match self.layout.bigint {
            true => {
                let id: i64 = view.id(row).parse().map_err(|_| Error::bug(format!("{} is no bigint", view.id(row))))?;
                append_bytes(&id.to_be_bytes(), out)?;
            }
            false => append_bytes(view.id(row).as_bytes(), out)?,
        }
        for (column, place) in self.layout.vectors.iter().zip(&self.vectors) {
            match view.vector(*place, row) {
                Some(value) => append_field(out, |out| append_vector(&value, column.half, column.dim, out))?,
                None => out.extend_from_slice(&NULL),
            }
        }
        let metadata = self.append_fields(view.metadata(row), out).map_err(broken)?;
        match view.document(row) {
            Some(text) => append_bytes(text.as_bytes(), out)?,
            None => out.extend_from_slice(&NULL),
        }
        match metadata {
            Some(text) => append_field(out, |out| {
                out.push(1);
                out.extend_from_slice(text.as_bytes());
            }),
            None => {
                out.extend_from_slice(&NULL);
                Ok(())
            }
        }
    }

    /// Appends the typed fields; what is left of the metadata is for the jsonb.
    fn append_fields<'a>(&'a mut self, metadata: Option<&'a str>, out: &mut Vec<u8>) -> Fitted<Option<&'a str>> {
        if self.layout.fields.is_empty() {
            return Ok(metadata);
        }
        let entries = metadata.map(Entries::parse).transpose()?.unwrap_or(Entries(Vec::new())).0;
        for field in &self.layout.fields {
            let value = entries.iter().find(|(key, _)| **key == field.key).map(|(_, value)| value.get());
            match value.filter(|text| field_type(text) == Some(field.kind)) {
                Some(text) => append_typed(text, field.kind, out)?,
                None => out.extend_from_slice(&NULL),
            }
        }
        self.rest.clear();
        for (key, value) in &entries {
            let is_apart = |kind: FieldType| self.layout.fields.iter().any(|f| f.key == **key && f.kind == kind);
            if !field_type(value.get()).is_some_and(is_apart) {
                self.rest.key(key).extend_from_slice(value.get().as_bytes());
            }
        }
        let rest = self.rest.close()?;
        Ok(rest.filter(|_| metadata.is_some()))
    }
}

fn append_field(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let len = i32::try_from(out.len() - start - 4).map_err(|_| {
        Error::limit("a field of a record has more than 2 GB").hint("set the record aside with --max-rejects")
    })?;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    Ok(())
}

fn append_bytes(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    append_field(out, |out| out.extend_from_slice(bytes))
}

fn append_vector(value: &VectorValue<'_>, half: bool, dim: u32, out: &mut Vec<u8>) {
    match value {
        VectorValue::Dense(values) | VectorValue::Multi(values) => append_floats(values, half, out),
        VectorValue::Widened(values) => append_floats(values, half, out),
        VectorValue::Bits(bytes) => {
            out.extend_from_slice(&dim.to_be_bytes());
            out.extend_from_slice(bytes);
        }
        VectorValue::Sparse(indices, values) => {
            let count = nonzero(indices, values).count() as u32;
            [dim, count, 0].iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
            nonzero(indices, values).for_each(|(index, _)| out.extend_from_slice(&index.to_be_bytes()));
            nonzero(indices, values).for_each(|(_, value)| out.extend_from_slice(&value.to_be_bytes()));
        }
    }
}

fn append_floats(values: &[f32], half: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&(values.len() as u16).to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    match half {
        true => values.iter().for_each(|value| out.extend_from_slice(&f16::from_f32(*value).to_be_bytes())),
        false => values.iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes())),
    }
}

/// Appends the JSON `text`, which is of that type.
fn append_typed(text: &str, kind: FieldType, out: &mut Vec<u8>) -> Fitted<()> {
    let element = match kind {
        FieldType::Bools => FieldType::Bool,
        FieldType::Integers => FieldType::Integer,
        FieldType::Floats => FieldType::Float,
        FieldType::Texts => FieldType::Text,
        single => return append_single(text, single, out),
    };
    let Items(items) = serde_json::from_str(text).map_err(|e| Fault::BadJson { reason: e.to_string() })?;
    let mut array = Vec::new();
    // One dimension, no nulls, counted from 1.
    [1, 0, type_oid(element), items.len() as u32, 1].iter().for_each(|word| array.extend(word.to_be_bytes()));
    items.iter().try_for_each(|item| append_single(item.get(), element, &mut array))?;
    append_value(&array, out)
}

fn append_single(text: &str, kind: FieldType, out: &mut Vec<u8>) -> Fitted<()> {
    let bad = |reason: String| Fault::BadJson { reason };
    match kind {
        FieldType::Bool => append_value(&[u8::from(text == "true")], out),
        FieldType::Integer => {
            let value: i64 = text.parse().map_err(|_| bad(format!("{text} is no bigint")))?;
            append_value(&value.to_be_bytes(), out)
        }
        FieldType::Float => {
            let value: f64 = text.parse().map_err(|_| bad(format!("{text} is no double")))?;
            append_value(&value.to_be_bytes(), out)
        }
        _ => {
            let value: String = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
            append_value(value.as_bytes(), out)
        }
    }
}

fn append_value(bytes: &[u8], out: &mut Vec<u8>) -> Fitted<()> {
    append_bytes(bytes, out).map_err(|e| Fault::BadJson { reason: e.to_string() })
}

/// PostgreSQL's numbers of its own types.
fn type_oid(kind: FieldType) -> u32 {
    match kind {
        FieldType::Bool | FieldType::Bools => 16,
        FieldType::Integer | FieldType::Integers => 20,
        FieldType::Text | FieldType::Texts => 25,
        FieldType::Float | FieldType::Floats => 701,
    }
}
