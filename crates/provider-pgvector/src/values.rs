//! Values of PostgreSQL, as the text of a dump and as COPY BINARY hold them.
//!
//! Invariant: a binary value becomes the text that PostgreSQL itself prints for it, and goes the way of a text from
//! there, so that all forms of a dump give the same record. Only vectors go straight from bytes to floats.
//!
//! Errors are reasons without a place; the caller knows column and row.

pub mod array;
pub mod binary;
pub mod numeric;
pub mod scalar;
pub mod time;
pub mod vector;

/// Why a value cannot be read.
pub type Reason = String;
