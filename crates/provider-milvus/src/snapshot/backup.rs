//! A directory of milvus-backup.
//!
//! ```text
//! <backup>/meta/full_meta.json                      everything; or, by levels,
//! <backup>/meta/{backup,collection,partition,segment}_meta.json
//! <backup>/binlogs/insert_log/<collection>/<partition>/[<group>/]<segment>/<field>/<log>
//! <backup>/binlogs/delta_log/<collection>/<partition or -1>/[<group>/]<segment>/<log>
//! ```
//!
//! The JSON is what Go's encoding/json makes of the protobuf structs: enums are numbers, what is zero is missing,
//! 64-bit integers are bare numbers. Invariant: a log that the meta lists is there; what the meta does not list is not
//! read, since only live segments are listed.
//!
//! Errors: damaged for a log that is missing; not recognised for backups of format `snapshot` and storage version 3;
//! usage for a directory of several backups. Source: zilliztech/milvus-backup `internal/{meta,storage/mpath}`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tranship_connector::{Error, OpenOptions, Result};
use tranship_storage::{Blob, Tree};

use super::catalog::{Catalog, Collection, DeleteLog, Segment};
use super::description::{fields, flag, index, integer, list, pairs, text};
use super::tree::{self, DELTA_LOG, INSERT_LOG, LogName};

const FULL: &str = "full_meta.json";
const LEVELS: [&str; 4] = ["backup_meta.json", "collection_meta.json", "partition_meta.json", "segment_meta.json"];
const MAX_META_BYTES: u64 = 1 << 30;

/// The backup that `path` means: itself, the one that its `meta` belongs to, or the only one below it.
pub fn find(path: &Path) -> Result<Option<PathBuf>> {
    if is_backup(path) {
        return Ok(Some(path.to_owned()));
    }
    let above = |levels: usize| path.ancestors().nth(levels).filter(|dir| is_backup(dir)).map(Path::to_owned);
    let is_meta = path.file_name().is_some_and(|name| name == "meta" || name == FULL || name == LEVELS[0]);
    if is_meta {
        return Ok(above(if path.is_dir() { 1 } else { 2 }));
    }
    let mut below = backups_below(path);
    match below.len() {
        0 | 1 => Ok(below.pop()),
        count => {
            let name = |dir: &PathBuf| dir.file_name().map(|name| name.to_string_lossy().into_owned());
            let names: Vec<String> = below.iter().filter_map(name).collect();
            Err(Error::usage(format!("{} holds {count} backups", path.display()))
                .hint(format!("give one of them: {}", names.join(", "))))
        }
    }
}

/// True if `dir` is a backup.
pub fn is_backup(dir: &Path) -> bool {
    let meta = dir.join("meta");
    meta.join(FULL).is_file() || meta.join(LEVELS[0]).is_file()
}

/// The backups in a directory, in order.
pub fn backups_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_backup(path)).collect();
    found.sort();
    found
}

/// Reads the meta of the backup in `root`.
pub fn open(root: &Path, options: &OpenOptions) -> Result<Catalog> {
    if options.option("schema").is_some() {
        return Err(Error::usage("a backup describes its collections itself").hint("leave out -o schema"));
    }
    let (meta, described_by) = read_meta(root)?;
    let mut catalog = Catalog { described_by, ..Catalog::default() };
    let version = text(&meta, &["milvus_version"]).filter(|version| !version.is_empty());
    catalog.producer = Some(format!("Milvus {}, by milvus-backup", version.unwrap_or("of unknown version")));
    check_backup(&meta, root, options)?;
    let logs = Logs::of(&root.join("binlogs"))?;
    for described in list(&meta, "collection_backups") {
        catalog.collections.push(collection(described, &logs)?);
    }
    Ok(catalog.finish())
}

fn check_backup(meta: &Value, root: &Path, options: &OpenOptions) -> Result<()> {
    let format = text(meta, &["format"]).unwrap_or_default();
    if format == "snapshot" || (format.is_empty() && root.join("bundle").is_dir()) {
        return Err(Error::not_recognised("the backup is of format `snapshot`, which is not read")
            .with("directory", root.display())
            .hint("make it with milvus-backup in its binlog format, or restore it and export from there"));
    }
    let state = integer(meta, &["state_code"]).unwrap_or(0);
    let unfinished = match state {
        1 => "is still being made",
        3 => "has failed",
        4 => "has timed out",
        _ => return Ok(()),
    };
    if options.allow_inconsistent {
        return Ok(());
    }
    Err(Error::damaged(format!("the backup {unfinished}: its state is {state}"))
        .with("directory", root.display())
        .hint("make it again; or take what is there with --allow-inconsistent"))
}

