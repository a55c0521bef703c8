//! Faults that a migration can make: each is caught, and its cause named.

mod common;

use common::{Random, clustered, id, numbered, pool, set_of};
use tranship_collection::{Element, IndexSpec, Metric};
use tranship_recall::{
    Finding, OverlapBasis, QueryChoice, RecallOptions, RecallReport, ScoreForm, ServedGraphs, SweepGrid, Thresholds,
    VectorSet, VectorSetBuilder, compare, sweep, translate,
};

fn hnsw(m: u32) -> Option<IndexSpec> {
    Some(IndexSpec::Hnsw { m, ef_construction: 100, ef_search: Some(60) })
}

fn options() -> RecallOptions {
    RecallOptions {
        queries: QueryChoice::Sample(400),
        index_a: hnsw(16),
        index_b: hnsw(16),
        ..RecallOptions::default()
    }
}

fn compared(a: &VectorSet, b: &VectorSet) -> RecallReport {
    compare(a, b, &options(), &pool(2)).unwrap()
}

/// Vectors of different lengths in clusters that lie near each other.
fn vectors() -> Vec<Vec<f32>> {
    let mut random = Random(77);
    let stretched = |vector: Vec<f32>| {
        let length = 0.5 + 3.0 * random.value().abs();
        vector.iter().map(|value| value * length).collect()
    };
    clustered(3_000, 32, 60, 21).into_iter().map(stretched).collect()
}

fn half(value: f32) -> f32 {
    // To the nearest of the values with eleven bits of mantissa, which is what f16 keeps of numbers near 1.
    f32::from_bits((value.to_bits() + 0x1000) & !0x1fff)
}

#[test]
fn a_lossless_transfer_has_overlap_one_and_a_drop_within_the_noise() {
    let vectors = vectors();
    let a = numbered(Metric::Cosine, &vectors);
    let b = set_of(Metric::Cosine, 32, (0..3_000).rev().map(|row| (id(row), vectors[row].as_slice())));
    let report = compared(&a, &b);
    assert_eq!((report.exact_overlap.value, report.overlap_basis), (1.0, OverlapBasis::SameRecords));
    assert!(report.passes && report.findings.is_empty() && report.failures.is_empty(), "{report:?}");
    assert!(report.drop.unwrap() <= report.noise_floor.unwrap());
    assert_eq!(report.order, None, "nothing to compare where all is equal");
    let work = report.a.cost.unwrap();
    assert!(work.distances.unwrap() > 60.0 && work.hops.unwrap() > 1.0 && work.microseconds > 0.0, "{work:?}");
}

#[test]
fn the_wrong_metric_is_named() {
    let vectors = vectors();
    let report = compared(&numbered(Metric::Cosine, &vectors), &numbered(Metric::L2, &vectors));
    assert!(!report.passes);
    assert_eq!(report.findings[0], Finding::Metric { a: Metric::Cosine, b: Metric::L2 });
    assert!(report.lines().contains(&"cause: A orders by cosine, B by l2".to_owned()), "{:?}", report.lines());
    assert_eq!(report.order.unwrap().mean_score_delta, None, "scores of other metrics cannot be subtracted");
}

#[test]
fn vectors_that_were_not_normalised_for_a_dot_product_are_named() {
    let vectors = vectors();
    let a = numbered(Metric::Cosine, &vectors);
    let report = compared(&a, &numbered(Metric::Dot, &vectors));
    assert!(!report.passes);
    let Finding::NotUnitLength { records, shortest, longest } = report.findings[0] else {
        panic!("{:?}", report.findings)
    };
    assert!(records > 2_900 && 2.0 * shortest < longest);
    // Normalised, the dot product is the cosine.
    let unit: Vec<Vec<f32>> = (0..3_000).map(|row| a.vector(row).to_vec()).collect();
    let report = compared(&a, &numbered(Metric::Dot, &unit));
    assert_eq!(report.exact_overlap.value, 1.0, "{:?}", report.findings);
    // Where both compare dot products, other lengths are other vectors.
    let report = compared(&numbered(Metric::Dot, &vectors), &numbered(Metric::Dot, &unit));
    assert!(!report.passes);
    assert!(matches!(report.findings[0], Finding::Rescaled { records: 2_900.., .. }), "{:?}", report.findings);
}

