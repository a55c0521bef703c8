//! Reports as text for people, or as one JSON document. Nothing is computed here.

use std::io::{self, Write as _};

use serde::Serialize;
use tranship_connector::{Count, Error, Grade, Loss, Result};
use tranship_toolkit::connectors::ConnectorRow;
use tranship_toolkit::convert::ConvertReport;
use tranship_toolkit::delta_bundle::DeltaBundleReport;
use tranship_toolkit::diff::{ApplyReport, DiffReport};
use tranship_toolkit::inspect::InspectReport;
use tranship_toolkit::merge::MergeReport;
use tranship_toolkit::migrate::{CollectionReport, MigrateReport, proof_class};
use tranship_toolkit::plan::PlanReport;
use tranship_toolkit::verify::VerifyReport;
use tranship_verify::sequence::{Findings, SequenceReport};
use tranship_verify::{ArchiveReport, CompareReport};

use crate::described;

/// Appends one formatted line.
macro_rules! line {
    ($text:expr, $($part:tt)*) => {
        $text.push_str(&(on_one_line(&format!($($part)*)) + "\n"))
    };
}

/// The text with control and direction characters escaped: ids and names come from strangers, and must neither begin a
/// line of their own nor command the terminal.
fn on_one_line(text: &str) -> String {
    let hostile = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hostile(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// A line of a report, whatever it quotes.
pub fn one_line(text: &str) -> String {
    on_one_line(text) + "\n"
}

/// Prints text; a closed pipe ends the process with success.
pub fn to_stdout(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        std::process::exit(if error.kind() == io::ErrorKind::BrokenPipe { 0 } else { 22 });
    }
}

/// Prints talk. Nobody listening is no reason to fail: `eprint!` would panic.
pub fn to_stderr(text: &str) {
    let _heard = io::stderr().lock().write_all(text.as_bytes());
}

/// Prints one JSON document.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text =
        serde_json::to_string_pretty(value).map_err(|e| Error::bug("cannot write the report as JSON").caused_by(e))?;
    to_stdout(&(text + "\n"));
    Ok(())
}

/// Prints an error: what, where, why, and the next step.
pub fn error(error: &Error, json: bool) {
    if json {
        let context: std::collections::BTreeMap<_, _> =
            error.context().iter().map(|(key, value)| (*key, value)).collect();
        let document = serde_json::json!({
            "error": { "code": error.kind().code(), "message": error.message(), "context": context, "text": error.to_string(), "next": error.next_step() }
        });
        to_stderr(&format!("{document}\n"));
        return;
    }
    let mut text = String::new();
    line!(text, "error[{}]: {error}", error.kind().code());
    if let Some(next) = error.next_step() {
        line!(text, "  next: {next}");
    }
    to_stderr(&text);
}

/// True if the error is only that nobody reads our output any more.
pub fn is_broken_pipe(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// One collection's migration.
pub fn migrated(report: &CollectionReport) -> String {
    let mut text = String::new();
    line!(text, "{}", report.collection);
    for step in &report.steps {
        line!(text, "  {:<8} {}", step.name, step.outcome);
    }
    losses(&mut text, &report.losses);
    report.notes.iter().for_each(|note| line!(text, "  note     {note}"));
    match report.ready {
        true => {
            line!(text, "  READY TO LOAD: bash {}/load.sh", report.bundle.display());
        }
        false => {
            line!(text, "  NOT READY");
            report.reasons.iter().for_each(|reason| line!(text, "    because  {reason}"));
        }
    }
    text
}

/// The last lines of a migration of several collections.
pub fn migration_total(report: &MigrateReport) -> String {
    let [_, _, ..] = report.collections.as_slice() else { return String::new() };
    let ready = report.collections.iter().filter(|c| c.ready).count();
    let records: u64 = report.collections.iter().map(|c| c.records).sum();
    let verdict = if report.ready { "READY TO LOAD" } else { "NOT READY" };
    format!("{verdict}: {ready} of {} collections, {records} records\n", report.collections.len())
}

fn losses(text: &mut String, losses: &[Loss]) {
    for loss in losses {
        let concerns = match (loss.records, loss.examples.as_slice()) {
            (None, _) => String::new(),
            (Some(records), []) => format!(" ({records} records)"),
            (Some(records), ids) if records as usize <= ids.len() => format!(" ({})", ids.join(", ")),
            (Some(records), [first, ..]) => format!(" ({records} records, the first {first})"),
        };
        let (code, grade, path) = (&loss.code, grade(loss.grade), &loss.path);
        line!(text, "  loss     {code} ({grade}): {path}: {} -> {}{concerns}", loss.from, loss.to);
    }
}

fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Exact => "exact",
        Grade::Reversible => "reversible",
        Grade::Equivalent => "equivalent",
        Grade::Lossy => "lossy",
        Grade::Dropped => "dropped",
    }
}

