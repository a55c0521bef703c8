//! What each column of a table becomes: id, vector, document, namespace, metadata; and the schema that comes of it.
//!
//! * id: `--id-column`, else the primary key, else a column `id`, else the row number.
//! * vectors: `--vector-column`, else all columns of pgvector's types, and bit strings with an index over bits. One vector
//!   is unnamed unless it is sparse, several have the names of their columns.
//! * document: `--document-column`, else a text column `document`.
//! * everything else is metadata under the column's name.
//!
//! Errors: usage, for columns that are not there and for primary keys of several columns.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tranship_collection::{CollectionSchema, Element, IdKinds, Metric, VectorKind, VectorSpec};
use tranship_connector::{Error, OpenOptions, Result};

use crate::dialect::{self, Type};
use crate::sql::catalog::Index;
use crate::sql::{Table, TableName};

/// The columns of a table and the schema of its collection.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The columns in order.
    pub columns: Vec<PlannedColumn>,
    /// The schema; dimensions that nothing declares are still missing.
    pub schema: CollectionSchema,
    /// There is no id: row numbers stand in.
    pub ordinal_ids: bool,
    /// Things worth telling.
    pub notes: Vec<String>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct PlannedColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: Type,
    /// What it becomes.
    pub role: Role,
}

/// What a column becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The id.
    Id,
    /// The vector of this name.
    Vector(String),
    /// The document.
    Document,
    /// The namespace.
    Namespace,
    /// An entry of the metadata.
    Entry,
    /// The object whose entries are the metadata.
    Metadata,
}

/// What a plan is made of.
pub struct Ingredients<'a> {
    /// The table's name.
    pub name: &'a TableName,
    /// Its declaration, if the dump has it.
    pub table: Option<&'a Table>,
    /// Its columns with their types, in order.
    pub columns: Vec<(String, Type)>,
    /// What the user wants.
    pub options: &'a OpenOptions,
    /// What the dump says of itself.
    pub facts: &'a Value,
}

impl Plan {
    /// Decides.
    pub fn of(ingredients: &Ingredients<'_>) -> Result<Self> {
        let Ingredients { name, table, columns, options, facts } = ingredients;
        let chooser = Chooser { name, table: *table, columns, options };
        let namespace = chooser.named(options.option("namespace"), "-o namespace")?;
        let id = chooser.id(namespace)?;
        let vectors = chooser.vectors()?;
        let document = chooser.document(id)?;
        let metadata = chooser.metadata()?;
        // Sparse vectors go by name everywhere.
        let is_sparse =
            |vector: &str| columns.iter().any(|(name, kind)| name == vector && matches!(kind, Type::SparseVec(_)));
        let single = vectors.len() == 1 && !vectors.iter().any(|vector| is_sparse(vector));
        let role = |column: &str| match column {
            _ if Some(column) == id => Role::Id,
            _ if vectors.contains(&column) => Role::Vector(if single { String::new() } else { column.to_owned() }),
            _ if Some(column) == document => Role::Document,
            _ if Some(column) == namespace => Role::Namespace,
            _ if Some(column) == metadata => Role::Metadata,
            _ => Role::Entry,
        };
        let planned: Vec<PlannedColumn> = columns
            .iter()
            .map(|(name, kind)| PlannedColumn { name: name.clone(), kind: kind.clone(), role: role(name) })
            .collect();
        chooser.check_roles(
            &planned,
            &[(id, "id"), (document, "document"), (namespace, "namespace"), (metadata, "metadata")],
        )?;
        let mut notes = Vec::new();
        if id.is_none() {
            notes.push("the table has neither a primary key nor a column `id`: row numbers from 0 stand in".to_owned());
        }
        let schema = chooser.schema(&planned, id.is_none(), facts, &mut notes);
        Ok(Plan { columns: planned, schema, ordinal_ids: id.is_none(), notes })
    }

    /// Columns of dense and bit vectors that declare no dimensions, with their types.
    pub fn without_dimensions(&self) -> Vec<(String, Type)> {
        let open = |column: &&PlannedColumn| match &column.role {
            Role::Vector(name) => {
                self.schema.vector(name).is_some_and(|spec| spec.dim.is_none() && spec.kind != VectorKind::Sparse)
            }
            _ => false,
        };
        self.columns.iter().filter(open).map(|column| (column.name.clone(), column.kind.clone())).collect()
    }

    /// Takes in dimensions by column.
    pub fn set_dimensions(&mut self, dims: &BTreeMap<String, usize>) {
        for column in &self.columns {
            let Role::Vector(name) = &column.role else { continue };
            let spec = self.schema.vectors.iter_mut().find(|spec| spec.name == *name);
            if let (Some(spec), Some(dim)) = (spec, dims.get(&column.name)) {
                spec.dim = spec.dim.or(Some(*dim));
            }
        }
    }
}

