//! One side of a comparison: its set, the queries put to it, and what its index answered.

use serde::Serialize;

use crate::exact::Nearest;
use crate::graph::HnswSettings;
use crate::overlap::{Judged, Tolerance};
use crate::queries::QuerySet;
use crate::report::{Measure, SideReport};
use crate::set::VectorSet;

/// How a side searches in its own database.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Index {
    Exact,
    Graph(HnswSettings),
    Unknown,
}

impl Index {
    pub(crate) fn settings(&self) -> Option<HnswSettings> {
        if let Index::Graph(settings) = self { Some(*settings) } else { None }
    }
}

/// A set with the queries put to it and their exact answers.
pub(crate) struct Side<'a> {
    pub(crate) set: &'a VectorSet,
    pub(crate) queries: &'a QuerySet,
    pub(crate) exact: &'a [Nearest],
    pub(crate) tolerance: Tolerance,
    pub(crate) name: &'static str,
}

/// What an index answered.
#[derive(Debug, Clone)]
pub(crate) struct IndexAnswers {
    pub(crate) judged: Vec<Judged>,
    /// Rows by query; none where the index is exact.
    pub(crate) answers: Option<Vec<Vec<usize>>>,
    /// Time that building took; 0 where nothing was built.
    pub(crate) seconds: f64,
    pub(crate) cost: Option<SearchCost>,
    /// The graph of the dump, if it was that one that was asked.
    pub(crate) served: Option<ServedPart>,
}

/// What a query costs, on average. Local times compare the two sides; they are not the target's latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SearchCost {
    /// Distances computed, if the engine counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distances: Option<f64>,
    /// Nodes whose links were followed, if the engine counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hops: Option<f64>,
    /// Microseconds of one thread here.
    pub microseconds: f64,
}

/// The graph that a dump carries, as far as the side's records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ServedPart {
    /// Nodes of the graph.
    pub nodes: usize,
    /// Nodes that stand for no live record and are passed through.
    pub passed_through: usize,
    /// Records that are not in the graph: their database compares them one by one.
    pub beside: usize,
}

/// The side as the report shows it; `built_here` is false where the other side's graph stands for this one's.
pub(crate) fn side_report(
    set: &VectorSet,
    population: usize,
    index: &Index,
    recall: Option<Measure>,
    answers: Option<&IndexAnswers>,
    built_here: bool,
) -> SideReport {
    let built = answers.filter(|answers| built_here && answers.answers.is_some() && answers.served.is_none());
    SideReport {
        rows: set.len(),
        population,
        metric: set.metric(),
        settings: index.settings(),
        served: answers.and_then(|answers| answers.served),
        recall,
        build_seconds: built.map(|built| built.seconds),
        cost: answers.and_then(|answers| answers.cost),
    }
}
