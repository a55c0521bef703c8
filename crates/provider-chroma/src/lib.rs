//! Chroma: reads the persistent directories of Chroma 0.4.x to 1.5.x, offline and without touching them.
//!
//! `dialect` maps Chroma's names and types, `snapshot` reads a directory. Chroma 0.3 (DuckDB and Parquet) is
//! recognised by name and refused with the way to upgrade it.

pub mod dialect;
pub mod snapshot;

use tranship_connector::{Capabilities, Connector, Coverage, Known};

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
        covers: &[
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
    probe: snapshot::probe,
    list: Some(snapshot::list),
    open: Some(snapshot::open),
    create: None,
};
