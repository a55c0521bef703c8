//! HNSW graphs over a set: one way to build and ask, whichever engine stands behind it.
//!
//! [`flat`] is our own engine and the default; [`reference`] is hnsw_rs, the independent engine that it is held against.
//!
//! Invariant: an answer holds rows of the set, nearest first, without the query's excluded row.
//!
//! Errors: more than 2^32 - 1 rows, more links than the engine can hold, a failure inside an engine.

pub mod flat;
pub mod reference;
mod settings;

use rayon::ThreadPool;
use tranship_connector::Result;

use crate::queries::QuerySet;
use crate::set::VectorSet;
use flat::FlatGraph;
use reference::HnswGraph;
pub use settings::{HnswSettings, InsertionOrder};

/// Which engine builds and searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// Our own.
    #[default]
    Flat,
    /// The crate hnsw_rs.
    HnswRs,
}

/// A graph over a set, and the queries that may be asked.
pub enum Graph<'a> {
    /// Built here.
    Flat {
        /// The graph.
        graph: FlatGraph<'a>,
        /// What it will be asked.
        queries: &'a QuerySet,
        /// Who searches.
        pool: &'a ThreadPool,
    },
    /// Built by hnsw_rs.
    Reference(HnswGraph<'a>),
}

/// What a graph answered, and what that cost.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphAnswers {
    /// Rows by query, nearest first.
    pub rows: Vec<Vec<usize>>,
    /// Distances computed for all queries together, if the engine counts them.
    pub distances: Option<u64>,
    /// Nodes whose links were followed for all queries together, if the engine counts them.
    pub hops: Option<u64>,
}

impl<'a> Graph<'a> {
    /// Builds a graph over `set`; `queries` are those that [`Graph::search`] will answer. `go_on` is asked from time to
    /// time with the number of rows inserted; when it refuses, there is no graph.
    ///
    /// # Errors
    /// More than 2^32 - 1 rows and queries, more links than the engine can hold, or a failure inside the engine.
    pub fn build(
        engine: Engine,
        set: &'a VectorSet,
        queries: &'a QuerySet,
        settings: HnswSettings,
        order: InsertionOrder,
        pool: &'a ThreadPool,
        go_on: &dyn Fn(usize) -> bool,
    ) -> Result<Option<Self>> {
        match engine {
            Engine::Flat => {
                let graph = FlatGraph::build(set, settings, order, pool, go_on)?;
                Ok(graph.map(|graph| Graph::Flat { graph, queries, pool }))
            }
            Engine::HnswRs => Ok(HnswGraph::build(set, queries, settings, order, pool, go_on)?.map(Graph::Reference)),
        }
    }

    /// At most `k` rows for every query.
    ///
    /// # Errors
    /// A failure inside the engine.
    pub fn search(&self, k: usize, ef_search: u32) -> Result<GraphAnswers> {
        match self {
            Graph::Flat { graph, queries, pool } => Ok(graph.search(queries, k, ef_search, pool)),
            Graph::Reference(graph) => graph.search(k, ef_search),
        }
    }

    /// Whether `engine` builds a set of this size by racing threads, so that two builds differ.
    pub fn is_racy(engine: Engine, rows: usize, pool: &ThreadPool) -> bool {
        match engine {
            Engine::Flat => false,
            Engine::HnswRs => HnswGraph::is_racy(rows, pool),
        }
    }
}
