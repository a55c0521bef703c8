//! Small collections that Redis keeps in one string: listpacks, ziplists and zipmaps.
//!
//! ```text
//! listpack  u32 bytes, u16 count (65535 = unknown), entry*, ff
//!           entry: 0ddddddd | 10llllll text | 110ddddd d8 | 1110llll l8 text | f0 u32 text
//!                  | f1 i16 | f2 i24 | f3 i32 | f4 i64, then 1 to 5 bytes: how long the entry is
//! ziplist   u32 bytes, u32 tail, u16 count (65535 = unknown), entry*, ff
//!           entry: 1 or (fe) 5 bytes: how long the one before is, then 00llllll text | 01llllll l8 text | 80 u32 text
//!                  (lengths big-endian) | c0 i16 | d0 i32 | e0 i64 | f0 i24 | fe i8 | 1111dddd number d - 1
//! zipmap    u8 count (254 and more = unknown), (length key, length value)*, ff
//!           length: u8 | fe u32; a value's length is followed by a byte: how many unused bytes follow the value
//! ```
//! Numbers are little-endian unless said otherwise, and stand for their decimal text.
//!
//! Invariant: the string is used up to its last byte and holds as many entries as it says, or it is damaged. Errors
//! are texts; the caller knows the place.

/// What is wrong with a packed collection.
pub type Wrong = &'static str;
/// It holds together, or what is wrong.
pub type Checked = Result<(), Wrong>;
/// Takes the elements in their order; may stop it all.
pub type Show<'s, 'a> = &'s mut dyn FnMut(Item<'a>) -> Checked;

/// An element: a text, or a number that stands for its decimal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    Text(&'a [u8]),
    Number(i64),
}

const CUT: Wrong = "it is cut off";
/// A count that says nothing.
const UNCOUNTED: u16 = u16::MAX;

/// Shows the elements of a listpack in their order.
pub fn listpack<'a>(bytes: &'a [u8], show: Show<'_, 'a>) -> Checked {
    let mut rest = Rest(bytes);
    let claimed = u32::from_le_bytes(rest.array()?) as usize;
    let count = u16::from_le_bytes(rest.array()?);
    if claimed != bytes.len() {
        return Err("its length is not the one that it says");
    }
    let mut found = 0u64;
    loop {
        let before = rest.0.len();
        let item = match rest.byte()? {
            0xff => break,
            first => rest.listpack_item(first)?,
        };
        let len = before - rest.0.len();
        rest.text(back_length_bytes(len))?;
        found += 1;
        show(item)?;
    }
    rest.finish(count, found)
}

/// Shows the elements of a ziplist in their order.
pub fn ziplist<'a>(bytes: &'a [u8], show: Show<'_, 'a>) -> Checked {
    let mut rest = Rest(bytes);
    let claimed = u32::from_le_bytes(rest.array()?) as usize;
    let _tail: [u8; 4] = rest.array()?;
    let count = u16::from_le_bytes(rest.array()?);
    if claimed != bytes.len() {
        return Err("its length is not the one that it says");
    }
    let mut found = 0u64;
    loop {
        match rest.byte()? {
            0xff => break,
            0xfe => drop(rest.array::<4>()?),
            _ => {}
        }
        found += 1;
        show(rest.ziplist_item()?)?;
    }
    rest.finish(count, found)
}

/// Shows the keys and values of a zipmap in turn.
pub fn zipmap<'a>(bytes: &'a [u8], show: Show<'_, 'a>) -> Checked {
    let mut rest = Rest(bytes);
    let count = rest.byte()?;
    let mut found = 0u64;
    while let Some(len) = rest.zipmap_length()? {
        show(Item::Text(rest.text(len)?))?;
        let len = rest.zipmap_length()?.ok_or("a key has no value")?;
        let unused = rest.byte()?;
        show(Item::Text(rest.text(len)?))?;
        rest.text(usize::from(unused))?;
        found += 1;
    }
    rest.finish(if count < 254 { u16::from(count) } else { UNCOUNTED }, found)
}

/// Bytes that the length of a listpack's entry takes at its end.
fn back_length_bytes(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// What is left of the string.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn text(&mut self, len: usize) -> Result<&'a [u8], Wrong> {
        let (text, rest) = self.0.split_at_checked(len).ok_or(CUT)?;
        self.0 = rest;
        Ok(text)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (array, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, Wrong> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// A signed number of three bytes.
    fn i24(&mut self) -> Result<i64, Wrong> {
        let [a, b, c] = self.array()?;
        Ok(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8))
    }

    fn finish(&self, count: u16, found: u64) -> Checked {
        match self.0 {
            [] if count == UNCOUNTED || u64::from(count) == found => Ok(()),
            [] => Err("it holds another number of elements than it says"),
            _ => Err("bytes follow its end"),
        }
    }

    fn listpack_item(&mut self, first: u8) -> Result<Item<'a>, Wrong> {
        let low = usize::from(first);
        Ok(match first {
            0..=0x7f => Item::Number(i64::from(first)),
            0x80..=0xbf => Item::Text(self.text(low & 63)?),
            0xc0..=0xdf => {
                let unsigned = i64::from(first & 31) << 8 | i64::from(self.byte()?);
                Item::Number(if unsigned >= 1 << 12 { unsigned - (1 << 13) } else { unsigned })
            }
            0xe0..=0xef => {
                let len = (low & 15) << 8 | usize::from(self.byte()?);
                Item::Text(self.text(len)?)
            }
            0xf0 => {
                let len = u32::from_le_bytes(self.array()?) as usize;
                Item::Text(self.text(len)?)
            }
            0xf1 => Item::Number(i64::from(i16::from_le_bytes(self.array()?))),
            0xf2 => Item::Number(self.i24()?),
            0xf3 => Item::Number(i64::from(i32::from_le_bytes(self.array()?))),
            0xf4 => Item::Number(i64::from_le_bytes(self.array()?)),
            _ => return Err("it holds an element of unknown encoding"),
        })
    }

    fn ziplist_item(&mut self) -> Result<Item<'a>, Wrong> {
        let first = self.byte()?;
        let low = usize::from(first & 63);
        Ok(match first {
            0..=0x3f => Item::Text(self.text(low)?),
            0x40..=0x7f => {
                let len = low << 8 | usize::from(self.byte()?);
                Item::Text(self.text(len)?)
            }
            0x80 => {
                let len = u32::from_be_bytes(self.array()?) as usize;
                Item::Text(self.text(len)?)
            }
            0xc0 => Item::Number(i64::from(i16::from_le_bytes(self.array()?))),
            0xd0 => Item::Number(i64::from(i32::from_le_bytes(self.array()?))),
            0xe0 => Item::Number(i64::from_le_bytes(self.array()?)),
            0xf0 => Item::Number(self.i24()?),
            0xfe => Item::Number(i64::from(i8::from_le_bytes(self.array()?))),
            0xf1..=0xfd => Item::Number(i64::from(first & 15) - 1),
            _ => return Err("it holds an element of unknown encoding"),
        })
    }

    /// The next length, or `None` at the end.
    fn zipmap_length(&mut self) -> Result<Option<usize>, Wrong> {
        Ok(match self.byte()? {
            0xff => None,
            0xfe => Some(u32::from_le_bytes(self.array()?) as usize),
            len => Some(usize::from(len)),
        })
    }
}
