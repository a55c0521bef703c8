//! The graph that was really serving: asked as its own engine asks it.
//!
//! Invariant: nodes that stand for no record of the side are passed through and never answer; records of the side that are
//! no nodes are compared one by one and merged, as databases do with what they have not indexed yet. Answers are rows of
//! the side's set.
//!
//! Errors: vectors that are not finite or too long, a metric without an exact search here.

use rayon::ThreadPool;
use tranship_collection::{HnswLinks, Metric, ServedGraph};
use tranship_connector::{Error, Result};

use crate::graph::GraphAnswers;
use crate::graph::flat::FlatGraph;
use crate::queries::QuerySet;
use crate::set::{VectorSet, distance};
use crate::side::ServedPart;

/// Asks the graph of a dump, by `threads` threads: ids of at most `k` records for every query, nearest first. Queries are
/// row-major, and of unit length where the engine compares unit vectors.
///
/// # Errors
/// Queries of another dimension, vectors that are not finite, or threads that cannot be started.
pub fn served_answers(
    graph: ServedGraph,
    queries: &[f32],
    k: usize,
    ef: u32,
    threads: usize,
) -> Result<Vec<Vec<String>>> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| Error::bug("cannot start the worker threads").caused_by(error))?;
    let nodes = VectorSet::of_nodes(graph.metric, graph.dim, graph.values)?;
    let queries = QuerySet::from_vectors(&nodes, queries)?;
    let flags = graph.records.iter().map(Option::is_some).collect();
    let found = FlatGraph::of_links(&nodes, graph.links, Some(flags)).search(&queries, k, ef, &pool);
    let id = |node: &usize| graph.records[*node].as_ref().map(|record| record.id.clone());
    Ok(found.rows.iter().map(|nodes| nodes.iter().filter_map(id).collect()).collect())
}

/// A graph over its own nodes, and the rows of the side that they stand for.
pub(crate) struct Served {
    nodes: VectorSet,
    links: HnswLinks,
    /// Row of the side by node.
    rows: Vec<Option<usize>>,
    /// Node by row of the side.
    node_of: Vec<Option<usize>>,
}

impl Served {
    /// Finds the records of `graph` in `set`.
    pub(crate) fn of(graph: ServedGraph, set: &VectorSet) -> Result<Self> {
        // The vectors of a graph under cosine are unit vectors already.
        let metric = if graph.metric == Metric::Cosine { Metric::Dot } else { graph.metric };
        let nodes = VectorSet::of_nodes(metric, graph.dim, graph.values)?;
        let find = |record: &Option<tranship_collection::NodeRecord>| {
            let record = record.as_ref()?;
            set.find_named(record.namespace.as_deref(), &record.id)
        };
        let rows: Vec<Option<usize>> = graph.records.iter().map(find).collect();
        let mut node_of = vec![None; set.len()];
        rows.iter().enumerate().for_each(|(node, row)| {
            if let Some(row) = row {
                node_of[*row] = Some(node);
            }
        });
        Ok(Served { nodes, links: graph.links, rows, node_of })
    }

    pub(crate) fn part(&self) -> ServedPart {
        ServedPart {
            nodes: self.rows.len(),
            passed_through: self.rows.iter().filter(|row| row.is_none()).count(),
            beside: self.node_of.iter().filter(|node| node.is_none()).count(),
        }
    }

    /// At most `k` rows of `set` for every query, nearest first.
    pub(crate) fn answers(
        self,
        set: &VectorSet,
        queries: &QuerySet,
        k: usize,
        ef: u32,
        pool: &ThreadPool,
    ) -> GraphAnswers {
        let Served { nodes, links, rows, node_of } = self;
        let excluded = (0..queries.len()).map(|query| queries.excluded(query).and_then(|row| node_of[row])).collect();
        let asked = queries.excluding(excluded);
        let flags = rows.iter().map(Option::is_some).collect();
        let graph = FlatGraph::of_links(&nodes, links, Some(flags));
        let mut found = graph.search(&asked, k, ef, pool);
        for answers in &mut found.rows {
            answers.iter_mut().for_each(|node| *node = rows[*node].unwrap_or(usize::MAX));
            answers.retain(|&row| row != usize::MAX);
        }
        let beside: Vec<usize> = (0..set.len()).filter(|&row| node_of[row].is_none()).collect();
        if !beside.is_empty() {
            let merged = found.rows.iter().enumerate().map(|(query, own)| merge(set, queries, query, own, &beside, k));
            found.rows = merged.collect();
            found.distances = found.distances.map(|count| count + (beside.len() * queries.len()) as u64);
        }
        found
    }
}

/// The nearest of what the graph found and what stands beside it.
fn merge(set: &VectorSet, queries: &QuerySet, query: usize, own: &[usize], beside: &[usize], k: usize) -> Vec<usize> {
    let asked = |row: &usize| queries.excluded(query) != Some(*row);
    let measured = own.iter().chain(beside).copied().filter(asked);
    let mut measured: Vec<(f32, u32, usize)> = measured
        .map(|row| (distance(set.metric(), queries.vector(query), set.vector(row)), set.keys().rank(row), row))
        .collect();
    measured.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
    measured.into_iter().map(|(_, _, row)| row).take(k).collect()
}
