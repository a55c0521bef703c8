//! A run of input bytes wherever it lies: a whole file, a member inside a container, a sparse member with holes.
//!
//! Invariant: a [`Blob`] is a name and a list of extents that ascend and do not overlap; whatever no extent covers
//! within `len` is zeros. It opens nothing by itself, so that a tree of many thousand files costs no descriptors;
//! [`Blob::open`] gives a [`BlobReader`] for positioned reads. Offsets and lengths are bytes; logical offsets count
//! from the start of the blob, physical ones from the start of the file that holds it.
//!
//! Errors name the blob (`dump.snapshot: 0/segments/x.tar: snapshot/files/matrix.dat`) and the logical offset.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::StorageError;
use crate::input::InputFile;

/// Bytes with a name, not opened.
#[derive(Debug, Clone)]
pub struct Blob {
    label: String,
    file: Backing,
    /// Shared: a blob is opened for every request.
    extents: Arc<[Extent]>,
    len: u64,
}

/// The file that holds a blob.
#[derive(Debug, Clone)]
enum Backing {
    /// Opened anew for every reader.
    Path(PathBuf),
    /// Kept open, because many members share it.
    Open(Arc<InputFile>),
}

/// One piece of a blob that stands in its file as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First byte within the blob.
    pub logical: u64,
    /// First byte within the file.
    pub physical: u64,
    /// Bytes.
    pub len: u64,
}

impl Blob {
    /// The whole of a regular file, named by its path; opened when it is read.
    pub fn of_path(path: &Path) -> Result<Self, StorageError> {
        let len = std::fs::metadata(path).map_err(|e| StorageError::new("inspect", path, e))?.len();
        let extents = whole(0, len);
        Ok(Blob { label: path.display().to_string(), file: Backing::Path(path.to_owned()), extents, len })
    }

    /// The whole of a file that is open and stays so, named by its path.
    pub fn of_file(file: Arc<InputFile>) -> Self {
        let (label, len) = (file.path().display().to_string(), file.len());
        Blob { label, file: Backing::Open(file), extents: whole(0, len), len }
    }

    /// The same bytes, kept open: what containers are read through, so that their members share one descriptor.
    pub fn kept_open(&self) -> Result<Self, StorageError> {
        let file = self.file.open()?;
        Ok(Blob { file: Backing::Open(file), ..self.clone() })
    }

    /// The bytes `start..start + len` of this blob under a name of their own, `<this>: <name>`. What lies beyond the
    /// end of this blob is an error.
    pub fn member(&self, name: &str, start: u64, len: u64) -> Result<Self, StorageError> {
        self.sparse_member(name, len, &[Extent { logical: 0, physical: start, len }])
    }

    /// A blob of `len` bytes put together from pieces of this one: the `physical` of an extent counts from the start
    /// of this blob. Extents must ascend, must not overlap and must lie within both.
    pub fn sparse_member(&self, name: &str, len: u64, pieces: &[Extent]) -> Result<Self, StorageError> {
        let label = format!("{}: {name}", self.label);
        let mut extents = Vec::with_capacity(pieces.len());
        let mut end_of_last = 0;
        for piece in pieces.iter().filter(|piece| piece.len > 0) {
            let end = piece.logical.checked_add(piece.len).filter(|end| *end <= len && piece.logical >= end_of_last);
            let inside = piece.physical.checked_add(piece.len).is_some_and(|end| end <= self.len);
            let Some(end) = end.filter(|_| inside) else {
                let why = format!(
                    "{} bytes at {} of {label} do not fit into {} bytes at {} of {}",
                    piece.len, piece.logical, self.len, piece.physical, self.label
                );
                return Err(StorageError::at("find", Path::new(&label), piece.logical, invalid(why)));
            };
            end_of_last = end;
            self.translate(*piece, &mut extents);
        }
        Ok(Blob { label, file: self.file.clone(), extents: extents.into(), len })
    }

    /// Where it is, for messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Bytes, holes included.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces that stand in the file; everything else is zeros.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The path of the file that holds the bytes.
    pub fn path(&self) -> &Path {
        match &self.file {
            Backing::Path(path) => path,
            Backing::Open(file) => file.path(),
        }
    }

    /// Opens it for reading.
    pub fn open(&self) -> Result<BlobReader, StorageError> {
        let file = self.file.open()?;
        let needed = self.extents.last().map_or(0, |last| last.physical + last.len);
        if file.len() < needed {
            let why = io::Error::new(io::ErrorKind::UnexpectedEof, format!("the file has only {} bytes", file.len()));
            return Err(StorageError::at("read", Path::new(&self.label), self.len, why));
        }
        Ok(BlobReader { blob: self.clone(), file })
    }

    /// All bytes, if there are at most `limit`.
    pub fn read_all(&self, limit: u64) -> Result<Vec<u8>, StorageError> {
        self.open()?.range_to_vec(0, self.len, limit)
    }

    /// Adds `piece` of this blob, in terms of the file below it, to `extents`.
    fn translate(&self, piece: Extent, extents: &mut Vec<Extent>) {
        let end = piece.physical + piece.len;
        let first = self.extents.partition_point(|own| own.logical + own.len <= piece.physical);
        for own in self.extents[first..].iter().take_while(|own| own.logical < end) {
            let from = own.logical.max(piece.physical);
            let to = (own.logical + own.len).min(end);
            extents.push(Extent {
                logical: piece.logical + (from - piece.physical),
                physical: own.physical + (from - own.logical),
                len: to - from,
            });
        }
    }
}

