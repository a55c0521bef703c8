//! Pages that a target answered with, read in the form that they were loaded in.
//!
//! ```text
//! DIR/stored.json       the bundle's mapping.json, which says what the target holds
//! DIR/page-00001.json   whole answers, in order
//! ```
//!
//! Nothing is undone: whoever compares applies the mapping. Errors: damaged (a page missing in the middle, an answer that
//! is none), rejects (a record that does not fit). One split per page.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::CollectionSchema;
use tranship_connector::{
    Batches, Error, Mapping, OpenOptions, PrepareContext, Prepared, RejectSink, Result, RowLedger, Source, Split,
    Splits,
};
use tranship_storage::{Limits, SourceIdentity, StorageError};

use crate::form::read_whole;

/// Name of the copy of `mapping.json`.
pub const STORED: &str = "stored.json";

/// Reads the records of one target's pages.
pub trait Pages: Send + Sync {
    /// The connector.
    fn target(&self) -> &'static str;

    /// The records of one page as batches of `stored`.
    fn read(
        &self,
        text: &[u8],
        label: &str,
        mapping: &Mapping,
        stored: &Arc<CollectionSchema>,
        rejects: &mut dyn RejectSink,
    ) -> Result<Vec<RecordBatch>>;
}

/// A directory of pages.
pub struct PageSource {
    pages: &'static dyn Pages,
    root: PathBuf,
    files: Vec<PathBuf>,
    mapping: Mapping,
    stored: Arc<CollectionSchema>,
    limits: Limits,
    hash_all: bool,
}

/// Scores a path: 90 for pages of `target`.
pub fn probe(path: &Path, target: &str) -> Option<u8> {
    let text = fs::read(path.join(STORED)).ok()?;
    let mapping: Mapping = serde_json::from_slice(&text).ok()?;
    (mapping.target == target).then_some(90)
}

impl PageSource {
    /// Finds the pages of a directory.
    pub fn open(pages: &'static dyn Pages, root: &Path, options: &OpenOptions) -> Result<Self> {
        let file = root.join(STORED);
        let target = pages.target();
        if !file.is_file() {
            return Err(Error::not_recognised(format!("this is neither a bundle nor pages of {target}"))
                .with("directory", root.display())
                .hint(format!(
                    "a bundle has MANIFEST.json and mapping.json, pages that check.sh fetched have {STORED}"
                )));
        }
        let text = read_whole(&file, options.limits.max_page_bytes as u64)?;
        let mapping: Mapping = serde_json::from_slice(&text).map_err(|e| {
            Error::damaged(format!("{STORED} is not a mapping")).with("file", file.display()).caused_by(e)
        })?;
        if mapping.target != target {
            return Err(Error::usage(format!("these are pages of {}, not of {target}", mapping.target)).hint(format!(
                "open them as {}:{}",
                mapping.target,
                root.display()
            )));
        }
        let stored = Arc::new(mapping.stored_schema());
        let files = files_of(root)?;
        let (limits, hash_all) = (options.limits.clone(), options.hash_source);
        Ok(PageSource { pages, root: root.to_owned(), files, mapping, stored, limits, hash_all })
    }
}

impl Source for PageSource {
    fn schema(&self) -> &CollectionSchema {
        &self.stored
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let stored = self.root.join(STORED);
        let named = |path: &PathBuf| (path.clone(), name_of(path));
        let files: Vec<(PathBuf, String)> = self.files.iter().chain([&stored]).map(named).collect();
        Ok(SourceIdentity::of(&files, self.hash_all)?)
    }

    fn prepare<'a>(&'a self, _context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        Ok(Box::new(PreparedPages { source: self }))
    }
}

struct PreparedPages<'a> {
    source: &'a PageSource,
}

impl Prepared for PreparedPages<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.source.stored
    }

    fn ledger(&self) -> RowLedger {
        RowLedger::default()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        Ok(Box::new(self.source.files.iter().enumerate().map(|(ordinal, page)| {
            let bytes = fs::metadata(page).map_err(|e| StorageError::new("inspect", page, e))?.len();
            Ok(Split { ordinal: ordinal as u64, file: name_of(page), start: 0, end: bytes, bytes, ..Split::default() })
        })))
    }

    fn split_memory_bytes(&self, split: &Split) -> u64 {
        3 * split.bytes + 2 * tranship_connector::source::BATCH_BYTES as u64
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let source = self.source;
        let page = usize::try_from(split.ordinal).ok().and_then(|ordinal| source.files.get(ordinal));
        let page = page.ok_or_else(|| Error::bug(format!("there is no page {}", split.ordinal)))?;
        let text = read_whole(page, source.limits.max_page_bytes as u64)?;
        let label = page.display().to_string();
        let batches = source.pages.read(&text, &label, &source.mapping, &source.stored, rejects)?;
        Ok(Box::new(batches.into_iter().map(Ok)))
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The pages of a directory in order, without a gap.
fn files_of(root: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| StorageError::new("list", root, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = name_of(&path);
        let digits = name.strip_prefix("page-").and_then(|rest| rest.strip_suffix(".json"));
        found.extend(digits.and_then(|digits| digits.parse::<usize>().ok()).map(|number| (number, path)));
    }
    found.sort();
    if let Some((position, _)) = found.iter().enumerate().find(|(position, (number, _))| *number != position + 1) {
        return Err(Error::damaged(format!("page {} is missing", position + 1))
            .with("directory", root.display())
            .hint("fetch the pages again, with check.sh"));
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}
