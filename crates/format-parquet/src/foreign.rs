//! What the columns of a foreign Parquet file are to a collection.
//!
//! | part | column |
//! |---|---|
//! | vector | the one named by `--vector-column`; else the only list of floats; else the only one with a usual name |
//! | id | the one named by `--id-column`; else a usual name with integers, text or UUIDs; else the row number |
//! | sparse vector | a struct of `indices` and `values` called `sparse_values` |
//! | document | the one named by `--document-column`; else text with a usual name |
//! | metadata | text called `metadata` or `payload` that holds JSON objects: taken verbatim |
//! | metadata keys | every other column, under its name, after the keys of the metadata column |
//!
//! Invariant: every column is carried somewhere or the file is refused. Errors: not recognised (several candidates, a
//! column of a type that cannot be carried), usage (a named column that is not there or has the wrong type).

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_schema::{DataType, Schema};
use parquet::basic::LogicalType;
use tranship_collection::json::Entries;
use tranship_collection::schema::IdKinds;
use tranship_collection::{CollectionSchema, VectorKind, VectorSpec};
use tranship_connector::{Error, OpenOptions, Result};

use crate::decode::PartFile;
use crate::error::not_supported;
use crate::foreign_sparse::{SPARSE, is_sparse};
use crate::json_value::can_write;

const VECTOR_NAMES: [&str; 9] =
    ["vector", "embedding", "embeddings", "values", "emb", "dense", "vectors", "features", "dense_vector"];
const ID_NAMES: [&str; 5] = ["id", "_id", "uuid", "pk", "key"];
const DOCUMENT_NAMES: [&str; 5] = ["document", "text", "content", "page_content", "chunk"];
const METADATA_NAMES: [&str; 2] = ["metadata", "payload"];

/// The role of every column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignColumns {
    /// Where ids come from.
    pub id: IdSource,
    /// The unnamed vector.
    pub vector: Option<String>,
    /// A sparse vector beside it.
    pub sparse: Option<String>,
    /// The document.
    pub document: Option<String>,
    /// Metadata objects as text.
    pub metadata: Option<String>,
    /// Metadata keys.
    pub keys: Vec<String>,
}

/// Where the ids of foreign records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdSource {
    /// An integer column.
    Integer(String),
    /// A text column.
    Text(String),
    /// A column of 16 bytes that the file declares as UUIDs.
    Uuid(String),
    /// The number of the row, from 0.
    RowNumber,
}

impl IdSource {
    fn column(&self) -> Option<&str> {
        match self {
            IdSource::Integer(name) | IdSource::Text(name) | IdSource::Uuid(name) => Some(name),
            IdSource::RowNumber => None,
        }
    }
}

impl ForeignColumns {
    /// Assigns the columns of `part`.
    pub fn find(part: &PartFile, options: &OpenOptions) -> Result<Self> {
        let schema = part.arrow_schema();
        let vector = vector_column(part, options)?;
        let id = id_column(part, options)?;
        let free = |name: &str| Some(name) != vector.as_deref() && Some(name) != id.column();
        let document = match &options.document_column {
            Some(name) if is_text(schema, name) => Some(name.clone()),
            Some(name) => return Err(wrong_column(part, "--document-column", name, "text")),
            None => usual(&DOCUMENT_NAMES, |name| free(name) && is_text(schema, name)),
        };
        let metadata = usual(&METADATA_NAMES, |name| free(name) && is_text(schema, name));
        let metadata = match metadata {
            Some(name) if holds_objects(part, &name)? => Some(name),
            _ => None,
        };
        let sparse = schema.column_with_name(SPARSE).filter(|(_, field)| is_sparse(field.data_type()));
        let sparse = sparse.map(|(_, field)| field.name().clone());
        let taken = [vector.as_deref(), id.column(), document.as_deref(), metadata.as_deref(), sparse.as_deref()];
        let rest = schema.fields().iter().filter(|field| !taken.contains(&Some(field.name().as_str())));
        let mut keys = Vec::new();
        for field in rest {
            if !can_write(field.data_type()) {
                let reason = format!("column `{}` of type {} cannot be carried", field.name(), field.data_type());
                return Err(not_supported(part.path(), reason).hint("leave that column out of the file"));
            }
            keys.push(field.name().clone());
        }
        Ok(ForeignColumns { id, vector, sparse, document, metadata, keys })
    }

    /// The schema of the collection called `name` with vectors of `dim` elements.
    pub fn schema(&self, name: &str, dim: Option<usize>) -> CollectionSchema {
        let mut schema = CollectionSchema::new(name);
        schema.ids = match self.id {
            IdSource::Integer(_) | IdSource::RowNumber => IdKinds::Integer,
            IdSource::Text(_) | IdSource::Uuid(_) => IdKinds::Text,
        };
        schema.vectors = dim.map(|dim| VectorSpec::dense("", dim)).into_iter().collect();
        let sparse = |name: &String| VectorSpec { kind: VectorKind::Sparse, dim: None, ..VectorSpec::dense(name, 0) };
        schema.vectors.extend(self.sparse.iter().map(sparse));
        if self.id == IdSource::RowNumber {
            schema.vendor.insert("parquet".to_owned(), serde_json::json!({ "ids": "row number from 0" }));
        }
        schema
    }

