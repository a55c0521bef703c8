//! Are two sets of records the same, and if not, which records differ in which fields.
//!
//! Pass 1 reads each side once and compares fingerprints: equal sums mean equal sets, and nothing more is read. Else
//! pass 2 reads both once more, spills the rows of differing buckets and joins them. The first records of each class
//! are then read again to be named, the rest are counted.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use tranship_collection::fault::vector_label;
use tranship_collection::fingerprint::{BUCKETS, FingerprintSummary};
use tranship_collection::{CollectionSchema, SetFingerprint};
use tranship_connector::Result;
use tranship_pipeline::EngineOptions;

use crate::join::{EntryLayout, Found, Joined, join, spill};
use crate::named::{Difference, difference, fetch};
use crate::side::{Side, fingerprint};

/// How a comparison is made.
#[derive(Clone, Copy)]
pub struct CompareOptions<'a> {
    /// Threads, memory, cancellation, progress.
    pub engine: EngineOptions<'a>,
    /// Directory for spill files.
    pub scratch: &'a Path,
    /// Records named per class.
    pub max_named: usize,
    /// A side is a stream that cannot be read again: differences are told by the fingerprints alone.
    pub once: bool,
    /// Largest relative difference of vectors, by name.
    pub tolerances: &'a BTreeMap<String, f32>,
}

/// What a comparison found.
#[derive(Debug, Clone, Serialize)]
pub struct CompareReport {
    /// True if both sets hold the same records, within the tolerances.
    pub equal: bool,
    /// True if that was decided by fingerprint alone: bit for bit.
    pub by_fingerprint: bool,
    /// Fingerprint of A.
    pub a: FingerprintSummary,
    /// Fingerprint of B.
    pub b: FingerprintSummary,
    /// Records of A that B has not.
    pub missing: u64,
    /// The first of them.
    pub missing_ids: Vec<String>,
    /// Records of B that A has not.
    pub extra: u64,
    /// The first of them.
    pub extra_ids: Vec<String>,
    /// Records that differ.
    pub changed: u64,
    /// How many records differ in which component.
    pub changed_by_component: BTreeMap<String, u64>,
    /// The first of them, field by field.
    pub differences: Vec<Difference>,
    /// Vectors that differ within the tolerance.
    pub tolerated: u64,
    /// The largest relative difference among those.
    pub largest_tolerated: f32,
    /// The tolerances that were granted.
    pub tolerances: BTreeMap<String, f32>,
    /// Where the schemas differ: told beside the verdict, which is about the records.
    pub schema_differences: Vec<String>,
}

/// Compares two sides.
pub fn compare(a: &Side<'_>, b: &Side<'_>, options: CompareOptions<'_>) -> Result<CompareReport> {
    let set_a = fingerprint(a, options.engine)?;
    let set_b = fingerprint(b, options.engine)?;
    let buckets = differing_buckets(&set_a, &set_b);
    let differs = buckets.contains(&true);
    let joined = match differs && !options.once {
        false => Joined::default(),
        true => second_pass(a, b, &set_a, &set_b, &buckets, options, &mut |_| Ok(()))?,
    };
    let (in_a, in_b): (Vec<_>, Vec<_>) = joined.changed.first.iter().copied().unzip();
    let pairs = fetch(a, &in_a)?.into_iter().zip(fetch(b, &in_b)?);
    let labels = |side: &Side<'_>, places: &[_]| -> Result<Vec<String>> {
        Ok(fetch(side, places)?.iter().map(|r| r.label()).collect())
    };
    Ok(CompareReport {
        equal: match options.once {
            true => !differs,
            false => joined.missing.count + joined.extra.count + joined.changed.count == 0,
        },
        by_fingerprint: options.once || !differs,
        a: set_a.summary(),
        b: set_b.summary(),
        missing: joined.missing.count,
        missing_ids: labels(a, &joined.missing.first)?,
        extra: joined.extra.count,
        extra_ids: labels(b, &joined.extra.first)?,
        changed: joined.changed.count,
        changed_by_component: joined.changed_by_component,
        differences: pairs.map(|(a, b)| difference(&a, &b, options.tolerances)).collect(),
        tolerated: joined.tolerated,
        largest_tolerated: joined.largest_tolerated,
        tolerances: options.tolerances.clone(),
        schema_differences: schema_differences(a.schema(), b.schema()),
    })
}

/// Vectors of one name that are declared otherwise on the two sides.
fn schema_differences(a: &CollectionSchema, b: &CollectionSchema) -> Vec<String> {
    let mut found = Vec::new();
    for (x, y) in a.vectors.iter().filter_map(|x| Some((x, b.vector(&x.name)?))) {
        let label = vector_label(&x.name);
        if let (Some(metric_a), Some(metric_b)) = (x.metric, y.metric)
            && metric_a != metric_b
        {
            found.push(format!("{label}: the metric is {} in A, {} in B", metric_a.name(), metric_b.name()));
        }
        if x.element != y.element {
            let [a, b] = [x, y].map(|spec| format!("{:?}", spec.element).to_lowercase());
            found.push(format!("{label}: the elements are {a} in A, {b} in B"));
        }
    }
    found
}

fn second_pass(
    a: &Side<'_>,
    b: &Side<'_>,
    set_a: &SetFingerprint,
    set_b: &SetFingerprint,
    buckets: &[bool],
    options: CompareOptions<'_>,
    visit: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<Joined> {
    let layout = EntryLayout::new(a, b, options.tolerances);
    let rows =
        |set: &SetFingerprint| (0..BUCKETS).filter(|b| buckets[*b]).map(|b| set.bucket("record", b).count).sum::<u64>();
    let bytes = (rows(set_a) + rows(set_b)) * (layout.width() as u64 + 16);
    let partitions = (bytes * 4).div_ceil(options.engine.memory_bytes.max(1)).clamp(1, 4096) as usize;
    let spilled_a = spill(a, &layout, buckets, partitions, options.scratch, "a", options.engine)?;
    let spilled_b = spill(b, &layout, buckets, partitions, options.scratch, "b", options.engine)?;
    join(&layout, spilled_a, spilled_b, options.max_named, visit)
}

/// Shows every record that differs to `visit`, and tells both fingerprints. Tolerances make records the same.
pub fn each_difference(
    a: &Side<'_>,
    b: &Side<'_>,
    options: CompareOptions<'_>,
    visit: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<(FingerprintSummary, FingerprintSummary)> {
    let set_a = fingerprint(a, options.engine)?;
    let set_b = fingerprint(b, options.engine)?;
    let buckets = differing_buckets(&set_a, &set_b);
    if buckets.contains(&true) {
        second_pass(a, b, &set_a, &set_b, &buckets, options, visit)?;
    }
    Ok((set_a.summary(), set_b.summary()))
}

fn differing_buckets(a: &SetFingerprint, b: &SetFingerprint) -> Vec<bool> {
    // The record digest covers every component, so its sums alone tell equal sets apart from others.
    (0..BUCKETS).map(|bucket| a.bucket("record", bucket) != b.bucket("record", bucket)).collect()
}
