//! Segments that keep trackers, payloads or vectors in RocksDB (Qdrant 1.7 to 1.15).
//!
//! ```text
//! column family      key                                      value
//! mapping            u32 0, u64 number | u32 1, u64 16, UUID  internal id, 8 bytes (up to 1.12) or 4
//! version            the same                                 u64 number of the last operation
//! payload            CBOR unsigned internal id                CBOR map
//! vector[-<name>]    u32 internal id                          u8 deleted, then
//!                      dense   u64 n, n elements
//!                      multi   u64 n, n elements, u64 dim
//!                      sparse  u64 n, n x u32 indices, u64 n, n x f32 values
//! ```
//! Deleted points are absent from `mapping`, their rows stay elsewhere. `deleted` says that the point has no such
//! vector, whatever bytes follow. After a crash `mapping` may hold points without version: they were never completed.
//!
//! Invariant: one database per segment, shared by its stores; memory is that of [`Database`] and a bit per row while
//! the tracker is scanned.
//!
//! Errors: those of the database, keys and values of the tracker that do not fit (damaged, naming segment and column
//! family). Faulty cells: payloads and vectors that do not add up.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use half::f16;
use tranship_collection::{Element, VectorKind};
use tranship_connector::{Error, Result};
use tranship_format_rocksdb::Database;
use tranship_storage::{Limits, Tree};

use super::cbor;
use super::cells::Cells;
use super::point_id::PointId;
use super::schema::Column;
use super::stores::{Mapped, Store, Tracked, Tracker};

/// Internal ids that may always have been handed out.
const LEAST_ROWS: u64 = 1 << 20;

/// The RocksDB of one segment, opened read-only.
pub struct RocksSegment {
    label: String,
    database: Arc<Database>,
}

/// Opens the database of a segment. `files` are the files of the segment directory (where `CURRENT` lies in a storage
/// directory), `backup` the files below `db_backup` of a snapshot, in the layout of RocksDB's backup engine. `None` if
/// there is neither.
pub fn open(label: &str, files: &Tree, backup: Option<&Tree>, limits: &Limits) -> Result<Option<RocksSegment>> {
    let tree = match backup {
        Some(backup) if !backup.is_empty() => backup,
        _ if files.get("CURRENT").is_some() => files,
        _ => return Ok(None),
    };
    let database = Database::open(tree, limits).map_err(|error| error.with("segment", label))?;
    Ok(Some(RocksSegment { label: label.to_owned(), database: Arc::new(database) }))
}

impl RocksSegment {
    /// The id tracker in the column families `mapping` and `version`.
    pub fn tracker(&self) -> Result<Box<dyn Tracker>> {
        let (label, database) = (self.label.clone(), self.database.clone());
        Ok(Box::new(RocksTracker { label, database, shape: OnceLock::new() }))
    }

    /// The payloads in the column family `payload`.
    pub fn payloads(&self) -> Result<Box<dyn Store>> {
        self.require("payload")?;
        Ok(Box::new(RocksPayloads { database: self.database.clone() }))
    }

    /// The vectors in the column family `vector` or `vector-<name>`.
    pub fn vectors(&self, column: &Column) -> Result<Box<dyn Store>> {
        let family = if column.name.is_empty() { "vector".to_owned() } else { format!("vector-{}", column.name) };
        self.require(&family)?;
        Ok(Box::new(RocksVectors { database: self.database.clone(), family, column: column.clone() }))
    }

    /// What its stores share.
    pub fn database(&self) -> Arc<Database> {
        self.database.clone()
    }

    fn require(&self, family: &str) -> Result<()> {
        match self.database.column_families().any(|name| name == family) {
            true => Ok(()),
            false => Err(damaged(&self.label, format!("its RocksDB has no column family {family}"))),
        }
    }
}

/// Internal ids and their points.
struct RocksTracker {
    label: String,
    database: Arc<Database>,
    shape: OnceLock<Shape>,
}

