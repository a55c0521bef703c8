//! The whole big-bang migration of one place, collection by collection: archive, bundle, proof, recall, verdict.
//!
//! Invariant: READY TO LOAD means that the archive equals the source, that the bundle read back equals the archive,
//! both record by record over the whole set, that every loss was stated and allowed, and that search answers the same
//! as far as recall was measured. Everything else is NOT READY, with the reasons.
//!
//! For a target `DIR` it writes `DIR` (the bundle), `DIR.tranship` (the archive) and `DIR.run` (reports); with `--all`
//! the same below `DIR` for every collection. An interrupted migration goes on where it was: a finished archive or
//! bundle is kept if it was made from this very source, and proven again.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tranship_archive::Archive;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_connector::{CollectionInfo, Error, ErrorKind, Locator, Loss, OpenOptions, Result};
use tranship_recall::RecallReport;
use tranship_storage::staging::{make_parent, with_suffix};
use tranship_storage::write_whole;
use tranship_verify::archive::Subset;
use tranship_verify::{CompareReport, Level};

use crate::convert::{ConvertOptions, convert};
use crate::open;
use crate::providers::registry;
use crate::recall::{RecallOptions, recall};
use crate::settings::Settings;
use crate::verify::{VerifyOptions, VerifyReport, verify};

/// What to migrate.
#[derive(Debug, Clone)]
pub struct MigrateOptions {
    /// The conversion: source, target `provider:DIR`, how to open and create, what to allow.
    pub convert: ConvertOptions,
    /// Every collection of the source.
    pub all: bool,
    /// How recall is measured; its locators are filled in.
    pub recall: RecallOptions,
}

/// The outcome.
#[derive(Debug, Clone, Serialize)]
pub struct MigrateReport {
    /// One per collection.
    pub collections: Vec<CollectionReport>,
    /// True if every collection is ready.
    pub ready: bool,
}

/// The outcome for one collection.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionReport {
    /// The collection.
    pub collection: String,
    /// Where the archive is.
    pub archive: PathBuf,
    /// Where the bundle is.
    pub bundle: PathBuf,
    /// Records in it.
    pub records: u64,
    /// Records that were set aside.
    pub rejected: u64,
    /// Fingerprint of the records.
    pub fingerprint: Option<FingerprintSummary>,
    /// What the target changes or loses.
    pub losses: Vec<Loss>,
    /// What was done and found, in order.
    pub steps: Vec<Step>,
    /// How well search answers.
    pub recall: Option<RecallReport>,
    /// True if the bundle can be loaded.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// What else is worth telling.
    pub notes: Vec<String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// What came of it.
    pub outcome: String,
}

/// Migrates one collection or all of them. Trouble with one collection is its verdict and does not stop the others.
pub fn migrate(
    options: &MigrateOptions,
    settings: &Settings<'_>,
    mut on_done: impl FnMut(&CollectionReport),
) -> Result<MigrateReport> {
    let target = Locator::parse(&options.convert.target, &registry());
    if target.provider.is_none() {
        return Err(Error::usage(format!("{} does not name a provider", options.convert.target))
            .hint(format!("name the target, as in qdrant:{}", target.path.display())));
    }
    let mut collections = Vec::new();
    for (name, directory) in jobs(options, &target)? {
        let report = match one(options, &target, name.as_deref(), &directory, settings) {
            Ok(report) => report,
            Err(error) if options.all && error.kind() != ErrorKind::Interrupted => {
                failed(name.unwrap_or_default(), &directory, &error)
            }
            Err(error) => return Err(error),
        };
        on_done(&report);
        collections.push(report);
    }
    Ok(MigrateReport { ready: collections.iter().all(|report| report.ready), collections })
}

/// Which collection goes into which directory.
fn jobs(options: &MigrateOptions, target: &Locator) -> Result<Vec<(Option<String>, PathBuf)>> {
    if !options.all {
        return Ok(vec![(options.convert.open.collection.clone(), target.path.clone())]);
    }
    let (_, infos) = open::list(&options.convert.source, &options.convert.open)?;
    if infos.is_empty() {
        return Err(Error::usage(format!("{} holds no collection", options.convert.source)));
    }
    directories(&infos, &target.path)
}

/// A directory per collection; names that fall together once they are file names are refused.
pub fn directories(infos: &[CollectionInfo], below: &Path) -> Result<Vec<(Option<String>, PathBuf)>> {
    let mut jobs: Vec<(Option<String>, PathBuf)> = Vec::new();
    for info in infos {
        let directory = below.join(file_name(&info.name));
        if let Some((Some(other), _)) = jobs.iter().find(|(_, taken)| *taken == directory) {
            return Err(Error::usage(format!(
                "the collections {other} and {} would both go to {}",
                info.name,
                directory.display()
            ))
            .hint("migrate them one by one with --collection"));
        }
        jobs.push((Some(info.name.clone()), directory));
    }
    Ok(jobs)
}

