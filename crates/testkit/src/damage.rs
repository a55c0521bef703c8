//! Damage to files: every cut and flip must end in an error with its place, or in records; never in a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tranship_connector::Result;

use crate::generate::Random;
use crate::reading::Outcome;

/// One damage.
#[derive(Debug, Clone, PartialEq)]
pub enum Damage {
    /// The file ends after so many bytes.
    Cut(u64),
    /// One bit of one byte is turned over.
    Flip(u64, u8),
    /// These bytes stand at this offset instead of the file's own: a hostile size, a wrong magic.
    Patch(u64, Vec<u8>),
}

/// What became of the damages.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Ended in an error.
    pub errors: usize,
    /// Read to the end, with rejects or notes.
    pub told: usize,
    /// Read to the end without a word: the damage hit a value, or bytes that nobody reads.
    pub unnoticed: usize,
}

/// Where to cut a file of `len` bytes: everywhere up to 64 KiB, else around each structural boundary and at 500
/// places drawn from `seed`.
pub fn cuts(len: u64, boundaries: &[u64], seed: u64) -> Vec<Damage> {
    if len <= 64 << 10 {
        return (0..len).map(Damage::Cut).collect();
    }
    let mut random = Random::new(seed);
    let near = boundaries.iter().flat_map(|at| [at.saturating_sub(1), *at, at + 1]);
    let mut places: Vec<u64> = near.chain((0..500).map(|_| random.below(len))).filter(|at| *at < len).collect();
    places.sort_unstable();
    places.dedup();
    places.into_iter().map(Damage::Cut).collect()
}

/// `count` bit flips below `len`, drawn from `seed`.
pub fn flips(len: u64, count: usize, seed: u64) -> Vec<Damage> {
    let mut random = Random::new(seed);
    (0..count).map(|_| Damage::Flip(random.below(len), random.below(8) as u8)).collect()
}

/// Does each damage to `file` in turn and reads; the file is whole again afterwards.
///
/// # Panics
/// If reading panics, or if an error does not name `named` (the file or its container).
pub fn survey(file: &Path, named: &str, damages: &[Damage], read: impl Fn() -> Result<Outcome>) -> Survey {
    let whole = std::fs::read(file).expect("the file is there");
    let mut survey = Survey::default();
    for damage in damages {
        std::fs::write(file, damage.applied(&whole)).expect("the copy can be written");
        match catch_unwind(AssertUnwindSafe(&read)) {
            Err(_) => panic!("{damage:?} of {} ends in a panic", file.display()),
            Ok(Err(error)) => {
                let text = error.to_string();
                assert!(text.contains(named), "{damage:?}: the error does not name {named}: {text}");
                survey.errors += 1;
            }
            Ok(Ok(outcome)) if outcome.rejects.is_empty() && outcome.notes.is_empty() => survey.unnoticed += 1,
            Ok(Ok(_)) => survey.told += 1,
        }
    }
    std::fs::write(file, whole).expect("the copy can be written");
    survey
}

impl Damage {
    /// The damaged bytes.
    pub fn applied(&self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        match self {
            Damage::Cut(len) => bytes.truncate(*len as usize),
            Damage::Flip(byte, bit) => bytes[*byte as usize] ^= 1 << bit,
            Damage::Patch(offset, patch) => {
                let start = *offset as usize;
                bytes[start..start + patch.len()].copy_from_slice(patch);
            }
        }
        bytes
    }
}
