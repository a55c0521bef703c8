//! Will search still answer the same? Exact neighbours and graph recall of two vector sets, without a database.
//!
//! The crate knows no files: the toolkit fills two [`VectorSet`]s, [`compare`] asks both the same queries and
//! returns a [`RecallReport`]. Distances come from `tranship-kernels`, work runs on the thread pool that the caller
//! gives, and everything but the parallel graph build and the reaction to a time budget is a function of the sets,
//! the options and nothing else.

mod causes;
pub mod exact;
pub mod graph;
mod interval;
mod keys;
mod overlap;
pub mod parity;
mod queries;
mod random;
pub mod report;
pub mod set;

pub use exact::{Method, Nearest, Neighbour, exact_neighbours, exact_neighbours_by};
pub use graph::{Engine, Graph, GraphAnswers, HnswSettings};
pub use parity::{QueryChoice, RecallOptions, compare};
pub use queries::QuerySet;
pub use report::{Cause, Measure, OverlapBasis, Reason, RecallReport, SideReport, WorstQuery};
pub use set::{VectorSet, VectorSetBuilder, distance};
