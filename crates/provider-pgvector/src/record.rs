//! One row into one record.
//!
//! Rejects (reason and id, if it is known): NULL or unreadable ids, vectors that are none or have other dimensions, values that their type
//! does not have, texts that are no UTF-8, metadata with a key twice, defaults that only the database knows.

use std::borrow::Cow;

use tranship_collection::batch::RowText;
use tranship_collection::json::{self, Entries, ObjectText};
use tranship_collection::{BatchBuilder, IdKind};
use tranship_connector::{Error, Result};

use crate::dialect::Type;
use crate::plan::{Plan, PlannedColumn, Role};
use crate::rows::{Form, Row};
use crate::section::Section;
use crate::values::vector::{self, Sparse};
use crate::values::{Reason, binary, scalar};

/// Why a row is no record.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The id, if it is known.
    pub id: Option<String>,
    /// Why.
    pub reason: String,
}

/// Turns rows into records of one builder.
pub struct Decoder<'p> {
    plan: &'p Plan,
    builder: BatchBuilder,
    /// For each column of the plan: the field, and the vector's position in the builder.
    fields: Vec<Source>,
    width: usize,
    binary: bool,
    object: ObjectText,
    sparse: Sparse,
    bits: Vec<u8>,
    floats: Vec<f32>,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    field: Option<usize>,
    vector: Option<usize>,
    dim: Option<usize>,
}

/// The texts of a record.
#[derive(Default)]
struct Texts {
    id: Option<String>,
    namespace: Option<String>,
    document: Option<String>,
}

impl<'p> Decoder<'p> {
    /// For the rows of `section`.
    pub fn new(plan: &'p Plan, builder: BatchBuilder, section: &Section) -> Self {
        let source = |column: &PlannedColumn| {
            let field = section.columns.iter().position(|name| *name == column.name);
            let (vector, dim) = match &column.role {
                Role::Vector(name) => (builder.vector_index(name), builder.schema().vector(name).and_then(|spec| spec.dim)),
                _ => (None, None),
            };
            Source { field, vector, dim }
        };
        Decoder {
            fields: plan.columns.iter().map(source).collect(),
            plan,
            builder,
            width: section.columns.len(),
            binary: section.form == Form::Binary,
            object: ObjectText::default(),
            sparse: Sparse::default(),
            bits: Vec::new(),
            floats: Vec::new(),
        }
    }

    /// The batch so far.
    pub fn builder(&mut self) -> &mut BatchBuilder {
        &mut self.builder
    }

    /// Adds the row, or says why not. `ordinal` is the row's number where that is its id.
    pub fn decode(&mut self, row: &Row, ordinal: u64) -> Result<std::result::Result<(), Refusal>> {
        let mut texts = Texts { id: self.plan.ordinal_ids.then(|| ordinal.to_string()), ..Texts::default() };
        let done = self.append(row, &mut texts);
        if let Err(reason) = done {
            self.builder.rollback();
            return Ok(Err(Refusal { id: texts.id, reason }));
        }
        let id_kind = match self.plan.schema.ids {
            tranship_collection::IdKinds::Integer => IdKind::Integer,
            _ => IdKind::Text,
        };
        let Some(id) = &texts.id else { return Err(Error::bug("a record without an id was not refused")) };
        let metadata = match self.object.close() {
            Ok(metadata) => metadata,
            Err(fault) => {
                self.builder.rollback();
                return Ok(Err(Refusal { id: Some(id.clone()), reason: fault.to_string() }));
            }
        };
        let text = RowText {
            id,
            id_kind,
            namespace: texts.namespace.as_deref(),
            document: texts.document.as_deref(),
            metadata,
        };
        Ok(self.builder.finish_row(text).map_err(|fault| Refusal { id: Some(id.clone()), reason: fault.to_string() }))
    }

    fn append(&mut self, row: &Row, texts: &mut Texts) -> std::result::Result<(), Reason> {
        if row.len() != self.width {
            return Err(format!("{} fields where the table has {} columns", row.len(), self.width));
        }
        self.object.clear();
        // The id comes first, so that every other refusal can name it.
        let plan = self.plan;
        let sources = self.fields.iter().copied().zip(&plan.columns).enumerate();
        let (ids, others): (Vec<_>, Vec<_>) = sources.partition(|(_, (_, column))| column.role == Role::Id);
        for (_, (source, column)) in ids.into_iter().chain(others) {
            if source.field.is_some_and(|field| row.is_default(field)) {
                return Err(format!("column {:?} is left to its default, which only the database knows", column.name));
            }
            let value = source.field.and_then(|field| row.get(field));
            self.column(column, source, value, texts).map_err(|reason| format!("column {:?}: {reason}", column.name))?;
        }
        Ok(())
    }

