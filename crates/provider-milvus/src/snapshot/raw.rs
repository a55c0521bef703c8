//! The `insert_log` and `delta_log` trees of a Milvus server's object store.
//!
//! They hold ids and types only; names stand in etcd. Names come from a file (`-o schema=FILE`), or the primary key is
//! named by `--id-column` and every field is called `field_<id>`. Segments that compaction replaced, and collections
//! that were dropped, may linger in the tree: rows are found once by key and time, and the rest is told in a note.
//!
//! Schema file: JSON, or Python as `print` shows it; one description, a list, or an object of them by name:
//! ```text
//! {"typed": {"schema": "{'fields': [{'name': 'pk', 'type': <DataType.INT64: 5>, 'is_primary': True}, ..], ..}"}}
//! {"collection_name": "typed", "collection_id": 47.., "fields": [{"field_id": 100, "name": "pk", "type": 5, ..}, ..],
//!  "enable_dynamic_field": true, "partitions": {"4705..": "eu"}}
//! ```
//! `aliases` and `indexes` (what describe_index answers, in a list) are taken over where they are given.
//! `collection_id` may be missing where only one collection of the tree has such fields.
//!
//! Where it fits several they keep their ids as names.
//!
//! Errors: usage for the choice of a name that fits several collections; those of logs.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tranship_connector::{Error, OpenOptions, Result};
use tranship_storage::{Blob, Tree};

use super::catalog::{Catalog, Collection, DeleteLog, Segment};
use super::cell::{Cell, Values};
use super::description::{self, integer, text};
use super::log::{Header, Log};
use super::payload::{Column, Parquet};
use super::python;
use super::segment::FIRST_USER_FIELD;
use super::tree::{self, DELTA_LOG, INSERT_LOG, LogName};
use crate::dialect::{DataType, Field, Index};

const MAX_SCHEMA_BYTES: u64 = 64 << 20;
/// Logs of all collections whose footers are read for a count.
const MAX_COUNTED: usize = 4096;

/// A field as the logs show it.
#[derive(Debug, Clone)]
struct Observed {
    /// Not known from packed Parquet.
    data_type: Option<DataType>,
    dim: Option<usize>,
    nullable: bool,
}

/// Reads the tree in `root`.
pub fn open(root: &Path, options: &OpenOptions) -> Result<Catalog> {
    let mut collections = collections(root)?;
    let described = options.option("schema").map(|file| read_schemas(Path::new(file))).transpose()?;
    let keys = keys_by_stats(root);
    let mut catalog = Catalog { producer: Some("Milvus, raw logs".to_owned()), ..Catalog::default() };
    let observed: BTreeMap<i64, BTreeMap<i64, Observed>> =
        collections.iter().map(|(id, collection)| Ok((*id, observe(collection, options)?))).collect::<Result<_>>()?;
    let described = described.unwrap_or_default();
    let mut budget = MAX_COUNTED;
    catalog.notes = describe(&described, &mut collections, &observed, options)?;
    for (id, mut collection) in collections {
        if !collection.named {
            let seen = observed.get(&id).cloned().unwrap_or_default();
            name_by_id(&mut collection, &seen, keys.get(&id).copied(), options);
        }
        collection.rows = count(&collection, &mut budget, options)?;
        tell(&mut collection);
        catalog.collections.push(collection);
    }
    catalog.described_by =
        options.option("schema").map(|file| Blob::of_path(Path::new(file))).transpose()?.into_iter().collect();
    Ok(catalog.finish())
}

/// Gives collections the schemas that fit them, and their names where only one of each is possible. Returns what is
/// unclear.
fn describe(
    schemas: &[Described],
    collections: &mut BTreeMap<i64, Collection>,
    observed: &BTreeMap<i64, BTreeMap<i64, Observed>>,
    options: &OpenOptions,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let fits: Vec<(&Described, Vec<i64>)> = schemas.iter().map(|s| (s, s.candidates(observed))).collect();
    for (schema, candidates) in &fits {
        match candidates.as_slice() {
            [_] => {}
            [] => notes.push(format!("no collection of the tree has the fields of schema `{}`", schema.name)),
            several if options.collection.as_deref() == Some(&schema.name) => return Err(schema.ambiguous(several)),
            several => notes.push(schema.ambiguity(several)),
        }
    }
    for (id, collection) in collections {
        let Some(seen) = observed.get(id) else { continue };
        let of_this: Vec<_> = fits.iter().filter(|(_, candidates)| candidates.contains(id)).collect();
        let Some((first, candidates)) = of_this.first() else { continue };
        if of_this.iter().any(|(other, _)| other.fields != first.fields) {
            continue;
        }
        first.apply(collection, seen);
        if of_this.len() > 1 || candidates.len() > 1 {
            collection.name = id.to_string();
        }
    }
    Ok(notes)
}

