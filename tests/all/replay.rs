//! Logs of queries replayed on both sides, models compared, sweeps: the binary as a user runs it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tranship_testkit::Tranship;

/// 300 records in six clusters whose metadata `shape` writes.
fn lines(path: PathBuf, dim: usize, shape: impl Fn(usize) -> Value) -> PathBuf {
    let mut text = String::new();
    for row in 0..300_usize {
        let vector: Vec<f64> = (0..dim)
            .map(|at| ((row % 6 * 7 + at * 3) % 11) as f64 + ((row * 31 + at * 17) % 97) as f64 / 50.0)
            .collect();
        writeln!(text, "{}", json!({"id": format!("r{row}"), "vector": vector, "metadata": shape(row)})).unwrap();
    }
    std::fs::write(&path, text).unwrap();
    path
}

fn whole(row: usize) -> Value {
    json!({"flag": row.is_multiple_of(2), "count": row % 5, "place": {"city": if row < 10 { "Bonn" } else { "Ulm" }}})
}

fn recall(a: &Path, b: &Path, more: &[&str], code: i32) -> tranship_testkit::Ran {
    let (a, b) = (format!("jsonl:{}", a.display()), format!("jsonl:{}", b.display()));
    Tranship::run(["recall", &a, &b, "--metric", "l2"].iter().chain(more)).expect(code)
}

