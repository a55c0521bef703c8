//! Numbers and byte strings as RocksDB writes them, taken off a slice.
//!
//! Invariant: a [`Bytes`] never reads beyond its slice; `None` says that the slice ends too early or that a varint has
//! more bits than its type.

/// What is left of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Bytes { rest: bytes, len: bytes.len() }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes taken so far.
    pub fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*head)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Seven bits per byte, the lowest first, the high bit set in all but the last byte.
    pub fn varint64(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub fn varint32(&mut self) -> Option<u32> {
        self.varint64().and_then(|value| value.try_into().ok())
    }

    /// A varint length and so many bytes.
    pub fn sized(&mut self) -> Option<&'a [u8]> {
        let len = self.varint32()?;
        self.take(len as usize)
    }

    /// What [`Self::sized`] would take.
    pub fn peek_sized(&self) -> Option<&'a [u8]> {
        Bytes::new(self.rest).sized()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_end_with_their_type() {
        let mut bytes = Bytes::new(&[0xac, 0x02, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!((bytes.varint32(), bytes.varint32(), bytes.varint32()), (Some(300), Some(u32::MAX), None));
        assert_eq!(Bytes::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).varint32(), None);
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Bytes::new(&most).varint64(), Some(u64::MAX));
        assert_eq!(Bytes::new(&[0xff; 10]).varint64(), None);
        assert_eq!(Bytes::new(&[3, 1, 2]).sized(), None);
    }
}
