//! Proof: is an archive whole, and are two sets of records the same.
//!
//! [`archive::check`] proves one archive, level by level, and says what the level reached does not prove.
//! [`compare::compare`] proves two sets equal by fingerprint in one read of each, and only if they differ reads both
//! once more to name what differs. Memory is bounded by the budget, whatever the size of the sets.

pub mod accept;
pub mod archive;
pub mod class;
pub mod compare;
pub mod conform;
pub mod delta;
pub mod ids;
pub mod join;
pub mod named;
pub mod profile;
pub mod sequence;
pub mod side;
pub mod tolerance;

pub use archive::{ArchiveReport, Level};
pub use compare::{CompareOptions, CompareReport, compare};
pub use side::{Form, Side, fingerprint};
