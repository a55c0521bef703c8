//! Milvus Lite, both formats: stored dumps, dumps that the engine makes now, and damage.

mod damage;
mod engine;
mod made_by_hand;
mod truth;

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tranship_connector::{CollectionInfo, Locator, OpenOptions, Result};
use tranship_provider_milvus::CONNECTOR;
use tranship_testkit::fixtures;
use tranship_testkit::reading::{self, Outcome};

/// A stored dump, unpacked, and its truth.
struct Dump {
    _dir: TempDir,
    path: PathBuf,
    truth: Vec<serde_json::Value>,
}

fn dump(version: &str) -> Dump {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("milvus-lite-{version}");
    fixtures::unpack(&name, dir.path());
    let path = dir.path().join(format!("{name}.db"));
    let truth = fixtures::jsonl(&dir.path().join(format!("{name}.db.truth.jsonl")));
    Dump { _dir: dir, path, truth }
}

fn locator(path: &Path) -> Locator {
    Locator { provider: Some("milvus".into()), path: path.to_owned() }
}

fn options(collection: &str) -> OpenOptions {
    OpenOptions { collection: Some(collection.to_owned()), ..OpenOptions::default() }
}

fn try_read(path: &Path, options: &OpenOptions) -> Result<Outcome> {
    reading::read(&*CONNECTOR.open.unwrap()(&locator(path), options)?)
}

fn read(path: &Path, collection: &str) -> Outcome {
    try_read(path, &options(collection)).unwrap()
}

fn list(path: &Path) -> Vec<CollectionInfo> {
    CONNECTOR.list.unwrap()(&locator(path), &OpenOptions::default()).unwrap()
}
