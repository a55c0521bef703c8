//! Records of a log file: the framing that the MANIFEST and the write-ahead logs share.
//!
//! ```text
//! file   = blocks of 32 KiB; a record never begins in the last 6 bytes of a block (zeros)
//! record = u32 masked CRC32C | u16 length | u8 type | payload                    types 1 full, 2 first, 3 middle, 4 last
//!        = u32 masked CRC32C | u16 length | u8 type | u32 log number | payload   types 5 to 8, the same, recycled file
//! ```
//! The CRC covers everything after itself but the length. A logical record is a full one or first, middles and last.
//!
//! A file may end in the middle of a record: that is what a crash leaves, and [`Records::torn`] says so. A record that
//! fails its checksum while others follow is damage. In a recycled file the old content follows: its log number or its
//! checksum ends the log.

use tranship_connector::Result;
use tranship_storage::{Blob, BlobReader, Limits};

use crate::checksum::masked;
use crate::coding::Bytes;
use crate::{damaged, refused};

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;
const RECYCLED_HEADER_BYTES: usize = 11;
/// Types from here on may be passed over by those who do not know them.
const IGNORABLE: u8 = 0x80;

/// The logical records of a file, one after another.
pub struct Records {
    file: BlobReader,
    number: u32,
    max_bytes: usize,
    block: Vec<u8>,
    /// Where `block` begins in the file.
    block_start: u64,
    /// Where the next record begins in `block`.
    at: usize,
    recycled: bool,
    torn: bool,
}

/// A physical record.
struct Fragment {
    kind: Kind,
    /// Where its payload lies in the block.
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    First,
    Middle,
    Last,
    Ignored,
}

impl Records {
    /// The records of the log with the number in its name.
    pub fn open(blob: &Blob, number: u64, limits: &Limits) -> Result<Self> {
        Ok(Records {
            file: blob.open()?,
            number: number as u32,
            max_bytes: limits.max_page_bytes,
            block: Vec::new(),
            block_start: 0,
            at: 0,
            recycled: false,
            torn: false,
        })
    }

    /// True once the end of the file came in the middle of a record.
    pub fn torn(&self) -> bool {
        self.torn
    }

    /// Where the next record begins.
    pub fn position(&self) -> u64 {
        self.block_start + self.at as u64
    }

    /// The next logical record.
    pub fn next_record(&mut self) -> Result<Option<Vec<u8>>> {
        let mut record: Option<Vec<u8>> = None;
        loop {
            let place = self.position();
            let Some(fragment) = self.next_fragment()? else {
                self.torn |= record.is_some();
                return Ok(None);
            };
            let payload = self.block.get(fragment.start..fragment.end).unwrap_or_default();
            match (fragment.kind, &mut record) {
                (Kind::Ignored, _) => {}
                (Kind::Full, None) => return Ok(Some(payload.to_vec())),
                (Kind::First, None) => record = Some(payload.to_vec()),
                (Kind::Middle | Kind::Last, Some(begun)) => {
                    if begun.len().saturating_add(payload.len()) > self.max_bytes {
                        let why = format!("a record of more than {} bytes in a RocksDB log", self.max_bytes);
                        return Err(tranship_connector::Error::limit(why).with("file", self.file.label()));
                    }
                    begun.extend_from_slice(payload);
                    if fragment.kind == Kind::Last {
                        return Ok(record);
                    }
                }
                (kind, _) => {
                    return Err(damaged(self.file.label(), place, format_args!("a {kind:?} fragment out of place")));
                }
            }
        }
    }

    fn next_fragment(&mut self) -> Result<Option<Fragment>> {
        loop {
            if self.block.len().saturating_sub(self.at) < HEADER_BYTES && !self.next_block()? {
                return Ok(None);
            }
            let rest = self.block.get(self.at..).unwrap_or_default();
            let mut bytes = Bytes::new(rest);
            let (Some(stored), Some(len), Some(code)) = (bytes.u32(), bytes.u16(), bytes.u8()) else {
                self.torn |= rest.iter().any(|byte| *byte != 0);
                return Ok(None);
            };
            if code == 0 && len == 0 {
                // Room that was never written: nothing more in this block.
                if rest.iter().any(|byte| *byte != 0) {
                    return Err(self.damaged("bytes after the end of the block's records"));
                }
                self.at = self.block.len();
                continue;
            }
            return self.fragment(stored, usize::from(len), code);
        }
    }

    fn fragment(&mut self, stored: u32, len: usize, code: u8) -> Result<Option<Fragment>> {
        let recyclable = matches!(code, 5..=8 | 11 | 131);
        let header = if recyclable { RECYCLED_HEADER_BYTES } else { HEADER_BYTES };
        let (start, end) = (self.at + header, self.at + header + len);
        if end > self.block.len() {
            if self.block.len() < BLOCK_BYTES || self.recycled {
                self.torn = !self.recycled;
                return Ok(None);
            }
            return Err(self.damaged(format_args!("a record of {len} bytes leaves its block")));
        }
        let covered = self.block.get(self.at + 6..end).unwrap_or_default();
        if masked(crc32c::crc32c(covered)) != stored {
            if self.recycled {
                return Ok(None);
            }
            if self.nothing_follows(end)? {
                self.torn = true;
                return Ok(None);
            }
            return Err(self.damaged("a record fails its checksum"));
        }
        if recyclable {
            self.recycled = true;
            let number = self.block.get(self.at + HEADER_BYTES..start).map(|bytes| Bytes::new(bytes).u32());
            if number.flatten() != Some(self.number) {
                return Ok(None);
            }
        }
        let kind = match code {
            1 | 5 => Kind::Full,
            2 | 6 => Kind::First,
            3 | 7 => Kind::Middle,
            4 | 8 => Kind::Last,
            9 => return Err(refused(self.file.label(), "a compressed write-ahead log")),
            10 | 11 => return Err(refused(self.file.label(), "keys with timestamps")),
            _ if code & IGNORABLE != 0 => Kind::Ignored,
            _ => return Err(self.damaged(format_args!("record type {code}"))),
        };
        self.at = end;
        Ok(Some(Fragment { kind, start, end }))
    }

    /// Moves on to the next block; `false` at the end of the file.
    fn next_block(&mut self) -> Result<bool> {
        let tail = self.block.get(self.at..).unwrap_or_default();
        if tail.iter().any(|byte| *byte != 0) {
            if self.block.len() == BLOCK_BYTES {
                return Err(self.damaged("bytes after the end of the block's records"));
            }
            self.torn = true;
        }
        self.block_start += self.block.len() as u64;
        self.at = 0;
        let wanted = self.file.len().saturating_sub(self.block_start).min(BLOCK_BYTES as u64) as usize;
        self.block.resize(wanted, 0);
        self.file.read_exact_at(self.block_start, &mut self.block)?;
        Ok(wanted > 0)
    }

    /// True if the file holds only zeros beyond `end` of this block.
    fn nothing_follows(&self, end: usize) -> Result<bool> {
        if self.block.get(end..).unwrap_or_default().iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let mut at = self.block_start + self.block.len() as u64;
        let mut piece = [0; BLOCK_BYTES];
        loop {
            let count = self.file.read_at(at, &mut piece)?;
            if count == 0 {
                return Ok(true);
            }
            if piece.iter().take(count).any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += count as u64;
        }
    }

    fn damaged(&self, what: impl std::fmt::Display) -> tranship_connector::Error {
        damaged(self.file.label(), self.position(), what)
    }
}
