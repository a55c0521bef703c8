//! One side of a comparison in memory: keys and dense `f32` vectors under one metric.
//!
//! Invariant: `values` is row-major, rows x dim, all finite, and no vector is so long that a distance leaves `f32`
//! (norm below 10^18). Under the cosine metric the set keeps its own copy at unit length; a zero vector stays zero and
//! has similarity 0 with everything. Records without a vector are not in the set: the caller counts them.
//!
//! Errors: dimension 0, a vector of another length, a value that is not finite, an id that occurs twice, a metric that
//! has no exact search here.

use tranship_collection::{Element, Metric};
use tranship_connector::{Error, ErrorKind, Result};
use tranship_kernels as kernels;

use crate::keys::{Keys, KeysBuilder};

/// Squared norms stay below this, so that no distance of two vectors overflows.
const MAX_SQUARED_NORM: f64 = 1e36;

/// The distance that search orders by, smaller is nearer: the negated dot product for dot and (of unit vectors)
/// cosine, the squared distance for L2, the sum of absolute differences for L1.
///
/// # Panics
/// If the lengths differ.
pub fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    match metric {
        Metric::L2 => kernels::l2_squared(a, b),
        Metric::L1 => kernels::l1(a, b),
        _ => -kernels::dot(a, b),
    }
}

/// Vectors with their keys.
#[derive(Debug)]
pub struct VectorSet {
    keys: Keys,
    dim: usize,
    metric: Metric,
    element: Element,
    values: Vec<f32>,
}

/// Fills a [`VectorSet`] row by row.
#[derive(Debug)]
pub struct VectorSetBuilder {
    keys: KeysBuilder,
    dim: usize,
    metric: Metric,
    element: Element,
    values: Vec<f32>,
}

impl VectorSetBuilder {
    /// An empty set with room for `rows` vectors of `dim` elements.
    ///
    /// # Errors
    /// Dimension 0, or a metric for which [`VectorSet::supports`] is false.
    pub fn new(dim: usize, metric: Metric, rows: usize) -> Result<Self> {
        if dim == 0 {
            return Err(Error::usage("vectors without elements cannot be searched"));
        }
        if !VectorSet::supports(metric) {
            let message = format!("recall is not computed for the {} metric", metric.name());
            return Err(Error::new(ErrorKind::NotRecognised, message).hint("compare with `tranship verify` instead"));
        }
        let room = rows.checked_mul(dim).ok_or_else(|| Error::limit("rows x dimension leaves the address space"))?;
        let values = Vec::with_capacity(room);
        Ok(VectorSetBuilder { keys: KeysBuilder::with_capacity(rows), dim, metric, element: Element::F32, values })
    }

    /// States the element type that the values were stored in; `f32` unless told. Where two sets differ in it, the
    /// rounding of the coarser one counts as a tie.
    pub fn element(mut self, element: Element) -> Self {
        self.element = element;
        self
    }

    /// Adds a record.
    ///
    /// # Errors
    /// Another number of elements than `dim`, a value that is not finite, a vector longer than 10^18 (except cosine).
    pub fn push(&mut self, namespace: Option<&str>, id: &str, vector: &[f32]) -> Result<()> {
        let refused = check_vector(vector, self.dim, self.metric).err();
        if let Some(message) = refused {
            return Err(Error::damaged(message).with("id", id));
        }
        self.keys.push(namespace, id);
        push_prepared(&mut self.values, vector, self.metric);
        Ok(())
    }

    /// The set.
    ///
    /// # Errors
    /// A (namespace, id) that occurs twice.
    pub fn finish(self) -> Result<VectorSet> {
        let keys = self.keys.finish()?;
        Ok(VectorSet { keys, dim: self.dim, metric: self.metric, element: self.element, values: self.values })
    }
}

impl VectorSet {
    /// Whether vectors under `metric` can be searched here.
    pub fn supports(metric: Metric) -> bool {
        matches!(metric, Metric::Cosine | Metric::Dot | Metric::L2 | Metric::L1)
    }

