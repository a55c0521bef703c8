//! The tests that cross crates: real dumps in, real engines as judges, the binary as a user runs it.
// Tests make and break files on purpose.
#![allow(clippy::disallowed_methods)]

mod archive;
mod bundle;
mod chroma;
mod chroma_bundle;
mod classes;
mod command_line;
mod conformance;
mod crash;
mod damage;
mod delta_bundles;
mod deltas;
mod determinism;
mod distrust;
mod fuzz_corpus;
mod lancedb_bundle;
mod memory;
mod messages;
mod migrate;
mod milvus_bundle;
mod native;
mod pinecone_bundle;
mod probes;
mod reembed;
mod replay;
mod sequences;
mod served;
mod sets;
mod support;
mod transfer;
mod transforms;
