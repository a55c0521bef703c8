//! Id trackers in flat files.
//!
//! ```text
//! id_tracker.mappings           u64 count, then per row: u8 (0 integer, 1 UUID), u64 or 16 B, u32 row
//! id_tracker.deleted            one bit per row, least significant first
//! id_tracker.versions           u64 per row
//!
//! mutable_id_tracker.mappings   a log: u8 kind, id, and for inserts the row
//!                               1 u64, u32 | 2 16 B, u32 | 3 u64 | 4 16 B     (1, 2 insert; 3, 4 delete)
//! mutable_id_tracker.versions   u64 per row; bytes that make no whole number at its end mean nothing
//! ```
//!
//! In the log, an insert takes the row from whatever point held it and the point from whatever row it had; a record cut
//! off at the end is what a crash leaves and is ignored. A UUID's 16 bytes are in the usual order.
//!
//! Errors: damaged for rows out of order or far beyond what the tracker holds, unknown kinds, counts that the file
//! cannot hold. A hole at the end of a sparse file is not read: it could be of any size.

use std::io::{BufReader, Read};
use std::path::Path;

use tranship_connector::{Liveness, Result, SameVersion};
use tranship_storage::blob::BlobRange;
use tranship_storage::{Blob, BlobReader, Tree};
use xxhash_rust::xxh3::xxh3_128;

use super::bytes::{bit_at, damaged, u64_at};
use super::point_id::PointId;
use super::stores::{Mapped, Tracked, Tracker};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Least bytes of a record of the log, of an entry of the mappings.
const LEAST_RECORD: u64 = 9;
const LEAST_ENTRY: u64 = 13;
/// Rows that a log may always have handed out.
const LEAST_ROWS: u64 = 1 << 20;

/// The tracker of a segment that the optimiser built.
pub struct Immutable {
    mappings: Blob,
    deleted: Blob,
    versions: Blob,
    count: u64,
}

impl Immutable {
    /// Opens the tracker of a segment directory; `None` if it has another one.
    pub fn open(tree: &Tree) -> Result<Option<Self>> {
        let Some(mappings) = tree.get("id_tracker.mappings") else { return Ok(None) };
        let beside = |name: &str| {
            let missing = || damaged(tree.label(), format!("an id tracker without {name}"));
            tree.get(name).cloned().ok_or_else(missing)
        };
        let (deleted, versions) = (beside("id_tracker.deleted")?, beside("id_tracker.versions")?);
        let head = mappings.open()?.range_to_vec(0, mappings.len().min(8), 8)?;
        let count = u64_at(&head, 0).ok_or_else(|| damaged(mappings.label(), "too short"))?;
        let is_impossible = count > (mappings.len() - 8) / LEAST_ENTRY || count > u64::from(u32::MAX);
        if is_impossible || count > deleted.len().saturating_mul(8) {
            let what = format!("{count} points in {} bytes, with {} bytes of flags", mappings.len(), deleted.len());
            return Err(damaged(mappings.label(), what));
        }
        Ok(Some(Immutable { mappings: mappings.clone(), deleted, versions, count }))
    }
}

impl Tracker for Immutable {
    fn rows(&self) -> Result<u64> {
        Ok(self.count)
    }

    fn at_most(&self) -> u64 {
        self.count
    }

    fn scan(&self, _scratch: &Path, visit: &mut dyn FnMut(Mapped) -> Result<()>) -> Result<Tracked> {
        let deleted = self.deleted.open()?;
        let flag_bytes = self.count.div_ceil(8);
        let flags = deleted.range_to_vec(0, flag_bytes, flag_bytes)?;
        let mut versions = Versions::new(&self.versions)?;
        let mut input = Input::new(&self.mappings, 8)?;
        let mut tracked = Tracked { raw: self.count, ..Tracked::default() };
        for expected in 0..self.count {
            let at = input.offset;
            let id = match input.take::<1>()? {
                Some([0]) => input.number()?.map(PointId::Number),
                Some([1]) => input.take()?.map(PointId::Uuid),
                Some([other]) => return Err(input.unknown(at, other)),
                None => None,
            };
            let Some((id, row)) = id.zip(input.take()?.map(u32::from_le_bytes)) else {
                return Err(damaged(self.mappings.label(), "it ends within an entry").with("byte", at));
            };
            if u64::from(row) != expected {
                let what = format!("row {row} where row {expected} should be");
                return Err(damaged(self.mappings.label(), what).with("byte", at));
            }
            match bit_at(&flags, row.into()) {
                true => tracked.deleted += 1,
                false => visit(Mapped { row, id, version: versions.get(row)? })?,
            }
        }
        Ok(tracked)
    }
}

/// The tracker of a segment that takes points.
pub struct Mutable {
    log: Blob,
    versions: Option<Blob>,
}

/// What the log says of all its records.
#[derive(Default)]
struct Shape {
    rows: u64,
    inserts: u64,
    /// A row was given out that is not above all rows before it.
    is_unordered: bool,
}

impl Mutable {
    /// Opens the tracker of a segment directory; `None` if it has another one.
    pub fn open(tree: &Tree) -> Option<Self> {
        let log = tree.get("mutable_id_tracker.mappings")?.clone();
        Some(Mutable { log, versions: tree.get("mutable_id_tracker.versions").cloned() })
    }

