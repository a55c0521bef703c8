//! What happened to the records between two sets, told from all of them and not only from the queries.
//!
//! Every record of A is looked up in B by its key. Vectors that differ are sorted into kinds: only rounded, only of another
//! length, those of another record (found by a digest of their bits), or simply other ones. Where the digits at the end of
//! the ids of exchanged records all differ by the same number, the ids were shifted.
//!
//! Invariant: counts are exact over the sets that were handed over; ids are the first in order. Vectors are compared as the
//! sets hold them, at unit length if one side keeps only that. Memory: 24 bytes per record of A while it works.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use tranship_collection::Metric;
use tranship_kernels::{l2_squared, norm};

use crate::graph::HnswSettings;
use crate::report::grouped;
use crate::set::{VectorSet, push_prepared};

/// Ids named per finding.
const MAX_IDS: usize = 5;

/// Namespaces named.
const MAX_NAMESPACES: usize = 10;

/// Vectors nearer than this share of their length are equal but for the last bits of f32.
const EQUAL: f32 = 1e-5;

/// Rounding to bfloat16, the coarsest float, moves a vector by at most this share of its length.
const ROUNDED: f32 = 1.0 / 256.0;

/// Part of the exchanged records that must be shifted alike.
const SHIFTED_SHARE: f64 = 0.9;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Finding {
    /// The sides order by different metrics.
    Metric {
        /// That of A.
        a: Metric,
        /// That of B.
        b: Metric,
    },
    /// A compares directions; B compares dot products of vectors that are not of unit length.
    NotUnitLength {
        /// Such vectors of B.
        records: usize,
        /// Shortest length.
        shortest: f32,
        /// Longest length.
        longest: f32,
    },
    /// A namespace of A is empty in B.
    LostNamespace {
        /// Its name.
        namespace: String,
        /// Its records in A.
        records: usize,
    },
    /// Records of A that B lacks, those of lost namespaces apart.
    Missing {
        /// How many.
        records: usize,
        /// The first of them.
        ids: Vec<String>,
    },
    /// Records that only B has.
    Extra {
        /// How many.
        records: usize,
        /// The first of them.
        ids: Vec<String>,
    },
    /// Records of B hold the vector of the record whose number is so much higher.
    Shifted {
        /// How many.
        records: usize,
        /// Number of the record in A whose vector it is, minus its own.
        by: i64,
        /// The first of them.
        ids: Vec<String>,
    },
    /// Records of B that hold the vector of another record of A.
    Exchanged {
        /// How many.
        records: usize,
        /// The first of them.
        ids: Vec<String>,
    },
    /// Vectors that keep their direction and have another length.
    Rescaled {
        /// How many.
        records: usize,
        /// The first of them.
        ids: Vec<String>,
    },
    /// Vectors that differ by no more than rounding to 16 bits.
    Rounded {
        /// How many.
        records: usize,
        /// Largest difference as a share of the vector's length.
        largest: f32,
    },
    /// Vectors that are none of A's.
    Changed {
        /// How many.
        records: usize,
        /// The first of them.
        ids: Vec<String>,
    },
    /// The index of B finds less than that of A.
    Graph {
        /// Settings of A.
        #[serde(skip_serializing_if = "Option::is_none")]
        a: Option<HnswSettings>,
        /// Settings of B.
        #[serde(skip_serializing_if = "Option::is_none")]
        b: Option<HnswSettings>,
    },
}

