//! Bundles are written, read back, refused and loaded into a small stand-in for the server.
#![allow(clippy::disallowed_methods)]

mod dumps;
mod reading_back;
mod refusals;
mod scripts;
mod support;
