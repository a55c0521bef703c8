//! Exact search against faiss-cpu, on random vectors and on real ones.

mod common;

use std::ffi::OsStr;
use std::path::Path;

use common::{clustered, numbered, pool, word_vectors};
use serde_json::Value;
use tranship_collection::Metric;
use tranship_recall::{Method, QuerySet, exact_neighbours_by};

const K: usize = 10;

#[allow(clippy::disallowed_methods, reason = "a scratch file of a test")]
fn write(path: &Path, vectors: &[Vec<f32>]) {
    let bytes: Vec<u8> = vectors.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(path, bytes).unwrap();
}

/// Asks faiss for the neighbours of the first 200 vectors among all, and compares every method with its answers.
fn agrees_with_faiss(vectors: &[Vec<f32>]) {
    let folder = tempfile::tempdir().unwrap();
    let dim = vectors[0].len();
    write(&folder.path().join("base.f32"), vectors);
    write(&folder.path().join("queries.f32"), &vectors[..200]);
    let arguments =
        [folder.path().as_os_str(), OsStr::new(&dim.to_string()), OsStr::new(&K.to_string())].map(OsStr::to_owned);
    let arguments: Vec<&OsStr> = arguments.iter().map(|argument| argument.as_os_str()).collect();
    let answers: Value =
        serde_json::from_str(&tranship_testkit::engines::run("faiss", "knn_faiss.py", &arguments)).unwrap();
    for (name, metric) in [("dot", Metric::Dot), ("l2", Metric::L2), ("l1", Metric::L1)] {
        let set = numbered(metric, vectors);
        let queries = QuerySet::from_vectors(&set, &vectors[..200].concat()).unwrap();
        for method in [Method::Plain, Method::Floats, Method::Codes] {
            let found = exact_neighbours_by(method, &set, &queries, K, &pool(2));
            for (query, nearest) in found.iter().enumerate() {
                let rows = answers[name]["rows"][query].as_array().unwrap();
                let distances = answers[name]["distances"][query].as_array().unwrap();
                let sign = if metric == Metric::Dot { -1.0 } else { 1.0 };
                let theirs: Vec<f64> = distances.iter().map(|distance| sign * distance.as_f64().unwrap()).collect();
                let size = 1.0 + theirs.iter().fold(0.0_f64, |size, distance| size.max(distance.abs()));
                assert_eq!(nearest.neighbours().len(), K);
                for (neighbour, distance) in nearest.neighbours().iter().zip(&theirs) {
                    let gap = (f64::from(neighbour.distance) - distance).abs();
                    assert!(gap <= 2e-5 * size, "{name} {method:?} query {query}: {neighbour:?} {distance}");
                    // Another row in its place only where both are as far, up to rounding.
                    let known = rows.iter().any(|row| row.as_u64() == Some(neighbour.row as u64));
                    let tied = (f64::from(neighbour.distance) - theirs[K - 1]).abs() <= 2e-5 * size;
                    assert!(known || tied, "{name} {method:?} query {query}: {neighbour:?} is not among {rows:?}");
                }
            }
        }
    }
}

#[test]
fn random_vectors_have_the_neighbours_that_faiss_finds() {
    agrees_with_faiss(&clustered(4_000, 96, 60, 21));
}

#[test]
fn word_vectors_have_the_neighbours_that_faiss_finds() {
    agrees_with_faiss(&word_vectors());
}
