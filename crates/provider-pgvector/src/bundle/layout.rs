//! The columns of the table that a bundle loads: settled once, kept in `mapping.json`, used by all that write and read.
//!
//! ```text
//! [namespace text] | id bigint or text | vectors | typed fields | document text | metadata jsonb
//! ```
//!
//! Invariant: no two columns have one name, and every name is one that PostgreSQL takes quoted. A vector keeps its own
//! name if it can; the unnamed one is called `embedding`. Errors: none but a layout that is not ours (damaged).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{Element, IdKinds, VectorKind, VectorSpec};
use tranship_connector::native::FieldType;
use tranship_connector::{Error, Grade, Loss, Mapping, Result, Survey};

use crate::dialect::{self, Type};

/// Column of the namespace.
pub const NAMESPACE: &str = "namespace";
/// Column of the id.
pub const ID: &str = "id";
/// Column of the document.
pub const DOCUMENT: &str = "document";
/// Column of the metadata.
pub const METADATA: &str = "metadata";

/// The columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// There is a column for the namespace.
    pub namespaced: bool,
    /// Ids are bigint and not text.
    pub bigint: bool,
    /// The vectors, in the order of the stored schema.
    pub vectors: Vec<VectorColumn>,
    /// Metadata keys that are columns of their own.
    pub fields: Vec<FieldColumn>,
}

/// The column of a vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorColumn {
    /// The vector.
    pub name: String,
    /// The column.
    pub column: String,
    /// Its kind.
    pub kind: VectorKind,
    /// Stored in half precision, which is its own.
    pub half: bool,
    /// Dimensions.
    pub dim: u32,
}

/// The column of a metadata key; both have one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldColumn {
    /// The key.
    pub key: String,
    /// The type of all its values.
    pub kind: FieldType,
}

impl Layout {
    /// The layout that a mapping holds.
    pub fn of(mapping: &Mapping) -> Result<Self> {
        Layout::deserialize(&mapping.form)
            .map_err(|e| Error::damaged("mapping.json describes no table").hint("write the bundle anew").caused_by(e))
    }

    /// The names of all columns with their types, in order.
    pub fn columns(&self) -> Vec<(&str, String)> {
        let mut columns = Vec::new();
        if self.namespaced {
            columns.push((NAMESPACE, "text".to_owned()));
        }
        columns.push((ID, if self.bigint { "bigint" } else { "text" }.to_owned()));
        columns.extend(self.vectors.iter().map(|vector| (vector.column.as_str(), vector.kind().to_string())));
        columns.extend(self.fields.iter().map(|field| (field.key.as_str(), field.kind().to_string())));
        columns.extend([(DOCUMENT, "text".to_owned()), (METADATA, "jsonb".to_owned())]);
        columns
    }

    /// The names of all columns, for a COPY.
    pub fn column_list(&self) -> String {
        let names: Vec<String> = self.columns().iter().map(|(name, _)| dialect::identifier(name)).collect();
        names.join(", ")
    }
}

impl VectorColumn {
    /// The type of the column.
    pub fn kind(&self) -> Type {
        let dim = Some(self.dim as usize);
        match self.kind {
            VectorKind::Sparse => Type::SparseVec(dim),
            VectorKind::Bits => Type::Bit(dim),
            VectorKind::Dense | VectorKind::Multi if self.half => Type::HalfVec(dim),
            VectorKind::Dense | VectorKind::Multi => Type::Vector(dim),
        }
    }
}

impl FieldColumn {
    /// The type of the column.
    pub fn kind(&self) -> Type {
        let list = |of: Type| Type::Array(Box::new(of));
        match self.kind {
            FieldType::Bool => Type::Bool,
            FieldType::Integer => Type::Integer(8),
            FieldType::Float => Type::Float8,
            FieldType::Text => Type::Text,
            FieldType::Bools => list(Type::Bool),
            FieldType::Integers => list(Type::Integer(8)),
            FieldType::Floats => list(Type::Float8),
            FieldType::Texts => list(Type::Text),
        }
    }
}

