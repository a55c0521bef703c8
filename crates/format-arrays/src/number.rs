//! The number types of arrays, and how they become elements of vectors.
//!
//! Invariant: f2, f4, i1 and u1 are kept bit for bit; every other type is read as f32, exactly or (with `lossy`) to
//! the nearest one. NaN and the infinities count as exact here: they are rejects of the record.

use tranship_collection::Element;

/// A number as it lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Float, signed or unsigned.
    pub class: Class,
    /// 1, 2, 4 or 8; floats have at least 2.
    pub bytes: usize,
    /// The most significant byte comes first.
    pub big_endian: bool,
}

/// What the bits of a number mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// IEEE 754.
    Float,
    /// Two's complement.
    Signed,
    /// Unsigned.
    Unsigned,
}

impl Number {
    /// A little-endian number.
    pub const fn little(class: Class, bytes: usize) -> Self {
        Number { class, bytes, big_endian: false }
    }

    /// The type called `f4`, `i1`, `u8`.. (class and bytes); `None` for any other name.
    pub fn named(name: &str, big_endian: bool) -> Option<Self> {
        let (class, widths): (_, &[usize]) = match name.as_bytes().first()? {
            b'f' => (Class::Float, &[2, 4, 8]),
            b'i' => (Class::Signed, &[1, 2, 4, 8]),
            b'u' => (Class::Unsigned, &[1, 2, 4, 8]),
            _ => return None,
        };
        let bytes = name.get(1..)?.parse().ok().filter(|bytes| widths.contains(bytes))?;
        Some(Number { class, bytes, big_endian })
    }

    /// The name, as in [`Self::named`].
    pub fn name(self) -> String {
        let letter = match self.class {
            Class::Float => 'f',
            Class::Signed => 'i',
            Class::Unsigned => 'u',
        };
        format!("{letter}{}", self.bytes)
    }

    /// The element type that keeps it bit for bit.
    pub fn kept_as(self) -> Option<Element> {
        match (self.class, self.bytes) {
            (Class::Float, 2) => Some(Element::F16),
            (Class::Float, 4) => Some(Element::F32),
            (Class::Signed, 1) => Some(Element::I8),
            (Class::Unsigned, 1) => Some(Element::U8),
            _ => None,
        }
    }

    /// Puts the bytes of big-endian numbers in order.
    pub fn make_little(self, bytes: &mut [u8]) {
        match self.bytes {
            _ if !self.big_endian => {}
            2 => bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|w| *w = u16::from_be_bytes(*w).to_le_bytes()),
            4 => bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|w| *w = u32::from_be_bytes(*w).to_le_bytes()),
            8 => bytes.as_chunks_mut::<8>().0.iter_mut().for_each(|w| *w = u64::from_be_bytes(*w).to_le_bytes()),
            _ => {}
        }
    }

    /// Appends little-endian numbers as f32. Without `lossy` it stops at the first one that no f32 equals and returns
    /// its position and text.
    pub fn widen(self, bytes: &[u8], lossy: bool, out: &mut Vec<f32>) -> Result<(), (usize, String)> {
        for (position, word) in bytes.chunks_exact(self.bytes.max(1)).enumerate() {
            let (value, exact) = self.nearest(word);
            if !exact && !lossy {
                return Err((position, self.text(word)));
            }
            out.push(value);
        }
        Ok(())
    }

    /// A little-endian integer; `None` for a float.
    pub fn integer(self, word: &[u8]) -> Option<i128> {
        let mut wide = [0; 8];
        wide.iter_mut().zip(word).for_each(|(to, from)| *to = *from);
        let unsigned = u64::from_le_bytes(wide);
        let unused = 64 - 8 * self.bytes.min(8) as u32;
        match self.class {
            Class::Float => None,
            Class::Unsigned => Some(i128::from(unsigned)),
            Class::Signed => Some(i128::from(((unsigned << (unused % 64)) as i64) >> (unused % 64))),
        }
    }

    fn nearest(self, word: &[u8]) -> (f32, bool) {
        match self.integer(word) {
            Some(integer) => (integer as f32, (integer as f32) as i128 == integer),
            None => {
                let double = self.double(word);
                (double as f32, f64::from(double as f32) == double || double.is_nan())
            }
        }
    }

    fn double(self, word: &[u8]) -> f64 {
        word.first_chunk().map_or(0.0, |bytes| f64::from_le_bytes(*bytes))
    }

    fn text(self, word: &[u8]) -> String {
        self.integer(word).map_or_else(|| self.double(word).to_string(), |integer| integer.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_all_widths_are_read_with_their_sign() {
        let number = |name| Number::named(name, false).unwrap();
        assert_eq!(number("i1").integer(&[0xff]), Some(-1));
        assert_eq!(number("i2").integer(&[0, 0x80]), Some(-32768));
        assert_eq!(number("i8").integer(&i64::MIN.to_le_bytes()), Some(i128::from(i64::MIN)));
        assert_eq!(number("u8").integer(&[0xff; 8]), Some(i128::from(u64::MAX)));
        assert_eq!(Number::named("f1", false).or(Number::named("i3", false)).or(Number::named("O", false)), None);
    }

    #[test]
    fn the_first_number_without_an_equal_f32_is_named() {
        let mut out = Vec::new();
        let doubles: Vec<u8> = [0.5, f64::INFINITY, 0.1].iter().flat_map(|v: &f64| v.to_le_bytes()).collect();
        let f8 = Number::little(Class::Float, 8);
        assert_eq!(f8.widen(&doubles, false, &mut out), Err((2, "0.1".to_owned())));
        assert_eq!(f8.widen(&doubles, true, &mut out), Ok(()));
        assert_eq!(out[4], 0.1);
        let integers: Vec<u8> = [1 << 24, (1 << 24) + 1].iter().flat_map(|v: &i32| v.to_le_bytes()).collect();
        let i4 = Number::little(Class::Signed, 4);
        assert_eq!(i4.widen(&integers, false, &mut out), Err((1, "16777217".to_owned())));
        let u8 = Number::little(Class::Unsigned, 8);
        assert!(u8.widen(&u64::MAX.to_le_bytes(), false, &mut out).is_err());
    }
}
