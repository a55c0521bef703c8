//! The comparison: does B answer as A does?
//!
//! Queries are records of A (each excludes itself on both sides) or given vectors. Three questions are answered with
//! 95 % intervals: how many of A's exact neighbours are B's (must be all for a transfer without loss), how many of
//! them A's index finds with A's settings, and B's with B's. The drop between the last two counts only above the noise
//! floor: the greater of the intervals' half-width and the spread of the recall over insertion orders.
//!
//! Invariant: the same sets and options give the same report, except for times, graphs above
//! [`crate::graph::reference::SEQUENTIAL_ROWS`] rows, and what a time budget cuts short; the last two are said in the notes.
//!
//! Errors: sets of different dimension, k or queries of 0, given queries that the set would refuse.

use std::time::{Duration, Instant};

use rayon::ThreadPool;
use tranship_collection::IndexSpec;
use tranship_connector::{Error, Result};

use crate::causes::Answers;
use crate::exact::{Nearest, exact_neighbours};
use crate::graph::{Engine, Graph, HnswSettings, InsertionOrder};
use crate::interval::measure;
use crate::overlap::{Judged, Tolerance, judge};
use crate::queries::QuerySet;
use crate::report::{Measure, OverlapBasis, RecallReport, SideReport, grouped};
use crate::set::VectorSet;

/// Queries that are always asked; what they cost decides how many more a time budget allows.
const PILOT_QUERIES: usize = 32;

/// Part of the time budget that exact search may take.
const EXACT_SHARE: f64 = 1.0 / 3.0;

/// Part of the time budget after which no further insertion order is begun.
const ORDERS_SHARE: f64 = 0.5;

/// What to ask.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryChoice {
    /// This many records of A, chosen by the seed.
    Sample(usize),
    /// These vectors, row-major.
    Given(Vec<f32>),
}

/// What to compare and how.
#[derive(Debug, Clone, PartialEq)]
pub struct RecallOptions {
    /// Neighbours per query.
    pub k: usize,
    /// What to ask.
    pub queries: QueryChoice,
    /// Seed of the sample and of shuffled insertion orders.
    pub seed: u64,
    /// The caller knows that both collections have the same fingerprint.
    pub identical: bool,
    /// A's own index settings.
    pub index_a: Option<IndexSpec>,
    /// B's own index settings.
    pub index_b: Option<IndexSpec>,
    /// Vectors in A's collection, if the set is a sample of it.
    pub population_a: Option<usize>,
    /// Vectors in B's collection, if the set is a sample of it.
    pub population_b: Option<usize>,
    /// Wall time to keep to; fewer queries are asked or graphs left out, and the report says so.
    pub time_budget: Option<Duration>,
    /// Insertion orders of A's graph, the first included, whose spread is part of the noise floor.
    pub orders: usize,
    /// Least exact overlap that passes.
    pub min_overlap: f64,
    /// Which engine builds the graphs.
    pub engine: Engine,
}

impl Default for RecallOptions {
    fn default() -> Self {
        RecallOptions {
            k: 10,
            queries: QueryChoice::Sample(1_000),
            seed: 0,
            identical: false,
            index_a: None,
            index_b: None,
            population_a: None,
            population_b: None,
            time_budget: None,
            orders: 3,
            min_overlap: 0.999,
            engine: Engine::default(),
        }
    }
}

