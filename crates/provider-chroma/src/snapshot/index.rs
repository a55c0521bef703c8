//! The persisted part of a vector segment: its HNSW records, their lengths, and the labels of ids.
//!
//! Invariant: an [`Index`] exists only for a segment directory whose files agree with each other in size and
//! dimensions. Whether they also agree with the declared metric is measured by [`Index::labels`].

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tranship_collection::Metric;
use tranship_connector::{Error, Result};
use tranship_container::pickle::{self, Bounds, Keep, Node};
use tranship_format_hnswlib::{Record, StoredGraph, VectorFile};
use tranship_storage::{InputFile, Limits};
use xxhash_rust::xxh3::xxh3_128;

/// Files of a segment directory, in the order of their importance.
pub const SEGMENT_FILES: [&str; 5] =
    ["header.bin", "data_level0.bin", "length.bin", "link_lists.bin", "index_metadata.pickle"];
const PICKLE: &str = "index_metadata.pickle";
const PICKLE_CLASS: &str = "chromadb.segment.impl.vector.local_persistent_hnsw.PersistentData";
/// Records whose length is compared with the metric, at least.
const SAMPLE: u64 = 4096;
/// How far the length of a normalised vector may be from 1; f32 sums over 4,096 elements stay well within.
const UNIT_TOLERANCE: f64 = 1e-3;

/// Lengths whose square is no longer a normal f32.
const TINY_LENGTH: f32 = 1e-15;

/// A persisted HNSW index.
#[derive(Debug)]
pub struct Index {
    /// The records.
    pub vectors: VectorFile,
    /// Original lengths, under cosine only.
    lengths: Option<InputFile>,
    pickle: InputFile,
}

/// Which id has which label, as the index had it when it was last persisted.
#[derive(Debug, Default)]
pub struct IdLabels {
    /// XXH3-128 of the id, halved so that an entry has 24 bytes, and the label.
    pub entries: Vec<IdLabel>,
    /// Last write that the index has seen, where the pickle says so (0.4).
    pub max_seq_id: Option<i64>,
}

/// One entry of [`IdLabels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdLabel {
    hash: [u64; 2],
    /// The label.
    pub label: u64,
}

impl IdLabel {
    fn new(id: &str, label: u64) -> Self {
        let hash = id_hash(id);
        IdLabel { hash: [(hash >> 64) as u64, hash as u64], label }
    }

    /// Digest of the id.
    pub fn hash(&self) -> u128 {
        u128::from(self.hash[0]) << 64 | u128::from(self.hash[1])
    }
}

/// What ids are compared by: 128 bits, so that a million million ids collide with a chance below 1e-14.
pub fn id_hash(id: &str) -> u128 {
    xxh3_128(id.as_bytes())
}

/// Paths of the segment files that exist, with their names relative to the Chroma directory.
pub fn segment_files(root: &Path, segment: &str) -> Vec<(PathBuf, String)> {
    let named = SEGMENT_FILES.iter().map(|file| (root.join(segment).join(file), format!("{segment}/{file}")));
    named.filter(|(path, _)| path.is_file()).collect()
}

impl Index {
    /// Opens the index of a segment; `None` if it was never persisted.
    pub fn open(root: &Path, segment: &str, metric: Metric, limits: &Limits) -> Result<Option<Self>> {
        let dir = root.join(segment);
        if !dir.join(PICKLE).is_file() {
            return Ok(None);
        }
        let open = |name: &str| present(&dir.join(name));
        let vectors = VectorFile::open_split(&open("header.bin")?, open("data_level0.bin")?, limits)?;
        let lengths = if metric == Metric::Cosine { Some(open("length.bin")?) } else { None };
        if let Some(lengths) = &lengths
            && lengths.len() / 4 < vectors.len()
        {
            return Err(torn(
                lengths.path(),
                format_args!("is too short: {} bytes for {} lengths", lengths.len(), vectors.len()),
            ));
        }
        Ok(Some(Index { vectors, lengths, pickle: open(PICKLE)? }))
    }

    /// The graph over the records, as it was persisted.
    pub fn read_graph(&self) -> Result<StoredGraph> {
        let links = present(&self.vectors.path().with_file_name("link_lists.bin"))?;
        self.vectors.read_split_graph(&links)
    }

    /// Bytes of memory that reading the pickle and sorting the labels takes at most.
    pub fn memory_bytes(&self) -> u64 {
        56 * self.vectors.len() + pickle_bytes(&self.pickle)
    }

