//! Turns the difference of two sets into a delta and its inverse, and applies deltas.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tranship_archive::{Archive, ArchiveSink, ArchiveSource};
use tranship_collection::digest::Digester;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::{BatchView, CollectionSchema};
use tranship_connector::{Error, Locator, OpenOptions, Prepared, Reject, RejectSink, Result, Sink, Source, Survey};
use tranship_pipeline::{RunOptions, RunReport, run};
use tranship_storage::Staging;
use tranship_storage::staging::with_suffix;
use tranship_verify::compare::each_difference;
use tranship_verify::conform::{Chained, Picked, Rows};
use tranship_verify::delta::{DELETES, DELTA, Delta, DeltaManifest, DeltaPart, UPSERTS, common_schema};
use tranship_verify::ids::{KNOWN_BYTES, RowBits, id_of, repeated};
use tranship_verify::join::Found;
use tranship_verify::{CompareOptions, Form, Side, fingerprint};

use crate::open;
use crate::providers::registry;
use crate::settings::Settings;

/// What to compare and where to write the delta.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// Locator of A, the base.
    pub a: String,
    /// Locator of B, the result.
    pub b: String,
    /// How to open A.
    pub open_a: OpenOptions,
    /// How to open B.
    pub open_b: OpenOptions,
    /// The directory of the delta.
    pub delta: PathBuf,
}

/// What a delta holds.
#[derive(Debug, Clone, Serialize)]
pub struct DiffReport {
    /// The delta from A to B.
    pub delta: PathBuf,
    /// The delta from B to A.
    pub inverse: PathBuf,
    /// Fingerprint of A.
    pub base: FingerprintSummary,
    /// Fingerprint of B.
    pub result: FingerprintSummary,
    /// Records of B that A has not.
    pub added: u64,
    /// Records that differ.
    pub changed: u64,
    /// Records of A that B has not.
    pub deleted: u64,
}

/// What to apply to what.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// Locator of the base.
    pub base: String,
    /// How to open it.
    pub open: OpenOptions,
    /// The delta.
    pub delta: PathBuf,
    /// Locator of the archive that comes of it.
    pub target: String,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct ApplyReport {
    /// The archive.
    pub target: String,
    /// Records in it.
    pub records: u64,
    /// Its fingerprint, which is the one that the delta states.
    pub fingerprint: FingerprintSummary,
    /// Records that were written anew.
    pub upserts: u64,
    /// Records that were taken out.
    pub deletes: u64,
}

/// Rows of both sides that differ, by split.
#[derive(Default)]
struct Differences {
    only_a: RowBits,
    only_b: RowBits,
    changed_a: RowBits,
    changed_b: RowBits,
}

/// Writes the delta from A to B, and beside it the one from B to A.
pub fn diff(options: &DiffOptions, settings: &Settings<'_>) -> Result<DiffReport> {
    if [&options.a, &options.b].iter().any(|text| Locator::parse(text, &registry()).is_stream()) {
        return Err(Error::usage("a delta reads both sets more than once, which standard input does not allow")
            .hint("put the set into a file first"));
    }
    let opened_a = open::source(&options.a, &options.open_a)?;
    let opened_b = open::source(&options.b, &options.open_b)?;
    let (scratch_a, scratch_b, scratch) = (settings.scratch()?, settings.scratch()?, settings.scratch()?);
    let split_bytes = 16 << 20;
    let a = open::prepare(&*opened_a.source, settings.prepare_bytes() / 2, split_bytes, scratch_a.path())?;
    let b = open::prepare(&*opened_b.source, settings.prepare_bytes() / 2, split_bytes, scratch_b.path())?;
    let schema = common_schema(a.schema(), b.schema())?;
    let (found, base, result) = differences(&*a, &*b, (&opened_a.label, &opened_b.label), scratch.path(), settings)?;
    let report = DiffReport {
        delta: options.delta.clone(),
        inverse: with_suffix(&options.delta, ".inverse"),
        added: found.only_b.count(),
        changed: found.changed_b.count(),
        deleted: found.only_a.count(),
        base: base.clone(),
        result: result.clone(),
    };
    let (source_a, source_b) = (&*opened_a.source, &*opened_b.source);
    let forward = DeltaManifest::new(schema.clone(), base.clone(), result.clone());
    let upserts = merged(found.only_b.clone(), &found.changed_b);
    write_delta(&report.delta, forward, (source_b, &*b, upserts), (source_a, &*a, found.only_a.clone()), settings)?;
    let backward = DeltaManifest::new(schema, result, base);
    let upserts = merged(found.only_a, &found.changed_a);
    write_delta(&report.inverse, backward, (source_a, &*a, upserts), (source_b, &*b, found.only_b), settings)?;
    Ok(report)
}