/// Segments and deletes by collection.
fn collections(root: &Path) -> Result<BTreeMap<i64, Collection>> {
    let mut found = BTreeMap::<i64, (BTreeMap<i64, Segment>, Vec<DeleteLog>)>::new();
    for kind in [INSERT_LOG, DELTA_LOG] {
        let dir = root.join(kind);
        if !dir.is_dir() {
            continue;
        }
        let mut logs = Vec::new();
        for (name, blob) in Tree::of_dir(&dir)?.iter() {
            tree::check_name(name, blob)?;
            logs.extend(LogName::parse(&format!("{kind}/{name}")).map(|log| (log, blob.clone())));
        }
        // By number, not by the text of the name: that is the order of the rows.
        logs.sort_by_key(|(name, _)| *name);
        for (name, blob) in logs {
            let (segments, deletes) = found.entry(name.collection).or_default();
            if kind == DELTA_LOG {
                let partition = Some(name.partition).filter(|partition| *partition != -1);
                deletes.push(DeleteLog { blob, partition });
                continue;
            }
            let fresh = || Segment { id: name.segment, partition: name.partition, ..Segment::default() };
            let segment = segments.entry(name.segment).or_insert_with(fresh);
            segment.groups.entry(name.field).or_default().push(blob);
        }
    }
    let collection = |(id, (segments, deletes)): (i64, (BTreeMap<i64, Segment>, Vec<DeleteLog>))| {
        let segments = segments.into_values().collect();
        (id, Collection { id, name: id.to_string(), segments, deletes, ..Collection::default() })
    };
    Ok(found.into_iter().map(collection).collect())
}

/// The primary keys that the statistics of segments are about: `stats_log/<collection>/<partition>/<segment>/<field>`.
fn keys_by_stats(root: &Path) -> BTreeMap<i64, i64> {
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|e| e.file_name().to_str()?.parse::<i64>().ok()).collect::<Vec<_>>()
    };
    let first = |dir: &Path| names(dir).into_iter().next();
    let stats = root.join("stats_log");
    let of = |collection: i64| {
        let dir = stats.join(collection.to_string());
        let partition = dir.join(first(&dir)?.to_string());
        let segment = partition.join(first(&partition)?.to_string());
        Some((collection, first(&segment)?))
    };
    names(&stats).into_iter().filter_map(of).collect()
}

/// The user fields of a collection, from the first log of each.
fn observe(collection: &Collection, options: &OpenOptions) -> Result<BTreeMap<i64, Observed>> {
    let mut first = BTreeMap::<i64, &Blob>::new();
    for segment in &collection.segments {
        for (group, logs) in &segment.groups {
            if let Some(log) = logs.first() {
                first.entry(*group).or_insert(log);
            }
        }
    }
    let mut fields = BTreeMap::new();
    for blob in first.into_values() {
        let log = Log::open(blob)?;
        let Some(payload) = log.payloads.first() else { continue };
        let parquet = Parquet::open(&log.blob, *payload, &options.limits)?;
        let columns = parquet.columns();
        match (&log.header, columns.as_slice()) {
            (Some(header), [column]) if header.field >= FIRST_USER_FIELD => {
                fields.insert(header.field, of_binlog(header, column, parquet)?);
            }
            (Some(_), _) => {}
            (None, columns) => {
                let unknown = Observed { data_type: None, dim: None, nullable: false };
                let ids = columns.iter().filter_map(|column| column.field).filter(|id| *id >= FIRST_USER_FIELD);
                fields.extend(ids.map(|id| (id, unknown.clone())));
            }
        }
    }
    Ok(fields)
}

fn of_binlog(header: &Header, column: &Column, parquet: Parquet) -> Result<Observed> {
    use arrow_schema::DataType as ArrowType;
    let data_type = DataType::of_number(header.data_type)?;
    let bytes = match &column.data_type {
        ArrowType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
        ArrowType::Binary if data_type.is_vector() && data_type != DataType::SparseFloatVector => first_len(parquet)?,
        _ => None,
    };
    let dim = bytes.and_then(|bytes| data_type.dim_of_bytes(bytes));
    Ok(Observed { data_type: Some(data_type), dim, nullable: header.nullable })
}

