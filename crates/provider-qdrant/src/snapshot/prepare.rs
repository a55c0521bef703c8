//! Which rows of which segments are points of the collection.
//!
//! Every mapped row of every segment goes into a [`Liveness`] under the digest of its shard and id, with its version:
//! the highest version of a point lives, over all segments and all copies of its shard; ids are never compared across
//! shards. Points that a log touches are rows of a part of their own behind the segments (see `overlay`).
//!
//! A row that has no version was never completed: it is dropped and counted as deleted, and told in a note unless
//! the log writes the point anew.
//!
//! Memory: one bit per row, 17 bytes per row up to a quarter of the budget (in a scratch file beyond), and the points
//! that logs touch.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tranship_collection::{CollectionSchema, IdKind, IdKinds};
use tranship_connector::{
    Batches, LiveRows, Liveness, PrepareContext, Prepared, RejectSink, Result, RowLedger, SameVersion, Split, Splits,
};
use tranship_storage::staging::make_parent;
use xxhash_rust::xxh3::xxh3_128;

use super::cells::{Cells, FULL_BYTES, Value};
use super::id_table::{self, IdTable};
use super::overlay::{BasePoints, Change, Log};
use super::point_id::{PACKED_BYTES, PointId};
use super::reader::{OverlayReader, SegmentReader};
use super::segment::Segment;
use super::source::{Shard, SnapshotSource};
use super::wal::vectors::Summation;
use super::wal::{self, Release};

/// Most rows of a split.
const SPLIT_ROWS: u64 = 200_000;
/// Memory of one store: values of a request as stored, what was read over, and the cells, which grow by doubling.
const STORE_BYTES: u64 = 4 * FULL_BYTES as u64;
/// What a row is taken to need beside its dense vectors, bytes.
const OTHER_BYTES: u64 = 512;

/// A collection whose live rows are known.
pub struct PreparedSnapshot<'a> {
    pub(super) source: &'a SnapshotSource,
    pub(super) schema: Arc<CollectionSchema>,
    pub(super) parts: Vec<Part>,
    pub(super) overlays: Vec<OverlayPart>,
    pub(super) live: LiveRows,
    pub(super) row_bytes: u64,
    ledger: RowLedger,
    notes: Vec<String>,
    split_bytes: u64,
}

/// A segment.
pub struct Part {
    /// Shard and segment, for messages.
    pub label: String,
    /// Position of its shard in the source.
    pub shard: usize,
    /// Its stores.
    pub segment: Segment,
    /// Ids by row.
    pub ids: IdTable,
    /// One past the highest row.
    pub rows: u64,
}

/// The points that the log of one copy of a shard wrote; its rows count from 0.
pub struct OverlayPart {
    /// Shard, for messages.
    pub label: String,
    /// Position of its shard in the source.
    pub shard: usize,
    /// The points, by id.
    pub points: Vec<(PointId, Change, Option<Base>)>,
}

/// The newest copy of a point in the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base {
    /// Operation that wrote it.
    pub version: u64,
    /// Position of its segment.
    pub part: usize,
    /// Row in the segment.
    pub row: u32,
}

/// What the scan of the trackers counts.
#[derive(Default)]
struct Counts {
    raw: u64,
    deleted: u64,
    superseded: u64,
    /// Rows without version whose point no log touches.
    incomplete: u64,
    has_integers: bool,
    has_texts: bool,
}