/// Compares the answers of `a` (the source) and `b` (the target); work runs on `pool`.
///
/// # Errors
/// Different dimensions, k or queries of 0, given queries with other elements or values that are not finite, or a
/// failure of the graph engine.
pub fn compare(a: &VectorSet, b: &VectorSet, options: &RecallOptions, pool: &ThreadPool) -> Result<RecallReport> {
    check(a, b, options)?;
    let mut run = Run { clock: Clock::start(options.time_budget), options, pool, notes: Vec::new() };
    let same = a.same_records(b);
    let basis = run.overlap_basis(same);
    // Equal sets may lie in another order; from here on one stands for both.
    let b = if same { a } else { b };
    let tolerance = Tolerance::between(a, b);
    let (queries_a, exact_a, queries_b, exact_b) = run.search_exactly(a, b, same)?;
    let overlap: Vec<Judged> = if same {
        exact_a.iter().map(Judged::proved).collect()
    } else {
        let rows = |query: usize| exact_b[query].neighbours().iter().map(|neighbour| a.find(b, neighbour.row));
        (0..exact_a.len()).map(|q| judge(a, &queries_a, q, &exact_a[q], rows(q), tolerance)).collect()
    };

    let side_a =
        Side { set: a, queries: &queries_a, exact: &exact_a, tolerance: tolerance.within_one_side(), name: "A" };
    let side_b =
        Side { set: b, queries: &queries_b, exact: &exact_b, tolerance: tolerance.within_one_side(), name: "B" };
    let wanted_a = run.index_of(options.index_a.as_ref(), "A");
    let wanted_b = run.index_of(options.index_b.as_ref(), "B");
    let build_once = same && wanted_a == wanted_b;
    let index_a = run.measure_index(&side_a, &wanted_a, if build_once { 1 } else { 2 })?;
    let index_b = if build_once {
        run.note("both sides are equal and have equal settings: one graph stands for both");
        index_a.clone()
    } else {
        run.measure_index(&side_b, &wanted_b, 1)?
    };
    let other_orders = match (&index_a, &index_b, &wanted_a) {
        (Some(first), Some(_), Index::Graph(settings)) if !build_once => {
            run.vary_order(&side_a, *settings, first.seconds)?
        }
        _ => Vec::new(),
    };

    let recall_a = index_a.as_ref().map(|index| measure(&index.judged));
    let recall_b = index_b.as_ref().map(|index| measure(&index.judged));
    let exact_overlap = match basis {
        OverlapBasis::Computed => measure(&overlap),
        // A proof has no interval.
        _ => Measure { value: 1.0, low: 1.0, high: 1.0 },
    };
    let drop = recall_a.zip(recall_b).map(|(a, b)| a.value - b.value);
    let noise_floor =
        recall_a.zip(recall_b).map(|(a, b)| a.half_width().max(b.half_width()).max(spread(a.value, &other_orders)));
    let passes = exact_overlap.value >= options.min_overlap
        && drop.zip(noise_floor).is_none_or(|(drop, floor)| drop <= floor)
        && a.is_empty() == b.is_empty();
    let answers = Answers {
        a,
        b,
        exact_a: &exact_a,
        exact_b: &exact_b,
        overlap: &overlap,
        index_b: index_b.as_ref().and_then(|index| Some((&index.judged[..], index.answers.as_deref()?))),
    };
    let worst = answers.worst(|query| query_label(a, &queries_a, query));
    let population_b = options.population_b.unwrap_or(b.len());
    Ok(RecallReport {
        k: options.k,
        dim: a.dim(),
        queries: queries_a.len(),
        sampled: matches!(options.queries, QueryChoice::Sample(_)),
        seed: options.seed,
        a: side_report(a, options.population_a.unwrap_or(a.len()), &wanted_a, recall_a, index_a.as_ref()),
        b: side_report(b, population_b, &wanted_b, recall_b, index_b.as_ref().filter(|_| !build_once)),
        tie_epsilon: tolerance.epsilon,
        tie_roundoff: tolerance.roundoff,
        overlap_basis: basis,
        exact_overlap,
        ties: overlap.iter().map(|judged| judged.tied).sum(),
        min_overlap: options.min_overlap,
        drop,
        noise_floor,
        other_orders,
        passes,
        worst,
        notes: run.notes,
        seconds: run.clock.elapsed().as_secs_f64(),
    })
}

fn check(a: &VectorSet, b: &VectorSet, options: &RecallOptions) -> Result<()> {
    if a.dim() != b.dim() {
        let message = format!("vectors of A have {} elements and those of B {}", a.dim(), b.dim());
        return Err(
            Error::usage(message).hint("sets of different embedding models have no common neighbours to compare")
        );
    }
    if options.k == 0 {
        return Err(Error::usage("recall@0 says nothing").hint("ask for at least one neighbour"));
    }
    let asked = match &options.queries {
        QueryChoice::Sample(count) => *count,
        QueryChoice::Given(values) => values.len(),
    };
    if asked == 0 {
        return Err(Error::usage("recall without queries says nothing").hint("ask at least one query"));
    }
    Ok(())
}

fn query_label(a: &VectorSet, queries: &QuerySet, query: usize) -> String {
    queries.excluded(query).map_or_else(|| format!("query {}", query + 1), |row| a.keys().label(row))
}

fn spread(first: f64, others: &[f64]) -> f64 {
    let (low, high) = others.iter().fold((first, first), |(low, high), &value| (low.min(value), high.max(value)));
    high - low
}