/// Bytes of the first value that is not null, among the first rows.
fn first_len(parquet: Parquet) -> Result<Option<usize>> {
    let rows = parquet.rows().min(1000);
    let mut pages = parquet.read(0, 0, rows)?;
    while let Some(array) = pages.next_array()? {
        let Some(values) = Values::of(&array) else { return Ok(None) };
        let len = (0..values.len()).find_map(|row| match values.cell(row) {
            Cell::Bytes(bytes) => Some(bytes.len()),
            _ => None,
        });
        if len.is_some() {
            return Ok(len);
        }
    }
    Ok(None)
}

/// Names fields `field_<id>`, with the primary key that the user or the statistics name.
fn name_by_id(
    collection: &mut Collection,
    seen: &BTreeMap<i64, Observed>,
    by_stats: Option<i64>,
    options: &OpenOptions,
) {
    let field = |(id, seen): (&i64, &Observed)| {
        let field = Field::new(*id, format!("field_{id}"), seen.data_type?);
        Some(Field { dim: seen.dim, nullable: seen.nullable, ..field })
    };
    collection.fields = seen.iter().filter_map(field).collect();
    let typed = collection.fields.len() == seen.len();
    let wanted = options.id_column.as_deref();
    let is_wanted = |field: &Field| wanted.is_some_and(|w| w == field.name || w == field.id.to_string());
    let chosen = collection.fields.iter().position(is_wanted);
    let guessed = || collection.fields.iter().position(|field| Some(field.id) == by_stats);
    let first = || collection.fields.iter().position(|f| matches!(f.data_type, DataType::Int64 | DataType::VarChar));
    let key = chosen.or_else(guessed).or_else(first);
    if let Some(field) = key.and_then(|key| collection.fields.get_mut(key)) {
        (field.primary, field.nullable) = (true, false);
    }
    collection.named = chosen.is_some() && typed;
    if !typed {
        collection.notes.push("packed Parquet (storage v2) does not tell the types of its fields".to_owned());
    }
    if !collection.named {
        collection.notes.push(
            "the logs hold ids of fields, no names; which field is the primary key is a guess: give -o schema=FILE, \
             or name the key with --id-column"
                .to_owned(),
        );
    }
}

/// Rows of all segments, from footers; `None` if there are too many to look at.
fn count(collection: &Collection, budget: &mut usize, options: &OpenOptions) -> Result<Option<u64>> {
    let logs: Vec<&Blob> = collection.segments.iter().filter_map(|s| s.groups.values().next()).flatten().collect();
    let Some(left) = budget.checked_sub(logs.len()) else { return Ok(None) };
    *budget = left;
    let mut rows = 0u64;
    for blob in logs {
        let log = Log::open(blob)?;
        for payload in &log.payloads {
            rows = rows.saturating_add(Parquet::open(&log.blob, *payload, &options.limits)?.rows());
        }
    }
    Ok(Some(rows))
}

fn tell(collection: &mut Collection) {
    collection.notes.push(
        "raw logs: rows that were not flushed are not in them; a collection or partition that was dropped may still be"
            .to_owned(),
    );
    let mut unnamed: Vec<String> = collection
        .segments
        .iter()
        .filter_map(|s| collection.namespace(s.partition).filter(|_| !collection.partitions.contains_key(&s.partition)))
        .collect();
    unnamed.sort();
    unnamed.dedup();
    if !unnamed.is_empty() {
        collection.notes.push(format!(
            "partitions are called by their ids ({}): names are not in the logs; give `partitions` in the schema file",
            unnamed.join(", ")
        ));
    }
}

/// One description of the schema file.
struct Described {
    name: String,
    id: Option<i64>,
    fields: Vec<Field>,
    partitions: BTreeMap<i64, String>,
    aliases: Vec<String>,
    indexes: Vec<Index>,
}

fn read_schemas(file: &Path) -> Result<Vec<Described>> {
    let bytes = Blob::of_path(file)?.read_all(MAX_SCHEMA_BYTES)?;
    let placed = |error: Error| error.with("file", file.display());
    let bad = |reason: String| {
        placed(Error::usage(format!("the schema file cannot be read: {reason}")))
            .hint("write what pymilvus' describe_collection answers, as JSON or as Python prints it")
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| bad(error.to_string()))?;
    let value = json_or_python(text).map_err(bad)?;
    let mut found = Vec::new();
    match &value {
        Value::Array(items) => {
            for item in items {
                found.push(described(None, item).map_err(placed)?);
            }
        }
        Value::Object(_) if is_description(&value) => found.push(described(None, &value).map_err(placed)?),
        Value::Object(entries) => {
            for (name, item) in entries {
                found.push(described(Some(name), item).map_err(placed)?);
            }
        }
        _ => {}
    }
    if found.is_empty() {
        return Err(bad("it describes no collection".to_owned()));
    }
    Ok(found)
}

