//! Comparisons with known differences.

mod common;

use std::time::Duration;

use common::{METRICS, Random, clustered, id, numbered, pool, set_of};
use tranship_collection::{Element, IndexSpec, Metric};
use tranship_recall::{
    Cause, Engine, HnswSettings, OverlapBasis, QueryChoice, RecallOptions, RecallReport, VectorSet, VectorSetBuilder,
    compare,
};

fn hnsw(m: u32, ef_construction: u32, ef_search: u32) -> Option<IndexSpec> {
    Some(IndexSpec::Hnsw { m, ef_construction, ef_search: Some(ef_search) })
}

fn options() -> RecallOptions {
    RecallOptions { index_a: hnsw(16, 100, 100), index_b: hnsw(16, 100, 100), orders: 2, ..RecallOptions::default() }
}

/// Only exact search on both sides.
fn flat() -> RecallOptions {
    RecallOptions { index_a: Some(IndexSpec::Flat), index_b: Some(IndexSpec::Flat), ..RecallOptions::default() }
}

fn compared(a: &VectorSet, b: &VectorSet, options: &RecallOptions) -> RecallReport {
    compare(a, b, options, &pool(2)).unwrap()
}

fn without_times(mut report: RecallReport) -> RecallReport {
    report.seconds = 0.0;
    report.a.build_seconds = None;
    report.b.build_seconds = None;
    for side in [&mut report.a, &mut report.b] {
        side.cost = side.cost.map(|cost| tranship_recall::SearchCost { microseconds: 0.0, ..cost });
    }
    report
}

#[test]
fn identical_sets_in_any_row_order_overlap_by_proof_and_build_once() {
    let vectors = clustered(1_500, 24, 30, 1);
    let a = numbered(Metric::Cosine, &vectors);
    let b = set_of(Metric::Cosine, 24, (0..1_500).rev().map(|row| (id(row), vectors[row].as_slice())));
    let report = compared(&a, &b, &RecallOptions { identical: true, ..options() });
    assert_eq!(report.overlap_basis, OverlapBasis::Fingerprint);
    assert_eq!((report.exact_overlap.value, report.exact_overlap.low), (1.0, 1.0));
    assert_eq!(report.drop, Some(0.0));
    assert_eq!(report.b.build_seconds, None);
    assert_eq!(report.queries, 1_000);
    assert!(report.passes);
    let report = compared(&a, &b, &options());
    assert_eq!(report.overlap_basis, OverlapBasis::SameRecords);
    assert!(report.passes);
}

#[test]
fn a_stated_equality_that_the_vectors_contradict_is_computed() {
    let vectors = clustered(300, 8, 5, 2);
    let a = numbered(Metric::L2, &vectors);
    let b = numbered(Metric::L2, &clustered(300, 8, 5, 3));
    let report = compared(&a, &b, &RecallOptions { identical: true, ..flat() });
    assert_eq!(report.overlap_basis, OverlapBasis::Computed);
    assert!(!report.passes);
    assert!(report.notes.iter().any(|note| note.contains("fingerprints")), "{:?}", report.notes);
}

#[test]
fn swapped_vectors_are_found_and_named() {
    let vectors = clustered(1_000, 16, 50, 4);
    let mut changed = vectors.clone();
    // 5 %: 25 pairs of different clusters.
    for pair in 0..25 {
        changed.swap(pair * 40, pair * 40 + 7);
    }
    let swapped = |name: &str| (0..25).any(|pair| name == id(pair * 40) || name == id(pair * 40 + 7));
    for metric in METRICS {
        let report = compared(&numbered(metric, &vectors), &numbered(metric, &changed), &flat());
        assert!(!report.passes, "{metric:?}");
        assert!(report.exact_overlap.value > 0.8 && report.exact_overlap.value < 0.98, "{:?}", report.exact_overlap);
        assert_eq!(report.worst.len(), 10);
        for worst in &report.worst {
            assert_eq!(worst.reasons.len(), 1, "{worst:?}");
            assert_eq!(worst.reasons[0].cause, Cause::ChangedVector);
            assert!(worst.reasons[0].ids.iter().all(|id| swapped(id)), "{worst:?}");
        }
    }
}

