//! Which settings of the target's index keep the source's recall: graphs over B's vectors at several settings.
//!
//! The source's recall is that of the graph that served, or of one built with its settings. Every m and ef_construction is
//! built once and searched at every ef. Settings keep the recall if theirs is not below it by more than the larger
//! half-width of the two intervals. Among those the advice is the one that computes the fewest distances per query (takes
//! the least local time, where the engine does not count), then the one with the smallest graph.
//!
//! Invariant: the same sets and options give the same rows, except for times and what a time budget leaves out.

use rayon::ThreadPool;
use serde::Serialize;
use tranship_connector::{Error, Result};

use crate::graph::{HnswSettings, InsertionOrder};
use crate::interval::measure;
use crate::overlap::Tolerance;
use crate::parity::{RecallOptions, ServedGraphs, check, engine_name};
use crate::report::{Measure, grouped};
use crate::run::{Clock, Run};
use crate::set::VectorSet;
use crate::side::{SearchCost, ServedPart, Side};

/// What to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepGrid {
    /// Links per node.
    pub m: Vec<u32>,
    /// Candidates kept while building.
    pub ef_construction: Vec<u32>,
    /// Candidates kept while searching.
    pub ef_search: Vec<u32>,
}

impl Default for SweepGrid {
    fn default() -> Self {
        SweepGrid { m: vec![8, 16, 32], ef_construction: vec![100, 200], ef_search: vec![16, 32, 64, 128, 256] }
    }
}

/// One graph at one ef.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SweepRow {
    /// The settings.
    pub settings: HnswSettings,
    /// Recall@k over B's vectors.
    pub recall: Measure,
    /// Whether it is no worse than the source's.
    pub keeps: bool,
    /// What a query costs here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<SearchCost>,
    /// Time to build the graph here.
    pub build_seconds: f64,
    /// Bytes of the graph beside the vectors, in this engine.
    pub graph_bytes: usize,
}

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepReport {
    /// Neighbours per query.
    pub k: usize,
    /// Queries asked.
    pub queries: usize,
    /// Vectors of B that were indexed.
    pub rows: usize,
    /// Vectors in B's collection.
    pub population: usize,
    /// Engine that built the graphs.
    pub engine: &'static str,
    /// Settings of the source, if it has a graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<HnswSettings>,
    /// The graph of A's dump, if the source's recall is of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served: Option<ServedPart>,
    /// The source's recall.
    pub source_recall: Measure,
    /// All that was tried.
    pub tried: Vec<SweepRow>,
    /// The cheapest settings that keep the recall.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<SweepRow>,
    /// Whether there is advice.
    pub passes: bool,
    /// What was assumed or left out.
    pub notes: Vec<String>,
    /// Wall time.
    pub seconds: f64,
}

/// Builds B at all settings of `grid` and compares with A's index.
///
/// # Errors
/// As [`crate::compare`]; a grid without settings, an index of A whose recall cannot be measured.
pub fn sweep(
    a: &VectorSet,
    b: &VectorSet,
    options: &RecallOptions,
    grid: &SweepGrid,
    served: ServedGraphs,
    pool: &ThreadPool,
) -> Result<SweepReport> {
    check(a, b, options)?;
    if grid.m.is_empty() || grid.ef_construction.is_empty() || grid.ef_search.is_empty() {
        return Err(
            Error::usage("a sweep without settings says nothing").hint("give at least one m, ef_construction and ef")
        );
    }
    let mut run = Run { clock: Clock::start(options.time_budget), options, pool, notes: Vec::new() };
    let same = a.same_records(b);
    let (queries_a, exact_a, queries_b, exact_b) = run.search_exactly(a, b, same)?;
    let tolerance = Tolerance::between(a, b).within_one_side();
    let side_a = Side { set: a, queries: &queries_a, exact: &exact_a, tolerance, name: "A" };
    // The rows of B may lie otherwise than A's even if the records are equal.
    let (set_b, side_b_exact) = if same { (a, &exact_a) } else { (b, &exact_b) };
    let side_b = Side { set: set_b, queries: &queries_b, exact: side_b_exact, tolerance, name: "B" };
    let wanted = run.index_of(options.index_a.as_ref(), "A");
    let source = run.measure_side(&side_a, &wanted, served.a, 2)?.ok_or_else(|| {
        Error::usage("the recall of the source's index could not be measured, so nothing can be held against it")
            .hint("give the settings of an HNSW index that stands for it, or a larger --budget")
    })?;
    let source_recall = measure(&source.judged);
    let mut report = SweepReport {
        k: options.k,
        queries: queries_a.len(),
        rows: set_b.len(),
        population: options.population_b.unwrap_or(set_b.len()),
        engine: engine_name(options.engine),
        source: wanted.settings(),
        served: source.served,
        source_recall,
        tried: try_all(&mut run, &side_b, grid, source_recall)?,
        advice: None,
        passes: false,
        notes: Vec::new(),
        seconds: 0.0,
    };
    report.advice = advice(&report.tried);
    report.passes = report.advice.is_some();
    report.seconds = run.clock.elapsed().as_secs_f64();
    report.notes = run.notes;
    Ok(report)
}

