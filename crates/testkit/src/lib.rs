//! What the tests share: seeded collections, a source in memory, stored dumps, real engines, the binary.
//!
//! Nothing here is used by the product. Everything random comes from a seed that the test names.
// Tests make and break files on purpose.
#![allow(clippy::disallowed_methods)]

pub mod binary;
pub mod bundles;
pub mod damage;
pub mod engines;
pub mod feeds;
pub mod fixtures;
pub mod generate;
pub mod memory;
pub mod reading;

pub use binary::{Ran, Tranship};
pub use generate::{Generator, Random};
pub use memory::MemorySource;