#[test]
fn missing_and_extra_ids_are_named() {
    let vectors = clustered(600, 16, 20, 5);
    let a = numbered(Metric::Cosine, &vectors);
    let renamed = |row: usize| if row < 60 { format!("new{row}") } else { id(row) };
    let b = set_of(Metric::Cosine, 16, vectors.iter().enumerate().map(|(row, vector)| (renamed(row), &vector[..])));
    let report = compared(&a, &b, &flat());
    assert!(!report.passes);
    let causes = |cause: Cause| report.worst.iter().flat_map(|worst| &worst.reasons).filter(move |r| r.cause == cause);
    assert!(causes(Cause::MissingId).all(|reason| reason.ids.iter().all(|name| name.as_str() < id(60).as_str())));
    assert!(causes(Cause::ExtraId).all(|reason| reason.ids.iter().all(|name| name.starts_with("new"))));
    assert!(causes(Cause::MissingId).count() > 0 && causes(Cause::ExtraId).count() > 0);
    assert_eq!(causes(Cause::ChangedVector).count(), 0);

    let fewer = set_of(Metric::Cosine, 16, (30..600).map(|row| (id(row), vectors[row].as_slice())));
    let report = compared(&a, &fewer, &flat());
    assert!(!report.passes);
    assert!(report.worst.iter().flat_map(|worst| &worst.reasons).all(|reason| reason.cause == Cause::MissingId));
}

#[test]
fn another_metric_is_named_as_the_cause() {
    let mut random = Random(9);
    let vectors: Vec<Vec<f32>> = clustered(500, 8, 4, 6)
        .into_iter()
        .map(|vector| {
            let length = 1.0 + 5.0 * random.value().abs();
            vector.iter().map(|value| value * length).collect()
        })
        .collect();
    let a = numbered(Metric::Cosine, &vectors);
    let report = compared(&a, &numbered(Metric::L2, &vectors), &RecallOptions { identical: true, ..flat() });
    assert!(!report.passes);
    assert_eq!(report.worst[0].reasons[0].cause, Cause::Metric);
    // Unit vectors under dot are cosine.
    let unit: Vec<Vec<f32>> = (0..500).map(|row| a.vector(row).to_vec()).collect();
    let report = compared(&a, &numbered(Metric::Dot, &unit), &flat());
    assert_eq!(report.exact_overlap.value, 1.0);
}

#[test]
fn duplicates_and_last_bits_count_as_ties() {
    // Twenty records in each place: which ten are nearest is decided by ids alone.
    let places = clustered(40, 12, 40, 7);
    let vectors: Vec<Vec<f32>> = (0..800).map(|row| places[row % 40].clone()).collect();
    let a = numbered(Metric::Cosine, &vectors);
    let reversed = |row: usize| id(799 - row);
    // The same records with every vector scaled: equal up to rounding, and so other ids win among equals.
    let scaled: Vec<Vec<f32>> =
        vectors.iter().enumerate().map(|(row, v)| v.iter().map(|x| x * (1.0 + row as f32 * 0.37)).collect()).collect();
    let b = set_of(Metric::Cosine, 12, scaled.iter().enumerate().map(|(row, v)| (id(row), v.as_slice())));
    let report = compared(&a, &b, &flat());
    assert_eq!(report.overlap_basis, OverlapBasis::Computed);
    assert_eq!(report.exact_overlap.value, 1.0, "{:?}", report.worst);
    assert!(report.ties > 0);
    // A record that only has its twin's name is another matter: all are duplicates, so still a tie.
    let twins: Vec<Vec<f32>> = vec![vec![1.0, 2.0]; 50];
    let a = numbered(Metric::L2, &twins);
    let b = set_of(Metric::L2, 2, twins.iter().enumerate().map(|(row, v)| (reversed(row + 750), v.as_slice())));
    assert_eq!(compared(&a, &b, &flat()).exact_overlap.value, 1.0);
}

#[test]
fn rounding_to_a_coarser_element_type_counts_as_a_tie_only_where_it_is_stated() {
    // Neighbours along a line, nearer together than a bfloat16 can tell apart.
    let vectors: Vec<Vec<f32>> = (0..300).map(|row| vec![1.0, 1.0 + row as f32 * 1e-3]).collect();
    let rounded = |value: f32| f32::from_bits((value.to_bits() + 0x8000) & !0xffff);
    let mut stated = VectorSetBuilder::new(2, Metric::L2, 300).unwrap().element(Element::BF16);
    let mut unsaid = VectorSetBuilder::new(2, Metric::L2, 300).unwrap();
    for (row, vector) in vectors.iter().enumerate() {
        let vector: Vec<f32> = vector.iter().map(|&value| rounded(value)).collect();
        stated.push(None, &id(row), &vector).unwrap();
        unsaid.push(None, &id(row), &vector).unwrap();
    }
    let a = numbered(Metric::L2, &vectors);
    let report = compared(&a, &stated.finish().unwrap(), &flat());
    assert!(report.passes && report.ties > 0, "{:?}", report.exact_overlap);
    assert!(report.lines().iter().any(|line| line.contains("element types that differ")));
    assert!(!compared(&a, &unsaid.finish().unwrap(), &flat()).passes);
}

