//! What lies at a path: collections, the copies of their shards, and the segments of each.
//!
//! ```text
//! full storage snapshot    config.json {"collections_mapping", "collections_aliases"}, <collection>.snapshot ..
//! storage directory        collections/<name>/.., aliases/data.json
//! collection               config.json {"params"}, payload_index.json, shard_key_mapping.json, <shard>/..
//! shard                    segments/<uuid>.tar or segments/<uuid>/.., wal/.., replica_state.json
//! segment tar              snapshot/files/.. and snapshot/db_backup/..; or files/..; or the files themselves
//! ```
//!
//! Each may be a directory, a tar, or a tar of a directory. A directory of snapshots holds one collection per name;
//! snapshots that several nodes took of one collection are its shards and their copies. Nodes are told apart by the
//! peer id of the file name or of `replica_state.json`.
//!
//! Invariant: nothing here depends on the order of members. Unfinished and dropped segments (`.deleted`, hidden, or
//! without `version.info`) and `temp_segments` are left out.
//!
//! Errors: not recognised, usage for two snapshots of the same node, damaged for configurations that are no JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use tranship_connector::{Error, ErrorKind, Result};
use tranship_container::tar;
use tranship_storage::{Blob, Tree};

use super::bytes::damaged;
use super::names::SnapshotName;
use super::schema::Settings;
use super::segment::SegmentFiles;

/// Most bytes of a configuration file.
const CONFIG_BYTES: u64 = 64 << 20;

/// A collection, or what one path holds of it.
#[derive(Clone)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What it was found in.
    pub form: &'static str,
    /// What the dump says of it.
    pub settings: Settings,
    /// Its shards, each perhaps in several copies.
    pub shards: Vec<ShardCopy>,
}

/// One copy of a shard.
#[derive(Clone)]
pub struct ShardCopy {
    /// Number of the shard.
    pub id: u32,
    /// The node that it comes from, where that is known.
    pub node: Option<u64>,
    /// Its files.
    pub files: Tree,
}

/// The collections at `path`.
pub fn find(path: &Path) -> Result<Vec<Found>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if path.is_dir() {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or(name);
        return with_parent_settings(find_in(Tree::of_dir(path)?, &name)?, &absolute);
    }
    let blob = Blob::of_path(path)?;
    if !tar::is_tar(&blob) {
        return Err(Error::not_recognised(format!("{} is no Qdrant snapshot: it is no tar", path.display()))
            .hint("give a .snapshot file, a storage directory, or a tar of one; unpack compressed ones first"));
    }
    find_in(tar::read(&blob)?, &name)
}

/// The collections in a tree that is called `name`.
fn find_in(tree: Tree, name: &str) -> Result<Vec<Found>> {
    let config = json(&tree, "config.json")?;
    let has = |key: &str| config.as_ref().is_some_and(|config| config.get(key).is_some());
    if has("collections_mapping") {
        return full_storage(&tree, config.as_ref());
    }
    if has("params") {
        return Ok(vec![collection(&tree, name, config)?]);
    }
    let dirs: Vec<String> = tree.dirs().into_iter().map(str::to_owned).collect();
    let has_dir = |wanted: &str| dirs.iter().any(|dir| dir == wanted);
    if has_dir("segments") {
        return Ok(vec![lone_shard(&tree, name)?]);
    }
    if has_dir("collections") {
        return storage(&tree);
    }
    if has_dir("storage") {
        return find_in(tree.below("storage"), "storage");
    }
    let collections: Vec<&String> =
        dirs.iter().filter(|dir| tree.get(&format!("{dir}/config.json")).is_some()).collect();
    if !collections.is_empty() {
        let found = collections.iter().map(|dir| find_in(tree.below(dir), dir)).collect::<Result<Vec<_>>>()?;
        return Ok(found.concat());
    }
    let snapshots = snapshots(&tree)?;
    if !snapshots.is_empty() {
        return merge(snapshots);
    }
    match dirs.as_slice() {
        [only] => find_in(tree.below(only), only),
        [] => Err(nothing(&tree)),
        several => {
            let found = several.iter().map(|dir| find_in(tree.below(dir), dir));
            let found = found.filter_map(known).collect::<Result<Vec<_>>>()?.concat();
            if found.is_empty() { Err(nothing(&tree)) } else { Ok(found) }
        }
    }
}