/// What a source is.
pub fn inspected(report: &InspectReport) -> String {
    let mut text = String::new();
    line!(text, "{} ({})", report.source, report.connector);
    for collection in &report.collections {
        let info = &collection.info;
        line!(text, "{}", info.name);
        let count = match info.records {
            Count::Exact(count) => format!("{count} (exact)"),
            Count::UpTo(count) => format!("at most {count}"),
            Count::Unknown => "unknown; --full counts them".to_owned(),
        };
        line!(text, "  records    {count}");
        info.schema.vectors.iter().for_each(|spec| line!(text, "  {}", described::vector(spec)));
        line!(text, "  ids        {}", described::ids(&info.schema));
        if !info.schema.aliases.is_empty() {
            line!(text, "  aliases    {}", info.schema.aliases.join(", "));
        }
        described::changes(&info.schema).iter().for_each(|change| line!(text, "  changed    {change}"));
        info.producer.iter().for_each(|producer| line!(text, "  producer   {producer}"));
        info.notes.iter().for_each(|note| line!(text, "  note       {note}"));
        collection.unread.iter().for_each(|reason| line!(text, "  not read   {reason}"));
        if let Some(full) = &collection.full {
            let ledger = full.ledger;
            if let (Some(raw), Some(live)) = (ledger.raw, ledger.live) {
                let (deleted, superseded) = (ledger.deleted, ledger.superseded);
                let filtered =
                    if ledger.filtered > 0 { format!(" + {} filtered", ledger.filtered) } else { String::new() };
                line!(
                    text,
                    "  rows       {raw} raw = {live} live + {deleted} deleted + {superseded} superseded{filtered}"
                );
            }
            line!(text, "  digest     {}", full.fingerprint.digest);
            for (key, field) in &full.profile.fields {
                let types: Vec<&str> = field.types.keys().copied().collect();
                let distinct = field.distinct.map_or("many values".to_owned(), |count| format!("{count} values"));
                let (types, present) = (types.join("|"), field.present);
                line!(
                    text,
                    "  field      {key}: {types}, in {present} records, {distinct}, at most {} bytes",
                    field.largest_bytes
                );
            }
            full.findings.iter().for_each(|finding| line!(text, "  finding    {finding}"));
            let unsaid = |note: &&String| !info.notes.contains(note);
            full.notes.iter().filter(unsaid).for_each(|note| line!(text, "  note       {note}"));
        }
    }
    text
}

/// What a conversion would do.
pub fn planned(report: &PlanReport) -> String {
    let shown = |count: Option<u64>| count.map_or("unknown".to_owned(), |count| count.to_string());
    let mut text = String::new();
    line!(text, "{}", report.schema.name);
    line!(text, "  records  {}", shown(report.records));
    line!(text, "  source   {} bytes in {} splits", report.source_bytes, shown(report.splits));
    line!(text, "  memory   {} MiB per split, {} at once", report.memory_per_split_bytes >> 20, report.parallel_splits);
    for change in &report.changes {
        line!(text, "  change   {}: {} -> {} ({})", change.path, change.from, change.to, grade(change.grade));
    }
    losses(&mut text, &report.losses);
    if !report.needs_consent.is_empty() {
        line!(
            text,
            "  consent  {}",
            report.needs_consent.iter().map(|c| format!("--allow-loss {c}")).collect::<Vec<_>>().join(" ")
        );
    }
    if let Some(needs) = &report.target {
        line!(text, "  disk     about {} bytes of data, from {} records", needs.data_bytes, needs.sampled);
        needs.files.iter().for_each(|(name, bytes)| line!(text, "  file     {name}, {bytes} bytes"));
        line!(text, "  index    about {} MiB of memory at the target", needs.index_memory_bytes >> 20);
    }
    report.notes.iter().for_each(|note| line!(text, "  note     {note}"));
    text
}

/// What a conversion did.
pub fn converted(report: &ConvertReport) -> String {
    let mut text = String::new();
    line!(
        text,
        "{}: {} records, {} rejected, {} splits ({} resumed), digest {} -> {}",
        report.collection,
        report.run.records,
        report.run.rejected,
        report.run.splits,
        report.run.resumed_splits,
        report.run.fingerprint.digest,
        report.target
    );
    if let (true, Some(raw)) = (report.run.ledger.filtered > 0, report.run.ledger.raw) {
        let tranship_connector::RowLedger { deleted, superseded, filtered, .. } = report.run.ledger;
        let (live, rejected) = (report.run.records, report.run.rejected);
        line!(
            text,
            "  rows     {raw} raw = {live} live + {deleted} deleted + {superseded} superseded + {filtered} filtered + {rejected} rejected"
        );
    }
    report.changed_lines().iter().for_each(|change| line!(text, "  change   {change}"));
    losses(&mut text, &report.losses);
    report.notes.iter().for_each(|note| line!(text, "  note     {note}"));
    text
}

