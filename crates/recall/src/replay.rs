//! Real queries asked again: a log of vectors or ids with k, namespace and filter, answered exactly on both sides.
//!
//! The same machinery compares two embedding models: each side is asked with its own vector of a record, and only records
//! that both have may answer. Vectors of different models have no common distances, so nothing counts as a tie then.
//!
//! Invariant: the answer of a query is the first k of the rows that its namespace and filter let through, by (distance, rank
//! of the key), without the record that asks. Memory beside the sets: one bit per row and filter.
//!
//! Errors: query vectors of another dimension or not finite.

use rayon::ThreadPool;
use rayon::prelude::*;
use serde::Serialize;
use tranship_connector::{Error, Result};

use crate::interval::measure;
use crate::order::rank_biased_overlap;
use crate::overlap::{Judged, Tolerance};
use crate::report::{Measure, grouped};
use crate::retrieval::{Judgements, Retrieval};
use crate::set::{VectorSet, check_vector, distance, push_prepared};
use crate::verdict::Thresholds;

/// Queries and records that are named.
const MAX_NAMED: usize = 10;

/// One query of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedQuery {
    /// What it is called.
    pub label: String,
    /// Neighbours asked for.
    pub k: usize,
    /// The namespace that is searched, the empty text for the default one; all where there is none.
    pub namespace: Option<String>,
    /// What is asked.
    pub asked: Asked,
    /// Number of its filter.
    pub filter: Option<usize>,
}

/// What a query asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// What is near this record.
    Id {
        /// Its namespace.
        namespace: Option<String>,
        /// Its id.
        id: String,
    },
    /// What is near these vectors, one for each side.
    Vectors {
        /// For A.
        a: Vec<f32>,
        /// For B.
        b: Vec<f32>,
    },
}

/// One bit per row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows(Vec<u64>);

impl Rows {
    /// Marks a row.
    pub fn mark(&mut self, row: usize) {
        if self.0.len() <= row / 64 {
            self.0.resize(row / 64 + 1, 0);
        }
        self.0[row / 64] |= 1 << (row % 64);
    }

    /// Whether a row is marked.
    pub fn has(&self, row: usize) -> bool {
        self.0.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

/// Which rows of a side pass a filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passing {
    /// With types and nesting as they are.
    pub strictly: Rows,
    /// With types and nesting forgotten.
    pub loosely: Rows,
}

/// What a replay asks, and of whom.
#[derive(Debug)]
pub struct Replay<'a> {
    /// The queries.
    pub queries: &'a [LoggedQuery],
    /// Which rows of A pass each filter.
    pub passing_a: &'a [Passing],
    /// Which rows of B pass each filter.
    pub passing_b: &'a [Passing],
    /// The sides hold vectors of different models: records ask with their own vectors, and only common ids answer.
    pub different_models: bool,
    /// Which answers are relevant.
    pub judgements: &'a Judgements,
    /// What passes; only `min_overlap` counts.
    pub thresholds: Thresholds,
}

/// Queries, by how many and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Named {
    /// How many.
    pub count: usize,
    /// The first.
    pub names: Vec<String>,
}

impl Named {
    fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.names.len() < MAX_NAMED {
            self.names.push(name());
        }
    }
}

/// Records that both sides have and only one lets through a filter.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FilterFlips {
    /// Number of the filter in the log.
    pub filter: usize,
    /// Records that pass in A only.
    pub only_in_a: usize,
    /// Records that pass in B only.
    pub only_in_b: usize,
    /// Of all these, records that pass on both sides once types and nesting are forgotten.
    pub by_type_or_nesting: usize,
    /// The first of them.
    pub records: Vec<Flip>,
}

/// One record whose filter match changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its id.
    pub id: String,
    /// What happened to its metadata; filled in by who can read it.
    pub what: String,
}

