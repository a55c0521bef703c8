//! Envelopes that dumps come in, decoded as data and never executed.
//!
//! Every decoder here checks each length against what the input still holds and against the caller's limits before
//! it allocates, and names the byte at which an input stops making sense.

pub mod pickle;
pub mod protobuf;
pub mod sqlite;
pub mod tar;
