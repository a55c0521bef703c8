//! Reads what Qdrant leaves on disk: snapshots of collections, shards and whole storages, storage directories, and the
//! snapshots that several nodes took of one collection.
//!
//! Found by [`layout`], opened as [`source`], settled by [`prepare`] (which rows live) and read by [`reader`]. Segments
//! of every release since 1.7 lie behind the traits of [`stores`]: flat files, Gridstore and RocksDB. The write-ahead
//! log of a shard is replayed over its segments ([`overlay`]). Nested tars are read in place.
//!
//! Invariant: the source is never written to. Each row of each segment is a record, or counted as deleted or
//! superseded, or a reject with its place. Cosine vectors come as they are stored: normalised (f32, f16).
//!
//! Source of the format: qdrant/qdrant v1.7 to v1.19 and qdrant-edge 0.9.0; checked against dumps of 1.10, 1.11, 1.13,
//! 1.19 and against the engine itself.

pub mod bytes;
pub mod cbor;
pub mod cells;
mod copies;
mod dense;
mod flags;
mod gridstore;
mod id_table;
pub mod layout;
mod names;
pub mod overlay;
mod payloads;
mod pieces;
pub mod point_id;
mod prepare;
mod reader;
pub mod rocks;
pub mod schema;
mod segment;
mod source;
mod sparse;
pub mod stores;
mod tracker;
pub mod wal;

use std::path::Path;

use tranship_collection::CollectionSchema;
use tranship_connector::{CollectionInfo, Count, Error, Locator, OpenOptions, PrepareContext, Result, Score, Source};
use tranship_storage::{Blob, Scratch};

use layout::Found;
pub use source::SnapshotSource;

/// Points up to which listing counts exactly, by reading the id trackers.
const COUNTED_POINTS: u64 = 500_000;
/// Bytes of write-ahead logs up to which listing replays them.
const COUNTED_LOG_BYTES: u64 = 32 << 20;
/// Memory that counting may take, bytes.
const COUNTING_BYTES: u64 = 256 << 20;

/// Scores a path: 95 for a snapshot or a directory of Qdrant.
pub fn probe(path: &Path) -> Option<Score> {
    let is_candidate = match path.is_dir() {
        true => looks_like_storage(path),
        false => Blob::of_path(path).is_ok_and(|blob| tranship_container::tar::is_tar(&blob)),
    };
    (is_candidate && layout::find(path).is_ok()).then_some(95)
}

/// The collections at a path. What cannot be read is told in a note.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let mut infos: Vec<CollectionInfo> = Vec::new();
    for found in layout::find(&locator.path)? {
        let name = found.name.clone();
        infos.push(match SnapshotSource::new(&locator.path, found, options) {
            Ok(source) => info(name, &source),
            Err(error) => unreadable(name, &error),
        });
    }
    infos.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(infos)
}

/// Opens one collection.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    let found = choose(layout::find(&locator.path)?, options, &locator.path)?;
    let name = found.name.clone();
    let source = SnapshotSource::new(&locator.path, found, options);
    Ok(Box::new(source.map_err(|error| error.with("collection", name))?))
}

fn choose(mut all: Vec<Found>, options: &OpenOptions, path: &Path) -> Result<Found> {
    let mut names: Vec<String> = all.iter().map(|found| found.name.clone()).collect();
    names.sort();
    let hint = format!("it holds {}", names.join(", "));
    let position = match &options.collection {
        Some(wanted) => all
            .iter()
            .position(|found| found.name == *wanted)
            .or_else(|| all.iter().position(|found| found.settings.aliases.contains(wanted)))
            .ok_or_else(|| Error::usage(format!("{} holds no collection `{wanted}`", path.display())).hint(hint))?,
        None if all.len() == 1 => 0,
        None => {
            let what = format!("{} holds {} collections", path.display(), all.len());
            return Err(Error::usage(what).hint(format!("choose with --collection, or take --all; {hint}")));
        }
    };
    Ok(all.swap_remove(position))
}

/// True for a directory whose entries could be Qdrant's: a look before everything below it is listed.
fn looks_like_storage(path: &Path) -> bool {
    let is_named = ["collections", "storage/collections", "segments"].iter().any(|name| path.join(name).is_dir());
    if is_named || path.join("config.json").is_file() {
        return true;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let could_be = |entry: std::fs::DirEntry| {
        let path = entry.path();
        let is_snapshot = path.extension().is_some_and(|extension| extension == "snapshot");
        is_snapshot || ["config.json", "segments", "collections"].iter().any(|name| path.join(name).exists())
    };
    entries.take(10_000).any(could_be)
}

fn info(name: String, source: &SnapshotSource) -> CollectionInfo {
    let mut info = CollectionInfo {
        name,
        records: Count::Unknown,
        schema: source.schema().clone(),
        producer: Some(format!("Qdrant ({}; its files name no version)", source.form)),
        notes: source.notes.clone(),
    };
    match count(source) {
        Ok((records, notes)) => (info.records, info.notes) = (records, notes.unwrap_or(info.notes)),
        Err(error) => info.notes.push(format!("cannot be read as it is: {error}")),
    }
    info
}

/// How many points there are: exactly where the trackers are read quickly. Then with the notes of doing so.
fn count(source: &SnapshotSource) -> Result<(Count, Option<Vec<String>>)> {
    let at_most = source.at_most()?;
    let log_bytes = source.log_bytes(COUNTED_LOG_BYTES)?;
    if at_most > COUNTED_POINTS || log_bytes > COUNTED_LOG_BYTES {
        // A log writes points that no tracker knows.
        let count = if log_bytes > 0 { Count::Unknown } else { Count::UpTo(at_most) };
        return Ok((count, None));
    }
    let scratch = Scratch::new(None)?;
    let context = PrepareContext { memory_bytes: COUNTING_BYTES, split_bytes: 1 << 20, scratch: scratch.path() };
    let prepared = source.prepare(&context)?;
    let records = prepared.ledger().live.map_or(Count::UpTo(at_most), Count::Exact);
    Ok((records, Some(prepared.notes())))
}

fn unreadable(name: String, error: &Error) -> CollectionInfo {
    CollectionInfo {
        schema: CollectionSchema::new(name.clone()),
        name,
        records: Count::Unknown,
        producer: Some("Qdrant (its files name no version)".to_owned()),
        notes: vec![format!("cannot be read: {error}")],
    }
}