/// What a delta holds.
pub fn differed(report: &DiffReport) -> String {
    let mut text = String::new();
    let DiffReport { base, result, .. } = report;
    line!(text, "{} records {} -> {} records {}", base.records, base.digest, result.records, result.digest);
    line!(text, "  added    {}", report.added);
    line!(text, "  changed  {}", report.changed);
    line!(text, "  deleted  {}", report.deleted);
    line!(text, "  delta    {}", report.delta.display());
    line!(text, "  inverse  {}", report.inverse.display());
    text
}

/// What came of a delta.
pub fn applied(report: &ApplyReport) -> String {
    let mut text = String::new();
    line!(
        text,
        "{} upserts, {} deletes: {} records, digest {} as the delta states -> {}",
        report.upserts,
        report.deletes,
        report.records,
        report.fingerprint.digest,
        report.target
    );
    text
}

/// What a merge came to.
pub fn merged(report: &MergeReport) -> String {
    let mut text = String::new();
    for input in &report.inputs {
        line!(text, "  {} taken, {} gave way: {}", input.taken, input.gave_way, input.source);
    }
    for conflict in &report.first_conflicts {
        line!(text, "  conflict {}: kept from {}, not from {}", conflict.id, conflict.kept, conflict.gave_way);
    }
    let unnamed = report.conflicts.saturating_sub(report.first_conflicts.len() as u64);
    if unnamed > 0 {
        line!(text, "  conflict and {unnamed} more");
    }
    line!(text, "{} records, digest {} -> {}", report.records, report.fingerprint.digest, report.target);
    text
}

/// What a verification found.
pub fn verified(report: &VerifyReport) -> String {
    match report {
        VerifyReport::Archive(report) => verified_archive(report),
        VerifyReport::Sets(report) => verified_sets(report),
        VerifyReport::Sequence(report) => sequences(report),
    }
}

fn verified_archive(report: &ArchiveReport) -> String {
    let mut text = String::new();
    report.faults.iter().for_each(|fault| line!(text, "! {fault}"));
    if report.faults.is_empty() {
        let read = if report.files_read > 0 {
            format!(", {} of {} files read", report.files_read, report.files)
        } else {
            String::new()
        };
        line!(
            text,
            "WHOLE at level {:?}: {}, {} records{read}, digest {}",
            report.level,
            report.collection,
            report.records,
            report.fingerprint
        );
        let unread = report.files.saturating_sub(report.files_read);
        let also =
            if report.files_read > 0 && unread > 0 { format!("{unread} files were not read; ") } else { String::new() };
        line!(text, "not proven: {also}{}", report.level.leaves_open());
    } else {
        line!(text, "DAMAGED: {} faults", report.faults.len());
    }
    text
}

fn verified_sets(report: &CompareReport) -> String {
    let mut text = String::new();
    listed(&mut text, "-", report.missing, &report.missing_ids, "only in A");
    listed(&mut text, "+", report.extra, &report.extra_ids, "only in B");
    for difference in &report.differences {
        let id = difference
            .namespace
            .as_ref()
            .map_or(difference.id.clone(), |namespace| format!("{namespace}/{}", difference.id));
        for field in &difference.fields {
            let said: Vec<&str> = field.class.into_iter().chain(field.note.as_deref()).collect();
            let note = if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) };
            line!(text, "* {id} {}: {} -> {}{note}", field.field, field.a, field.b);
        }
    }
    let unnamed = report.changed.saturating_sub(report.differences.len() as u64);
    if unnamed > 0 {
        line!(text, "* and {unnamed} more changed records");
    }
    for (component, count) in &report.changed_by_component {
        line!(text, "  {count} records differ in {component}");
    }
    report.schema_differences.iter().for_each(|difference| line!(text, "! {difference}"));
    report.moved.iter().for_each(|moved| line!(text, "  permuted ids: {} of A is {} of B", moved.a, moved.b));
    if let Some(resurrected) = report.resurrected.filter(|count| *count > 0) {
        listed(&mut text, "+", resurrected, &report.resurrected_ids, "resurrected delete: the earlier set has it");
    }
    let is_lenient = !report.tolerances.is_empty() || !report.accepted_classes.is_empty();
    if !report.equal && is_lenient {
        line!(text, "  {}", proof_class(report));
    }
    match report.equal {
        true => line!(text, "EQUAL: {} records, {}", report.a.records, proof_class(report)),
        false if report.by_fingerprint => line!(
            text,
            "DIFFERENT by fingerprint: {} records in A, {} in B; save the stream to a file to have the differences named",
            report.a.records,
            report.b.records
        ),
        false => line!(
            text,
            "DIFFERENT: {} records in A, {} in B; {} missing, {} extra, {} changed",
            report.a.records,
            report.b.records,
            report.missing,
            report.extra,
            report.changed
        ),
    }
    text
}

