//! Milvus Lite: the SQLite files of 2.x and the directories of 3.x, both called `something.db`.
//!
//! Invariant: nothing of the source is written to. A database that its process holds is not read unless
//! `--allow-inconsistent` says so. Each row is emitted, deleted, superseded or a reject.
//!
//! Errors: those of [`sqlite`] and [`directory`]. Source: milvus-io/milvus-lite at v2.5.1 (`src/storage`) and 3.2.2
//! (`milvus_lite/storage`, `milvus_lite/engine`); checked against dumps of 2.5.1 and 3.2.2.

mod columns;
mod directory;
mod parts;
mod rows;
mod segments;
mod sqlite;
mod tables;
mod values;
mod wal;

use std::path::Path;

use tranship_connector::{CollectionInfo, Error, Locator, OpenOptions, Result, Score, Source};

/// Recognises a Milvus Lite database.
pub fn probe(path: &Path) -> Option<Score> {
    (sqlite::is_database(path) || directory::is_database(path)).then_some(96)
}

/// The collections of a Milvus Lite database.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    match locator.path.is_dir() {
        true => directory::Directory::open(&locator.path, options)?.list(options),
        false => tables::Tables::open(&locator.path, options)?.list(options),
    }
}

/// Opens one collection of a Milvus Lite database.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    match locator.path.is_dir() {
        true => Ok(Box::new(segments::DirectorySource::open(&locator.path, options)?)),
        false => Ok(Box::new(rows::TableSource::open(&locator.path, options)?)),
    }
}

/// The position of the collection that the user means.
fn choose(names: &[String], wanted: Option<&str>, label: &str) -> Result<usize> {
    let found = match wanted {
        Some(wanted) => names.iter().position(|name| name == wanted),
        None if names.len() == 1 => Some(0),
        None => None,
    };
    found.ok_or_else(|| {
        if names.is_empty() {
            return Error::usage(format!("{label} holds no collection"))
                .hint("check that it is the file or directory that was passed to MilvusClient(uri)");
        }
        let message = match wanted {
            Some(wanted) => format!("there is no collection `{wanted}` in {label}"),
            None => format!("{label} holds {} collections", names.len()),
        };
        Error::usage(message).hint(format!("choose with --collection one of: {}; or take --all", names.join(", ")))
    })
}