#[test]
fn the_graph_finds_the_neighbours_of_clustered_vectors_and_copies_the_settings() {
    let vectors = clustered(5_000, 64, 100, 8);
    for metric in METRICS {
        let a = numbered(metric, &vectors);
        let b = numbered(metric, &vectors[..4_990]);
        let asked = RecallOptions { index_a: hnsw(16, 100, 100), index_b: hnsw(24, 120, 90), orders: 1, ..options() };
        let report = compared(&a, &b, &RecallOptions { queries: QueryChoice::Sample(300), ..asked });
        assert_eq!(report.a.settings, Some(HnswSettings { m: 16, ef_construction: 100, ef_search: 100 }));
        assert_eq!(report.b.settings, Some(HnswSettings { m: 24, ef_construction: 120, ef_search: 90 }));
        assert!(report.a.recall.unwrap().value > 0.95, "{metric:?} {:?}", report.a.recall);
        assert!(report.b.recall.unwrap().value > 0.95, "{metric:?} {:?}", report.b.recall);
    }
}

#[test]
fn a_poor_graph_on_the_target_is_a_drop_above_the_noise() {
    let vectors = clustered(4_000, 64, 4, 9);
    let a = numbered(Metric::L2, &vectors);
    let report = compared(&a, &a, &RecallOptions { index_b: hnsw(2, 10, 10), identical: true, ..options() });
    assert_eq!(report.exact_overlap.value, 1.0);
    assert!(report.drop.unwrap() > report.noise_floor.unwrap());
    assert_eq!(report.other_orders.len(), 1);
    assert!(!report.passes);
    assert!(report.worst.iter().all(|worst| worst.reasons[0].cause == Cause::Graph), "{:?}", report.worst);
}

#[test]
fn long_and_opposed_vectors_under_dot_do_not_disturb_the_graph() {
    let mut random = Random(10);
    let vectors: Vec<Vec<f32>> = (0..2_000)
        .map(|row| {
            let length = 10_f32.powi(row % 7 - 3);
            random.vector(16).iter().map(|value| value * length).collect()
        })
        .collect();
    let report = compared(&numbered(Metric::Dot, &vectors), &numbered(Metric::Dot, &vectors), &options());
    assert!(report.passes);
    assert!(report.a.recall.unwrap().value > 0.9, "{:?}", report.a.recall);
    let huge: Vec<Vec<f32>> = vectors.iter().map(|vector| vector.iter().map(|value| value * 1e13).collect()).collect();
    assert!(compared(&numbered(Metric::Dot, &huge), &numbered(Metric::Dot, &huge), &options()).passes);
}

#[test]
fn degenerate_sets_are_compared_without_a_panic() {
    for metric in METRICS {
        let zeros = numbered(metric, &vec![vec![0.0; 5]; 60]);
        assert!(compared(&zeros, &zeros, &options()).passes);
        let line: Vec<Vec<f32>> = (0..200).map(|row| vec![row as f32 - 100.0]).collect();
        assert!(compared(&numbered(metric, &line), &numbered(metric, &line), &options()).passes);
        let one = numbered(metric, &[vec![1.0, 2.0]]);
        assert!(compared(&one, &one, &options()).passes);
        let few = numbered(metric, &clustered(4, 3, 2, 11));
        assert!(compared(&few, &few, &RecallOptions { k: 50, ..options() }).passes);
        let none = set_of(metric, 2, []);
        assert!(compared(&none, &none, &options()).passes);
        assert!(!compared(&one, &none, &options()).passes);
        assert!(!compared(&none, &one, &options()).passes);
    }
}

