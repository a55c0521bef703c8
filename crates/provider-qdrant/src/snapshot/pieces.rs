//! Many small pieces of numbered files, read in few large reads.
//!
//! Invariant: pieces that lie close together in the order of the request are read at once; what lies between them
//! is read and dropped, up to [`WASTE_BYTES`] of a request. A piece that does not lie within its file has no range; the file is never grown to it.

use std::collections::BTreeMap;
use std::ops::Range;

use tranship_connector::Result;
use tranship_storage::{Blob, BlobReader, Tree};

/// Largest hole that is read over.
const GAP_BYTES: u64 = 16 << 10;
/// Most bytes that one request reads over, so that pieces far apart never fill the memory with what is between them.
const WASTE_BYTES: u64 = 2 << 20;
/// Most bytes of one read that covers several pieces.
const SPAN_BYTES: u64 = 4 << 20;

/// Files that are told apart by a number in their name; opened for each request, so that they cost no descriptors.
pub struct Numbered {
    files: BTreeMap<u32, Blob>,
}

/// A run of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Number of the file.
    pub file: u32,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// What a request read.
#[derive(Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    ranges: Vec<Option<Range<usize>>>,
}

impl Numbered {
    /// The files `<prefix><number><suffix>` at the top of `tree`.
    pub fn find(tree: &Tree, prefix: &str, suffix: &str) -> Self {
        let number = |name: &str| name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok();
        Numbered { files: tree.iter().filter_map(|(name, blob)| Some((number(name)?, blob.clone()))).collect() }
    }

    /// One file, number 0.
    pub fn one(file: &Blob) -> Self {
        Numbered { files: BTreeMap::from([(0, file.clone())]) }
    }

    /// True if there is a file of this number.
    pub fn holds(&self, number: u32) -> bool {
        self.files.contains_key(&number)
    }

    /// Reads `pieces` in their order.
    pub fn read(&self, pieces: &[Piece], into: &mut Pieces) -> Result<()> {
        into.bytes.clear();
        into.ranges.clear();
        let mut open: Option<(u32, BlobReader)> = None;
        let mut rest = pieces;
        let mut wasted = 0;
        while let Some(first) = rest.first() {
            let Some(len) = self.end_of(first) else {
                into.ranges.push(None);
                rest = &rest[1..];
                continue;
            };
            let (count, end) = self.span(rest, len, &mut wasted);
            if open.as_ref().is_none_or(|(number, _)| *number != first.file) {
                let blob = self.files.get(&first.file);
                open = blob.map(|blob| blob.open().map(|reader| (first.file, reader))).transpose()?;
            }
            let start = into.bytes.len();
            into.bytes.resize(start + (end - first.offset) as usize, 0);
            if let Some((_, reader)) = &open {
                reader.read_exact_at(first.offset, &mut into.bytes[start..])?;
            }
            for piece in &rest[..count] {
                let at = start + (piece.offset - first.offset) as usize;
                into.ranges.push(Some(at..at + piece.len as usize));
            }
            rest = &rest[count..];
        }
        Ok(())
    }

    /// One past the last byte of a piece that lies within its file.
    fn end_of(&self, piece: &Piece) -> Option<u64> {
        let len = self.files.get(&piece.file)?.len();
        piece.offset.checked_add(piece.len).filter(|end| *end <= len)
    }

    /// How many pieces from the first on are read at once, and where that read ends.
    fn span(&self, pieces: &[Piece], first_end: u64, wasted: &mut u64) -> (usize, u64) {
        let first = pieces[0];
        let mut end = first_end;
        let mut count = 1;
        for piece in &pieces[1..] {
            let gap = piece.offset.checked_sub(end).filter(|_| piece.file == first.file);
            let Some(gap) = gap.filter(|gap| *gap <= GAP_BYTES && *wasted + gap <= WASTE_BYTES) else { break };
            match self.end_of(piece).filter(|end| end - first.offset <= SPAN_BYTES) {
                Some(piece_end) => end = piece_end,
                None => break,
            }
            *wasted += gap;
            count += 1;
        }
        (count, end)
    }
}

impl Pieces {
    /// Reads into a buffer that has been used before.
    pub fn reusing(bytes: Vec<u8>) -> Self {
        Pieces { bytes, ranges: Vec::new() }
    }

    /// The buffer, and the range of every piece in it.
    pub fn into_parts(self) -> (Vec<u8>, Vec<Option<Range<usize>>>) {
        (self.bytes, self.ranges)
    }

    /// The bytes of piece `position` of the request; `None` if it did not lie within its file.
    pub fn get(&self, position: usize) -> Option<&[u8]> {
        self.bytes.get(self.ranges.get(position)?.clone()?)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn pieces_far_apart_are_read_without_keeping_what_lies_between() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chunk_0.mmap");
        let bytes: Vec<u8> = (0..64u32 << 20).map(|at| (at / 10_007) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let files = Numbered::one(&Blob::of_path(&path).unwrap());
        let pieces: Vec<Piece> = (0..4096).map(|row| Piece { file: 0, offset: row * 16_000, len: 100 }).collect();
        let mut read = Pieces::default();
        files.read(&pieces, &mut read).unwrap();
        for (position, piece) in pieces.iter().enumerate() {
            let at = piece.offset as usize;
            assert_eq!(read.get(position).unwrap(), &bytes[at..at + 100]);
        }
        assert!(read.bytes.len() as u64 <= 4096 * 100 + WASTE_BYTES, "{} bytes are kept", read.bytes.len());
    }
}
