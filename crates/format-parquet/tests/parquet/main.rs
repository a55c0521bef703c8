//! Parquet in and out, against its own promises.

mod parts;
mod samples;
