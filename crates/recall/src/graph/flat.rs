//! The flat graph: HNSW in a few arrays, the default engine. It also searches graphs that were read from dumps.
//!
//! Invariant: the graph is a function of the set, the settings and the order of insertion, whatever the number of
//! threads: rows go in by batches, a batch looks only at the graph before it, and its links are added list by list in the
//! order of insertion. A search is a function of the graph and the query. Nodes are rows of the set.
//!
//! Source: Malkov, Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small
//! World graphs" (2018), algorithms 1, 2, 4 and 5. Where the paper is silent (ties, links of level 0, how pruning counts) the
//! graph is built and searched as hnswlib 0.8 does, so that a search of hnswlib's own graph gives hnswlib's answers.
//!
//! Errors: more than 2^32 - 1 rows.

mod build;
mod codes;
mod lists;
mod points;
mod search;
mod twins;

use rayon::ThreadPool;
use rayon::prelude::*;
use tranship_collection::HnswLinks;
use tranship_connector::{Error, Result};

use super::{GraphAnswers, HnswSettings, InsertionOrder};
use crate::queries::QuerySet;
use crate::set::VectorSet;
use lists::Graph;
use points::Points;
use search::{Cost, Found, Search, Workers};
use twins::Twins;

/// A graph over the rows of a set.
pub struct FlatGraph<'a> {
    points: Points<'a>,
    links: Graph,
    /// Rows that are no nodes, because one with the same vector is.
    twins: Twins,
    /// Which nodes may answer; all where there is none.
    answers: Option<Vec<bool>>,
}

impl<'a> FlatGraph<'a> {
    /// Builds a graph over `set`. `go_on` is asked from time to time with the number of rows inserted; when it refuses,
    /// there is no graph.
    ///
    /// # Errors
    /// More than 2^32 - 1 rows.
    pub fn build(
        set: &'a VectorSet,
        settings: HnswSettings,
        order: InsertionOrder,
        pool: &ThreadPool,
        go_on: &dyn Fn(usize) -> bool,
    ) -> Result<Option<Self>> {
        if u32::try_from(set.len()).is_err() {
            return Err(Error::limit("more than 4,294,967,295 rows in one graph").hint("compare a sample"));
        }
        let settings = settings.within_limits(&mut Vec::new());
        let points = Points::of(set, pool);
        let built = build::build(&points, set, settings, order, pool, go_on);
        Ok(built.map(|(built, twins)| FlatGraph { points, links: Graph::Built(built), twins, answers: None }))
    }

    /// The graph of a dump over its nodes' vectors: node n is row n of `set`. Nodes whose flag in `answers` is not set
    /// (deleted ones) are passed through and never an answer.
    ///
    /// # Panics
    /// If there are not as many links and flags as rows.
    pub fn of_links(set: &'a VectorSet, links: HnswLinks, answers: Option<Vec<bool>>) -> Self {
        assert_eq!(links.nodes(), set.len(), "a node for every row");
        assert!(answers.as_ref().is_none_or(|flags| flags.len() == set.len()), "a flag for every row");
        FlatGraph { points: Points::of_floats(set), links: Graph::Read(links), twins: Twins::default(), answers }
    }

    /// At most `k` rows for every query, nearest first, without its excluded row. `ef` candidates are kept, at least as
    /// many as answers are wanted.
    ///
    /// # Panics
    /// If the queries have another dimension than the set.
    pub fn search(&self, queries: &QuerySet, k: usize, ef: u32, pool: &ThreadPool) -> GraphAnswers {
        let workers = Workers::new(pool, self.links.nodes());
        let found: Vec<(Vec<usize>, Cost)> = pool.install(|| {
            let asked = (0..queries.len()).into_par_iter();
            asked.map(|query| workers.with(|search| self.search_one(search, queries, query, k, ef))).collect()
        });
        let (rows, costs): (Vec<_>, Vec<Cost>) = found.into_iter().unzip();
        let total = |part: fn(&Cost) -> u64| Some(costs.iter().map(part).sum());
        GraphAnswers { rows, distances: total(|cost| cost.distances), hops: total(|cost| cost.hops) }
    }

    fn search_one(
        &self,
        search: &mut Search,
        queries: &QuerySet,
        query: usize,
        k: usize,
        ef: u32,
    ) -> (Vec<usize>, Cost) {
        search.begin();
        let Some(entry) = self.links.entry() else { return (Vec::new(), Cost::default()) };
        let excluded = queries.excluded(query);
        // The query may find itself; one more answer makes room for that.
        let wanted = k + usize::from(excluded.is_some());
        let vector = queries.vector(query);
        let mut room = Vec::new();
        let probe = self.points.probe(vector, &mut room);
        let mut nearest = search.measured(&probe, entry);
        for level in (1..=self.links.level(entry)).rev() {
            nearest = search.descend(&self.links, &probe, nearest, level);
        }
        let ef = wanted.max(ef as usize);
        // What codes put a little too far back must not be lost.
        let kept = if self.points.coded() { ef + ef / 16 + 1 } else { ef };
        search.explore(&self.links, &probe, nearest, 0, kept, self.answers.as_deref());
        let mut found: Vec<Found> = search.answers().collect();
        if self.points.coded() {
            search.measure_again(&self.points.exact_probe(vector), &mut found);
        }
        let rows = found.into_iter().flat_map(|found| self.twins.rows(found.node)).map(|row| row as usize);
        let rows = rows.take(wanted).filter(|&row| excluded != Some(row)).take(k).collect();
        (rows, search.cost())
    }
}