fn written(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

const LOG: &str = r#"{"id": "r3", "k": 5}
{"query": "flagged", "id": "r4", "filter": {"field": "flag", "eq": true}}
{"query": "counted", "vector": [1, 2, 3, 4], "filter": {"field": "count", "in": [1, 2]}}
{"query": "bonn", "id": "r9", "filter": {"field": "place.city", "eq": "Bonn"}, "namespace": ""}
{"query": "few", "id": "r4", "filter": {"and": [{"field": "count", "gte": 4}, {"not": {"field": "flag", "eq": false}}]}}
"#;

#[test]
fn a_log_is_answered_the_same_by_equal_sides() {
    let dir = tempfile::tempdir().unwrap();
    let a = lines(dir.path().join("a.jsonl"), 4, whole);
    let log = written(dir.path(), "log", LOG);
    let report = recall(&a, &a, &["--queries", &log, "--json"], 0).json();
    assert_eq!(
        (&report["queries"], &report["overlap"]["value"], &report["rbo"]),
        (&json!(5), &json!(1.0), &json!(1.0))
    );
    assert_eq!(report["filters"], json!([]));
}

#[test]
fn filters_that_match_other_records_are_told_with_what_happened_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let a = lines(dir.path().join("a.jsonl"), 4, whole);
    // "true" for true, a float for an integer, a nested value under one key.
    let b = lines(dir.path().join("b.jsonl"), 4, |row| {
        let old = whole(row);
        json!({
            "flag": old["flag"].to_string(),
            "count": old["count"].as_f64().unwrap(),
            "place.city": old["place"]["city"],
        })
    });
    let log = written(dir.path(), "log", LOG);
    let report = recall(&a, &b, &["--queries", &log, "--json"], 1).json();
    let filters = report["filters"].as_array().unwrap();
    assert_eq!(filters.len(), 4, "{report}");
    for (filter, count, what) in [
        (0, 150, "`flag` is true in A and the text \"true\" in B"),
        (1, 120, "`count` is the integer 1 in A and the float 1.0 in B"),
        (2, 10, "`place.city` is the text \"Bonn\" in A and stands elsewhere in B: nested or flattened"),
    ] {
        let flips = &filters[filter];
        assert_eq!((&flips["only_in_a"], &flips["by_type_or_nesting"]), (&json!(count), &json!(count)), "{flips}");
        assert_eq!(flips["records"][0]["what"], what);
    }
    let names: Vec<&str> = report["emptied"]["names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    assert_eq!(names, ["flagged", "counted", "bonn"], "{report}");
    let text = recall(&a, &b, &["--queries", &log], 1).stdout;
    assert!(text.contains("3 queries have answers in A and none in B (flagged, counted, bonn)"), "{text}");
    // The very same filters in the dialect of a database.
    let log = written(
        dir.path(),
        "qdrant",
        r#"{"id": "r9", "filter": {"must": [{"key": "place.city", "match": {"value": "Bonn"}}]}}"#,
    );
    let report = recall(&a, &b, &["--queries", &log, "--filter-dialect", "qdrant", "--json"], 1).json();
    assert_eq!(report["filters"][0]["only_in_a"], 10);
    let log =
        written(dir.path(), "chroma", r#"{"id": "r9", "filter": {"$and": [{"flag": true}, {"count": {"$ne": 3}}]}}"#);
    let report = recall(&a, &b, &["--queries", &log, "--filter-dialect", "chroma", "--json"], 1).json();
    assert_eq!(report["filters"][0]["only_in_a"], 120);
}

#[test]
fn a_log_that_is_not_understood_is_refused_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let a = lines(dir.path().join("a.jsonl"), 4, whole);
    for (line, more, said) in [
        ("{\"k\": 3}", None, "either a vector or an id"),
        ("{\"id\": \"r1\", \"limit\": 3}", None, "unknown field `limit`"),
        ("{\"id\": \"r1\", \"k\": 0}", None, "k is 0"),
        ("{\"vector\": [1, 2]}", None, "vector has 2 elements where the collection has 4"),
        ("{\"id\": \"r1\", \"filter\": {\"must\": []}}", None, "a filter that is not understood"),
        ("{\"id\": \"r1\", \"filter\": {\"a\": {\"$regex\": \"x\"}}}", Some("pinecone"), "`$regex` is no operator"),
        ("{\"id\": \"r1\"}", Some("sql"), "there are: neutral, chroma, pinecone, qdrant"),
        ("", None, "holds no queries"),
    ] {
        let log = written(dir.path(), "log", &format!("\n{line}"));
        let more: Vec<&str> = more.iter().flat_map(|dialect| ["--filter-dialect", *dialect]).collect();
        let refused = recall(&a, &a, &[&["--queries", &log], &more[..]].concat(), 2);
        assert!(refused.stderr.contains(said), "{line}: {}", refused.stderr);
    }
    assert!(recall(&a, &a, &["--queries", "no-such-log"], 22).stderr.contains("no-such-log"));
}

#[test]
fn two_models_are_compared_by_their_neighbours_and_by_judgements() {
    let dir = tempfile::tempdir().unwrap();
    let a = lines(dir.path().join("a.jsonl"), 4, whole);
    let b = lines(dir.path().join("b.jsonl"), 7, whole);
    let report = recall(&a, &b, &["--json"], 0).json();
    assert!(report["what"].as_str().unwrap().starts_with("neighbourhood overlap of two embedding models"), "{report}");
    let overlap = report["overlap"]["value"].as_f64().unwrap();
    assert!(overlap > 0.0 && overlap < 1.0, "{report}");
    assert_eq!(report["queries"], 300);
    recall(&a, &b, &["--min-overlap", "0.999"], 1);
    let log = written(
        dir.path(),
        "log",
        "{\"query\": \"q\", \"vector\": [3, 5, 7, 9], \"vector_b\": [1, 2, 3, 4, 5, 6, 7], \"k\": 300}",
    );
    let judged = written(dir.path(), "qrels", "q 0 r1 1\nq 0 r2 3\n");
    let report = recall(&a, &b, &["--queries", &log, "--qrels", &judged, "--json"], 0).json();
    let quality = &report["retrieval"];
    assert_eq!(
        (&quality["queries"], &quality["a"]["recall"], &quality["b"]["recall"]),
        (&json!(1), &json!(1.0), &json!(1.0))
    );
    assert!(quality["a"]["ndcg"].as_f64().unwrap() > 0.0 && quality["b"]["mrr"].as_f64().unwrap() > 0.0, "{quality}");
    let text = recall(&a, &b, &["--queries", &log, "--qrels", &judged], 0).stdout;
    assert!(text.contains("A by judgements of 1 queries: recall 1.0000"), "{text}");
}

#[test]
fn a_sweep_prints_a_table_and_json() {
    let dir = tempfile::tempdir().unwrap();
    let a = lines(dir.path().join("a.jsonl"), 4, whole);
    let grid = ["--sweep", "--sweep-m", "4,8", "--sweep-ef", "16,64", "--sweep-ef-construction", "50"];
    let report = recall(&a, &a, &[&grid[..], &["--json"]].concat(), 0).json();
    assert_eq!(report["tried"].as_array().unwrap().len(), 4);
    assert!(report["advice"]["settings"]["m"].is_u64() && report["tried"][0]["graph_bytes"].is_u64(), "{report}");
    let text = recall(&a, &a, &grid, 0).stdout;
    assert!(text.contains("keeps the source's recall at the least work") && text.contains("ef_construction"), "{text}");
}

#[test]
fn a_fault_of_a_migration_is_caught_and_named_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let a = lines(dir.path().join("a.jsonl"), 4, whole);
    let text = std::fs::read_to_string(&a).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shifted: Vec<String> = rows
        .windows(2)
        .map(|pair| json!({"id": pair[0]["id"], "vector": pair[1]["vector"], "metadata": {}}).to_string())
        .collect();
    let b = dir.path().join("b.jsonl");
    std::fs::write(&b, shifted.join("\n")).unwrap();
    let out = recall(&a, &b, &[], 1).stdout;
    assert!(out.starts_with("search answers differently: exact overlap"), "{out}");
    assert!(out.contains("299 records of B hold the vector of A's id +1: ids were shifted"), "{out}");
}

#[test]
fn a_cut_off_is_translated_for_the_scores_of_another_database() {
    let chroma = "chroma:fixtures/chroma-wordnet";
    let run = |more: &[&'static str], code| {
        Tranship::run(["recall", chroma, chroma, "--queries", "50"].iter().chain(more)).expect(code)
    };
    let report = run(&["--cutoff", "0.5", "--target-scores", "qdrant", "--json"], 0).json();
    let scores = &report["scores"];
    assert_eq!(
        (&scores["form_a"], &scores["form_b"], &scores["by_formula"]),
        (&json!("cosine_distance"), &json!("cosine"), &json!(0.5))
    );
    assert!(
        run(&["--cutoff", "0.5", "--target-scores", "pgvector"], 0)
            .stdout
            .contains("cut-off on B by formula: at most 0.5")
    );
    assert!(
        run(&["--cutoff", "0.5", "--target-scores", "nobody"], 2).stderr.contains("--target-scores: chroma, hnswlib")
    );
}
