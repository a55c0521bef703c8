//! The directories of Milvus Lite 3: databases, collections, their schemas and manifests.
//!
//! ```text
//! foo.db/collections/<name>/schema.json              fields, dynamic or not, properties, functions
//!                           manifest.json            {partitions: {p: {data_files, delta_files}}, index_specs, current_seq}
//!                           manifest.json.prev       the manifest before, for when the other is torn
//!                           partitions/<p>/data/*.parquet   _seq, fields, $meta
//!                           partitions/<p>/delta/*.parquet  primary key, _seq
//!                           wal/wal_{data,delta}_N.arrow    what is not in those files yet
//!        aliases.json                                {alias: collection}
//! foo.db/databases/<db>/..                           the same for every other database
//! foo.db/LOCK                                        held while a process has it open
//! ```
//! Invariant: only files that the manifest names are read; others are what an interrupted run left.
//!
//! Errors: damaged for a schema or manifest that does not hold together or names a file that is not there, changing
//! for a directory that is open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tranship_collection::CollectionSchema;
use tranship_connector::{CollectionInfo, Count, Error, ErrorKind, OpenOptions, Result};
use tranship_format_parquet::PartFile;
use tranship_storage::{Blob, Tree};

use crate::dialect::{self, DEFAULT_PARTITION, DYNAMIC_FIELD, DataType, Field, Index};

const PRODUCER: &str = "Milvus Lite 3";
const LOCK: &str = "LOCK";
const DEFAULT_DATABASE: &str = "default";
const JSON_HINT: &str = "restore the directory from a backup";

/// A directory.
pub struct Directory {
    /// All files below it.
    pub tree: Tree,
    /// By database and name, the default database first.
    pub collections: Vec<Collection>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

/// One collection.
#[derive(Debug, Clone)]
pub struct Collection {
    /// Name to choose it by: its own if unique, else `database/name`.
    pub shown_name: String,
    name: String,
    database: String,
    /// Path of its directory within the tree.
    pub place: String,
    /// Its fields, the dynamic one last.
    pub fields: Vec<Field>,
    /// Files by partition.
    pub partitions: BTreeMap<String, Files>,
    /// What is worth telling of it.
    pub notes: Vec<String>,
    indexes: Vec<Index>,
    aliases: Vec<String>,
    vendor: Map<String, Value>,
}

/// The files of a partition, relative to its directory.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Rows.
    pub data: Vec<String>,
    /// Deletes.
    pub delta: Vec<String>,
}

/// True for a directory with collections that have a schema, or an empty one that was opened.
pub fn is_database(path: &Path) -> bool {
    let has_schema = |root: PathBuf| {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        entries.take(10_000).any(|entry| entry.path().join("schema.json").is_file())
    };
    let databases = || std::fs::read_dir(path.join("databases")).into_iter().flatten().flatten().take(10_000);
    path.join("collections").is_dir()
        && (has_schema(path.join("collections"))
            || databases().any(|entry| has_schema(entry.path().join("collections")))
            || path.join(LOCK).is_file())
}

impl Directory {
    /// Reads what there is.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let mut notes = Vec::new();
        check_lock(path, options.allow_inconsistent, &mut notes)?;
        let tree = Tree::of_dir(path)?;
        let mut collections = read_database(&tree, "", DEFAULT_DATABASE, options)?;
        for database in tree.below("databases").dirs() {
            collections.extend(read_database(&tree, &format!("databases/{database}/"), database, options)?);
        }
        name_apart(&mut collections);
        Ok(Directory { tree, collections, notes })
    }

    /// The collections, with what the footers of their files say.
    pub fn list(&self, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
        let infos = self.collections.iter().map(|collection| {
            Ok(CollectionInfo {
                name: collection.shown_name.clone(),
                records: self.count(collection, options)?,
                schema: collection.schema(options)?,
                producer: Some(PRODUCER.to_owned()),
                notes: self.notes.iter().chain(&collection.notes).cloned().collect(),
            })
        });
        infos.collect()
    }

    /// The collection that the user means.
    pub fn choose(&self, options: &OpenOptions) -> Result<Collection> {
        let wanted = options.collection.as_deref();
        let full = wanted.and_then(|wanted| self.collections.iter().find(|c| c.full_name() == wanted));
        if let Some(collection) = full {
            return Ok(collection.clone());
        }
        let names: Vec<String> = self.collections.iter().map(|collection| collection.shown_name.clone()).collect();
        let position = super::choose(&names, wanted, self.tree.label())?;
        self.collections.get(position).cloned().ok_or_else(|| Error::bug("a chosen collection is gone"))
    }

    /// The logs of a collection in their order: of rows, or of deletes.
    pub fn logs(&self, collection: &Collection, kind: &str) -> Vec<Blob> {
        let prefix = format!("wal_{kind}_");
        let wal = self.tree.below(&format!("{}/wal", collection.place));
        let number = |name: &str| name.strip_prefix(&prefix)?.strip_suffix(".arrow")?.parse::<u64>().ok();
        let mut logs: Vec<(u64, Blob)> =
            wal.iter().filter_map(|(name, blob)| Some((number(name)?, blob.clone()))).collect();
        logs.sort_by_key(|(number, _)| *number);
        logs.into_iter().map(|(_, blob)| blob).collect()
    }

    /// A file that the manifest names.
    pub fn file(&self, collection: &Collection, partition: &str, name: &str) -> Result<&Blob> {
        let place = format!("{}/partitions/{partition}/{name}", collection.place);
        self.tree.get(&place).ok_or_else(|| {
            Error::damaged(format!("{}/{place} is missing, but the manifest names it", self.tree.label()))
                .hint("copy the whole directory again from its origin while the database is closed")
        })
    }

    /// Rows of all files are more than the records if some were deleted or written anew.
    fn count(&self, collection: &Collection, options: &OpenOptions) -> Result<Count> {
        let mut rows = 0;
        for (partition, files) in &collection.partitions {
            for name in &files.data {
                let blob = self.file(collection, partition, name)?;
                rows += PartFile::open(blob.path(), &options.limits)?.rows();
            }
        }
        let has_logs = !self.logs(collection, "data").is_empty();
        Ok(match (rows, has_logs) {
            (0, false) => Count::Exact(0),
            (rows, false) => Count::UpTo(rows),
            (_, true) => Count::Unknown,
        })
    }
}

