//! The header of a data page of format 1, in Thrift's compact protocol.
//!
//! ```text
//! 15 type = 0 | 15 bytes before compression | 15 bytes after | 2C (field 5, a struct)
//!    15 levels | 15 encoding | 15 RLE (definition) | 15 RLE (repetition) | 00
//! 00                                                     15 = next field, an i32 as a zigzag varint
//! ```
//!
//! Invariant: [`PageHeader::read`] takes exactly what [`PageHeader::write`] makes, with the lengths not negative; it is
//! meant for our own pages. Source: apache/parquet-format 2.11, `parquet.thrift`; Thrift compact protocol.

const NEXT_I32: u8 = 0x15;
/// Two fields on: the checksum, which is optional, is left out.
const DATA_PAGE_STRUCT: u8 = 0x2C;
const STOP: u8 = 0;
const DATA_PAGE: i32 = 0;
const RLE: i32 = 3;
/// Bytes of the longest header: seven numbers of five bytes, their tags, the struct and the stops.
pub const MAX_HEADER_BYTES: usize = 7 * 6 + 3;

/// How the values of a page are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueEncoding {
    /// One value after another.
    Plain,
    /// One plane per byte of a value.
    ByteStreamSplit,
}

/// What a page says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageHeader {
    /// Bytes of levels and values.
    pub body_bytes: usize,
    /// Bytes of them in the file.
    pub packed_bytes: usize,
    /// Repetition levels, which are as many as definition levels.
    pub levels: usize,
    /// How the values are encoded.
    pub encoding: ValueEncoding,
}

impl PageHeader {
    /// Appends the header. Each number must be below 2^31.
    pub fn write(&self, out: &mut Vec<u8>) {
        let encoding = match self.encoding {
            ValueEncoding::Plain => 0,
            ValueEncoding::ByteStreamSplit => 9,
        };
        for number in [DATA_PAGE, self.body_bytes as i32, self.packed_bytes as i32] {
            write_i32(number, out);
        }
        out.push(DATA_PAGE_STRUCT);
        for number in [self.levels as i32, encoding, RLE, RLE] {
            write_i32(number, out);
        }
        out.extend([STOP, STOP]);
    }

    /// Reads a header from the start of `bytes` and says how long it is; `None` if it is not one of ours.
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut rest = bytes;
        let page_type = read_i32(&mut rest)?;
        let body_bytes = usize::try_from(read_i32(&mut rest)?).ok()?;
        let packed_bytes = usize::try_from(read_i32(&mut rest)?).ok()?;
        expect(&mut rest, DATA_PAGE_STRUCT)?;
        let levels = usize::try_from(read_i32(&mut rest)?).ok()?;
        let encoding = match read_i32(&mut rest)? {
            0 => ValueEncoding::Plain,
            9 => ValueEncoding::ByteStreamSplit,
            _ => return None,
        };
        let level_encodings = [read_i32(&mut rest)?, read_i32(&mut rest)?];
        expect(&mut rest, STOP)?;
        expect(&mut rest, STOP)?;
        let ours = page_type == DATA_PAGE && level_encodings == [RLE, RLE];
        let header = PageHeader { body_bytes, packed_bytes, levels, encoding };
        ours.then_some((header, bytes.len() - rest.len()))
    }
}

/// Appends `value` in groups of seven bits, the lowest first.
pub fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number of at most 35 bits off `bytes`.
pub fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn write_i32(value: i32, out: &mut Vec<u8>) {
    out.push(NEXT_I32);
    write_varint(u64::from(((value << 1) ^ (value >> 31)) as u32), out);
}

fn read_i32(bytes: &mut &[u8]) -> Option<i32> {
    expect(bytes, NEXT_I32)?;
    let zigzag = u32::try_from(read_varint(bytes)?).ok()?;
    Some((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32))
}

fn expect(bytes: &mut &[u8], wanted: u8) -> Option<()> {
    (*bytes.split_off_first()? == wanted).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_no_part_of_one_does() {
        for encoding in [ValueEncoding::Plain, ValueEncoding::ByteStreamSplit] {
            for size in [0, 1, 63, 64, 524_288, i32::MAX as usize] {
                let header = PageHeader { body_bytes: size, packed_bytes: size / 2, levels: size / 4, encoding };
                let mut bytes = Vec::new();
                header.write(&mut bytes);
                assert!(bytes.len() <= MAX_HEADER_BYTES);
                assert!((0..bytes.len()).all(|len| PageHeader::read(&bytes[..len]).is_none()));
                let len = bytes.len();
                bytes.extend(b"what follows");
                assert_eq!(PageHeader::read(&bytes), Some((header, len)));
            }
        }
    }

    #[test]
    fn negative_lengths_and_other_pages_are_not_ours() {
        let header = PageHeader { body_bytes: 9, packed_bytes: 8, levels: 7, encoding: ValueEncoding::Plain };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        for (place, value) in [(1, 2), (3, 1), (5, 1), (8, 1), (10, 4), (12, 2), (14, 2)] {
            let mut other = bytes.clone();
            other[place] = value;
            assert_eq!(PageHeader::read(&other), None, "byte {place} = {value}");
        }
    }
}