/// A query with other answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayedQuery {
    /// What it is called.
    pub query: String,
    /// Share of A's answers that B gives.
    pub overlap: f64,
    /// Rank-biased overlap.
    pub rbo: f64,
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayReport {
    /// What the figures are, and what they are not.
    pub what: &'static str,
    /// Queries answered.
    pub queries: usize,
    /// Queries by a record that A, or under different models B, does not have.
    pub unknown: Named,
    /// Share of A's answers that are B's.
    pub overlap: Measure,
    /// Mean rank-biased overlap.
    pub rbo: f64,
    /// The least of all queries.
    pub least_rbo: f64,
    /// Queries that A answers and B does not.
    pub emptied: Named,
    /// Queries that B answers and A does not.
    pub filled: Named,
    /// Filters that records pass on one side only.
    pub filters: Vec<FilterFlips>,
    /// Quality by judgements, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<Retrieval>,
    /// The worst queries.
    pub worst: Vec<ReplayedQuery>,
    /// Whether all thresholds are met.
    pub passes: bool,
    /// Which are not.
    pub failures: Vec<String>,
    /// What was assumed or left out.
    pub notes: Vec<String>,
}

/// One query answered on both sides.
struct Answered {
    judged: Judged,
    rbo: f64,
    rows_a: Vec<usize>,
    rows_b: Vec<usize>,
}

/// Asks all queries.
///
/// # Errors
/// Query vectors of another dimension, or with values that are not finite.
pub fn replay(a: &VectorSet, b: &VectorSet, replay: &Replay<'_>, pool: &ThreadPool) -> Result<ReplayReport> {
    let run = Run { a, b, replay, tolerance: Tolerance::between(a, b) };
    let answered: Vec<Option<Answered>> =
        pool.install(|| replay.queries.par_iter().map(|query| run.answer(query)).collect::<Result<_>>())?;
    let filters = (0..replay.passing_a.len()).map(|filter| run.flips(filter));
    let filters: Vec<FilterFlips> = filters.filter(|flips| flips.only_in_a + flips.only_in_b > 0).collect();
    Ok(run.report(&answered, filters))
}

struct Run<'a> {
    a: &'a VectorSet,
    b: &'a VectorSet,
    replay: &'a Replay<'a>,
    tolerance: Tolerance,
}

