//! Exact search against the plainest possible search.

mod common;

use common::{METRICS, Random, clustered, id, numbered, pool, set_of};
use proptest::prelude::*;
use tranship_collection::Metric;
use tranship_recall::{Method, QuerySet, VectorSet, VectorSetBuilder, exact_neighbours, exact_neighbours_by};

const METHODS: [Method; 3] = [Method::Plain, Method::Floats, Method::Codes];

/// Distances as the documentation defines them, in f64.
fn plain_distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let terms = a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
    match metric {
        Metric::L2 => terms.map(|(x, y)| (x - y) * (x - y)).sum(),
        Metric::L1 => terms.map(|(x, y)| (x - y).abs()).sum(),
        // Adding zero makes one of the two zeros.
        _ => 0.0 - terms.map(|(x, y)| x * y).sum::<f64>(),
    }
}

fn plain_search(set: &VectorSet, query: &[f32], excluded: Option<usize>, k: usize) -> Vec<(usize, f64)> {
    let mut all: Vec<(usize, f64)> = (0..set.len())
        .filter(|&row| excluded != Some(row))
        .map(|row| (row, plain_distance(set.metric(), query, set.vector(row))))
        .collect();
    all.sort_by(|x, y| x.1.total_cmp(&y.1).then_with(|| set.id(x.0).cmp(set.id(y.0))));
    all.truncate(k);
    all
}