    /// Reads the ids and their labels, sorted by the digest of the id.
    pub fn id_labels(&self, limits: &Limits) -> Result<IdLabels> {
        let expected = Vec::with_capacity(self.vectors.len() as usize);
        let mut labels = IdLabels { entries: expected, max_seq_id: None };
        let mut visit = |name: &str, key: Node<'_>, value: Node<'_>| match (name, key, value) {
            ("id_to_label", Node::Text(id), Node::Int(label @ 0..)) => {
                if labels.entries.len() as u64 > 2 * self.vectors.len() + 1024 {
                    return Err(torn(self.pickle.path(), "holds far more ids than the index has records"));
                }
                labels.entries.push(IdLabel::new(id, label as u64));
                Ok(Keep::No)
            }
            ("id_to_label", _, _) => Err(torn(self.pickle.path(), "maps an id to something that is no label")),
            ("label_to_id" | "id_to_seq_id", _, _) => Ok(Keep::No),
            _ => Ok(Keep::Yes),
        };
        let file = &self.pickle;
        let bounds = Bounds { max_items: limits.max_pickle_items, max_memory_bytes: pickle_bytes(file) };
        let decoded = pickle::decode(file.range(0, file.len()), file.len(), &[PICKLE_CLASS], bounds, &mut visit)
            .map_err(|error| error.with("file", file.path().display()))?;
        if decoded.bytes_read() != file.len() {
            return Err(torn(file.path(), format_args!("goes on after its end at byte {}", decoded.bytes_read())));
        }
        let fields = decoded.root().fields().map_err(|error| error.with("file", file.path().display()))?;
        if fields.get("id_to_label").is_none() {
            return Err(torn(file.path(), "has no id_to_label"));
        }
        if let Some(Node::Int(seq_id)) = fields.get("max_seq_id") {
            labels.max_seq_id = Some(seq_id);
        }
        if let Some(Node::Int(dim)) = fields.get("dimensionality")
            && usize::try_from(dim) != Ok(self.vectors.dim())
        {
            return Err(torn(file.path(), format_args!("says {dim} dimensions, header.bin {}", self.vectors.dim())));
        }
        let mut given: Vec<u64> = labels.entries.iter().map(|entry| entry.label).collect();
        given.sort_unstable();
        if let Some(pair) = given.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(torn(file.path(), format_args!("gives label {} to two ids", pair[0])));
        }
        labels.entries.sort_unstable();
        match labels.entries.windows(2).any(|pair| pair[0].hash == pair[1].hash) {
            true => Err(torn(file.path(), "holds an id twice")),
            false => Ok(labels),
        }
    }

    /// Reads every record's label, sorted, and compares a sample of the vectors with the declared metric.
    pub fn labels(&self, metric: Metric) -> Result<Vec<LabelAt>> {
        let mut labels = Vec::with_capacity(self.vectors.len() as usize);
        let mut lengths = LengthCheck {
            index: self,
            metric,
            seen: 0,
            unit: 0,
            vanished: 0,
            every: (self.vectors.len() / SAMPLE).max(1),
        };
        let failure = self.vectors.scan(|record| {
            labels.push(LabelAt { label: record.label, number: record.number as u32, deleted: record.deleted });
            match lengths.look_at(&record) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        lengths.conclude()?;
        labels.sort_unstable();
        match labels.windows(2).find(|pair| pair[0].label == pair[1].label) {
            Some(pair) => Err(torn(
                self.vectors.path(),
                format_args!("has label {} at records {} and {}", pair[0].label, pair[0].number, pair[1].number),
            )),
            None => Ok(labels),
        }
    }

    /// Appends the vector of a record as Chroma's API returns it: under cosine with its original length.
    pub fn read_vector(&self, number: u64, scratch: &mut Vec<u8>, out: &mut Vec<f32>) -> Result<()> {
        let start = out.len();
        self.vectors.read_vector(number, scratch, out)?;
        if let Some(lengths) = &self.lengths {
            let length = length_at(lengths, number)?;
            out[start..].iter_mut().for_each(|value| *value *= length);
        }
        Ok(())
    }
}

/// Where a label lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelAt {
    /// The label.
    pub label: u64,
    /// Number of the record.
    pub number: u32,
    /// True if the record was deleted.
    pub deleted: bool,
}