impl Collection {
    /// The schema of the collection.
    pub fn schema(&self, options: &OpenOptions) -> Result<CollectionSchema> {
        let mut schema =
            dialect::collection_schema(&self.name, &self.fields, &self.indexes, self.vendor.clone(), &options.limits)
                .map_err(|error| error.with("collection", &self.shown_name))?;
        schema.aliases = self.aliases.clone();
        schema.namespaced = self.is_partitioned();
        Ok(schema)
    }

    /// True if partitions are namespaces: with a partition key they are buckets of a hash.
    pub fn is_partitioned(&self) -> bool {
        let by_key = self.fields.iter().any(|field| field.partition_key);
        !by_key && self.partitions.keys().any(|partition| partition != DEFAULT_PARTITION)
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.database, self.name)
    }
}

/// Fails if a process has the directory open.
fn check_lock(path: &Path, allowed: bool, notes: &mut Vec<String>) -> Result<()> {
    let Ok(file) = std::fs::File::open(path.join(LOCK)) else { return Ok(()) };
    match file.try_lock_shared() {
        Err(std::fs::TryLockError::WouldBlock) if allowed => {
            notes.push(format!("{} is open in its database and was read all the same", path.display()));
            Ok(())
        }
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Changing,
            format!("{} is open in its database", path.display()),
        )
        .hint(
            "close the MilvusClient, or copy the directory while it is closed; --allow-inconsistent reads it anyway",
        )),
        _ => Ok(()),
    }
}

fn read_database(tree: &Tree, root: &str, database: &str, options: &OpenOptions) -> Result<Vec<Collection>> {
    let place = format!("{root}collections");
    let aliases = match tree.get(&format!("{root}aliases.json")) {
        Some(blob) => read_json(blob, options)?,
        None => Value::Null,
    };
    let below = tree.below(&place);
    let names = below.dirs().into_iter().filter(|name| below.get(&format!("{name}/schema.json")).is_some());
    names.map(|name| read_collection(tree, &format!("{place}/{name}"), name, database, &aliases, options)).collect()
}

fn read_collection(
    tree: &Tree,
    place: &str,
    name: &str,
    database: &str,
    aliases: &Value,
    options: &OpenOptions,
) -> Result<Collection> {
    let blob = tree.get(&format!("{place}/schema.json")).ok_or_else(|| Error::bug("a schema is gone"))?;
    let schema = read_json(blob, options)?;
    let fields = read_fields(&schema).map_err(|error| error.with("file", blob.label()))?;
    let mut notes = Vec::new();
    let manifest = read_manifest(tree, place, &mut notes, options)?;
    let aliases = aliases.as_object().into_iter().flatten().filter(|(_, of)| of.as_str() == Some(name));
    let mut vendor = Map::new();
    vendor.insert("producer".to_owned(), json!(PRODUCER));
    vendor.insert("database".to_owned(), json!(database));
    for key in ["properties", "functions", "version"] {
        let stated = schema.get(key).filter(|value| !value.is_null() && *value != &json!({}));
        vendor.extend(stated.map(|value| (key.to_owned(), value.clone())));
    }
    let partitions = read_partitions(&manifest);
    vendor.insert("partitions".to_owned(), json!(partitions.keys().collect::<Vec<_>>()));
    Ok(Collection {
        shown_name: name.to_owned(),
        name: name.to_owned(),
        database: database.to_owned(),
        place: place.to_owned(),
        fields,
        partitions,
        notes,
        indexes: read_indexes(&manifest),
        aliases: aliases.map(|(alias, _)| alias.clone()).collect(),
        vendor,
    })
}

/// Gives collections whose name occurs in several databases their full name.
fn name_apart(collections: &mut [Collection]) {
    let mut uses = BTreeMap::<String, usize>::new();
    collections.iter().for_each(|c| *uses.entry(c.name.clone()).or_default() += 1);
    for collection in collections {
        if uses.get(&collection.name).is_some_and(|count| *count > 1) {
            collection.shown_name = collection.full_name();
        }
    }
}

