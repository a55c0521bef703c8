//! COPY's binary format.
//!
//! ```text
//! "PGCOPY\n\xff\r\n\0" | i32 flags, bit 16: rows have oids | i32 length of the extension | extension
//! row: i16 fields | per field: i32 length (-1 = NULL) | bytes
//! trailer: i16 -1
//! ```
//! Big-endian. There are neither names nor types inside. The rows are read here, the ends in `section`.
//! Source: PostgreSQL documentation, COPY, Binary Format.

use super::{Parse, Row, Step};

/// How the file begins.
pub const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Rows of COPY BINARY.
pub struct BinaryRows;

/// A row in front of bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Extent {
    /// It has so many bytes.
    Whole(usize),
    /// It is not all there.
    Cut,
    /// The trailer.
    Trailer,
    /// Not the beginning of a row.
    Wrong,
}

impl Parse for BinaryRows {
    fn step(&mut self, bytes: &[u8], _last: bool, row: &mut Row) -> Step {
        let len = match extent(bytes, |field| match field {
            Some(value) => row.push(value),
            None => row.push_null(),
        }) {
            Extent::Whole(len) => len,
            Extent::Cut => return Step::More,
            Extent::Trailer | Extent::Wrong => return Step::Lost(0, "no row begins here".to_owned()),
        };
        Step::Row(len)
    }
}

/// Walks over the row in front of `bytes`, field by field.
pub fn extent<'b>(bytes: &'b [u8], mut field: impl FnMut(Option<&'b [u8]>)) -> Extent {
    let Some((count, mut rest)) = bytes.split_first_chunk::<2>() else { return Extent::Cut };
    let count = i16::from_be_bytes(*count);
    if count == -1 {
        return Extent::Trailer;
    }
    let Ok(count) = u16::try_from(count) else { return Extent::Wrong };
    for _ in 0..count {
        let Some((len, behind)) = rest.split_first_chunk::<4>() else { return Extent::Cut };
        rest = behind;
        let len = i32::from_be_bytes(*len);
        if len == -1 {
            field(None);
            continue;
        }
        let Ok(len) = usize::try_from(len) else { return Extent::Wrong };
        let Some((value, behind)) = rest.split_at_checked(len) else { return Extent::Cut };
        field(Some(value));
        rest = behind;
    }
    Extent::Whole(bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_taken_field_by_field() {
        let bytes = [0, 3, 0, 0, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff];
        let mut row = Row::default();
        assert_eq!(BinaryRows.step(&bytes, true, &mut row), Step::Row(15));
        assert_eq!((row.len(), row.get(0), row.get(1), row.get(2)), (3, Some(&b"a"[..]), None, Some(&b""[..])));
        for end in 0..15 {
            assert_eq!(extent(&bytes[..end], |_| ()), Extent::Cut);
        }
        assert_eq!(extent(&bytes[15..], |_| ()), Extent::Trailer);
        assert_eq!(extent(&[0xff, 0xfe], |_| ()), Extent::Wrong);
        assert_eq!(extent(&[0, 1, 0x80, 0, 0, 0], |_| ()), Extent::Wrong);
    }
}
