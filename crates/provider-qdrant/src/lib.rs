//! Qdrant: its dialect, the bundles that its REST API takes, and the pages that it scrolls back.
//!
//! Qdrant has no file import, so a bundle is a directory of numbered request bodies with the scripts that send them
//! (`bundle`). What comes out of a server again is read as raw scroll pages. Types, limits, metrics and index
//! parameters stand in `dialect`, used in both directions.

pub mod bundle;
pub mod dialect;
pub mod snapshot;

use tranship_connector::{Capabilities, Connector};

/// The connector `qdrant`.
pub static CONNECTOR: Connector = Connector {
    name: "qdrant",
    about: "Qdrant bundles (REST request bodies) and scroll pages",
    extensions: &[],
    capabilities: Capabilities {
        reads: "bundles written by tranship; pages of POST /collections/{c}/points/scroll",
        writes: "bundles: bodies for PUT /collections/{c}/points, create body, load, check and undo scripts",
        vectors: "dense f32, sparse, multivector; cosine ones come back at unit length",
        ids: "u64 integers and UUIDs; all others as UUIDv5 with the original in the payload",
        metadata: "any JSON object by value; numbers that Qdrant would round are kept beside it as text",
        several_collections: false,
        bundles: true,
        proven_with: "qdrant-edge-py 0.9.0 (Qdrant's segment engine)",
        covers: &[],
    },
    options: &[],
    probe: bundle::probe,
    list: Some(bundle::list),
    open: Some(bundle::open),
    create: Some(bundle::create),
};
