//! The Milvus reader against a dump of real Milvus, hand-made variants and damaged ones.
#![allow(clippy::disallowed_methods)]

mod support;
mod truth;
