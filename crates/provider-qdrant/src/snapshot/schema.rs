//! The vector columns of a collection, and the collection schema that they make.

use tranship_collection::{Element, Metric, VectorKind};

/// A vector of the collection as its configuration and its segments declare it.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Empty for the unnamed vector.
    pub name: String,
    /// Dense, multi or sparse.
    pub kind: VectorKind,
    /// Element type in the files (`datatype`), also of multivectors; f32 for sparse ones.
    pub stored: Element,
    /// Elements of a row; 0 for sparse vectors.
    pub dim: usize,
    /// `None` for sparse vectors.
    pub metric: Option<Metric>,
}

/// The vectors of a collection, by name: the order of the columns in batches.
pub type Columns = Vec<Column>;

impl Column {
    /// The name of the vector's directory in a segment: `vector_storage` or `vector_storage-<name>`.
    pub fn directory(&self) -> String {
        if self.name.is_empty() { "vector_storage".to_owned() } else { format!("vector_storage-{}", self.name) }
    }

    /// Bytes of one row of elements in the files.
    pub fn row_bytes(&self) -> usize {
        self.dim * self.stored.bytes()
    }

    /// True if the engine stores the vectors at unit length.
    pub fn is_normalised(&self) -> bool {
        self.metric == Some(Metric::Cosine) && matches!(self.stored, Element::F32 | Element::F16)
    }
}
