//! Protocol Buffers messages read field by field, without a schema compiler.
//!
//! ```text
//! message = field*      field = key value      key = varint: number << 3 | wire type
//! wire type 0 varint, at most 10 bytes | 1 eight bytes LE | 2 varint length, then bytes | 5 four bytes LE
//! ```
//!
//! Invariant: nothing is copied or allocated; a length is compared with what remains before it is used. Fields come in
//! the order of the bytes; the caller skips numbers that it does not know. Nesting is the caller's recursion.
//!
//! Errors: damaged with the byte offset within the message for an overlong varint, a length beyond the end, a group or
//! an unknown wire type. Source of the format: protobuf.dev "Encoding".

use tranship_connector::{Error, Result};

/// A field's value as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Integers, booleans and enums.
    Varint(u64),
    /// Doubles and fixed 64-bit integers.
    Fixed64([u8; 8]),
    /// Text, bytes, messages and packed repeated numbers.
    Bytes(&'a [u8]),
    /// Floats and fixed 32-bit integers.
    Fixed32([u8; 4]),
}

/// The fields of one message, in the order of the bytes.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    rest: &'a [u8],
    len: usize,
    broken: bool,
}

impl<'a> Message<'a> {
    /// The message that `bytes` hold.
    pub fn new(bytes: &'a [u8]) -> Self {
        Message { rest: bytes, len: bytes.len(), broken: false }
    }

    fn field(&mut self) -> Result<(u32, Value<'a>)> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| self.damaged("a field number that does not exist"))?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.array()?),
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Fixed32(self.array()?),
            other => return Err(self.damaged(format_args!("wire type {other}"))),
        };
        Ok((number, value))
    }

    fn varint(&mut self) -> Result<u64> {
        read_varint(&mut self.rest).ok_or_else(|| self.damaged("a number that does not end"))
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let Some((taken, rest)) = split else {
            return Err(self.damaged(format_args!("{len} bytes, but only {} follow", self.rest.len())));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.damaged(format_args!("{N} bytes, but only {} follow", self.rest.len())));
        };
        self.rest = rest;
        Ok(*taken)
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> Error {
        Error::damaged(format!("the protobuf message is damaged: {reason}"))
            .with("byte of the message", self.len - self.rest.len())
            .hint("copy the file again from its origin and compare sizes")
    }
}

impl<'a> Iterator for Message<'a> {
    type Item = Result<(u32, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken || self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        self.broken = field.is_err();
        Some(field)
    }
}

impl<'a> Value<'a> {
    /// The bytes of a length-delimited field.
    pub fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected(other, "bytes")),
        }
    }

    /// The number of a varint field.
    pub fn varint(self) -> Result<u64> {
        match self {
            Value::Varint(number) => Ok(number),
            other => Err(unexpected(other, "a number")),
        }
    }

    /// The numbers of a repeated varint field, packed or one by one.
    pub fn varints(self, mut each: impl FnMut(u64)) -> Result<()> {
        match self {
            Value::Varint(number) => each(number),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    let number = read_varint(&mut packed);
                    each(number.ok_or_else(|| unexpected(self, "packed numbers"))?);
                }
            }
            other => return Err(unexpected(other, "numbers")),
        }
        Ok(())
    }

    /// The values of a repeated field of four bytes each, packed or one by one.
    pub fn fixed32s(self, each: impl FnMut([u8; 4])) -> Result<()> {
        match self {
            Value::Fixed32(value) => [value].into_iter().for_each(each),
            Value::Bytes(packed) => match packed.as_chunks::<4>() {
                (values, []) => values.iter().copied().for_each(each),
                _ => return Err(unexpected(self, "packed values of four bytes")),
            },
            other => return Err(unexpected(other, "values of four bytes")),
        }
        Ok(())
    }

    /// The values of a repeated field of eight bytes each, packed or one by one.
    pub fn fixed64s(self, each: impl FnMut([u8; 8])) -> Result<()> {
        match self {
            Value::Fixed64(value) => [value].into_iter().for_each(each),
            Value::Bytes(packed) => match packed.as_chunks::<8>() {
                (values, []) => values.iter().copied().for_each(each),
                _ => return Err(unexpected(self, "packed values of eight bytes")),
            },
            other => return Err(unexpected(other, "values of eight bytes")),
        }
        Ok(())
    }
}

/// Takes one varint off `bytes`; `None` if it does not end, or is larger than 64 bits.
pub fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for (position, byte) in bytes.iter().take(10).enumerate() {
        let low = u64::from(byte & 0x7f);
        if position == 9 && low > 1 {
            return None;
        }
        number |= low << (7 * position);
        if byte & 0x80 == 0 {
            *bytes = bytes.get(position + 1..)?;
            return Some(number);
        }
    }
    None
}

fn unexpected(value: Value<'_>, wanted: &str) -> Error {
    let found = match value {
        Value::Varint(_) => "a number",
        Value::Fixed64(_) => "eight bytes",
        Value::Bytes(_) => "bytes that do not fit",
        Value::Fixed32(_) => "four bytes",
    };
    Error::damaged(format!("the protobuf message has {found} where {wanted} should stand"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>> {
        Message::new(bytes).collect()
    }

    #[test]
    fn every_wire_type_is_read() {
        let bytes = b"\x08\x96\x01\x11\x01\x02\x03\x04\x05\x06\x07\x08\x1a\x02hi\x25\x01\x02\x03\x04";
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Fixed64([1, 2, 3, 4, 5, 6, 7, 8])),
            (3, Value::Bytes(b"hi")),
            (4, Value::Fixed32([1, 2, 3, 4])),
        ];
        assert_eq!(fields(bytes).unwrap(), expected);
        assert_eq!(fields(b"").unwrap(), []);
    }

    #[test]
    fn repeated_numbers_come_packed_or_one_by_one() {
        let mut numbers = Vec::new();
        Value::Bytes(b"\x01\x96\x01").varints(|n| numbers.push(n)).unwrap();
        Value::Varint(7).varints(|n| numbers.push(n)).unwrap();
        assert_eq!(numbers, [1, 150, 7]);
        let mut quads = Vec::new();
        Value::Bytes(&[1, 2, 3, 4, 5, 6, 7, 8]).fixed32s(|n| quads.push(n)).unwrap();
        assert_eq!(quads, [[1, 2, 3, 4], [5, 6, 7, 8]]);
        assert!(Value::Bytes(&[1, 2, 3]).fixed32s(|_| {}).is_err());
        assert!(Value::Bytes(&[0x80]).varints(|_| {}).is_err());
    }

    #[test]
    fn hostile_lengths_and_types_are_errors_with_their_place() {
        for bytes in [&b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..], b"\x0a\x05hi", b"\x0b", b"\x00", b"\x08"] {
            assert!(fields(bytes).unwrap_err().to_string().contains("byte of the message"));
        }
        let mut endless = &[0xff; 11][..];
        assert_eq!(read_varint(&mut endless), None);
        let mut largest = &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..];
        assert_eq!(read_varint(&mut largest), Some(u64::MAX));
    }
}
