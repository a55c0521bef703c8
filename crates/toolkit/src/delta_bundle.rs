//! Turns a delta into the bundle that brings a database from its base to its result.
//!
//! Invariant: the bundle is written in the form of the one that was loaded before, whose source is the delta's base; loading
//! it deletes, then writes, and ends in the result however often it is stopped. Errors: usage (no delta, a bundle of another
//! target or of another set), and those of a conversion.

use std::path::Path;

use serde::Serialize;
use tranship_archive::{Archive, ArchiveSource};
use tranship_bundle::{MANIFEST, MAPPING, Manifest};
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_connector::{DeltaOrder, Error, Locator, OpenOptions, Result, Source};
use tranship_storage::StorageError;
use tranship_verify::delta::{DELETES, Delta, UPSERTS};

use crate::convert::{ConvertOptions, ConvertReport, convert_into};
use crate::open::{self, Opened};
use crate::providers::registry;
use crate::settings::Settings;
use crate::verify::read_mapping;

/// What a delta became.
#[derive(Debug, Clone, Serialize)]
pub struct DeltaBundleReport {
    /// The records to write.
    #[serde(flatten)]
    pub run: ConvertReport,
    /// Records to delete.
    pub deletes: u64,
    /// The set that the database holds before.
    pub base: FingerprintSummary,
    /// The set that it holds after.
    pub result: FingerprintSummary,
}

/// Writes the delta `options.source` for the database that the bundle `onto` was loaded into.
pub fn convert_delta(options: &ConvertOptions, onto: &Path, settings: &Settings<'_>) -> Result<DeltaBundleReport> {
    let registry = registry();
    let source = Locator::parse(&options.source, &registry);
    if source.provider.as_deref().is_some_and(|provider| provider != "archive") || source.is_stream() {
        return Err(Error::usage(format!("{} is no delta", options.source))
            .hint("give the directory that `tranship diff --delta` made; leave --onto out to write a whole set"));
    }
    let delta = Delta::open(&source.path)?;
    let (_, mut sink) = open::sink(&options.target, &options.create_options())?;
    let manifest = loaded(onto)?;
    let target = Locator::parse(&options.target, &registry);
    if target.provider.as_deref() != Some(manifest.target.as_str()) {
        return Err(Error::usage(format!("{} is a bundle for {}", onto.display(), manifest.target)).hint(format!(
            "the delta's bundle is one for the same: {}:{}",
            manifest.target,
            target.path.display()
        )));
    }
    let held = manifest.delta.as_ref().map_or(&manifest.source_fingerprint, |delta| &delta.result);
    delta.check_base(held).map_err(|error| error.with("bundle", onto.display()))?;
    let part = |name: &str| -> Result<Box<dyn Source>> {
        let archive = Archive::open(&delta.path.join(name))?;
        Ok(Box::new(ArchiveSource::open(archive, &OpenOptions::default())?))
    };
    let (base, result) = (delta.manifest.base.clone(), delta.manifest.result.clone());
    let mut mapping = read_mapping(&onto.join(MAPPING))?;
    // How many records there were is the loaded bundle's own.
    mapping.records.clear();
    sink.take_delta(DeltaOrder {
        mapping,
        base: base.clone(),
        result: result.clone(),
        deletes: part(DELETES)?,
        upserts: part(UPSERTS)?,
    })?;
    let label = format!("archive:{}", delta.path.join(UPSERTS).display());
    let connector = &tranship_archive::CONNECTOR;
    let opened = Opened { label, connector, compressed: false, source: part(UPSERTS)? };
    // What is resumed is this delta: its digest covers both archives.
    let mut order = options.clone();
    order.create.options.insert("delta".to_owned(), delta.manifest.digest.clone());
    let run = convert_into(&order, &opened, (manifest.target.as_str(), &*sink), None, settings)?;
    Ok(DeltaBundleReport { run, deletes: delta.manifest.deletes.records, base, result })
}

/// The manifest of the bundle that was loaded.
fn loaded(onto: &Path) -> Result<Manifest> {
    let path = onto.join(MANIFEST);
    let bytes = std::fs::read(&path).map_err(|e| {
        Error::from(StorageError::new("read", &path, e))
            .hint("give the directory of the bundle that was loaded, as --onto DIR")
    })?;
    Manifest::from_bytes(&bytes, &path)
}
