//! Who an input is, taken before a run and compared after it.
//!
//! Invariant: two equal identities of one path mean that size, time, inode and the first and last 64 KiB did not
//! change in between. `sha256` covers the whole file where the user asked for it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::durable::sha256_file;
use crate::error::StorageError;
use crate::input::InputFile;

const EDGE_BYTES: u64 = 64 << 10;

/// One input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Path relative to the source's root, or the file's own name.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Modification time, nanoseconds since 1970. Not part of the archive's manifest.
    pub mtime_ns: i128,
    /// Inode number. Not part of the archive's manifest.
    pub inode: u64,
    /// XXH3-128 of the first and last 64 KiB.
    pub edges: String,
    /// SHA-256 of the whole file, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// All input files of a source, sorted by path. Empty for a stream that cannot be read twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// The files.
    pub files: Vec<FileIdentity>,
}

impl FileIdentity {
    /// Reads the identity of `path`, named `name`.
    pub fn of(path: &Path, name: &str, hash_all: bool) -> Result<Self, StorageError> {
        let metadata = fs::metadata(path).map_err(|e| StorageError::new("inspect", path, e))?;
        let file = InputFile::open(path)?;
        Ok(FileIdentity {
            path: name.to_owned(),
            bytes: metadata.len(),
            mtime_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
            inode: metadata.ino(),
            edges: edges(&file)?,
            sha256: if hash_all { Some(sha256_file(path)?.sha256) } else { None },
        })
    }
}

impl SourceIdentity {
    /// The identity of `files` (path, name), sorted by name.
    pub fn of(files: &[(PathBuf, String)], hash_all: bool) -> Result<Self, StorageError> {
        let mut files =
            files.iter().map(|(path, name)| FileIdentity::of(path, name, hash_all)).collect::<Result<Vec<_>, _>>()?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(SourceIdentity { files })
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The first file that differs between two readings of the same source.
    pub fn changed<'a>(&'a self, later: &'a SourceIdentity) -> Option<&'a str> {
        let differs = self.files.iter().zip(&later.files).find(|(a, b)| a != b).map(|(a, _)| a.path.as_str());
        let longer = if self.files.len() > later.files.len() { &self.files } else { &later.files };
        let extra = longer.get(self.files.len().min(later.files.len())).map(|f| f.path.as_str());
        differs.or(extra)
    }
}

fn edges(file: &InputFile) -> Result<String, StorageError> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; EDGE_BYTES as usize];
    let head = file.read_at(0, &mut buffer)?;
    hash.update(&buffer[..head]);
    let tail = file.read_at(file.len().saturating_sub(EDGE_BYTES), &mut buffer)?;
    hash.update(&buffer[..tail]);
    Ok(format!("{:032x}", hash.digest128()))
}
