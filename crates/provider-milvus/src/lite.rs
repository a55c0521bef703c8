//! Milvus Lite: the files of 2.x (SQLite) and the directories of 3.x.

use std::path::Path;

use tranship_connector::{CollectionInfo, Error, Locator, OpenOptions, Result, Score, Source};

/// Recognises a Milvus Lite database.
pub fn probe(_path: &Path) -> Option<Score> {
    None
}

/// The collections of a Milvus Lite database.
pub fn list(locator: &Locator, _options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    Err(not_lite(locator))
}

/// Opens one collection of a Milvus Lite database.
pub fn open(locator: &Locator, _options: &OpenOptions) -> Result<Box<dyn Source>> {
    Err(not_lite(locator))
}

fn not_lite(locator: &Locator) -> Error {
    Error::not_recognised(format!("{} is no Milvus Lite database", locator.path.display()))
}
