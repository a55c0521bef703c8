//! A whole run: every split carried over, ids proven unique, the output committed.
//!
//! Invariant: `commit` is reached only if every split is in the output, no id occurs twice and the source is the one
//! that the run began with. Until then the output does not exist under its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::{BatchView, CollectionSchema, SetFingerprint};
use tranship_connector::{
    Changed, Error, ErrorKind, Mapping, Negotiated, Prepared, Reject, RejectSink, Result, RowLedger, ShardOutput, Sink,
    Source, Totals, transforms,
};
use tranship_storage::SourceIdentity;

use crate::duplicates::{self, Duplicate, Place};
use crate::engine::{EngineOptions, execute, interrupted};
use crate::rejects::RejectBudget;
use crate::shard::{ShardContext, ids_path};

/// Memory of the check for duplicates: enough that files are read in long pieces, whatever their number.
const DUPLICATES_BYTES: u64 = 16 << 20;

/// What a run may use and tolerate.
#[derive(Clone, Copy)]
pub struct RunOptions<'a> {
    /// Threads, memory, cancellation, progress.
    pub engine: EngineOptions<'a>,
    /// Records that may be set aside.
    pub max_rejects: u64,
    /// Directory for files that need not survive.
    pub scratch: &'a Path,
    /// Canonical text of the plan; a run resumes only under the same plan.
    pub plan: &'a str,
    /// True if the source's files hold as many bytes as its splits: they are not compressed.
    pub sized: bool,
    /// Who the source was before it was prepared.
    pub identity: &'a SourceIdentity,
    /// Go on although the source changed while it was read.
    pub allow_inconsistent: bool,
}

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// Records written.
    pub records: u64,
    /// Records set aside.
    pub rejected: u64,
    /// Splits carried over, and how many of them an earlier run had finished.
    pub splits: u64,
    /// Splits taken up from an interrupted run.
    pub resumed_splits: u64,
    /// Bytes of the shards' files.
    pub bytes_written: u64,
    /// Records without a vector, per vector.
    pub null_vectors: BTreeMap<String, u64>,
    /// What transforms did to the records, by step.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: Changed,
    /// How the source's rows add up.
    pub ledger: RowLedger,
    /// Fingerprint of the records as read.
    pub fingerprint: FingerprintSummary,
    /// Fingerprint of the records as the target will hold them.
    pub expected_fingerprint: FingerprintSummary,
    /// Rejects of an output that has no place for them (single files, streams).
    #[serde(skip)]
    pub rejects: Vec<Reject>,
}

/// Carries `source` into `sink`. A failed run leaves behind only what the next one can go on from.
pub fn run(
    source: &dyn Source,
    prepared: &dyn Prepared,
    sink: &dyn Sink,
    negotiated: &Negotiated,
    options: RunOptions<'_>,
) -> Result<RunReport> {
    carry_over(source, prepared, sink, negotiated, options).map_err(|error| match sink.abandon() {
        Ok(()) => error,
        Err(left) => error.with("also", left),
    })
}

fn carry_over(
    source: &dyn Source,
    prepared: &dyn Prepared,
    sink: &dyn Sink,
    negotiated: &Negotiated,
    options: RunOptions<'_>,
) -> Result<RunReport> {
    let identity = options.identity;
    let memory_bytes = shard_memory_bytes(sink, prepared.schema())?;
    let schema = prepared.schema();
    let total_bytes = (options.sized && !identity.files.is_empty()).then(|| identity.bytes());
    options.engine.progress.begin("convert", total_bytes);
    let finished = sink.begin(options.plan, schema)?;
    let used = finished.values().map(|shard| shard.rejected).sum();
    if used > options.max_rejects {
        return Err(Error::new(
            ErrorKind::TooManyRejects,
            format!("{used} records were rejected before, {} are allowed", options.max_rejects),
        ));
    }
    let rejects = RejectBudget::new(options.max_rejects, used);
    let workdir = sink.workdir();
    let root = workdir.as_deref().unwrap_or(options.scratch);
    let mapping = negotiated.mapping.as_ref();
    let projection = mapping.filter(|mapping| mapping.projects());
    let context = ShardContext { prepared, sink, mapping, root, rejects: &rejects, progress: options.engine.progress };

    let finished = Mutex::new(finished);
    let mut sums = Sums::new(schema, projection);
    execute(
        prepared,
        options.engine,
        memory_bytes,
        |split| {
            let known = finished.lock().unwrap_or_else(PoisonError::into_inner).remove(&split.ordinal);
            match known {
                Some(shard) if shard.split_digest != split.digest => Err(another_stream(root)),
                Some(shard) => Ok(context.take_up(shard).ok().map(|shard| (shard, true))),
                None => Ok(None),
            }
        },
        |split, stop| context.carry(split, stop).map(|shard| (shard, false)),
        |(mut shard, resumed)| {
            if !resumed {
                sink.publish(&mut shard.output)?;
            }
            sums.add(shard.output, &shard.fingerprint, shard.expected.as_ref(), shard.rejects, resumed);
            Ok(())
        },
    )?;
    if options.engine.cancel.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(interrupted());
    }
    if !finished.into_inner().unwrap_or_else(PoisonError::into_inner).is_empty() {
        return Err(another_stream(root));
    }
    refuse_missing(prepared, &sums.shards)?;
    refuse_damage(prepared, &sums.fingerprint)?;
    refuse_duplicates(prepared, &sums.shards, root, options.engine.memory_bytes)?;
    if !options.allow_inconsistent {
        refuse_change(source, identity)?;
    }
    let ledger = settled(prepared, &sums.shards);
    sink.commit(&Totals {
        schema,
        shards: &sums.shards,
        fingerprint: &sums.fingerprint,
        expected: sums.expected.as_ref(),
        losses: &negotiated.losses,
        mapping: negotiated.mapping.as_ref(),
        identity,
        ledger,
    })?;
    Ok(sums.report(workdir.is_none(), ledger))
}

