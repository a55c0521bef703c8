//! Which records stay, where that depends on the others: sample, dedupe, limit.
//!
//! A sample keeps the records whose ids have the smallest digests under the seed: the same ones in whatever order they come. A dedupe
//! keeps the first in source order. A limit keeps the first in source order and closes the splits behind it. The state is 16 bytes per
//! sampled record and 32 per different one for a dedupe; more than the budget is an error of kind limit.

use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::digest::Digester;
use tranship_collection::{BatchView, CollectionSchema};
use tranship_connector::{Error, Grade, Loss, Result, transforms};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::chain::{Inverse, Pass, Step, Worker};

/// Bytes of a sampled digest.
const SAMPLE_ENTRY_BYTES: u64 = 16;
/// Bytes of a digest in a set that may be half empty, with its share of the rows to drop.
const DEDUPE_ENTRY_BYTES: u64 = 64;

fn key(digester: &mut Digester, view: &BatchView<'_>, row: usize) -> u128 {
    digester.id(view.namespace(row), view.id_kind(row) as u8, view.id(row))
}

fn drawn(key: u128, seed: u64) -> u128 {
    xxh3_128_with_seed(&key.to_le_bytes(), seed)
}

fn fewer(step: &str, to: String) -> Vec<Loss> {
    vec![Loss::new("CHANGED_RECORDS", step, "all records", to, Grade::Dropped)]
}

/// The sample while it is drawn.
pub struct Sample {
    asked: transforms::Sample,
    smallest: BinaryHeap<u128>,
    digester: Digester,
}

/// A drawn sample.
pub struct Sampled {
    asked: transforms::Sample,
    largest: u128,
}

impl Sample {
    pub fn new(asked: transforms::Sample, memory_bytes: u64) -> Result<Self> {
        let needed = asked.records.saturating_mul(SAMPLE_ENTRY_BYTES);
        if needed > memory_bytes {
            // A quarter of --memory comes here: half is for sources, and half of that for the source below.
            let least = needed.saturating_mul(4).div_ceil(1 << 20);
            return Err(Error::limit(format!("a sample of {} records does not fit the memory", asked.records))
                .hint(format!("give at least --memory {least}MiB")));
        }
        Ok(Sample { asked, smallest: BinaryHeap::new(), digester: Digester::default() })
    }

    pub fn meet(&mut self, view: &BatchView<'_>, row: usize) {
        let digest = drawn(key(&mut self.digester, view, row), self.asked.seed);
        if (self.smallest.len() as u64) < self.asked.records {
            self.smallest.push(digest);
        } else if self.smallest.peek().is_some_and(|largest| digest < *largest) {
            self.smallest.pop();
            self.smallest.push(digest);
        }
    }

    pub fn found(self) -> Sampled {
        Sampled { asked: self.asked, largest: self.smallest.peek().copied().unwrap_or(0) }
    }
}

impl Step for Sampled {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn losses(&self, _: &CollectionSchema) -> Vec<Loss> {
        let transforms::Sample { records, seed } = self.asked;
        fewer("sample", format!("{records} of them, seed {seed}"))
    }

    fn inverse(&self) -> Inverse {
        Inverse::Unneeded
    }

    fn worker<'a>(&'a self, _: &'a CollectionSchema, _: &'a Arc<CollectionSchema>) -> Result<Box<dyn Worker + 'a>> {
        let mut digester = Digester::default();
        Ok(Box::new(Keep(move |view: &BatchView<'_>, row: usize, _: &Pass<'_>| {
            drawn(key(&mut digester, view, row), self.asked.seed) <= self.largest
        })))
    }
}

/// The records that came before, while the later ones are looked for.
pub struct Dedupe {
    by: transforms::Dedupe,
    memory_bytes: u64,
    seen: HashSet<u128>,
    dropped: Vec<(u64, u32)>,
    digester: Digester,
}

/// The later ones, by split and row.
pub struct Deduped {
    by: transforms::Dedupe,
    dropped: Vec<(u64, u32)>,
}

impl Dedupe {
    pub fn new(by: transforms::Dedupe, memory_bytes: u64) -> Self {
        Dedupe { by, memory_bytes, seen: HashSet::new(), dropped: Vec::new(), digester: Digester::default() }
    }

