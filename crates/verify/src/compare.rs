//! Are two sets of records the same, and if not, which records differ in which fields.
//!
//! Pass 1 reads each side once and compares fingerprints: equal sums mean equal sets, and nothing more is read. Else
//! pass 2 reads both once more, spills the rows of differing buckets and joins them. The first records of each class
//! are then read again to be named, the rest are counted. Where classes of difference are accepted, all changed records
//! are read again (see `accept`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use tranship_collection::fault::vector_label;
use tranship_collection::fingerprint::{BUCKETS, FingerprintSummary};
use tranship_collection::{CollectionSchema, SetFingerprint};
use tranship_connector::Result;
use tranship_pipeline::EngineOptions;

use crate::accept::{Settled, Slices};
use crate::class::names;
use crate::ids::Known;
use crate::join::{EntryLayout, Found, Joined, Place, join, spill};
use crate::named::{Difference, Fetched, FieldDifference, difference, fetch};
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
    /// Classes of difference that make no record changed (see [`crate::class::names::OF_VALUES`]).
    pub accepted: &'a BTreeSet<&'static str>,
    /// A set as it was before A: what it has and A has not was deleted.
    pub earlier: Option<&'a Side<'a>>,
}

/// What a comparison found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CompareReport {
    /// True if both sets hold the same records, within the tolerances and but for what is accepted.
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
    /// How many of the extra ones the earlier set has: deletes that came back. `None` without an earlier set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resurrected: Option<u64>,
    /// Those of `extra_ids` that are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resurrected_ids: Vec<String>,
    /// Those of `missing_ids` whose record stands whole in B under one of `extra_ids`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
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
    /// Records that differ only in what is accepted.
    pub accepted: u64,
    /// How many of those show which class.
    pub accepted_by_class: BTreeMap<&'static str, u64>,
    /// The classes that were accepted.
    pub accepted_classes: Vec<&'static str>,
    /// Where the schemas differ: told beside the verdict, which is about the records.
    pub schema_differences: Vec<String>,
}

/// A record that stands in B under another id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Its id in A.
    pub a: String,
    /// Its id in B.
    pub b: String,
}

/// Compares two sides.
pub fn compare(a: &Side<'_>, b: &Side<'_>, options: CompareOptions<'_>) -> Result<CompareReport> {
    let set_a = fingerprint(a, options.engine)?;
    let set_b = fingerprint(b, options.engine)?;
    let buckets = differing_buckets(&set_a, &set_b);
    let differs = buckets.contains(&true);
    let mut report = CompareReport {
        equal: !differs,
        by_fingerprint: options.once || !differs,
        a: set_a.summary(),
        b: set_b.summary(),
        tolerances: options.tolerances.clone(),
        accepted_classes: options.accepted.iter().copied().collect(),
        schema_differences: schema_differences(a.schema(), b.schema()),
        resurrected: options.earlier.map(|_| 0),
        ..CompareReport::default()
    };
    if !differs || options.once {
        return Ok(report);
    }
    let rows = set_a.records().min(set_b.records());
    let mut slices = Slices::new(a.schema(), rows, options.engine.memory_bytes / 2, options.scratch);
    let mut extra = Known::new(options.engine.memory_bytes / 2);
    let joined = second_pass(a, b, &set_a, &set_b, &buckets, options, &mut |found| match found {
        Found::Changed(in_a, in_b) if !options.accepted.is_empty() => slices.add(in_a, in_b),
        Found::Extra(_, id) if options.earlier.is_some() => extra.add(id),
        _ => Ok(()),
    })?;
    let settled = match options.accepted.is_empty() {
        true => named_only(a, b, &joined, options)?,
        false => slices.settle((a, b), options.accepted, options.tolerances, options.max_named)?,
    };
    let in_b: Vec<Place> = joined.extra.first.iter().map(|(place, _)| *place).collect();
    let (missing, added) = (fetch(a, &joined.missing.first)?, fetch(b, &in_b)?);
    report.equal = joined.missing.count + joined.extra.count + settled.changed == 0;
    report.missing = joined.missing.count;
    report.missing_ids = missing.iter().map(Fetched::label).collect();
    report.extra = joined.extra.count;
    report.extra_ids = added.iter().map(Fetched::label).collect();
    report.moved = moved(&missing, &added);
    if let Some(earlier) = options.earlier {
        let held = extra.found_in(earlier)?;
        let named = joined.extra.first.iter().zip(&report.extra_ids).filter(|((_, id), _)| held.contains(id));
        report.resurrected_ids = named.map(|(_, label)| label.clone()).collect();
        report.resurrected = Some(held.len() as u64);
    }
    report.changed = settled.changed;
    report.changed_by_component = settled.changed_by_component;
    report.differences = settled.differences;
    report.accepted = settled.accepted;
    report.accepted_by_class = settled.accepted_by_class;
    report.tolerated = joined.tolerated;
    report.largest_tolerated = joined.largest_tolerated;
    Ok(report)
}

/// The first changed records are read again, the others stay counted.
fn named_only(a: &Side<'_>, b: &Side<'_>, joined: &Joined, options: CompareOptions<'_>) -> Result<Settled> {
    let (in_a, in_b): (Vec<_>, Vec<_>) = joined.changed.first.iter().copied().unzip();
    let (records_a, records_b) = (fetch(a, &in_a)?, fetch(b, &in_b)?);
    let pairs = records_a.iter().zip(&records_b);
    let mut differences: Vec<Difference> = pairs.map(|(a, b)| difference(a, b, options.tolerances)).collect();
    let by_content = by_content(&records_b);
    for (record, difference) in records_a.iter().zip(&mut differences) {
        if let Some(other) = record.content().and_then(|content| by_content.get(&content).cloned()) {
            let field = "id".to_owned();
            let class = Some(names::PERMUTED);
            let note = Some("B has the whole record under that id".to_owned());
            difference.fields.insert(0, FieldDifference { field, a: record.label(), b: other, class, note });
        }
    }
    Ok(Settled {
        changed: joined.changed.count,
        changed_by_component: joined.changed_by_component.clone(),
        differences,
        ..Settled::default()
    })
}

/// Records by what they hold beside their id.
fn by_content(records: &[Fetched]) -> BTreeMap<Vec<u8>, String> {
    records.iter().filter_map(|record| Some((record.content()?, record.label()))).collect()
}

/// Missing records that are extra ones under another id.
fn moved(missing: &[Fetched], extra: &[Fetched]) -> Vec<Moved> {
    let by_content = by_content(extra);
    let other = |record: &Fetched| by_content.get(&record.content()?).cloned();
    missing.iter().filter_map(|record| Some(Moved { a: record.label(), b: other(record)? })).collect()
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