#[test]
fn settings_out_of_range_are_held_back_and_said() {
    let a = numbered(Metric::Cosine, &clustered(200, 6, 4, 12));
    let report = compared(&a, &a, &RecallOptions { index_b: hnsw(5_000, u32::MAX, u32::MAX), ..options() });
    assert_eq!(report.b.settings.unwrap().m, 4_096);
    assert!(report.notes.iter().any(|note| note.contains("m 5000")), "{:?}", report.notes);
    assert_eq!(report.b.recall.unwrap().value, 1.0);
    let report = compared(&a, &a, &RecallOptions { index_b: hnsw(0, 0, 0), ..options() });
    assert_eq!(report.b.settings.unwrap().m, 2);
}

#[test]
fn threads_do_not_change_a_report() {
    let a = numbered(Metric::Cosine, &clustered(1_200, 20, 40, 13));
    let b = numbered(Metric::Cosine, &clustered(1_200, 20, 40, 14));
    let asked = RecallOptions { index_b: hnsw(8, 40, 40), ..options() };
    let one = without_times(compare(&a, &b, &asked, &pool(1)).unwrap());
    for threads in [2, 7] {
        assert_eq!(one, without_times(compare(&a, &b, &asked, &pool(threads)).unwrap()));
    }
}

#[test]
fn a_graph_built_by_racing_threads_is_complete_and_said_to_race() {
    let a = numbered(Metric::Cosine, &clustered(21_000, 8, 300, 19));
    let asked = RecallOptions { index_a: hnsw(8, 40, 60), index_b: hnsw(8, 40, 60), ..options() };
    let asked = RecallOptions { engine: Engine::HnswRs, ..asked };
    let report = compare(&a, &a, &asked, &pool(4)).unwrap();
    assert!(report.a.recall.unwrap().value > 0.9, "{:?}", report.a.recall);
    assert!(report.notes.iter().any(|note| note.contains("several threads")), "{:?}", report.notes);
}

#[test]
fn a_time_budget_is_kept_and_what_it_cost_is_said() {
    let a = numbered(Metric::Cosine, &clustered(4_000, 64, 40, 15));
    let asked = RecallOptions { time_budget: Some(Duration::from_millis(1)), population_a: Some(9_000), ..options() };
    let b = numbered(Metric::Cosine, &clustered(4_001, 64, 40, 15));
    let report = compared(&a, &b, &asked);
    assert_eq!(report.queries, 32);
    assert_eq!((report.a.recall, report.drop), (None, None));
    assert!(report.seconds < 5.0);
    let lines = report.lines().join("\n");
    assert!(lines.contains("sample of 4,000 of 9,000 vectors"), "{lines}");
    assert!(lines.contains("allows 32 of 1,000 queries") && lines.contains("does not fit"), "{lines}");
}

#[test]
fn given_queries_are_asked_as_they_are() {
    let vectors = clustered(400, 10, 8, 16);
    let a = numbered(Metric::L2, &vectors);
    let mut other = vectors.clone();
    other[3] = vec![9.0; 10];
    let b = numbered(Metric::L2, &other);
    let queries = QueryChoice::Given([vectors[3].clone(), vectors[4].clone()].concat());
    let report = compared(&a, &b, &RecallOptions { queries, k: 1, ..flat() });
    assert_eq!((report.queries, report.sampled), (2, false));
    assert_eq!(report.worst[0].query, "query 1");
    assert_eq!(report.worst[0].reasons[0].ids[0], id(3));
    for refused in [vec![1.0; 7], vec![f32::NAN; 10], Vec::new()] {
        let asked = RecallOptions { queries: QueryChoice::Given(refused), ..flat() };
        assert!(compare(&a, &b, &asked, &pool(1)).is_err());
    }
}

#[test]
fn sets_of_other_dimension_and_empty_questions_are_refused() {
    let a = numbered(Metric::L2, &clustered(20, 4, 2, 17));
    let b = numbered(Metric::L2, &clustered(20, 5, 2, 17));
    assert!(compare(&a, &b, &flat(), &pool(1)).is_err());
    assert!(compare(&a, &a, &RecallOptions { k: 0, ..flat() }, &pool(1)).is_err());
    let nothing = RecallOptions { queries: QueryChoice::Sample(0), ..flat() };
    assert!(compare(&a, &a, &nothing, &pool(1)).is_err());
}

#[test]
fn the_report_is_json_and_reads_as_sentences() {
    let a = numbered(Metric::Cosine, &clustered(1_000, 8, 10, 18));
    let report = compared(&a, &a, &options());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["exact_overlap"]["value"], 1.0);
    assert_eq!(json["a"]["settings"]["m"], 16);
    assert_eq!(json["passes"], true);
    assert_eq!(report.lines()[0], "search answers the same");
}
