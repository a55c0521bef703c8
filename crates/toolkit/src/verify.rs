//! Is A whole; are A and B the same; are the sessions of A, or of both, in order and complete.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tranship_connector::{Error, Locator, Mapping, OpenOptions, Prepared, Result};
use tranship_storage::StorageError;
use tranship_verify::archive::Subset;
use tranship_verify::class::{by_name, names};
use tranship_verify::sequence::{self, Remap, SequenceFields, SequenceOptions, SequenceReport, parse_remap};
use tranship_verify::{ArchiveReport, CompareOptions, CompareReport, Form, Level, Side, compare};

use crate::open::{self, Opened};
use crate::providers::registry;
use crate::settings::Settings;

/// Small splits: a comparison holds digests and, where tolerance is granted, the vectors of a whole split.
const SPLIT_BYTES: u64 = 16 << 20;

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
    /// Classes of difference that make no record another one.
    pub accept: Vec<String>,
    /// Locator of a set as it was before A, to tell deletes that came back from other extra records; opened like A.
    pub earlier: Option<String>,
    /// The keys of a sequence, if that is to be checked.
    pub sequence: Option<SequenceFields>,
    /// A file of what ids of A are called in B, for sequences.
    pub remap: Option<PathBuf>,
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
    /// Sessions of A, or of A and B.
    Sequence(SequenceReport),
}

impl VerifyReport {
    /// True if there is nothing wrong.
    pub fn holds(&self) -> bool {
        match self {
            VerifyReport::Archive(report) => report.faults.is_empty(),
            VerifyReport::Sets(report) => report.equal,
            VerifyReport::Sequence(report) => report.holds(),
        }
    }
}

/// Verifies.
pub fn verify(options: &VerifyOptions, settings: &Settings<'_>) -> Result<VerifyReport> {
    if let Some(fields) = &options.sequence {
        return sessions(options, fields, settings).map(VerifyReport::Sequence);
    }
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
    let once = [&options.a, b].iter().any(|text| Locator::parse(text, &registry()).is_stream());
    if once && (!options.accept.is_empty() || options.earlier.is_some() || options.tolerance.is_some()) {
        return Err(Error::usage("what is accepted takes a second look, which standard input does not allow")
            .hint("put the stream into a file first"));
    }
    let accepted = accepted(&options.accept)?;
    let opened_a = open::source(&options.a, &options.open_a)?;
    let opened_b = open::source(b, &options.open_b)?;
    let opened_earlier = options.earlier.as_ref().map(|text| open_earlier(text, options, &opened_a)).transpose()?;
    let mut mapping = options.mapping.as_deref().map(read_mapping).transpose()?;
    if let Some(mapping) = mapping.as_mut().filter(|_| is_own_mapping(options)) {
        // B is the bundle itself: what the engine will do to vectors has not been done to them.
        if !mapping.unit_in_bundle {
            mapping.normalised.clear();
        }
        mapping.tolerance.clear();
    }
    let (scratch_a, scratch_b, scratch) = (settings.scratch()?, settings.scratch()?, settings.scratch()?);
    let memory = settings.prepare_bytes() / if opened_earlier.is_some() { 3 } else { 2 };
    let prepared_a = open::prepare(&*opened_a.source, memory, SPLIT_BYTES, scratch_a.path())?;
    let prepared_b = open::prepare(&*opened_b.source, memory, SPLIT_BYTES, scratch_b.path())?;
    let scratch_earlier = settings.scratch()?;
    let prepared_earlier = prepare_if(opened_earlier.as_ref(), memory, scratch_earlier.path())?;
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
    let earlier = prepared_earlier.as_ref().map(|prepared| Side::new("the earlier set", &**prepared, form_a));
    let compare_options = CompareOptions {
        engine: settings.engine(),
        scratch: scratch.path(),
        max_named: options.max_named,
        once,
        tolerances: &tolerances,
        accepted: &accepted,
        earlier: earlier.as_ref(),
    };
    compare(&side_a, &side_b, compare_options)
}

/// Classes by the names that the user gave them.
fn accepted(given: &[String]) -> Result<BTreeSet<&'static str>> {
    let class = |text: &String| {
        by_name(text).ok_or_else(|| {
            let mut known = names::OF_VALUES.to_vec();
            known.push(names::ROUNDED);
            Error::usage(format!("`{text}` is no class of difference that can be accepted"))
                .hint(format!("these can: {}", known.join(", ")))
        })
    };
    given.iter().map(class).collect()
}

/// An earlier set is opened like A; options of A's connector are for its own kind only.
fn open_earlier(text: &str, options: &VerifyOptions, opened_a: &Opened) -> Result<Opened> {
    let mut open_options = options.open_a.clone();
    if open::connector(text)?.name != opened_a.connector.name {
        open_options.options.clear();
    }
    open::source(text, &open_options)
}

fn prepare_if<'a>(opened: Option<&'a Opened>, memory: u64, scratch: &Path) -> Result<Option<Box<dyn Prepared + 'a>>> {
    opened.map(|opened| open::prepare(&*opened.source, memory, SPLIT_BYTES, scratch)).transpose()
}

fn sessions(options: &VerifyOptions, fields: &SequenceFields, settings: &Settings<'_>) -> Result<SequenceReport> {
    let texts = [Some(&options.a), options.b.as_ref()];
    if texts.iter().flatten().any(|text| Locator::parse(text, &registry()).is_stream()) {
        return Err(Error::usage("sequences are read again to be named, which standard input does not allow")
            .hint("put the stream into a file first"));
    }
    let remap = match &options.remap {
        None => Remap::new(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| StorageError::new("read", path, e))?;
            parse_remap(&text).map_err(|e| e.with("file", path.display()))?
        }
    };
    let opened_a = open::source(&options.a, &options.open_a)?;
    let opened_b = options.b.as_ref().map(|b| open::source(b, &options.open_b)).transpose()?;
    let (scratch_a, scratch_b, scratch) = (settings.scratch()?, settings.scratch()?, settings.scratch()?);
    let memory = settings.prepare_bytes() / 2;
    let a = open::prepare(&*opened_a.source, memory, SPLIT_BYTES, scratch_a.path())?;
    let b = prepare_if(opened_b.as_ref(), memory, scratch_b.path())?;
    let side_a = Side::new(&opened_a.label, &*a, Form::AsRead);
    let label_b = opened_b.as_ref().map_or("", |opened| &opened.label);
    let side_b = b.as_ref().map(|b| Side::new(label_b, &**b, Form::AsRead));
    let sequence_options = SequenceOptions {
        fields,
        remap: &remap,
        engine: settings.engine(),
        scratch: scratch.path(),
        max_named: options.max_named,
    };
    sequence::check(&side_a, side_b.as_ref(), sequence_options)
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
