//! What a conversion would do: splits, bytes, memory and losses. Writes nothing.

use serde::Serialize;
use tranship_collection::CollectionSchema;
use tranship_connector::{CreateOptions, Error, ErrorKind, Loss, Negotiated, OpenOptions, Prepared, Result, Sink};
use tranship_storage::SourceIdentity;

use crate::convert::ConvertOptions;
use crate::open;
use crate::sample::{TargetNeeds, target_needs};
use crate::settings::Settings;
use crate::survey::survey;

/// What to plan.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// Locator of the source.
    pub source: String,
    /// Locator of the target.
    pub target: String,
    /// How to open the source.
    pub open: OpenOptions,
    /// How to create the target, with the losses that are accepted.
    pub create: CreateOptions,
}

/// What would happen.
#[derive(Debug, Clone, Serialize)]
pub struct PlanReport {
    /// The collection as it would be read.
    pub schema: CollectionSchema,
    /// Records, where the source tells.
    pub records: Option<u64>,
    /// Bytes of the source's files.
    pub source_bytes: u64,
    /// Splits, each of which becomes one shard; `None` for a stream.
    pub splits: Option<u64>,
    /// Memory of one split in flight.
    pub memory_per_split_bytes: u64,
    /// Splits that the memory budget lets run at once.
    pub parallel_splits: u64,
    /// What is changed on the way, as asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Loss>,
    /// What the target changes or loses.
    pub losses: Vec<Loss>,
    /// Codes that must be given to `--allow-loss`.
    pub needs_consent: Vec<String>,
    /// What the target will hold and need, for bundles.
    pub target: Option<TargetNeeds>,
    /// What else is worth telling.
    pub notes: Vec<String>,
}

/// Plans a conversion.
pub fn plan(options: &PlanOptions, settings: &Settings<'_>) -> Result<PlanReport> {
    let opened = open::source(&options.source, &options.open)?;
    let (connector, sink) = open::sink(&options.target, &options.create)?;
    let scratch = settings.scratch()?;
    let identity = opened.source.identity()?;
    let prepared = open::prepare(&*opened.source, settings.prepare_bytes(), sink.split_bytes(), scratch.path())?;
    let engine = settings.engine();
    let found = survey(&*prepared, &*sink, !identity.files.is_empty(), engine)?;
    let negotiated = sink.negotiate(prepared.schema(), &found)?;
    let (mut splits, mut memory) = (0, 0);
    if !identity.files.is_empty() {
        for split in prepared.splits()? {
            let split = split?;
            splits += 1;
            memory = memory.max(prepared.split_memory_bytes(&split));
        }
    }
    let memory = memory + tranship_pipeline::run::shard_memory_bytes(&*sink, prepared.schema())?;
    let needs_consent: Vec<String> =
        denied(&negotiated.losses, &options.create.allow_loss).map(|loss| loss.code.clone()).collect();
    let target = match needs_consent.is_empty() {
        true => target_needs(&*prepared, connector, &options.create, &negotiated, found.records, scratch.path())?,
        false => None,
    };
    Ok(PlanReport {
        schema: prepared.schema().clone(),
        records: prepared.ledger().live.or(Some(found.records).filter(|records| *records > 0)),
        source_bytes: identity.bytes(),
        splits: (!identity.files.is_empty()).then_some(splits),
        memory_per_split_bytes: memory,
        parallel_splits: (engine.memory_bytes / memory.max(1)).clamp(1, engine.threads as u64),
        needs_consent,
        target,
        changes: prepared.changes(),
        losses: negotiated.losses,
        notes: prepared.notes(),
    })
}

/// Losses that need consent and have none.
fn denied<'a>(losses: &'a [Loss], allowed: &'a [String]) -> impl Iterator<Item = &'a Loss> {
    losses.iter().filter(|loss| loss.grade.needs_consent() && !allowed.contains(&loss.code))
}

/// Refuses losses that were not allowed by code.
pub fn refuse_losses(negotiated: &Negotiated, allowed: &[String]) -> Result<()> {
    let denied: Vec<&Loss> = denied(&negotiated.losses, allowed).collect();
    let Some(first) = denied.first() else { return Ok(()) };
    let codes: Vec<String> = denied.iter().map(|loss| format!("--allow-loss {}", loss.code)).collect();
    let what = format!("the target cannot hold {}: {} would become {}", first.path, first.from, first.to);
    let mut error = Error::new(ErrorKind::LossDenied, what).with("losses", denied.len());
    if let Some(records) = first.records {
        error = error.with("records", records);
    }
    if !first.examples.is_empty() {
        error = error.with("ids", first.examples.join(", "));
    }
    Err(error.hint(format!("accept with {}", codes.join(" "))))
}

/// The canonical text of what a run is to do; a run resumes only under the same text.
pub fn plan_text(
    identity: &SourceIdentity,
    prepared: &dyn Prepared,
    sink: &dyn Sink,
    connector: &str,
    options: &ConvertOptions,
) -> Result<String> {
    #[derive(Serialize)]
    struct Text<'a> {
        tranship: &'a str,
        source: &'a SourceIdentity,
        schema: &'a CollectionSchema,
        id_column: &'a Option<String>,
        vector_column: &'a Option<String>,
        document_column: &'a Option<String>,
        max_line_bytes: usize,
        allow_inconsistent: bool,
        target: &'a str,
        split_bytes: u64,
        collection: &'a Option<String>,
        document_key: &'a Option<String>,
        plain_encoding: bool,
        target_options: &'a std::collections::BTreeMap<String, String>,
        allowed_losses: &'a [String],
    }
    let (open, create) = (&options.open, &options.create);
    let text = Text {
        tranship: env!("CARGO_PKG_VERSION"),
        source: identity,
        schema: prepared.schema(),
        id_column: &open.id_column,
        vector_column: &open.vector_column,
        document_column: &open.document_column,
        max_line_bytes: open.limits.max_line_bytes,
        allow_inconsistent: open.allow_inconsistent,
        target: connector,
        split_bytes: sink.split_bytes(),
        collection: &create.collection,
        document_key: &create.document_key,
        plain_encoding: create.plain_encoding,
        target_options: &create.options,
        allowed_losses: &options.allow_loss,
    };
    serde_json::to_string_pretty(&text).map_err(|e| Error::bug("cannot write the plan").caused_by(e))
}
