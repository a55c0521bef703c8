//! The second pass: rows of differing buckets spilled from both sides and joined, one partition at a time.
//!
//! ```text
//! entry = u128 id | u128 record | u128 document | u128 metadata | u128 per vector      (0 = the record has none)
//!       | u64 split | u32 row | per tolerant vector: u32 present | f32 * dim            little-endian
//! ```
//!
//! Invariant: both sides write the same width, so partitions are arrays of entries that sort by id.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tranship_collection::digest::Digester;
use tranship_collection::fingerprint::{bucket_of, vector_component};
use tranship_collection::{BatchView, RecordDigest, SetFingerprint, VectorKind, VectorValue};
use tranship_connector::Result;
use tranship_pipeline::{EngineOptions, execute};
use tranship_storage::Spill;

use crate::side::Side;
use crate::tolerance::relative_difference;

/// Where one record stands in its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The split.
    pub ordinal: u64,
    /// Row within the split.
    pub row: u32,
}

/// What an entry holds, the same for both sides.
#[derive(Debug, Clone)]
pub struct EntryLayout {
    /// Names of the vectors of either side, sorted.
    pub vectors: Vec<String>,
    /// Vectors that may differ a little: position in `vectors`, dim, largest relative difference.
    pub tolerant: Vec<(usize, usize, f32)>,
}

/// Outcome of the join.
#[derive(Debug, Default)]
pub struct Joined {
    /// Records of A that B has not, first ones with their place in A.
    pub missing: Counted<Place>,
    /// Records of B that A has not, with their place in B and the digest of their id.
    pub extra: Counted<(Place, u128)>,
    /// Records that differ, with both places.
    pub changed: Counted<(Place, Place)>,
    /// How many records differ in which component.
    pub changed_by_component: BTreeMap<String, u64>,
    /// Vectors that differ within the tolerance.
    pub tolerated: u64,
    /// The largest relative difference among those.
    pub largest_tolerated: f32,
}

/// A count and the first few.
#[derive(Debug)]
pub struct Counted<T> {
    /// How many there are.
    pub count: u64,
    /// The first ones by id digest.
    pub first: Vec<T>,
}

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Counted { count: 0, first: Vec::new() }
    }
}

impl<T> Counted<T> {
    fn add(&mut self, item: T, keep: usize) {
        self.count += 1;
        if self.first.len() < keep {
            self.first.push(item);
        }
    }
}

impl EntryLayout {
    /// The layout for two sides; `tolerances` by vector name.
    pub fn new(a: &Side<'_>, b: &Side<'_>, tolerances: &BTreeMap<String, f32>) -> Self {
        let specs = || a.schema().stored_vectors().chain(b.schema().stored_vectors());
        let vectors: Vec<String> = specs().map(|spec| spec.name.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let tolerant = vectors.iter().enumerate().filter_map(|(position, name)| {
            let dim = |side: &Side<'_>| side.schema().vector(name).filter(|v| v.kind == VectorKind::Dense)?.dim;
            let (dim_a, dim_b) = (dim(a)?, dim(b)?);
            (dim_a == dim_b).then(|| Some((position, dim_a, *tolerances.get(name)?))).flatten()
        });
        EntryLayout { tolerant: tolerant.collect(), vectors }
    }

    /// Bytes of an entry.
    pub fn width(&self) -> usize {
        16 * (4 + self.vectors.len()) + 12 + self.tolerant.iter().map(|(_, dim, _)| 4 + 4 * dim).sum::<usize>()
    }

    fn write(
        &self,
        digest: &RecordDigest,
        places: &[Option<usize>],
        place: Place,
        view: &BatchView<'_>,
        row: usize,
        out: &mut Vec<u8>,
    ) {
        let fixed = [digest.id, digest.record, digest.document.unwrap_or(0), digest.metadata.unwrap_or(0)];
        fixed.iter().for_each(|part| out.extend_from_slice(&part.to_le_bytes()));
        for column in places {
            let part = column.and_then(|column| digest.vectors[column]).unwrap_or(0);
            out.extend_from_slice(&part.to_le_bytes());
        }
        out.extend_from_slice(&place.ordinal.to_le_bytes());
        out.extend_from_slice(&place.row.to_le_bytes());
        for (position, dim, _) in &self.tolerant {
            let value = places[*position].and_then(|column| view.vector(column, row));
            out.extend_from_slice(&u32::from(value.is_some()).to_le_bytes());
            match value {
                Some(VectorValue::Dense(values)) => values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
                Some(VectorValue::Widened(values)) => {
                    values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()))
                }
                _ => out.resize(out.len() + 4 * dim, 0),
            }
        }
    }
}

/// Spills the rows of one side that lie in `buckets`.
pub fn spill(
    side: &Side<'_>,
    layout: &EntryLayout,
    buckets: &[bool],
    partitions: usize,
    dir: &Path,
    name: &str,
    engine: EngineOptions<'_>,
) -> Result<Spill> {
    let width = layout.width();
    let mut spill = Spill::new(dir, name, partitions, width);
    let own: Vec<String> = side.schema().stored_vectors().map(|v| v.name.clone()).collect();
    let places: Vec<Option<usize>> = layout.vectors.iter().map(|name| own.iter().position(|o| o == name)).collect();
    let entries_bytes = 32 << 20;
    execute(
        side.prepared,
        engine,
        entries_bytes,
        |_| Ok(None),
        |split, stop| {
            let (ordinal, mut entries, mut digester) = (split.ordinal, Vec::new(), Digester::default());
            let mut set = SetFingerprint::new(side.schema());
            side.each_batch(split, |batch, rows| {
                stop.check()?;
                let view = BatchView::new(batch, side.schema()).map_err(|fault| side.located(ordinal, rows, &fault))?;
                set.add_batch(&view, &mut digester, |row, digest| {
                    if buckets[bucket_of(digest.id)] {
                        let place = Place { ordinal, row: (rows + row as u64) as u32 };
                        layout.write(digest, &places, place, &view, row, &mut entries);
                    }
                })
                .map_err(|(row, fault)| side.located(ordinal, rows + row as u64, &fault))
            })?;
            Ok(entries)
        },
        |entries: Vec<u8>| {
            for entry in entries.chunks_exact(width) {
                spill.push(partition_of(entry, partitions), entry)?;
            }
            Ok(())
        },
    )?;
    Ok(spill)
}

