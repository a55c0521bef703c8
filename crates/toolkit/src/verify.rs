//! Is A whole; or are A and B the same.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tranship_connector::{Error, Locator, Mapping, OpenOptions, Result};
use tranship_storage::StorageError;
use tranship_verify::archive::Subset;
use tranship_verify::{ArchiveReport, CompareOptions, CompareReport, Form, Level, Side, compare};

use crate::open;
use crate::providers::registry;
use crate::settings::Settings;

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Locator of A.
    pub a: String,
    /// Locator of B; none to check A alone.
    pub b: Option<String>,
    /// How to open A.
    pub open_a: OpenOptions,
    /// How to open B.
    pub open_b: OpenOptions,
    /// `mapping.json` of the bundle that B came through.
    pub mapping: Option<PathBuf>,
    /// Largest relative difference of vectors, where the user grants more than the mapping.
    pub tolerance: Option<f32>,
    /// How far A alone is proven.
    pub level: Level,
    /// Which of the files of A are read.
    pub subset: Subset,
    /// Records named per class of difference.
    pub max_named: usize,
}

/// The outcome.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum VerifyReport {
    /// A alone.
    Archive(ArchiveReport),
    /// A against B.
    Sets(CompareReport),
}

impl VerifyReport {
    /// True if there is nothing wrong.
    pub fn holds(&self) -> bool {
        match self {
            VerifyReport::Archive(report) => report.faults.is_empty(),
            VerifyReport::Sets(report) => report.equal,
        }
    }
}

/// Verifies.
pub fn verify(options: &VerifyOptions, settings: &Settings<'_>) -> Result<VerifyReport> {
    match &options.b {
        None => alone(options, settings).map(VerifyReport::Archive),
        Some(b) => both(options, b, settings).map(VerifyReport::Sets),
    }
}

fn alone(options: &VerifyOptions, settings: &Settings<'_>) -> Result<ArchiveReport> {
    let registry = registry();
    let locator = Locator::parse(&options.a, &registry);
    let archive = &tranship_archive::CONNECTOR;
    // A damaged archive must not be asked what it holds before it is checked.
    if (archive.probe)(&locator.path).is_none() && registry.resolve(&locator)?.name != archive.name {
        return Err(Error::usage(format!("{} is not an archive and has no digests to check against", options.a))
            .hint("compare it with something: tranship verify A B"));
    }
    let scratch = settings.scratch()?;
    tranship_verify::archive::check(&locator.path, options.level, options.subset, settings.engine(), scratch.path())
}

fn both(options: &VerifyOptions, b: &str, settings: &Settings<'_>) -> Result<CompareReport> {
    if [&options.a, b].iter().all(|text| Locator::parse(text, &registry()).is_stream()) {
        return Err(Error::usage("standard input cannot be both sides").hint("put one of them into a file"));
    }
    let opened_a = open::source(&options.a, &options.open_a)?;
    let opened_b = open::source(b, &options.open_b)?;
    let mut mapping = options.mapping.as_deref().map(read_mapping).transpose()?;
    if let Some(mapping) = mapping.as_mut().filter(|_| is_own_mapping(options)) {
        // B is the bundle itself: what the engine will do to vectors has not been done to them.
        if !mapping.unit_in_bundle {
            mapping.normalised.clear();
        }
        mapping.tolerance.clear();
    }
    let (scratch_a, scratch_b, scratch) = (settings.scratch()?, settings.scratch()?, settings.scratch()?);
    // Small splits: a comparison holds digests and, where tolerance is granted, the vectors of a whole split.
    let split_bytes = 16 << 20;
    let prepared_a = open::prepare(&*opened_a.source, settings.prepare_bytes() / 2, split_bytes, scratch_a.path())?;
    let prepared_b = open::prepare(&*opened_b.source, settings.prepare_bytes() / 2, split_bytes, scratch_b.path())?;
    let (form_a, form_b) = match &mapping {
        Some(mapping) => (Form::Projected(mapping), Form::Undone(mapping)),
        None => (Form::AsRead, Form::AsRead),
    };
    let mut tolerances = mapping.as_ref().map(|mapping| mapping.tolerance.clone()).unwrap_or_default();
    if let Some(tolerance) = options.tolerance {
        tolerances.extend(prepared_a.schema().stored_vectors().map(|vector| (vector.name.clone(), tolerance)));
    }
    let side_a = Side::new(&opened_a.label, &*prepared_a, form_a);
    let side_b = Side::new(&opened_b.label, &*prepared_b, form_b);
    let compare_options = CompareOptions {
        engine: settings.engine(),
        scratch: scratch.path(),
        max_named: options.max_named,
        once: [&options.a, b].iter().any(|text| Locator::parse(text, &registry()).is_stream()),
        tolerances: &tolerances,
    };
    compare(&side_a, &side_b, compare_options)
}

fn is_own_mapping(options: &VerifyOptions) -> bool {
    let locator = options.b.as_deref().map(|b| Locator::parse(b, &registry()));
    let own = locator.map(|locator| locator.path.join(tranship_bundle::MAPPING));
    own.is_some() && own == options.mapping
}

/// Reads a `mapping.json`.
pub fn read_mapping(path: &Path) -> Result<Mapping> {
    let bytes = std::fs::read(path).map_err(|e| StorageError::new("read", path, e))?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::damaged("not a mapping")
            .with("file", path.display())
            .hint("give the mapping.json of the bundle")
            .caused_by(e)
    })
}