/// What one pass over the mapping finds out.
#[derive(Debug, Default)]
struct Shape {
    /// One past the highest internal id.
    rows: u64,
    /// Internal ids with several points, and the one that counts: the last in key order, as on load.
    shared: HashMap<u32, PointId>,
}

impl RocksTracker {
    fn shape(&self) -> Result<&Shape> {
        if let Some(shape) = self.shape.get() {
            return Ok(shape);
        }
        let mut shape = Shape::default();
        let mut seen = Rows::default();
        self.each_mapping(|id, row, _| {
            shape.rows = shape.rows.max(u64::from(row) + 1);
            if !seen.insert(row) {
                shape.shared.insert(row, id);
            }
            Ok(())
        })?;
        // Ids are handed out one after another; those of deleted points have left rows elsewhere, or were compacted.
        let known = self.database.column_families().map(|family| self.database.entries(family)).max().unwrap_or(0);
        if shape.rows > LEAST_ROWS.saturating_add(known.saturating_mul(16)) {
            let what = format!("a point with the internal id {} among {known} entries", shape.rows - 1);
            return Err(damaged(&self.label, what));
        }
        Ok(self.shape.get_or_init(|| shape))
    }

    /// Every mapping in key order with its version: the two families have the same keys, so they are walked together.
    fn each_mapping(&self, mut visit: impl FnMut(PointId, u32, Option<u64>) -> Result<()>) -> Result<()> {
        let Some(mapping) = self.database.scan("mapping")? else { return Ok(()) };
        let mut versions = self.database.scan("version")?.into_iter().flatten();
        let mut version = versions.next().transpose()?;
        for pair in mapping {
            let (key, value) = pair?;
            while version.as_ref().is_some_and(|(other, _)| *other < key) {
                version = versions.next().transpose()?;
            }
            let number = match &version {
                Some((other, number)) if *other == key => {
                    let number = number.as_slice().try_into().map(u64::from_le_bytes);
                    Some(number.map_err(|_| self.unreadable("version", &key))?)
                }
                _ => None,
            };
            let id = point_id(&key).ok_or_else(|| self.unreadable("mapping", &key))?;
            let row = internal_id(&value).ok_or_else(|| self.unreadable("mapping", &key))?;
            visit(id, row, number)?;
        }
        Ok(())
    }

