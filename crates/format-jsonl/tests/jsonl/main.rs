//! JSON lines in and out, against their own promises.

mod round_trip;
mod samples;
mod streams;
mod traps;