    /// What a user should know about the choices.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        match self.id.column() {
            Some(name) => notes.push(format!("ids are column `{name}`")),
            None => notes.push("there is no id column: row numbers from 0 stand in".to_owned()),
        }
        match &self.vector {
            Some(name) => notes.push(format!("vectors are column `{name}`")),
            None => notes.push("there is no column of float lists: the collection has no vectors".to_owned()),
        }
        notes.extend(self.sparse.iter().map(|name| format!("sparse vectors are column `{name}`")));
        notes.extend(self.document.iter().map(|name| format!("documents are column `{name}`")));
        notes
    }
}

/// Elements of the first vector in the files, or `None` if no row has one.
pub fn find_dim(parts: &[PartFile], column: &str, max_dim: usize) -> Result<Option<usize>> {
    for part in parts {
        for group in 0..part.row_groups().len() {
            for batch in part.raw_batches(group..group + 1, Some(&[column]))? {
                let (first_row, batch) = batch?;
                let Some(list) = batch.column(0).as_list_opt::<i32>() else { return Ok(None) };
                let found = (0..list.len()).find(|row| list.is_valid(*row) && list.value_length(*row) > 0);
                let Some(row) = found else { continue };
                let dim = list.value_length(row) as usize;
                if dim > max_dim {
                    return Err(Error::limit(format!("a vector has {dim} elements, more than {max_dim} are not read"))
                        .with("file", part.path().display())
                        .with("row", first_row + row as u64));
                }
                return Ok(Some(dim));
            }
        }
    }
    Ok(None)
}

fn vector_column(part: &PartFile, options: &OpenOptions) -> Result<Option<String>> {
    let fields = part.arrow_schema().fields();
    let candidates: Vec<&str> =
        fields.iter().filter(|field| is_float_list(field.data_type())).map(|field| field.name().as_str()).collect();
    if let Some(name) = &options.vector_column {
        return match candidates.contains(&name.as_str()) {
            true => Ok(Some(name.clone())),
            false => Err(wrong_column(part, "--vector-column", name, "a list of floats")),
        };
    }
    let usual: Vec<&str> = candidates.iter().copied().filter(|name| VECTOR_NAMES.contains(name)).collect();
    match (candidates.as_slice(), usual.as_slice()) {
        ([], _) => Ok(None),
        ([only], _) | (_, [only]) => Ok(Some((*only).to_owned())),
        _ => {
            let reason = format!("several columns may be the vector: {}", candidates.join(", "));
            Err(not_supported(part.path(), reason).hint("say which by --vector-column NAME"))
        }
    }
}

fn id_column(part: &PartFile, options: &OpenOptions) -> Result<IdSource> {
    if let Some(name) = &options.id_column {
        return id_source(part, name).ok_or_else(|| wrong_column(part, "--id-column", name, "integers, text or UUIDs"));
    }
    Ok(ID_NAMES.iter().find_map(|name| id_source(part, name)).unwrap_or(IdSource::RowNumber))
}

fn id_source(part: &PartFile, name: &str) -> Option<IdSource> {
    let (_, field) = part.arrow_schema().column_with_name(name)?;
    match field.data_type() {
        DataType::Utf8 => Some(IdSource::Text(name.to_owned())),
        DataType::FixedSizeBinary(16) if is_uuid(part, name) => Some(IdSource::Uuid(name.to_owned())),
        other if other.is_integer() => Some(IdSource::Integer(name.to_owned())),
        _ => None,
    }
}

fn is_uuid(part: &PartFile, name: &str) -> bool {
    let columns = part.parquet_schema().columns();
    let column = columns.iter().find(|column| column.path().parts() == [name.to_owned()]);
    column.is_some_and(|column| column.logical_type_ref() == Some(&LogicalType::Uuid))
}

fn is_float_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(item) if item.data_type().is_floating())
}

fn is_text(schema: &Schema, name: &str) -> bool {
    schema.column_with_name(name).is_some_and(|(_, field)| field.data_type() == &DataType::Utf8)
}

fn usual(names: &[&str], fits: impl Fn(&str) -> bool) -> Option<String> {
    names.iter().find(|name| fits(name)).map(|name| (*name).to_owned())
}

/// True unless the first value of a text column, if there is any, is something else than a JSON object.
fn holds_objects(part: &PartFile, name: &str) -> Result<bool> {
    let first_group = 0..part.row_groups().len().min(1);
    let Some(batch) = part.raw_batches(first_group, Some(&[name]))?.next() else { return Ok(true) };
    let (_, batch) = batch?;
    let Some(texts) = batch.column(0).as_string_opt::<i32>() else { return Ok(false) };
    let first = (0..texts.len()).find(|row| texts.is_valid(*row));
    Ok(first.is_none_or(|row| Entries::parse(texts.value(row)).is_ok()))
}

fn wrong_column(part: &PartFile, flag: &str, name: &str, wanted: &str) -> Error {
    let columns: Vec<String> =
        part.arrow_schema().fields().iter().map(|field| format!("{} ({})", field.name(), field.data_type())).collect();
    Error::usage(format!("{flag} {name}: there is no such column of {wanted}"))
        .with("file", part.path().display())
        .hint(format!("columns: {}", columns.join(", ")))
}