fn try_all(run: &mut Run<'_>, side: &Side, grid: &SweepGrid, source: Measure) -> Result<Vec<SweepRow>> {
    let mut tried = Vec::new();
    let builds: Vec<(u32, u32)> =
        grid.m.iter().flat_map(|&m| grid.ef_construction.iter().map(move |&ef| (m, ef))).collect();
    for (done, (m, ef_construction)) in builds.iter().copied().enumerate() {
        let mut limits = Vec::new();
        let asked = HnswSettings { m, ef_construction, ef_search: 1 }.within_limits(&mut limits);
        limits.into_iter().for_each(|note| run.note(note));
        let allowed = run.clock.left(1.0);
        let Some((graph, build_seconds)) = run.build(side, asked, InsertionOrder::ById, allowed)? else {
            let left = builds.len() - done;
            run.note(format!("{left} of the graphs do not fit into the time budget and were not built"));
            break;
        };
        let graph_bytes = asked.graph_bytes(run.options.engine, side.set.len(), side.set.dim());
        let mut rows = Vec::new();
        for &ef_search in &grid.ef_search {
            let answers = run.ask(&graph, side, ef_search, build_seconds)?;
            let recall = measure(&answers.judged);
            let floor = source.half_width().max(recall.half_width());
            rows.push(SweepRow {
                settings: HnswSettings { ef_search, ..asked },
                recall,
                keeps: source.value - recall.value <= floor,
                cost: answers.cost,
                build_seconds,
                graph_bytes,
            });
        }
        drop(graph);
        tried.extend(rows);
    }
    Ok(tried)
}

fn advice(tried: &[SweepRow]) -> Option<SweepRow> {
    let price = |row: &SweepRow| row.cost.map_or(f64::INFINITY, |cost| cost.distances.unwrap_or(cost.microseconds));
    let keeping = tried.iter().filter(|row| row.keeps);
    keeping.min_by(|x, y| price(x).total_cmp(&price(y)).then(x.graph_bytes.cmp(&y.graph_bytes))).copied()
}

impl SweepReport {
    /// The report as lines for people; the first is the advice.
    pub fn lines(&self) -> Vec<String> {
        let source = self.source.map_or("exact search".to_owned(), |settings| format!("HNSW {settings}"));
        let served = if self.served.is_some() { ", the graph of the dump as it served" } else { "" };
        let mut lines = vec![match &self.advice {
            Some(row) => format!("{} keeps the source's recall at the least work", row.settings),
            None => "none of the settings keeps the source's recall".to_owned(),
        }];
        let (value, low, high) = (self.source_recall.value, self.source_recall.low, self.source_recall.high);
        lines.push(format!("source: recall@{} {value:.4} (95 %: {low:.4} to {high:.4}), {source}{served}", self.k));
        let of = if self.rows == self.population {
            String::new()
        } else {
            format!(" of {}, a sample", grouped(self.population))
        };
        lines.push(format!("{} queries, graphs over {} vectors of B{of}", grouped(self.queries), grouped(self.rows)));
        lines.push(format!(
            "{:>5} {:>15} {:>5}  {:>7}  {:>9}  {:>9}  {:>8}  {:>9}",
            "m", "ef_construction", "ef", "recall", "distances", "us/query", "build s", "graph MiB"
        ));
        lines.extend(self.tried.iter().map(row_text));
        lines.push("times are of this machine and compare settings with each other, not databases".to_owned());
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines
    }
}

fn row_text(row: &SweepRow) -> String {
    let distances = row.cost.and_then(|cost| cost.distances).map_or("-".to_owned(), |count| format!("{count:.0}"));
    let micros = row.cost.map_or("-".to_owned(), |cost| format!("{:.0}", cost.microseconds));
    let HnswSettings { m, ef_construction, ef_search } = row.settings;
    let mebibytes = row.graph_bytes as f64 / f64::from(1 << 20);
    let keeps = if row.keeps { "  keeps it" } else { "" };
    format!(
        "{m:>5} {ef_construction:>15} {ef_search:>5}  {:>7.4}  {distances:>9}  {micros:>9}  {:>8.2}  {mebibytes:>9.1}{keeps}",
        row.recall.value, row.build_seconds
    )
}