struct Chooser<'a> {
    name: &'a TableName,
    table: Option<&'a Table>,
    columns: &'a [(String, Type)],
    options: &'a OpenOptions,
}

impl<'a> Chooser<'a> {
    fn kind(&self, name: &str) -> Option<&'a Type> {
        self.columns.iter().find(|(own, _)| own == name).map(|(_, kind)| kind)
    }

    /// The column that an option names.
    fn named(&self, name: Option<&'a str>, option: &str) -> Result<Option<&'a str>> {
        match name {
            Some(name) if self.kind(name).is_none() => Err(self.no_column(name, option)),
            name => Ok(name),
        }
    }

    fn no_column(&self, name: &str, option: &str) -> Error {
        let generated = self.table.is_some_and(|table| table.columns.iter().any(|c| c.generated && c.name == name));
        let message = match generated {
            true => format!("{option}: column {name:?} of {} is generated, and no dump holds its values", self.name),
            false => format!("{option}: table {} has no column {name:?}", self.name),
        };
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        Error::usage(message).hint(format!("its columns are {}", names.join(", ")))
    }

    fn id(&self, namespace: Option<&str>) -> Result<Option<&'a str>> {
        if let Some(name) = self.named(self.options.id_column.as_deref(), "--id-column")? {
            return Ok(Some(name));
        }
        let key = self.table.map(|table| table.primary_key.as_slice()).unwrap_or_default();
        let rest: Vec<&'a str> = key.iter().map(String::as_str).filter(|name| Some(*name) != namespace).collect();
        match rest.as_slice() {
            [one] if self.kind(one).is_some() => Ok(Some(one)),
            [_, _, ..] => Err(Error::usage(format!("the primary key of {} has several columns: {}", self.name, key.join(", ")))
                .hint(format!(
                    "say which one is the id with --id-column {}, and which one is the namespace, if any, with -o namespace={}",
                    rest.last().unwrap_or(&"id"),
                    rest.first().unwrap_or(&"tenant"),
                ))),
            _ => Ok(self.columns.iter().map(|(name, _)| name.as_str()).find(|name| *name == "id" && Some(*name) != namespace)),
        }
    }

    fn vectors(&self) -> Result<Vec<&'a str>> {
        let Some(wanted) = self.options.vector_column.as_deref() else {
            let is_vector = |(name, kind): &&(String, Type)| kind.is_vector() || self.has_bit_index(name, kind);
            return Ok(self.columns.iter().filter(is_vector).map(|(name, _)| name.as_str()).collect());
        };
        // A name may hold commas; only if there is no such column is it a list.
        let names: Vec<&'a str> = match self.kind(wanted) {
            Some(_) => vec![wanted],
            None => wanted.split(',').map(str::trim).collect(),
        };
        for name in &names {
            match self.kind(name) {
                None => return Err(self.no_column(name, "--vector-column")),
                Some(kind) if !kind.can_be_vector() => {
                    return Err(Error::usage(format!("column {name:?} of {} is {kind}, not a vector", self.name))
                        .hint("vector, halfvec, sparsevec, bit and varbit columns are; the dump may not tell types: give them with -o columns=\"name:vector\""));
                }
                Some(_) => {}
            }
        }
        Ok(names)
    }

    fn has_bit_index(&self, name: &str, kind: &Type) -> bool {
        let over_bits = |index: &Index| {
            index.column.as_deref() == Some(name)
                && !index.computed
                && index.operator_class.as_deref().and_then(dialect::metric).is_some()
        };
        matches!(kind, Type::Bit(_)) && self.table.is_some_and(|table| table.indexes.iter().any(over_bits))
    }

    fn document(&self, id: Option<&str>) -> Result<Option<&'a str>> {
        if let Some(name) = self.named(self.options.document_column.as_deref(), "--document-column")? {
            return Ok(Some(name));
        }
        let is_document =
            |(name, kind): &&(String, Type)| name == "document" && *kind == Type::Text && id != Some(name);
        Ok(self.columns.iter().find(is_document).map(|(name, _)| name.as_str()))
    }

    fn metadata(&self) -> Result<Option<&'a str>> {
        let name = self.named(self.options.option("metadata"), "-o metadata")?;
        match name.and_then(|name| self.kind(name)) {
            None | Some(Type::Json | Type::Jsonb) => Ok(name),
            Some(kind) => {
                Err(Error::usage(format!("-o metadata: column {:?} is {kind}, not json or jsonb", name.unwrap_or("")))
                    .hint("every column is an entry of the metadata without this option"))
            }
        }
    }

    /// Fails if an option gives a column a second role.
    fn check_roles(&self, planned: &[PlannedColumn], wanted: &[(Option<&str>, &str)]) -> Result<()> {
        for (name, role) in wanted {
            let Some(column) = planned.iter().find(|column| Some(column.name.as_str()) == *name) else { continue };
            let has = match column.role {
                Role::Id => "id",
                Role::Vector(_) => "vector",
                Role::Document => "document",
                Role::Namespace => "namespace",
                Role::Metadata => "metadata",
                Role::Entry => continue,
            };
            if has != *role {
                return Err(Error::usage(format!("column {:?} cannot be the {role} and the {has}", column.name)));
            }
        }
        Ok(())
    }

    fn schema(
        &self,
        planned: &[PlannedColumn],
        ordinal: bool,
        facts: &Value,
        notes: &mut Vec<String>,
    ) -> CollectionSchema {
        let mut schema = CollectionSchema::new(self.name.to_string());
        let id = planned.iter().find(|column| column.role == Role::Id);
        let integers = ordinal || id.is_some_and(|id| matches!(id.kind, Type::Integer(_) | Type::Oid));
        schema.ids = if integers { IdKinds::Integer } else { IdKinds::Text };
        schema.namespaced = planned.iter().any(|column| column.role == Role::Namespace);
        for column in planned {
            if let Role::Vector(name) = &column.role {
                schema.vectors.push(self.vector(name, column, notes));
            }
        }
        schema.vectors.sort_by(|a, b| a.name.cmp(&b.name));
        for column in self.table.iter().flat_map(|table| &table.columns).filter(|c| c.generated && c.kind.is_vector()) {
            notes.push(format!("column {:?} is a generated vector: no dump holds its values", column.name));
        }
        schema.vendor.insert("pgvector".to_owned(), self.vendor(planned, ordinal, facts));
        schema
    }

    fn vector(&self, name: &str, column: &PlannedColumn, notes: &mut Vec<String>) -> VectorSpec {
        let (kind, element, dim) = match &column.kind {
            Type::HalfVec(dim) => (VectorKind::Dense, Element::F16, *dim),
            Type::SparseVec(_) => (VectorKind::Sparse, Element::F32, None),
            Type::Bit(dim) => (VectorKind::Bits, Element::U8, *dim),
            Type::Vector(dim) => (VectorKind::Dense, Element::F32, *dim),
            _ => (VectorKind::Dense, Element::F32, None),
        };
        if column.kind == Type::SparseVec(None) {
            notes.push(format!(
                "column {:?} declares no dimensions: those that each sparsevec states are left out",
                column.name
            ));
        }
        let indexes = self.indexes(&column.name);
        let metric = |index: &Index| match &index.operator_class {
            Some(class) => dialect::metric(class),
            None => dialect::default_metric(&index.method, &column.kind),
        };
        let metrics: BTreeSet<Option<&str>> = indexes.iter().map(|index| metric(index).map(Metric::name)).collect();
        if metrics.len() > 1 {
            notes.push(format!("column {:?} has indexes for several metrics: the first one counts", column.name));
        }
        let first = indexes.first();
        VectorSpec {
            name: name.to_owned(),
            kind,
            element,
            dim,
            metric: first.and_then(|index| metric(index)),
            normalised: false,
            model: None,
            index: first.map(|index| dialect::index(&index.method, &index.settings)),
        }
    }

    /// Vector indexes over the column: on itself before those on a cast of it.
    fn indexes(&self, column: &str) -> Vec<&'a Index> {
        let all = self.table.map(|table| table.indexes.as_slice()).unwrap_or_default();
        let over =
            |index: &&Index| index.column.as_deref() == Some(column) && !index.computed && index.is_for_vectors();
        all.iter().filter(over).collect()
    }

    fn vendor(&self, planned: &[PlannedColumn], ordinal: bool, facts: &Value) -> Value {
        let types: serde_json::Map<String, Value> =
            planned.iter().map(|column| (column.name.clone(), Value::from(column.kind.to_string()))).collect();
        let mut vendor = json!({ "dump": facts, "table": self.name.quoted(), "columns": types });
        if let (Some(table), Some(map)) = (self.table, vendor.as_object_mut()) {
            if !table.create.is_empty() {
                map.insert("create_table".to_owned(), Value::from(table.create.as_str()));
            }
            map.insert("primary_key".to_owned(), Value::from(table.primary_key.clone()));
            let indexes: Vec<&str> = table.indexes.iter().map(|index| index.statement.as_str()).collect();
            map.insert("indexes".to_owned(), Value::from(indexes));
        }
        if ordinal && let Some(map) = vendor.as_object_mut() {
            map.insert("ids".to_owned(), Value::from("row numbers from 0"));
        }
        vendor
    }
}
