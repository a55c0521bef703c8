//! A first look at a file: which hashes there are, and which of their fields look like vectors.
//!
//! A field looks like a vector if it has the same length in every hash that was seen, a multiple of the element's
//! size, and its values are no text. Only the beginning of a big file is looked at.

use std::collections::{BTreeMap, BTreeSet};

use half::{bf16, f16};
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
/// Different lower halves before they say anything.
const TELLING: usize = 32;

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
    halves: Halves,
    /// Pairs of words of which the first is zero and the second is not, and all pairs with one that is not: doubles
    /// of few digits.
    round: u64,
    pairs: u64,
}

/// The lower halves of the words that are not zero. Those of true f32 are the noise at the end of a mantissa; where two
/// narrow numbers lie in a word, they are numbers themselves.
#[derive(Debug, Default)]
struct Halves {
    count: u64,
    like_bf16: u64,
    like_f16: u64,
    /// Some of them; vectors made by hand repeat a few.
    distinct: BTreeSet<u16>,
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
            for [low_0, low_1, _, _] in value.as_chunks::<4>().0 {
                self.halves.add(u16::from_le_bytes([*low_0, *low_1]));
            }
            for [a, b, c, d, e, f, g, h] in value.as_chunks::<8>().0 {
                let (first, second) = ([*a, *b, *c, *d] != [0; 4], [*e, *f, *g, *h] != [0; 4]);
                self.pairs += u64::from(first || second);
                self.round += u64::from(!first && second);
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

    /// False if the values can hardly be f32: doubles and halves read as f32 have absurd magnitudes, two narrow numbers
    /// in each word, or zeros in every other word.
    pub fn is_plausibly_f32(&self) -> bool {
        let is_double = self.pairs > 1 && self.round == self.pairs;
        10 * self.plausible >= 9 * self.numbers && !self.halves.are_numbers() && !is_double
    }
}

impl Halves {
    fn add(&mut self, half: u16) {
        if half & 0x7fff == 0 {
            return;
        }
        let embedding = |number: f32| (1e-4..1e2).contains(&number.abs());
        self.count += 1;
        self.like_bf16 += u64::from(embedding(bf16::from_bits(half).to_f32()));
        self.like_f16 += u64::from(embedding(f16::from_bits(half).to_f32()));
        if self.distinct.len() < TELLING {
            self.distinct.insert(half);
        }
    }

    /// Noise is like a bfloat16 of such magnitude in one of twelve, like a half in two of three.
    fn are_numbers(&self) -> bool {
        let most = |count: u64| 10 * count >= 9 * self.count;
        self.distinct.len() >= TELLING && (most(self.like_bf16) || most(self.like_f16))
    }
}

/// True for bytes that nobody would write as text.
fn is_binary(value: &[u8]) -> bool {
    let is_control = |byte: &u8| *byte < 32 && !matches!(byte, b'\t' | b'\n' | b'\r');
    value.iter().any(is_control) || std::str::from_utf8(value).is_err()
}