fn differences(
    a: &dyn Prepared,
    b: &dyn Prepared,
    labels: (&str, &str),
    scratch: &Path,
    settings: &Settings<'_>,
) -> Result<(Differences, FingerprintSummary, FingerprintSummary)> {
    let (side_a, side_b) = (Side::new(labels.0, a, Form::AsRead), Side::new(labels.1, b, Form::AsRead));
    let (exact, nothing) = (BTreeMap::new(), BTreeSet::new());
    let options = CompareOptions {
        engine: settings.engine(),
        scratch,
        max_named: 0,
        once: false,
        tolerances: &exact,
        accepted: &nothing,
        earlier: None,
    };
    let mut found = Differences::default();
    let (base, result) = each_difference(&side_a, &side_b, options, &mut |difference| {
        match difference {
            Found::Missing(place) => found.only_a.add(place),
            Found::Extra(place, _) => found.only_b.add(place),
            Found::Changed(in_a, in_b) => {
                found.changed_a.add(in_a);
                found.changed_b.add(in_b);
            }
        }
        Ok(())
    })?;
    Ok((found, base, result))
}

fn merged(mut a: RowBits, b: &RowBits) -> RowBits {
    a.add_all(b);
    a
}

type Part<'a> = (&'a dyn Source, &'a dyn Prepared, RowBits);

fn write_delta(
    path: &Path,
    mut manifest: DeltaManifest,
    upserts: Part<'_>,
    deletes: Part<'_>,
    settings: &Settings<'_>,
) -> Result<()> {
    let staging = Staging::open(path)?;
    staging.clear()?;
    let inside = |name: &str| with_suffix(path, ".partial").join(name);
    manifest.upserts = write_part(&inside(UPSERTS), upserts, &manifest.schema, false, settings)?;
    manifest.deletes = write_part(&inside(DELETES), deletes, &manifest.schema, true, settings)?;
    let mut file = staging.create(DELTA)?;
    file.write_all(manifest.sealed()?.as_bytes())?;
    file.finish()?;
    staging.publish()?;
    Ok(())
}

fn write_part(
    path: &Path,
    (source, prepared, rows): Part<'_>,
    schema: &CollectionSchema,
    ids_only: bool,
    settings: &Settings<'_>,
) -> Result<DeltaPart> {
    let picked = Picked::new(prepared, Rows::Only(rows), schema.clone(), ids_only)?;
    write_archive(path, source, &picked, settings)?;
    DeltaPart::of(path)
}

pub(crate) fn write_archive(
    path: &Path,
    source: &dyn Source,
    prepared: &dyn Prepared,
    settings: &Settings<'_>,
) -> Result<RunReport> {
    let sink = ArchiveSink::new(path, false);
    let scratch = settings.scratch()?;
    let identity = source.identity()?;
    let negotiated = sink.negotiate(prepared.schema(), &Survey::default())?;
    let options = RunOptions {
        engine: settings.engine(),
        max_rejects: 0,
        scratch: scratch.path(),
        plan: "delta",
        sized: false,
        identity: &identity,
        allow_inconsistent: false,
    };
    run(source, prepared, &sink, &negotiated, options)
}

