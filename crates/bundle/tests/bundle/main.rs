//! Bundles of a target that exists only here and takes next to nothing: every rule has a record that breaks it.
// Tests make and break files on purpose.
#![allow(clippy::disallowed_methods)]

mod rules;
mod toy;
