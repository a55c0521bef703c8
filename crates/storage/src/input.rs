//! Read-only input by positioned reads.
//!
//! Invariant: nothing of the input is mapped or held; a read that the file can no longer satisfy is an error naming
//! file and offset, never a signal. Offsets and lengths are bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::StorageError;

/// An input file, opened once and shared by threads.
#[derive(Debug)]
pub struct InputFile {
    path: PathBuf,
    file: File,
    len: u64,
}

impl InputFile {
    /// Opens a regular file for reading.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let file = open_regular(path)?;
        let metadata = file.metadata().map_err(|e| StorageError::new("inspect", path, e))?;
        Ok(InputFile { path: path.to_owned(), file, len: metadata.len() })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the file when it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True for an empty file.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `buffer` from `offset`.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.file.read_exact_at(buffer, offset).map_err(|e| StorageError::at("read", &self.path, offset, e))
    }

    /// Reads up to `buffer.len()` bytes from `offset`; fewer only at the end of the file.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, StorageError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let position = offset + filled as u64;
            match self.file.read_at(&mut buffer[filled..], position) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(StorageError::at("read", &self.path, position, e)),
            }
        }
        Ok(filled)
    }

    /// A sequential reader over `start..end`.
    pub fn range(&self, start: u64, end: u64) -> RangeReader<'_> {
        RangeReader { file: self, position: start, end: end.min(self.len) }
    }
}

/// Opens a file that has a size and can be read again. A pipe has neither: it would pass for an empty file.
pub(crate) fn open_regular(path: &Path) -> Result<File, StorageError> {
    // Asked before opening, because opening a pipe waits for its writer.
    let metadata = std::fs::metadata(path).map_err(|e| StorageError::new("open", path, e))?;
    if metadata.is_dir() {
        return Err(StorageError::new("read", path, io::Error::from(io::ErrorKind::IsADirectory)));
    }
    if !metadata.is_file() {
        let why = io::Error::new(io::ErrorKind::NotSeekable, "it is a pipe or a device, not a regular file");
        return Err(StorageError::new("read", path, why));
    }
    File::open(path).map_err(|e| StorageError::new("open", path, e))
}

/// `Read` over a byte range of an [`InputFile`].
#[derive(Debug)]
pub struct RangeReader<'a> {
    file: &'a InputFile,
    position: u64,
    end: u64,
}

impl io::Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min((self.end - self.position) as usize);
        let count =
            self.file.read_at(self.position, &mut buffer[..want]).map_err(|e| io::Error::new(e.source.kind(), e))?;
        if count == 0 && want > 0 {
            let path = self.file.path.display();
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{path} shrank while it was read")));
        }
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_or_device_is_refused_and_not_taken_for_an_empty_file() {
        for path in ["/dev/null", "/dev/zero"] {
            assert_eq!(InputFile::open(Path::new(path)).unwrap_err().source.kind(), io::ErrorKind::NotSeekable);
        }
    }
}
