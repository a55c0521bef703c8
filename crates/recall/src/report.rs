//! What a comparison found, for machines (serde) and for people ([`RecallReport::lines`]).
//!
//! Shares are 0..=1, times are seconds. Everything that was left out or assumed is a sentence in `notes`.

use serde::Serialize;
use tranship_collection::Metric;

use crate::findings::Finding;
use crate::graph::HnswSettings;
use crate::order::Order;
use crate::scores::Translation;
use crate::side::{SearchCost, ServedPart};
use crate::verdict::Thresholds;

/// A share with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measure {
    /// The share itself.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Measure {
    /// Half of the interval's width.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// How the exact overlap is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapBasis {
    /// Equal fingerprints: the same vectors have the same neighbours.
    Fingerprint,
    /// The two sets handed over are equal bit for bit.
    SameRecords,
    /// Both sides were searched.
    Computed,
}

/// One side of the comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SideReport {
    /// Vectors searched.
    pub rows: usize,
    /// Vectors in the collection; more than `rows` if a sample was searched.
    pub population: usize,
    /// Declared metric.
    pub metric: Metric,
    /// Graph settings; none for an index that is not a graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<HnswSettings>,
    /// The graph of the dump, where recall is that of the graph that was really serving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served: Option<ServedPart>,
    /// Recall@k of the index against exact search on the same side; none if not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<Measure>,
    /// Time to build the graph; none if it was not built or taken from the other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_seconds: Option<f64>,
    /// What a query costs; none where no graph was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<SearchCost>,
}

/// Why an answer differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A neighbour of A is not in B.
    MissingId,
    /// A neighbour in B is not in A.
    ExtraId,
    /// A neighbour has another vector in B.
    ChangedVector,
    /// The two sides declare different metrics.
    Metric,
    /// As near as the last neighbour.
    Tie,
    /// Exact search finds it, the graph of B does not.
    Graph,
}

impl Cause {
    fn text(self) -> &'static str {
        match self {
            Cause::MissingId => "not in B",
            Cause::ExtraId => "only in B",
            Cause::ChangedVector => "other vector in B",
            Cause::Metric => "other metric in B",
            Cause::Tie => "as near as the last neighbour",
            Cause::Graph => "missed by the graph of B",
        }
    }
}

/// A cause with the records that show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The cause.
    pub cause: Cause,
    /// Records concerned.
    pub count: usize,
    /// The first of them.
    pub ids: Vec<String>,
}

/// A query whose answers differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorstQuery {
    /// Id of the record, or `query n` for the n-th given vector.
    pub query: String,
    /// Exact overlap.
    pub overlap: f64,
    /// Recall of B's index, if measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall_b: Option<f64>,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// The result of [`crate::compare`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecallReport {
    /// Neighbours per query.
    pub k: usize,
    /// Elements per vector.
    pub dim: usize,
    /// Queries asked.
    pub queries: usize,
    /// Whether the queries are records of A (sampled by `seed`) or were given.
    pub sampled: bool,
    /// Seed of the sample.
    pub seed: u64,
    /// Engine that built the graphs.
    pub engine: &'static str,
    /// The source.
    pub a: SideReport,
    /// The target.
    pub b: SideReport,
    /// Relative tolerance within which distances are ties.
    pub tie_epsilon: f32,
    /// Further tolerance for element types that differ; 0 where they do not.
    pub tie_roundoff: f32,
    /// How the overlap is known.
    pub overlap_basis: OverlapBasis,
    /// Share of A's exact neighbours that are B's exact neighbours.
    pub exact_overlap: Measure,
    /// Order and scores of the exact answers; none where they are equal by proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Answers that count as equal only because they are ties.
    pub ties: usize,
    /// What was asked for.
    pub thresholds: Thresholds,
    /// Recall of A minus recall of B; none unless both were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<f64>,
    /// What a drop must exceed to mean anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_floor: Option<f64>,
    /// Recalls of A's graph in other insertion orders.
    pub other_orders: Vec<f64>,
    /// All thresholds are met.
    pub passes: bool,
    /// Which thresholds are missed, as sentences.
    pub failures: Vec<String>,
    /// What happened to the records, and what is wrong with B's index.
    pub findings: Vec<Finding>,
    /// A cut-off carried from A to B, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<Translation>,
    /// The worst queries, worst first; empty if all answers agree.
    pub worst: Vec<WorstQuery>,
    /// What was assumed, reduced or left out.
    pub notes: Vec<String>,
    /// Wall time.
    pub seconds: f64,
}

