//! What a dump holds, wherever its names come from: collections, their segments and logs, their deletes.
//!
//! Invariant: logs of a group stand in ascending order of their ids, which is the order of their rows; a segment's
//! rows all lie in one partition.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tranship_collection::CollectionSchema;
use tranship_connector::{Error, OpenOptions, Result};
use tranship_storage::Blob;

use crate::dialect::{self, DEFAULT_PARTITION, DataType, Field, Index};

/// The collections of one dump.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// In the order of their names.
    pub collections: Vec<Collection>,
    /// Producer and version.
    pub producer: Option<String>,
    /// Files that describe the dump: parts of its identity.
    pub described_by: Vec<Blob>,
    /// What concerns the dump as a whole.
    pub notes: Vec<String>,
}

/// One collection.
#[derive(Debug, Clone, Default)]
pub struct Collection {
    /// Milvus's id.
    pub id: i64,
    /// Its name; the id where none is known.
    pub name: String,
    /// What it is called in lists: the name, with the database where two have one name.
    pub shown_name: String,
    /// The database that it belongs to.
    pub database: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// User fields.
    pub fields: Vec<Field>,
    /// False if the fields have no names but `field_<id>`, and nobody said which is the key.
    pub named: bool,
    /// Indexes.
    pub indexes: Vec<Index>,
    /// Names of partitions by id.
    pub partitions: BTreeMap<i64, String>,
    /// Segments with rows.
    pub segments: Vec<Segment>,
    /// Deletes.
    pub deletes: Vec<DeleteLog>,
    /// Rows in all segments, as far as stated.
    pub rows: Option<u64>,
    /// Other settings to keep.
    pub settings: Map<String, Value>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

/// One segment.
#[derive(Debug, Clone, Default)]
pub struct Segment {
    /// Milvus's id.
    pub id: i64,
    /// The partition of all its rows.
    pub partition: i64,
    /// Logs by field (storage v1) or column group (v2), each in order.
    pub groups: BTreeMap<i64, Vec<Blob>>,
    /// Rows, where stated.
    pub rows: Option<u64>,
}

/// One delta log.
#[derive(Debug, Clone)]
pub struct DeleteLog {
    /// The file.
    pub blob: Blob,
    /// The partition whose rows it deletes; `None` for all.
    pub partition: Option<i64>,
}

impl Catalog {
    /// Sorts the collections and tells those of one name apart by their databases.
    pub fn finish(mut self) -> Self {
        self.collections.sort_by(|a, b| (&a.name, &a.database, a.id).cmp(&(&b.name, &b.database, b.id)));
        let mut uses = BTreeMap::<String, usize>::new();
        self.collections.iter().for_each(|c| *uses.entry(c.name.clone()).or_default() += 1);
        for collection in &mut self.collections {
            let unique = uses.get(&collection.name).is_none_or(|count| *count == 1);
            collection.shown_name = if unique { collection.name.clone() } else { collection.full_name() };
        }
        self
    }

    /// The collection that the user means, by name, `database.name` or id.
    pub fn choose(&self, options: &OpenOptions) -> Result<&Collection> {
        let found = match &options.collection {
            Some(wanted) => self.collections.iter().find(|c| c.is_called(wanted)),
            None if self.collections.len() == 1 => self.collections.first(),
            None => None,
        };
        found.ok_or_else(|| self.unclear(options.collection.as_deref()))
    }

    fn unclear(&self, wanted: Option<&str>) -> Error {
        let names: Vec<&str> = self.collections.iter().map(|c| c.shown_name.as_str()).collect();
        if names.is_empty() {
            return Error::usage("the Milvus dump holds no collection").hint("check that it was copied whole");
        }
        let message = match wanted {
            Some(wanted) => format!("there is no collection `{wanted}`"),
            None => format!("the Milvus dump holds {} collections", names.len()),
        };
        Error::usage(message).hint(format!("choose with --collection one of: {}; or take --all", names.join(", ")))
    }
}

impl Collection {
    fn full_name(&self) -> String {
        match self.database.is_empty() {
            true => format!("{}.{}", self.name, self.id),
            false => format!("{}.{}", self.database, self.name),
        }
    }

    fn is_called(&self, wanted: &str) -> bool {
        self.shown_name == wanted || self.full_name() == wanted || self.id.to_string() == wanted
    }

    /// True if partitions are no namespaces, but buckets of a key's hash.
    pub fn is_hashed(&self) -> bool {
        self.fields.iter().any(|field| field.partition_key)
    }

    /// The namespace of the rows in a partition; `None` for the default one.
    pub fn namespace(&self, partition: i64) -> Option<String> {
        if self.is_hashed() {
            return None;
        }
        match self.partitions.get(&partition) {
            Some(name) if name == DEFAULT_PARTITION => None,
            Some(name) => Some(name.clone()),
            // Milvus makes the default partition together with the collection and gives it the next id.
            None if Some(partition) == self.id.checked_add(1) => None,
            None => Some(partition.to_string()),
        }
    }

    /// The position of the text field that the user calls the document.
    pub fn document(&self, name: &str) -> Result<usize> {
        let is_text = |field: &Field| matches!(field.data_type, DataType::String | DataType::VarChar | DataType::Text);
        let found = self.fields.iter().position(|field| field.name == name && is_text(field) && !field.primary);
        found.ok_or_else(|| {
            let fits = self.fields.iter().filter(|field| is_text(field) && !field.primary);
            let names: Vec<&str> = fits.map(|field| field.name.as_str()).collect();
            Error::usage(format!("collection `{}` has no text field `{name}` for documents", self.shown_name))
                .hint(format!("text fields are: {}", names.join(", ")))
        })
    }

    /// Its schema.
    pub fn schema(&self, producer: Option<&str>, options: &OpenOptions) -> Result<CollectionSchema> {
        let mut vendor = self.settings.clone();
        vendor.insert("collection_id".to_owned(), json!(self.id));
        vendor.insert("producer".to_owned(), json!(producer));
        if !self.database.is_empty() {
            vendor.insert("database".to_owned(), json!(self.database));
        }
        if !self.partitions.is_empty() {
            vendor.insert("partitions".to_owned(), json!(self.partitions.values().collect::<Vec<_>>()));
        }
        let schema = dialect::collection_schema(&self.name, &self.fields, &self.indexes, vendor, &options.limits);
        let mut schema = schema.map_err(|error| error.with("collection", &self.shown_name))?;
        schema.aliases = self.aliases.clone();
        schema.namespaced = self.segments.iter().any(|segment| self.namespace(segment.partition).is_some());
        Ok(schema)
    }
}
