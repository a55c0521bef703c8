//! The checksums of blocks, footers and log records.
//!
//! A block's checksum covers its bytes and the type byte after them. Format 6 adds a modifier made of the table's own
//! number and the block's offset, so that a block at another place, or of another table, fails.

use xxhash_rust::{xxh3, xxh32, xxh64};

/// How a table's checksums are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    None,
    Crc32c,
    Xxh32,
    Xxh64,
    Xxh3,
}

impl Checksum {
    pub fn of_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Checksum::None,
            1 => Checksum::Crc32c,
            2 => Checksum::Xxh32,
            3 => Checksum::Xxh64,
            4 => Checksum::Xxh3,
            _ => return None,
        })
    }

    /// The checksum of `bytes`; zero for [`Checksum::None`].
    pub fn of(self, bytes: &[u8]) -> u32 {
        match self {
            Checksum::None => 0,
            Checksum::Crc32c => masked(crc32c::crc32c(bytes)),
            Checksum::Xxh32 => xxh32::xxh32(bytes, 0),
            Checksum::Xxh64 => xxh64::xxh64(bytes, 0) as u32,
            // The last byte, which is the type, is mixed in separately.
            Checksum::Xxh3 => bytes
                .split_last()
                .map_or(0, |(last, head)| (xxh3::xxh3_64(head) as u32) ^ u32::from(*last).wrapping_mul(0x6b90_83d9)),
        }
    }
}

/// What format 6 adds to the checksum of what stands at `offset`.
pub fn context_modifier(base: u32, offset: u64) -> u32 {
    if base == 0 { 0 } else { base ^ (offset as u32).wrapping_add((offset >> 32) as u32) }
}

/// A CRC as it is stored: turned and shifted, so that a CRC over bytes that hold CRCs stays meaningful.
pub fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
