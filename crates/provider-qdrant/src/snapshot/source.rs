//! One collection of a dump as a [`Source`]: its schema, its files, and the segments that its points lie in.
//!
//! Errors: changing for a shard that a running server holds, not recognised and damaged for segments that cannot be
//! read, each naming the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tranship_collection::CollectionSchema;
use tranship_connector::{Error, ErrorKind, OpenOptions, PrepareContext, Prepared, Result, Source};
use tranship_storage::SourceIdentity;

use super::copies;
use super::layout::{Found, ShardCopy, shard_keys};
use super::prepare;
use super::schema::{self, Columns};
use super::segment::{SegmentConfig, SegmentFiles};
use super::wal;

/// A collection that has been opened.
pub struct SnapshotSource {
    root: PathBuf,
    pub(super) columns: Columns,
    pub(super) schema: CollectionSchema,
    pub(super) shards: Vec<Shard>,
    pub(super) options: OpenOptions,
    pub(super) notes: Vec<String>,
    /// What it was found in.
    pub form: &'static str,
}

/// One copy of a shard with its segments.
pub struct Shard {
    /// Where it comes from.
    pub copy: ShardCopy,
    /// Its shard key.
    pub namespace: Option<String>,
    /// Its segments.
    pub segments: Vec<(SegmentFiles, SegmentConfig)>,
}

impl SnapshotSource {
    /// Opens what was found at `root`.
    pub fn new(root: &Path, mut found: Found, options: &OpenOptions) -> Result<Self> {
        let keys = shard_keys(&found.settings);
        let mut notes = missing_shards(&found, &keys);
        let mut shards = Vec::new();
        let (copies, told) = copies::chosen(std::mem::take(&mut found.shards), &options.limits)?;
        notes.extend(told);
        for copy in &copies {
            check_lock(copy, options.allow_inconsistent, &mut notes)?;
            shards.push(Shard::open(copy, &keys, options, &mut notes)?);
        }
        let mut settings = found.settings;
        let params = settings.config.as_ref().and_then(|config| config.get("params"));
        let columns = match params {
            Some(params) => schema::collection_columns(params, &found.name, &options.limits)?,
            None => {
                let largest = largest_segment(&shards);
                settings.segment = largest.map(|config| config.raw.clone());
                columns_of_segments(&shards)?
            }
        };
        for (segment, config) in shards.iter().flat_map(|shard| &shard.segments) {
            for column in config.columns.iter().filter(|own| columns.iter().all(|known| known.name != own.name)) {
                let segment = &segment.name;
                notes.push(format!("segment {segment} still holds {column}, which the collection no longer has"));
            }
        }
        let schema = schema::collection_schema(&found.name, &columns, &settings, !keys.is_empty());
        let options = options.clone();
        Ok(SnapshotSource { root: root.to_owned(), columns, schema, shards, options, notes, form: found.form })
    }

    /// Most points that it may hold, from the headers of the id trackers.
    pub fn at_most(&self) -> Result<u64> {
        let segments = self.shards.iter().flat_map(|shard| &shard.segments);
        segments.map(|(segment, _)| Ok(segment.tracker(&self.options.limits)?.at_most())).sum()
    }

    /// Bytes of operations that stand in logs and may not be in the segments; counted until they are more than `most`.
    pub fn log_bytes(&self, most: u64) -> Result<u64> {
        let mut bytes = 0;
        for shard in &self.shards {
            bytes += wal::unapplied_bytes(&shard.copy.files.below("wal"), most - bytes, &self.options.limits)?;
            if bytes > most {
                break;
            }
        }
        Ok(bytes)
    }

    fn files(&self) -> Vec<(PathBuf, String)> {
        let name = |path: &Path| {
            let name = path.strip_prefix(&self.root).ok().filter(|name| !name.as_os_str().is_empty());
            let name = name.map(Path::as_os_str).or(path.file_name()).unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let mut paths: BTreeSet<&Path> =
            self.shards.iter().flat_map(|shard| shard.copy.files.iter()).map(|(_, blob)| blob.path()).collect();
        if self.root.is_file() {
            paths.insert(&self.root);
        }
        paths.into_iter().map(|path| (path.to_owned(), name(path))).collect()
    }
}

impl Shard {
    fn open(
        copy: &ShardCopy,
        keys: &BTreeMap<u32, String>,
        options: &OpenOptions,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let (files, unfinished) = copy.segments()?;
        for name in unfinished {
            notes.push(format!(
                "segment {name} of shard {} was never finished and is left out, as Qdrant does",
                copy.id
            ));
        }
        let mut segments = Vec::with_capacity(files.len());
        for segment in files {
            let config = segment.config(&options.limits)?;
            segments.push((segment, config));
        }
        Ok(Shard { copy: copy.clone(), namespace: keys.get(&copy.id).cloned(), segments })
    }

