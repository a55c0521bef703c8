//! Graphs that dumps carry: searched by us, they answer as the library that built them does.
//!
//! Answers are compared as sets, query by query. Two searches may part where distances agree to the last bits of f32: what
//! one has and the other lacks must then be as near as the last answer, and a path through the graph may end elsewhere in
//! no more than one query of a hundred.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tranship_collection::{IndexSpec, ServedGraph};
use tranship_connector::{Locator, OpenOptions, Source};
use tranship_recall::served_answers;
use tranship_testkit::{Tranship, engines};
use tranship_toolkit::providers::registry;

use crate::support::arg;

fn open(provider: &str, path: &Path, case: &Value) -> Box<dyn Source> {
    let mut options =
        OpenOptions { collection: case["collection"].as_str().map(str::to_owned), ..OpenOptions::default() };
    for (key, value) in case["options"].as_object().unwrap() {
        options.options.insert(key.clone(), value.as_str().unwrap().to_owned());
    }
    let locator = Locator { provider: None, path: path.to_owned() };
    let registry = registry();
    let connector = registry.connectors.iter().find(|connector| connector.name == provider).unwrap();
    connector.open.unwrap()(&locator, &options).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    vector.iter().map(|value| (f64::from(*value) / length) as f32).collect()
}

/// What became of the queries of a case.
#[derive(Debug, Default)]
struct Compared {
    queries: usize,
    /// Other answers than ties.
    apart: usize,
    /// The same answers in the same order.
    equal: usize,
}

fn compare(graph: &ServedGraph, queries: &[f32], ask: &Value, truth: &Value) -> Compared {
    let (k, ef) = (ask["k"].as_u64().unwrap() as usize, ask["ef"].as_u64().unwrap() as u32);
    let found = served_answers(graph.clone(), queries, k, ef, 2).unwrap();
    let mut compared = Compared::default();
    for (ours, (ids, distances)) in
        found.iter().zip(truth["ids"].as_array().unwrap().iter().zip(truth["distances"].as_array().unwrap()))
    {
        let theirs: Vec<&str> = ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        assert_eq!(ours.len(), k);
        assert_eq!(theirs.len(), k);
        let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
        compared.queries += 1;
        compared.equal += usize::from(ours == theirs);
        let (left, right): (BTreeSet<_>, BTreeSet<_>) = (ours.into_iter().collect(), theirs.iter().copied().collect());
        let distances = floats(distances);
        let last = distances[k - 1];
        // What only the library has is a tie with its last answer, or the searches parted.
        let tie = |id: &&str| {
            let place = theirs.iter().position(|other| other == id).unwrap();
            (distances[place] - last).abs() <= 1e-5 * last.abs().max(1.0)
        };
        compared.apart += usize::from(!right.difference(&left).all(tie));
    }
    compared
}

fn answers_equal(provider: &str, environment: &str, what: &str, cases_wanted: usize) {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join(what);
    engines::run(environment, "graph_answers.py", &[arg(Path::new(what)), arg(&home)]);
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(home.join(name)).unwrap()).unwrap() };
    let cases = read("cases.json");
    assert_eq!(cases.as_array().unwrap().len(), cases_wanted);
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let source = open(provider, &home.join(case["path"].as_str().unwrap()), case);
        let graph = source.served_graph("").unwrap().unwrap_or_else(|| panic!("{name} has no graph"));
        assert_eq!(graph.records.len(), graph.links.nodes(), "{name}");
        assert!(source.served_graph("other").unwrap().is_none(), "{name}");
        let Some(IndexSpec::Hnsw { m, .. }) = source.schema().vectors[0].index else { panic!("{name}") };
        assert_eq!(graph.m, m, "{name}");
        let queries: Vec<f32> = case["queries"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|query| {
                let query = floats(query);
                if case["unit"] == true { unit(&query) } else { query }
            })
            .collect();
        for (number, ask) in case["asks"].as_array().unwrap().iter().enumerate() {
            let compared = compare(&graph, &queries, ask, &read(&format!("{name}.{number}.json")));
            assert_eq!(compared.queries, 200, "{name}");
            assert!(compared.apart <= 2, "{name} {ask}: {compared:?}");
            assert!(compared.equal >= 195, "{name} {ask}: {compared:?}");
            if graph.ef_search.is_some_and(|_| provider == "chroma") {
                assert_eq!(graph.ef_search.map(u64::from), ask["ef"].as_u64(), "{name}");
            }
        }
    }
}

#[test]
fn graphs_of_hnswlib_answer_as_hnswlib_does_deleted_elements_passed_through() {
    answers_equal("hnswlib", "ann", "hnswlib", 4);
}

#[test]
fn graphs_of_faiss_answer_as_faiss_does() {
    answers_equal("faiss", "faiss", "faiss", 3);
}

#[test]
fn graphs_of_chroma_answer_as_chroma_does() {
    answers_equal("chroma", "chroma", "chroma", 3);
}

#[test]
fn recall_takes_the_graph_of_the_dump_as_the_baseline() {
    let dump = "chroma:fixtures/chroma-wordnet";
    let report = Tranship::run(["recall", dump, dump, "--queries", "200", "--json"]).expect(0).json();
    let served = &report["a"]["served"];
    // The graph was last written at 1,000 records; what was deleted or changed since is passed through.
    let count = |part: &str| served[part].as_u64().unwrap();
    assert_eq!(count("nodes"), 1_000, "{served}");
    assert!(count("passed_through") > 0, "{served}");
    assert_eq!(
        count("nodes") - count("passed_through") + count("beside"),
        1_480,
        "every record is in one part: {served}"
    );
    assert!(report["a"]["recall"]["value"].as_f64().unwrap() > 0.9, "{report}");
    assert!(report["a"]["build_seconds"].is_null(), "nothing is built for a graph that is there");
    let text = Tranship::run(["recall", dump, dump, "--queries", "200"]).expect(0).stdout;
    assert!(text.contains("the graph of the dump as it served"), "{text}");
    assert!(text.contains("are not in the graph of the dump and are compared one by one"), "{text}");
    let rebuilt = Tranship::run(["recall", dump, dump, "--queries", "200", "--rebuild", "--json"]).expect(0).json();
    assert!(rebuilt["a"]["served"].is_null() && rebuilt["a"]["build_seconds"].is_f64(), "{rebuilt}");
}

#[test]
fn thresholds_of_the_command_line_decide_the_exit_code() {
    let dump = "chroma:fixtures/chroma-wordnet";
    let ask = |more: &[&'static str], code: i32| {
        Tranship::run(["recall", dump, dump, "--queries", "100"].iter().chain(more)).expect(code)
    };
    ask(&["--min-recall", "0.5", "--max-drop", "0.9", "--engine", "hnsw_rs"], 0);
    let poor = ask(&["--target-m", "2", "--target-ef-construction", "4", "--target-ef", "4"], 1);
    assert!(poor.stdout.contains("recall drops by"), "{}", poor.stdout);
    assert!(
        poor.stdout.contains("cause: the graph of B (HNSW m 2, ef_construction 4, ef_search 4)"),
        "{}",
        poor.stdout
    );
    ask(&["--target-m", "2", "--target-ef-construction", "4", "--target-ef", "4", "--max-drop", "1"], 0);
    ask(&["--min-recall", "1.5"], 2);
}
