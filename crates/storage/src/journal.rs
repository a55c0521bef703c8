//! Files that grow at their end and outlive the process that writes them.
//!
//! Invariant: bytes are appended, never rewritten; what is not yet synced may be lost or cut with the machine, and whoever
//! reads the file back must be able to tell. [`Journal::stdio`] gives the file to another program as its output: what that
//! program has written is there even if nobody lives to read it. The lock belongs to the open file, so it is
//! held until the last of the programs that share it has ended.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::error::StorageError;

/// A file that is appended to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Journal {
    /// Opens `path` at its end, with its folders, new if it is not there.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| StorageError::new("create", parent, e))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|e| StorageError::new("create", path, e))?;
        let bytes = file.metadata().map_err(|e| StorageError::new("inspect", path, e))?.len();
        Ok(Journal { path: path.to_owned(), file, bytes })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the file, as far as this process wrote them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds the file for this process and those that it is given to; false if another one holds it.
    pub fn try_lock(&self) -> Result<bool, StorageError> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(StorageError::new("lock", &self.path, e)),
        }
    }

    /// Appends bytes; they are not synced yet.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.write_all(bytes).map_err(|e| StorageError::at("write", &self.path, self.bytes, e))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was appended durable.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(|e| StorageError::new("sync", &self.path, e))
    }

    /// Cuts the file, for a torn end or for contents that are kept elsewhere.
    pub fn cut(&mut self, bytes: u64) -> Result<(), StorageError> {
        self.file.set_len(bytes).map_err(|e| StorageError::at("cut", &self.path, bytes, e))?;
        self.bytes = bytes;
        Ok(())
    }

    /// The file as another program's output, with the lock.
    pub fn stdio(&self) -> Result<Stdio, StorageError> {
        self.file.try_clone().map(Stdio::from).map_err(|e| StorageError::new("share", &self.path, e))
    }

    /// Removes the file.
    pub fn remove(self) -> Result<(), StorageError> {
        remove(&self.path)
    }
}

/// Removes a journal, if it is there.
pub fn remove(path: &Path) -> Result<(), StorageError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StorageError::new("remove", path, e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_stays_and_one_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/journal");
        let mut first = Journal::open(&path).unwrap();
        assert!(first.try_lock().unwrap());
        first.append(b"abcdef").unwrap();
        first.sync().unwrap();
        first.cut(3).unwrap();
        let mut second = Journal::open(&path).unwrap();
        assert_eq!((second.bytes(), second.try_lock().unwrap()), (3, false));
        drop(first);
        assert!(second.try_lock().unwrap());
        second.append(b"g").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abcg");
    }
}
