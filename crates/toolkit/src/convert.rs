//! Moves one collection from a source to a target.

use serde::Serialize;
use tranship_connector::{Changed, CreateOptions, Error, Locator, Loss, OpenOptions, Reject, Result, Sink, Survey};
use tranship_pipeline::{RunOptions, RunReport, run};
use tranship_storage::staging::with_suffix;

use crate::open::{self, Opened};
use crate::plan::{plan_text, refuse_losses};
use crate::providers::registry;
use crate::settings::Settings;
use crate::survey::survey;

/// What to move where.
#[derive(Debug, Clone, Default)]
pub struct ConvertOptions {
    /// Locator of the source.
    pub source: String,
    /// Locator of the target.
    pub target: String,
    /// How to open the source.
    pub open: OpenOptions,
    /// How to create the target.
    pub create: CreateOptions,
    /// Records that may be set aside.
    pub max_rejects: u64,
    /// Codes of losses that are accepted.
    pub allow_loss: Vec<String>,
}

impl ConvertOptions {
    /// How to create the target, with what the user accepts.
    pub fn create_options(&self) -> CreateOptions {
        CreateOptions { allow_loss: self.allow_loss.clone(), ..self.create.clone() }
    }
}

/// What was moved.
#[derive(Debug, Clone, Serialize)]
pub struct ConvertReport {
    /// Locator of the source.
    pub source: String,
    /// Locator of the target.
    pub target: String,
    /// The collection.
    pub collection: String,
    /// What the run did.
    #[serde(flatten)]
    pub run: RunReport,
    /// What was asked to be changed on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Loss>,
    /// What the target changed or lost.
    pub losses: Vec<Loss>,
    /// What else is worth telling.
    pub notes: Vec<String>,
    /// Rejects that the target has no place for.
    #[serde(skip)]
    pub rejects: Vec<Reject>,
}

impl ConvertReport {
    /// What the transforms did, step by step, in words.
    pub fn changed_lines(&self) -> Vec<String> {
        let asked = self.changes.iter().map(|change| format!("{}: {} -> {}", change.path, change.from, change.to));
        asked.chain(counted_lines(&self.run.changed)).collect()
    }
}

fn counted_lines(changed: &Changed) -> Vec<String> {
    let line = |(step, change): (&String, &tranship_connector::Change)| {
        let error = change.error.map_or(String::new(), |error| {
            let elements = match error.elements {
                0 => String::new(),
                _ => format!(", elements differ by {:.3e} at most and {:.3e} on average", error.largest, error.mean()),
            };
            let (least, mean) = (error.least_cosine, error.mean_cosine());
            format!("{elements}, cosine to the original {least:.6} at least and {mean:.6} on average")
        });
        format!("{step}: {} records left out, {} changed{error}", change.dropped, change.changed)
    };
    changed.iter().map(line).collect()
}

/// Moves one collection.
pub fn convert(options: &ConvertOptions, settings: &Settings<'_>) -> Result<ConvertReport> {
    convert_surveyed(options, None, settings)
}

/// Moves one collection whose records have been measured already, if `measured` is given.
pub fn convert_surveyed(
    options: &ConvertOptions,
    measured: Option<&Survey>,
    settings: &Settings<'_>,
) -> Result<ConvertReport> {
    convert_opened(open::source(&options.source, &options.open)?, options, measured, settings)
}

/// Moves one collection that is open already.
pub fn convert_opened(
    opened: open::Opened,
    options: &ConvertOptions,
    measured: Option<&Survey>,
    settings: &Settings<'_>,
) -> Result<ConvertReport> {
    refuse_own_work_file(options)?;
    let (connector, sink) = open::sink(&options.target, &options.create_options())?;
    convert_into(options, &opened, (connector.name, &*sink), measured, settings)
}

/// Moves what was opened into a sink of the connector so called.
pub fn convert_into(
    options: &ConvertOptions,
    opened: &Opened,
    (connector, sink): (&str, &dyn Sink),
    measured: Option<&Survey>,
    settings: &Settings<'_>,
) -> Result<ConvertReport> {
    let scratch = settings.scratch()?;
    // Before it is prepared: what the state of the source is made of must be there at the end as well.
    let identity = opened.source.identity()?;
    let prepared = open::prepare(&*opened.source, settings.prepare_bytes(), sink.split_bytes(), scratch.path())?;
    let found = match measured {
        Some(survey) => survey.clone(),
        None => survey(&*prepared, sink, !identity.files.is_empty(), settings.engine())?,
    };
    let negotiated = sink.negotiate(prepared.schema(), &found)?;
    refuse_losses(&negotiated, &options.allow_loss)?;
    let plan = plan_text(&identity, &*prepared, sink, connector, options)?;
    let run_options = RunOptions {
        engine: settings.engine(),
        max_rejects: options.max_rejects,
        scratch: scratch.path(),
        plan: &plan,
        sized: !opened.compressed,
        identity: &identity,
        allow_inconsistent: options.open.allow_inconsistent,
    };
    let mut report = run(&*opened.source, &*prepared, sink, &negotiated, run_options)?;
    Ok(ConvertReport {
        source: options.source.clone(),
        target: options.target.clone(),
        collection: prepared.schema().name.clone(),
        changes: prepared.changes(),
        losses: negotiated.losses,
        notes: prepared.notes(),
        rejects: std::mem::take(&mut report.rejects),
        run: report,
    })
}

/// A leftover of the target's own name would be written anew while it is read.
fn refuse_own_work_file(options: &ConvertOptions) -> Result<()> {
    let path = |text: &str| Locator::parse(text, &registry()).path;
    let (source, partial) = (path(&options.source), with_suffix(&path(&options.target), ".partial"));
    match (source.canonicalize(), partial.canonicalize()) {
        (Ok(source), Ok(work)) if source == work => {
            Err(Error::usage(format!("{} is where the output would be made", partial.display()))
                .hint("move it to another name first, or choose another output name"))
        }
        _ => Ok(()),
    }
}