impl Run<'_> {
    fn answer(&self, query: &LoggedQuery) -> Result<Option<Answered>> {
        let (asked_a, asked_b, row_a, row_b) = match &query.asked {
            Asked::Vectors { a, b } => (prepared(self.a, a, query)?, prepared(self.b, b, query)?, None, None),
            Asked::Id { namespace, id } => {
                let rows = self.a.find_named(namespace.as_deref(), id);
                let there = self.b.find_named(namespace.as_deref(), id);
                let Some(here) = rows else { return Ok(None) };
                let of_a = self.a.vector(here).to_vec();
                let of_b = match (self.replay.different_models, there) {
                    (true, None) => return Ok(None),
                    (true, Some(there)) => self.b.vector(there).to_vec(),
                    // Both are asked the same question, whatever became of the record in B.
                    (false, _) => prepared(self.b, &of_a, query)?,
                };
                (of_a, of_b, rows, there)
            }
        };
        let found_a = nearest(self.a, &asked_a, query.k, |row| {
            Some(row) != row_a && self.lets_through(self.a, self.b, self.replay.passing_a, query, row)
        });
        let found_b = nearest(self.b, &asked_b, query.k, |row| {
            Some(row) != row_b && self.lets_through(self.b, self.a, self.replay.passing_b, query, row)
        });
        Ok(Some(self.judge(query, &asked_a, &found_a, &found_b)))
    }

    fn lets_through(
        &self,
        set: &VectorSet,
        other: &VectorSet,
        passing: &[Passing],
        query: &LoggedQuery,
        row: usize,
    ) -> bool {
        let in_namespace =
            query.namespace.as_ref().is_none_or(|wanted| set.keys().namespace(row).unwrap_or_default() == wanted);
        in_namespace
            && query.filter.is_none_or(|filter| passing.get(filter).is_some_and(|rows| rows.strictly.has(row)))
            && (!self.replay.different_models || other.find(set, row).is_some())
    }

    fn judge(
        &self,
        query: &LoggedQuery,
        asked: &[f32],
        found_a: &[(f32, usize)],
        found_b: &[(f32, usize)],
    ) -> Answered {
        let rows_a: Vec<usize> = found_a.iter().map(|(_, row)| *row).collect();
        let rows_b: Vec<usize> = found_b.iter().map(|(_, row)| *row).collect();
        let here: Vec<Option<usize>> = rows_b.iter().map(|&row| self.a.find(self.b, row)).collect();
        let mut judged = Judged { right: 0, tied: 0, expected: rows_a.len() };
        let last = found_a.last().map(|(distance, _)| *distance);
        for row in here.iter().flatten().take(judged.expected) {
            if rows_a.contains(row) {
                judged.right += 1;
            } else if !self.replay.different_models
                && self.lets_through(self.a, self.b, self.replay.passing_a, query, *row)
                && last.is_some_and(|last| self.tolerance.is_tie(self.a, asked, *row, last))
            {
                judged.right += 1;
                judged.tied += 1;
            }
        }
        Answered { judged, rbo: rank_biased_overlap(&rows_a, &here), rows_a, rows_b }
    }

    /// Records of both sides that pass a filter on one only.
    fn flips(&self, filter: usize) -> FilterFlips {
        let mut flips = FilterFlips { filter, ..FilterFlips::default() };
        let (here, there) = (&self.replay.passing_a[filter], &self.replay.passing_b[filter]);
        for rank in 0..self.a.len() {
            let row = self.a.keys().row_at_rank(rank);
            let Some(other) = self.b.find(self.a, row) else { continue };
            match (here.strictly.has(row), there.strictly.has(other)) {
                (true, false) => flips.only_in_a += 1,
                (false, true) => flips.only_in_b += 1,
                _ => continue,
            }
            flips.by_type_or_nesting += usize::from(here.loosely.has(row) == there.loosely.has(other));
            if flips.records.len() < MAX_NAMED {
                let namespace = self.a.keys().namespace(row).map(str::to_owned);
                flips.records.push(Flip { namespace, id: self.a.id(row).to_owned(), what: String::new() });
            }
        }
        flips
    }

    fn report(&self, answered: &[Option<Answered>], filters: Vec<FilterFlips>) -> ReplayReport {
        let (mut unknown, mut emptied, mut filled) = (Named::default(), Named::default(), Named::default());
        let mut worst = Vec::new();
        let mut retrieval = Retrieval::default();
        for (query, answered) in self.replay.queries.iter().zip(answered) {
            let Some(found) = answered else {
                unknown.add(|| query.label.clone());
                continue;
            };
            match (found.rows_a.is_empty(), found.rows_b.is_empty()) {
                (false, true) => emptied.add(|| query.label.clone()),
                (true, false) => filled.add(|| query.label.clone()),
                _ => {}
            }
            let ids =
                |set: &VectorSet, rows: &[usize]| rows.iter().map(|&row| set.id(row).to_owned()).collect::<Vec<_>>();
            let (ids_a, ids_b) = (ids(self.a, &found.rows_a), ids(self.b, &found.rows_b));
            retrieval.add(self.replay.judgements, &query.label, query.k, &ids_a, &ids_b);
            if found.judged.share() < 1.0 {
                worst.push(ReplayedQuery { query: query.label.clone(), overlap: found.judged.share(), rbo: found.rbo });
            }
        }
        worst.sort_by(|x, y| x.overlap.total_cmp(&y.overlap).then(x.rbo.total_cmp(&y.rbo)));
        worst.truncate(MAX_NAMED);
        let known: Vec<&Answered> = answered.iter().flatten().collect();
        let judged: Vec<Judged> = known.iter().map(|found| found.judged).collect();
        let mut report = ReplayReport {
            what: if self.replay.different_models { OF_MODELS } else { OF_QUERIES },
            queries: known.len(),
            unknown,
            overlap: measure(&judged),
            rbo: known.iter().map(|found| found.rbo).sum::<f64>() / known.len().max(1) as f64,
            least_rbo: known.iter().map(|found| found.rbo).fold(1.0, f64::min),
            emptied,
            filled,
            filters,
            retrieval: retrieval.finished(),
            worst,
            passes: true,
            failures: Vec::new(),
            notes: Vec::new(),
        };
        report.conclude(self.replay);
        report
    }
}

const OF_QUERIES: &str = "answers of exact search to the given queries on both sides";
const OF_MODELS: &str = "neighbourhood overlap of two embedding models over the ids that both sides have: how alike they \
                         see the records, not whether either is right";

