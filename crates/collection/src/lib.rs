//! The vocabulary of tranship: what a collection is, how its records lie in Arrow, and how they are digested.
//!
//! Everything that crosses a stage is a [`CollectionSchema`] and a stream of `RecordBatch`es in the one canonical
//! layout of [`layout`]. Readers fill batches through [`BatchBuilder`], writers look at them through [`BatchView`],
//! and [`SetFingerprint`] names a set of records whatever their order and wherever they came from.

pub mod batch;
pub mod digest;
pub mod fault;
pub mod filter;
pub mod fingerprint;
pub mod graph;
pub mod index;
pub mod json;
pub mod layout;
pub mod schema;
pub mod vector;
pub mod view;

pub use batch::BatchBuilder;
pub use digest::RecordDigest;
pub use fault::Fault;
pub use filter::Filter;
pub use fingerprint::SetFingerprint;
pub use graph::{HnswLinks, HnswLinksBuilder, NodeRecord, ServedGraph};
pub use index::IndexSpec;
pub use schema::{CollectionSchema, IdKind, IdKinds};
pub use vector::{Element, Metric, VectorKind, VectorSpec};
pub use view::{BatchView, VectorValue};
