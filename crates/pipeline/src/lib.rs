//! The engine: takes a prepared source to a sink, split by split, in parallel, in bounded memory. Knows no format.
//!
//! A record's path is: split (producer, in order, one byte credit each) -> decode (source) -> digest and project
//! (here) -> encode (sink) -> commit (committer, in split order). Invariant: what is written depends on the source and
//! the options alone, never on threads, memory or timing.

pub mod budget;
pub mod duplicates;
pub mod engine;
pub mod progress;
pub mod rejects;
pub mod run;
pub mod shard;

pub use budget::Budget;
pub use engine::{EngineOptions, execute};
pub use progress::{Progress, Silent};
pub use run::{RunOptions, RunReport, run};