/// Compares the lengths of stored vectors with the declared metric.
///
/// Under cosine every stored vector has length 1 (or is zero) and `length.bin` its original length. Under the other
/// metrics vectors may well have length 1, but then `length.bin` is not filled with plausible other lengths.
struct LengthCheck<'a> {
    index: &'a Index,
    metric: Metric,
    every: u64,
    seen: u64,
    unit: u64,
    /// Records without a length that are not zero.
    vanished: u64,
}

impl LengthCheck<'_> {
    fn look_at(&mut self, record: &Record<'_>) -> Result<()> {
        if record.deleted || !record.number.is_multiple_of(self.every) {
            return Ok(());
        }
        let norm = record.norm();
        self.seen += 1;
        self.unit += u64::from((norm - 1.0).abs() <= UNIT_TOLERANCE);
        let Some(lengths) = self.index.lengths.as_ref() else { return Ok(()) };
        let length = length_at(lengths, record.number)?;
        // NaN and infinity come from a vector that held them or overflowed: that record becomes a reject of its own.
        if !norm.is_finite() || !length.is_finite() {
            return Ok(());
        }
        self.vanished += u64::from(length == 0.0 && norm > 0.0);
        if length < 0.0 {
            let what = format_args!("cosine, but length.bin gives record {} the length {length}", record.number);
            return Err(contradiction(self.index, what));
        }
        // Below that length Chroma's own normalising underflows.
        if length > TINY_LENGTH && norm > 0.0 && (norm - 1.0).abs() > UNIT_TOLERANCE {
            let what = format_args!("cosine, but record {} has length {norm:.6} where Chroma stores 1", record.number);
            return Err(contradiction(self.index, what));
        }
        Ok(())
    }

    /// Chroma measures a vector as 0 long where the squares of its elements underflow, and its API returns zeros. That
    /// happens to single vectors; where most have no length, `length.bin` was never filled.
    fn conclude(&self) -> Result<()> {
        if 2 * self.vanished > self.seen {
            let what =
                format_args!("cosine, but length.bin gives {} of {} records no length", self.vanished, self.seen);
            return Err(contradiction(self.index, what));
        }
        self.conclude_other()
    }

    /// The other direction: declared as l2 or ip, stored as only cosine does.
    fn conclude_other(&self) -> Result<()> {
        let path = self.index.vectors.path().with_file_name("length.bin");
        if self.metric == Metric::Cosine || self.seen < 16 || self.unit < self.seen || !path.is_file() {
            return Ok(());
        }
        let lengths = InputFile::open(&path)?;
        if lengths.len() / 4 < self.index.vectors.len() {
            return Ok(());
        }
        let mut other = 0;
        for number in (0..self.index.vectors.len()).step_by(self.every as usize) {
            let length = length_at(&lengths, number)?;
            if !(1e-6..1e6).contains(&length) {
                return Ok(());
            }
            other += u64::from((length - 1.0).abs() > 1e-2);
        }
        if other * 10 < self.seen {
            return Ok(());
        }
        let declared = self.metric.name();
        Err(contradiction(
            self.index,
            format_args!(
                "{declared}, but every stored vector has length 1 and length.bin holds other lengths, as under cosine"
            ),
        ))
    }
}

fn length_at(lengths: &InputFile, number: u64) -> Result<f32> {
    let mut bytes = [0; 4];
    lengths.read_exact_at(4 * number, &mut bytes)?;
    Ok(f32::from_le_bytes(bytes))
}

/// What decoding a pickle may hold: ids with their memo entries, in buffers that grow by doubling, stay below three
/// times the size of any pickle that Chroma writes.
fn pickle_bytes(file: &InputFile) -> u64 {
    3 * file.len() + (1 << 20)
}

fn present(path: &Path) -> Result<InputFile> {
    InputFile::open(path).map_err(|error| match error.source.kind() {
        std::io::ErrorKind::NotFound => {
            torn(path, "is missing, although index_metadata.pickle says that the index was written")
        }
        _ => error.into(),
    })
}

pub(super) fn torn(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::damaged(format!("{} {what}", path.display()))
        .hint("copy the whole directory again while Chroma is stopped, and compare file sizes")
}

fn contradiction(index: &Index, what: impl std::fmt::Display) -> Error {
    Error::damaged(format!("metadata and data disagree about the metric: the collection declares {what}"))
        .with("file", index.vectors.path().display())
        .hint("check hnsw:space in segment_metadata and collection_metadata, and schema_str and config_json_str in collections, against what the application asked for")
}