/// Finds the live rows.
pub fn prepare<'a>(source: &'a SnapshotSource, context: &PrepareContext<'_>) -> Result<PreparedSnapshot<'a>> {
    let mut notes = source.notes.clone();
    let segments = open_segments(source)?;
    let logs = open_logs(source)?;
    check_trackers(source, &segments, &logs, &mut notes)?;
    let mut bases: Vec<HashMap<PointId, Option<Base>>> = Vec::new();
    for log in &logs {
        let touched = log.as_ref().map(|log| log.touched(context.memory_bytes / 4)).transpose()?.unwrap_or_default();
        bases.push(touched.into_iter().map(|id| (id, None)).collect());
    }
    let mut rows = Vec::with_capacity(segments.len() + logs.len());
    for (_, _, segment) in &segments {
        rows.push(segment.tracker.rows()?);
    }
    let table_bytes = rows.iter().sum::<u64>().saturating_mul(PACKED_BYTES as u64);
    let in_memory = table_bytes <= context.memory_bytes / 4;
    rows.extend(bases.iter().map(|touched| touched.len() as u64));
    // A delete takes what is as old as itself: an operation is applied to points of its own number too.
    let mut liveness = Liveness::new(context.scratch, &rows, SameVersion::RowDies);
    let mut counts = Counts::default();
    let mut parts = Vec::with_capacity(segments.len());
    let trackers = scratch_for_trackers(context)?;
    for (number, (label, shard, segment)) in segments.into_iter().enumerate() {
        let mut ids = id_table::Builder::new(rows[number], in_memory, &trackers);
        let base = &mut bases[shard];
        let id_of_shard = source.shards[shard].copy.id;
        let tracked = segment.tracker.scan(&trackers, &mut |mapped| {
            let touched = base.get_mut(&mapped.id);
            let Some(version) = mapped.version else {
                counts.deleted += 1;
                counts.incomplete += u64::from(touched.is_none());
                return Ok(());
            };
            if let Some(newest) = touched {
                *newest = (*newest).max(Some(Base { version, part: number, row: mapped.row }));
            }
            counts.see(&mapped.id);
            ids.put(mapped.row, &mapped.id)?;
            liveness.row(key(id_of_shard, &mapped.id), version, number as u32, mapped.row.into())
        })?;
        segment.release();
        counts.raw += tracked.raw;
        counts.deleted += tracked.deleted;
        counts.superseded += tracked.superseded;
        let ids = ids.finish(&context.scratch.join(format!("ids-{number}.table")))?;
        parts.push(Part { label, shard, segment, ids, rows: rows[number] });
    }
    let mut overlays = Vec::new();
    for (shard, (log, base)) in logs.into_iter().zip(bases).enumerate() {
        let mut overlay = OverlayPart { label: source.shards[shard].label(), shard, points: Vec::new() };
        if let Some(log) = log {
            let segments = Segments { parts: &parts, base: &base, last: Cell::new(None) };
            let replayed = log.replay(&segments, context.memory_bytes / 4)?;
            segments.move_to(None);
            notes.extend(replayed.notes.into_iter().map(|note| format!("{}: {note}", overlay.label)));
            let points = replayed.points.into_iter().map(|(id, change)| (id, change, base.get(&id).copied().flatten()));
            overlay.points = points.collect();
            overlay.points.sort_unstable_by_key(|(id, _, _)| *id);
        }
        let part = (parts.len() + shard) as u32;
        for (row, (id, change, _)) in overlay.points.iter().enumerate() {
            let key = key(source.shards[shard].copy.id, id);
            match change {
                Change::Removed { version } => liveness.delete(key, *version)?,
                Change::Written { version, .. } => {
                    counts.raw += 1;
                    counts.see(id);
                    liveness.row(key, *version, part, row as u64)?;
                }
            }
        }
        overlays.push(overlay);
    }
    let live = liveness.finish()?;
    if counts.incomplete > 0 {
        notes.push(format!(
            "{} points have no version: Qdrant had not completed them, and drops them when it starts",
            counts.incomplete
        ));
    }
    let mut schema = source.schema.clone();
    schema.ids = counts.id_kinds();
    let row_bytes = schema.dense_row_bytes() as u64 + OTHER_BYTES;
    Ok(PreparedSnapshot {
        source,
        schema: Arc::new(schema),
        parts,
        overlays,
        row_bytes,
        ledger: RowLedger {
            raw: Some(counts.raw),
            live: Some(live.live),
            deleted: counts.deleted + live.deleted,
            superseded: counts.superseded + live.superseded,
            ..RowLedger::default()
        },
        live,
        notes,
        split_bytes: context.split_bytes,
    })
}

