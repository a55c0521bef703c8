//! Opens and reads files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tranship_connector::{CollectionInfo, Error, Locator, OpenOptions, Result, Source};
use tranship_provider_redis::CONNECTOR;
use tranship_testkit::reading::{self, Outcome};

pub fn locator(path: &Path) -> Locator {
    Locator { provider: Some("redis".into()), path: path.to_owned() }
}

/// Options of the connector, and `vector`, `id`, `document` and `lossy` for the generic ones.
pub fn options(pairs: &[(&str, &str)]) -> OpenOptions {
    let mut options = OpenOptions::default();
    for (key, value) in pairs {
        let value = (*value).to_owned();
        match *key {
            "vector" => options.vector_column = Some(value),
            "id" => options.id_column = Some(value),
            "document" => options.document_column = Some(value),
            "collection" => options.collection = Some(value),
            "lossy" => options.allow_lossy = true,
            "inconsistent" => options.allow_inconsistent = true,
            key => drop(options.options.insert(key.to_owned(), value)),
        }
    }
    CONNECTOR.check_options(&options).unwrap();
    options
}

pub fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Source>> {
    CONNECTOR.open.unwrap()(&locator(path), options)
}

pub fn list(path: &Path, pairs: &[(&str, &str)]) -> Vec<CollectionInfo> {
    CONNECTOR.list.unwrap()(&locator(path), &options(pairs)).unwrap()
}

pub fn try_read(path: &Path, pairs: &[(&str, &str)]) -> Result<Outcome> {
    reading::read(&*open(path, &options(pairs))?)
}

pub fn read(path: &Path, pairs: &[(&str, &str)]) -> Outcome {
    try_read(path, pairs).unwrap()
}

/// A file of its own for some bytes.
pub struct Saved {
    _dir: TempDir,
    pub path: PathBuf,
}

pub fn save(bytes: &[u8]) -> Saved {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hand.rdb");
    std::fs::write(&path, bytes).unwrap();
    Saved { _dir: dir, path }
}

/// Reads bytes as a file.
pub fn read_bytes(bytes: &[u8], pairs: &[(&str, &str)]) -> Outcome {
    read(&save(bytes).path, pairs)
}

/// The error of reading bytes as a file.
pub fn refuse(bytes: &[u8], pairs: &[(&str, &str)]) -> Error {
    try_read(&save(bytes).path, pairs).expect_err("it is to be refused")
}

/// The metadata of each record, by id.
pub fn metadata(outcome: &Outcome) -> BTreeMap<&str, &str> {
    outcome.records.iter().map(|record| (record.id.as_str(), record.metadata.as_deref().unwrap_or(""))).collect()
}
