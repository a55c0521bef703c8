//! The comparison: does B answer as A does?
//!
//! Queries are records of A (each excludes itself on both sides) or given vectors. Three questions are answered with
//! 95 % intervals: how many of A's exact neighbours are B's (must be all for a transfer without loss), how many of
//! them A's index finds with A's settings, and B's with B's. The drop between the last two counts only above the noise
//! floor: the greater of the intervals' half-width and the spread of the recall over insertion orders.
//!
//! Invariant: the same sets and options give the same report, except for times, graphs that
//! hnsw_rs builds above [`crate::graph::reference::SEQUENTIAL_ROWS`] rows, and what a time budget cuts short; the last two are
//! said in the notes.
//!
//! Errors: sets of different dimension, k or queries of 0, given queries that the set would refuse.

use std::time::Duration;

use rayon::ThreadPool;
use tranship_collection::{IndexSpec, ServedGraph};
use tranship_connector::{Error, Result};

use crate::causes::Answers;
use crate::findings;
use crate::graph::Engine;
use crate::interval::measure;
use crate::order::Order;
use crate::overlap::{Judged, Tolerance, judge};
use crate::queries::QuerySet;
use crate::report::{Measure, OverlapBasis, RecallReport};
use crate::run::{Clock, Run};
use crate::set::VectorSet;
use crate::side::{Index, Side, side_report};
use crate::verdict::{self, Thresholds};

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
    /// What passes.
    pub thresholds: Thresholds,
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
            thresholds: Thresholds::default(),
            engine: Engine::default(),
        }
    }
}

/// The graphs that the dumps of both sides carry.
#[derive(Debug, Default)]
pub struct ServedGraphs {
    /// That of the source.
    pub a: Option<ServedGraph>,
    /// That of the target.
    pub b: Option<ServedGraph>,
}

/// Compares the answers of `a` (the source) and `b` (the target); work runs on `pool`.
///
/// # Errors
/// Different dimensions, k or queries of 0, given queries with other elements or values that are not finite, or a
/// failure of the graph engine.
pub fn compare(a: &VectorSet, b: &VectorSet, options: &RecallOptions, pool: &ThreadPool) -> Result<RecallReport> {
    compare_served(a, b, options, ServedGraphs::default(), pool)
}

/// As [`compare`], but a side whose dump carries its graph is measured by that very graph. Its records must be all of the
/// side's: a graph over more than a sample says nothing about the sample.
///
/// # Errors
/// As [`compare`]; a graph with vectors that are not finite.
pub fn compare_served(
    a: &VectorSet,
    b: &VectorSet,
    options: &RecallOptions,
    served: ServedGraphs,
    pool: &ThreadPool,
) -> Result<RecallReport> {
    check(a, b, options)?;
    let mut run = Run { clock: Clock::start(options.time_budget), options, pool, notes: Vec::new() };
    let same = a.same_records(b);
    let basis = run.overlap_basis(same);
    let findings = if same { Vec::new() } else { findings::between(a, b) };
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
    let build_once = same && wanted_a == wanted_b && served.a.is_none() && served.b.is_none();
    let index_a = run.measure_side(&side_a, &wanted_a, served.a, if build_once { 1 } else { 2 })?;
    let index_b = if build_once {
        run.note("both sides are equal and have equal settings: one graph stands for both");
        index_a.clone()
    } else {
        run.measure_side(&side_b, &wanted_b, served.b, 1)?
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
    // A graph that served was inserted in its own order; the spread is that of graphs built here.
    let built_recall = recall_a.filter(|_| index_a.as_ref().is_some_and(|index| index.served.is_none()));
    let orders = || built_recall.map(|recall| recall.value).into_iter().chain(other_orders.iter().copied());
    let noise_floor = recall_a.zip(recall_b).map(|(a, b)| a.half_width().max(b.half_width()).max(spread(orders())));
    let mut report = RecallReport {
        k: options.k,
        dim: a.dim(),
        queries: queries_a.len(),
        sampled: matches!(options.queries, QueryChoice::Sample(_)),
        seed: options.seed,
        engine: engine_name(options.engine),
        a: side_report(a, options.population_a.unwrap_or(a.len()), &wanted_a, recall_a, index_a.as_ref(), true),
        b: side_report(b, options.population_b.unwrap_or(b.len()), &wanted_b, recall_b, index_b.as_ref(), !build_once),
        tie_epsilon: tolerance.epsilon,
        tie_roundoff: tolerance.roundoff,
        overlap_basis: basis,
        exact_overlap,
        order: (!same).then(|| Order::between(a, b, &exact_a, &exact_b)),
        ties: overlap.iter().map(|judged| judged.tied).sum(),
        thresholds: options.thresholds,
        drop,
        noise_floor,
        other_orders,
        passes: true,
        failures: Vec::new(),
        findings,
        scores: None,
        worst: Vec::new(),
        notes: run.notes,
        seconds: 0.0,
    };
    verdict::conclude(&mut report);
    let answers = Answers {
        a,
        b,
        exact_a: &exact_a,
        exact_b: &exact_b,
        overlap: &overlap,
        index_b: index_b.as_ref().and_then(|index| Some((&index.judged[..], index.answers.as_deref()?))),
    };
    report.worst = answers.worst(|query| query_label(a, &queries_a, query));
    report.seconds = run.clock.elapsed().as_secs_f64();
    Ok(report)
}

/// The engine as `--engine` calls it.
pub fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Flat => "flat",
        Engine::HnswRs => "hnsw_rs",
    }
}

pub(crate) fn check(a: &VectorSet, b: &VectorSet, options: &RecallOptions) -> Result<()> {
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

fn spread(recalls: impl Iterator<Item = f64>) -> f64 {
    let (low, high) = recalls.fold((1.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    (high - low).max(0.0)
}
