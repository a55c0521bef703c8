//! Upper bounds on what foreign bytes may claim.
//!
//! A decoder compares every length that it reads with these before it allocates; the message names the limit.

/// Bounds for decoders of foreign bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one JSONL line or one record's text.
    pub max_line_bytes: usize,
    /// Elements of one vector.
    pub max_dim: usize,
    /// Bytes of one Parquet footer or page.
    pub max_page_bytes: usize,
    /// Entries of one decoded pickle (ids of one collection).
    pub max_pickle_items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_line_bytes: 64 << 20, max_dim: 65_536, max_page_bytes: 256 << 20, max_pickle_items: 500_000_000 }
    }
}