/// Memory of a shard on its way: what the sink needs, and the fingerprint tables and ids that are taken along.
pub fn shard_memory_bytes(sink: &dyn Sink, schema: &CollectionSchema) -> Result<u64> {
    Ok(sink.shard_memory_bytes(schema) + 2 * table_bytes(schema)? + (4 << 20))
}

/// Memory of one fingerprint table; more vectors than it has room for are an error of kind limit.
pub fn table_bytes(schema: &CollectionSchema) -> Result<u64> {
    SetFingerprint::table_bytes(schema)
        .map_err(|fault| Error::limit(fault.to_string()).hint("split the vectors into several collections"))
}

struct Sums {
    shards: Vec<ShardOutput>,
    fingerprint: SetFingerprint,
    expected: Option<SetFingerprint>,
    rejects: Vec<Reject>,
    resumed: u64,
}

impl Sums {
    fn new(schema: &CollectionSchema, projection: Option<&Mapping>) -> Self {
        let expected = projection.map(|mapping| SetFingerprint::new(&mapping.projected_schema(schema)));
        Sums { shards: Vec::new(), fingerprint: SetFingerprint::new(schema), expected, rejects: Vec::new(), resumed: 0 }
    }

    fn add(
        &mut self,
        mut output: ShardOutput,
        fingerprint: &SetFingerprint,
        expected: Option<&SetFingerprint>,
        rejects: Vec<Reject>,
        resumed: bool,
    ) {
        self.fingerprint.merge(fingerprint);
        if let (Some(sum), Some(expected)) = (&mut self.expected, expected) {
            sum.merge(expected);
        }
        self.resumed += u64::from(resumed);
        self.rejects.extend(rejects);
        output.bytes = Vec::new();
        self.shards.push(output);
    }

    fn report(self, keep_rejects: bool, ledger: RowLedger) -> RunReport {
        let (mut null_vectors, mut changed) = (BTreeMap::new(), Changed::new());
        for shard in &self.shards {
            transforms::merge(&mut changed, &shard.changed);
            shard.null_vectors.iter().for_each(|(name, nulls)| *null_vectors.entry(name.clone()).or_default() += nulls);
        }
        let fingerprint = self.fingerprint.summary();
        RunReport {
            records: self.shards.iter().map(|shard| shard.rows).sum(),
            rejected: self.shards.iter().map(|shard| shard.rejected).sum(),
            splits: self.shards.len() as u64,
            resumed_splits: self.resumed,
            bytes_written: self.shards.iter().flat_map(|shard| &shard.files).map(|file| file.bytes).sum(),
            null_vectors,
            changed,
            ledger,
            expected_fingerprint: self.expected.map_or_else(|| fingerprint.clone(), |expected| expected.summary()),
            fingerprint,
            rejects: if keep_rejects { self.rejects } else { Vec::new() },
        }
    }
}

/// A stream has no identity before it is read: that it is another one shows in its splits.
fn another_stream(partial: &Path) -> Error {
    Error::new(
        ErrorKind::PlanChanged,
        format!("{} was begun with another input than the one that is read now", partial.display()),
    )
    .hint(format!("give the same input to go on, or remove {} to begin anew", partial.display()))
}

