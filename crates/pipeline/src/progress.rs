//! How far a run is, for whoever shows it.

/// Told what has been done; called from several threads.
pub trait Progress: Sync {
    /// A new pass over a source begins; `total_bytes` is the source's size, where it is known.
    fn begin(&self, step: &str, total_bytes: Option<u64>);

    /// So many records and source bytes more have been decoded.
    fn advance(&self, rows: u64, bytes: u64);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _step: &str, _total_bytes: Option<u64>) {}

    fn advance(&self, _rows: u64, _bytes: u64) {}
}
