//! A first look at a file: which hashes there are, and which of their fields look like vectors.
//!
//! A field looks like a vector if it has the same length in every hash that was seen, a multiple of the element's
//! size, and its values are no text. Only the beginning of a big file is looked at.

use std::collections::BTreeMap;

use tranship_connector::Result;
use tranship_storage::{Blob, Limits};

use super::fields::Fields;
use super::rdb::Header;
use super::walk::{Contents, Walk};
use crate::dialect::RawElement;

/// Bytes of a file that are looked at before it is read.
pub const LOOK_BYTES: u64 = 256 << 20;
/// Field names that are told apart, lengths of each, and values that are weighed.
const MANY_NAMES: usize = 10_000;
const MANY_LENGTHS: usize = 64;
const WEIGHED: u64 = 256;

/// What was seen.
pub struct Look {
    /// Version of the format.
    pub header: Header,
    /// What was counted.
    pub contents: Contents,
    /// Fields of the hashes of the prefix, by database and name.
    pub fields: BTreeMap<u64, BTreeMap<Vec<u8>, FieldLook>>,
    /// The whole file was looked at.
    pub whole: bool,
}

/// One field in all hashes that were seen.
#[derive(Debug, Default)]
pub struct FieldLook {
    /// Hashes that have it.
    pub hashes: u64,
    lengths: BTreeMap<usize, u64>,
    binary: u64,
    /// Values that are no zeros, read as f32, and how many of those have a magnitude that embeddings have.
    numbers: u64,
    plausible: u64,
}

impl Look {
    /// Looks at the first `bytes` of a file.
    pub fn take(blob: &Blob, header: Header, prefix: &[u8], limits: &Limits, bytes: u64) -> Result<Self> {
        let fields = Fields::new(limits.max_line_bytes, Vec::new());
        let mut walk = Walk::begin(blob, header, prefix, fields, false)?;
        let mut seen = BTreeMap::<u64, BTreeMap<Vec<u8>, FieldLook>>::new();
        let mut whole = true;
        while let Some(hash) = walk.next_hash()? {
            let names = seen.entry(hash.database).or_default();
            for (name, value) in walk.fields.iter() {
                if let Some(field) = names.get_mut(name) {
                    field.add(value);
                } else if names.len() < MANY_NAMES {
                    names.entry(name.to_owned()).or_default().add(value);
                }
            }
            if walk.rdb.input.offset() > bytes {
                whole = false;
                break;
            }
        }
        Ok(Look { header, contents: walk.contents, fields: seen, whole })
    }
}

impl FieldLook {
    fn add(&mut self, value: &[u8]) {
        self.hashes += 1;
        if self.lengths.len() < MANY_LENGTHS || self.lengths.contains_key(&value.len()) {
            *self.lengths.entry(value.len()).or_default() += 1;
        }
        self.binary += u64::from(is_binary(value));
        if self.hashes <= WEIGHED {
            let numbers = value.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes).abs());
            for number in numbers.filter(|number| *number != 0.0) {
                self.numbers += 1;
                self.plausible += u64::from((1e-9..1e9).contains(&number));
            }
        }
    }

    /// Elements, if it looks like a vector of such elements.
    pub fn looks_like(&self, element: RawElement) -> Option<usize> {
        let mut lengths = self.lengths.keys();
        let (Some(len), None) = (lengths.next(), lengths.next()) else { return None };
        let is_vector = *len > 0 && len.is_multiple_of(element.bytes()) && 2 * self.binary > self.hashes;
        is_vector.then(|| len / element.bytes())
    }

    /// Elements of most values, if these are vectors of such elements at all.
    pub fn usual_dim(&self, element: RawElement) -> Option<usize> {
        let fits = self.lengths.iter().filter(|(len, _)| **len > 0 && len.is_multiple_of(element.bytes()));
        let usual = fits.max_by_key(|(len, count)| (**count, std::cmp::Reverse(**len)));
        usual.map(|(len, _)| len / element.bytes())
    }

    /// False if the values can hardly be f32: doubles and halves read as f32 have absurd magnitudes.
    pub fn is_plausibly_f32(&self) -> bool {
        10 * self.plausible >= 9 * self.numbers
    }
}

/// True for bytes that nobody would write as text.
fn is_binary(value: &[u8]) -> bool {
    let is_control = |byte: &u8| *byte < 32 && !matches!(byte, b'\t' | b'\n' | b'\r');
    value.iter().any(is_control) || std::str::from_utf8(value).is_err()
}
