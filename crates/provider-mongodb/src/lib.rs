//! MongoDB (Atlas Vector Search): its dialect, and the bundles of Extended JSON that mongoimport takes.
//!
//! What is read is our own bundles, and the exports that `check.sh` pulls.

pub mod bundle;
pub mod dialect;
mod vectors;

use tranship_connector::{Capabilities, Connector, Coverage, Known};

/// The connector `mongodb`.
pub static CONNECTOR: Connector = Connector {
    name: "mongodb",
    about: "MongoDB bundles (Extended JSON for mongoimport, vectors as BSON binary)",
    extensions: &[],
    capabilities: Capabilities {
        reads: "bundles written by tranship; exports of mongoexport pulled by their check.sh",
        writes: "bundles: Extended JSON for mongoimport, the vector search index, load, check and undo scripts",
        vectors: "any number of dense vectors, f32 and i8, and of bit vectors; f16, bf16 and u8 as f32",
        ids: "integers of 64 bits and texts of at most 1,024 bytes; all others as UUIDv5 with the original in the metadata",
        metadata: "any JSON object of at most 90 levels under keys without `.` and leading `$`; all else as exact text",
        several_collections: false,
        bundles: true,
        proven_with: "pymongo 4.20.0 (bson.json_util and Binary.as_vector read the files); not run against a server",
        covers: COVERS,
    },
    options: &[],
    target_options: &[],
    probe: bundle::probe,
    list: Some(bundle::list),
    open: Some(bundle::open),
    create: Some(bundle::create),
};

const COVERS: &[Coverage] = &[Coverage {
    what: "bundles written by tranship, and exports of mongoexport in relaxed Extended JSON",
    known: Known::SheetOnly,
    note: "parsed, encoded as BSON and decoded by pymongo's bson; not run against a server or Atlas",
}];