    fn column(
        &mut self,
        column: &PlannedColumn,
        source: Source,
        value: Option<&[u8]>,
        texts: &mut Texts,
    ) -> std::result::Result<(), Reason> {
        match (&column.role, value) {
            (Role::Id, None) => Err("the id is NULL".to_owned()),
            (Role::Id, Some(value)) => {
                let text = self.text(&column.kind, value)?;
                if matches!(column.kind, Type::Integer(_) | Type::Oid) && !scalar::is_integer(&text) {
                    return Err(format!("{} is no integer", scalar::shown(&text)));
                }
                texts.id = Some(text.into_owned());
                Ok(())
            }
            (Role::Document, Some(value)) => {
                texts.document = Some(self.text(&column.kind, value)?.into_owned());
                Ok(())
            }
            (Role::Namespace, Some(value)) => {
                texts.namespace = Some(self.text(&column.kind, value)?.into_owned());
                Ok(())
            }
            (Role::Vector(_) | Role::Document | Role::Namespace | Role::Metadata, None) => Ok(()),
            (Role::Vector(_), Some(value)) => self.vector(&column.kind, source, value),
            (Role::Metadata, Some(value)) => {
                let text = self.text(&column.kind, value)?.into_owned();
                self.merge(&text)
            }
            (Role::Entry, None) => {
                self.object.key(&column.name).extend_from_slice(b"null");
                Ok(())
            }
            (Role::Entry, Some(value)) => {
                let out = self.object.key(&column.name);
                match self.binary {
                    true => binary::append(&column.kind, value, out),
                    false => scalar::append(&column.kind, utf8(value)?, out),
                }
            }
        }
    }

    fn text<'v>(&self, kind: &Type, value: &'v [u8]) -> std::result::Result<Cow<'v, str>, Reason> {
        match self.binary {
            true => Ok(Cow::Owned(binary::text(kind, value)?)),
            false => Ok(Cow::Borrowed(utf8(value)?)),
        }
    }

    fn vector(&mut self, kind: &Type, source: Source, value: &[u8]) -> std::result::Result<(), Reason> {
        let Some(index) = source.vector else {
            return Err("a vector, although none was found when the dimensions were looked for".to_owned());
        };
        match kind {
            Type::SparseVec(_) => {
                match self.binary {
                    true => self.sparse.read_binary(value)?,
                    false => self.sparse.read_text(utf8(value)?)?,
                }
                let pushed = self.builder.push_sparse(index, &self.sparse.indices, &self.sparse.values);
                pushed.map_err(|fault| fault.to_string())
            }
            Type::Bit(_) => {
                let (bits, packed) = match self.binary {
                    true => vector::binary_bits(value)?,
                    false => (vector::pack_bits(utf8(value)?, &mut self.bits)?, self.bits.as_slice()),
                };
                if source.dim != Some(bits) {
                    return Err(format!("{bits} bits, the collection has {}", source.dim.unwrap_or(0)));
                }
                self.builder.push_bytes(index, packed);
                Ok(())
            }
            // Only a whole vector reaches the builder, so that a reject says what is wrong with its text first.
            Type::HalfVec(_) => {
                self.floats.clear();
                match self.binary {
                    true => vector::binary_halves(value, &mut self.floats)?,
                    false => vector::floats(value, &mut self.floats)?,
                }
                self.builder.push_dense(index, &self.floats);
                Ok(())
            }
            _ => {
                let out = self.builder.dense_values(index);
                match self.binary {
                    true => vector::binary_floats(value, out),
                    false => vector::floats(value, out),
                }
            }
        }
    }

    /// Adds the entries of the metadata column's object to the record's.
    fn merge(&mut self, text: &str) -> std::result::Result<(), Reason> {
        let mut scratch = Vec::new();
        if text.trim() == "null" {
            return Ok(());
        }
        json::check_object(text, &mut scratch).map_err(|fault| fault.to_string())?;
        let entries = Entries::parse(text).map_err(|fault| fault.to_string())?;
        for (key, value) in &entries.0 {
            if self.plan.columns.iter().any(|column| column.role == Role::Entry && column.name == **key) {
                return Err(format!("the key {key:?} is also the name of a column"));
            }
            self.object.key(key).extend_from_slice(value.get().as_bytes());
        }
        Ok(())
    }
}

fn utf8(value: &[u8]) -> std::result::Result<&str, Reason> {
    std::str::from_utf8(value).map_err(|error| format!("no UTF-8 at byte {}", error.valid_up_to()))
}

