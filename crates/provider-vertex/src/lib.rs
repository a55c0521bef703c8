//! Vertex AI Vector Search: its dialect, and the bundles of batch files that an index is made from.
//!
//! Nothing of Vector Search lies on a disk, so what is read is our own bundles, and the files that `check.sh` pulls.

pub mod bundle;
pub mod dialect;

use tranship_connector::{Capabilities, Connector, Coverage, Known, SourceOption};

/// The connector `vertex`.
pub static CONNECTOR: Connector = Connector {
    name: "vertex",
    about: "Vertex AI Vector Search bundles (batch files for Cloud Storage)",
    extensions: &[],
    capabilities: Capabilities {
        reads: "bundles written by tranship; batch files pulled by their check.sh",
        writes: "bundles: .json batch files, index settings, load, check and undo scripts",
        vectors: "one dense vector per record, f32, and one sparse; narrower elements as f32 with the same values",
        ids: "texts, integers as their digits",
        metadata: "JSON objects with numbers up to 2^53, as embedding_metadata; entries of one type also as restricts",
        several_collections: false,
        bundles: true,
        proven_with: "not run against the engine: a hosted service",
        covers: COVERS,
    },
    options: &[],
    target_options: VECTOR_OPTION,
    probe: bundle::probe,
    list: Some(bundle::list),
    open: Some(bundle::open),
    create: Some(bundle::create),
};

const VECTOR_OPTION: &[SourceOption] =
    &[SourceOption { key: "vector", about: "which vector to take where records have several, default the first" }];

const COVERS: &[Coverage] = &[Coverage {
    what: "bundles written by tranship",
    known: Known::SheetOnly,
    note: "the input data format as documented; not run against the engine",
}];
