//! Reads an archive like any other source: splits are ranges of row groups of its parts.
//!
//! Invariant: only files that the manifest lists are read, a part must hold as many rows as the manifest says, and
//! whoever reads all of them can tell by the stated fingerprint whether a value has changed since they were written.

use std::path::PathBuf;
use std::sync::Arc;

use tranship_collection::CollectionSchema;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_connector::{
    Batches, CollectionInfo, Count, Error, Locator, OpenOptions, PrepareContext, Prepared, RejectSink, Result,
    RowLedger, Source, Split, Splits,
};
use tranship_format_parquet::decode::PartFile;
use tranship_storage::{Limits, SourceIdentity};

use crate::manifest::{MANIFEST, Part};
use crate::open::Archive;

/// An archive as a source.
pub struct ArchiveSource {
    archive: Archive,
    schema: Arc<CollectionSchema>,
    limits: Limits,
    hash_source: bool,
}

pub(crate) fn list(locator: &Locator, _options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let archive = Archive::open(&locator.path)?;
    let schema = archive.schema()?;
    let producer = Some(format!("tranship archive, version {}", archive.manifest().version));
    Ok(vec![CollectionInfo {
        name: schema.name.clone(),
        records: Count::Exact(archive.manifest().records),
        schema,
        producer,
        notes: Vec::new(),
    }])
}

pub(crate) fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    Ok(Box::new(ArchiveSource::open(Archive::open(&locator.path)?, options)?))
}

impl ArchiveSource {
    /// Opens an archive after proving level 0.
    pub fn open(archive: Archive, options: &OpenOptions) -> Result<Self> {
        if let Some(fault) = archive.check_presence()?.into_iter().next() {
            return Err(Error::damaged(fault)
                .with("archive", archive.path().display())
                .hint(format!("`tranship verify {}` lists everything that is wrong", archive.path().display())));
        }
        let schema = Arc::new(archive.schema()?);
        Ok(ArchiveSource { archive, schema, limits: options.limits.clone(), hash_source: options.hash_source })
    }

    fn part_path(&self, path: &str) -> PathBuf {
        self.archive.path().join(path)
    }
}

impl Source for ArchiveSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let parts = self.archive.manifest().parts.iter().map(|part| part.path.as_str());
        let files: Vec<_> = parts.chain([MANIFEST]).map(|path| (self.part_path(path), path.to_owned())).collect();
        Ok(SourceIdentity::of(&files, self.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        Ok(Box::new(PreparedArchive { source: self, split_bytes: context.split_bytes }))
    }
}

struct PreparedArchive<'a> {
    source: &'a ArchiveSource,
    split_bytes: u64,
}

impl PreparedArchive<'_> {
    fn splits_of(&self, part: &Part) -> Result<Vec<Split>> {
        let file = PartFile::open(&self.source.part_path(&part.path), &self.source.limits)?;
        let rows: u64 = file.row_groups().iter().map(|group| group.rows).sum();
        if rows != part.rows {
            return Err(Error::damaged(format!("{} holds {rows} records, the manifest says {}", part.path, part.rows))
                .hint("restore the archive from another copy"));
        }
        let mut splits: Vec<Split> = Vec::new();
        for (number, group) in file.row_groups().iter().enumerate() {
            let number = number as u64;
            match splits.last_mut() {
                Some(split) if split.bytes + group.bytes <= self.split_bytes => {
                    split.end = number + 1;
                    split.bytes += group.bytes;
                }
                _ => splits.push(Split {
                    file: part.path.clone(),
                    start: number,
                    end: number + 1,
                    bytes: group.bytes,
                    ..Split::default()
                }),
            }
        }
        Ok(splits)
    }
}

impl Prepared for PreparedArchive<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.source.schema
    }

    fn ledger(&self) -> RowLedger {
        let records = self.source.archive.manifest().records;
        RowLedger { raw: Some(records), live: Some(records), ..RowLedger::default() }
    }

    fn stated_fingerprint(&self) -> Option<FingerprintSummary> {
        Some(self.source.archive.manifest().fingerprint.clone())
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let parts = self.source.archive.manifest().parts.iter();
        let splits = parts.flat_map(|part| match self.splits_of(part) {
            Ok(splits) => splits.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        });
        Ok(Box::new(
            splits.enumerate().map(|(ordinal, split)| split.map(|split| Split { ordinal: ordinal as u64, ..split })),
        ))
    }

    fn open<'a>(&'a self, split: Split, _rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let file = PartFile::open(&self.source.part_path(&split.file), &self.source.limits)?;
        let groups = split.start as usize..split.end as usize;
        Ok(Box::new(file.batches(groups, self.source.schema.clone())?))
    }
}
