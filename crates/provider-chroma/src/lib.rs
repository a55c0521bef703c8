//! Chroma: reads the persistent directories of Chroma 0.4.x to 1.5.x, offline and without touching them.
//!
//! `dialect` maps Chroma's names and types, `snapshot` reads a directory. Chroma 0.3 (DuckDB and Parquet) is
//! recognised by name and refused with the way to upgrade it.

pub mod dialect;
pub mod snapshot;

use tranship_connector::{Capabilities, Connector};

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "chroma",
    about: "Chroma persistent directory (chroma.sqlite3 and HNSW segments)",
    extensions: &[],
    capabilities: Capabilities {
        reads: "persistent directories of Chroma 0.4 to 1.5",
        writes: "",
        vectors: "dense f32, cosine lengths restored",
        ids: "text",
        metadata: "text, integers, floats, booleans, arrays of them; documents and uris",
        several_collections: true,
        bundles: false,
        proven_with: "chromadb 0.4.0, 0.4.24, 0.5.23, 0.6.3, 1.0.0, 1.5.9",
        covers: &[],
    },
    options: &[],
    probe: snapshot::probe,
    list: Some(snapshot::list),
    open: Some(snapshot::open),
    create: None,
};
