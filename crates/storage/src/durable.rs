//! Files that are digested while they are written and synced before they count.
//!
//! Invariant: a [`FileDigest`] is only handed out for bytes that an fsync has confirmed. After a failed sync the file
//! is not synced again in the hope of better luck: the caller throws it away and writes it anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::StorageError;

/// Size and SHA-256 of a whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
}

/// A file being written.
pub struct DurableFile {
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl DurableFile {
    /// Creates or truncates `path`.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|e| StorageError::new("create", path, e))?;
        Ok(DurableFile {
            path: path.to_owned(),
            file: BufWriter::with_capacity(256 << 10, file),
            hash: Sha256::new(),
            bytes: 0,
        })
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes and syncs the file and says what it holds.
    pub fn finish(self) -> Result<FileDigest, StorageError> {
        let DurableFile { path, file, hash, bytes } = self;
        let file = file.into_inner().map_err(|e| StorageError::new("write", &path, e.into_error()))?;
        file.sync_all().map_err(|e| StorageError::new("sync", &path, e))?;
        Ok(FileDigest { bytes, sha256: hex(&hash.finalize()) })
    }
}

impl Write for DurableFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_all(buffer).map(|()| buffer.len())
    }

    fn write_all(&mut self, buffer: &[u8]) -> io::Result<()> {
        let located = |e: io::Error| io::Error::new(e.kind(), StorageError::at("write", &self.path, self.bytes, e));
        self.file.write_all(buffer).map_err(located)?;
        self.hash.update(buffer);
        self.bytes += buffer.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a small file so that it is either absent or whole: temporary name, sync, rename.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<FileDigest, StorageError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = DurableFile::create(&temporary)?;
    file.write_all(bytes).map_err(|e| StorageError::new("write", &temporary, e))?;
    let digest = file.finish()?;
    fs::rename(&temporary, path).map_err(|e| StorageError::new("rename", path, e))?;
    if let Some(parent) = path.parent() {
        sync_dir(parent)?;
    }
    Ok(digest)
}

/// Makes the entries of a directory durable.
pub fn sync_dir(path: &Path) -> Result<(), StorageError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| StorageError::new("sync", path, e))
}

/// Size and SHA-256 of an existing file.
pub fn sha256_file(path: &Path) -> Result<FileDigest, StorageError> {
    let mut file = File::open(path).map_err(|e| StorageError::new("open", path, e))?;
    let mut buffer = vec![0; 1 << 20];
    let (mut hash, mut bytes) = (Sha256::new(), 0u64);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(FileDigest { bytes, sha256: hex(&hash.finalize()) }),
            Ok(count) => {
                hash.update(&buffer[..count]);
                bytes += count as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(StorageError::at("read", path, bytes, e)),
        }
    }
}

/// SHA-256 of bytes in memory, lower-case hex.
pub fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
