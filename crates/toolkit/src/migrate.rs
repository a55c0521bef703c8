//! The whole big-bang migration of one place, collection by collection: archive, bundle, proof, recall, verdict.
//!
//! Invariant: READY TO LOAD means that the archive equals the source, that the bundle read back equals the archive,
//! both record by record over the whole set, that every loss was stated and allowed, and that search answers the same
//! as far as recall was measured. Everything else is NOT READY, with the reasons. Records that were set aside because
//! `--max-rejects` allows it are stated beside the verdict; the archive is then compared with what was read only once.
//!
//! For a target `DIR` it writes `DIR` (the bundle), `DIR.tranship` (the archive) and `DIR.run` (reports); with `--all`
//! the same below `DIR` for every collection. An interrupted migration goes on where it was: a finished archive or
//! bundle is kept if it was made from this very source, and proven again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tranship_archive::{Archive, Manifest};
use tranship_collection::VectorKind;
use tranship_collection::fault::vector_label;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_connector::{CollectionInfo, Error, ErrorKind, Locator, Loss, OpenOptions, Result, Survey};
use tranship_recall::RecallReport;
use tranship_storage::staging::{make_parent, with_suffix};
use tranship_storage::write_whole;
use tranship_verify::archive::Subset;
use tranship_verify::{CompareReport, Level};

use crate::convert::{ConvertOptions, convert, convert_surveyed};
use crate::open;
use crate::plan::{plan_text, refuse_losses};
use crate::providers::registry;
use crate::recall::{RecallOptions, recall};
use crate::settings::Settings;
use crate::survey::survey;
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
    open::check_path(&target)?;
    let provider = target.provider.as_deref().and_then(|name| registry().get(name));
    if !provider.is_some_and(|connector| connector.capabilities.bundles) {
        return Err(Error::usage(format!(
            "{} does not name a provider that bundles are written for",
            options.convert.target
        ))
        .hint(format!("name one, as in qdrant:{}", target.path.display())));
    }
    if Locator::parse(&options.convert.source, &registry()).is_stream() {
        return Err(Error::usage("a migration reads its source more than once, which standard input does not allow")
            .hint("make an archive first: tranship convert jsonl:- archive:./name.tranship; then migrate that"));
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
        false if report.accepted > 0 || !report.accepted_classes.is_empty() => {
            let classes: Vec<String> =
                report.accepted_classes.iter().map(|class| accepted_class(report, class)).collect();
            let tolerance = match report.tolerances.is_empty() {
                true => String::new(),
                false => format!("{}; ", within(report)),
            };
            format!(
                "but for what is accepted: {tolerance}{} records differ only by {}",
                report.accepted,
                classes.join(", ")
            )
        }
        false => within(report),
    }
}

fn within(report: &CompareReport) -> String {
    let granted = report.tolerances.values().copied().fold(0.0, f32::max);
    format!(
        "within tolerance {granted:.1e}: {} vectors differ by at most {:.1e}",
        report.tolerated, report.largest_tolerated
    )
}

fn accepted_class(report: &CompareReport, class: &str) -> String {
    format!("\"{class}\" ({})", report.accepted_by_class.get(class).copied().unwrap_or(0))
}

fn one(
    options: &MigrateOptions,
    target: &Locator,
    name: Option<&str>,
    directory: &Path,
    settings: &Settings<'_>,
) -> Result<CollectionReport> {
    let open_options = OpenOptions { collection: name.map(str::to_owned), ..options.convert.open.clone() };
    let bundle = format!("{}:{}", target.provider.as_deref().unwrap_or_default(), directory.display());
    let order = take_order(options, &open_options, &bundle, settings)?;
    let mut report = CollectionReport::new(order.collection, directory);
    report.losses = order.losses;
    let archive = format!("archive:{}", report.archive.display());
    make_parent(directory)?;
    let kept = keep_or_begin(directory, &report, &order.text)?;

    to_archive(options, &open_options, &archive, kept, &mut report, settings)?;
    let against = |a: &str, b: &str, open_a: &OpenOptions| VerifyOptions {
        a: a.to_owned(),
        b: Some(b.to_owned()),
        open_a: open_a.clone(),
        open_b: OpenOptions { limits: open_options.limits.clone(), ..OpenOptions::default() },
        mapping: None,
        tolerance: None,
        accept: Vec::new(),
        earlier: None,
        sequence: None,
        remap: None,
        level: Level::L3,
        subset: Subset { part: 0, of: 1 },
        max_named: 10,
    };
    prove_archive(&archive, against(&options.convert.source, &archive, &open_options), &mut report, settings)?;
    to_bundle(options, &archive, &bundle, &order.survey, &mut report, settings)?;
    let mut read_back = against(&archive, &bundle, &OpenOptions::default());
    if order.projects {
        read_back.mapping = Some(directory.join(tranship_bundle::MAPPING));
    }
    if let VerifyReport::Sets(found) = verify(&read_back, settings)? {
        report.proof("proof", "archive = bundle read back", &found);
    }
    measure_recall(options, &archive, &bundle, &mut report, settings)?;
    if options.convert.open.allow_inconsistent {
        report.notes.push("the source was read with --allow-inconsistent: it may have changed meanwhile".to_owned());
    }
    report.ready = report.reasons.is_empty();
    write_report(directory, &report)?;
    Ok(report)
}

