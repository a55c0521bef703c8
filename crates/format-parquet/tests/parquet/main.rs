//! Parquet in and out, against its own promises.

#![allow(clippy::disallowed_methods)]

mod dialects;
mod foreign;
mod parts;
mod samples;
mod sink;
mod vector_pages;
