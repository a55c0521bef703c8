//! What the write-ahead log of a shard does to its points: the state of every point that an unapplied operation
//! touches.
//!
//! A log belongs to one copy of one shard. Replaying it goes in two steps around the scan of the id trackers:
//!
//! 1. the log says which points its entries touch; entries before the acknowledged index are left out;
//! 2. the trackers say at which version, if at all, the segments hold each of these points (the highest one over all
//!    segments of the shard; rows without version do not count), and the log is replayed over them: an operation of
//!    number `n` is applied to a point only if the point's version is at most `n`.
//!
//! The outcome replaces the point as a whole: a touched point is read from here and never from its segment, except
//! for the parts that are [`Part::Stored`], which stand in the segment unchanged. A removed point deletes the rows of
//! its id of versions up to the operation's number. Points whose operations were all applied before are not in it.

use std::collections::{HashMap, HashSet};

use tranship_connector::Result;

use super::point_id::PointId;

/// The points that the segments of a shard hold.
pub trait BasePoints {
    /// The version of the newest copy of a point; `None` if the segments do not hold it.
    fn version(&self, id: &PointId) -> Option<u64>;

    /// Its payload, the text of one JSON object; `None` if none is stored.
    fn payload(&self, id: &PointId) -> Result<Option<String>>;

    /// True if its segment takes no points: it is moved to another one by the operation that changes it first.
    fn is_moved_to_change(&self, id: &PointId) -> bool;
}

/// A write-ahead log that can be replayed.
pub trait Log: Send + Sync {
    /// Every point that an entry names from the acknowledged index on; more than fit into `memory_bytes` are an error
    /// of kind limit.
    fn touched(&self, memory_bytes: u64) -> Result<HashSet<PointId>>;

    /// Replays the log over the points of the segments; more than `memory_bytes` of points that differ from them is an
    /// error of kind limit.
    fn replay(&self, base: &dyn BasePoints, memory_bytes: u64) -> Result<Overlay>;
}

/// The points that differ from what the segments hold.
#[derive(Debug, Default)]
pub struct Overlay {
    /// By id.
    pub points: HashMap<PointId, Change>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

/// What became of a point.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Operation `version` removed it.
    Removed {
        /// Number of the operation.
        version: u64,
    },
    /// It is a record of the collection.
    Written {
        /// Number of the last operation applied to it.
        version: u64,
        /// Its vectors, in the order of the collection's columns ([`super::schema::Columns`]).
        vectors: Vec<Part<VectorValue>>,
        /// Its payload: the text of one JSON object.
        payload: Part<String>,
    },
}

/// A part of a point.
#[derive(Debug, Clone, PartialEq)]
pub enum Part<T> {
    /// As the segment holds it.
    Stored,
    /// The point has none.
    Absent,
    /// As the log says.
    Value(T),
}

/// A vector as the engine would store it: normalised under cosine, rounded to the element type of the column, floats
/// of `u8` columns cast with saturation.
#[derive(Debug, Clone, PartialEq)]
pub enum VectorValue {
    /// `dim` floats, each exactly representable in the column's element type.
    Dense(Vec<f32>),
    /// Rows of `dim` floats one after another.
    Multi(Vec<f32>),
    /// Ascending indices and their values.
    Sparse(Vec<u32>, Vec<f32>),
}
