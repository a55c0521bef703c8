//! The unit of work.
//!
//! A split is a piece of the input: a function of the input's bytes and of constants, never of threads, memory or CPU.
//! It is the unit of parallelism, memory, commit and resume.

use serde::{Deserialize, Serialize};

/// One piece of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Position in the source's order, from 0.
    pub ordinal: u64,
    /// File within the source, empty where there is only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// First unit: byte, row, row group, as the source counts.
    pub start: u64,
    /// One past the last unit.
    pub end: u64,
    /// Expected bytes of the split's records in memory order of magnitude; what byte credits are issued for.
    pub bytes: u64,
    /// Lines or rows before the split, where messages need them.
    #[serde(default)]
    pub first_row: u64,
    /// Digest of `data` for splits cut out of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The split's bytes, for sources that can be read only once.
    #[serde(skip)]
    pub data: Option<Vec<u8>>,
}