fn read_json(blob: &Blob, options: &OpenOptions) -> Result<Value> {
    let bytes = blob.read_all(options.limits.max_line_bytes as u64)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::damaged(format!("{} is no JSON", blob.label())).hint(JSON_HINT).caused_by(error))
}

/// The manifest, or the one before it if this one is torn. A collection that nothing was written to has none.
fn read_manifest(tree: &Tree, place: &str, notes: &mut Vec<String>, options: &OpenOptions) -> Result<Value> {
    let current = tree.get(&format!("{place}/manifest.json"));
    let previous = tree.get(&format!("{place}/manifest.json.prev"));
    let checked = |blob: &Blob| {
        let manifest = read_json(blob, options)?;
        check_manifest(&manifest).map_err(|error| error.with("file", blob.label())).map(|()| manifest)
    };
    match (current.map(checked), previous) {
        (None, None) => Ok(json!({})),
        (Some(Ok(manifest)), _) => Ok(manifest),
        (Some(Err(error)), None) => Err(error),
        (torn, Some(previous)) => {
            let manifest = checked(previous)?;
            let why = match torn {
                Some(Err(error)) => format!("is torn ({error})"),
                _ => "is missing".to_owned(),
            };
            notes.push(format!("{place}/manifest.json {why}: {} was read", previous.label()));
            Ok(manifest)
        }
    }
}

fn check_manifest(manifest: &Value) -> Result<()> {
    let wrong = |what: &str| Err(Error::damaged(format!("the manifest {what}")).hint(JSON_HINT));
    let Some(partitions) = manifest.get("partitions").and_then(Value::as_object) else {
        return wrong("names no partitions");
    };
    for files in partitions.values() {
        for kind in ["data_files", "delta_files"] {
            let plain = |name: &Value| name.as_str().is_some();
            match files.get(kind) {
                None => {}
                Some(Value::Array(names)) if names.iter().all(plain) => {}
                Some(_) => return wrong("names files that are no texts"),
            }
        }
    }
    Ok(())
}

fn read_partitions(manifest: &Value) -> BTreeMap<String, Files> {
    let names = |files: &Value, kind: &str| {
        let names = files.get(kind).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        names.map(|name| name.replace('\\', "/")).collect()
    };
    let partitions = manifest.get("partitions").and_then(Value::as_object).into_iter().flatten();
    partitions
        .map(|(name, files)| {
            (name.clone(), Files { data: names(files, "data_files"), delta: names(files, "delta_files") })
        })
        .collect()
}

fn read_indexes(manifest: &Value) -> Vec<Index> {
    let specs = manifest.get("index_specs").and_then(Value::as_object).into_iter().flatten();
    let text = |spec: &Value, key: &str| spec.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let index = |(field, spec): (&String, &Value)| {
        let mut params = BTreeMap::from([("metric_type".to_owned(), text(spec, "metric_type"))]);
        for key in ["build_params", "search_params"] {
            for (name, value) in spec.get(key).and_then(Value::as_object).into_iter().flatten() {
                let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                params.insert(name.clone(), shown);
            }
        }
        Index { field: field.clone(), kind: text(spec, "index_type"), params }
    };
    specs.map(index).collect()
}

fn read_fields(schema: &Value) -> Result<Vec<Field>> {
    let wrong = |what: &str| Error::damaged(format!("the schema {what}")).hint(JSON_HINT);
    let stated = schema.get("fields").and_then(Value::as_array).ok_or_else(|| wrong("has no fields"))?;
    let mut fields = stated
        .iter()
        .zip(100..)
        .map(|(stated, id)| {
            let text = |key: &str| stated.get(key).and_then(Value::as_str);
            let flag = |key: &str| stated.get(key).and_then(Value::as_bool).unwrap_or(false);
            let number = |key: &str| stated.get(key).and_then(Value::as_u64);
            let name = text("name").ok_or_else(|| wrong("has a field without name"))?;
            let data_type = text("dtype").ok_or_else(|| wrong("has a field without type"))?;
            Ok(Field {
                element_type: text("element_type").map(DataType::of_name).transpose()?,
                dim: number("dim").and_then(|dim| usize::try_from(dim).ok()),
                primary: flag("is_primary"),
                auto_id: flag("auto_id"),
                partition_key: flag("is_partition_key"),
                nullable: flag("nullable"),
                max_length: number("max_length"),
                max_capacity: number("max_capacity"),
                default: stated.get("default_value").filter(|value| !value.is_null()).cloned(),
                ..Field::new(id, name, DataType::of_name(data_type)?)
            })
        })
        .collect::<Result<Vec<Field>>>()?;
    if schema.get("enable_dynamic_field").and_then(Value::as_bool).unwrap_or(false) {
        let id = 100 + fields.len() as i64;
        fields.push(Field { dynamic: true, nullable: true, ..Field::new(id, DYNAMIC_FIELD, DataType::Json) });
    }
    Ok(fields)
}
