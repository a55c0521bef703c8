//! Opens dumps and reads them.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tranship_collection::json;
use tranship_connector::{CollectionInfo, Locator, OpenOptions, Result};
use tranship_provider_pgvector::CONNECTOR;
use tranship_testkit::fixtures;
use tranship_testkit::reading::{Outcome, Record, read};

/// The columns of the stored table, with their types, as `-o columns` takes them.
pub const COLUMNS: &str = "id:int8,Emb:vector(8),h:halfvec(4),s:sparsevec(100),b:bit(12),doc:text,meta:jsonb,tags:text[],\
                           f8:float8,ts:timestamptz,raw:bytea,u:uuid,m:text,n:numeric,novec:vector";

/// Every form that the stored table lies in, with what is needed to read it.
pub const FORMS: [&str; 8] =
    ["plain.sql", "inserts.sql", "custom.dump", "custom_z0.dump", "tar.dump", "dirfmt", "copy_text.tsv", "copy_bin.bin"];

/// A private copy of the stored dumps.
pub fn stored() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fixtures::unpack("pgvector-0.8", dir.path());
    let root = dir.path().join("pg");
    (dir, root)
}

/// Options from pairs: `collection`, `id`, `vector`, `document`, everything else as `-o`.
pub fn options(pairs: &[(&str, &str)]) -> OpenOptions {
    let mut options = OpenOptions::default();
    for (key, value) in pairs {
        let value = (*value).to_owned();
        match *key {
            "collection" => options.collection = Some(value),
            "id" => options.id_column = Some(value),
            "vector" => options.vector_column = Some(value),
            "document" => options.document_column = Some(value),
            key => drop(options.options.insert(key.to_owned(), value)),
        }
    }
    options
}

/// The options that one of the stored forms needs.
pub fn options_of(form: &str) -> OpenOptions {
    match form {
        "copy_text.tsv" | "copy_bin.bin" => options(&[("columns", COLUMNS)]),
        _ => options(&[("collection", "app.Docs ,odd")]),
    }
}

/// Reads one collection.
pub fn load(path: &Path, options: &OpenOptions) -> Result<Outcome> {
    let locator = Locator { provider: None, path: path.to_owned() };
    read(&*CONNECTOR.open.unwrap()(&locator, options)?)
}

/// Lists the collections.
pub fn list(path: &Path) -> Result<Vec<CollectionInfo>> {
    CONNECTOR.list.unwrap()(&Locator { provider: None, path: path.to_owned() }, &OpenOptions::default())
}

/// A text in a file of its own.
pub fn file(name: &str, bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// A record with its metadata by value: what forms of the same table must have in common.
pub fn by_value(record: &Record) -> (Record, Vec<u8>) {
    let mut canonical = Vec::new();
    if let Some(text) = &record.metadata {
        json::canonical(text, &mut canonical).unwrap();
    }
    (Record { metadata: None, ..record.clone() }, canonical)
}
