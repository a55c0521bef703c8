//! Completes a bundle: ids proven unique, counts held against each other, the provider's own files, the manifest.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use tranship_connector::{Error, ErrorKind, Mapping, Result, ShardFile, ShardOutput, Sink, Totals};
use tranship_storage::staging::JOB_DIR;
use tranship_storage::{InputFile, Scratch, StorageError};

use crate::facts::{Extra, Facts, pretty};
use crate::form::{Finished, Part};
use crate::manifest::{BundleTotals, FileEntry, Manifest, SourceFile};
use crate::sink::{BundleSink, ShardNotes, ids_name, notes_name};
use crate::target_ids::{self, Place};
use crate::{MANIFEST, MAPPING, deletes};

/// Completes the bundle and gives it its name.
pub fn commit(sink: &BundleSink, totals: &Totals<'_>) -> Result<()> {
    refuse_duplicates(sink, totals.shards)?;
    let mut mapping = totals.mapping.cloned().ok_or_else(|| Error::bug("a bundle without a mapping"))?;
    let source = totals.fingerprint.summary();
    let expected = totals.expected.map_or_else(|| source.clone(), |expected| expected.summary());
    let mut manifest = Manifest::new(&mapping.target, &mapping.collection, source.clone(), expected.clone());
    if sink.delta.is_none() {
        mapping.schema = totals.schema.clone();
    }
    mapping.losses = totals.losses.to_vec();
    mapping.source_fingerprint = Some(source);
    mapping.expected_fingerprint = Some(expected);
    manifest.losses = totals.losses.to_vec();
    manifest.ledger = totals.ledger;
    manifest.source = totals.identity.files.iter().map(source_file).collect();
    let left_out = put_data(sink, &mut manifest, &mut mapping, totals.shards)?;
    let finished = Finished { job: &sink.job, mapping: &mapping, shards: totals.shards };
    for Part { file, rows, namespace } in sink.form.complete(&finished)? {
        add(&mut manifest, &file, rows, namespace);
    }
    check_total(&manifest.totals, &mapping, left_out)?;
    if let (Some(delta), Some(form)) = (&sink.delta, sink.form.deletes()) {
        let (entry, files) = deletes::write(&sink.job, delta, &form, &mapping)?;
        files.iter().for_each(|file| add(&mut manifest, file, None, None));
        manifest.delta = Some(entry);
    }
    let facts = Facts { mapping: &mapping, totals: manifest.totals, manifest: &manifest };
    let extras = sink.form.extras(&facts)?;
    extras.iter().try_for_each(|extra| put(sink, &mut manifest, extra))?;
    let mapping = Extra { name: MAPPING.to_owned(), bytes: pretty(&mapping)?, executable: false };
    put(sink, &mut manifest, &mapping)?;
    let mut file = sink.job.create(MANIFEST)?;
    file.write_all(&manifest.to_bytes()?)?;
    file.finish()?;
    sink.job.publish()?;
    Ok(())
}

fn notes(sink: &BundleSink, shard: &ShardOutput) -> Result<ShardNotes> {
    let path = sink.job.path().join(notes_name(shard.ordinal));
    let text = fs::read(&path).map_err(|e| StorageError::new("read", &path, e))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::damaged("a shard's notes are torn").with("file", path.display()).caused_by(e))
}

fn refuse_duplicates(sink: &BundleSink, shards: &[ShardOutput]) -> Result<()> {
    let open = |shard: &ShardOutput| InputFile::open(&sink.job.path().join(ids_name(shard.ordinal)));
    let side_files = shards.iter().map(open).collect::<std::result::Result<Vec<_>, _>>()?;
    let scratch = Scratch::new(Some(&sink.workdir().unwrap_or_default().join(JOB_DIR)))?;
    let Some(duplicate) = target_ids::first_duplicate(&side_files, scratch.path())? else {
        return Ok(());
    };
    let place = |place: Place| format!("record {} of split {}", place.row, shards[place.shard as usize].ordinal);
    Err(Error::new(ErrorKind::LossDenied, format!("two records would share the id {} at the target", duplicate.id))
        .with("first", place(duplicate.places[0]))
        .with("second", place(duplicate.places[1]))
        .hint("one id is the UUID that the other one is mapped to, or both are the same id: change one of them"))
}

/// Enters the shards' files into the manifest; returns how many records were left out.
fn put_data(sink: &BundleSink, manifest: &mut Manifest, mapping: &mut Mapping, shards: &[ShardOutput]) -> Result<u64> {
    let mut left_out = 0;
    for shard in shards {
        let notes = notes(sink, shard)?;
        left_out += notes.left_out;
        for (namespace, records) in notes.namespaces {
            *mapping.records.entry(namespace).or_default() += records;
        }
        for (file, (rows, namespace)) in shard.files.iter().zip(notes.files) {
            add(manifest, file, rows, namespace);
        }
        if let Some(rejects) = &shard.rejects {
            manifest.files.insert(rejects.path.clone(), entry(rejects, None, None));
        }
        manifest.totals.rejected += shard.rejected;
    }
    Ok(left_out)
}

/// Enters a data file.
fn add(manifest: &mut Manifest, file: &ShardFile, rows: Option<u64>, namespace: Option<String>) {
    if let Some(rows) = rows {
        manifest.totals.rows += rows;
        manifest.totals.bodies += 1;
        manifest.totals.bytes += file.bytes;
    }
    manifest.files.insert(file.path.clone(), entry(file, rows, namespace));
}

fn put(sink: &BundleSink, manifest: &mut Manifest, extra: &Extra) -> Result<()> {
    let mut file = sink.job.create(&extra.name)?;
    file.write_all(&extra.bytes)?;
    let digest = file.finish()?;
    let entry = FileEntry { bytes: digest.bytes, sha256: digest.sha256, rows: None, namespace: None };
    manifest.files.insert(extra.name.clone(), entry);
    if extra.executable {
        let path = sink.job.path().join(&extra.name);
        let executable = fs::set_permissions(&path, fs::Permissions::from_mode(0o755));
        executable.map_err(|e| StorageError::new("make executable", &path, e))?;
    }
    Ok(())
}

fn check_total(totals: &BundleTotals, mapping: &Mapping, left_out: u64) -> Result<()> {
    let by_namespace: u64 = mapping.records.values().sum();
    let records = |summary: &Option<tranship_collection::fingerprint::FingerprintSummary>| {
        summary.as_ref().map_or(0, |summary| summary.records)
    };
    let (source, expected) = (records(&mapping.source_fingerprint), records(&mapping.expected_fingerprint));
    if totals.rows == by_namespace && totals.rows == expected && source == expected + left_out {
        return Ok(());
    }
    Err(Error::bug(format!(
        "the bundle holds {} records, {by_namespace} by namespace and {expected} by fingerprint; {left_out} of {source} were left out",
        totals.rows
    )))
}

fn entry(file: &ShardFile, rows: Option<u64>, namespace: Option<String>) -> FileEntry {
    FileEntry { bytes: file.bytes, sha256: file.sha256.clone(), rows, namespace }
}

fn source_file(file: &tranship_storage::FileIdentity) -> SourceFile {
    SourceFile { path: file.path.clone(), bytes: file.bytes, edges: file.edges.clone() }
}