/// What is to be done, settled before anything is written.
struct Order {
    collection: String,
    losses: Vec<Loss>,
    text: String,
    survey: Survey,
    /// True if records are left out or stripped for good.
    projects: bool,
}

/// Asks the target what it loses, refuses what was not allowed, and writes down source and options.
fn take_order(
    options: &MigrateOptions,
    open_options: &OpenOptions,
    bundle: &str,
    settings: &Settings<'_>,
) -> Result<Order> {
    let opened = open::source(&options.convert.source, open_options)?;
    let (connector, sink) = open::sink(bundle, &options.convert.create_options())?;
    let scratch = settings.scratch()?;
    let identity = opened.source.identity()?;
    let prepared = open::prepare(&*opened.source, settings.prepare_bytes(), sink.split_bytes(), scratch.path())?;
    let survey = survey(&*prepared, &*sink, true, settings.engine())?;
    let negotiated = sink.negotiate(prepared.schema(), &survey)?;
    refuse_losses(&negotiated, &options.convert.allow_loss)?;
    let order = ConvertOptions { open: open_options.clone(), ..options.convert.clone() };
    let plan = plan_text(&identity, &*prepared, &*sink, connector.name, &order)?;
    let text = format!("{plan}\nmax_rejects {}\n", options.convert.max_rejects);
    let mapping = negotiated.mapping.as_ref();
    let projects = mapping.is_some_and(|mapping| mapping.leaves_out_anything() || mapping.unit_in_bundle);
    Ok(Order { collection: prepared.schema().name.clone(), losses: negotiated.losses, text, survey, projects })
}

/// True if an archive of an earlier run may be kept: it was made by the same order. Writes the order down otherwise.
fn keep_or_begin(directory: &Path, report: &CollectionReport, order: &str) -> Result<bool> {
    let path = with_suffix(directory, ".run").join("order.json");
    let begun = report.archive.exists() || report.bundle.exists();
    let same = std::fs::read_to_string(&path).is_ok_and(|text| text == order);
    if begun && !same {
        return Err(Error::new(
            ErrorKind::OutputExists,
            format!("{} was made from another source, or with other options", directory.display()),
        )
        .hint("choose another target directory, or remove the old bundle, archive and .run directory"));
    }
    if !begun {
        make_parent(&path)?;
        write_whole(&path, order.as_bytes())?;
    }
    Ok(begun)
}

fn to_archive(
    options: &MigrateOptions,
    open_options: &OpenOptions,
    archive: &str,
    kept: bool,
    report: &mut CollectionReport,
    settings: &Settings<'_>,
) -> Result<()> {
    let kept = kept && report.archive.exists();
    if !kept {
        let to_archive =
            ConvertOptions { target: archive.to_owned(), open: open_options.clone(), ..options.convert.clone() };
        let converted = convert(&to_archive, settings)?;
        report.notes = converted.notes.clone();
        report.notes.extend(converted.changed_lines());
    }
    let archive = Archive::open(&report.archive)?;
    let manifest = archive.manifest();
    report.records = manifest.records;
    report.rejected = manifest.rejected;
    report.fingerprint = Some(manifest.fingerprint.clone());
    let how = if kept { "kept from an earlier run of the same order: " } else { "" };
    let path = report.archive.display();
    report.step("archive", format!("{how}{} records{} -> {path}", manifest.records, sums(manifest)));
    let vectors: Vec<String> = archive.schema()?.stored_vectors().map(|vector| vector.name.clone()).collect();
    tell_nulls(report, &vectors, &manifest.null_vectors);
    if manifest.rejected > 0 {
        let rejects = "the others are in data/rejects-* of the archive";
        report.notes.push(format!("{} records were set aside as --max-rejects allows: {rejects}", manifest.rejected));
    }
    Ok(())
}

