//! Sparse members: which bytes of a file stand in the tar.
//!
//! The map of PAX format 1.0 stands before the data: a count, then offset and size of every piece, each a decimal
//! number with a line feed, padded with zeros to a whole block.

use std::io::{BufReader, Read};

use tranship_storage::blob::BlobRange;

use super::pax::decimal;

/// Most pieces of one member.
pub const MAX_PIECES: usize = 1 << 20;

/// A sparse file.
pub struct Map {
    /// Bytes, holes included.
    pub len: u64,
    /// Offset and bytes of what is stored, one after another.
    pub pieces: Vec<(u64, u64)>,
    /// The pieces are still to be read from the start of the data.
    pub map_in_data: bool,
}

/// The numbers at the start of the data.
pub struct Numbers {
    input: BufReader<BlobRange>,
    read: u64,
}

impl Numbers {
    /// Over the data of a member.
    pub fn new(data: BlobRange) -> Self {
        Numbers { input: BufReader::with_capacity(4096, data), read: 0 }
    }

    /// The whole map.
    pub fn map(&mut self) -> Result<Vec<(u64, u64)>, String> {
        let count = self.next()?;
        if count > MAX_PIECES as u64 {
            return Err(format!("a sparse map of {count} pieces"));
        }
        (0..count).map(|_| Ok((self.next()?, self.next()?))).collect()
    }

    /// Bytes taken so far.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    fn next(&mut self) -> Result<u64, String> {
        let bad = || "a sparse map that is no list of numbers".to_owned();
        let mut digits = Vec::with_capacity(20);
        loop {
            let mut byte = [0];
            self.input.read_exact(&mut byte).map_err(|_| bad())?;
            self.read += 1;
            match byte[0] {
                b'\n' => return decimal(&digits).ok_or_else(bad),
                _ if digits.len() == 20 => return Err(bad()),
                digit => digits.push(digit),
            }
        }
    }
}