    fn unreadable(&self, family: &str, key: &[u8]) -> Error {
        damaged(&self.label, format!("an entry of the column family {family} cannot be read"))
            .with("key", key.iter().take(32).map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}

impl Tracker for RocksTracker {
    fn rows(&self) -> Result<u64> {
        self.shape().map(|shape| shape.rows)
    }

    fn at_most(&self) -> u64 {
        self.database.entries("mapping")
    }

    fn scan(&self, _scratch: &Path, visit: &mut dyn FnMut(Mapped) -> Result<()>) -> Result<Tracked> {
        let shape = self.shape()?;
        let (mut visited, mut superseded) = (0, 0);
        self.each_mapping(|id, row, version| {
            if shape.shared.get(&row).is_some_and(|last| *last != id) {
                superseded += 1;
                return Ok(());
            }
            visited += 1;
            visit(Mapped { row, id, version })
        })?;
        let deleted = shape.rows.saturating_sub(visited);
        Ok(Tracked { raw: visited + deleted + superseded, deleted, superseded })
    }
}

/// A set of rows; memory only around those that are in it.
#[derive(Default)]
struct Rows {
    words: BTreeMap<u32, Box<[u64; 64]>>,
}

impl Rows {
    /// False if the row was there already.
    fn insert(&mut self, row: u32) -> bool {
        let words = self.words.entry(row >> 12).or_insert_with(|| Box::new([0; 64]));
        let (word, bit) = ((row >> 6 & 63) as usize, 1u64 << (row & 63));
        let new = words[word] & bit == 0;
        words[word] |= bit;
        new
    }
}

/// Payloads by internal id.
struct RocksPayloads {
    database: Arc<Database>,
}

impl Store for RocksPayloads {
    fn fetch(&self, rows: &[u32], cells: &mut Cells) -> Result<()> {
        for row in rows {
            match self.database.get("payload", &cbor_key(*row))?.map(|bytes| cbor::object_text(&bytes)) {
                None => cells.push_absent(),
                Some(Ok(text)) => cells.push(text.as_bytes()),
                Some(Err(error)) => cells.push_faulty(format!("its payload is no CBOR map: {error}")),
            }
            if cells.is_full() {
                break;
            }
        }
        Ok(())
    }
}

/// Vectors of one name by internal id.
struct RocksVectors {
    database: Arc<Database>,
    family: String,
    column: Column,
}

impl Store for RocksVectors {
    fn fetch(&self, rows: &[u32], cells: &mut Cells) -> Result<()> {
        for row in rows {
            match self.database.get(&self.family, &row.to_le_bytes())?.as_deref().and_then(<[u8]>::split_first) {
                None => cells.push_absent(),
                Some((0, vector)) => match decode(vector, &self.column) {
                    Some(bytes) => cells.push(&bytes),
                    None => cells.push_faulty(format!("its vector does not add up to {}", self.family)),
                },
                Some((_, _)) => cells.push_absent(),
            }
            if cells.is_full() {
                break;
            }
        }
        Ok(())
    }
}

/// The cell that a stored vector stands for; `None` if its lengths contradict each other.
fn decode(bytes: &[u8], column: &Column) -> Option<Vec<u8>> {
    match column.kind {
        VectorKind::Sparse => {
            let (indices, rest) = elements(bytes, 4)?;
            let (values, rest) = elements(rest, 4)?;
            let ascending =
                indices.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four)).is_sorted_by(|a, b| a < b);
            (indices.len() == values.len() && rest.is_empty() && ascending).then(|| [indices, values].concat())
        }
        VectorKind::Multi => {
            let (rows, rest) = elements(bytes, column.stored.bytes())?;
            let dim = u64::from_le_bytes(rest.try_into().ok()?);
            let whole = column.row_bytes() > 0 && rows.len().is_multiple_of(column.row_bytes());
            (dim == column.dim as u64 && whole).then(|| widened(rows, column.stored)).flatten()
        }
        _ => {
            let (row, rest) = elements(bytes, column.stored.bytes())?;
            (row.len() == column.row_bytes() && rest.is_empty()).then(|| row.to_vec())
        }
    }
}

/// A u64 count, so many elements of `width` bytes, and what follows.
fn elements(bytes: &[u8], width: usize) -> Option<(&[u8], &[u8])> {
    let (count, rest) = bytes.split_first_chunk()?;
    let len = usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(width)?;
    rest.split_at_checked(len)
}

/// Elements as f32.
fn widened(bytes: &[u8], stored: Element) -> Option<Vec<u8>> {
    Some(match stored {
        Element::F32 => bytes.to_vec(),
        Element::F16 => {
            let halves = bytes.as_chunks::<2>().0.iter();
            halves.flat_map(|half| f16::from_le_bytes(*half).to_f32().to_le_bytes()).collect()
        }
        Element::U8 => bytes.iter().flat_map(|byte| f32::from(*byte).to_le_bytes()).collect(),
        Element::BF16 | Element::I8 => return None,
    })
}

/// The id in a key of `mapping` and `version`.
fn point_id(key: &[u8]) -> Option<PointId> {
    let (kind, rest) = key.split_first_chunk()?;
    match u32::from_le_bytes(*kind) {
        0 => rest.try_into().ok().map(|number| PointId::Number(u64::from_le_bytes(number))),
        1 => {
            let (len, uuid) = rest.split_first_chunk()?;
            (u64::from_le_bytes(*len) == 16).then_some(PointId::Uuid(uuid.try_into().ok()?))
        }
        _ => None,
    }
}

/// An internal id of 4 or 8 bytes.
fn internal_id(value: &[u8]) -> Option<u32> {
    match value.len() {
        4 => value.try_into().ok().map(u32::from_le_bytes),
        8 => value.try_into().ok().and_then(|eight| u64::from_le_bytes(eight).try_into().ok()),
        _ => None,
    }
}

