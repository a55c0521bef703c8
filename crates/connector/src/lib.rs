//! The contracts between those who read, those who write and those who move.
//!
//! A provider or format is one static [`Connector`]; it opens a [`Source`] or creates a [`Sink`]. The unit of work
//! between them is the [`Split`]. Trouble has three shapes that never mix: an [`Error`] ends the run, a [`Reject`] is
//! one record set aside with its place, a [`Loss`] is what the target cannot represent, known before anything is
//! written and undone or projected by a [`Mapping`]. Everything here is synchronous.

pub mod connector;
pub mod error;
pub mod job;
pub mod liveness;
pub mod locator;
pub mod loss;
pub mod mapping;
pub mod native;
mod nearby;
pub mod reject;
pub mod rules;
pub mod sink;
pub mod source;
pub mod split;
pub mod survey;
pub mod transforms;

pub use connector::{
    Capabilities, CollectionInfo, Connector, Count, Coverage, CreateOptions, Known, OpenOptions, Registry, Score,
    SourceOption,
};
pub use error::{Error, ErrorKind, Result};
pub use job::Job;
pub use liveness::{LiveRows, Liveness, SameVersion};
pub use locator::Locator;
pub use loss::{Grade, Loss};
pub use mapping::Mapping;
pub use reject::{Reject, RejectSink};
pub use rules::Rules;
pub use sink::{DeltaOrder, Negotiated, ShardFile, ShardOutput, ShardWriter, Sink, Totals};
pub use source::{Batches, LeftOut, PrepareContext, Prepared, RowLedger, Source, Splits};
pub use split::Split;
pub use survey::Survey;
pub use transforms::{Change, Changed, Transforms};
