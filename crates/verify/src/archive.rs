//! Is this archive whole: levels of proof, each including those before it.
//!
//! | level | proves | does not prove |
//! |---|---|---|
//! | L0 | the manifest is whole, all files are there with their sizes, no others are | their content |
//! | L1 | every file has its SHA-256 | that the content can be read |
//! | L2 | every record decodes; counts and fingerprints are the manifest's | that they are the source's |
//! | L3 | no NaN, no wrong dimension, no id twice | that they are the source's: `verify A B` does |

use std::collections::HashSet;
use std::path::Path;

use serde::Serialize;
use tranship_archive::{Archive, ArchiveSource};
use tranship_collection::digest::Digester;
use tranship_collection::{BatchView, SetFingerprint};
use tranship_connector::{OpenOptions, PrepareContext, Result, Source};
use tranship_pipeline::EngineOptions;
use tranship_storage::Spill;

use crate::side::{Form, Side, fingerprint};

/// Bytes of an id digest.
const ID_BYTES: usize = 16;

/// Records named in a report; the others are counted.
const MAX_NAMED: usize = 1000;

/// How far an archive is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Level {
    /// Presence and sizes.
    L0,
    /// Digests of files.
    L1,
    /// Decoded, counted, fingerprinted.
    L2,
    /// Semantic.
    L3,
}

impl Level {
    /// What this level leaves open.
    pub fn leaves_open(self) -> &'static str {
        match self {
            Level::L0 => "the content of the files was not read",
            Level::L1 => "the records were not decoded",
            Level::L2 => "values and duplicate ids were not checked",
            Level::L3 => "that these are the source's records: compare with `tranship verify SOURCE ARCHIVE`",
        }
    }
}

/// What was proven of an archive.
#[derive(Debug, Clone, Serialize)]
pub struct ArchiveReport {
    /// The collection.
    pub collection: String,
    /// The level that was asked for and reached, if there are no faults.
    pub level: Level,
    /// Records by the manifest.
    pub records: u64,
    /// Fingerprint by the manifest.
    pub fingerprint: String,
    /// Files read for their digest, of all files.
    pub files_read: usize,
    /// All files.
    pub files: usize,
    /// Everything that is wrong.
    pub faults: Vec<String>,
}

/// What a check may read.
#[derive(Debug, Clone, Copy)]
pub struct Subset {
    /// Read the files whose number mod `of` is `part`.
    pub part: usize,
    /// Number of subsets; 1 for everything.
    pub of: usize,
}

/// Proves the archive at `path` up to `level`. Faults end up in the report; only what cannot be checked is an error.
pub fn check(
    path: &Path,
    level: Level,
    subset: Subset,
    engine: EngineOptions<'_>,
    scratch: &Path,
) -> Result<ArchiveReport> {
    let archive = Archive::open(path)?;
    let manifest = archive.manifest();
    let files: Vec<(&str, u64, &str)> = manifest.all_files().collect();
    let mut report = ArchiveReport {
        collection: manifest.collection.clone(),
        level,
        records: manifest.records,
        fingerprint: manifest.fingerprint.digest.clone(),
        files_read: 0,
        files: files.len(),
        faults: archive.check_presence()?,
    };
    if level >= Level::L1 && report.faults.is_empty() {
        for (path, _, sha256) in
            files.iter().enumerate().filter(|(n, _)| n % subset.of == subset.part).map(|(_, file)| file)
        {
            report.faults.extend(archive.check_digest(path, sha256)?);
            report.files_read += 1;
        }
    }
    if report.files_read == 0 {
        // A subset may hold no file at all.
        report.level = Level::L0;
    }
    if level >= Level::L2 && report.faults.is_empty() && subset.of == 1 {
        report.faults = decode(&archive, level, engine, scratch)?;
    }
    Ok(report)
}