/// What came must be what the source itself counts, where it does.
fn refuse_missing(prepared: &dyn Prepared, shards: &[ShardOutput]) -> Result<()> {
    let (found, filtered, rejected) = counts(shards);
    let read = found + filtered;
    let live = match prepared.left_out() {
        None => prepared.ledger().live,
        Some(left_out) => left_out.live.filter(|_| !left_out.cut),
    };
    match live {
        // Sources tell before or after reading which of their rows are rejects.
        Some(live) if !(read..=read + rejected).contains(&live) => Err(Error::damaged(format!(
            "the source counts {live} records, but {read} and {rejected} rejects were read"
        ))
        .hint("copy the source again; if the numbers stay, please report it")),
        _ => Ok(()),
    }
}

/// Records written, left out on purpose and rejected.
fn counts(shards: &[ShardOutput]) -> (u64, u64, u64) {
    let sum = |count: fn(&ShardOutput) -> u64| shards.iter().map(count).sum();
    (sum(|shard| shard.rows), sum(|shard| transforms::dropped(&shard.changed)), sum(|shard| shard.rejected))
}

/// The ledger once everything is read: what was left out on purpose has been counted.
fn settled(prepared: &dyn Prepared, shards: &[ShardOutput]) -> RowLedger {
    let ledger = prepared.ledger();
    let Some(left_out) = prepared.left_out() else { return ledger };
    let (found, filtered, rejected) = counts(shards);
    // Splits behind a limit were never opened: what was in them follows from what the source counts.
    let unread = left_out.live.filter(|_| left_out.cut).map(|live| live.saturating_sub(found + rejected));
    RowLedger { live: Some(found), filtered: unread.unwrap_or(filtered), ..ledger }
}

/// Parquet pages have no checksums: a flipped bit decodes to another value and shows only here.
fn refuse_damage(prepared: &dyn Prepared, found: &SetFingerprint) -> Result<()> {
    let found = found.summary();
    match prepared.stated_fingerprint() {
        Some(stated) if stated != found => Err(Error::damaged(format!(
            "the records have the fingerprint {}, but the source states {}",
            found.digest, stated.digest
        ))
        .hint("`tranship verify` tells which files are damaged; restore them from another copy")),
        _ => Ok(()),
    }
}

fn refuse_change(source: &dyn Source, before: &SourceIdentity) -> Result<()> {
    let after = source.identity()?;
    match before.changed(&after) {
        None => Ok(()),
        Some(path) => Err(Error::new(ErrorKind::Changing, "the source changed while it was read")
            .with("file", path)
            .hint("stop the database and run again, or pass --allow-inconsistent and see it in every verdict")),
    }
}

fn refuse_duplicates(prepared: &dyn Prepared, shards: &[ShardOutput], root: &Path, memory_bytes: u64) -> Result<()> {
    let files: Vec<(u64, PathBuf)> =
        shards.iter().map(|shard| (shard.ordinal, root.join(ids_path(shard.ordinal)))).collect();
    match duplicates::find(&files, memory_bytes.min(DUPLICATES_BYTES))? {
        None => Ok(()),
        Some(duplicate) => Err(duplicate_error(prepared, duplicate)),
    }
}

fn duplicate_error(prepared: &dyn Prepared, duplicate: Duplicate) -> Error {
    let place = |place: Place| format!("record {} of split {}", place.row, place.ordinal);
    let error = Error::damaged("two records have the same id")
        .with("first", place(duplicate.first))
        .with("second", place(duplicate.second))
        .hint("find out which one is right and remove the other from the source");
    match id_at(prepared, duplicate.second) {
        Ok(Some(id)) => error.with("id", id),
        _ => error,
    }
}

/// The id of one record, read again for a message.
fn id_at(prepared: &dyn Prepared, place: Place) -> Result<Option<String>> {
    struct Ignore;
    impl RejectSink for Ignore {
        fn reject(&mut self, _: Reject) -> Result<()> {
            Ok(())
        }
    }
    let Some(split) = prepared.splits()?.nth(place.ordinal as usize) else { return Ok(None) };
    let mut row = place.row as usize;
    for batch in prepared.open(split?, &mut Ignore)? {
        let batch = batch?;
        if row < batch.num_rows() {
            let view = BatchView::new(&batch, prepared.schema()).map_err(|fault| Error::damaged(fault.to_string()))?;
            return Ok(Some(view.id(row).to_owned()));
        }
        row -= batch.num_rows();
    }
    Ok(None)
}

/// The mapping of a negotiation, with the fingerprints that a run has found.
pub fn completed(mapping: &Mapping, totals: &Totals<'_>) -> Mapping {
    let source = totals.fingerprint.summary();
    let expected = totals.expected.map_or_else(|| source.clone(), SetFingerprint::summary);
    Mapping { source_fingerprint: Some(source), expected_fingerprint: Some(expected), ..mapping.clone() }
}
