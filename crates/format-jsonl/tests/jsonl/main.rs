//! JSON lines in and out, against their own promises.

#![allow(clippy::disallowed_methods)]

mod dialects;
mod round_trip;
mod samples;
mod streams;
mod traps;
