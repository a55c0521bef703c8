//! One segment: which stores its `segment.json` asks for, opened.
//!
//! ```text
//! segment.json version.info          version.info is written last: a directory without it was never finished
//! mutable_id_tracker.* | id_tracker.* | CURRENT (RocksDB)
//! payload_storage/                   Gridstore, unless RocksDB
//! vector_storage[-<name>]/           matrix.dat, chunks, offsets, a Gridstore below store/; else RocksDB
//! ```
//!
//! Storage types are told by `segment.json` and by what is there, never by a version: one collection holds segments of
//! several releases. Indexes, quantised copies and payload indexes are made from the rest and are not read.
//!
//! Errors: damaged for a segment that contradicts the collection, not recognised for storages that are not read
//! (`turbo4`, the disk id tracker, Logstore, unknown names), each naming the segment.

use std::sync::Arc;

use serde_json::Value;
use tranship_collection::{Element, VectorKind};
use tranship_connector::{Error, Result};
use tranship_format_rocksdb::Database;
use tranship_storage::{Limits, Tree};

use super::bytes::damaged;
use super::dense;
use super::payloads::Payloads;
use super::rocks::{self, RocksSegment};
use super::schema::{Column, Columns};
use super::sparse::Sparse;
use super::stores::{NoPoints, Nothing, Store, Tracker};
use super::tracker::{Immutable, Mutable};

/// The files of a segment, wherever they lie.
#[derive(Clone)]
pub struct SegmentFiles {
    /// Name of the segment, its UUID.
    pub name: String,
    /// The segment directory.
    pub files: Tree,
    /// `db_backup` of a snapshot: RocksDB in the layout of its backup engine.
    pub backup: Option<Tree>,
}

/// What `segment.json` says.
pub struct SegmentConfig {
    /// Number of the last operation that was flushed.
    pub version: Option<u64>,
    /// The vectors that it declares.
    pub columns: Columns,
    /// The whole of it.
    pub raw: Value,
}

/// An opened segment.
pub struct Segment {
    /// There is no tracker, yet something was stored: its points stand in the log alone, or are lost.
    pub lacks_tracker: bool,
    /// It has been flushed, so what it holds does not stand in the log alone.
    pub was_flushed: bool,
    /// It takes points; those of any other segment are moved before they are changed.
    pub is_appendable: bool,
    /// Internal ids.
    pub tracker: Box<dyn Tracker>,
    /// Payloads by row.
    pub payloads: Box<dyn Store>,
    /// Vectors by row, one store for each column of the collection.
    pub vectors: Vec<Box<dyn Store>>,
    /// The RocksDB behind some of them.
    database: Option<Arc<Database>>,
}

impl Segment {
    /// Bytes that reading it keeps beside what the reader holds.
    pub fn cache_bytes(&self) -> u64 {
        self.database.as_ref().map_or(0, |_| tranship_format_rocksdb::CACHE_BYTES as u64)
    }

    /// Gives back what reading it has kept: of many segments few are read at a time.
    pub fn release(&self) {
        if let Some(database) = &self.database {
            database.forget_blocks();
        }
    }
}

impl SegmentConfig {
    /// True if nothing in it was made by the optimiser: no graph, no immutable vectors.
    fn is_appendable(&self) -> bool {
        let group = |name: &str| self.raw.pointer(&format!("/config/{name}")).and_then(Value::as_object);
        let of = |vector: &Value, pointer: &str| vector.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let is_dense = |vector: &Value| {
            let storage = of(vector, "/storage_type");
            of(vector, "/index/type").as_deref() != Some("hnsw")
                && !matches!(storage.as_deref(), Some("Mmap" | "InRamMmap"))
        };
        let is_sparse =
            |vector: &Value| matches!(of(vector, "/index/index_type").as_deref(), None | Some("MutableRam"));
        group("vector_data").into_iter().flatten().all(|(_, vector)| is_dense(vector))
            && group("sparse_vector_data").into_iter().flatten().all(|(_, vector)| is_sparse(vector))
    }
}

impl SegmentFiles {
    /// True if the segment was finished.
    pub fn is_whole(&self) -> bool {
        self.files.get("version.info").is_some()
    }

    /// True if there is a RocksDB, whatever is in it.
    pub fn has_rocksdb(&self) -> bool {
        self.files.get("CURRENT").is_some() || self.backup.as_ref().is_some_and(|backup| !backup.is_empty())
    }

