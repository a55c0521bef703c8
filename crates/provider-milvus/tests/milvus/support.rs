//! The stored dump, and how it is read.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tranship_connector::{CollectionInfo, Error, Locator, OpenOptions, Result};
use tranship_provider_milvus::CONNECTOR;
use tranship_testkit::fixtures;
use tranship_testkit::reading::{self, Outcome};

pub const TYPED: i64 = 470594003939098641;
pub const STRPK: i64 = 470594003939498694;

/// A private copy of the binlogs of Milvus 2.3.5.
pub struct Dump {
    pub dir: TempDir,
    pub root: PathBuf,
}

impl Dump {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fixtures::unpack("milvus-2.3.5-binlogs", dir.path());
        let root = dir.path().join("milvus-2.3.5");
        Dump { dir, root }
    }

    pub fn schema(&self) -> PathBuf {
        self.dir.path().join("milvus-2.3.5.schema.json")
    }

    pub fn truth(&self, collection: &str) -> Vec<serde_json::Value> {
        let mut rows = fixtures::jsonl(&self.dir.path().join("milvus-2.3.5.truth.jsonl"));
        rows.retain(|row| row["collection"] == collection);
        rows
    }

    /// Reads with the schema file that lies beside the dump.
    pub fn read(&self, collection: &str) -> Result<Outcome> {
        read(&self.root, collection, &[("schema", self.schema().to_str().unwrap())])
    }
}

pub fn options(collection: &str, pairs: &[(&str, &str)]) -> OpenOptions {
    OpenOptions {
        collection: Some(collection.to_owned()).filter(|name| !name.is_empty()),
        options: pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        ..OpenOptions::default()
    }
}

pub fn locator(path: &Path) -> Locator {
    Locator { provider: None, path: path.to_owned() }
}

pub fn read_with(path: &Path, options: &OpenOptions) -> Result<Outcome> {
    reading::read(&*(CONNECTOR.open.unwrap())(&locator(path), options)?)
}

pub fn read(path: &Path, collection: &str, pairs: &[(&str, &str)]) -> Result<Outcome> {
    read_with(path, &options(collection, pairs))
}

pub fn list(path: &Path, pairs: &[(&str, &str)]) -> Result<Vec<CollectionInfo>> {
    (CONNECTOR.list.unwrap())(&locator(path), &options("", pairs))
}

/// The whole text of an error, with its hint.
pub fn told(error: &Error) -> String {
    format!("{error}; {}", error.next_step().unwrap_or_default())
}
