//! The Redis reader against dumps of real servers and their truth, files of every version made by hand, and damage;
//! bundles written, read back, refused and loaded.
#![allow(clippy::disallowed_methods)]

mod build;
mod bundles;
mod choices;
mod collections;
mod damage;
mod encodings;
mod engines;
mod loading;
mod reading;
mod truth;
