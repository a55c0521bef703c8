//! The flat graph against hnsw_rs, against a plain search of the same links, and against itself.

mod common;

use std::collections::BinaryHeap;

use common::{METRICS, Random, clustered, id, numbered, pool, set_of, word_vectors};
use proptest::prelude::*;
use tranship_collection::{HnswLinks, HnswLinksBuilder, Metric};
use tranship_recall::graph::InsertionOrder;
use tranship_recall::graph::flat::FlatGraph;
use tranship_recall::{Engine, Graph, GraphAnswers, HnswSettings, QuerySet, VectorSet, distance, exact_neighbours};

const K: usize = 10;

fn settings(m: u32, ef_construction: u32) -> HnswSettings {
    HnswSettings { m, ef_construction, ef_search: 0 }
}

fn answers(
    engine: Engine,
    set: &VectorSet,
    queries: &QuerySet,
    settings: HnswSettings,
    ef: u32,
    threads: usize,
) -> GraphAnswers {
    let pool = pool(threads);
    let graph = Graph::build(engine, set, queries, settings, InsertionOrder::ById, &pool, &|_| true);
    let graph = graph.unwrap().unwrap();
    graph.search(K, ef).unwrap()
}

/// The share of answers that are as near as the k-th exact neighbour, so that a duplicate is as good as its twin.
fn recall(set: &VectorSet, queries: &QuerySet, answers: &GraphAnswers) -> f64 {
    let exact = exact_neighbours(set, queries, K, &pool(2));
    let hits = answers.rows.iter().zip(&exact).enumerate().map(|(query, (rows, exact))| {
        let last = exact.last_distance().unwrap();
        let near = |row: &&usize| {
            distance(set.metric(), queries.vector(query), set.vector(**row)) <= last * (1.0 + 1e-6 * last.signum())
        };
        rows.iter().filter(near).count()
    });
    hits.sum::<usize>() as f64 / (K * queries.len()) as f64
}

fn every(set: &VectorSet, step: usize) -> QuerySet {
    QuerySet::from_rows(set, &(0..set.len()).step_by(step).collect::<Vec<_>>())
}

fn plain(rows: usize, dim: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = Random(2 * seed + 1);
    (0..rows).map(|_| random.vector(dim)).collect()
}

#[test]
fn the_flat_graph_and_hnsw_rs_find_as_many_neighbours() {
    let sets = [
        ("clusters, dot", numbered(Metric::Dot, &clustered(3_000, 48, 100, 1))),
        ("clusters, L1", numbered(Metric::L1, &clustered(2_000, 24, 50, 2))),
        ("uniform, L2", numbered(Metric::L2, &plain(3_000, 16, 3))),
        ("words, cosine", numbered(Metric::Cosine, &word_vectors())),
    ];
    for (name, set) in &sets {
        let queries = every(set, 9);
        let found = |engine: Engine| recall(set, &queries, &answers(engine, set, &queries, settings(12, 60), 60, 2));
        let (flat, reference) = (found(Engine::Flat), found(Engine::HnswRs));
        println!("{name}: flat {flat:.4}, hnsw_rs {reference:.4}");
        assert!(flat >= 0.95 && reference >= 0.95, "{name}: flat {flat}, hnsw_rs {reference}");
        assert!((flat - reference).abs() <= 0.02, "{name}: flat {flat}, hnsw_rs {reference}");
    }
}

#[test]
fn codes_and_floats_find_as_many_neighbours_at_every_width() {
    // Ten thousand rows are searched by codes, one fewer by floats.
    let vectors = clustered(10_000, 64, 100, 6);
    let by_codes = numbered(Metric::Cosine, &vectors);
    let by_floats = numbered(Metric::Cosine, &vectors[..9_999]);
    let pool = pool(2);
    let found = |set: &VectorSet, ef: u32| {
        let queries = every(set, 11);
        let graph = FlatGraph::build(set, settings(8, 60), InsertionOrder::ById, &pool, &|_| true).unwrap().unwrap();
        recall(set, &queries, &graph.search(&queries, K, ef, &pool))
    };
    for ef in [10, 30, 100] {
        let (codes, floats) = (found(&by_codes, ef), found(&by_floats, ef));
        println!("ef {ef}: codes {codes:.4}, floats {floats:.4}");
        assert!((codes - floats).abs() <= 0.03, "ef {ef}: codes {codes}, floats {floats}");
    }
}