/// Every segment of every shard, with what it is called and the position of its shard.
fn open_segments(source: &SnapshotSource) -> Result<Vec<(String, usize, Segment)>> {
    let mut segments = Vec::new();
    for (position, shard) in source.shards.iter().enumerate() {
        for (files, config) in &shard.segments {
            let label = format!("{}, segment {}", shard.label(), files.name);
            segments.push((label, position, files.open(config, &source.columns, &source.options.limits)?));
        }
    }
    Ok(segments)
}

/// A segment that holds values and no ids has its points in the log, if it was never flushed; else it has lost them.
fn check_trackers(
    source: &SnapshotSource,
    segments: &[(String, usize, Segment)],
    logs: &[Option<Box<dyn Log>>],
    notes: &mut Vec<String>,
) -> Result<()> {
    let has_log = |shard: usize| logs.get(shard).is_some_and(Option::is_some);
    let is_lost = |shard: usize, segment: &Segment| segment.lacks_tracker && (segment.was_flushed || !has_log(shard));
    let lost = segments.iter().find(|(_, shard, segment)| is_lost(*shard, segment));
    let Some((label, shard, _)) = lost else { return Ok(()) };
    if source.options.allow_inconsistent {
        notes.push(format!("{label} holds values but no ids: its points are lost"));
        return Ok(());
    }
    let files = source.shards.get(*shard).map_or_else(String::new, |shard| shard.copy.files.label().to_owned());
    Err(super::bytes::damaged(&files, format!("{label} holds values but no ids, and no log to take them from"))
        .hint("copy the dump again; --allow-inconsistent reads what is left"))
}

/// The log of every shard.
fn open_logs(source: &SnapshotSource) -> Result<Vec<Option<Box<dyn Log>>>> {
    let open = |shard: &Shard| {
        let files = shard.copy.files.below("wal");
        wal::open(&files, &source.columns, shard.newest_flushed(), release(shard), &source.options)
    };
    source.shards.iter().map(open).collect()
}

/// What the files of a shard tell of the release that wrote it: RocksDB went with 1.16, id trackers left it with 1.14.
fn release(shard: &Shard) -> Release {
    let has_rocksdb = shard.segments.iter().any(|(files, _)| files.has_rocksdb());
    let has_flat_tracker = shard.segments.iter().any(|(files, _)| files.has_mutable_tracker());
    Release {
        summation: if has_rocksdb { Summation::ByRegister } else { Summation::ByLane },
        upsert_keeps_payload: has_rocksdb && !has_flat_tracker,
    }
}

/// A directory of their own for spill files of trackers, whose names would meet those of the collection.
fn scratch_for_trackers(context: &PrepareContext<'_>) -> Result<PathBuf> {
    let directory = context.scratch.join("trackers");
    make_parent(&directory.join("any"))?;
    Ok(directory)
}

/// The digest of a point: ids of different shards never meet.
fn key(shard: u32, id: &PointId) -> u128 {
    let mut bytes = [0; 4 + PACKED_BYTES];
    bytes[..4].copy_from_slice(&shard.to_le_bytes());
    bytes[4..].copy_from_slice(&id.pack());
    xxh3_128(&bytes)
}

impl Counts {
    fn see(&mut self, id: &PointId) {
        match id.kind() {
            IdKind::Integer => self.has_integers = true,
            IdKind::Text => self.has_texts = true,
        }
    }

    fn id_kinds(&self) -> IdKinds {
        match (self.has_integers, self.has_texts) {
            (true, true) => IdKinds::Mixed,
            (false, true) => IdKinds::Text,
            (_, false) => IdKinds::Integer,
        }
    }
}

/// The points of one shard as its log finds them.
struct Segments<'a> {
    parts: &'a [Part],
    base: &'a HashMap<PointId, Option<Base>>,
    /// The segment that was read last.
    last: Cell<Option<usize>>,
}

