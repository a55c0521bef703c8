//! The data blocks of a custom-format archive.
//!
//! ```text
//! u8 type: 1 data, 3 large objects | INT dump id | chunks: INT length | bytes | .. | INT 0
//! large objects: (INT oid | chunks | INT 0) .. | INT 0
//! INT: u8 sign, 1 = negative | bytes, little-endian, as many as the header says
//! ```
//! The chunks of a data block are one stream, compressed as a whole. An archive that was written to a pipe has no
//! offsets in its table of contents; its blocks are found by walking from the end of that table.
//!
//! Errors: damaged for a block of another type or id than was looked for, negative lengths, data that ends early.
//! Source: PostgreSQL `src/bin/pg_dump/pg_backup_custom.c`.

use std::io::{self, Read};

use tranship_connector::{Error, Result};

use super::input::{Codec, Cursor, Input, read_error};

const DATA: u8 = 1;
const LARGE_OBJECTS: u8 = 3;

/// A data block.
#[derive(Debug, Clone)]
pub struct Block {
    /// The archive.
    pub archive: Input,
    /// Bytes of an INT after its sign.
    pub int_size: usize,
    /// Where the block begins, if the table of contents says so.
    pub offset: Option<u64>,
    /// Where the first block begins.
    pub first: u64,
    /// The dump id.
    pub id: i64,
    /// Compression of its data.
    pub codec: Codec,
}

impl Block {
    /// The decompressed data.
    pub fn open(&self) -> Result<Box<dyn Read + Send>> {
        let cursor = self.find()?;
        let at = cursor.position();
        let chunks = Box::new(Chunks { cursor, int_size: self.int_size, left: 0, ended: false });
        self.codec.decode(chunks).map_err(|error| self.error(at, error))
    }

    /// A cursor at the first chunk.
    fn find(&self) -> Result<Cursor> {
        let mut cursor = self.archive.cursor(self.offset.unwrap_or(self.first))?;
        loop {
            let at = cursor.position();
            let (kind, id) = self.head(&mut cursor).map_err(|error| self.error(at, error))?;
            if kind == DATA && id == self.id {
                return Ok(cursor);
            }
            if self.offset.is_some() || !matches!(kind, DATA | LARGE_OBJECTS) {
                return Err(Error::damaged(format!("no data block {} begins here", self.id))
                    .with("file", self.archive.label())
                    .with("byte", at)
                    .hint("the archive is damaged; check it with `pg_restore --list` and make a new one"));
            }
            self.pass(kind, &mut cursor).map_err(|error| self.error(at, error))?;
        }
    }

    fn head(&self, cursor: &mut Cursor) -> io::Result<(u8, i64)> {
        let mut kind = [0];
        cursor.read_exact(&mut kind)?;
        Ok((kind[0], read_int(cursor, self.int_size)?))
    }

    /// Passes over what follows the head of a block.
    fn pass(&self, kind: u8, cursor: &mut Cursor) -> io::Result<()> {
        if kind == DATA {
            return self.pass_chunks(cursor);
        }
        while read_int(cursor, self.int_size)? != 0 {
            self.pass_chunks(cursor)?;
        }
        Ok(())
    }

    fn pass_chunks(&self, cursor: &mut Cursor) -> io::Result<()> {
        loop {
            match chunk_length(cursor, self.int_size)? {
                0 => return Ok(()),
                len => cursor.skip(len)?,
            }
        }
    }

    fn error(&self, at: u64, error: io::Error) -> Error {
        read_error(self.archive.label(), at, error)
    }
}

/// Reads an INT.
pub fn read_int(input: &mut impl Read, int_size: usize) -> io::Result<i64> {
    let mut bytes = [0; 9];
    let bytes = bytes.get_mut(..int_size.min(8) + 1).unwrap_or_default();
    input.read_exact(bytes)?;
    let (sign, digits) = bytes.split_first().unwrap_or((&0, &[]));
    let value = digits.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let value = i64::try_from(value).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "an integer beyond 63 bits"))?;
    Ok(if *sign == 0 { value } else { -value })
}

fn chunk_length(input: &mut impl Read, int_size: usize) -> io::Result<u64> {
    let len = read_int(input, int_size)?;
    u64::try_from(len).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("a chunk of {len} bytes")))
}

/// The chunks of a block, one after another.
struct Chunks {
    cursor: Cursor,
    int_size: usize,
    left: u64,
    ended: bool,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            self.left = chunk_length(&mut self.cursor, self.int_size)?;
            self.ended = self.left == 0;
        }
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.cursor.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within a data block"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
