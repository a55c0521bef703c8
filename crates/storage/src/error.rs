//! What went wrong with which file, where.
//!
//! Every operation of this crate fails with a [`StorageError`]: the verb, the path, the byte offset where there is
//! one, and the system's own error.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A failed operation on a file.
#[derive(Debug)]
pub struct StorageError {
    /// What was being done: "open", "read", "write", "sync", "rename".
    pub operation: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Byte offset, for positioned reads and writes.
    pub offset: Option<u64>,
    /// The system's error.
    pub source: io::Error,
}

impl StorageError {
    /// An error without an offset.
    pub fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        StorageError { operation, path: path.to_owned(), offset: None, source }
    }

    /// An error at a byte offset.
    pub fn at(operation: &'static str, path: &Path, offset: u64, source: io::Error) -> Self {
        StorageError { operation, path: path.to_owned(), offset: Some(offset), source }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.operation, self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.source)
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
