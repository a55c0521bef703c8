//! The pgvector reader against dumps of real PostgreSQL and what it said was in them, and against damaged ones.
#![allow(clippy::disallowed_methods)]

mod damage;
mod engine;
mod messages;
mod reading;
mod silence;
mod truth;
mod variants;