/// The whole meta as one tree, and the files that it stands in.
fn read_meta(root: &Path) -> Result<(Value, Vec<Blob>)> {
    let dir = root.join("meta");
    if dir.join(FULL).is_file() {
        let (meta, blob) = read_json(&dir.join(FULL))?;
        return Ok((meta, vec![blob]));
    }
    let mut levels = LEVELS.iter().map(|name| read_json(&dir.join(name))).collect::<Result<Vec<_>>>()?;
    let blobs = levels.iter().map(|(_, blob)| blob.clone()).collect();
    let mut level = |number: usize| levels.get_mut(number).map_or(Value::Null, |(value, _)| value.take());
    let (mut backup, collections, partitions, segments) = (level(0), level(1), level(2), level(3));
    backup["collection_backups"] = Value::Array(nest(collections, partitions, segments));
    Ok((backup, blobs))
}

/// Hangs segments into their partitions and partitions into their collections.
fn nest(collections: Value, partitions: Value, segments: Value) -> Vec<Value> {
    let ids = |value: &Value| (integer(value, &["collection_id"]), integer(value, &["partition_id"]));
    let mut of_partition = BTreeMap::<_, Vec<Value>>::new();
    let mut of_all = BTreeMap::<_, Vec<Value>>::new();
    for segment in list(&segments, "infos") {
        match ids(segment) {
            (collection, Some(-1)) => of_all.entry(collection).or_default().push(segment.clone()),
            ids => of_partition.entry(ids).or_default().push(segment.clone()),
        }
    }
    let mut of_collection = BTreeMap::<_, Vec<Value>>::new();
    for partition in list(&partitions, "infos") {
        let mut partition = partition.clone();
        let ids = ids(&partition);
        partition["segment_backups"] = Value::Array(of_partition.remove(&ids).unwrap_or_default());
        of_collection.entry(ids.0).or_default().push(partition);
    }
    let whole = |collection: &Value| {
        let mut collection = collection.clone();
        let id = integer(&collection, &["collection_id"]);
        collection["partition_backups"] = Value::Array(of_collection.remove(&id).unwrap_or_default());
        if let Some(segments) = of_all.remove(&id) {
            let known = list(&collection, "l0_segments").to_vec();
            collection["l0_segments"] = Value::Array([known, segments].concat());
        }
        collection
    };
    list(&collections, "infos").iter().map(whole).collect()
}

fn read_json(path: &Path) -> Result<(Value, Blob)> {
    let blob = Blob::of_path(path)?;
    let bytes = blob.read_all(MAX_META_BYTES)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
        Error::damaged("the meta of the backup is no JSON")
            .with("file", path.display())
            .hint("copy the backup again from its origin")
            .caused_by(error)
    })?;
    if !value.is_object() {
        return Err(Error::damaged("the meta of the backup is no JSON object").with("file", path.display()));
    }
    Ok((value, blob))
}

fn collection(described: &Value, logs: &Logs) -> Result<Collection> {
    let schema = described.get("schema").unwrap_or(&Value::Null);
    let name = text(described, &["collection_name"]).or_else(|| text(schema, &["name"])).unwrap_or_default();
    let named = |error: Error| error.with("collection", name);
    let mut collection = Collection {
        id: integer(described, &["collection_id"]).unwrap_or(0),
        name: name.to_owned(),
        database: text(described, &["db_name"]).filter(|db| *db != "default").unwrap_or_default().to_owned(),
        fields: fields(schema).map_err(named)?,
        named: true,
        indexes: list(described, "index_infos").iter().map(index).collect(),
        ..Collection::default()
    };
    for key in ["properties", "shards_num", "consistency_level", "backup_timestamp", "description", "functions"] {
        let value = described.get(key).or_else(|| schema.get(key)).filter(|value| !value.is_null());
        if let Some(value) = value {
            collection.settings.insert(key.to_owned(), value.clone());
        }
    }
    let ttl = ["properties"].iter().find_map(|key| {
        let properties = [pairs(described, key), pairs(schema, key)];
        properties.iter().find_map(|p| p.get("collection.ttl.seconds").cloned())
    });
    if let Some(ttl) = ttl.filter(|ttl| !matches!(ttl.as_str(), Some("0" | "-1"))) {
        collection.notes.push(format!("rows older than {ttl} seconds (collection.ttl.seconds) are kept"));
    }
    for partition in list(described, "partition_backups") {
        let id = integer(partition, &["partition_id"]).unwrap_or(0);
        collection.partitions.insert(id, text(partition, &["partition_name"]).unwrap_or_default().to_owned());
        for segment in list(partition, "segment_backups") {
            add_segment(segment, Some(id), logs, &mut collection).map_err(named)?;
        }
    }
    for segment in list(described, "l0_segments") {
        add_segment(segment, None, logs, &mut collection).map_err(named)?;
    }
    collection.rows = collection.segments.iter().map(|segment| segment.rows).sum();
    Ok(collection)
}

