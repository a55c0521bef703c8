//! turbopuffer: its dialect, and the bundles of write bodies that load a collection into its namespaces.
//!
//! Nothing of turbopuffer lies on a disk, so what is read is our own bundles, and the pages that `check.sh` pulls.

pub mod bundle;
pub mod dialect;

use tranship_connector::{Capabilities, Connector, Coverage, Known};

/// The connector `turbopuffer`.
pub static CONNECTOR: Connector = Connector {
    name: "turbopuffer",
    about: "turbopuffer bundles (write bodies per namespace)",
    extensions: &[],
    capabilities: Capabilities {
        reads: "bundles written by tranship; pages of POST /v2/namespaces/{ns}/query pulled by their check.sh",
        writes: "bundles: bodies for POST /v2/namespaces/{ns} with schema; load, check and undo scripts",
        vectors: "one dense vector per record, f32 and f16; bf16, i8 and u8 as f32",
        ids: "texts of at most 64 bytes, integers as their digits; all others as UUIDv5 with the original as attribute",
        metadata: "attributes of one type each; all else as exact text",
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

const VECTOR_OPTION: &[tranship_connector::SourceOption] = &[tranship_connector::SourceOption {
    key: "vector",
    about: "which vector to take where records have several, default the first",
}];

const COVERS: &[Coverage] = &[Coverage {
    what: "bundles written by tranship, and query pages",
    known: Known::SheetOnly,
    note: "the write and query API as documented; not run against the engine",
}];
