//! The questions that both sets are asked.
//!
//! Invariant: all queries are finite and have the dimension of the set they were made for. A query that is a record
//! of set A is excluded from the answers by its key, on both sides, and is asked as A holds it (at unit length under
//! cosine). Sampling goes by the order of ids, never by the order of rows.

use tranship_connector::{Error, Result};

use crate::random::sample;
use crate::set::{VectorSet, check_vector, push_prepared};

/// Queries as one set wants them: row-major vectors and, for each, the row that must not answer.
#[derive(Debug, Clone)]
pub struct QuerySet {
    values: Vec<f32>,
    dim: usize,
    excluded: Vec<Option<usize>>,
}

impl QuerySet {
    /// Queries from the rows of `set`, each excluding itself.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn from_rows(set: &VectorSet, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|&row| set.vector(row)).copied().collect();
        QuerySet { values, dim: set.dim(), excluded: rows.iter().map(|&row| Some(row)).collect() }
    }

    /// Queries given from outside, row-major, excluding nothing.
    ///
    /// # Errors
    /// A length that is no multiple of the dimension, or a vector that the set itself would refuse.
    pub fn from_vectors(set: &VectorSet, vectors: &[f32]) -> Result<Self> {
        if !vectors.len().is_multiple_of(set.dim()) {
            let message = format!("query vectors do not have the {} elements of the collection", set.dim());
            return Err(Error::usage(message));
        }
        let mut values = Vec::with_capacity(vectors.len());
        for (number, vector) in vectors.chunks_exact(set.dim()).enumerate() {
            check_vector(vector, set.dim(), set.metric())
                .map_err(|message| Error::usage(message).with("query", number + 1))?;
            push_prepared(&mut values, vector, set.metric());
        }
        Ok(QuerySet { excluded: vec![None; values.len() / set.dim()], values, dim: set.dim() })
    }

    /// `count` rows of `set`, chosen by `seed` from its ids: from each namespace its share, and at least one where there
    /// are as many queries as namespaces.
    pub fn sampled_rows(set: &VectorSet, count: usize, seed: u64) -> Vec<usize> {
        let mut strata = vec![Vec::new(); set.keys().namespaces().len() + 1];
        for rank in 0..set.len() {
            let row = set.keys().row_at_rank(rank);
            strata[set.keys().namespace_number(row)].push(row);
        }
        strata.retain(|rows| !rows.is_empty());
        // Numbers of namespaces come from the order of rows, which must not decide.
        strata.sort_by_key(|rows| rows.first().and_then(|&row| set.keys().namespace(row).map(str::to_owned)));
        let quotas = shares(&strata.iter().map(Vec::len).collect::<Vec<_>>(), count);
        let chosen = strata.iter().zip(quotas).zip(0..).flat_map(|((rows, quota), stratum)| {
            sample(rows.len(), quota, seed.wrapping_add(stratum)).into_iter().map(|place| rows[place])
        });
        let chosen: Vec<usize> = chosen.collect();
        if strata.len() == 1 {
            return chosen;
        }
        // A time budget cuts the end off: no namespace may lie there.
        sample(chosen.len(), chosen.len(), seed).into_iter().map(|place| chosen[place]).collect()
    }

    /// The same questions with other rows excluded.
    pub(crate) fn excluding(&self, excluded: Vec<Option<usize>>) -> QuerySet {
        QuerySet { values: self.values.clone(), dim: self.dim, excluded }
    }

    /// The same questions for `other`; the excluded rows are found there by their keys.
    pub(crate) fn carried_to(&self, own: &VectorSet, other: &VectorSet) -> QuerySet {
        let mut values = Vec::with_capacity(self.values.len());
        for vector in self.values.chunks_exact(self.dim) {
            push_prepared(&mut values, vector, other.metric());
        }
        let excluded = self.excluded.iter().map(|row| row.and_then(|row| other.find(own, row))).collect();
        QuerySet { values, dim: self.dim, excluded }
    }

    /// The queries of a range.
    pub(crate) fn part(&self, range: std::ops::Range<usize>) -> QuerySet {
        QuerySet {
            values: self.values[range.start * self.dim..range.end * self.dim].to_vec(),
            dim: self.dim,
            excluded: self.excluded[range].to_vec(),
        }
    }

    /// Number of queries.
    pub fn len(&self) -> usize {
        self.excluded.len()
    }

    /// Whether there is no query.
    pub fn is_empty(&self) -> bool {
        self.excluded.is_empty()
    }

    /// Elements per query.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The vector of a query.
    ///
    /// # Panics
    /// If there is no such query.
    pub fn vector(&self, query: usize) -> &[f32] {
        &self.values[query * self.dim..][..self.dim]
    }

    /// All vectors, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The row that must not answer a query.
    ///
    /// # Panics
    /// If there is no such query.
    pub fn excluded(&self, query: usize) -> Option<usize> {
        self.excluded[query]
    }
}

/// `count` places by the sizes of strata: one each where there are enough, the rest by size, the largest remainders first.
fn shares(sizes: &[usize], count: usize) -> Vec<usize> {
    let total: usize = sizes.iter().sum();
    let count = count.min(total);
    let least = usize::from(count >= sizes.len());
    let (rest, pool) = (count - least * sizes.len(), total - least * sizes.len());
    let exact = |size: usize| (size - least) as u128 * rest as u128;
    let mut quotas: Vec<usize> =
        sizes.iter().map(|&size| least + (exact(size) / pool.max(1) as u128) as usize).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(exact(sizes[at]) % pool.max(1) as u128), at));
    let left = count - quotas.iter().sum::<usize>();
    order.into_iter().take(left).for_each(|at| quotas[at] += 1);
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::VectorSetBuilder;
    use tranship_collection::Metric;

    #[test]
    fn a_sample_asks_every_namespace_whatever_the_order_of_rows() {
        let namespace = |row: usize| ["big", "middle", "tiny"][if row < 20 { 2 } else { usize::from(row < 300) }];
        let sampled = |rows: &mut dyn Iterator<Item = usize>| {
            let mut set = VectorSetBuilder::new(1, Metric::L2, 1_000).unwrap();
            rows.for_each(|row| set.push(Some(namespace(row)), &row.to_string(), &[row as f32]).unwrap());
            let set = set.finish().unwrap();
            let chosen = QuerySet::sampled_rows(&set, 50, 9);
            chosen.into_iter().map(|row| set.keys().label(row)).collect::<Vec<_>>()
        };
        let labels = sampled(&mut (0..1_000));
        assert_eq!(labels, sampled(&mut (0..1_000).rev()));
        let of = |name: &str| labels.iter().filter(|label| label.starts_with(name)).count();
        assert_eq!((of("big/"), of("middle/"), of("tiny/")), (34, 14, 2));
    }

    #[test]
    fn every_stratum_has_its_share_and_none_more_than_it_holds() {
        assert_eq!(shares(&[900, 90, 10], 100), [88, 10, 2]);
        assert_eq!(shares(&[1_000_000, 1, 1], 10), [8, 1, 1]);
        assert_eq!(shares(&[5, 5], 100), [5, 5]);
        assert_eq!(shares(&[3, 3, 3], 2), [1, 1, 0]);
        assert_eq!(shares(&[7], 3), [3]);
        assert_eq!(shares(&[], 3), [0; 0]);
    }
}
