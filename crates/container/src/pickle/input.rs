//! The byte stream under the decoder: counts its offset and never promises more than the input can hold.

use std::io::{ErrorKind, Read};

use tranship_connector::Result;

use super::damaged;

const BUFFER_BYTES: usize = 64 << 10;

/// A buffered reader that knows where it is and how much can still come.
pub(super) struct Input<R> {
    reader: R,
    buffer: Vec<u8>,
    position: usize,
    filled: usize,
    offset: u64,
    len: u64,
}

impl<R: Read> Input<R> {
    pub(super) fn new(reader: R, len: u64) -> Self {
        Input { reader, buffer: vec![0; BUFFER_BYTES], position: 0, filled: 0, offset: 0, len }
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that can still follow.
    pub(super) fn remaining(&self) -> u64 {
        self.len.saturating_sub(self.offset)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        if self.position == self.filled {
            self.refill()?;
        }
        let byte = self.buffer.get(self.position).copied().unwrap_or_default();
        self.advance(1);
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    /// Checks that `count` bytes can still follow.
    pub(super) fn expect(&self, count: u64, what: &str) -> Result<usize> {
        match usize::try_from(count) {
            Ok(wanted) if count <= self.remaining() => Ok(wanted),
            _ => Err(damaged(
                self.offset,
                format_args!("{what} of {count} bytes, but only {} bytes follow", self.remaining()),
            )),
        }
    }

    /// Appends `count` bytes to `out`. The caller has checked `count` with [`Self::expect`].
    pub(super) fn append(&mut self, count: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut missing = count;
        while missing > 0 {
            if self.position == self.filled {
                self.refill()?;
            }
            let available = &self.buffer[self.position..self.filled];
            let taken = missing.min(available.len());
            out.extend_from_slice(&available[..taken]);
            self.advance(taken);
            missing -= taken;
        }
        Ok(())
    }

    /// The bytes up to the next newline, which is consumed and left out.
    pub(super) fn line(&mut self, max: usize) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(line),
                _ if line.len() == max => {
                    return Err(damaged(self.offset, format_args!("a line longer than {max} bytes")));
                }
                byte => line.push(byte),
            }
        }
    }

    fn advance(&mut self, count: usize) {
        self.position += count;
        self.offset += count as u64;
    }

    fn refill(&mut self) -> Result<()> {
        let want = self.buffer.len().min(usize::try_from(self.remaining()).unwrap_or(usize::MAX));
        let filled = loop {
            match self.reader.read(&mut self.buffer[..want]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if filled == 0 {
            return Err(damaged(self.offset, "it ends in the middle"));
        }
        (self.position, self.filled) = (0, filled);
        Ok(())
    }
}
