//! Reads what a Milvus server leaves in its object store, and the directories of milvus-backup.
//!
//! ```text
//! <root>/insert_log/<collection>/<partition>/<segment>/<field or group>/<log>    rows
//! <root>/delta_log/<collection>/<partition or -1>/<segment>/<log>                deletes
//! <backup>/meta/full_meta.json, <backup>/binlogs/insert_log/..                   the same with names
//! ```
//!
//! `tree` and `backup` find the files and what they are called, `log` and `payload` read them, `segment` puts the
//! fields of a segment side by side, `source` finds out which rows live and `reader` reads them.
//!
//! Invariant: nothing is written; every row is emitted, deleted, replaced by a newer one, or a reject with its place.
//! Errors: not recognised for storage v3, snapshot bundles and encrypted logs; damaged for logs that are missing, cut
//! or contradict each other; usage for an unclear choice. Source of the formats: milvus-io/milvus `internal/storage`,
//! zilliztech/milvus-backup; checked against Milvus 2.3.5.

mod backup;
mod catalog;
pub(crate) mod cell;
mod deletes;
mod description;
mod log;
mod payload;
mod python;
mod raw;
mod reader;
mod segment;
mod source;
mod tree;
pub(crate) mod value;

use std::path::{Path, PathBuf};

use tranship_connector::{CollectionInfo, Count, Error, Locator, OpenOptions, Result, Score, Source};

use catalog::Catalog;
use source::MilvusSource;
use tree::INSERT_LOG;
pub use value::sparse;

/// Recognises a backup, a directory of backups, or a directory with `insert_log`.
pub fn probe(path: &Path) -> Option<Score> {
    if raw_root(path).is_some() || matches!(backup::find(path), Ok(Some(_))) {
        return Some(95);
    }
    (!backup::backups_below(path).is_empty()).then_some(90)
}

/// The collections; counts are upper bounds, since deletes and older copies are among the rows.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let (_, catalog) = open_catalog(&locator.path, options)?;
    let infos = catalog.collections.iter().map(|collection| {
        Ok(CollectionInfo {
            name: collection.shown_name.clone(),
            records: collection.rows.map_or(Count::Unknown, |rows| match rows {
                0 => Count::Exact(0),
                rows => Count::UpTo(rows),
            }),
            schema: collection.schema(catalog.producer.as_deref(), options)?,
            producer: catalog.producer.clone(),
            notes: catalog.notes.iter().chain(&collection.notes).cloned().collect(),
        })
    });
    infos.collect()
}

/// Opens one collection.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    let (root, catalog) = open_catalog(&locator.path, options)?;
    Ok(Box::new(MilvusSource::new(&root, catalog, options)?))
}

fn open_catalog(path: &Path, options: &OpenOptions) -> Result<(PathBuf, Catalog)> {
    if let Some(root) = raw_root(path) {
        let catalog = raw::open(&root, options)?;
        return Ok((root, catalog));
    }
    match backup::find(path)? {
        Some(root) => {
            let catalog = backup::open(&root, options)?;
            Ok((root, catalog))
        }
        None => Err(Error::not_recognised(format!("{} is no Milvus dump", path.display())).hint(
            "give a directory of milvus-backup (with meta/full_meta.json), the directory that holds insert_log, or a Milvus Lite database (a .db file or directory)",
        )),
    }
}

/// The directory that holds `insert_log`: `path` itself, its `files`, or its parent if `path` is `insert_log`.
fn raw_root(path: &Path) -> Option<PathBuf> {
    if path.file_name().is_some_and(|name| name == INSERT_LOG) && path.is_dir() {
        return path.parent().map(Path::to_owned);
    }
    let below = |name: &str| if name.is_empty() { path.to_owned() } else { path.join(name) };
    ["", "files", "data"].map(below).into_iter().find(|root| root.join(INSERT_LOG).is_dir())
}