    /// Bytes that a set of `rows` vectors takes, with `id_bytes` for all ids together.
    pub fn bytes_for(rows: usize, dim: usize, id_bytes: usize) -> usize {
        rows.saturating_mul(dim).saturating_mul(4).saturating_add(rows.saturating_mul(20)).saturating_add(id_bytes)
    }

    /// Bytes that this set takes.
    pub fn bytes(&self) -> usize {
        self.values.capacity() * 4 + self.keys.bytes()
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no vector.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements per vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The metric that orders answers.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The element type that the values were stored in.
    pub fn stored_element(&self) -> Element {
        self.element
    }

    /// The id of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn id(&self, row: usize) -> &str {
        self.keys.id(row)
    }

    /// The namespace of a row, none for the default one.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn namespace(&self, row: usize) -> Option<&str> {
        self.keys.namespace(row)
    }

    /// The vector of a row, at unit length under the cosine metric.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn vector(&self, row: usize) -> &[f32] {
        &self.values[row * self.dim..][..self.dim]
    }

    /// All vectors, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The row here that has the key of `other`'s row.
    pub(crate) fn find(&self, other: &VectorSet, row: usize) -> Option<usize> {
        self.keys.find(&other.keys, row)
    }

    /// The row of a record.
    pub fn find_named(&self, namespace: Option<&str>, id: &str) -> Option<usize> {
        self.keys.find_key(id, namespace)
    }

    /// The nodes of a graph, keyed by their numbers, with vectors as they are: under cosine they are not brought to unit
    /// length once more.
    ///
    /// # Errors
    /// As for a set that is filled.
    pub(crate) fn of_nodes(metric: Metric, dim: usize, values: Vec<f32>) -> Result<VectorSet> {
        let mut builder = VectorSetBuilder::new(dim, metric, 0)?;
        for (node, vector) in values.chunks_exact(dim).enumerate() {
            check_vector(vector, dim, metric).map_err(|message| {
                Error::damaged(format!("the graph of the dump: {message}"))
                    .with("node", node)
                    .hint("leave the graph of the dump out with --rebuild")
            })?;
            builder.keys.push(None, &node.to_string());
        }
        builder.values = values;
        builder.finish()
    }

    /// Whether both hold the same keys with the same vector bits under the same metric, in any order.
    pub(crate) fn same_records(&self, other: &VectorSet) -> bool {
        self.metric == other.metric
            && self.dim == other.dim
            && self.keys.same_as(&other.keys)
            && (0..self.len()).all(|rank| {
                let (own, theirs) = (self.keys.row_at_rank(rank), other.keys.row_at_rank(rank));
                same_bits(self.vector(own), other.vector(theirs))
            })
    }
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits())
}

/// Whether a vector can be searched; the message says why not.
pub(crate) fn check_vector(vector: &[f32], dim: usize, metric: Metric) -> std::result::Result<(), String> {
    if vector.len() != dim {
        return Err(format!("vector has {} elements where the collection has {dim}", vector.len()));
    }
    if let Some(place) = vector.iter().position(|value| !value.is_finite()) {
        return Err(format!("vector element {place} is {}", vector[place]));
    }
    if metric != Metric::Cosine && squared_norm(vector) >= MAX_SQUARED_NORM {
        return Err("vector is longer than 10^18, so that distances leave the range of f32".to_owned());
    }
    Ok(())
}

/// Appends a vector as its metric wants it: at unit length for cosine.
pub(crate) fn push_prepared(values: &mut Vec<f32>, vector: &[f32], metric: Metric) {
    // In f64 neither large nor tiny lengths overflow or vanish.
    let norm = squared_norm(vector).sqrt();
    if metric == Metric::Cosine && norm > 0.0 {
        values.extend(vector.iter().map(|&value| (f64::from(value) / norm) as f32));
    } else {
        values.extend_from_slice(vector);
    }
}

fn squared_norm(vector: &[f32]) -> f64 {
    vector.iter().map(|&value| f64::from(value) * f64::from(value)).sum()
}
