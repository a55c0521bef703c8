//! Differences of classes that the user accepts: every changed record is read again, and those whose every field is of an
//! accepted class no longer count as changed.
//!
//! Invariant: a record with one field that is of no accepted class stays changed, as do missing and extra ones. Places of
//! changed records are spilled in slices that fit the memory; each slice reads the splits of both sides that it needs.
//! Errors: those of reading.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tranship_collection::CollectionSchema;
use tranship_connector::Result;
use tranship_storage::Spill;

use crate::join::Place;
use crate::named::{Difference, difference, fetch};
use crate::side::Side;

/// Bytes of a spilled pair of places.
const PAIR_BYTES: usize = 24;
/// What a record is taken to need beside its vectors while it is compared, bytes.
const TEXT_BYTES: u64 = 4096;

/// Places of changed records, in slices.
pub struct Slices {
    spill: Spill,
    rows_per_slice: u64,
    rows: u64,
}

/// What is left when the accepted differences are taken out.
#[derive(Debug, Default)]
pub struct Settled {
    /// Records that differ in more than what is accepted.
    pub changed: u64,
    /// How many of them differ in which component.
    pub changed_by_component: BTreeMap<String, u64>,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// Records that differ only in what is accepted.
    pub accepted: u64,
    /// How many of those show which class.
    pub accepted_by_class: BTreeMap<&'static str, u64>,
}

impl Slices {
    /// Slices for at most `rows` changed records of `schema` within `memory_bytes`.
    pub fn new(schema: &CollectionSchema, rows: u64, memory_bytes: u64, scratch: &Path) -> Self {
        // Both sides' records are held, and the vectors once more as what is shown of them.
        let record_bytes = 3 * (schema.dense_row_bytes() as u64 + TEXT_BYTES);
        let rows_per_slice = (memory_bytes / record_bytes).max(1).max(rows.div_ceil(4096));
        let slices = rows.div_ceil(rows_per_slice).max(1) as usize;
        Slices { spill: Spill::new(scratch, "changed", slices, PAIR_BYTES), rows_per_slice, rows: 0 }
    }

    /// Takes a changed record.
    pub fn add(&mut self, a: Place, b: Place) -> Result<()> {
        let mut pair = [0; PAIR_BYTES];
        pair[..8].copy_from_slice(&a.ordinal.to_le_bytes());
        pair[8..12].copy_from_slice(&a.row.to_le_bytes());
        pair[12..20].copy_from_slice(&b.ordinal.to_le_bytes());
        pair[20..].copy_from_slice(&b.row.to_le_bytes());
        let slice = ((self.rows / self.rows_per_slice) as usize).min(self.spill.partitions() - 1);
        self.rows += 1;
        Ok(self.spill.push(slice, &pair)?)
    }

    /// Reads them all again and tells the accepted from the others.
    pub fn settle(
        mut self,
        (a, b): (&Side<'_>, &Side<'_>),
        accepted: &BTreeSet<&'static str>,
        tolerances: &BTreeMap<String, f32>,
        keep: usize,
    ) -> Result<Settled> {
        let mut settled = Settled::default();
        for slice in 0..self.spill.partitions() {
            let bytes = self.spill.take(slice)?;
            let (in_a, in_b): (Vec<_>, Vec<_>) = bytes.chunks_exact(PAIR_BYTES).map(pair).unzip();
            for (x, y) in fetch(a, &in_a)?.iter().zip(&fetch(b, &in_b)?) {
                settled.add(difference(x, y, tolerances), accepted, keep);
            }
        }
        Ok(settled)
    }
}

impl Settled {
    fn add(&mut self, difference: Difference, accepted: &BTreeSet<&'static str>, keep: usize) {
        let classes: BTreeSet<Option<&'static str>> = difference.fields.iter().map(|field| field.class).collect();
        if !classes.is_empty() && classes.iter().all(|class| class.is_some_and(|class| accepted.contains(class))) {
            self.accepted += 1;
            for class in classes.into_iter().flatten() {
                *self.accepted_by_class.entry(class).or_default() += 1;
            }
            return;
        }
        self.changed += 1;
        let components: BTreeSet<String> = difference.fields.iter().map(|field| field.component()).collect();
        for component in components {
            *self.changed_by_component.entry(component).or_default() += 1;
        }
        if self.differences.len() < keep {
            self.differences.push(difference);
        }
    }
}

fn pair(bytes: &[u8]) -> (Place, Place) {
    let place = |at: usize| Place {
        ordinal: bytes[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or_default(),
        row: bytes[at + 8..at + 12].try_into().map(u32::from_le_bytes).unwrap_or_default(),
    };
    (place(0), place(12))
}
