//! LanceDB: bundles that its own client loads into a table.
//!
//! `dialect` says what a table can hold and how metrics and indexes are called, `bundle` writes the files and scripts and
//! reads them back. Lance datasets themselves are not read: the connector `jsonl` takes what `check.py` pulls.

pub mod bundle;
pub mod dialect;

use std::path::Path;

use tranship_bundle::BundleSource;
use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Coverage, Known, Locator, OpenOptions, Result, Score, Source,
};

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "lancedb",
    about: "LanceDB: bundles of Parquet that its client loads into a table",
    extensions: &[],
    capabilities: Capabilities {
        reads: "bundles written by tranship",
        writes: "bundles: Parquet files, load, check and undo scripts for the lancedb client, index settings",
        vectors: "dense f32 and f16, multivectors, bits; sparse as a column that no index covers",
        ids: "integers of 64 bits, text",
        metadata: "JSON text, verbatim; keys of one scalar type also as typed columns to filter by",
        several_collections: false,
        bundles: true,
        proven_with: "lancedb 0.40.0",
        covers: &[Coverage {
            what: "bundles written by tranship",
            known: Known::AgainstEngine,
            note: "loaded into LanceDB 0.40.0 by their own scripts, every value read back and compared",
        }],
    },
    options: &[],
    target_options: &[],
    probe,
    list: Some(list),
    open: Some(open),
    create: Some(bundle::create),
};

fn probe(path: &Path) -> Option<Score> {
    tranship_bundle::probe(path, dialect::RULES.target)
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    tranship_bundle::list(&bundle::FORM, locator, options)
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    Ok(Box::new(BundleSource::open(&bundle::FORM, &locator.path, options)?))
}