/// An unsigned integer in CBOR: 0 to 23 in one byte, else a head of 0x18, 0x19, 0x1a and 1, 2, 4 bytes big-endian.
fn cbor_key(row: u32) -> Vec<u8> {
    let [a, b, c, d] = row.to_be_bytes();
    match row {
        0..=23 => vec![d],
        24..=0xff => vec![0x18, d],
        0x100..=0xffff => vec![0x19, c, d],
        _ => vec![0x1a, a, b, c, d],
    }
}

fn damaged(segment: &str, what: String) -> Error {
    Error::damaged(format!("a segment is damaged: {what}"))
        .with("segment", segment)
        .hint("take a new snapshot, or copy the whole storage directory again while its server is stopped")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: VectorKind, stored: Element, dim: usize) -> Column {
        Column { name: String::new(), kind, stored, dim, metric: None }
    }

    #[test]
    fn keys_are_those_of_bincode_and_cbor() {
        let number = [&[0; 4][..], &7u64.to_le_bytes()].concat();
        assert_eq!(point_id(&number), Some(PointId::Number(7)));
        let uuid = [&1u32.to_le_bytes()[..], &16u64.to_le_bytes(), &[9; 16]].concat();
        assert_eq!(point_id(&uuid), Some(PointId::Uuid([9; 16])));
        for wrong in [&number[..11], &uuid[..27], &[2, 0, 0, 0, 1][..]] {
            assert_eq!(point_id(wrong), None);
        }
        assert_eq!(internal_id(&[5, 0, 0, 0]), Some(5));
        assert_eq!(internal_id(&5u64.to_le_bytes()), Some(5));
        assert_eq!(internal_id(&(1u64 << 32).to_le_bytes()), None);
        for row in [0, 23, 24, 255, 256, 65_535, 65_536, u32::MAX] {
            let mut written = minicbor::Encoder::new(Vec::new());
            written.u32(row).unwrap();
            assert_eq!(cbor_key(row), written.into_writer());
        }
    }

    #[test]
    fn vectors_that_do_not_add_up_are_no_cells() {
        let dense = [&2u64.to_le_bytes()[..], &1f32.to_le_bytes(), &2f32.to_le_bytes()].concat();
        assert_eq!(decode(&dense, &column(VectorKind::Dense, Element::F32, 2)).unwrap(), dense[8..]);
        assert_eq!(decode(&dense, &column(VectorKind::Dense, Element::F32, 3)), None);
        assert_eq!(decode(&dense[..15], &column(VectorKind::Dense, Element::F32, 2)), None);
        assert_eq!(decode(&u64::MAX.to_le_bytes(), &column(VectorKind::Dense, Element::F32, 2)), None);
        let multi = [&4u64.to_le_bytes()[..], &[1, 2, 3, 4], &2u64.to_le_bytes()].concat();
        let wide: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(decode(&multi, &column(VectorKind::Multi, Element::U8, 2)).unwrap(), wide);
        assert_eq!(decode(&multi, &column(VectorKind::Multi, Element::U8, 4)), None);
        let empty = [0; 16];
        assert_eq!(decode(&empty, &column(VectorKind::Sparse, Element::F32, 0)), Some(Vec::new()));
        let unsorted = [&2u64.to_le_bytes()[..], &[2, 0, 0, 0, 1, 0, 0, 0], &2u64.to_le_bytes(), &[0; 8]].concat();
        assert_eq!(decode(&unsorted, &column(VectorKind::Sparse, Element::F32, 0)), None);
    }

    #[test]
    fn a_row_is_new_once() {
        let mut rows = Rows::default();
        assert!(
            rows.insert(u32::MAX) && rows.insert(0) && rows.insert(64) && !rows.insert(0) && !rows.insert(u32::MAX)
        );
        assert_eq!(rows.words.len(), 2);
    }
}