#[test]
fn duplicated_vectors_do_not_lower_recall() {
    let single = plain(1_500, 16, 7);
    for copies in [2, 3, 40] {
        let kinds = 3_000 / copies;
        let once = numbered(Metric::L2, &single[..kinds.min(1_500)]);
        let often: Vec<Vec<f32>> = (0..3_000).map(|row| single[row % kinds.min(1_500)].clone()).collect();
        let often = numbered(Metric::L2, &often);
        let found = |set: &VectorSet| {
            let queries = QuerySet::from_rows(set, &(0..kinds.min(1_500)).step_by(3).collect::<Vec<_>>());
            recall(set, &queries, &answers(Engine::Flat, set, &queries, settings(8, 60), 40, 2))
        };
        let (alone, together) = (found(&once), found(&often));
        assert!(together >= alone - 0.01, "{copies} copies: {together}, once {alone}");
    }
}

#[test]
fn every_number_of_threads_builds_the_same_graph() {
    for (rows, dim) in [(3_000, 20), (10_000, 64)] {
        let set = numbered(Metric::Cosine, &clustered(rows, dim, 50, 8));
        let queries = every(&set, 20);
        let one = answers(Engine::Flat, &set, &queries, settings(8, 30), 30, 1);
        assert!(one.distances > Some(0) && one.hops > Some(0));
        assert_eq!(one, answers(Engine::Flat, &set, &queries, settings(8, 30), 30, 2));
        assert_eq!(one, answers(Engine::Flat, &set, &queries, settings(8, 30), 30, 7));
        assert!(!Graph::is_racy(Engine::Flat, rows, &pool(7)));
    }
}

#[test]
fn the_order_of_rows_does_not_change_the_graph() {
    let vectors = clustered(2_000, 24, 20, 9);
    let forward = numbered(Metric::Cosine, &vectors);
    let backward = set_of(Metric::Cosine, 24, (0..2_000).rev().map(|row| (id(row), vectors[row].as_slice())));
    let ids = |set: &VectorSet, rows: &[usize]| {
        let queries = QuerySet::from_rows(set, rows);
        let found = answers(Engine::Flat, set, &queries, settings(8, 40), 20, 2);
        found.rows.iter().flatten().map(|&row| set.id(row).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&forward, &[0, 700, 1_999]), ids(&backward, &[1_999, 1_299, 0]));
}

#[test]
fn more_links_than_hnsw_rs_can_hold_are_built_and_there_refused() {
    let set = numbered(Metric::L2, &plain(1_000, 8, 10));
    let queries = every(&set, 10);
    assert_eq!(recall(&set, &queries, &answers(Engine::Flat, &set, &queries, settings(400, 500), 50, 2)), 1.0);
    let pool = pool(1);
    let order = InsertionOrder::ById;
    let refused = Graph::build(Engine::HnswRs, &set, &queries, settings(400, 500), order, &pool, &|_| true);
    assert!(refused.err().unwrap().to_string().contains("m 400"));
}

#[test]
fn a_build_that_may_not_go_on_gives_no_graph() {
    let set = numbered(Metric::L2, &plain(3_000, 4, 11));
    let queries = every(&set, 100);
    let stopped = |inserted: usize| inserted < 1_500;
    let pool = pool(2);
    let built = Graph::build(Engine::Flat, &set, &queries, settings(4, 10), InsertionOrder::ById, &pool, &stopped);
    assert!(built.unwrap().is_none());
}