/// Partition by the low bits of the id digest: the high ones choose the bucket.
fn partition_of(entry: &[u8], partitions: usize) -> usize {
    (number(entry, 0) % partitions as u128) as usize
}

/// What the join found about one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Only in A, with its place there.
    Missing(Place),
    /// Only in B, with its place there and the digest of its id.
    Extra(Place, u128),
    /// In both, but not the same.
    Changed(Place, Place),
}

/// Joins both sides' partitions and shows everything that differs to `visit`.
pub fn join(
    layout: &EntryLayout,
    mut a: Spill,
    mut b: Spill,
    keep: usize,
    visit: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<Joined> {
    let mut joined = Joined::default();
    for partition in 0..a.partitions() {
        let (a, b) = (a.take(partition)?, b.take(partition)?);
        let (a, b) = (sorted(&a, layout.width()), sorted(&b, layout.width()));
        merge(layout, &a, &b, keep, &mut joined, visit)?;
    }
    Ok(joined)
}

fn sorted(bytes: &[u8], width: usize) -> Vec<&[u8]> {
    let mut entries: Vec<&[u8]> = bytes.chunks_exact(width).collect();
    entries.sort_unstable_by_key(|entry| (number(entry, 0), number(entry, 1)));
    entries
}

fn merge(
    layout: &EntryLayout,
    a: &[&[u8]],
    b: &[&[u8]],
    keep: usize,
    joined: &mut Joined,
    visit: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<()> {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return Ok(()),
            (Some(x), Some(y)) if number(x, 0) == number(y, 0) => {
                if let Some(found) = compare_entries(layout, x, y, keep, joined) {
                    visit(found)?;
                }
                left.next();
                right.next();
            }
            (Some(x), y) if y.is_none_or(|y| number(x, 0) < number(y, 0)) => {
                joined.missing.add(layout.place(x), keep);
                visit(Found::Missing(layout.place(x)))?;
                left.next();
            }
            (_, Some(y)) => {
                joined.extra.add((layout.place(y), number(y, 0)), keep);
                visit(Found::Extra(layout.place(y), number(y, 0)))?;
                right.next();
            }
            (Some(_), None) => return Ok(()),
        }
    }
}

fn compare_entries(layout: &EntryLayout, a: &[u8], b: &[u8], keep: usize, joined: &mut Joined) -> Option<Found> {
    if number(a, 1) == number(b, 1) {
        return None;
    }
    let mut differing: Vec<String> = Vec::new();
    for (position, name) in [(2, "document"), (3, "metadata")] {
        if number(a, position) != number(b, position) {
            differing.push(name.to_owned());
        }
    }
    for (position, name) in layout.vectors.iter().enumerate() {
        if number(a, 4 + position) == number(b, 4 + position) {
            continue;
        }
        match layout.within_tolerance(position, a, b) {
            Some(difference) => {
                joined.tolerated += 1;
                joined.largest_tolerated = joined.largest_tolerated.max(difference);
            }
            None => differing.push(vector_component(name)),
        }
    }
    if differing.is_empty() {
        return None;
    }
    joined.changed.add((layout.place(a), layout.place(b)), keep);
    for component in differing {
        *joined.changed_by_component.entry(component).or_default() += 1;
    }
    Some(Found::Changed(layout.place(a), layout.place(b)))
}

impl EntryLayout {
    fn place(&self, entry: &[u8]) -> Place {
        let at = 16 * (4 + self.vectors.len());
        let ordinal = entry[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or_default();
        let row = entry[at + 8..at + 12].try_into().map(u32::from_le_bytes).unwrap_or_default();
        Place { ordinal, row }
    }

    /// The relative difference, if the vector is a tolerant one, both sides have it, and it is small enough.
    fn within_tolerance(&self, position: usize, a: &[u8], b: &[u8]) -> Option<f32> {
        let mut at = 16 * (4 + self.vectors.len()) + 12;
        for (tolerant, dim, tolerance) in &self.tolerant {
            if *tolerant == position {
                let (x, y) = (floats(a, at, *dim)?, floats(b, at, *dim)?);
                return Some(relative_difference(&x, &y)).filter(|difference| difference <= tolerance);
            }
            at += 4 + 4 * dim;
        }
        None
    }
}

fn floats(entry: &[u8], at: usize, dim: usize) -> Option<Vec<f32>> {
    let present = entry.get(at..at + 4)? != [0; 4];
    let bytes = entry.get(at + 4..at + 4 + 4 * dim)?;
    present.then(|| bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap_or_default())).collect())
}

fn number(entry: &[u8], position: usize) -> u128 {
    entry[16 * position..16 * (position + 1)].try_into().map(u128::from_le_bytes).unwrap_or_default()
}
