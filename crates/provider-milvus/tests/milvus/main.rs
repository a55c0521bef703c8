//! The Milvus reader against a dump of real Milvus, hand-made variants and damaged ones.
#![allow(clippy::disallowed_methods)]

mod backup;
mod damage;
mod lite;
mod made;
mod messages;
mod shapes;
mod support;
mod truth;
mod workload;