/// A distance with the order of the reals, and a node.
#[derive(PartialEq)]
struct Pair(f32, u32);

impl Eq for Pair {}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

/// The search that hnswlib documents, with two heaps: candidates and answers.
fn two_heaps(set: &VectorSet, links: &HnswLinks, answers: &[bool], query: &[f32], k: usize, ef: usize) -> Vec<usize> {
    let measured = |node: u32| distance(set.metric(), query, set.vector(node as usize));
    let (mut node, mut least) = (links.entry(), measured(links.entry()));
    for level in (1..=links.level(links.entry())).rev() {
        loop {
            let before = node;
            for &next in links.links(before, level) {
                if measured(next) < least {
                    (node, least) = (next, measured(next));
                }
            }
            if node == before {
                break;
            }
        }
    }
    let mut seen = vec![false; set.len()];
    seen[node as usize] = true;
    let mut candidates = BinaryHeap::from([Pair(-least, node)]);
    let mut found = BinaryHeap::new();
    if answers[node as usize] {
        found.push(Pair(least, node));
    }
    while let Some(Pair(negated, node)) = candidates.pop() {
        if found.len() == ef && found.peek().is_some_and(|last: &Pair| -negated > last.0) {
            break;
        }
        for &next in links.links(node, 0) {
            if std::mem::replace(&mut seen[next as usize], true) {
                continue;
            }
            let distance = measured(next);
            if found.len() < ef || found.peek().is_some_and(|last| last.0 > distance) {
                candidates.push(Pair(-distance, next));
                if answers[next as usize] {
                    found.push(Pair(distance, next));
                    if found.len() > ef {
                        found.pop();
                    }
                }
            }
        }
    }
    found.into_sorted_vec().into_iter().take(k).map(|pair| pair.1 as usize).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Few different values make ties abound; random links make dead ends and islands.
    #[test]
    fn links_from_a_dump_are_searched_as_with_two_heaps(
        nodes in 1_usize..80,
        seed in any::<u64>(),
        degree in 1_usize..9,
        spread in 1_u64..6,
        deleted in 0_u64..10,
        metric in 0_usize..4,
        k in 1_usize..12,
        ef in 1_usize..30,
    ) {
        let mut random = Random(seed | 1);
        let vectors: Vec<Vec<f32>> =
            (0..nodes).map(|_| (0..3).map(|_| (random.number() % (2 * spread)) as f32 - spread as f32).collect()).collect();
        let set = numbered(METRICS[metric], &vectors);
        let levels: Vec<usize> = (0..nodes).map(|_| usize::from(random.number().is_multiple_of(8))).collect();
        let top: Vec<u32> = (0..nodes as u32).filter(|&node| levels[node as usize] == 1).collect();
        let mut builder = HnswLinksBuilder::default();
        for &level in &levels {
            builder.node();
            builder.list((0..degree).map(|_| (random.number() % nodes as u64) as u32).collect::<Vec<_>>());
            if level == 1 {
                builder.list((0..3).map(|_| top[random.number() as usize % top.len()]).collect::<Vec<_>>());
            }
        }
        let links = builder.finish(top.first().copied().unwrap_or(0)).unwrap();
        let flags: Vec<bool> = (0..nodes).map(|_| random.number() % 10 >= deleted).collect();
        let asked: Vec<f32> = vectors.iter().flatten().copied().collect();
        let queries = QuerySet::from_vectors(&set, &asked).unwrap();
        let graph = FlatGraph::of_links(&set, links.clone(), Some(flags.clone()));
        let found = graph.search(&queries, k, ef as u32, &pool(1));
        for (query, rows) in found.rows.iter().enumerate() {
            let expected = two_heaps(&set, &links, &flags, queries.vector(query), k, ef.max(k));
            prop_assert_eq!(rows, &expected);
            prop_assert!(rows.iter().all(|&row| flags[row]));
        }
    }
}
