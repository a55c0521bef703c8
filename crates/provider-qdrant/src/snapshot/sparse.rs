//! Sparse vectors in a Gridstore.
//!
//! ```text
//! u64 n, n bytes of packed indices, u64 m, m x f32
//! packed: a stream of bits, least significant first: 6 bits width - 8, then per index `width` bits of the
//! difference to the one before (the first: to 0), zero bits up to the byte; nothing at all without entries
//! ```
//!
//! Faulty cells: bytes that do not add up, indices beyond u32.

use tranship_connector::Result;
use tranship_storage::{Limits, Tree};

use super::bytes::u64_at;
use super::cells::Cells;
use super::flags::Flags;
use super::gridstore::{Gridstore, Stored};
use super::stores::Store;

/// Sparse vectors.
pub struct Sparse {
    values: Gridstore,
    flags: Flags,
}

impl Sparse {
    /// Opens the vectors in the files of their directory; `None` if they are not kept in a Gridstore.
    pub fn open(tree: &Tree, limits: &Limits) -> Result<Option<Self>> {
        match Gridstore::open(&tree.below("store"), limits)? {
            Some(values) => Ok(Some(Sparse { values, flags: Flags::in_directory(tree)? })),
            None => Ok(None),
        }
    }
}

impl Store for Sparse {
    fn fetch(&self, rows: &[u32], cells: &mut Cells) -> Result<()> {
        let absent = self.flags.window(rows)?;
        let mut rows_left = rows.iter();
        self.values.fetch(rows, &mut |stored| {
            let is_absent = rows_left.next().is_some_and(|row| absent.is_set(*row));
            match stored {
                _ if is_absent => cells.push_absent(),
                Stored::None => cells.push_absent(),
                Stored::Faulty(why) => cells.push_faulty(why),
                Stored::Value(bytes) => match unpack(bytes) {
                    Some((indices, values)) => cells.push_with(|out| {
                        indices.iter().for_each(|index| out.extend_from_slice(&index.to_le_bytes()));
                        out.extend_from_slice(values);
                    }),
                    None => cells.push_faulty("its sparse vector does not add up"),
                },
            }
            !cells.is_full()
        })
    }
}

/// Indices, and the values as they lie.
fn unpack(bytes: &[u8]) -> Option<(Vec<u32>, &[u8])> {
    let packed_len = usize::try_from(u64_at(bytes, 0)?).ok()?;
    let (packed, rest) = bytes.get(8..)?.split_at_checked(packed_len)?;
    let count = usize::try_from(u64_at(rest, 0)?).ok()?;
    let values = rest.get(8..)?;
    if values.len() != count.checked_mul(4)? {
        return None;
    }
    let indices = indices(packed)?;
    (indices.len() == count).then_some((indices, values))
}

/// The numbers of a packed list.
fn indices(packed: &[u8]) -> Option<Vec<u32>> {
    if packed.is_empty() {
        return Some(Vec::new());
    }
    let width = usize::from(packed[0] & 0x3f) + 8;
    if width > 64 {
        return None;
    }
    let count = (packed.len() * 8 - 6) / width;
    let mut last = 0u64;
    let number = |position: usize| {
        let difference = bits(packed, 6 + position * width, width);
        last = last.checked_add(difference)?;
        u32::try_from(last).ok()
    };
    (0..count).map(number).collect()
}

/// `width` bits from bit `at` on, which lie within `bytes`.
fn bits(bytes: &[u8], at: usize, width: usize) -> u64 {
    let word = (at / 8..(at + width).div_ceil(8)).enumerate().fold(0u128, |word, (position, byte)| {
        word | u128::from(bytes.get(byte).copied().unwrap_or(0)) << (8 * position)
    });
    let mask = (1u128 << width) - 1;
    (word >> (at % 8) & mask) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs as the engine does.
    fn pack(indices: &[u32]) -> Vec<u8> {
        if indices.is_empty() {
            return Vec::new();
        }
        let differences: Vec<u64> = (0..indices.len())
            .map(|i| u64::from(indices[i]) - if i == 0 { 0 } else { u64::from(indices[i - 1]) })
            .collect();
        let width = differences.iter().map(|d| 64 - d.leading_zeros() as usize).max().unwrap().max(8);
        let mut stream: Vec<bool> = (0..6).map(|bit| (width - 8) >> bit & 1 == 1).collect();
        differences.iter().for_each(|d| stream.extend((0..width).map(|bit| d >> bit & 1 == 1)));
        stream.chunks(8).map(|byte| byte.iter().rev().fold(0, |value, bit| value << 1 | u8::from(*bit))).collect()
    }

    #[test]
    fn packed_indices_of_every_width_come_back() {
        for list in [&[][..], &[0], &[u32::MAX], &[1, 2, 3, 500], &[0, 7, 1 << 20, u32::MAX - 1, u32::MAX]] {
            assert_eq!(indices(&pack(list)).unwrap(), list);
        }
        // Two differences that add up to more than an index can be.
        assert_eq!(
            indices(&{
                let mut wide = pack(&[u32::MAX]);
                let last = wide.len() - 1;
                wide[last] |= 0x40;
                wide.extend_from_slice(&[0xff; 4]);
                wide
            }),
            None
        );
    }

    #[test]
    fn lengths_that_do_not_add_up_are_noticed() {
        let packed = pack(&[3, 9]);
        let value = |n: u64, m: u64| [&n.to_le_bytes()[..], &packed, &m.to_le_bytes(), &[0; 8]].concat();
        assert!(unpack(&value(packed.len() as u64, 2)).is_some());
        for (n, m) in [(u64::MAX, 2), (packed.len() as u64, u64::MAX), (packed.len() as u64, 1), (0, 2)] {
            assert!(unpack(&value(n, m)).is_none(), "{n} {m}");
        }
        assert!(unpack(&[]).is_none());
    }
}
