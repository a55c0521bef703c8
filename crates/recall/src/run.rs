//! One run of a comparison: what is searched, in which time, and what had to be left out.
//!
//! Invariant: whatever the time budget cuts short is said in the notes.

use std::time::{Duration, Instant};

use rayon::ThreadPool;
use tranship_collection::{IndexSpec, ServedGraph};
use tranship_connector::Result;

use crate::exact::{Nearest, exact_neighbours};
use crate::graph::{Graph, GraphAnswers, HnswSettings, InsertionOrder};
use crate::interval::measure;
use crate::overlap::{Judged, judge};
use crate::parity::{QueryChoice, RecallOptions};
use crate::queries::QuerySet;
use crate::report::{OverlapBasis, grouped};
use crate::served::Served;
use crate::set::VectorSet;
use crate::side::{Index, IndexAnswers, SearchCost, Side};

/// Queries that are always asked; what they cost decides how many more a time budget allows.
const PILOT_QUERIES: usize = 32;

/// Part of the time budget that exact search may take.
const EXACT_SHARE: f64 = 1.0 / 3.0;

/// Part of the time budget after which no further insertion order is begun.
const ORDERS_SHARE: f64 = 0.5;

/// Wall time against the budget.
pub(crate) struct Clock {
    start: Instant,
    budget: Option<Duration>,
}

impl Clock {
    pub(crate) fn start(budget: Option<Duration>) -> Self {
        Clock { start: Instant::now(), budget }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Seconds left of this share of the budget; none without a budget.
    pub(crate) fn left(&self, share: f64) -> Option<f64> {
        self.budget.map(|budget| budget.as_secs_f64() * share - self.elapsed().as_secs_f64())
    }
}

/// One run of a comparison.
pub(crate) struct Run<'a> {
    pub(crate) clock: Clock,
    pub(crate) options: &'a RecallOptions,
    pub(crate) pool: &'a ThreadPool,
    pub(crate) notes: Vec<String>,
}

impl Run<'_> {
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// A proof needs the vectors in hand to be equal too: a stated equality that they contradict is not believed.
    pub(crate) fn overlap_basis(&mut self, same: bool) -> OverlapBasis {
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
    pub(crate) fn search_exactly(
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

    pub(crate) fn index_of(&mut self, spec: Option<&IndexSpec>, side: &str) -> Index {
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

    /// Recall of a side: of the graph that served, else of one that is built as its index says.
    pub(crate) fn measure_side(
        &mut self,
        side: &Side,
        index: &Index,
        served: Option<ServedGraph>,
        builds: u32,
    ) -> Result<Option<IndexAnswers>> {
        match served {
            Some(graph) => self.ask_served(side, graph, index).map(Some),
            None => self.measure_index(side, index, builds),
        }
    }

    /// Recall of a side's index; none if it cannot be measured or its graph does not fit into the budget, of which
    /// `builds` builds have to share what is left.
    fn measure_index(&mut self, side: &Side, index: &Index, builds: u32) -> Result<Option<IndexAnswers>> {
        match index {
            Index::Unknown => Ok(None),
            Index::Exact => {
                let judged = side.exact.iter().map(Judged::proved).collect();
                Ok(Some(IndexAnswers { judged, answers: None, seconds: 0.0, cost: None, served: None }))
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
        let Some((graph, seconds)) = self.build(side, settings, order, allowed)? else { return Ok(None) };
        self.ask(&graph, side, settings.ef_search, seconds).map(Some)
    }

    /// Builds a graph, and says how long that took; none if it would take longer than `allowed` seconds.
    pub(crate) fn build<'s>(
        &'s self,
        side: &Side<'s>,
        settings: HnswSettings,
        order: InsertionOrder,
        allowed: Option<f64>,
    ) -> Result<Option<(Graph<'s>, f64)>> {
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
        Ok(built.map(|graph| (graph, began.elapsed().as_secs_f64())))
    }

    /// Asks a graph over the side's set that took `seconds` to build.
    pub(crate) fn ask(&self, graph: &Graph, side: &Side, ef_search: u32, seconds: f64) -> Result<IndexAnswers> {
        let began = Instant::now();
        let found = graph.search(self.options.k, ef_search)?;
        let cost = self.cost(&found, began.elapsed(), side.queries.len());
        Ok(IndexAnswers { judged: side.judge(&found.rows), answers: Some(found.rows), seconds, cost, served: None })
    }

    /// Asks the graph that the side's dump carries.
    pub(crate) fn ask_served(&mut self, side: &Side, graph: ServedGraph, index: &Index) -> Result<IndexAnswers> {
        let ef = index.settings().map(|settings| settings.ef_search).or(graph.ef_search);
        let ef = ef.unwrap_or(HnswSettings::default().ef_search);
        let served = Served::of(graph, side.set)?;
        let part = served.part();
        if part.beside > 0 {
            self.note(format!(
                "{}: {} records are not in the graph of the dump and are compared one by one, as its database does",
                side.name,
                grouped(part.beside)
            ));
        }
        let began = Instant::now();
        let found = served.answers(side.set, side.queries, self.options.k, ef, self.pool);
        let cost = self.cost(&found, began.elapsed(), side.queries.len());
        Ok(IndexAnswers {
            judged: side.judge(&found.rows),
            answers: Some(found.rows),
            seconds: 0.0,
            cost,
            served: Some(part),
        })
    }

    fn cost(&self, answers: &GraphAnswers, took: Duration, queries: usize) -> Option<SearchCost> {
        let each = |total: u64| total as f64 / queries as f64;
        let threads = self.pool.current_num_threads().min(queries) as f64;
        (queries > 0).then(|| SearchCost {
            distances: answers.distances.map(each),
            hops: answers.hops.map(each),
            microseconds: took.as_secs_f64() * 1e6 * threads / queries as f64,
        })
    }

    /// Recalls of A's graph in further insertion orders, as many as fit into the budget.
    pub(crate) fn vary_order(&mut self, side: &Side, settings: HnswSettings, build_seconds: f64) -> Result<Vec<f64>> {
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

impl Side<'_> {
    /// Judges answers by query against the exact ones.
    pub(crate) fn judge(&self, answers: &[Vec<usize>]) -> Vec<Judged> {
        let queries = answers.iter().zip(self.exact).enumerate();
        let judged = queries.map(|(query, (rows, exact))| {
            judge(self.set, self.queries, query, exact, rows.iter().map(|&row| Some(row)), self.tolerance)
        });
        judged.collect()
    }
}
