//! A single file that becomes the output by one rename.
//!
//! Work happens in `NAME.partial`, held by one process at a time through `NAME.lock`. Invariant: whatever has the
//! final name is whole; an interrupted run leaves `NAME.partial`, which the next one writes anew. Callers write large
//! pieces: there is no buffer, and no digest, for nothing lists the file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::durable::sync_dir;
use crate::error::StorageError;
use crate::staging::{lock, make_parent, remove_tree, with_suffix};

/// An output file under construction.
pub struct StagedFile {
    target: PathBuf,
    partial: PathBuf,
    lock_path: PathBuf,
    file: File,
    _lock: File,
}

impl StagedFile {
    /// Begins the file `target`, which must not exist yet.
    pub fn create(target: &Path) -> Result<Self, StorageError> {
        refuse_existing(target)?;
        make_parent(target)?;
        let lock_path = with_suffix(target, ".lock");
        let held = lock(&lock_path)?;
        // A second process may have finished between the check above and the lock.
        refuse_existing(target)?;
        let partial = with_suffix(target, ".partial");
        let file = File::create(&partial).map_err(|e| StorageError::new("create", &partial, e))?;
        Ok(StagedFile { target: target.to_owned(), partial, lock_path, file, _lock: held })
    }

    /// Gives the output up: removes the file and its lock.
    pub fn abandon(self) -> Result<(), StorageError> {
        remove_tree(&self.partial)?;
        remove_tree(&self.lock_path)
    }

    /// Syncs the file and gives it its name.
    pub fn publish(self) -> Result<(), StorageError> {
        self.file.sync_all().map_err(|e| StorageError::new("sync", &self.partial, e))?;
        fs::rename(&self.partial, &self.target).map_err(|e| StorageError::new("rename", &self.target, e))?;
        sync_dir(self.target.parent().unwrap_or(Path::new(".")))?;
        remove_tree(&self.lock_path)
    }
}

impl Write for StagedFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer).map_err(|e| io::Error::new(e.kind(), StorageError::new("write", &self.partial, e)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn refuse_existing(target: &Path) -> Result<(), StorageError> {
    match target.symlink_metadata() {
        Ok(_) => Err(StorageError::new("create", target, io::Error::from(io::ErrorKind::AlreadyExists))),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("sub/out.jsonl");
        let mut first = StagedFile::create(&target).unwrap();
        first.write_all(b"interrupted").unwrap();
        assert_eq!(StagedFile::create(&target).err().unwrap().source.kind(), io::ErrorKind::ResourceBusy);
        drop(first);
        let mut second = StagedFile::create(&target).unwrap();
        second.write_all(b"abc").unwrap();
        assert!(!target.exists());
        second.publish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"abc");
        assert_eq!(fs::read_dir(dir.path().join("sub")).unwrap().count(), 1);
        assert_eq!(StagedFile::create(&target).err().unwrap().source.kind(), io::ErrorKind::AlreadyExists);
    }
}
