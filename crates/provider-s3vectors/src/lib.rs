//! Amazon S3 Vectors: its dialect, and the bundles of PutVectors bodies that load a collection into an index.
//!
//! Nothing of S3 Vectors lies on a disk, so what is read is our own bundles, and the pages that `check.sh` pulls.

pub mod bundle;
pub mod dialect;

use tranship_connector::{Capabilities, Connector, Coverage, Known, SourceOption};

/// The connector `s3vectors`.
pub static CONNECTOR: Connector = Connector {
    name: "s3vectors",
    about: "Amazon S3 Vectors bundles (PutVectors bodies)",
    extensions: &[],
    capabilities: Capabilities {
        reads: "bundles written by tranship; answers of ListVectors pulled by their check.sh",
        writes: "bundles: bodies for `aws s3vectors put-vectors`, index settings, load, check and undo scripts",
        vectors: "one dense vector per record, f32; narrower elements as f32 with the same values",
        ids: "texts of at most 1,024 characters, integers as their digits; all others as UUIDv5 with the original in the metadata",
        metadata: "texts, numbers up to 2^53, booleans, lists of texts; all else as exact text that is not filtered by",
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
    what: "bundles written by tranship, and ListVectors pages",
    known: Known::SheetOnly,
    note: "the API reference and the list of limits; not run against the engine",
}];