impl Finding {
    /// The finding as a clause for people.
    pub(crate) fn text(&self) -> String {
        let named = |records: &usize, what: &str, ids: &[String]| {
            let more = if *records > ids.len() { ", .." } else { "" };
            format!("{} {what} ({}{more})", grouped(*records), ids.join(", "))
        };
        match self {
            Finding::Metric { a, b } => format!("A orders by {}, B by {}", a.name(), b.name()),
            Finding::NotUnitLength { records, shortest, longest } => format!(
                "B orders by dot product, which is cosine for unit vectors only, but {} have lengths from {shortest:.3} \
                 to {longest:.3}: normalise them",
                grouped(*records)
            ),
            Finding::LostNamespace { namespace, records } => {
                format!("namespace `{namespace}` with {} records is empty in B", grouped(*records))
            }
            Finding::Missing { records, ids } => named(records, "records of A are not in B", ids),
            Finding::Extra { records, ids } => named(records, "records are only in B", ids),
            Finding::Shifted { records, by, ids } => {
                named(records, &format!("records of B hold the vector of A's id {by:+}: ids were shifted"), ids)
            }
            Finding::Exchanged { records, ids } => {
                named(records, "records of B hold the vector of another record of A", ids)
            }
            Finding::Rescaled { records, ids } => {
                named(records, "vectors have another length and the same direction in B", ids)
            }
            Finding::Rounded { records, largest } => {
                format!("{} vectors are rounded in B, by at most {largest:.1e} of their length", grouped(*records))
            }
            Finding::Changed { records, ids } => named(records, "vectors are other ones in B", ids),
            Finding::Graph { a: Some(a), b: Some(b) } => {
                format!("the graph of B (HNSW {b}) finds less than that of A (HNSW {a})")
            }
            Finding::Graph { .. } => "the index of B finds less than that of A".to_owned(),
        }
    }
}

/// What happened between two sets that are not equal.
pub(crate) fn between(a: &VectorSet, b: &VectorSet) -> Vec<Finding> {
    let mut findings = Vec::new();
    if a.metric() != b.metric() {
        findings.extend(unit_lengths(a, b).or(Some(Finding::Metric { a: a.metric(), b: b.metric() })));
    }
    let mut kinds = Kinds::default();
    let lost = lost_namespaces(a, b);
    findings.extend(lost.iter().take(MAX_NAMESPACES).map(|(namespace, records)| Finding::LostNamespace {
        namespace: namespace.map_or("the default one".to_owned(), str::to_owned),
        records: *records,
    }));
    for rank in 0..a.len() {
        let row = a.keys().row_at_rank(rank);
        match b.find(a, row) {
            Some(there) => kinds.compare(a, b, row, there),
            None if lost.contains_key(&a.keys().namespace(row)) => {}
            None => kinds.missing.add(a, row),
        }
    }
    (0..b.len()).map(|rank| b.keys().row_at_rank(rank)).filter(|&row| a.find(b, row).is_none()).for_each(|row| {
        kinds.extra.add(b, row);
    });
    kinds.trace(a, b);
    kinds.conclude(&mut findings);
    findings
}

/// Cosine on one side and dot product on the other agree for unit vectors; the lengths if they are not.
fn unit_lengths(a: &VectorSet, b: &VectorSet) -> Option<Finding> {
    if (a.metric(), b.metric()) != (Metric::Cosine, Metric::Dot) {
        return None;
    }
    let lengths = (0..b.len()).map(|row| norm(b.vector(row))).filter(|length| (length - 1.0).abs() > 1e-3);
    let start = (0, f32::INFINITY, 0.0_f32);
    let (records, shortest, longest) =
        lengths.fold(start, |(count, low, high), length| (count + 1, low.min(length), high.max(length)));
    (records > 0).then_some(Finding::NotUnitLength { records, shortest, longest })
}

/// Namespaces of A without a record in B, with their records.
fn lost_namespaces<'a>(a: &'a VectorSet, b: &'a VectorSet) -> BTreeMap<Option<&'a str>, usize> {
    let mut counts = BTreeMap::new();
    for row in 0..a.len() {
        *counts.entry(a.keys().namespace(row)).or_insert(0) += 1;
    }
    if counts.len() < 2 {
        return BTreeMap::new();
    }
    for row in 0..b.len() {
        counts.remove(&b.keys().namespace(row));
    }
    counts
}

/// A count with the first ids.
#[derive(Default)]
struct Counted {
    records: usize,
    ids: Vec<String>,
}

impl Counted {
    fn add(&mut self, set: &VectorSet, row: usize) {
        self.records += 1;
        if self.ids.len() < MAX_IDS {
            self.ids.push(set.keys().label(row));
        }
    }

    fn found(self, finding: impl Fn(usize, Vec<String>) -> Finding) -> Option<Finding> {
        (self.records > 0).then(|| finding(self.records, self.ids))
    }
}

#[derive(Default)]
struct Kinds {
    missing: Counted,
    extra: Counted,
    rescaled: Counted,
    exchanged: Counted,
    changed: Counted,
    rounded: usize,
    largest: f32,
    /// Rows of A and B with other vectors, not yet traced.
    other: Vec<(usize, usize)>,
    /// Differences of numbers by how often they occur.
    shifts: HashMap<i64, usize>,
}

