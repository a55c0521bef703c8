//! Which points have no vector of a name: one bit per row, least significant first.
//!
//! ```text
//! deleted.dat           "drop", 4 B of padding, bits                       (beside matrix.dat)
//! deleted/status.dat    u64 number of flags, u64 number of the file in use (0 flags_a.dat, else flags_b.dat)
//! deleted/flags_a.dat   bits; beyond the number of flags they mean nothing
//! ```
//!
//! These flags say nothing about whether a point was deleted: that is the id tracker's business.

use tranship_connector::Result;
use tranship_storage::{Blob, Tree};

use super::bytes::{bit_at, damaged, u64_at};

/// Flags of the rows of a segment.
pub struct Flags {
    bits: Blob,
    /// Byte of the first flag.
    start: u64,
    /// Number of flags; later rows have none set.
    len: u64,
}

/// Flags of a range of rows.
pub struct Window {
    first_row: u64,
    bytes: Vec<u8>,
    len: u64,
}

impl Flags {
    /// The flags beside a `matrix.dat` of `rows` rows.
    pub fn beside_matrix(tree: &Tree, rows: u64) -> Result<Self> {
        let bits = tree.get("deleted.dat").ok_or_else(|| damaged(tree.label(), "vectors without deleted.dat"))?;
        let mut magic = [0; 4];
        bits.open()?.read_exact_at(0, &mut magic)?;
        if magic != *b"drop" {
            return Err(damaged(bits.label(), "it does not begin with `drop`"));
        }
        if bits.len() < 8 + rows.div_ceil(8) {
            return Err(damaged(bits.label(), format!("{} bytes of flags for {rows} rows", bits.len())));
        }
        Ok(Flags { bits: bits.clone(), start: 8, len: rows })
    }

    /// The flags of the directory `deleted` in `tree`.
    pub fn in_directory(tree: &Tree) -> Result<Self> {
        let missing = |name: &str| damaged(tree.label(), format!("vectors without deleted/{name}"));
        let status = tree.get("deleted/status.dat").ok_or_else(|| missing("status.dat"))?;
        let bytes = status.open()?.range_to_vec(0, status.len().min(16), 16)?;
        let (Some(len), Some(file)) = (u64_at(&bytes, 0), u64_at(&bytes, 8)) else {
            return Err(damaged(status.label(), "too short"));
        };
        let name = if file == 0 { "flags_a.dat" } else { "flags_b.dat" };
        let bits = tree.get(&format!("deleted/{name}")).ok_or_else(|| missing(name))?;
        if bits.len() < len.div_ceil(8) {
            return Err(damaged(bits.label(), format!("{} bytes for {len} flags", bits.len())));
        }
        Ok(Flags { bits: bits.clone(), start: 0, len })
    }

    /// The flags of `rows`, which ascend.
    pub fn window(&self, rows: &[u32]) -> Result<Window> {
        let first = u64::from(rows.first().copied().unwrap_or(0)) / 8;
        let end = u64::from(rows.last().copied().unwrap_or(0)) / 8 + 1;
        let mut bytes = vec![0; (end - first) as usize];
        self.bits.open()?.read_at(self.start + first, &mut bytes)?;
        Ok(Window { first_row: first * 8, bytes, len: self.len })
    }
}

impl Window {
    /// True if the point has no such vector.
    pub fn is_set(&self, row: u32) -> bool {
        let row = u64::from(row);
        row < self.len && row.checked_sub(self.first_row).is_some_and(|bit| bit_at(&self.bytes, bit))
    }
}