#[test]
fn one_vector_in_a_hundred_exchanged_is_named() {
    let vectors = vectors();
    let mut changed = vectors.clone();
    for pair in 0..15 {
        changed.swap(pair * 200, pair * 200 + 31);
    }
    let report = compared(&numbered(Metric::L2, &vectors), &numbered(Metric::L2, &changed));
    assert!(!report.passes);
    assert!(report.exact_overlap.value > 0.9, "{:?}", report.exact_overlap);
    let [Finding::Exchanged { records: 30, ids }] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(ids[..2], [id(0), id(31)]);
}

#[test]
fn rounding_to_half_floats_passes_and_its_effect_is_shown() {
    let vectors = vectors();
    let mut rounded = VectorSetBuilder::new(32, Metric::Cosine, 3_000).unwrap().element(Element::F16);
    for (row, vector) in vectors.iter().enumerate() {
        let vector: Vec<f32> = vector.iter().copied().map(half).collect();
        rounded.push(None, &id(row), &vector).unwrap();
    }
    let report = compared(&numbered(Metric::Cosine, &vectors), &rounded.finish().unwrap());
    assert!(report.passes, "{:?}", report.lines());
    let [Finding::Rounded { records, largest }] = report.findings[..] else { panic!("{:?}", report.findings) };
    assert!(records > 2_900 && largest > 1e-5 && largest < 1e-3, "{records} {largest}");
    let order = report.order.unwrap();
    assert!(order.rbo > 0.98 && order.mean_score_delta.unwrap() > 0.0 && order.max_score_delta.unwrap() < 1e-2);
    assert!(report.lines().iter().any(|line| line.starts_with("cause: ") && line.contains("rounded in B")));
}

#[test]
fn ids_shifted_by_one_are_named() {
    let vectors = vectors();
    let shifted = set_of(Metric::L2, 32, (0..2_999).map(|row| (id(row), vectors[row + 1].as_slice())));
    let report = compared(&numbered(Metric::L2, &vectors), &shifted);
    assert!(!report.passes);
    let shift = |finding: &&Finding| matches!(finding, Finding::Shifted { records: 2_999, by: 1, .. });
    assert!(report.findings.iter().any(|finding| shift(&finding)), "{:?}", report.findings);
}

#[test]
fn a_lost_namespace_is_named() {
    let vectors = vectors();
    let namespace = |row: usize| ["big", "middle", "tiny"][if row < 20 { 2 } else { usize::from(row < 700) }];
    let fill = |lost: &str| {
        let mut set = VectorSetBuilder::new(32, Metric::Cosine, 3_000).unwrap();
        for (row, vector) in vectors.iter().enumerate().filter(|(row, _)| namespace(*row) != lost) {
            set.push(Some(namespace(row)), &id(row), vector).unwrap();
        }
        set.finish().unwrap()
    };
    let (a, b) = (fill("none"), fill("tiny"));
    let report = compared(&a, &b);
    let lost = Finding::LostNamespace { namespace: "tiny".to_owned(), records: 20 };
    assert_eq!(report.findings, [lost], "missing records are not told twice");
    assert!(!report.passes);
}

#[test]
fn a_graph_with_too_few_links_on_the_target_is_named() {
    let a = numbered(Metric::L2, &clustered(6_000, 64, 6, 31));
    let asked = RecallOptions {
        index_b: Some(IndexSpec::Hnsw { m: 4, ef_construction: 20, ef_search: Some(20) }),
        ..options()
    };
    let report = compare(&a, &a, &asked, &pool(2)).unwrap();
    assert_eq!(report.exact_overlap.value, 1.0);
    assert!(!report.passes && report.drop.unwrap() > report.noise_floor.unwrap());
    let [Finding::Graph { a: Some(of_a), b: Some(of_b) }] = report.findings[..] else {
        panic!("{:?}", report.findings)
    };
    assert_eq!((of_a.m, of_b.m), (16, 4));
}

