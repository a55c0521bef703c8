//! The Milvus readers against dumps of real Milvus, hand-made variants and damaged ones.
#![allow(clippy::disallowed_methods)]