/// The rows that exact search finds, by query.
fn rows(set: &VectorSet, queries: &QuerySet, k: usize, threads: usize) -> Vec<Vec<usize>> {
    let found = exact_neighbours(set, queries, k, &pool(threads));
    found.iter().map(|nearest| nearest.neighbours().iter().map(|neighbour| neighbour.row).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Small integers make every sum exact, so that equal distances are equal in any arithmetic and ties abound.
    #[test]
    fn finds_what_brute_force_finds_with_ties_by_id(
        dim in 1_usize..40,
        values in prop::collection::vec(-3_i8..=3, 1..600),
        k in 1_usize..30,
        metric in 1_usize..4,
        seed in any::<u64>(),
    ) {
        let count = values.len().div_ceil(dim);
        let vectors: Vec<Vec<f32>> =
            (0..count).map(|row| (0..dim).map(|i| f32::from(values[(row * dim + i) % values.len()])).collect()).collect();
        let mut random = Random(seed | 1);
        let ids: Vec<String> = (0..count).map(|row| format!("{}-{row}", random.number() % 10)).collect();
        let set = set_of(METRICS[metric], dim, ids.into_iter().zip(vectors.iter().map(Vec::as_slice)));
        let asked: Vec<usize> = (0..count).collect();
        let queries = QuerySet::from_rows(&set, &asked);
        for method in METHODS {
            let found = exact_neighbours_by(method, &set, &queries, k, &pool(2));
            prop_assert_eq!(found.len(), count);
            for (query, nearest) in found.iter().enumerate() {
                let answers: Vec<usize> = nearest.neighbours().iter().map(|neighbour| neighbour.row).collect();
                let plain = plain_search(&set, queries.vector(query), Some(query), k);
                let plain: Vec<usize> = plain.iter().map(|answer| answer.0).collect();
                prop_assert_eq!(answers, plain, "{:?}", method);
            }
        }
    }
}

#[test]
fn random_floats_have_the_distances_of_brute_force_under_every_metric() {
    for metric in METRICS {
        let set = numbered(metric, &clustered(3_000, 48, 20, 1));
        let queries = QuerySet::from_rows(&set, &[0, 17, 2_999]);
        let found = exact_neighbours(&set, &queries, 10, &pool(2));
        for (query, nearest) in found.iter().enumerate() {
            let plain = plain_search(&set, queries.vector(query), queries.excluded(query), 10);
            assert_eq!(nearest.neighbours().len(), 10);
            for (neighbour, (_, distance)) in nearest.neighbours().iter().zip(plain) {
                assert!((f64::from(neighbour.distance) - distance).abs() < 1e-4 * (1.0 + distance.abs()), "{metric:?}");
            }
        }
    }
}

/// Vectors that make bounds hard: clusters, an offset far from zero, lengths over many magnitudes, many duplicates, zeros.
fn hard_sets() -> Vec<Vec<Vec<f32>>> {
    let plain = clustered(1_500, 33, 9, 2);
    let far = plain.iter().map(|vector| vector.iter().map(|value| value + 100.0).collect()).collect();
    let lengths = plain.iter().enumerate().map(|(row, vector)| {
        let length = 10_f32.powi((row * 7 % 25) as i32 - 12);
        vector.iter().map(|value| value * length).collect()
    });
    let lengths = lengths.collect();
    let doubles = (0..1_500).map(|row| plain[row % 40].clone()).collect();
    let zeros = (0..1_500).map(|row| if row % 3 == 0 { plain[row].clone() } else { vec![0.0; 33] }).collect();
    vec![plain, far, lengths, doubles, zeros]
}

#[test]
fn every_method_and_number_of_threads_gives_the_same_bits() {
    for (kind, vectors) in hard_sets().iter().enumerate() {
        for metric in METRICS {
            let set = numbered(metric, vectors);
            let queries = QuerySet::from_rows(&set, &(0..120).collect::<Vec<_>>());
            let one = exact_neighbours_by(Method::Plain, &set, &queries, 7, &pool(1));
            for (method, threads) in [(Method::Plain, 2), (Method::Floats, 1), (Method::Floats, 7), (Method::Codes, 2)]
            {
                let other = exact_neighbours_by(method, &set, &queries, 7, &pool(threads));
                assert!(one == other, "set {kind} {metric:?} {method:?} {threads} threads");
            }
            assert_eq!(one, exact_neighbours(&set, &queries, 7, &pool(3)), "set {kind} {metric:?}");
        }
    }
}

#[test]
fn the_order_of_rows_changes_nothing() {
    let vectors = clustered(700, 8, 3, 3);
    let forward = numbered(Metric::Cosine, &vectors);
    let backward = set_of(Metric::Cosine, 8, (0..700).rev().map(|row| (id(row), vectors[row].as_slice())));
    let ids = |set: &VectorSet, row: usize| {
        let found = rows(set, &QuerySet::from_rows(set, &[row]), 20, 2);
        found[0].iter().map(|&row| set.id(row).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&forward, 5), ids(&backward, 694));
}

#[test]
fn a_query_never_finds_itself_but_its_duplicates() {
    let vector = vec![1.0, 2.0, 3.0];
    let set = numbered(Metric::L2, &vec![vector; 6]);
    let found = rows(&set, &QuerySet::from_rows(&set, &[2]), 3, 1);
    assert_eq!(found, [[0, 1, 3]]);
}

#[test]
fn more_neighbours_than_rows_gives_all_other_rows() {
    let set = numbered(Metric::Dot, &[vec![1.0], vec![-1.0], vec![3.0]]);
    let queries = QuerySet::from_rows(&set, &[0]);
    assert_eq!(rows(&set, &queries, 50, 2), [[2, 1]]);
    let given = QuerySet::from_vectors(&set, &[-2.0]).unwrap();
    assert_eq!(rows(&set, &given, 50, 2), [[1, 0, 2]]);
}

#[test]
fn zero_vectors_have_similarity_zero_under_cosine() {
    let set = numbered(Metric::Cosine, &[vec![0.0, 0.0], vec![1.0, 0.0], vec![-1.0, 0.0], vec![2.0, 0.1]]);
    assert_eq!(rows(&set, &QuerySet::from_rows(&set, &[1]), 3, 1), [[3, 0, 2]]);
    let found = exact_neighbours(&set, &QuerySet::from_rows(&set, &[0]), 3, &pool(1));
    assert!(found[0].neighbours().iter().all(|neighbour| neighbour.distance == 0.0));
}

#[test]
fn lengths_at_both_ends_of_f32_do_not_disturb_cosine() {
    let set = numbered(Metric::Cosine, &[vec![3e38, 3e38], vec![1e-44, 1e-44], vec![1.0, -1.0]]);
    assert_eq!(rows(&set, &QuerySet::from_rows(&set, &[0]), 1, 1), [[1]]);
}

#[test]
fn what_cannot_be_searched_is_refused_with_its_id() {
    let mut builder = VectorSetBuilder::new(2, Metric::Dot, 4).unwrap();
    for vector in [&[f32::NAN, 0.0][..], &[1.0], &[f32::INFINITY, 0.0], &[1e30, 0.0]] {
        let error = builder.push(Some("tenant"), "row-7", vector).unwrap_err().to_string();
        assert!(error.contains("row-7"), "{error}");
    }
    assert!(VectorSetBuilder::new(0, Metric::Dot, 0).is_err());
    assert!(VectorSetBuilder::new(2, Metric::Hamming, 0).is_err());
    builder.push(Some("x"), "twice", &[1.0, 0.0]).unwrap();
    builder.push(None, "twice", &[1.0, 0.0]).unwrap();
    builder.push(Some("x"), "twice", &[1.0, 0.0]).unwrap();
    assert!(builder.finish().unwrap_err().to_string().contains("x/twice"));
}
