//! Writing: a sink negotiates what it can carry, writes shards in parallel, and is committed once.
//!
//! One split becomes one shard. On the shard lane a shard is a set of files of its own; on the ordered lane it is a
//! piece of bytes that is appended to one output in split order. Nothing counts before `commit`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::{CollectionSchema, SetFingerprint};
use tranship_storage::SourceIdentity;

use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::mapping::Mapping;
use crate::rules::Rules;
use crate::source::{RowLedger, Source};
use crate::survey::Survey;
use crate::transforms::Changed;

/// A target that collections are written to.
pub trait Sink: Send + Sync {
    /// What the target can hold; `None` for one that holds everything.
    fn rules(&self) -> Option<&'static Rules> {
        None
    }

    /// The mapping that the records are to be surveyed with before the target can say what it loses; `None` for a
    /// target that takes every record as it is.
    fn survey_with(&self, _schema: &CollectionSchema) -> Result<Option<Mapping>> {
        Ok(None)
    }

    /// Makes the output one that takes a target from one set to another: the records that are written replace those of
    /// their ids, and others are deleted. Errors: usage for a target that has no form for that, or another mapping.
    fn take_delta(&mut self, _delta: DeltaOrder) -> Result<()> {
        Err(Error::usage("this target has no form for a delta").hint(
            "write its two archives by themselves: upserts.tranship as any set, deletes.tranship as jsonl:IDS.jsonl, and delete those ids",
        ))
    }

    /// What of `schema` the target carries, and what it loses, as far as `survey` has measured it. Writes nothing.
    fn negotiate(&self, schema: &CollectionSchema, survey: &Survey) -> Result<Negotiated>;

    /// Split size that suits the target, bytes of source.
    fn split_bytes(&self) -> u64 {
        crate::source::SPLIT_BYTES
    }

    /// Takes up or begins the output for this plan (canonical text) and returns the shards that an interrupted run
    /// has finished, by ordinal. A different plan is an error of kind plan changed.
    fn begin(&self, plan: &str, schema: &CollectionSchema) -> Result<BTreeMap<u64, ShardOutput>>;

    /// Root of the unfinished output, where the run keeps its own files (`job/`, `data/rejects-*`) so that they
    /// survive an interruption; `None` if the output is a single file or a stream, which cannot be resumed.
    fn workdir(&self) -> Option<PathBuf> {
        None
    }

    /// Memory that one open shard needs, bytes.
    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64;

    /// Opens the shard of split `ordinal`, for records in `schema` on their way through `mapping`. Called from worker
    /// threads.
    fn open_shard<'a>(
        &'a self,
        ordinal: u64,
        schema: &'a CollectionSchema,
        mapping: Option<&'a Mapping>,
    ) -> Result<Box<dyn ShardWriter + 'a>>;

    /// Makes a finished shard durable, called in split order: records its fragment, or appends its bytes.
    fn publish(&self, shard: &mut ShardOutput) -> Result<()>;

    /// Called when a run has failed: removes what cannot be gone on from.
    fn abandon(&self) -> Result<()> {
        Ok(())
    }

    /// Completes the output; the commit point.
    fn commit(&self, totals: &Totals<'_>) -> Result<()>;
}

/// What takes a target from one set to another, beside the records to write.
pub struct DeltaOrder {
    /// How records stand at the target.
    pub mapping: Mapping,
    /// The set that it holds.
    pub base: FingerprintSummary,
    /// The set that it will hold.
    pub result: FingerprintSummary,
    /// The records to delete: ids without vectors.
    pub deletes: Box<dyn Source>,
    /// The records to write, for forms that delete what they replace.
    pub upserts: Box<dyn Source>,
}

/// One shard being written.
pub trait ShardWriter {
    /// Appends one batch in the canonical layout.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Completes the shard's files and says what they are.
    fn finish(self: Box<Self>) -> Result<ShardOutput>;
}

/// What the sink will write.
#[derive(Debug, Clone)]
pub struct Negotiated {
    /// What the target loses or changes.
    pub losses: Vec<Loss>,
    /// How records change form on the way, and how to undo it; `None` if they do not.
    pub mapping: Option<Mapping>,
}

/// A finished shard. Serialised as the shard's fragment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardOutput {
    /// Ordinal of the split.
    pub ordinal: u64,
    /// Records written.
    pub rows: u64,
    /// Files on the shard lane, in order.
    pub files: Vec<ShardFile>,
    /// Records rejected while reading the split.
    #[serde(default)]
    pub rejected: u64,
    /// The file of rejects, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<ShardFile>,
    /// Null values per vector column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub null_vectors: BTreeMap<String, u64>,
    /// What transforms did to the records of the split.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: Changed,
    /// Digest of a stream's split, to recognise it on resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_digest: Option<String>,
    /// Files of the run beside the output, removed at commit: fingerprint table, id digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub side_files: Vec<ShardFile>,
    /// The shard's bytes on the ordered lane.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// One file of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardFile {
    /// Path relative to the output's root, `/` as separator.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
}

/// What a run adds up to, handed to `commit`.
pub struct Totals<'a> {
    /// The collection.
    pub schema: &'a CollectionSchema,
    /// Every shard in split order.
    pub shards: &'a [ShardOutput],
    /// Fingerprint of the records as read.
    pub fingerprint: &'a SetFingerprint,
    /// Fingerprint of the records as the target will hold them, where that differs.
    pub expected: Option<&'a SetFingerprint>,
    /// What the target loses.
    pub losses: &'a [Loss],
    /// The mapping, if records change form.
    pub mapping: Option<&'a Mapping>,
    /// Who the source was.
    pub identity: &'a SourceIdentity,
    /// How the source's rows add up.
    pub ledger: RowLedger,
}
