//! What the entries of a write-ahead log ask for.
//!
//! Vectors stand here as they were sent: not normalised, not rounded, sparse entries in any order. See
//! [`super::decode`] for how operations are written.

use super::filter::Filter;
use crate::snapshot::point_id::PointId;

/// What an entry asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Writes whole points.
    Upsert(Vec<Point>),
    /// Writes those of the points that the condition lets pass.
    UpsertIf {
        /// The points.
        points: Vec<Point>,
        /// Asked of the points that exist.
        condition: Filter,
        /// Which points may be written.
        mode: UpdateMode,
    },
    /// Makes a range of ids hold exactly these points.
    Sync {
        /// First id of the range; from the least one if absent.
        from: Option<PointId>,
        /// One past the last id; to the greatest one if absent.
        to: Option<PointId>,
        /// The points.
        points: Vec<Point>,
    },
    /// Writes some vectors of points that exist.
    UpdateVectors {
        /// The points and their vectors.
        points: Vec<(PointId, Vectors)>,
        /// Asked of the points.
        condition: Option<Filter>,
    },
    /// Changes points that exist.
    Change {
        /// Which ones.
        of: Targets,
        /// How.
        change: PointChange,
    },
    /// Writes points whose vectors are in a storage form that is not read.
    Raw(Vec<PointId>),
    /// Changes no point.
    Schema,
}

/// A point as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its id.
    pub id: PointId,
    /// Its vectors; those not named are absent.
    pub vectors: Vectors,
    /// Its payload, the text of one JSON object.
    pub payload: Option<String>,
}

/// Vectors by name; the unnamed one has the empty name.
pub type Vectors = Vec<(String, Sent)>;

/// A vector as it was sent: not normalised, not rounded.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// One row.
    Row(Vec<f32>),
    /// Several rows.
    Rows(Vec<Vec<f32>>),
    /// Indices in any order, and their values.
    Sparse(Vec<u32>, Vec<f32>),
}

/// Which points an operation changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// These.
    Ids(Vec<PointId>),
    /// Those that a filter finds.
    Filter(Filter),
}

/// A change of a point that exists.
#[derive(Debug, Clone, PartialEq)]
pub enum PointChange {
    /// It is removed.
    Delete,
    /// Some of its vectors are removed.
    DeleteVectors(Vec<String>),
    /// Keys are set, at a path if there is one; null removes a key.
    SetPayload(String, Option<String>),
    /// The payload is replaced.
    OverwritePayload(String),
    /// Paths are removed.
    DeletePayload(Vec<String>),
    /// The payload is removed.
    ClearPayload,
}

/// Which points a conditional upsert may write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpdateMode {
    /// New ones, and those that match.
    #[default]
    Upsert,
    /// New ones.
    InsertOnly,
    /// Those that exist and match.
    UpdateOnly,
}

impl Operation {
    /// Every point that the operation names.
    pub fn ids(&self) -> Vec<PointId> {
        match self {
            Operation::Upsert(points) | Operation::UpsertIf { points, .. } | Operation::Sync { points, .. } => {
                points.iter().map(|point| point.id).collect()
            }
            Operation::UpdateVectors { points, .. } => points.iter().map(|(id, _)| *id).collect(),
            Operation::Change { of: Targets::Ids(ids), .. } | Operation::Raw(ids) => ids.clone(),
            Operation::Change { of: Targets::Filter(_), .. } | Operation::Schema => Vec::new(),
        }
    }
}