    /// True if there is the id tracker of appendable segments since 1.14.
    pub fn has_mutable_tracker(&self) -> bool {
        self.files.get("mutable_id_tracker.mappings").is_some()
    }

    /// Reads `segment.json`.
    pub fn config(&self, limits: &Limits) -> Result<SegmentConfig> {
        let blob = self
            .files
            .get("segment.json")
            .ok_or_else(|| damaged(self.files.label(), "a segment without segment.json").with("segment", &self.name))?;
        let raw: Value = serde_json::from_slice(&blob.read_all(1 << 20)?)
            .map_err(|e| damaged(blob.label(), "not the configuration of a segment").caused_by(e))?;
        let columns = super::schema::segment_columns(&raw, blob.label(), limits)?;
        Ok(SegmentConfig { version: raw.get("version").and_then(Value::as_u64), columns, raw })
    }

    /// Opens the stores for the columns of the collection.
    pub fn open(&self, config: &SegmentConfig, columns: &Columns, limits: &Limits) -> Result<Segment> {
        self.open_stores(config, columns, limits).map_err(|error| error.with("segment", &self.name))
    }

    /// The tracker alone, which says how many points there may be.
    pub fn tracker(&self, limits: &Limits) -> Result<Box<dyn Tracker>> {
        self.open_tracker(&mut Rocks::new(self, limits)).map_err(|error| error.with("segment", &self.name))
    }

    fn open_stores(&self, config: &SegmentConfig, columns: &Columns, limits: &Limits) -> Result<Segment> {
        let mut rocks = Rocks::new(self, limits);
        let tracker = self.open_tracker(&mut rocks)?;
        let lacks_tracker = self.has_no_tracker(&mut rocks)? && self.has_values()?;
        let payloads = self.open_payloads(config, &mut rocks, limits)?;
        let vectors = columns.iter().map(|column| self.open_vectors(column, config, &mut rocks, limits));
        let was_flushed = config.version.is_some();
        let is_appendable = config.is_appendable();
        let vectors = vectors.collect::<Result<_>>()?;
        Ok(Segment {
            lacks_tracker,
            was_flushed,
            is_appendable,
            tracker,
            payloads,
            vectors,
            database: rocks.get()?.map(RocksSegment::database),
        })
    }

    fn open_tracker(&self, rocks: &mut Rocks<'_>) -> Result<Box<dyn Tracker>> {
        if let Some(tracker) = Mutable::open(&self.files) {
            return Ok(Box::new(tracker));
        }
        if let Some(file) = self.files.get("id_tracker.i2e") {
            return Err(unread("the disk id tracker", file.label()));
        }
        if let Some(tracker) = Immutable::open(&self.files)? {
            return Ok(Box::new(tracker));
        }
        match rocks.get()? {
            Some(rocks) => rocks.tracker(),
            None => Ok(Box::new(NoPoints)),
        }
    }

    fn has_no_tracker(&self, rocks: &mut Rocks<'_>) -> Result<bool> {
        let is_flat =
            ["mutable_id_tracker.mappings", "id_tracker.mappings"].iter().any(|name| self.files.get(name).is_some());
        // The rest of a flat tracker: a RocksDB beside it does not have its ids.
        let has_remains = ["id_tracker.versions", "id_tracker.deleted", "mutable_id_tracker.versions"]
            .iter()
            .any(|name| self.files.get(name).is_some_and(|rest| !rest.is_empty()));
        Ok(!is_flat && (has_remains || rocks.get()?.is_none()))
    }