/// Records without a vector, told for each vector; vectors that nobody has are a reason not to load.
fn tell_nulls(report: &mut CollectionReport, vectors: &[String], nulls: &BTreeMap<String, u64>) {
    let records = report.records;
    let without = |name: &String| nulls.get(name).copied().unwrap_or(0);
    if records > 0 && vectors.iter().all(|name| without(name) == records) {
        report.reasons.push("no record has a vector".to_owned());
        return;
    }
    for name in vectors.iter().filter(|name| without(name) > 0) {
        report.notes.push(format!("{} of {records} records have no {}", without(name), vector_label(name)));
    }
}

/// How the source's rows add up, where there is more to it than the records.
fn sums(manifest: &Manifest) -> String {
    let ledger = manifest.source.ledger;
    let (live, rejected) = (manifest.records, manifest.rejected);
    match ledger.raw {
        Some(raw) if raw != live => {
            let (deleted, superseded) = (ledger.deleted, ledger.superseded);
            format!(" ({raw} raw = {live} live + {deleted} deleted + {superseded} superseded + {rejected} rejected)")
        }
        _ if rejected > 0 => format!(" ({rejected} rejected)"),
        _ => String::new(),
    }
}

fn prove_archive(
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
    if report.rejected > 0 {
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
    survey: &Survey,
    report: &mut CollectionReport,
    settings: &Settings<'_>,
) -> Result<()> {
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
    let done = convert_surveyed(&to_bundle, Some(survey), settings)?;
    report.step(
        "bundle",
        format!("{} records, {} bytes -> {}", done.run.records, done.run.bytes_written, report.bundle.display()),
    );
    Ok(())
}

/// Both graphs are built here, so that a drop comes from the settings and not from the engine. What served in the old database is
/// asked by `recall` on the source itself.
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
            let schema = Archive::open(&report.archive)?.schema()?;
            let dense = schema.stored_vectors().filter(|vector| vector.kind == VectorKind::Dense).count();
            if dense > 1 {
                let command = format!("tranship recall {archive} {bundle} --vector NAME");
                report.notes.push(format!("recall was measured for one of {dense} vectors; for another: {command}"));
            }
            report.recall = Some(found);
        }
        None => report.notes.push("no vectors, so there is no recall to measure".to_owned()),
    }
    Ok(())
}

fn write_report(directory: &Path, report: &CollectionReport) -> Result<()> {
    let path = with_suffix(directory, ".run").join("migrate.json");
    make_parent(&path)?;
    let text = serde_json::to_vec_pretty(report).map_err(|e| Error::bug("cannot write the report").caused_by(e))?;
    write_whole(&path, &text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(vectors: &[&str], nulls: &[(&str, u64)]) -> CollectionReport {
        let mut report = CollectionReport::new("c".to_owned(), Path::new("c"));
        report.records = 10;
        let vectors: Vec<String> = vectors.iter().map(|name| (*name).to_owned()).collect();
        let nulls = nulls.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        tell_nulls(&mut report, &vectors, &nulls);
        report
    }

    #[test]
    fn records_without_a_vector_are_counted_for_each_vector() {
        let halves = told(&["a", "b"], &[("a", 5), ("b", 5)]);
        assert!(halves.reasons.is_empty());
        assert_eq!(halves.notes, ["5 of 10 records have no vector `a`", "5 of 10 records have no vector `b`"]);
        assert_eq!(told(&["a", "b"], &[("a", 10), ("b", 10)]).reasons, ["no record has a vector"]);
        assert!(told(&["a", "b"], &[("a", 10)]).reasons.is_empty());
        assert_eq!(told(&[""], &[("", 3)]).notes, ["3 of 10 records have no vector"]);
        assert_eq!(told(&[], &[]).reasons, ["no record has a vector"]);
    }
}