/// What is neither is told of as what it looks like: Python puts strings between single quotes.
fn json_or_python(text: &str) -> std::result::Result<Value, String> {
    serde_json::from_str(text).or_else(|error| {
        let is_list = text.trim_start().starts_with(['{', '[']);
        let first_quote = text.chars().find(|c| matches!(c, '"' | '\''));
        let looks_like_json = is_list && first_quote != Some('\'');
        python::parse(text).map_err(|reason| if looks_like_json { format!("it is no JSON: {error}") } else { reason })
    })
}

fn is_description(value: &Value) -> bool {
    value.get("fields").is_some_and(Value::is_array)
        || value.get("schema").is_some_and(|s| s.is_object() || s.is_string())
}

fn described(name: Option<&str>, value: &Value) -> Result<Described> {
    let inner = match value.get("schema") {
        Some(Value::String(text)) => json_or_python(text).map_err(|reason| {
            Error::usage(format!("the schema of `{}` cannot be read: {reason}", name.unwrap_or_default()))
        })?,
        Some(schema @ Value::Object(_)) => schema.clone(),
        _ => value.clone(),
    };
    let own = text(value, &["collection_name", "name"]).or_else(|| text(&inner, &["collection_name", "name"]));
    let name = name.or(own).unwrap_or("unnamed").to_owned();
    let fields = description::fields(&inner).map_err(|error| error.with("collection", &name))?;
    if fields.is_empty() {
        return Err(Error::usage(format!("the schema of `{name}` has no fields")));
    }
    let id = |value: &Value| integer(value, &["collection_id", "collectionID"]);
    let partitions = value.get("partitions").or_else(|| inner.get("partitions")).and_then(Value::as_object);
    let partition = |(id, name): (&String, &Value)| Some((id.parse().ok()?, name.as_str()?.to_owned()));
    let partitions = partitions.into_iter().flatten().filter_map(partition).collect();
    let listed = |key| [value, &inner].into_iter().flat_map(move |v| description::list(v, key));
    let aliases = listed("aliases").filter_map(Value::as_str).map(str::to_owned).collect();
    let indexes = listed("indexes").map(description::index).collect();
    Ok(Described { id: id(value).or_else(|| id(&inner)), name, fields, partitions, aliases, indexes })
}

impl Described {
    /// The collections that may be meant.
    fn candidates(&self, observed: &BTreeMap<i64, BTreeMap<i64, Observed>>) -> Vec<i64> {
        match self.id {
            Some(id) => observed.keys().copied().filter(|found| *found == id).collect(),
            None => observed.iter().filter(|(_, seen)| self.fits(seen)).map(|(id, _)| *id).collect(),
        }
    }

    fn fits(&self, seen: &BTreeMap<i64, Observed>) -> bool {
        let same = |field: &Field, seen: &Observed| {
            seen.data_type.is_none_or(|found| found == field.data_type)
                && (field.dim.is_none() || seen.dim.is_none() || field.dim == seen.dim)
        };
        let known = |(id, seen): (&i64, &Observed)| self.fields.iter().any(|f| f.id == *id && same(f, seen));
        let optional = |field: &Field| field.nullable || field.dynamic || field.default.is_some();
        seen.iter().all(known) && self.fields.iter().all(|field| optional(field) || seen.contains_key(&field.id))
    }

    fn apply(&self, collection: &mut Collection, seen: &BTreeMap<i64, Observed>) {
        collection.name = self.name.clone();
        collection.named = true;
        collection.partitions = self.partitions.clone();
        collection.aliases = self.aliases.clone();
        collection.indexes = self.indexes.clone();
        collection.fields = self.fields.clone();
        for field in &mut collection.fields {
            if let Some(seen) = seen.get(&field.id) {
                field.dim = field.dim.or(seen.dim);
                field.nullable |= seen.nullable;
            }
        }
    }

    fn ambiguity(&self, several: &[i64]) -> String {
        let ids: Vec<String> = several.iter().map(i64::to_string).collect();
        format!("schema `{}` fits {} collections of the tree: {}", self.name, ids.len(), ids.join(", "))
    }

    fn ambiguous(&self, several: &[i64]) -> Error {
        Error::usage(self.ambiguity(several)).hint(
            "choose one by its id, or add \"collection_id\" to its description; a collection that was dropped and made \
             anew has a new, higher id",
        )
    }
}