impl RecallReport {
    /// The report as lines for people; the first says how it ended.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.verdict(), self.basis()];
        lines.push(self.overlap_line());
        lines.extend(self.order.map(|order| order.text()));
        lines.push(format!("recall@{} of A: {}", self.k, recall_text(&self.a)));
        lines.push(format!("recall@{} of B: {}", self.k, recall_text(&self.b)));
        if let (Some(drop), Some(floor)) = (self.drop, self.noise_floor) {
            lines.push(format!("drop from A to B: {drop:.4} (noise floor {floor:.4})"));
        }
        lines.extend(self.cost_line());
        lines.extend(self.scores.iter().flat_map(Translation::lines));
        lines.push(self.thresholds.text());
        lines.push(self.ties_line());
        lines.extend(self.findings.iter().map(|finding| format!("cause: {}", finding.text())));
        lines.extend(self.worst.iter().map(worst_text));
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines
    }

    fn verdict(&self) -> String {
        if self.passes {
            return "search answers the same".to_owned();
        }
        format!("search answers differently: {}", self.failures.join("; "))
    }

    /// Work per query on both sides. The times were measured here, so only their ratio says something.
    fn cost_line(&self) -> Option<String> {
        let (a, b) = (self.a.cost?, self.b.cost?);
        let counted = |cost: &SearchCost| match (cost.distances, cost.hops) {
            (Some(distances), Some(hops)) => format!("{distances:.0} distances and {hops:.0} hops"),
            (Some(distances), None) => format!("{distances:.0} distances"),
            _ => "work not counted".to_owned(),
        };
        let ratio = |of_a: f64, of_b: f64| if of_a > 0.0 { of_b / of_a } else { 1.0 };
        let work =
            a.distances.zip(b.distances).map_or(String::new(), |(a, b)| format!("{:.2} in distances, ", ratio(a, b)));
        Some(format!(
            "work per query: A {}, B {}; B to A {work}{:.2} in local time (a ratio, not the latency of B's database)",
            counted(&a),
            counted(&b),
            ratio(a.microseconds, b.microseconds)
        ))
    }

    fn basis(&self) -> String {
        let queries = if self.sampled { "records of A as queries" } else { "given queries" };
        format!(
            "{} {queries}, k {}, {} elements, {} ({}) -> {} ({})",
            grouped(self.queries),
            self.k,
            self.dim,
            rows_text(&self.a),
            self.a.metric.name(),
            rows_text(&self.b),
            self.b.metric.name(),
        )
    }

    fn ties_line(&self) -> String {
        let line = format!("ties: {} answers within {:.1e} of the last distance", self.ties, self.tie_epsilon);
        if self.tie_roundoff > 0.0 {
            return format!("{line}, and {:.1e} for element types that differ", self.tie_roundoff);
        }
        line
    }

    fn overlap_line(&self) -> String {
        let head = format!("exact overlap@{}: {:.4}", self.k, self.exact_overlap.value);
        match self.overlap_basis {
            OverlapBasis::Fingerprint => format!("{head} by proof: the fingerprints are equal, nothing to compute"),
            OverlapBasis::SameRecords => format!("{head} by proof: the vectors searched are equal bit for bit"),
            OverlapBasis::Computed => {
                format!("{head} (95 %: {:.4} to {:.4})", self.exact_overlap.low, self.exact_overlap.high)
            }
        }
    }
}

fn rows_text(side: &SideReport) -> String {
    if side.rows == side.population {
        format!("{} vectors", grouped(side.rows))
    } else {
        format!("sample of {} of {} vectors", grouped(side.rows), grouped(side.population))
    }
}

fn recall_text(side: &SideReport) -> String {
    let index = side.settings.map_or("no graph".to_owned(), |settings| format!("HNSW {settings}"));
    let index = match side.served {
        Some(part) => format!("{index}, the graph of the dump as it served ({} nodes)", grouped(part.nodes)),
        None => index,
    };
    match side.recall {
        Some(recall) => format!("{:.4} (95 %: {:.4} to {:.4}), {index}", recall.value, recall.low, recall.high),
        None => format!("not measured, {index}"),
    }
}

fn worst_text(worst: &WorstQuery) -> String {
    let recall = worst.recall_b.map_or(String::new(), |recall| format!(", recall of B {recall:.2}"));
    let reasons: Vec<String> = worst.reasons.iter().map(reason_text).collect();
    format!("query {}: overlap {:.2}{recall}: {}", worst.query, worst.overlap, reasons.join("; "))
}

fn reason_text(reason: &Reason) -> String {
    if reason.ids.is_empty() {
        return reason.cause.text().to_owned();
    }
    let more = if reason.count > reason.ids.len() { ", .." } else { "" };
    format!("{} {} ({}{more})", reason.count, reason.cause.text(), reason.ids.join(", "))
}

/// 1234567 as `1,234,567`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