    pub fn meet(&mut self, view: &BatchView<'_>, rows: &[u32], ordinal: u64) -> Result<()> {
        for (row, number) in rows.iter().enumerate() {
            let digest = match self.by {
                transforms::Dedupe::Id => key(&mut self.digester, view, row),
                transforms::Dedupe::Content => {
                    self.digester.content(view, row).map_err(|fault| Error::damaged(fault.to_string()))?
                }
            };
            if !self.seen.insert(digest) {
                self.dropped.push((ordinal, *number));
            }
        }
        let met = (self.seen.len() + self.dropped.len()) as u64;
        if met * DEDUPE_ENTRY_BYTES > self.memory_bytes {
            // Where the end is not known, twice as much is the next thing to try.
            let next = (self.memory_bytes * 8).div_ceil(1 << 20);
            return Err(Error::limit(format!("--dedupe has met {met} records, which is all that the memory holds"))
                .hint(format!("give more, such as --memory {next}MiB")));
        }
        Ok(())
    }

    pub fn found(mut self) -> Deduped {
        // Splits come in order and rows ascend in each, unless a reader numbers splits otherwise.
        self.dropped.sort_unstable();
        Deduped { by: self.by, dropped: self.dropped }
    }
}

impl Step for Deduped {
    fn name(&self) -> &'static str {
        "dedupe"
    }

    fn losses(&self, _: &CollectionSchema) -> Vec<Loss> {
        let what = match self.by {
            transforms::Dedupe::Content => "same content",
            transforms::Dedupe::Id => "same id",
        };
        fewer("dedupe", format!("the first of each with the {what}; {} later ones left out", self.dropped.len()))
    }

    fn inverse(&self) -> Inverse {
        Inverse::Unneeded
    }

    fn worker<'a>(&'a self, _: &'a CollectionSchema, _: &'a Arc<CollectionSchema>) -> Result<Box<dyn Worker + 'a>> {
        Ok(Box::new(Keep(move |_: &BatchView<'_>, row: usize, pass: &Pass<'_>| {
            self.dropped.binary_search(&(pass.ordinal, pass.rows[row])).is_err()
        })))
    }
}

/// The first records in source order.
pub struct Limit {
    records: u64,
    left: u64,
    /// The split and row of the last record that is kept.
    last: Option<(u64, u32)>,
}

impl Limit {
    pub fn new(records: u64) -> Self {
        Limit { records, left: records, last: None }
    }

    /// False once nothing more is wanted.
    pub fn meet(&mut self, rows: &[u32], ordinal: u64) -> bool {
        let wanted = (rows.len() as u64).min(self.left);
        self.left -= wanted;
        if let Some(last) = (wanted as usize).checked_sub(1).and_then(|last| rows.get(last)) {
            self.last = Some((ordinal, *last));
        }
        self.left > 0
    }

    /// The split behind which nothing is read; none if the source has no more than the limit.
    pub fn last_split(&self) -> Option<u64> {
        self.last.filter(|_| self.left == 0).map(|(ordinal, _)| ordinal)
    }
}

impl Step for Limit {
    fn name(&self) -> &'static str {
        "limit"
    }

    fn losses(&self, _: &CollectionSchema) -> Vec<Loss> {
        fewer("limit", format!("the first {}", self.records))
    }

    fn inverse(&self) -> Inverse {
        Inverse::Unneeded
    }

    fn worker<'a>(&'a self, _: &'a CollectionSchema, _: &'a Arc<CollectionSchema>) -> Result<Box<dyn Worker + 'a>> {
        Ok(Box::new(Keep(move |_: &BatchView<'_>, row: usize, pass: &Pass<'_>| {
            self.left > 0 || self.last.is_some_and(|last| (pass.ordinal, pass.rows[row]) <= last)
        })))
    }
}

/// A worker that only asks of each row whether it stays.
pub struct Keep<F>(pub F);

impl<F: FnMut(&BatchView<'_>, usize, &Pass<'_>) -> bool> Worker for Keep<F> {
    fn apply(&mut self, batch: &RecordBatch, view: &BatchView<'_>, pass: &mut Pass<'_>) -> Result<RecordBatch> {
        for row in 0..view.len() {
            if !self.0(view, row, pass) {
                pass.drop(row);
            }
        }
        Ok(batch.clone())
    }
}