fn prepared(set: &VectorSet, vector: &[f32], query: &LoggedQuery) -> Result<Vec<f32>> {
    check_vector(vector, set.dim(), set.metric()).map_err(|message| {
        Error::usage(message)
            .with("query", &query.label)
            .hint("give a vector of the collection's own model; `vector_b` is the one for B, if its model is another")
    })?;
    let mut values = Vec::new();
    push_prepared(&mut values, vector, set.metric());
    Ok(values)
}

/// The first `k` rows that are let through, by (distance, rank of the key).
fn nearest(set: &VectorSet, query: &[f32], k: usize, lets_through: impl Fn(usize) -> bool) -> Vec<(f32, usize)> {
    let mut found: Vec<(f32, usize)> = Vec::new();
    for row in 0..set.len() {
        let own = distance(set.metric(), query, set.vector(row));
        if found.len() >= k && found.last().is_none_or(|last| own > last.0) || !lets_through(row) {
            continue;
        }
        let rank = set.keys().rank(row);
        let place =
            found.partition_point(|(kept, other)| *kept < own || *kept == own && set.keys().rank(*other) < rank);
        found.insert(place, (own, row));
        found.truncate(k);
    }
    found
}

impl ReplayReport {
    fn conclude(&mut self, replay: &Replay<'_>) {
        let least = replay.thresholds.min_overlap;
        if self.overlap.value < least {
            self.failures.push(format!("overlap {:.4} is below {least}", self.overlap.value));
        }
        if self.queries == 0 {
            self.failures.push("none of the queries could be asked".to_owned());
        }
        if self.emptied.count + self.filled.count > 0 {
            let count = self.emptied.count + self.filled.count;
            self.failures.push(format!("{} queries have answers on one side only", grouped(count)));
        }
        if !self.filters.is_empty() {
            self.failures.push(format!("{} filters let other records through", grouped(self.filters.len())));
        }
        self.passes = self.failures.is_empty();
    }

    /// The report as lines for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![match (self.passes, self.what == OF_MODELS) {
            (true, true) => "two models were compared".to_owned(),
            (true, false) => "the queries are answered the same".to_owned(),
            (false, _) => format!("the queries are answered differently: {}", self.failures.join("; ")),
        }];
        lines.push(self.what.to_owned());
        let (value, low, high) = (self.overlap.value, self.overlap.low, self.overlap.high);
        lines.push(format!("{} queries, overlap {value:.4} (95 %: {low:.4} to {high:.4})", grouped(self.queries)));
        lines.push(format!("rank-biased overlap {:.4}, least {:.4}", self.rbo, self.least_rbo));
        lines.extend(named(&self.emptied, "queries have answers in A and none in B"));
        lines.extend(named(&self.filled, "queries have answers in B and none in A"));
        lines.extend(named(&self.unknown, "queries ask for a record that is not there and were left out"));
        lines.extend(self.filters.iter().flat_map(flip_lines));
        lines.extend(self.retrieval.iter().flat_map(Retrieval::lines));
        lines.extend(
            self.worst.iter().map(|worst| {
                format!("query {}: overlap {:.2}, rank-biased {:.2}", worst.query, worst.overlap, worst.rbo)
            }),
        );
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines
    }
}

fn named(found: &Named, what: &str) -> Option<String> {
    let more = if found.count > found.names.len() { ", .." } else { "" };
    (found.count > 0).then(|| format!("{} {what} ({}{more})", grouped(found.count), found.names.join(", ")))
}

fn flip_lines(flips: &FilterFlips) -> Vec<String> {
    let mut lines = vec![format!(
        "filter {}: {} records pass in A only and {} in B only, {} of them by type or nesting alone",
        flips.filter + 1,
        grouped(flips.only_in_a),
        grouped(flips.only_in_b),
        grouped(flips.by_type_or_nesting)
    )];
    lines.extend(flips.records.iter().map(|flip| match &flip.namespace {
        Some(namespace) => format!("  {namespace}/{}: {}", flip.id, flip.what),
        None => format!("  {}: {}", flip.id, flip.what),
    }));
    lines
}