#[test]
fn thresholds_decide_and_are_shown() {
    let vectors = clustered(4_000, 64, 4, 9);
    let a = numbered(Metric::L2, &vectors);
    let fewer = numbered(Metric::L2, &vectors[..3_980]);
    let with =
        |thresholds: Thresholds| compare(&a, &fewer, &RecallOptions { thresholds, ..options() }, &pool(2)).unwrap();
    let strict = Thresholds { min_overlap: 1.0, ..Thresholds::default() };
    let lax = Thresholds { min_overlap: 0.9, max_drop: Some(0.5), min_recall: Some(0.1) };
    assert!(!with(strict).passes && with(lax).passes);
    let report = with(Thresholds { min_recall: Some(1.0), max_drop: Some(0.5), min_overlap: 0.5 });
    assert!(report.b.recall.unwrap().value < 1.0 && !report.passes);
    assert!(report.failures[0].contains("is below 1"), "{:?}", report.failures);
    let asked = "asked for: exact overlap at least 0.5, recall of B at least 1, drop at most 0.5";
    assert!(report.lines().contains(&asked.to_owned()), "{:?}", report.lines());
    // A recall that cannot be measured does not pass where one is asked for.
    let unknown = IndexSpec::Other { name: "ivf".to_owned(), settings: serde_json::Value::Null };
    let thresholds = Thresholds { min_recall: Some(0.5), ..Thresholds::default() };
    let asked = RecallOptions { index_b: Some(unknown), thresholds, ..options() };
    assert!(!compare(&a, &a, &asked, &pool(2)).unwrap().passes);
}

#[test]
fn a_sweep_says_which_settings_keep_the_recall_of_the_source() {
    let a = numbered(Metric::L2, &clustered(4_000, 64, 4, 9));
    let grid = SweepGrid { m: vec![4, 16], ef_construction: vec![60], ef_search: vec![10, 200] };
    let asked = RecallOptions { queries: QueryChoice::Sample(200), ..options() };
    let report = sweep(&a, &a, &asked, &grid, ServedGraphs::default(), &pool(2)).unwrap();
    assert_eq!(report.tried.len(), 4);
    let keeps: Vec<bool> = report.tried.iter().map(|row| row.keeps).collect();
    assert!(!keeps[0], "m 4 at ef 10 finds less: {:?}", report.tried[0]);
    assert!(keeps[3], "m 16 at ef 200 finds as much: {:?}", report.tried[3]);
    let advice = report.advice.unwrap();
    let cheaper = |row: &&tranship_recall::sweep::SweepRow| {
        row.keeps && row.cost.unwrap().distances < advice.cost.unwrap().distances
    };
    assert_eq!(report.tried.iter().find(cheaper), None);
    assert!(report.tried[0].graph_bytes < report.tried[2].graph_bytes);
    assert!(report.lines()[0].ends_with("keeps the source's recall at the least work"), "{:?}", report.lines());
    // Nothing that is tried keeps it.
    let grid = SweepGrid { m: vec![2], ef_construction: vec![4], ef_search: vec![4] };
    let report = sweep(&a, &a, &asked, &grid, ServedGraphs::default(), &pool(2)).unwrap();
    assert!(!report.passes && report.advice.is_none());
    let none = SweepGrid { m: Vec::new(), ..SweepGrid::default() };
    assert!(sweep(&a, &a, &asked, &none, ServedGraphs::default(), &pool(2)).is_err());
}

#[test]
fn a_cut_off_is_carried_over_by_formula_and_by_data() {
    let vectors = vectors();
    let (a, l2) = (numbered(Metric::Cosine, &vectors), numbered(Metric::L2, &vectors));
    let pool = pool(2);
    let carried = |b: &VectorSet, forms, cutoff| translate(&a, b, forms, cutoff, (100, 3), &pool);
    let same = carried(&a, (ScoreForm::CosineDistance, ScoreForm::HalfCosine), 0.2).unwrap();
    assert!((same.by_formula.unwrap() - 0.9).abs() < 1e-9, "{same:?}");
    assert!((same.by_data.unwrap() - 0.9).abs() < 0.01 && same.agreement == 1.0 && same.kept > 1.0, "{same:?}");
    let other = carried(&l2, (ScoreForm::CosineDistance, ScoreForm::SquaredL2), 0.2).unwrap();
    assert_eq!(other.by_formula, None, "no formula leads from one metric to another");
    assert!(other.by_data.unwrap() > 0.0 && other.agreement < 1.0, "{other:?}");
    assert!(carried(&l2, (ScoreForm::CosineDistance, ScoreForm::Dot), 0.2).is_err());
    assert!(carried(&a, (ScoreForm::Cosine, ScoreForm::Cosine), 7.0).is_err());
}