fn decode(archive: &Archive, level: Level, engine: EngineOptions<'_>, scratch: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let table = archive.fingerprint()?;
    if table.summary() != archive.manifest().fingerprint {
        faults.push("fingerprint.bin: its totals are not those of the manifest".to_owned());
    }
    let source = ArchiveSource::open(archive.clone(), &OpenOptions::default())?;
    let context = PrepareContext {
        memory_bytes: engine.memory_bytes,
        split_bytes: tranship_connector::source::SPLIT_BYTES,
        scratch,
    };
    let prepared = source.prepare(&context)?;
    let side = Side::new("the archive", &*prepared, Form::AsRead);
    let found = match fingerprint(&side, engine) {
        Ok(found) => found,
        Err(error) => {
            faults.push(error.to_string());
            return Ok(faults);
        }
    };
    if found.records() != archive.manifest().records {
        faults.push(format!("{} records decoded, the manifest says {}", found.records(), archive.manifest().records));
    }
    if !same_sums(&found, &table) {
        faults.push("the records have another fingerprint than the manifest says".to_owned());
    }
    if level >= Level::L3 {
        faults.extend(semantic_faults(&side, archive.manifest().records, engine, scratch)?);
    }
    Ok(faults)
}

/// Equal in every bucket of every component that occurs.
pub fn same_sums(a: &SetFingerprint, b: &SetFingerprint) -> bool {
    let names: HashSet<&String> = a.components().iter().chain(b.components()).collect();
    names.iter().all(|name| {
        (0..tranship_collection::fingerprint::BUCKETS).all(|bucket| a.bucket(name, bucket) == b.bucket(name, bucket))
    })
}

/// Values and duplicates. Dimensions are the layout's and were checked while decoding.
fn semantic_faults(side: &Side<'_>, records: u64, engine: EngineOptions<'_>, scratch: &Path) -> Result<Vec<String>> {
    let (mut faults, mut not_finite) = (Vec::new(), 0u64);
    let partitions = (records * ID_BYTES as u64 * 4).div_ceil(engine.memory_bytes.max(1)).clamp(1, 4096) as usize;
    let mut ids = Spill::new(scratch, "ids", partitions, ID_BYTES);
    tranship_pipeline::execute(
        side.prepared,
        engine,
        1 << 20,
        |_| Ok(None),
        |split, stop| {
            let (mut found, mut ids, mut digester) = (Vec::new(), Vec::new(), Digester::default());
            let ordinal = split.ordinal;
            side.each_batch(split, |batch, rows| {
                stop.check()?;
                let view = BatchView::new(batch, side.schema()).map_err(|f| side.located(ordinal, rows, &f))?;
                let columns = view.vector_specs().count();
                for row in 0..view.len() {
                    ids.push(digester.id(view.namespace(row), view.id_kind(row) as u8, view.id(row)));
                    if (0..columns).any(|column| view.vector(column, row).is_some_and(|value| !finite(&value))) {
                        found.push(format!("id {}: a vector holds NaN or infinity", view.id(row)));
                    }
                }
                Ok(())
            })?;
            Ok((found, ids))
        },
        |(found, new_ids)| {
            not_finite += found.len() as u64;
            faults.extend(found.into_iter().take(MAX_NAMED.saturating_sub(faults.len())));
            for id in new_ids {
                ids.push((id % partitions as u128) as usize, &id.to_le_bytes())?;
            }
            Ok(())
        },
    )?;
    if not_finite > faults.len() as u64 {
        faults.push(format!("and {} more vectors hold NaN or infinity", not_finite - faults.len() as u64));
    }
    let mut duplicates = 0;
    for partition in 0..partitions {
        let bytes = ids.take(partition)?;
        let mut ids: Vec<&[u8]> = bytes.chunks_exact(ID_BYTES).collect();
        ids.sort_unstable();
        duplicates += ids.windows(2).filter(|pair| pair[0] == pair[1]).count();
    }
    if duplicates > 0 {
        faults.push(format!("{duplicates} ids occur more than once"));
    }
    Ok(faults)
}

fn finite(value: &tranship_collection::VectorValue<'_>) -> bool {
    use tranship_collection::VectorValue::{Bits, Dense, Multi, Sparse, Widened};
    match value {
        Dense(values) | Multi(values) | Sparse(_, values) => values.iter().all(|v| v.is_finite()),
        Widened(values) => values.iter().all(|v| v.is_finite()),
        Bits(_) => true,
    }
}
