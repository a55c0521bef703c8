//! Milvus: reads, offline and without touching them, the files of a Milvus server, of milvus-backup and of Milvus Lite.
//!
//! `dialect` maps Milvus's names and types, `scalar` decodes its arrays. `snapshot` reads backups and raw
//! `insert_log`/`delta_log` trees, `lite` the databases of Milvus Lite. Which of the two a path is, its probe tells.

pub mod dialect;
pub mod lite;
pub mod scalar;
pub mod snapshot;
pub mod time;

use std::path::Path;

use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Locator, OpenOptions, Result, Score, Source, SourceOption,
};

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "milvus",
    about: "Milvus: milvus-backup directories, insert_log trees, Milvus Lite databases",
    extensions: &["db"],
    capabilities: Capabilities {
        reads: "milvus-backup directories, raw insert_log and delta_log trees, Milvus Lite",
        writes: "",
        vectors: "dense f32, f16, bf16, i8, bits, sparse, arrays of vectors",
        ids: "integers, text",
        metadata: "all scalar types, arrays, JSON, dynamic keys; null stays null",
        several_collections: true,
        bundles: false,
        proven_with: "milvus 2.3.5",
        covers: &[],
    },
    options: OPTIONS,
    probe,
    list: Some(list),
    open: Some(open),
    create: None,
};

const OPTIONS: &[SourceOption] = &[];

fn probe(path: &Path) -> Option<Score> {
    snapshot::probe(path).max(lite::probe(path))
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    CONNECTOR.check_options(options)?;
    match is_lite(&locator.path) {
        true => lite::list(locator, options),
        false => snapshot::list(locator, options),
    }
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    CONNECTOR.check_options(options)?;
    match is_lite(&locator.path) {
        true => lite::open(locator, options),
        false => snapshot::open(locator, options),
    }
}

fn is_lite(path: &Path) -> bool {
    lite::probe(path) > snapshot::probe(path)
}
