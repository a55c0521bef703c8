//! The pgvector reader against dumps of real PostgreSQL and what it said was in them, and against damaged ones.
#![allow(clippy::disallowed_methods)]

mod reading;
mod truth;
