//! Point ids as they stand in Qdrant's files: an unsigned integer or a UUID.
//!
//! Canonical text: decimal digits for an integer, lower-case hyphenated spelling for a UUID. The packed form of
//! [`PACKED_BYTES`] is what id tables and digests are made of:
//!
//! ```text
//! 0  u8      0 nothing, 1 integer, 2 UUID
//! 1  16 B    integer: u64 LE and 8 zero bytes; UUID: its bytes in the usual order
//! ```

use tranship_collection::IdKind;
use uuid::Uuid;

/// Bytes of a packed id.
pub const PACKED_BYTES: usize = 17;

/// The id of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PointId {
    /// An unsigned integer.
    Number(u64),
    /// A UUID, its bytes in the usual (big-endian) order.
    Uuid([u8; 16]),
}

impl PointId {
    /// Integers stay integers; a UUID is text.
    pub fn kind(&self) -> IdKind {
        match self {
            PointId::Number(_) => IdKind::Integer,
            PointId::Uuid(_) => IdKind::Text,
        }
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        match self {
            PointId::Number(number) => number.to_string(),
            PointId::Uuid(bytes) => Uuid::from_bytes(*bytes).hyphenated().to_string(),
        }
    }

    /// The packed form.
    pub fn pack(&self) -> [u8; PACKED_BYTES] {
        let mut packed = [0; PACKED_BYTES];
        match self {
            PointId::Number(number) => {
                packed[0] = 1;
                packed[1..9].copy_from_slice(&number.to_le_bytes());
            }
            PointId::Uuid(bytes) => {
                packed[0] = 2;
                packed[1..].copy_from_slice(bytes);
            }
        }
        packed
    }

    /// The id that was packed; `None` for nothing.
    pub fn unpack(packed: &[u8; PACKED_BYTES]) -> Option<Self> {
        let [kind, rest @ ..] = packed;
        match kind {
            1 => rest.first_chunk().map(|number| PointId::Number(u64::from_le_bytes(*number))),
            2 => Some(PointId::Uuid(*rest)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_text_and_survive_packing() {
        let uuid = PointId::Uuid(*b"\x3f\x62\x25\x91\xba\xa6\x58\x88\x8a\x4f\x6b\x38\x13\xe1\x6a\x44");
        assert_eq!(uuid.text(), "3f622591-baa6-5888-8a4f-6b3813e16a44");
        assert_eq!(PointId::Number(u64::MAX).text(), "18446744073709551615");
        for id in [uuid, PointId::Number(0), PointId::Number(u64::MAX)] {
            assert_eq!(PointId::unpack(&id.pack()), Some(id));
        }
        assert_eq!(PointId::unpack(&[0; PACKED_BYTES]), None);
    }
}