/// What is not Qdrant's among other things is passed over; what is, and is damaged, is an error.
fn known(found: Result<Vec<Found>>) -> Option<Result<Vec<Found>>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotRecognised => None,
        other => Some(other),
    }
}

fn nothing(tree: &Tree) -> Error {
    Error::not_recognised(format!("{} holds no Qdrant collection", tree.label()))
        .hint("give a .snapshot file, a storage directory, a collection or shard directory, or a tar of one")
}

/// Snapshots at the top of a directory, each with its collection.
fn snapshots(tree: &Tree) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for (name, blob) in tree.iter().filter(|(name, _)| !name.contains('/')) {
        let is_snapshot = name.ends_with(".snapshot");
        if is_snapshot && !tar::is_tar(blob) {
            return Err(damaged(blob.label(), "the snapshot is no tar"));
        }
        if is_snapshot || (name.ends_with(".tar") && tar::is_tar(blob)) {
            let inside = find_in(tar::read(blob)?, name);
            match is_snapshot {
                true => found.extend(inside?),
                false => found.extend(known(inside).transpose()?.unwrap_or_default()),
            }
        }
    }
    Ok(found)
}

/// Puts the snapshots of one collection together, which several nodes took of it.
fn merge(found: Vec<Found>) -> Result<Vec<Found>> {
    let mut merged: Vec<Found> = Vec::new();
    for next in found {
        let Some(known) = merged.iter_mut().find(|known| are_one(known, &next)) else {
            merged.push(next);
            continue;
        };
        let twice = next.shards.iter().find_map(|shard| {
            let same = known.shards.iter().find(|other| (other.id, other.node) == (shard.id, shard.node))?;
            Some((same.files.label().to_owned(), shard.files.label().to_owned()))
        });
        if let Some((first, second)) = twice {
            return Err(Error::usage(format!("two snapshots of one node of collection `{}`", known.name))
                .with("first", first)
                .with("second", second)
                .hint("give the newer one alone, or one snapshot of every node"));
        }
        known.shards.extend(next.shards);
        known.form = "snapshots of several nodes";
    }
    Ok(merged)
}

/// True for snapshots of one collection: of the same name, or renamed ones of other nodes with the same settings.
fn are_one(a: &Found, b: &Found) -> bool {
    if a.name == b.name {
        return true;
    }
    let nodes = |found: &Found| found.shards.iter().filter_map(|shard| shard.node).collect::<Vec<_>>();
    let params = |found: &Found| found.settings.config.as_ref().and_then(|config| config.get("params").cloned());
    let is_renamed = |found: &Found| !found.form.contains("named");
    let (here, there) = (nodes(a), nodes(b));
    let are_apart = !here.is_empty() && !there.is_empty() && here.iter().all(|node| !there.contains(node));
    is_renamed(a) && is_renamed(b) && are_apart && params(a).is_some() && params(a) == params(b)
}

/// A full storage snapshot.
fn full_storage(tree: &Tree, config: Option<&Value>) -> Result<Vec<Found>> {
    let map =
        |key: &str| config.and_then(|config| config.get(key)).and_then(Value::as_object).cloned().unwrap_or_default();
    let aliases = map("collections_aliases");
    let mut found = Vec::new();
    for (name, file) in map("collections_mapping") {
        let file = file.as_str().unwrap_or_default();
        let blob = tree.get(file).ok_or_else(|| {
            damaged(tree.label(), format!("the storage snapshot does not hold {file:?} of collection `{name}`"))
        })?;
        for mut collection in find_in(tar::read(blob)?, file)? {
            collection.settings.aliases = aliases_of(&aliases, &name);
            collection.name.clone_from(&name);
            collection.form = "full storage snapshot";
            found.push(collection);
        }
    }
    Ok(found)
}