    /// True if a payload or a vector was ever stored in flat files.
    fn has_values(&self) -> Result<bool> {
        let is_counter = |name: &str| {
            name == "payload_storage/tracker.dat"
                || (name.starts_with("vector_storage") && name.ends_with("vectors/status.dat"))
        };
        for (name, blob) in self.files.iter() {
            if is_counter(name) && blob.open()?.range_to_vec(0, blob.len().min(4), 4)?.iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
            if name.ends_with("matrix.dat") && blob.len() > 4 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn open_payloads(&self, config: &SegmentConfig, rocks: &mut Rocks<'_>, limits: &Limits) -> Result<Box<dyn Store>> {
        let storage = config.raw.pointer("/config/payload_storage_type/type").and_then(Value::as_str);
        match storage {
            Some("mmap" | "in_ram_mmap") => match Payloads::open(&self.files.below("payload_storage"), limits)? {
                Some(payloads) => Ok(Box::new(payloads)),
                None => Err(damaged(self.files.label(), "a segment without its payload_storage")),
            },
            Some("in_memory" | "on_disk") => match rocks.get()? {
                Some(rocks) => rocks.payloads(),
                None => Err(damaged(self.files.label(), "a segment without the RocksDB of its payloads")),
            },
            other => Err(unread(&format!("the payload storage {other:?}"), self.files.label())),
        }
    }

    fn open_vectors(
        &self,
        column: &Column,
        config: &SegmentConfig,
        rocks: &mut Rocks<'_>,
        limits: &Limits,
    ) -> Result<Box<dyn Store>> {
        // A vector that was added to the collection later: no point of this segment has it.
        let Some(own) = config.columns.iter().find(|own| own.name == column.name) else { return Ok(Box::new(Nothing)) };
        if own != column {
            return Err(damaged(self.files.label(), format!("the segment has {own}, the collection {column}")));
        }
        let group = if column.kind == VectorKind::Sparse { "sparse_vector_data" } else { "vector_data" };
        let declared = config.raw.get("config").and_then(|config| config.get(group)?.get(&column.name));
        let storage = declared.and_then(|declared| declared.get("storage_type")).and_then(Value::as_str);
        let directory = self.files.below(&column.directory());
        match (column.kind, storage) {
            (_, Some("Empty" | "empty")) => Ok(Box::new(Nothing)),
            (VectorKind::Sparse, None | Some("mmap")) => match Sparse::open(&directory, limits)? {
                Some(vectors) => Ok(Box::new(vectors)),
                None => self.rocks_vectors(column, rocks),
            },
            (VectorKind::Sparse, Some("on_disk")) => self.rocks_vectors(column, rocks),
            (VectorKind::Dense | VectorKind::Multi, None | Some("Memory")) => self.rocks_vectors(column, rocks),
            (
                VectorKind::Dense | VectorKind::Multi,
                Some("Mmap" | "InRamMmap" | "ChunkedMmap" | "InRamChunkedMmap"),
            ) => dense::open(&directory, column, limits),
            (_, Some(other)) => Err(unread(&format!("the vector storage {other:?}"), self.files.label())),
            (VectorKind::Bits, None) => Err(Error::bug("Qdrant has no bit vectors")),
        }
    }

    fn rocks_vectors(&self, column: &Column, rocks: &mut Rocks<'_>) -> Result<Box<dyn Store>> {
        match rocks.get()? {
            Some(rocks) => rocks.vectors(column),
            None => Err(damaged(self.files.label(), format!("a segment without the storage of its {column}"))),
        }
    }
}

/// The RocksDB of a segment, opened when something asks for it.
struct Rocks<'a> {
    segment: &'a SegmentFiles,
    limits: &'a Limits,
    opened: Option<Option<RocksSegment>>,
}

impl<'a> Rocks<'a> {
    fn new(segment: &'a SegmentFiles, limits: &'a Limits) -> Self {
        Rocks { segment, limits, opened: None }
    }

    fn get(&mut self) -> Result<Option<&RocksSegment>> {
        if self.opened.is_none() {
            let SegmentFiles { name, files, backup } = self.segment;
            let is_there = self.segment.has_rocksdb();
            let found = if is_there { rocks::open(name, files, backup.as_ref(), self.limits)? } else { None };
            self.opened = Some(found);
        }
        Ok(self.opened.as_ref().and_then(Option::as_ref))
    }
}

/// The element type that a `datatype` stands for.
pub fn element(datatype: Option<&str>, file: &str) -> Result<Element> {
    match datatype {
        None | Some("float32") => Ok(Element::F32),
        Some("float16") => Ok(Element::F16),
        Some("uint8") => Ok(Element::U8),
        Some("turbo4") => Err(Error::not_recognised("vectors of the datatype turbo4 keep a 4-bit code and no floats")
            .with("file", file)
            .hint("take the vectors from where they were made")),
        Some(other) => Err(unread(&format!("the datatype {other:?}"), file)),
    }
}

fn unread(what: &str, file: &str) -> Error {
    Error::not_recognised(format!("{what} is not read"))
        .with("file", file)
        .hint("scroll the collection from a running server, and tell us about the dump")
}
