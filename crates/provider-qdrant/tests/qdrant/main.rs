//! Dumps of Qdrant are read and compared with its own answers; bundles are written, read back, refused and loaded into a
//! small stand-in for the server.
#![allow(clippy::disallowed_methods)]

mod damage;
mod dumps;
mod engine;
mod layouts;
mod native;
mod reading_back;
mod refusals;
mod rocksdb_era;
mod scripts;
mod support;
mod truth;
mod unpacked;
mod wal;
