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

    /// `count` rows of `set`, chosen by `seed` from its ids.
    pub(crate) fn sampled_rows(set: &VectorSet, count: usize, seed: u64) -> Vec<usize> {
        sample(set.len(), count, seed).into_iter().map(|rank| set.keys().row_at_rank(rank)).collect()
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
