//! The header of an index and the checks that make it trustworthy.
//!
//! ```text
//! [i32 version = 1, split form only] u64 offset_level0 | u64 max_elements | u64 cur_count | u64 record_size
//! | u64 label_offset | u64 data_offset | i32 max_level | u32 entry | u64 maxM | u64 maxM0 | u64 M | f64 mult
//! | u64 ef_construction
//! ```

use std::fmt::Display;
use std::path::Path;

use tranship_connector::{Error, Result};
use tranship_storage::{InputFile, Limits};

/// Bytes of the header of `index.bin`.
pub const PLAIN_BYTES: u64 = 96;
/// Bytes of `header.bin`.
pub const SPLIT_BYTES: u64 = 100;
/// Links per node beyond which no index was ever built.
const MAX_LINKS: u64 = 1 << 16;

/// The header's fields as they stand in the file. Sizes and offsets are bytes within a record.
#[derive(Debug, Clone, PartialEq)]
pub struct HnswHeader {
    /// Capacity; the file may hold room for this many records.
    pub max_elements: u64,
    /// Records in the index, deleted ones included.
    pub cur_count: u64,
    /// Bytes of one record.
    pub record_size: u64,
    /// Where the label lies in a record.
    pub label_offset: u64,
    /// Where the vector lies in a record.
    pub data_offset: u64,
    /// Highest level of the graph, -1 for an empty one.
    pub max_level: i32,
    /// Record where searches begin.
    pub entry: u32,
    /// Links per node on the upper levels.
    pub max_m: u64,
    /// Links per node on level 0.
    pub max_m0: u64,
    /// The M that the index was built with.
    pub m: u64,
    /// Level multiplier, 1 / ln(M).
    pub mult: f64,
    /// Candidates kept while building.
    pub ef_construction: u64,
}

impl HnswHeader {
    /// Reads and checks `header.bin`.
    pub fn read_split(file: &InputFile, limits: &Limits) -> Result<Self> {
        let path = file.path();
        if file.len() != SPLIT_BYTES {
            return Err(wrong(path, format_args!("{} bytes long, not {SPLIT_BYTES}", file.len())));
        }
        let mut bytes = [0; SPLIT_BYTES as usize];
        file.read_exact_at(0, &mut bytes)?;
        let mut fields = Fields { bytes: &bytes };
        let version = i32::from_le_bytes(fields.take());
        if version != 1 {
            return Err(wrong(path, format_args!("of version {version}, only 1 is known")));
        }
        Self::parse(fields, path, limits)
    }

    /// Reads and checks the beginning of `index.bin`.
    pub fn read_plain(file: &InputFile, limits: &Limits) -> Result<Self> {
        let mut bytes = [0; PLAIN_BYTES as usize];
        if file.len() < PLAIN_BYTES {
            return Err(wrong(
                file.path(),
                format_args!("{} bytes long, its header alone has {PLAIN_BYTES}", file.len()),
            ));
        }
        file.read_exact_at(0, &mut bytes)?;
        Self::parse(Fields { bytes: &bytes }, file.path(), limits)
    }

    /// Elements of every vector.
    pub fn dim(&self) -> usize {
        ((self.label_offset - self.data_offset) / 4) as usize
    }

    /// Bytes of one node's links on one of the upper levels: their number and `maxM` of them.
    pub fn level_bytes(&self) -> u64 {
        4 + 4 * self.max_m
    }

    /// Bytes of all records.
    pub fn data_bytes(&self) -> u64 {
        self.cur_count * self.record_size
    }

    fn parse(mut fields: Fields<'_>, path: &Path, limits: &Limits) -> Result<Self> {
        let offset_level0 = fields.u64();
        let header = HnswHeader {
            max_elements: fields.u64(),
            cur_count: fields.u64(),
            record_size: fields.u64(),
            label_offset: fields.u64(),
            data_offset: fields.u64(),
            max_level: i32::from_le_bytes(fields.take()),
            entry: u32::from_le_bytes(fields.take()),
            max_m: fields.u64(),
            max_m0: fields.u64(),
            m: fields.u64(),
            mult: f64::from_le_bytes(fields.take()),
            ef_construction: fields.u64(),
        };
        if offset_level0 != 0 {
            return Err(wrong(path, format_args!("inconsistent: level 0 begins at {offset_level0}, not 0")));
        }
        header.check(path, limits)?;
        Ok(header)
    }

    fn check(&self, path: &Path, limits: &Limits) -> Result<()> {
        let fail = |reason: String| Err(wrong(path, format_args!("inconsistent: {reason}")));
        if self.max_m0 == 0 || self.max_m0 > MAX_LINKS || self.max_m > MAX_LINKS || self.m > MAX_LINKS {
            return fail(format!("M {}, maxM {}, maxM0 {}", self.m, self.max_m, self.max_m0));
        }
        if self.data_offset != 4 + 4 * self.max_m0 {
            return fail(format!("vectors at {} but {} links per node", self.data_offset, self.max_m0));
        }
        let vector_bytes = self.label_offset.checked_sub(self.data_offset).filter(|bytes| bytes % 4 == 0 && *bytes > 0);
        let Some(vector_bytes) = vector_bytes else {
            return fail(format!("vectors at {}, labels at {}", self.data_offset, self.label_offset));
        };
        if vector_bytes / 4 > limits.max_dim as u64 {
            return Err(Error::limit(format!("{} dimensions, the limit is {}", vector_bytes / 4, limits.max_dim))
                .with("file", path.display())
                .hint("if the vectors really are that long, raise the limit"));
        }
        if self.label_offset + 8 != self.record_size {
            return fail(format!("labels at {}, records of {} bytes", self.label_offset, self.record_size));
        }
        if self.cur_count > self.max_elements || self.cur_count > u64::from(u32::MAX) {
            return fail(format!("{} records with room for {}", self.cur_count, self.max_elements));
        }
        if !(-1..=1 << 16).contains(&self.max_level) || !self.mult.is_finite() {
            return fail(format!("highest level {}, level multiplier {}", self.max_level, self.mult));
        }
        Ok(())
    }
}

/// Takes fields off a byte array whose length has been checked.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.bytes.split_at(N);
        self.bytes = rest;
        std::array::from_fn(|offset| head[offset])
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

pub(crate) fn wrong(path: &Path, what: impl Display) -> Error {
    let of_a_directory = path.file_name().is_some_and(|name| name == "header.bin" || name == "data_level0.bin");
    let hint = match of_a_directory {
        true => "copy the whole directory again while its database is stopped, and compare file sizes",
        false => "copy it again while nothing writes to it, and compare file sizes",
    };
    Error::damaged(format!("{} is {what}", path.display())).hint(hint)
}
