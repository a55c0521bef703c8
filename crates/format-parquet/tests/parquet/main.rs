//! Parquet in and out, against its own promises.

mod foreign;
mod parts;
mod samples;
mod sink;
