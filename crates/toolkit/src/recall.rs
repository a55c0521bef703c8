//! Will search still answer the same: fills two vector sets from two sources and compares their answers.
//!
//! Equal fingerprints prove exact overlap. A side whose dump carries its HNSW graph is measured by that very graph, if all
//! of its records are searched; other indexes are built here with the settings that the side's schema names, or the user.

pub mod log;
mod replay;
mod sides;

use std::path::PathBuf;
use std::time::Duration;

pub use replay::{Certificate, Questions, certify};
use tranship_collection::IndexSpec;
use tranship_connector::{Error, OpenOptions, Result};
pub use tranship_recall::{Engine, RecallReport, SweepGrid, SweepReport, Thresholds};
use tranship_recall::{HnswSettings, QueryChoice, ServedGraphs};

use crate::settings::Settings;
use sides::{Sides, with_sides};

/// What to compare and how much of it.
#[derive(Debug, Clone)]
pub struct RecallOptions {
    /// Locator of the source.
    pub a: String,
    /// Locator of the target.
    pub b: String,
    /// How to open A.
    pub open_a: OpenOptions,
    /// How to open B.
    pub open_b: OpenOptions,
    /// `mapping.json` of the bundle that B came through.
    pub mapping: Option<PathBuf>,
    /// Which vector; the unnamed one, or the only one.
    pub vector: Option<String>,
    /// Neighbours per query.
    pub k: usize,
    /// Queries sampled from A.
    pub queries: usize,
    /// Largest set that is searched; above it both sides are sampled.
    pub max_rows: usize,
    /// Time to keep to.
    pub budget: Option<Duration>,
    /// Seed of the samples.
    pub seed: u64,
    /// What passes.
    pub thresholds: Thresholds,
    /// Which engine builds graphs.
    pub engine: Engine,
    /// Index settings of A that its files do not tell, or that are to be tried.
    pub index_a: IndexChoice,
    /// Index settings of B.
    pub index_b: IndexChoice,
    /// Build graphs even where a dump carries its own.
    pub rebuild: bool,
    /// A cut-off of A's scores that is to be carried over to B.
    pub cutoff: Option<f64>,
    /// Databases whose scores are meant, where they are not those of the files.
    pub scores_of: (Option<String>, Option<String>),
}

/// Settings that stand in for what an index declares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexChoice {
    /// Links per node on the upper levels.
    pub m: Option<u32>,
    /// Candidates kept while building.
    pub ef_construction: Option<u32>,
    /// Candidates kept while searching.
    pub ef_search: Option<u32>,
}

impl IndexChoice {
    /// The index with these settings.
    fn over(self, declared: Option<IndexSpec>) -> Option<IndexSpec> {
        if self == IndexChoice::default() {
            return declared;
        }
        let standard = HnswSettings::default();
        let (m, ef_construction, ef_search) = match declared {
            Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => (m, ef_construction, ef_search),
            _ => (standard.m, standard.ef_construction, None),
        };
        Some(IndexSpec::Hnsw {
            m: self.m.unwrap_or(m),
            ef_construction: self.ef_construction.unwrap_or(ef_construction),
            ef_search: self.ef_search.or(ef_search),
        })
    }

    /// A graph of a dump can be searched otherwise, but it was built as it was.
    fn rebuilds(self) -> bool {
        self.m.is_some() || self.ef_construction.is_some()
    }
}

impl Default for RecallOptions {
    fn default() -> Self {
        RecallOptions {
            a: String::new(),
            b: String::new(),
            open_a: OpenOptions::default(),
            open_b: OpenOptions::default(),
            mapping: None,
            vector: None,
            k: 10,
            queries: 1_000,
            max_rows: 100_000,
            budget: None,
            seed: 42,
            thresholds: Thresholds::default(),
            engine: Engine::default(),
            index_a: IndexChoice::default(),
            index_b: IndexChoice::default(),
            rebuild: false,
            cutoff: None,
            scores_of: (None, None),
        }
    }
}

/// Measures recall; `None` if neither side has a dense vector or any record with one.
pub fn recall(options: &RecallOptions, settings: &Settings<'_>) -> Result<Option<RecallReport>> {
    with_sides(options, settings, |sides| compare(options, sides))
}

/// Tries settings of the target's index; `None` as for [`recall`].
pub fn sweep(options: &RecallOptions, grid: &SweepGrid, settings: &Settings<'_>) -> Result<Option<SweepReport>> {
    with_sides(options, settings, |sides| {
        let (a, b) = (sides.load_a()?, sides.load_b()?);
        let mut notes = Vec::new();
        let served = served(options, sides, &mut notes)?;
        let pool = rayon_pool(sides.settings)?;
        let mut report = tranship_recall::sweep(&a, &b, &measured(options, sides), grid, served, &pool)?;
        report.notes.extend(notes);
        Ok(report)
    })
}

/// The graphs of the dumps, where they are wanted.
fn served(options: &RecallOptions, sides: &Sides<'_>, notes: &mut Vec<String>) -> Result<ServedGraphs> {
    // A mapping changes records, and so what a node stands for.
    let (a, b) = sides.served(options.mapping.is_none() && !options.rebuild, notes)?;
    Ok(ServedGraphs { a: a.filter(|_| !options.index_a.rebuilds()), b: b.filter(|_| !options.index_b.rebuilds()) })
}

fn compare(options: &RecallOptions, sides: &Sides<'_>) -> Result<RecallReport> {
    let (a, b) = (sides.load_a()?, sides.load_b()?);
    let mut notes = Vec::new();
    let served = served(options, sides, &mut notes)?;
    let pool = rayon_pool(sides.settings)?;
    let mut report = tranship_recall::compare_served(&a, &b, &measured(options, sides), served, &pool)?;
    report.notes.extend(notes);
    if let Some(cutoff) = options.cutoff {
        let forms = (sides.scores_a(options.scores_of.0.as_deref())?, sides.scores_b(options.scores_of.1.as_deref())?);
        let asked = (options.queries, options.seed);
        report.scores = Some(tranship_recall::translate(&a, &b, forms, cutoff, asked, &pool)?);
    }
    Ok(report)
}

/// The options of the measurement itself.
fn measured(options: &RecallOptions, sides: &Sides<'_>) -> tranship_recall::RecallOptions {
    tranship_recall::RecallOptions {
        k: options.k,
        queries: QueryChoice::Sample(options.queries),
        seed: options.seed,
        identical: sides.identical,
        index_a: options.index_a.over(sides.spec_a().and_then(|spec| spec.index.clone())),
        index_b: options.index_b.over(sides.spec_b().and_then(|spec| spec.index.clone())),
        population_a: Some(sides.populations.0),
        population_b: Some(sides.populations.1),
        time_budget: options.budget,
        thresholds: options.thresholds,
        engine: options.engine,
        ..tranship_recall::RecallOptions::default()
    }
}

fn rayon_pool(settings: &Settings<'_>) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(settings.threads.max(1))
        .build()
        .map_err(|e| Error::bug("cannot start the worker threads").caused_by(e))
}
