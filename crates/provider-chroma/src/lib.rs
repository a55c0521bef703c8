//! Chroma: reads the persistent directories of Chroma 0.4.x to 1.5.x, offline and without touching them, and writes
//! batches that Chroma's own client loads.
//!
//! `dialect` maps Chroma's names and types, `snapshot` reads a directory, `bundle` writes and reads bundles. Chroma 0.3 (DuckDB and Parquet) is
//! recognised by name and refused with the way to upgrade it.

pub mod bundle;
pub mod dialect;
pub mod filter;
pub mod snapshot;

use std::path::Path;

use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Coverage, Known, Locator, OpenOptions, Result, Score, Source,
};

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "chroma",
    about: "Chroma persistent directory (chroma.sqlite3 and HNSW segments) and bundles (batches for its client)",
    extensions: &[],
    capabilities: Capabilities {
        reads: "persistent directories of Chroma 0.4 to 1.5; bundles written by tranship",
        writes: "bundles: bodies of upsert with load, check and undo scripts over the chromadb client",
        vectors: "one dense f32, cosine lengths restored",
        ids: "text; integers as their digits; those of namespaces as UUIDv5 with the original in the metadata",
        metadata: "text, integers, floats, booleans, arrays of them, documents and uris; the rest as text beside it",
        several_collections: true,
        bundles: true,
        proven_with: "chromadb 0.4.0, 0.4.24, 0.5.23, 0.6.3, 1.0.0, 1.5.9",
        covers: &[
            Coverage {
                what: "bundles written by tranship",
                known: Known::AgainstEngine,
                note: "loaded by chromadb 1.5.9 into a fresh directory and read back through its API and through our reader in `tests/all/chroma_bundle.rs`",
            },
            Coverage {
                what: "Chroma 1.5.9",
                known: Known::AgainstEngine,
                note: "random workloads in `tests/all/chroma.rs`; stored dumps as well, one of a killed process",
            },
            Coverage {
                what: "Chroma 0.4.0, 0.4.24, 0.5.23, 0.6.3, 1.0.0",
                known: Known::StoredDump,
                note: "`tests/all/chroma.rs`, `crates/provider-chroma/tests/chroma/truth.rs`",
            },
            Coverage {
                what: "Chroma up to 0.3 (chroma-embeddings.parquet)",
                known: Known::Refused,
                note: "chroma-migrate makes a directory of 0.4 of it",
            },
        ],
    },
    options: &[],
    target_options: &[],
    probe,
    list: Some(list),
    open: Some(open),
    create: Some(bundle::create),
};

fn probe(path: &Path) -> Option<Score> {
    tranship_bundle::probe(path, "chroma").or_else(|| snapshot::probe(path))
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    match bundle::is_bundle(locator) {
        true => tranship_bundle::list(&bundle::Batched, locator, options),
        false => snapshot::list(locator, options),
    }
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    if bundle::is_bundle(locator) { bundle::open(locator, options) } else { snapshot::open(locator, options) }
}