    /// Shows every whole record: its number, the point, and its row if it is an insert.
    fn records(&self, visit: &mut dyn FnMut(u64, PointId, Option<u32>) -> Result<()>) -> Result<()> {
        let mut input = Input::new(&self.log, 0)?;
        for ordinal in 0.. {
            let at = input.offset;
            let Some([kind]) = input.take::<1>()? else { break };
            let id = match kind {
                1 | 3 => input.number()?.map(PointId::Number),
                2 | 4 => input.take()?.map(PointId::Uuid),
                // Files are extended with zeros before they are written to; a crash may leave them so.
                0 if input.rest_is_zeros()? => break,
                other => return Err(input.unknown(at, other)),
            };
            let row = if kind <= 2 { input.take()?.map(u32::from_le_bytes) } else { None };
            match id.filter(|_| kind > 2 || row.is_some()) {
                Some(id) => visit(ordinal, id, row)?,
                None => break,
            }
        }
        Ok(())
    }

    fn shape(&self) -> Result<Shape> {
        let versions = self.versions.as_ref().map_or(0, |versions| data_end(versions) / 8);
        let mut shape = Shape::default();
        self.records(&mut |_, _, row| {
            if let Some(row) = row {
                shape.is_unordered |= u64::from(row) < shape.rows;
                shape.rows = shape.rows.max(u64::from(row) + 1);
                shape.inserts += 1;
            }
            Ok(())
        })?;
        // Rows are handed out one after another; some may have come and gone without leaving a record.
        if shape.rows > LEAST_ROWS + 16 * (shape.inserts + versions) {
            let what = format!("row {} after {} inserts and {versions} versions", shape.rows - 1, shape.inserts);
            return Err(damaged(self.log.label(), what));
        }
        Ok(shape)
    }
}

impl Tracker for Mutable {
    fn rows(&self) -> Result<u64> {
        Ok(self.shape()?.rows)
    }

    fn at_most(&self) -> u64 {
        self.log.len() / LEAST_ENTRY
    }

    fn scan(&self, scratch: &Path, visit: &mut dyn FnMut(Mapped) -> Result<()>) -> Result<Tracked> {
        let shape = self.shape()?;
        let mut points = Liveness::new(scratch, &[self.log.len() / LEAST_RECORD + 1], SameVersion::RowLives);
        let mut last_holder = vec![0; if shape.is_unordered { shape.rows as usize } else { 0 }];
        self.records(&mut |ordinal, id, row| {
            let key = xxh3_128(&id.pack());
            match row {
                None => points.delete(key, ordinal),
                Some(row) => {
                    if let Some(holder) = last_holder.get_mut(row as usize) {
                        *holder = ordinal;
                    }
                    points.row(key, ordinal, 0, ordinal)
                }
            }
        })?;
        let newest = points.finish()?;
        let mut versions = self.versions.as_ref().map(Versions::new).transpose()?;
        let mut mapped = 0;
        self.records(&mut |ordinal, id, row| {
            let Some(row) = row.filter(|_| newest.lives(0, ordinal)) else { return Ok(()) };
            if last_holder.get(row as usize).is_some_and(|holder| *holder != ordinal) {
                return Ok(());
            }
            mapped += 1;
            let version = versions.as_mut().map(|versions| versions.get(row)).transpose()?.flatten();
            visit(Mapped { row, id, version })
        })?;
        let superseded = newest.superseded;
        Ok(Tracked { raw: shape.inserts, superseded, deleted: shape.inserts - mapped - superseded })
    }
}

/// One past the last byte that really stands in a file; whatever comes behind it is a hole.
fn data_end(blob: &Blob) -> u64 {
    blob.extents().last().map_or(0, |last| last.logical + last.len)
}

/// Versions by row, read in windows.
struct Versions {
    reader: BlobReader,
    start: u64,
    window: Vec<u8>,
}

impl Versions {
    fn new(blob: &Blob) -> Result<Self> {
        Ok(Versions { reader: blob.open()?, start: 0, window: Vec::new() })
    }

    /// The version of a row; `None` behind the end of the file.
    fn get(&mut self, row: u32) -> Result<Option<u64>> {
        let at = u64::from(row) * 8;
        let is_inside = at >= self.start && at + 8 <= self.start + self.window.len() as u64;
        if !is_inside {
            self.window.resize(BUFFER_BYTES, 0);
            let filled = self.reader.read_at(at, &mut self.window)?;
            self.window.truncate(filled);
            self.start = at;
        }
        Ok(u64_at(&self.window, (at - self.start) as usize))
    }
}

/// A file read from front to back.
struct Input {
    label: String,
    bytes: BufReader<BlobRange>,
    offset: u64,
}

impl Input {
    fn new(blob: &Blob, offset: u64) -> Result<Self> {
        let range = blob.open()?.range(offset, data_end(blob));
        Ok(Input { label: blob.label().to_owned(), bytes: BufReader::with_capacity(BUFFER_BYTES, range), offset })
    }

    /// The next `N` bytes; `None` if there are not so many.
    fn take<const N: usize>(&mut self) -> Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        match self.bytes.read_exact(&mut bytes) {
            Ok(()) => {
                self.offset += N as u64;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn number(&mut self) -> Result<Option<u64>> {
        Ok(self.take()?.map(u64::from_le_bytes))
    }

    fn rest_is_zeros(&mut self) -> Result<bool> {
        while let Some([byte]) = self.take::<1>()? {
            if byte != 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn unknown(&self, at: u64, kind: u8) -> tranship_connector::Error {
        damaged(&self.label, format!("a record of the unknown kind {kind}")).with("byte", at)
    }
}
