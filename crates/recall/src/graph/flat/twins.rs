//! Rows with equal vectors: one of them is a node, and the others answer with it.
//!
//! Duplicates in a graph of their own right fill each other's lists and become islands that no search reaches. Here they never
//! lower the recall, whatever their number; an engine that makes them nodes may do worse.
//!
//! Invariant: every row is a node or the twin of exactly one. 0 and -0 are equal.

use std::collections::HashMap;

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::set::VectorSet;

/// The twins of nodes, by node.
#[derive(Default)]
pub(super) struct Twins(HashMap<u32, Vec<u32>>);

impl Twins {
    /// Takes from `rows` those whose vector occurred before.
    pub(super) fn take_from(rows: &mut Vec<u32>, set: &VectorSet, pool: &ThreadPool) -> Self {
        let vector = |row: u32| set.vector(row as usize);
        let hashes: Vec<u64> = pool.install(|| rows.par_iter().map(|&row| hash(vector(row))).collect());
        let mut seen: HashMap<u64, Vec<u32>> = HashMap::with_capacity(rows.len());
        let mut twins: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut hashes = hashes.into_iter();
        rows.retain(|&row| {
            let nodes = seen.entry(hashes.next().unwrap_or_default()).or_default();
            match nodes.iter().find(|&&node| vector(node) == vector(row)) {
                Some(&node) => twins.entry(node).or_default().push(row),
                None => nodes.push(row),
            }
            nodes.last() == Some(&row)
        });
        Twins(twins)
    }

    /// A node and its twins, in the order of insertion.
    pub(super) fn rows(&self, node: u32) -> impl Iterator<Item = u32> {
        std::iter::once(node).chain(self.0.get(&node).into_iter().flatten().copied())
    }
}

/// Equal for equal vectors; nothing is stored by it.
fn hash(vector: &[f32]) -> u64 {
    // Adding zero makes one of the two zeros.
    let bits = |value: &f32| u64::from((value + 0.0).to_bits());
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let (pairs, rest) = vector.as_chunks::<2>();
    let hash = pairs.iter().fold(0, |hash, [a, b]| mix(hash, bits(a) << 32 | bits(b)));
    rest.iter().fold(hash, |hash, value| mix(hash, bits(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::VectorSetBuilder;
    use tranship_collection::Metric;

    #[test]
    fn every_row_is_a_node_or_a_twin() {
        let mut builder = VectorSetBuilder::new(3, Metric::L2, 6).unwrap();
        for (id, x) in [0.0_f32, 1.0, -0.0, 2.0, 1.0, 0.0].into_iter().enumerate() {
            builder.push(None, &id.to_string(), &[x, 5.0, x]).unwrap();
        }
        let set = builder.finish().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let mut rows = vec![2, 0, 1, 3, 4, 5];
        let twins = Twins::take_from(&mut rows, &set, &pool);
        assert_eq!(rows, [2, 1, 3]);
        let all: Vec<Vec<u32>> = rows.iter().map(|&node| twins.rows(node).collect()).collect();
        assert_eq!(all, [vec![2, 0, 5], vec![1, 4], vec![3]]);
    }
}