fn side_report(
    set: &VectorSet,
    population: usize,
    index: &Index,
    recall: Option<Measure>,
    built: Option<&IndexAnswers>,
) -> SideReport {
    let settings = if let Index::Graph(settings) = index { Some(*settings) } else { None };
    let build_seconds = built.filter(|built| built.answers.is_some()).map(|built| built.seconds);
    SideReport { rows: set.len(), population, metric: set.metric(), settings, recall, build_seconds }
}

/// How a side searches in its own database.
#[derive(Debug, Clone, PartialEq)]
enum Index {
    Exact,
    Graph(HnswSettings),
    Unknown,
}

/// A set with the queries put to it and their exact answers.
struct Side<'a> {
    set: &'a VectorSet,
    queries: &'a QuerySet,
    exact: &'a [Nearest],
    tolerance: Tolerance,
    name: &'static str,
}

/// What an index answered.
#[derive(Debug, Clone)]
struct IndexAnswers {
    judged: Vec<Judged>,
    /// Rows by query; none where the index is exact.
    answers: Option<Vec<Vec<usize>>>,
    seconds: f64,
}

/// Wall time against the budget.
struct Clock {
    start: Instant,
    budget: Option<Duration>,
}

impl Clock {
    fn start(budget: Option<Duration>) -> Self {
        Clock { start: Instant::now(), budget }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Seconds left of this share of the budget; none without a budget.
    fn left(&self, share: f64) -> Option<f64> {
        self.budget.map(|budget| budget.as_secs_f64() * share - self.elapsed().as_secs_f64())
    }
}

/// One run of a comparison.
struct Run<'a> {
    clock: Clock,
    options: &'a RecallOptions,
    pool: &'a ThreadPool,
    notes: Vec<String>,
}

