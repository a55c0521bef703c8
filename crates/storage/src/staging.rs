//! A directory that becomes the output by one rename.
//!
//! Work happens in `NAME.partial/`, held by one process at a time through a lock file beside it; [`Staging::publish`]
//! syncs it, renames it to `NAME` and syncs the parent. Invariant: whatever has the final name is whole. The run's own
//! notes in `NAME.partial/job/` leave by one rename to `NAME.partial.job/` just
//! before, and come back if the run is interrupted right there.
//!
//! [`Scratch`] is the opposite: a directory that is gone when the run is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::durable::{DurableFile, sync_dir};
use crate::error::StorageError;

/// Folder of the staging directory for the run's own notes; never part of the output.
pub const JOB_DIR: &str = "job";

/// An output directory under construction.
#[derive(Debug)]
pub struct Staging {
    target: PathBuf,
    partial: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Staging {
    /// Opens the staging directory of `target`, new or left by an interrupted run. `target` must not exist yet.
    pub fn open(target: &Path) -> Result<Self, StorageError> {
        let target = without_trailing_slash(target);
        if target.symlink_metadata().is_ok() {
            return Err(StorageError::new("create", &target, io::Error::from(io::ErrorKind::AlreadyExists)));
        }
        let partial = with_suffix(&target, ".partial");
        fs::create_dir_all(&partial).map_err(|e| StorageError::new("create", &partial, e))?;
        let lock_path = with_suffix(&target, ".lock");
        let lock = lock(&lock_path)?;
        // A second process may have published between the check above and the lock.
        if target.symlink_metadata().is_ok() {
            return Err(StorageError::new("create", &target, io::Error::from(io::ErrorKind::AlreadyExists)));
        }
        fs::create_dir_all(&partial).map_err(|e| StorageError::new("create", &partial, e))?;
        rename_if_present(&with_suffix(&partial, ".job"), &partial.join(JOB_DIR))?;
        Ok(Staging { target, partial, lock_path, _lock: lock })
    }

    /// Where the output will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The directory that holds unfinished work.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Creates a file below the staging directory, with its folders.
    pub fn create(&self, name: &str) -> Result<DurableFile, StorageError> {
        let path = self.partial.join(name);
        make_parent(&path)?;
        DurableFile::create(&path)
    }

    /// Removes everything that an interrupted run left.
    pub fn clear(&self) -> Result<(), StorageError> {
        remove_tree(&self.partial)?;
        fs::create_dir_all(&self.partial).map_err(|e| StorageError::new("create", &self.partial, e))
    }

    /// Removes a file or folder below the staging directory, if it is there.
    pub fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.remove_path(Path::new(name))
    }

    /// Like [`Staging::remove`], for names that need not be UTF-8.
    pub fn remove_path(&self, name: &Path) -> Result<(), StorageError> {
        remove_tree(&self.partial.join(name))
    }

    /// Gives the output up: removes the directory and its lock.
    pub fn abandon(self) -> Result<(), StorageError> {
        remove_tree(&self.partial)?;
        remove_tree(&self.lock_path)
    }

    /// Sets the notes aside, syncs every folder, renames the directory to its final name and makes the name durable.
    pub fn publish(self) -> Result<PathBuf, StorageError> {
        let notes = with_suffix(&self.partial, ".job");
        rename_if_present(&self.partial.join(JOB_DIR), &notes)?;
        sync_tree(&self.partial)?;
        fs::rename(&self.partial, &self.target).map_err(|e| StorageError::new("rename", &self.target, e))?;
        sync_dir(self.target.parent().unwrap_or(Path::new(".")))?;
        remove_tree(&notes)?;
        remove_tree(&self.lock_path)?;
        Ok(self.target)
    }
}

/// A directory for spill files and private copies, removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A fresh directory below `parent`, or below the system's directory for temporary files.
    pub fn new(parent: Option<&Path>) -> Result<Self, StorageError> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        for attempt in 0..10_000u32 {
            let path = parent.join(format!("tranship-{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Scratch { path }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(StorageError::new("create", &path, e)),
            }
        }
        Err(StorageError::new("create", &parent, io::Error::other("no free name for a scratch directory")))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies `source` into the directory under its own name and returns the copy's path.
    pub fn copy_in(&self, source: &Path) -> Result<PathBuf, StorageError> {
        let copy = self.path.join(source.file_name().unwrap_or_default());
        fs::copy(source, &copy).map_err(|e| StorageError::new("copy", source, e))?;
        Ok(copy)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on scratch files; a leftover is only untidy.
        let _removed = remove_tree(&self.path);
    }
}

/// `path` with `suffix` appended to its last component.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Creates the folder that `path` lies in.
pub fn make_parent(path: &Path) -> Result<(), StorageError> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(|e| StorageError::new("create", parent, e)),
        None => Ok(()),
    }
}

fn without_trailing_slash(path: &Path) -> PathBuf {
    path.components().collect()
}

pub(crate) fn lock(path: &Path) -> Result<File, StorageError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|e| StorageError::new("create", path, e))?;
    match file.try_lock() {
        // The holder before removes its lock file: one that has lost its name protects nothing.
        Ok(()) if still_named(&file, path) => Ok(file),
        Ok(()) => lock(path),
        Err(TryLockError::WouldBlock) => {
            let busy = io::Error::new(io::ErrorKind::ResourceBusy, "another tranship is writing this output");
            Err(StorageError::new("lock", path, busy))
        }
        Err(TryLockError::Error(e)) => Err(StorageError::new("lock", path, e)),
    }
}

fn still_named(file: &File, path: &Path) -> bool {
    let inode = |metadata: io::Result<fs::Metadata>| metadata.map(|m| (m.dev(), m.ino())).ok();
    inode(file.metadata()) == inode(fs::metadata(path))
}

fn rename_if_present(from: &Path, to: &Path) -> Result<(), StorageError> {
    match fs::rename(from, to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StorageError::new("rename", from, e)),
        _ => Ok(()),
    }
}

pub(crate) fn remove_tree(path: &Path) -> Result<(), StorageError> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    };
    removed.map_err(|e| StorageError::new("remove", path, e))
}

fn sync_tree(path: &Path) -> Result<(), StorageError> {
    for entry in fs::read_dir(path).map_err(|e| StorageError::new("list", path, e))? {
        let entry = entry.map_err(|e| StorageError::new("list", path, e))?;
        if entry.file_type().map_err(|e| StorageError::new("inspect", path, e))?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_dir(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_output_appears_only_when_published() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out.tranship");
        let staging = Staging::open(&target).unwrap();
        let mut file = staging.create("data/part").unwrap();
        file.write_all(b"abc").unwrap();
        assert_eq!(file.finish().unwrap().bytes, 3);
        assert!(!target.exists());
        staging.publish().unwrap();
        assert_eq!(fs::read(target.join("data/part")).unwrap(), b"abc");
        assert_eq!(Staging::open(&target).unwrap_err().source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_processes_cannot_write_the_same_output() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let _first = Staging::open(&target).unwrap();
        assert_eq!(Staging::open(&target).unwrap_err().source.kind(), io::ErrorKind::ResourceBusy);
    }
}