/// A storage directory.
fn storage(tree: &Tree) -> Result<Vec<Found>> {
    let aliases = json(tree, "aliases/data.json")?.and_then(|value| value.as_object().cloned()).unwrap_or_default();
    let collections = tree.below("collections");
    let mut found = Vec::new();
    for name in collections.dirs().into_iter().filter(|name| !name.starts_with('.')) {
        let dir = collections.below(name);
        if let Some(config) = json(&dir, "config.json")? {
            let mut collection = collection(&dir, name, Some(config))?;
            collection.settings.aliases = aliases_of(&aliases, name);
            collection.form = "storage directory";
            found.push(collection);
        }
    }
    if found.is_empty() { Err(nothing(tree)) } else { Ok(found) }
}

fn aliases_of(aliases: &serde_json::Map<String, Value>, name: &str) -> Vec<String> {
    aliases.iter().filter(|(_, of)| of.as_str() == Some(name)).map(|(alias, _)| alias.clone()).collect()
}

/// A collection with its shards.
fn collection(tree: &Tree, file: &str, config: Option<Value>) -> Result<Found> {
    let name = SnapshotName::parse(file);
    let mut shards = Vec::new();
    for dir in tree.dirs() {
        let Ok(id) = dir.parse() else { continue };
        let files = tree.below(dir);
        let (node, is_local) = replica(&files)?;
        if is_local || !files.below("segments").is_empty() {
            shards.push(ShardCopy { id, node: node.or(name.peer), files });
        }
    }
    shards.sort_by_key(|shard| shard.id);
    let settings = Settings {
        config,
        segment: None,
        payload_index: json(tree, "payload_index.json")?,
        shard_keys: json(tree, "shard_key_mapping.json")?,
        aliases: Vec::new(),
    };
    let form = if name.is_stamped { "named collection snapshot" } else { "collection" };
    Ok(Found { name: name.collection, form, settings, shards })
}

/// A shard without its collection.
fn lone_shard(tree: &Tree, file: &str) -> Result<Found> {
    let name = SnapshotName::parse(file);
    let (node, _) = replica(tree)?;
    let settings = Settings {
        config: json(tree, "edge_config.json")?.map(|edge| serde_json::json!({ "edge": edge })),
        payload_index: json(tree, "payload_index.json")?,
        ..Settings::default()
    };
    let shards = vec![ShardCopy { id: name.shard.unwrap_or(0), node, files: tree.clone() }];
    let form = if name.is_stamped { "named shard snapshot" } else { "shard" };
    Ok(Found { name: name.collection, form, settings, shards })
}

/// A shard directory that lies in its collection's directory has the settings of that.
fn with_parent_settings(mut found: Vec<Found>, path: &Path) -> Result<Vec<Found>> {
    let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    let config = path.parent().map(|parent| parent.join("config.json")).filter(|config| config.is_file());
    let ([shard], Some(id), Some(config)) = (found.as_mut_slice(), id, config) else { return Ok(found) };
    let (Some(parent), None) = (path.parent(), &shard.settings.config) else { return Ok(found) };
    let mut files = Tree::new(parent.display().to_string());
    for name in ["config.json", "payload_index.json", "shard_key_mapping.json"] {
        if parent.join(name).is_file() {
            files.insert(name, Blob::of_path(&parent.join(name))?);
        }
    }
    let name = parent.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Some(settings) = json(&files, "config.json")?.filter(|config| config.get("params").is_some()) else {
        return Err(damaged(&config.display().to_string(), "it is not the configuration of a collection"));
    };
    let whole = collection(&files, &name, Some(settings))?;
    (shard.name, shard.settings) = (whole.name, whole.settings);
    shard.shards.iter_mut().for_each(|copy| copy.id = id);
    Ok(found)
}

