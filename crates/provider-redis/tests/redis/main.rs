//! The Redis reader against dumps of real servers and their truth, files of every version made by hand, and damage.
#![allow(clippy::disallowed_methods)]

mod build;
mod choices;
mod damage;
mod encodings;
mod engines;
mod reading;
mod truth;
