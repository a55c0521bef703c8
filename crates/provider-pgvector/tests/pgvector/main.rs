//! The pgvector reader against dumps of real PostgreSQL and what it said was in them, and against damaged ones;
//! bundles written, read back, refused and loaded.
#![allow(clippy::disallowed_methods)]

mod bundles;
mod collections;
mod damage;
mod engine;
mod loading;
mod messages;
mod reading;
mod silence;
mod truth;
mod variants;