/// Whether sessions are in order and complete.
fn sequences(report: &SequenceReport) -> String {
    let mut text = String::new();
    for (name, side) in [("A", Some(&report.a)), ("B", report.b.as_ref())] {
        let Some(side) = side else { continue };
        let kinds = [
            ("not in a session", &side.unplaced),
            ("duplicate", &side.duplicates),
            ("gap", &side.gaps),
            ("time", &side.backwards),
            ("orphan", &side.orphans),
        ];
        kinds.iter().for_each(|(kind, found)| told(&mut text, &format!("{name} {kind}"), found));
        line!(text, "  {name}: {} records in {} sessions", side.records, side.sessions);
    }
    told(&mut text, "missing", &report.missing);
    told(&mut text, "extra", &report.extra);
    told(&mut text, "changed", &report.changed);
    let fields = &report.fields;
    let mut proven = format!("no gaps or duplicates by {} in {}", fields.place, fields.session);
    fields.time.iter().for_each(|key| proven.push_str(&format!(", {key} never goes back")));
    fields.parent.iter().for_each(|key| proven.push_str(&format!(", every {key} is there")));
    let renamed =
        if report.remapped > 0 { format!(" after {} ids are renamed", report.remapped) } else { String::new() };
    match (report.holds(), &report.b) {
        (true, Some(_)) => line!(text, "SAME SESSIONS: {proven}; each session is the same in A and B{renamed}"),
        (true, None) => {
            line!(text, "IN ORDER: {proven}");
            line!(
                text,
                "not proven: that no session lacks its last records, or is missing as a whole: compare with a B"
            );
        }
        (false, _) => line!(text, "NOT IN ORDER, or not the same"),
    }
    text
}

fn told(text: &mut String, kind: &str, findings: &Findings) {
    findings.first.iter().for_each(|what| line!(text, "! {kind}: {what}"));
    let more = findings.count.saturating_sub(findings.first.len() as u64);
    if more > 0 {
        line!(text, "! {kind}: and {more} more");
    }
}

/// What a delta became.
pub fn delta_bundle(report: &DeltaBundleReport) -> String {
    let mut text = converted(&report.run);
    line!(text, "  delta    {} records to write, {} to delete", report.run.run.records, report.deletes);
    line!(text, "  from     {} records, digest {}", report.base.records, report.base.digest);
    line!(text, "  to       {} records, digest {}", report.result.records, report.result.digest);
    text
}

fn listed(text: &mut String, mark: &str, count: u64, ids: &[String], what: &str) {
    ids.iter().for_each(|id| line!(text, "{mark} {id} {what}"));
    let more = count.saturating_sub(ids.len() as u64);
    if more > 0 {
        line!(text, "{mark} and {more} more {what}");
    }
}

/// Lines of a report.
pub fn lines(parts: &[String]) -> String {
    let mut text = String::new();
    parts.iter().for_each(|part| line!(text, "{part}"));
    text
}

/// The support matrix.
pub fn connectors(rows: &[ConnectorRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let c = row.capabilities;
        line!(text, "{:<8} {}", row.name, row.about);
        let lines = [
            ("reads", c.reads),
            ("writes", c.writes),
            ("vectors", c.vectors),
            ("ids", c.ids),
            ("metadata", c.metadata),
            ("proven", c.proven_with),
        ];
        lines
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .for_each(|(name, value)| line!(text, "  {name:<9} {value}"));
        for covered in c.covers {
            let note = if covered.note.is_empty() { String::new() } else { format!("; {}", covered.note) };
            line!(text, "  covers    {}: {}{note}", covered.what, covered.known.words());
        }
        row.options.iter().for_each(|option| line!(text, "  -o {}=  {}", option.key, option.about));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_neither_breaks_lines_nor_commands_the_terminal() {
        let mut text = String::new();
        listed(&mut text, "-", 1, &["a\u{1b}]0;title\u{7}\nEQUAL: 5 records\u{202e}é".to_owned()], "only in A");
        assert_eq!(text, "- a\\u{1b}]0;title\\u{7}\\nEQUAL: 5 records\\u{202e}é only in A\n");
    }
}