    /// The last operation that any of its segments has flushed.
    pub fn newest_flushed(&self) -> Option<u64> {
        self.segments.iter().filter_map(|(_, config)| config.version).max()
    }

    /// What it is called in messages.
    pub fn label(&self) -> String {
        match self.copy.node {
            Some(node) => format!("shard {} of node {node}", self.copy.id),
            None => format!("shard {}", self.copy.id),
        }
    }
}

impl Source for SnapshotSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        Ok(SourceIdentity::of(&self.files(), self.options.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        Ok(Box::new(prepare::prepare(self, context)?))
    }
}

/// Shards that the collection has elsewhere, and those that it does not have yet.
fn missing_shards(found: &Found, keys: &BTreeMap<u32, String>) -> Vec<String> {
    let params = found.settings.config.as_ref().and_then(|config| config.get("params"));
    let Some(params) = params else { return Vec::new() };
    let is_custom = params.get("sharding_method").and_then(|method| method.as_str()) == Some("custom");
    let count = params.get("shard_number").and_then(serde_json::Value::as_u64).filter(|_| !is_custom).unwrap_or(0);
    let here: BTreeSet<u32> = found.shards.iter().map(|shard| shard.id).collect();
    let wanted = (0..u32::try_from(count).unwrap_or(0)).chain(keys.keys().copied());
    let missing: BTreeSet<String> = wanted.filter(|id| !here.contains(id)).map(|id| id.to_string()).collect();
    let mut notes = Vec::new();
    for id in here.iter().filter(|id| count > 0 && keys.is_empty() && u64::from(**id) >= count) {
        notes.push(format!(
            "shard {id} is beyond the {count} of collection `{}`: it was being resharded when this was copied, and \
             points may be here twice; finish or abort that first",
            found.name
        ));
    }
    if missing.is_empty() {
        return notes;
    }
    let missing: Vec<String> = missing.into_iter().take(50).collect();
    notes.push(format!(
        "shards {} of collection `{}` are not here: put the snapshots of all nodes into one directory",
        missing.join(", "),
        found.name
    ));
    notes
}

/// Fails if a server holds the shard: it locks the directory of its log. Takes a shared lock for a moment.
fn check_lock(copy: &ShardCopy, allowed: bool, notes: &mut Vec<String>) -> Result<()> {
    let wal = copy.files.below("wal");
    let path = Path::new(wal.label());
    let is_held = |path: &Path| {
        let directory = std::fs::File::open(path).ok()?;
        Some(matches!(directory.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
    };
    if !path.is_dir() || is_held(path) != Some(true) {
        return Ok(());
    }
    if allowed {
        notes.push(format!("{} is locked by its database and was read all the same", path.display()));
        return Ok(());
    }
    Err(Error::new(ErrorKind::Changing, format!("{} is being written to: its database holds a lock", path.display()))
        .hint("stop Qdrant, or take a snapshot and read that; --allow-inconsistent reads it anyway"))
}

/// The columns that the segments of shards without a collection have; all must agree.
fn columns_of_segments(shards: &[Shard]) -> Result<Columns> {
    let mut columns = Columns::new();
    for (segment, config) in shards.iter().flat_map(|shard| &shard.segments) {
        for column in &config.columns {
            match columns.iter().find(|known| known.name == column.name) {
                None => columns.push(column.clone()),
                Some(known) if known == column => {}
                Some(known) => {
                    let what = format!("a segment has {column}, another one {known}");
                    return Err(super::bytes::damaged(segment.files.label(), what).with("segment", &segment.name));
                }
            }
        }
    }
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(columns)
}

/// The segment whose settings stand for the shard: the one with the most settings, which is an indexed one.
fn largest_segment(shards: &[Shard]) -> Option<&SegmentConfig> {
    let segments = shards.iter().flat_map(|shard| &shard.segments).map(|(_, config)| config);
    segments.max_by_key(|config| config.raw.to_string().len())
}