impl Segments<'_> {
    /// Keeps blocks of one segment at a time.
    fn move_to(&self, part: Option<usize>) {
        let before = self.last.replace(part).filter(|before| Some(*before) != part);
        before.into_iter().for_each(|before| self.parts[before].segment.release());
    }
}

impl BasePoints for Segments<'_> {
    fn version(&self, id: &PointId) -> Option<u64> {
        self.base.get(id).copied().flatten().map(|base| base.version)
    }

    fn payload(&self, id: &PointId) -> Result<Option<String>> {
        let Some(base) = self.base.get(id).copied().flatten() else { return Ok(None) };
        self.move_to(Some(base.part));
        let part = &self.parts[base.part];
        let mut cells = Cells::default();
        part.segment.payloads.fetch(&[base.row], &mut cells)?;
        let fault = |why: &str| {
            super::bytes::damaged(&part.label, format!("the payload of point {} cannot be read: {why}", id.text()))
        };
        match cells.get(0) {
            // Moving stores an empty payload with it.
            Value::Absent if self.is_moved_to_change(id) => Ok(Some("{}".to_owned())),
            Value::Absent => Ok(None),
            Value::Faulty(why) => Err(fault(why)),
            Value::Bytes(text) => match std::str::from_utf8(text) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(fault("it is not UTF-8")),
            },
        }
    }

    fn is_moved_to_change(&self, id: &PointId) -> bool {
        let base = self.base.get(id).copied().flatten();
        base.is_some_and(|base| !self.parts[base.part].segment.is_appendable)
    }
}

impl PreparedSnapshot<'_> {
    /// Rows that one split takes.
    fn rows_per_split(&self) -> u64 {
        (self.split_bytes / self.row_bytes.max(1)).clamp(1, SPLIT_ROWS)
    }

    /// The ranges of a part, with the rows that live in each.
    fn ranges(&self, part: usize, rows: u64) -> impl Iterator<Item = (u64, u64, u64)> {
        let step = self.rows_per_split();
        (0..rows.div_ceil(step)).filter_map(move |number| {
            let (start, end) = (number * step, rows.min((number + 1) * step));
            let live = (start..end).filter(|row| self.live.lives(part, *row)).count() as u64;
            (live > 0).then_some((start, end, live))
        })
    }
}

impl Prepared for PreparedSnapshot<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        self.ledger
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let segments = self.parts.iter().map(|part| part.rows);
        let overlays = self.overlays.iter().map(|overlay| overlay.points.len() as u64);
        let ranges = segments.chain(overlays).enumerate();
        let ranges = ranges.flat_map(|(part, rows)| self.ranges(part, rows).map(move |range| (part, range)));
        Ok(Box::new(ranges.enumerate().map(|(ordinal, (part, (start, end, live)))| {
            let bytes = live * self.row_bytes;
            Ok(Split { ordinal: ordinal as u64, file: part.to_string(), start, end, bytes, ..Split::default() })
        })))
    }

    fn split_memory_bytes(&self, split: &Split) -> u64 {
        let stores = self.source.columns.len() as u64 + 1;
        let part = split.file.parse().ok().and_then(|part: usize| self.parts.get(part));
        // A log takes what it does not write from any segment, one at a time.
        let caches = self.parts.iter().map(|part| part.segment.cache_bytes());
        let cache = part.map_or_else(|| caches.max().unwrap_or(0), |part| part.segment.cache_bytes());
        4 * tranship_connector::source::BATCH_BYTES as u64 + stores * STORE_BYTES + cache
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let unknown = || tranship_connector::Error::bug(format!("{:?} is no part of this dump", split.file));
        let part: usize = split.file.parse().map_err(|_| unknown())?;
        if part < self.parts.len() {
            return Ok(Box::new(SegmentReader::new(self, part, split.start..split.end, rejects)?));
        }
        match self.overlays.get(part - self.parts.len()) {
            Some(_) => Ok(Box::new(OverlayReader::new(self, part, split.start..split.end, rejects)?)),
            None => Err(unknown()),
        }
    }
}