fn file_name(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().map(safe).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

fn failed(collection: String, directory: &Path, error: &Error) -> CollectionReport {
    let mut reasons = vec![format!("{}: {error}", error.kind().code())];
    reasons.extend(error.next_step().map(|hint| format!("next: {hint}")));
    CollectionReport { reasons, ..CollectionReport::new(collection, directory) }
}

impl CollectionReport {
    fn new(collection: String, directory: &Path) -> Self {
        CollectionReport {
            collection,
            archive: with_suffix(directory, ".tranship"),
            bundle: directory.to_owned(),
            records: 0,
            rejected: 0,
            fingerprint: None,
            losses: Vec::new(),
            steps: Vec::new(),
            recall: None,
            ready: false,
            reasons: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn step(&mut self, name: &'static str, outcome: impl Into<String>) {
        self.steps.push(Step { name, outcome: outcome.into() });
    }

    /// Records a comparison; a difference is a reason not to load.
    fn proof(&mut self, name: &'static str, what: &str, report: &CompareReport) {
        match report.equal {
            true => self.step(name, format!("{what}: {} records equal {}", report.a.records, proof_class(report))),
            false => {
                let found =
                    format!("{what}: {} missing, {} extra, {} changed", report.missing, report.extra, report.changed);
                self.reasons.push(found.clone());
                self.step(name, found);
            }
        }
    }
}

/// How equality was proven.
pub fn proof_class(report: &CompareReport) -> String {
    match report.by_fingerprint {
        true => format!("bit for bit, by fingerprint {}", report.a.digest),
        false => {
            format!("within tolerance: {} vectors differ by at most {:.1e}", report.tolerated, report.largest_tolerated)
        }
    }
}

fn one(
    options: &MigrateOptions,
    target: &Locator,
    name: Option<&str>,
    directory: &Path,
    settings: &Settings<'_>,
) -> Result<CollectionReport> {
    let open_options = OpenOptions { collection: name.map(str::to_owned), ..options.convert.open.clone() };
    let collection = open::source(&options.convert.source, &open_options)?.source.schema().name.clone();
    let mut report = CollectionReport::new(collection, directory);
    let archive = format!("archive:{}", report.archive.display());
    let bundle = format!("{}:{}", target.provider.as_deref().unwrap_or_default(), directory.display());
    make_parent(directory)?;

    to_archive(options, &open_options, &archive, &mut report, settings)?;
    let against = |a: &str, b: &str, open_a: &OpenOptions| VerifyOptions {
        a: a.to_owned(),
        b: Some(b.to_owned()),
        open_a: open_a.clone(),
        open_b: OpenOptions { limits: open_options.limits.clone(), ..OpenOptions::default() },
        mapping: None,
        tolerance: None,
        level: Level::L3,
        subset: Subset { part: 0, of: 1 },
        max_named: 10,
    };
    prove_archive(options, &archive, against(&options.convert.source, &archive, &open_options), &mut report, settings)?;
    to_bundle(options, &archive, &bundle, &mut report, settings)?;
    if let VerifyReport::Sets(found) = verify(&against(&archive, &bundle, &OpenOptions::default()), settings)? {
        report.proof("proof", "archive = bundle read back", &found);
    }
    measure_recall(options, &archive, &bundle, &mut report, settings)?;
    if options.convert.open.allow_inconsistent {
        report.notes.push("the source was read with --allow-inconsistent: it may have changed meanwhile".to_owned());
    }
    report.ready = report.reasons.is_empty();
    write_run(directory, &report)?;
    Ok(report)
}

fn to_archive(
    options: &MigrateOptions,
    open_options: &OpenOptions,
    archive: &str,
    report: &mut CollectionReport,
    settings: &Settings<'_>,
) -> Result<()> {
    if report.archive.exists() {
        let kept = Archive::open(&report.archive)?;
        same_origin(&kept, options, open_options)?;
        report.records = kept.manifest().records;
        report.rejected = kept.manifest().rejected;
        report.fingerprint = Some(kept.manifest().fingerprint.clone());
        report.step("archive", format!("{} was made from this source before: kept", report.archive.display()));
        return Ok(());
    }
    let to_archive =
        ConvertOptions { target: archive.to_owned(), open: open_options.clone(), ..options.convert.clone() };
    let done = convert(&to_archive, settings)?;
    report.records = done.run.records;
    report.rejected = done.run.rejected;
    report.fingerprint = Some(done.run.fingerprint.clone());
    report.notes.extend(done.notes);
    let ledger = match (done.ledger.raw, done.ledger.deleted, done.ledger.superseded) {
        (Some(raw), deleted, superseded) if raw != done.run.records => {
            format!(
                " ({raw} raw = {} live + {deleted} deleted + {superseded} superseded + {} rejected)",
                done.run.records, done.run.rejected
            )
        }
        _ => String::new(),
    };
    let nulls = done.run.null_vectors.values().sum::<u64>();
    if nulls > 0 && nulls == done.run.records {
        report.reasons.push("no record has a vector".to_owned());
    } else if nulls > 0 {
        report.notes.push(format!("{nulls} of {} records have no vector", done.run.records));
    }
    report.step("archive", format!("{} records{ledger} -> {}", done.run.records, report.archive.display()));
    Ok(())
}

/// An archive is only taken up if its source files are still the same ones.
fn same_origin(archive: &Archive, options: &MigrateOptions, open_options: &OpenOptions) -> Result<()> {
    let identity = open::source(&options.convert.source, open_options)?.source.identity()?;
    let origin = &archive.manifest().source.files;
    let same = identity.files.len() == origin.len()
        && identity
            .files
            .iter()
            .zip(origin)
            .all(|(now, then)| (&now.path, now.bytes, &now.edges) == (&then.path, then.bytes, &then.edges));
    if same && !identity.files.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::OutputExists,
        format!("{} was made from another source, or another state of it", archive.path().display()),
    )
    .hint("choose another target directory, or remove the old archive and bundle"))
}

fn prove_archive(
    options: &MigrateOptions,
    archive: &str,
    against: VerifyOptions,
    report: &mut CollectionReport,
    settings: &Settings<'_>,
) -> Result<()> {
    let alone = VerifyOptions { a: archive.to_owned(), b: None, open_a: OpenOptions::default(), ..against.clone() };
    if let VerifyReport::Archive(found) = verify(&alone, settings)? {
        report.step(
            "proof",
            format!("archive is whole: {} files, level {:?}, {} faults", found.files, found.level, found.faults.len()),
        );
        report.reasons.extend(found.faults);
    }
    let stream = Locator::parse(&options.convert.source, &registry()).is_stream();
    if stream || report.rejected > 0 {
        report.step(
            "proof",
            format!(
                "source = archive: counted and digested while reading, {} set aside; not read again",
                report.rejected
            ),
        );
        return Ok(());
    }
    if let VerifyReport::Sets(found) = verify(&against, settings)? {
        report.proof("proof", "source = archive", &found);
    }
    Ok(())
}

fn to_bundle(
    options: &MigrateOptions,
    archive: &str,
    bundle: &str,
    report: &mut CollectionReport,
    settings: &Settings<'_>,
) -> Result<()> {
    let (_, sink) = open::sink(bundle, &options.convert.create)?;
    report.losses = sink.negotiate(open::source(archive, &OpenOptions::default())?.source.schema())?.losses;
    if report.bundle.exists() {
        report.step("bundle", format!("{} is there already: proven again", report.bundle.display()));
        return Ok(());
    }
    let to_bundle = ConvertOptions {
        source: archive.to_owned(),
        target: bundle.to_owned(),
        open: OpenOptions { limits: options.convert.open.limits.clone(), ..OpenOptions::default() },
        ..options.convert.clone()
    };
    let done = convert(&to_bundle, settings)?;
    report.step(
        "bundle",
        format!(
            "{} records, {} bytes of request bodies -> {}",
            done.run.records,
            done.run.bytes_written,
            report.bundle.display()
        ),
    );
    Ok(())
}

fn measure_recall(
    options: &MigrateOptions,
    archive: &str,
    bundle: &str,
    report: &mut CollectionReport,
    settings: &Settings<'_>,
) -> Result<()> {
    let recall_options = RecallOptions { a: archive.to_owned(), b: bundle.to_owned(), ..options.recall.clone() };
    match recall(&recall_options, settings)? {
        Some(found) => {
            // The worst queries are in the report and matter here only if something is wrong.
            let brief = |line: &String| !found.passes || !(line.starts_with("query ") || line.starts_with("ties: "));
            found.lines().into_iter().filter(brief).for_each(|line| report.step("recall", line));
            if !found.passes {
                report.reasons.push("search does not answer the same".to_owned());
            }
            report.recall = Some(found);
        }
        None => report.notes.push("no vectors, so there is no recall to measure".to_owned()),
    }
    Ok(())
}

fn write_run(directory: &Path, report: &CollectionReport) -> Result<()> {
    let path = with_suffix(directory, ".run").join("migrate.json");
    make_parent(&path)?;
    let text = serde_json::to_vec_pretty(report).map_err(|e| Error::bug("cannot write the report").caused_by(e))?;
    write_whole(&path, &text)?;
    Ok(())
}
