//! What a provider's own export or pages gave back, as a source: how `check.sh` gets its verdict.
//!
//! ```text
//! DIR/mapping.json       the bundle's
//! DIR/page-00001.json    an answer or an export in the form of the bundle's data files, in order
//! DIR/pages.tsv          name of a page, tab, its namespace as JSON      (targets with namespaces only)
//! ```
//!
//! Nothing is undone: whoever knows the mapping applies it. One split per page. Errors: damaged (no mapping, a page
//! that is none), rejects (a record that does not fit).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tranship_collection::CollectionSchema;
use tranship_connector::{
    Batches, CollectionInfo, Count, Error, Locator, Mapping, OpenOptions, PrepareContext, Prepared, RejectSink, Result,
    RowLedger, Source, Split, Splits,
};
use tranship_storage::{Limits, SourceIdentity, StorageError};

use super::{JsonTarget, Reader};
use crate::form::{Form, read_whole};
use crate::{MANIFEST, MAPPING};

const NAMESPACES: &str = "pages.tsv";

/// True for a directory of pages.
pub fn is_pulled(path: &Path) -> bool {
    path.join(MAPPING).is_file()
        && !path.join(MANIFEST).is_file()
        && pages_of(path).is_ok_and(|pages| !pages.is_empty())
}

/// The one collection of a directory of pages.
pub fn list(target: &'static JsonTarget, locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let source = PulledSource::open(target, &locator.path, options)?;
    let schema = CollectionSchema::clone(&source.stored);
    let producer = Some(format!("pages of {}", target.rules.title));
    Ok(vec![CollectionInfo { name: schema.name.clone(), records: Count::Unknown, schema, producer, notes: Vec::new() }])
}

/// Pages that have been found.
pub struct PulledSource {
    target: &'static JsonTarget,
    mapping: Mapping,
    stored: Arc<CollectionSchema>,
    dir: PathBuf,
    pages: Vec<String>,
    namespaces: BTreeMap<String, String>,
    limits: Limits,
    hash_all: bool,
}

impl PulledSource {
    /// Finds the pages of a directory.
    pub fn open(target: &'static JsonTarget, dir: &Path, options: &OpenOptions) -> Result<Self> {
        let path = dir.join(MAPPING);
        let text = read_whole(&path, options.limits.max_page_bytes as u64)?;
        let damaged =
            |what: &str| Error::damaged(what).with("file", path.display()).hint("copy the bundle's own again");
        let mapping: Mapping =
            serde_json::from_slice(&text).map_err(|e| damaged("mapping.json is not a mapping").caused_by(e))?;
        if mapping.target != target.rules.target {
            return Err(Error::usage(format!("these pages are {}'s, not {}'s", mapping.target, target.rules.target))
                .hint(format!("open them as {}:{}", mapping.target, dir.display())));
        }
        Ok(PulledSource {
            target,
            stored: Arc::new(mapping.stored_schema()),
            mapping,
            pages: pages_of(dir)?,
            namespaces: namespaces_of(dir)?,
            dir: dir.to_owned(),
            limits: options.limits.clone(),
            hash_all: options.hash_source,
        })
    }
}

impl Source for PulledSource {
    fn schema(&self) -> &CollectionSchema {
        &self.stored
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let files: Vec<(PathBuf, String)> = self.pages.iter().map(|name| (self.dir.join(name), name.clone())).collect();
        Ok(SourceIdentity::of(&files, self.hash_all)?)
    }

    fn prepare<'a>(&'a self, _context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        Ok(Box::new(PreparedPages { source: self }))
    }
}

struct PreparedPages<'a> {
    source: &'a PulledSource,
}

impl Prepared for PreparedPages<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.source.stored
    }

    fn ledger(&self) -> RowLedger {
        RowLedger::default()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        Ok(Box::new(self.source.pages.iter().enumerate().map(|(ordinal, name)| {
            let path = self.source.dir.join(name);
            let bytes = fs::metadata(&path).map_err(|e| StorageError::new("inspect", &path, e))?.len();
            Ok(Split { ordinal: ordinal as u64, file: name.clone(), start: 0, end: bytes, bytes, ..Split::default() })
        })))
    }

    fn split_memory_bytes(&self, split: &Split) -> u64 {
        self.source.target.read_memory_bytes(split.bytes)
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let source = self.source;
        let path = source.dir.join(&split.file);
        let bytes = read_whole(&path, source.limits.max_page_bytes as u64)?;
        let label = path.display().to_string();
        let text = String::from_utf8(bytes).map_err(|_| Error::damaged("a page is not UTF-8").with("file", &label))?;
        let namespace = source.namespaces.get(&split.file).map(String::as_str);
        let reader = Reader { target: source.target, mapping: &source.mapping, stored: &source.stored, namespace };
        let batches = reader.batches(&text, &label, rejects)?;
        Ok(Box::new(batches.into_iter().map(Ok)))
    }
}

fn pages_of(dir: &Path) -> Result<Vec<String>> {
    let failed = |e| StorageError::new("list", dir, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        names.extend(Some(name).filter(|name| name.starts_with("page-")));
    }
    names.sort();
    Ok(names)
}

fn namespaces_of(dir: &Path) -> Result<BTreeMap<String, String>> {
    let path = dir.join(NAMESPACES);
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let text = fs::read_to_string(&path).map_err(|e| StorageError::new("read", &path, e))?;
    let pair = |line: &str| {
        let (page, name) = line.split_once('\t')?;
        Some((page.to_owned(), serde_json::from_str::<String>(name).ok()?))
    };
    let damaged = || Error::damaged("a line names no page and namespace").with("file", path.display());
    text.lines().map(|line| pair(line).ok_or_else(damaged)).collect()
}
