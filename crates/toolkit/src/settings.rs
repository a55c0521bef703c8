//! What every verb may use: threads, memory, cancellation, progress.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use tranship_connector::{Error, Result};
use tranship_pipeline::{EngineOptions, Progress};
use tranship_storage::Scratch;

/// The least memory that a run is tried with.
pub const LEAST_MEMORY_BYTES: u64 = 64 << 20;

/// Resources of a run.
#[derive(Clone)]
pub struct Settings<'a> {
    /// Worker threads.
    pub threads: usize,
    /// Memory for everything whose size depends on the input.
    pub memory_bytes: u64,
    /// Set to stop.
    pub cancel: &'a AtomicBool,
    /// Told about progress.
    pub progress: &'a dyn Progress,
    /// Where spill files and private copies go; the system's directory for temporary files by default.
    pub scratch_parent: Option<PathBuf>,
}

impl<'a> Settings<'a> {
    /// Half of the memory is for work in flight.
    pub fn engine(&self) -> EngineOptions<'a> {
        EngineOptions {
            threads: self.threads,
            memory_bytes: self.memory_bytes / 2,
            cancel: self.cancel,
            progress: self.progress,
        }
    }

    /// The other half is for the state of the sources.
    pub fn prepare_bytes(&self) -> u64 {
        self.memory_bytes / 2
    }

    /// A directory that is gone after the run.
    pub fn scratch(&self) -> Result<Scratch> {
        if self.memory_bytes < LEAST_MEMORY_BYTES {
            return Err(Error::limit(format!("{} MiB of memory are too little", self.memory_bytes >> 20))
                .hint(format!("give at least --memory {}MiB", LEAST_MEMORY_BYTES >> 20)));
        }
        Ok(Scratch::new(self.scratch_parent.as_deref())?)
    }
}