impl Kinds {
    fn compare(&mut self, a: &VectorSet, b: &VectorSet, row_a: usize, row_b: usize) {
        let (here, there) = alike(a, row_a, b, row_b);
        let length = norm(&here);
        let apart = l2_squared(&here, &there).sqrt();
        if apart <= EQUAL * length || here == there {
            return;
        }
        if apart <= ROUNDED * length {
            self.rounded += 1;
            self.largest = self.largest.max(apart / length);
            return;
        }
        self.other.push((row_a, row_b));
    }

    /// Sorts what is neither equal nor rounded by whose vector it is.
    fn trace(&mut self, a: &VectorSet, b: &VectorSet) {
        if self.other.is_empty() {
            return;
        }
        let owners: HashMap<u64, usize> = (0..a.len()).rev().map(|row| (digest(&directed(a, row)), row)).collect();
        for (row_a, row_b) in std::mem::take(&mut self.other) {
            let vector = directed(b, row_b);
            let owner = owners.get(&digest(&vector)).copied().filter(|&owner| near(&directed(a, owner), &vector));
            match owner {
                _ if near(&directed(a, row_a), &vector) => self.rescaled.add(a, row_a),
                Some(owner) => {
                    self.exchanged.add(a, row_a);
                    if let Some(shift) = shift(a.id(row_a), a.id(owner)) {
                        *self.shifts.entry(shift).or_insert(0) += 1;
                    }
                }
                None => self.changed.add(a, row_a),
            }
        }
    }

    fn conclude(self, findings: &mut Vec<Finding>) {
        findings.extend(self.missing.found(|records, ids| Finding::Missing { records, ids }));
        findings.extend(self.extra.found(|records, ids| Finding::Extra { records, ids }));
        let exchanged = self.exchanged.records as f64;
        let shifted = self.shifts.into_iter().max_by_key(|(by, count)| (*count, -by.abs()));
        let shifted = shifted.filter(|(_, count)| *count > 2 && *count as f64 >= SHIFTED_SHARE * exchanged);
        findings.extend(self.exchanged.found(|records, ids| match shifted {
            Some((by, _)) => Finding::Shifted { records, by, ids },
            None => Finding::Exchanged { records, ids },
        }));
        findings.extend(self.rescaled.found(|records, ids| Finding::Rescaled { records, ids }));
        if self.rounded > 0 {
            findings.push(Finding::Rounded { records: self.rounded, largest: self.largest });
        }
        findings.extend(self.changed.found(|records, ids| Finding::Changed { records, ids }));
    }
}

/// Two vectors, at unit length if one side keeps only that.
fn alike(a: &VectorSet, row_a: usize, b: &VectorSet, row_b: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut here, mut there) = (Vec::new(), Vec::new());
    push_prepared(&mut here, a.vector(row_a), b.metric());
    push_prepared(&mut there, b.vector(row_b), a.metric());
    (here, there)
}

/// The vector at unit length: what a vector shares with a rescaled one.
fn directed(set: &VectorSet, row: usize) -> Vec<f32> {
    let mut unit = Vec::new();
    push_prepared(&mut unit, set.vector(row), Metric::Cosine);
    unit
}

fn near(a: &[f32], b: &[f32]) -> bool {
    l2_squared(a, b).sqrt() <= EQUAL
}

/// FNV-1a over the elements in steps of 2^-12, so that the last bits do not matter; owners are compared once more.
fn digest(unit: &[f32]) -> u64 {
    unit.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &value| {
        let step = (f64::from(value) * 4096.0).floor() as i64;
        (hash ^ step as u64).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// By how much the number at the end of `owner` is above that of `id`, if all before it is equal.
fn shift(id: &str, owner: &str) -> Option<i64> {
    let ((head, own), (other_head, other)) = (numbered(id)?, numbered(owner)?);
    (head == other_head).then(|| other.checked_sub(own)).flatten()
}

fn numbered(id: &str) -> Option<(&str, i64)> {
    let head = id.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((head, id[head.len()..].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shifted_by_the_number_at_their_end() {
        assert_eq!(shift("r00009", "r00010"), Some(1));
        assert_eq!(shift("7", "5"), Some(-2));
        assert_eq!(shift("a7", "b8"), None);
        assert_eq!(shift("a", "b"), None);
    }
}