/// Applies a delta to its base. What comes of it has the fingerprint that the delta states, or nothing is written.
pub fn apply(options: &ApplyOptions, settings: &Settings<'_>) -> Result<ApplyReport> {
    let target = Locator::parse(&options.target, &registry());
    if target.provider.as_deref().is_some_and(|name| name != "archive") || target.is_stream() {
        return Err(
            Error::usage("a delta is applied into an archive").hint("as in archive:./name.tranship; convert that")
        );
    }
    let delta = Delta::open(&options.delta)?;
    let opened = open::source(&options.base, &options.open)?;
    let (scratch_base, scratch_delta) = (settings.scratch()?, settings.scratch()?);
    let memory = settings.prepare_bytes() / 2;
    let base = open::prepare(&*opened.source, memory, tranship_connector::source::SPLIT_BYTES, scratch_base.path())?;
    let found = match base.stated_fingerprint() {
        Some(stated) => stated,
        None => fingerprint(&Side::new(&opened.label, &*base, Form::AsRead), settings.engine())?.summary(),
    };
    delta.check_base(&found)?;
    let part = |name| ArchiveSource::open(Archive::open(&delta.path.join(name))?, &OpenOptions::default());
    let (upserts, deletes) = (part(UPSERTS)?, part(DELETES)?);
    let upserts = open::prepare(&upserts, memory, tranship_connector::source::SPLIT_BYTES, scratch_delta.path())?;
    let deletes = open::prepare(&deletes, memory, tranship_connector::source::SPLIT_BYTES, scratch_delta.path())?;
    let schema = &delta.manifest.schema;
    // The base's own spelling of vectors must fit; kinds of ids and namespaces may be narrower.
    common_schema(base.schema(), schema)?;
    let count = delta.manifest.upserts.records + delta.manifest.deletes.records;
    let stays = match count * KNOWN_BYTES <= memory / 4 {
        true => Rows::Without(ids_of(&[&*upserts, &*deletes])?),
        false => {
            let side = |label, set| Side::new(label, set, Form::AsRead);
            let sides = [side("the deletes", &*deletes), side("the upserts", &*upserts), side(&opened.label, &*base)];
            let mut found = repeated(&sides.each_ref(), 0, settings.scratch()?.path(), settings.engine())?;
            Rows::AllBut(found.rows.pop().unwrap_or_default())
        }
    };
    let result = Chained {
        parts: vec![
            Picked::new(&*base, stays, schema.clone(), false)?,
            Picked::new(&*upserts, Rows::Without(HashSet::new()), schema.clone(), false)?,
        ],
        stated: Some(delta.manifest.result.clone()),
    };
    let report = write_archive(&target.path, &*opened.source, &result, settings)?;
    Ok(ApplyReport {
        target: options.target.clone(),
        records: report.records,
        fingerprint: report.fingerprint,
        upserts: delta.manifest.upserts.records,
        deletes: delta.manifest.deletes.records,
    })
}

/// The id digests of all records.
fn ids_of(sets: &[&dyn Prepared]) -> Result<HashSet<u128>> {
    struct NoRejects;
    impl RejectSink for NoRejects {
        fn reject(&mut self, reject: Reject) -> Result<()> {
            Err(Error::damaged(reject.reason).with("place", reject.place))
        }
    }
    let (mut ids, mut digester) = (HashSet::new(), Digester::default());
    for set in sets {
        for split in set.splits()? {
            for batch in set.open(split?, &mut NoRejects)? {
                let batch = batch?;
                let view = BatchView::new(&batch, set.schema()).map_err(|fault| Error::damaged(fault.to_string()))?;
                ids.extend((0..view.len()).map(|row| id_of(&mut digester, &view, row)));
            }
        }
    }
    Ok(ids)
}
