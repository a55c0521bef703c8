//! Reads a persistent directory of Chroma.
//!
//! ```text
//! <dir>/chroma.sqlite3              ids, metadata, documents, the queue of writes, everything but persisted vectors
//! <dir>/<vector segment uuid>/      one per collection that has reached its sync threshold
//!      header.bin data_level0.bin   records of the HNSW index
//!      length.bin                   f32 per record, the original length; meaningful only under cosine
//!      index_metadata.pickle        id -> label; absent until the first persist
//! ```
//!
//! A record's text stands in SQLite, its vector in the index or, if it is newer than the index, in the queue.
//! Invariant: the directory is never written to, locked or renamed; `chroma.sqlite3` is opened immutable, or copied
//! with its journal where it has one, or where writes of its queue are still to be applied. Each record of the collection is emitted, or is a reject with its place.
//!
//! Errors: damaged for a torn or contradictory directory, changing for one that its database holds, usage for an
//! unclear choice of collection. Source of the format: chroma-core/chroma, `rust/segment/src/local_hnsw.rs`,
//! `rust/sqlite/migrations`; checked against dumps of 0.4.0 to 1.5.9.

mod catalog;
mod catch_up;
mod database;
mod graph;
mod index;
mod metadata;
mod reader;
mod source;
mod vectors;

use std::path::Path;

use tranship_connector::{CollectionInfo, Count, Error, Locator, OpenOptions, Result, Score, Source};

use catalog::Catalog;
use database::{DATABASE, Database};
use source::ChromaSource;

/// Files of Chroma 0.3.
const OLD_FILES: [&str; 2] = ["chroma-collections.parquet", "chroma-embeddings.parquet"];

/// Recognises a directory by `chroma.sqlite3`, or by the Parquet files of Chroma 0.3.
pub fn probe(path: &Path) -> Option<Score> {
    if is_database(path) || path.join(DATABASE).is_file() { Some(95) } else { is_old(path).then_some(90) }
}

/// The collections of a directory, with exact counts.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let (database, catalog) = open_catalog(locator, options)?;
    let infos = catalog.collections.iter().map(|collection| {
        Ok(CollectionInfo {
            name: collection.shown_name.clone(),
            records: Count::Exact(collection.records),
            schema: source::schema_of(&database, &catalog, collection)?,
            producer: Some(catalog.producer.clone()),
            notes: Vec::new(),
        })
    });
    infos.collect()
}

/// Opens one collection.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    let (database, catalog) = open_catalog(locator, options)?;
    Ok(Box::new(ChromaSource::new(database, catalog, options)?))
}

fn open_catalog(locator: &Locator, options: &OpenOptions) -> Result<(Database, Catalog)> {
    let path = locator.path.as_path();
    let root = match is_database(path) {
        true => path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        false => path,
    };
    if !root.join(DATABASE).is_file() {
        return Err(no_database(root));
    }
    let mut database = Database::open(root, options)?;
    let catalog = Catalog::read(&database)?;
    let lags = catch_up::lags(&database, &catalog)?;
    if lags.is_empty() {
        return Ok((database, catalog));
    }
    match catch_up::catch_up(&mut database, &lags) {
        Ok(()) => {}
        Err(error) if options.allow_inconsistent => {
            database.notes.push(format!("writes that Chroma had not applied yet were left out: {error}"));
        }
        Err(error) => return Err(error),
    }
    let catalog = Catalog::read(&database)?;
    Ok((database, catalog))
}

fn is_database(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == DATABASE) && path.is_file()
}

fn is_old(path: &Path) -> bool {
    OLD_FILES.iter().any(|name| path.join(name).is_file())
}

fn no_database(root: &Path) -> Error {
    if is_old(root) {
        return Error::not_recognised(format!("{} was written by Chroma 0.3 (DuckDB and Parquet)", root.display()))
            .hint("upgrade a copy with `pip install chroma-migrate` and `chroma-migrate`, then read the upgraded directory");
    }
    let stream = if root == Path::new("-") { "; a Chroma directory cannot come through a pipe" } else { "" };
    Error::not_recognised(format!("{} is no Chroma directory: it has no {DATABASE}{stream}", root.display()))
        .hint("give the directory that was passed to chromadb.PersistentClient(path=..)")
}