/// The node of a shard, and whether its points are here.
fn replica(files: &Tree) -> Result<(Option<u64>, bool)> {
    let state = json(files, "replica_state.json")?;
    let node = state.as_ref().and_then(|state| state.get("this_peer_id")).and_then(Value::as_u64);
    let is_local = state.as_ref().and_then(|state| state.get("is_local")).and_then(Value::as_bool);
    Ok((node, is_local.unwrap_or(false)))
}

/// A file of JSON; `None` if it is not there.
pub fn json(tree: &Tree, name: &str) -> Result<Option<Value>> {
    let Some(blob) = tree.get(name) else { return Ok(None) };
    let text = blob.read_all(CONFIG_BYTES)?;
    serde_json::from_slice(&text).map(Some).map_err(|e| damaged(blob.label(), "it is no JSON").caused_by(e))
}

impl ShardCopy {
    /// The segments, by name; and the names of those that were never finished.
    pub fn segments(&self) -> Result<(Vec<SegmentFiles>, Vec<String>)> {
        let all = self.files.below("segments");
        let mut trees: BTreeMap<String, SegmentFiles> = BTreeMap::new();
        for dir in all.dirs() {
            trees.insert(dir.to_owned(), segment_files(dir.to_owned(), all.below(dir)));
        }
        for (name, blob) in all.iter().filter(|(name, _)| !name.contains('/')) {
            if let Some(stem) = name.strip_suffix(".tar") {
                // Qdrant leaves the end mark of these out; `version.info` is the last member.
                let tree = tar::read_without_end(blob)?;
                let segment = segment_files(stem.to_owned(), tree);
                if !segment.is_whole() {
                    return Err(damaged(blob.label(), "a segment without version.info, the last of its members"));
                }
                trees.insert(stem.to_owned(), segment);
            }
        }
        let is_dropped = |name: &str| name.starts_with('.') || name.ends_with(".deleted");
        let (mut segments, mut unfinished) = (Vec::new(), Vec::new());
        for (_, segment) in trees.into_iter().filter(|(name, _)| !is_dropped(name)) {
            match segment.is_whole() {
                true => segments.push(segment),
                false => unfinished.push(segment.name),
            }
        }
        Ok((segments, unfinished))
    }
}

/// The files of a segment, below whatever directories a snapshot puts around them.
fn segment_files(name: String, tree: Tree) -> SegmentFiles {
    let around = if tree.dirs().contains(&"snapshot") { tree.below("snapshot") } else { tree };
    let backup = around.below("db_backup");
    let files = if around.get("segment.json").is_none() { around.below("files") } else { around };
    SegmentFiles { name, files, backup: (!backup.is_empty()).then_some(backup) }
}

/// The namespaces of a collection with custom sharding: the shard key of every shard. A text that is spelled as a
/// number that is a key too stands in quotes.
pub fn shard_keys(settings: &Settings) -> BTreeMap<u32, String> {
    let mut keys = BTreeMap::new();
    let mut put = |key: String, ids: Option<&Value>| {
        let ids = ids.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for id in ids.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()) {
            keys.insert(id, key.clone());
        }
    };
    match &settings.shard_keys {
        Some(Value::Object(map)) => map.iter().for_each(|(key, ids)| put(key.clone(), Some(ids))),
        Some(Value::Array(list)) => {
            // The number 7 and the text "7" are two keys.
            let numbers: BTreeSet<String> =
                list.iter().filter_map(|entry| Some(entry.get("key")?.as_u64()?.to_string())).collect();
            for entry in list {
                let key = match entry.get("key") {
                    Some(text @ Value::String(key)) if numbers.contains(key) => text.to_string(),
                    Some(Value::String(key)) => key.clone(),
                    Some(key) => key.to_string(),
                    None => continue,
                };
                put(key, entry.get("shard_ids"));
            }
        }
        _ => {}
    }
    keys
}