impl Run<'_> {
    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// A proof needs the vectors in hand to be equal too: a stated equality that they contradict is not believed.
    fn overlap_basis(&mut self, same: bool) -> OverlapBasis {
        match (same, self.options.identical) {
            (true, true) => OverlapBasis::Fingerprint,
            (true, false) => OverlapBasis::SameRecords,
            (false, true) => {
                self.note("the fingerprints are said to be equal, but the sets, metrics or samples differ: computed");
                OverlapBasis::Computed
            }
            (false, false) => OverlapBasis::Computed,
        }
    }

    /// Chooses queries and answers them exactly on both sides, as many as the budget allows.
    fn search_exactly(
        &mut self,
        a: &VectorSet,
        b: &VectorSet,
        same: bool,
    ) -> Result<(QuerySet, Vec<Nearest>, QuerySet, Vec<Nearest>)> {
        let queries_a = match &self.options.queries {
            QueryChoice::Sample(count) => QuerySet::from_rows(a, &QuerySet::sampled_rows(a, *count, self.options.seed)),
            QueryChoice::Given(vectors) => QuerySet::from_vectors(a, vectors)?,
        };
        let queries_b = if same { queries_a.clone() } else { queries_a.carried_to(a, b) };
        let pilot = PILOT_QUERIES.min(queries_a.len());
        let began = Instant::now();
        let (mut exact_a, mut exact_b) = self.answer(a, b, same, &queries_a.part(0..pilot), &queries_b.part(0..pilot));
        let count = self.affordable(began.elapsed(), pilot, queries_a.len());
        let (queries_a, queries_b) = (queries_a.part(0..count), queries_b.part(0..count));
        let rest = pilot..count;
        let (more_a, more_b) = self.answer(a, b, same, &queries_a.part(rest.clone()), &queries_b.part(rest));
        exact_a.extend(more_a);
        exact_b.extend(more_b);
        Ok((queries_a, exact_a, queries_b, exact_b))
    }

    fn answer(
        &self,
        a: &VectorSet,
        b: &VectorSet,
        same: bool,
        queries_a: &QuerySet,
        queries_b: &QuerySet,
    ) -> (Vec<Nearest>, Vec<Nearest>) {
        let exact_a = exact_neighbours(a, queries_a, self.options.k, self.pool);
        let exact_b = if same { exact_a.clone() } else { exact_neighbours(b, queries_b, self.options.k, self.pool) };
        (exact_a, exact_b)
    }

    /// How many of the wanted queries fit, going by what the pilot took.
    fn affordable(&mut self, took: Duration, pilot: usize, wanted: usize) -> usize {
        let Some(left) = self.clock.left(EXACT_SHARE) else { return wanted };
        let each = took.as_secs_f64() / pilot.max(1) as f64;
        let more = if each > 0.0 { (left.max(0.0) / each) as usize } else { wanted };
        let count = pilot.saturating_add(more).min(wanted);
        if count < wanted {
            self.note(format!("the time budget allows {} of {} queries", grouped(count), grouped(wanted)));
        }
        count
    }

    fn index_of(&mut self, spec: Option<&IndexSpec>, side: &str) -> Index {
        let (settings, notes) = HnswSettings::from_spec(spec);
        self.notes.extend(notes.into_iter().map(|note| format!("{side}: {note}")));
        match (settings, spec) {
            (Some(settings), _) => Index::Graph(settings),
            (None, Some(IndexSpec::Other { name, .. })) => {
                self.note(format!("{side}: recall of a {name} index is not measured, only HNSW is"));
                Index::Unknown
            }
            (None, _) => {
                self.note(format!("{side}: no index, search there is exact"));
                Index::Exact
            }
        }
    }

    /// Recall of a side's index; none if it cannot be measured or its graph does not fit into the budget, of which
    /// `builds` builds have to share what is left.
    fn measure_index(&mut self, side: &Side, index: &Index, builds: u32) -> Result<Option<IndexAnswers>> {
        match index {
            Index::Unknown => Ok(None),
            Index::Exact => {
                let judged = side.exact.iter().map(Judged::proved).collect();
                Ok(Some(IndexAnswers { judged, answers: None, seconds: 0.0 }))
            }
            Index::Graph(settings) => {
                if Graph::is_racy(self.options.engine, side.set.len(), self.pool) {
                    self.note(format!("{}: the graph is built by several threads, another run may differ", side.name));
                }
                let allowed = self.clock.left(1.0).map(|left| left / f64::from(builds));
                let measured = self.search_graph(side, *settings, InsertionOrder::ById, allowed)?;
                if measured.is_none() {
                    let rows = grouped(side.set.len());
                    self.note(format!("{}: the graph of {rows} vectors does not fit into the time budget", side.name));
                }
                Ok(measured)
            }
        }
    }

    /// Builds a graph and asks it; none if the build would take longer than `allowed` seconds.
    fn search_graph(
        &self,
        side: &Side,
        settings: HnswSettings,
        order: InsertionOrder,
        allowed: Option<f64>,
    ) -> Result<Option<IndexAnswers>> {
        let began = Instant::now();
        let rows = side.set.len();
        // Later rows cost no less than earlier ones, so the projection is not too long.
        let in_time = |inserted: usize| {
            let projected = began.elapsed().as_secs_f64() * rows as f64 / inserted as f64;
            allowed.is_none_or(|allowed| projected <= allowed)
        };
        if allowed.is_some_and(|allowed| allowed <= 0.0) {
            return Ok(None);
        }
        let engine = self.options.engine;
        let built = Graph::build(engine, side.set, side.queries, settings, order, self.pool, &in_time)?;
        let Some(graph) = built else { return Ok(None) };
        let seconds = began.elapsed().as_secs_f64();
        let answers = graph.search(self.options.k, settings.ef_search)?.rows;
        let judged = answers.iter().zip(side.exact).enumerate().map(|(query, (rows, exact))| {
            judge(side.set, side.queries, query, exact, rows.iter().map(|&row| Some(row)), side.tolerance)
        });
        Ok(Some(IndexAnswers { judged: judged.collect(), answers: Some(answers), seconds }))
    }

    /// Recalls of A's graph in further insertion orders, as many as fit into the budget.
    fn vary_order(&mut self, side: &Side, settings: HnswSettings, build_seconds: f64) -> Result<Vec<f64>> {
        let mut recalls = Vec::new();
        for order in 1..self.options.orders {
            let left = self.clock.left(ORDERS_SHARE);
            let seed = self.options.seed.wrapping_add(order as u64);
            let fits = left.is_none_or(|left| build_seconds <= left);
            let measured =
                if fits { self.search_graph(side, settings, InsertionOrder::Shuffled(seed), left)? } else { None };
            let Some(measured) = measured else {
                let done = recalls.len() + 1;
                self.note(format!("noise floor from {done} of {} insertion orders: time budget", self.options.orders));
                break;
            };
            recalls.push(measure(&measured.judged).value);
        }
        Ok(recalls)
    }
}