fn add_segment(described: &Value, partition: Option<i64>, logs: &Logs, collection: &mut Collection) -> Result<()> {
    let id = integer(described, &["segment_id"]).unwrap_or(0);
    let version = integer(described, &["storage_version"]).unwrap_or(0);
    if version > 2 || text(described, &["manifest_path", "manifest"]).is_some_and(|path| !path.is_empty()) {
        return Err(Error::not_recognised(format!("segment {id} is of storage version {version}, which is not read"))
            .hint("storage versions 1 and 2 are; make the backup from a Milvus before 2.7"));
    }
    let partition = partition.or_else(|| integer(described, &["partition_id"])).filter(|id| *id != -1);
    let place = Place { collection: collection.id, segment: id, logs };
    for (_, log) in place.listed(list(described, "deltalogs"), DELTA_LOG)? {
        collection.deletes.push(DeleteLog { blob: log, partition });
    }
    let stated = integer(described, &["num_of_rows"]).and_then(|rows| u64::try_from(rows).ok());
    if flag(described, &["is_l0"]) || partition.is_none() {
        return Ok(());
    }
    let mut segment = Segment { id, partition: partition.unwrap_or(0), rows: stated, ..Segment::default() };
    for (field, log) in place.listed(list(described, "binlogs"), INSERT_LOG)? {
        segment.groups.entry(field).or_default().push(log);
    }
    if segment.groups.is_empty() && stated.unwrap_or(0) == 0 {
        return Ok(());
    }
    if segment.groups.is_empty() {
        return Err(Error::damaged(format!("segment {id} has rows, but the meta lists no logs of it"))
            .with("directory", &logs.label)
            .hint("make the backup again"));
    }
    // A count of zero is not written, and old backups count differently where rows were deleted.
    segment.rows = stated.filter(|rows| *rows > 0);
    collection.segments.push(segment);
    Ok(())
}

/// The files below `binlogs`, by what their names say.
struct Logs {
    label: String,
    files: BTreeMap<LogName, Blob>,
}

impl Logs {
    fn of(dir: &Path) -> Result<Self> {
        let all = if dir.is_dir() { Tree::of_dir(dir)? } else { Tree::new(dir.display().to_string()) };
        let mut files = BTreeMap::new();
        for (name, blob) in all.iter() {
            tree::check_name(name, blob)?;
            if let Some(log) = LogName::parse(name) {
                files.insert(log.without_partition(), blob.clone());
            }
        }
        Ok(Logs { label: dir.display().to_string(), files })
    }
}

/// One segment of a backup.
struct Place<'a> {
    collection: i64,
    segment: i64,
    logs: &'a Logs,
}

impl Place<'_> {
    /// The files that a list of `FieldBinlog`s names, in the order of their ids, each with its field.
    fn listed(&self, described: &[Value], kind: &'static str) -> Result<Vec<(i64, Blob)>> {
        let mut found = Vec::new();
        for group in described {
            let field = integer(group, &["fieldID", "field_id"]).unwrap_or(0);
            for log in list(group, "binlogs") {
                let path = text(log, &["log_path"]).unwrap_or_default();
                let at_end = || path.rsplit('/').next().and_then(|name| name.parse().ok());
                let id = integer(log, &["log_id"]).filter(|id| *id != 0).or_else(at_end);
                let id = id.ok_or_else(|| self.unnamed(field))?;
                found.push((field, id));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(field, log)| Ok((field, self.file(kind, field, log)?))).collect()
    }

    fn file(&self, kind: &'static str, field: i64, log: i64) -> Result<Blob> {
        let field = if kind == DELTA_LOG { -1 } else { field };
        let name = LogName { kind, collection: self.collection, partition: 0, segment: self.segment, field, log };
        self.logs.files.get(&name).cloned().ok_or_else(|| {
            let field = if field < 0 { String::new() } else { format!("{field}/") };
            let path = format!("{}/{kind}/{}/../{}/{field}{log}", self.logs.label, self.collection, self.segment);
            Error::damaged("a log that the backup lists is missing")
                .with("file", path)
                .hint("copy the backup again from its origin, all of it")
        })
    }

    fn unnamed(&self, field: i64) -> Error {
        Error::damaged(format!("a log of segment {} and field {field} has neither id nor path", self.segment))
            .with("directory", &self.logs.label)
            .hint("make the backup again")
    }
}
