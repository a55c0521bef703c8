//! The members of one split's segments while they grow: many files side by side, in the chunks of one.
//!
//! A tar needs the size of a member before its bytes, and no size is known before the split ends. So every member
//! collects its bytes in a small buffer, full buffers go one after another into the split's file of pieces, and a recipe
//! says which pieces make which member. The recipe and the pieces are the shard that an interrupted run goes on from.
//!
//! ```text
//! job/segments-00042.pieces    chunks of all members, in the order in which they were full
//! job/segments-00042.json      [{"rows","members":[{"name","size","pieces":[[offset,bytes],..]},..]},..], one entry per segment
//! ```
//!
//! Invariant: a member is `size` bytes long, its pieces one after another and zeros after the last of them. Memory is
//! one buffer per open member, and one value.

use std::io::Write;

use serde::{Deserialize, Serialize};
use tranship_connector::Result;
use tranship_storage::DurableFile;

/// Bytes that a member collects before they are written: as many as the file below takes without copying them again.
pub const BUFFER_BYTES: usize = 256 << 10;

/// The segments of one split.
pub type Recipe = Vec<SegmentRecipe>;

/// The files of one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecipe {
    /// Points in it.
    pub rows: u64,
    /// In the order in which they are to stand in the tar.
    pub members: Vec<MemberRecipe>,
}

/// One file of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecipe {
    /// Path within the segment.
    pub name: String,
    /// Bytes of the file; zeros from the last piece on.
    pub size: u64,
    /// Offset and length of each piece.
    pub pieces: Vec<(u64, u64)>,
}

impl MemberRecipe {
    /// Bytes that stand in pieces.
    pub fn stored(&self) -> u64 {
        self.pieces.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// The file of pieces.
pub struct PieceFile {
    file: DurableFile,
    pushed: u64,
}

impl PieceFile {
    /// Over a new file.
    pub fn new(file: DurableFile) -> Self {
        PieceFile { file, pushed: 0 }
    }

    /// Bytes that members were given, written or still in a buffer.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// The file, to be completed.
    pub fn into_file(self) -> DurableFile {
        self.file
    }

    fn append(&mut self, bytes: &[u8], pieces: &mut Vec<(u64, u64)>) -> Result<()> {
        let (offset, len) = (self.file.bytes(), bytes.len() as u64);
        self.file.write_all(bytes)?;
        match pieces.last_mut() {
            Some(last) if last.0 + last.1 == offset => last.1 += len,
            _ => pieces.push((offset, len)),
        }
        Ok(())
    }
}

/// A file of a segment under construction.
#[derive(Default)]
pub struct Member {
    buffer: Vec<u8>,
    pieces: Vec<(u64, u64)>,
    bytes: u64,
}

impl Member {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8], out: &mut PieceFile) -> Result<()> {
        self.bytes += bytes.len() as u64;
        out.pushed += bytes.len() as u64;
        if bytes.len() >= BUFFER_BYTES {
            self.flush(out)?;
            return out.append(bytes, &mut self.pieces);
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.flush(out) } else { Ok(()) }
    }

    /// Appends zeros.
    pub fn push_zeros(&mut self, count: u64, out: &mut PieceFile) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let now = left.min(BUFFER_BYTES as u64 / 2);
            self.push(&vec![0; now as usize], out)?;
            left -= now;
        }
        Ok(())
    }

    /// Completes the member as a file of `size` bytes.
    pub fn finish(mut self, name: String, size: u64, out: &mut PieceFile) -> Result<MemberRecipe> {
        self.flush(out)?;
        Ok(MemberRecipe { name, size, pieces: self.pieces })
    }

    /// Completes the member as a file of just its bytes.
    pub fn finish_whole(self, name: String, out: &mut PieceFile) -> Result<MemberRecipe> {
        let size = self.bytes;
        self.finish(name, size, out)
    }

    /// A member of known content.
    pub fn of(name: String, content: &[u8], out: &mut PieceFile) -> Result<MemberRecipe> {
        let mut member = Member::default();
        member.push(content, out)?;
        member.finish_whole(name, out)
    }

    fn flush(&mut self, out: &mut PieceFile) -> Result<()> {
        if !self.buffer.is_empty() {
            out.append(&self.buffer, &mut self.pieces)?;
            self.buffer.clear();
        }
        Ok(())
    }
}
