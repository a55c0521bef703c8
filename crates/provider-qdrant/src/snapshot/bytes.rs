//! Little-endian numbers out of foreign bytes, and the error for bytes that contradict themselves.

use tranship_connector::Error;

/// The u32 at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The u64 at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Bit `at` of a bitmap, least significant first; false beyond its end.
pub fn bit_at(bytes: &[u8], at: u64) -> bool {
    let byte = usize::try_from(at / 8).ok().and_then(|byte| bytes.get(byte));
    byte.is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

/// A file that contradicts itself.
pub fn damaged(file: &str, what: impl Into<String>) -> Error {
    Error::damaged(what).with("file", file).hint(
        "copy the dump again, or take a new snapshot; `qdrant:` reads other nodes' snapshots of the collection too",
    )
}
