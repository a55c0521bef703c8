//! Datasets, read by other software and read back.

#![allow(clippy::disallowed_methods)]

mod csv;
mod engine;