impl Backing {
    fn open(&self) -> Result<Arc<InputFile>, StorageError> {
        match self {
            Backing::Path(path) => InputFile::open(path).map(Arc::new),
            Backing::Open(file) => Ok(file.clone()),
        }
    }
}

/// An opened blob, shared by threads.
#[derive(Debug, Clone)]
pub struct BlobReader {
    blob: Blob,
    file: Arc<InputFile>,
}

impl BlobReader {
    /// Where it is, for messages.
    pub fn label(&self) -> &str {
        &self.blob.label
    }

    /// Bytes, holes included.
    pub fn len(&self) -> u64 {
        self.blob.len
    }

    /// True if there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.blob.len == 0
    }

    /// Fills `buffer` from `offset`; an error if the blob ends before.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        if self.read_at(offset, buffer)? < buffer.len() {
            let why = io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{} bytes were to be read and the data ends at {}", buffer.len(), self.blob.len),
            );
            return Err(StorageError::at("read", Path::new(&self.blob.label), offset, why));
        }
        Ok(())
    }

    /// Reads up to `buffer.len()` bytes from `offset`; fewer only at the end of the blob.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, StorageError> {
        let end = offset.saturating_add(buffer.len() as u64).min(self.blob.len);
        let wanted = end.saturating_sub(offset) as usize;
        let buffer = &mut buffer[..wanted];
        let extents = &self.blob.extents;
        let first = extents.partition_point(|extent| extent.logical + extent.len <= offset);
        let mut filled = 0;
        for extent in extents[first..].iter().take_while(|extent| extent.logical < end) {
            let from = extent.logical.max(offset);
            let to = (extent.logical + extent.len).min(end);
            let (start, stop) = ((from - offset) as usize, (to - offset) as usize);
            buffer[filled..start].fill(0);
            self.file
                .read_exact_at(extent.physical + (from - extent.logical), &mut buffer[start..stop])
                .map_err(|error| StorageError::at("read", Path::new(&self.blob.label), from, error.source))?;
            filled = stop;
        }
        buffer[filled..].fill(0);
        Ok(wanted)
    }

    /// The bytes `start..end`, if they are at most `limit` and within the blob.
    pub fn range_to_vec(&self, start: u64, end: u64, limit: u64) -> Result<Vec<u8>, StorageError> {
        let wanted = end.checked_sub(start).filter(|_| end <= self.blob.len).filter(|wanted| *wanted <= limit);
        let Some(wanted) = wanted else {
            let why = format!("bytes {start} to {end} were to be read of {}, at most {limit} at once", self.blob.len);
            return Err(StorageError::at("read", Path::new(&self.blob.label), start, invalid(why)));
        };
        let mut bytes = vec![0; wanted as usize];
        self.read_exact_at(start, &mut bytes)?;
        Ok(bytes)
    }

    /// A sequential reader over `start..end`; put a `BufReader` around it.
    pub fn range(&self, start: u64, end: u64) -> BlobRange {
        BlobRange { blob: self.clone(), position: start, end: end.min(self.blob.len) }
    }
}

/// `Read` over a byte range of a [`BlobReader`].
#[derive(Debug)]
pub struct BlobRange {
    blob: BlobReader,
    position: u64,
    end: u64,
}

impl BlobRange {
    /// The logical offset that the next byte comes from.
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl io::Read for BlobRange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = (self.end.saturating_sub(self.position)).min(buffer.len() as u64) as usize;
        let count = self
            .blob
            .read_at(self.position, &mut buffer[..wanted])
            .map_err(|error| io::Error::new(error.source.kind(), error))?;
        self.position += count as u64;
        Ok(count)
    }
}

fn whole(start: u64, len: u64) -> Arc<[Extent]> {
    if len == 0 { Arc::default() } else { Arc::new([Extent { logical: start, physical: start, len }]) }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(bytes: &[u8]) -> (tempfile::TempDir, Blob) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let blob = Blob::of_path(&path).unwrap();
        (dir, blob)
    }

    #[test]
    fn members_of_sparse_members_read_as_the_bytes_they_stand_for() {
        let (_dir, blob) = blob(b"0123456789");
        let piece = |logical, physical, len| Extent { logical, physical, len };
        let sparse = blob.sparse_member("s", 12, &[piece(2, 1, 3), piece(8, 6, 2)]).unwrap();
        assert_eq!(sparse.read_all(12).unwrap(), b"\0\x00123\0\0\x0067\0\0");
        let inner = sparse.member("i", 3, 6).unwrap();
        assert_eq!(inner.read_all(6).unwrap(), b"23\0\0\x006");
        assert!(inner.label().ends_with("file: s: i"));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_reads_stop_at_the_end() {
        let (_dir, blob) = blob(b"0123456789");
        let piece = |logical, physical, len| Extent { logical, physical, len };
        assert!(blob.member("m", 5, 6).is_err());
        assert!(blob.member("m", u64::MAX, 2).is_err());
        assert!(blob.sparse_member("m", 8, &[piece(4, 0, 2), piece(3, 0, 2)]).is_err());
        assert!(blob.sparse_member("m", 3, &[piece(2, 0, 2)]).is_err());
        let reader = blob.open().unwrap();
        let mut buffer = [9; 4];
        assert_eq!(reader.read_at(8, &mut buffer).unwrap(), 2);
        assert_eq!(reader.read_at(80, &mut buffer).unwrap(), 0);
        assert!(reader.read_exact_at(8, &mut buffer).is_err());
        assert!(blob.read_all(9).is_err());
    }
}