/// Settles the columns, and what becomes of ids and zeros.
pub fn settle(mapping: &mut Mapping, survey: &Survey, columns: bool) -> Result<()> {
    let stored = mapping.stored_schema();
    let bigint = mapping.schema.ids == IdKinds::Integer && survey.ids_beyond_i64 == 0;
    if bigint {
        mapping.losses.retain(|loss| loss.code != "ID_AS_TEXT");
    }
    let own = [NAMESPACE, ID, DOCUMENT, METADATA].into_iter().chain(dialect::SYSTEM_COLUMNS);
    let mut taken: BTreeSet<String> = own.map(str::to_owned).collect();
    let mut vectors = Vec::new();
    for spec in stored.stored_vectors() {
        vectors.push(VectorColumn {
            name: spec.name.clone(),
            column: column_name(&spec.name, &mut taken),
            kind: spec.kind,
            half: is_half(spec),
            dim: dimensions(spec, survey),
        });
        keep_values(mapping, spec, survey);
    }
    let mut fields = Vec::new();
    if columns {
        let typed = survey.mostly_typed_fields().into_iter();
        let fitting = typed.filter(|(key, _)| is_column_name(key) && !taken.contains(key));
        fields.extend(fitting.take(dialect::MAX_FIELDS).map(|(key, kind)| FieldColumn { key, kind }));
    }
    let layout = Layout { namespaced: stored.namespaced, bigint, vectors, fields };
    mapping.form = serde_json::to_value(layout).map_err(|e| Error::bug("a layout is no JSON").caused_by(e))?;
    Ok(())
}

fn is_half(spec: &VectorSpec) -> bool {
    spec.kind == VectorKind::Dense && spec.element == Element::F16
}

/// A sparsevec has dimensions, all of the same number.
fn dimensions(spec: &VectorSpec, survey: &Survey) -> u32 {
    let stated = u32::try_from(spec.dim.unwrap_or(0)).unwrap_or(u32::MAX);
    match spec.kind {
        VectorKind::Sparse => {
            let largest = survey.vectors.get(&spec.name).map_or(0, |found| found.largest_index);
            stated.max(largest.saturating_add(1)).min(dialect::MAX_SPARSE_DIM)
        }
        _ => stated,
    }
}

fn keep_values(mapping: &mut Mapping, spec: &VectorSpec, survey: &Survey) {
    if is_half(spec) {
        mapping.elements.insert(spec.name.clone(), Element::F16);
    }
    let with_zeros = survey.vectors.get(&spec.name).map_or(0, |found| found.with_zeros);
    if spec.kind == VectorKind::Sparse && with_zeros > 0 {
        mapping.without_zeros.push(spec.name.clone());
        let path = vector_component(&spec.name);
        let to = "left out: a sparsevec holds none, and they add nothing to a distance";
        let loss = Loss::new("SPARSE_ZEROS", &path, "explicit zeros in a sparse vector", to, Grade::Equivalent);
        mapping.losses.push(Loss { records: Some(with_zeros), ..loss });
    }
}

fn is_column_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= dialect::MAX_NAME_BYTES && !name.chars().any(char::is_control)
}

fn column_name(vector: &str, taken: &mut BTreeSet<String>) -> String {
    let own = if vector.is_empty() { "embedding" } else { vector };
    let mut name = own.to_owned();
    let mut number = 0;
    while !is_column_name(&name) || taken.contains(&name) {
        number += 1;
        name = format!("vector_{number}");
    }
    taken.insert(name.clone());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_get_names_that_no_other_column_has() {
        let mut taken: BTreeSet<String> = ["id", "ctid"].map(str::to_owned).into();
        let long = "x".repeat(64);
        let names = ["", "embedding", "id", "a \"b", "line\nbreak", &long, "ctid", "vector_1"];
        let found = names.map(|name| column_name(name, &mut taken));
        assert_eq!(
            found,
            ["embedding", "vector_1", "vector_2", "a \"b", "vector_3", "vector_4", "vector_5", "vector_6"]
        );
    }
}
