//! Bundles are written, read back, refused and loaded into a small stand-in for the server.

mod reading_back;
mod refusals;
mod scripts;
mod support;
