//! Will search still answer the same? Exact neighbours and graph recall of two vector sets, without a database.
//!
//! The crate knows no files: the toolkit fills two [`VectorSet`]s, [`compare`] asks both the same queries and
//! returns a [`RecallReport`]. Distances come from `tranship-kernels`, work runs on the thread pool that the caller
//! gives, and everything but the parallel graph build and the reaction to a time budget is a function of the sets,
//! the options and nothing else.

mod causes;
pub mod exact;
pub mod findings;
pub mod graph;
mod interval;
mod keys;
pub mod order;
mod overlap;
pub mod parity;
mod queries;
mod random;
pub mod replay;
pub mod report;
pub mod retrieval;
mod run;
pub mod scores;
mod served;
pub mod set;
pub mod side;
pub mod sweep;
pub mod verdict;

pub use exact::{Method, Nearest, Neighbour, exact_neighbours, exact_neighbours_by};
pub use findings::Finding;
pub use graph::{Engine, Graph, GraphAnswers, HnswSettings};
pub use order::Order;
pub use parity::{QueryChoice, RecallOptions, ServedGraphs, compare, compare_served};
pub use queries::QuerySet;
pub use replay::{Asked, LoggedQuery, Passing, Replay, ReplayReport, replay};
pub use report::{Cause, Measure, OverlapBasis, Reason, RecallReport, SideReport, WorstQuery};
pub use retrieval::Judgements;
pub use scores::{ScoreForm, Translation, translate};
pub use served::served_answers;
pub use set::{VectorSet, VectorSetBuilder, distance};
pub use side::{SearchCost, ServedPart};
pub use sweep::{SweepGrid, SweepReport, sweep};
pub use verdict::Thresholds;
