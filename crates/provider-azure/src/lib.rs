//! Azure AI Search: its dialect, and the bundles of index batches that load a collection into an index.
//!
//! Nothing of Azure AI Search lies on a disk, so what is read is our own bundles, and the pages that `check.sh` pulls.

pub mod bundle;
pub mod dialect;

use tranship_connector::{Capabilities, Connector, Coverage, Known};

/// The connector `azure`.
pub static CONNECTOR: Connector = Connector {
    name: "azure",
    about: "Azure AI Search bundles (index batches)",
    extensions: &[],
    capabilities: Capabilities {
        reads: "bundles written by tranship; answers of POST /indexes/{i}/docs/search pulled by their check.sh",
        writes: "bundles: bodies for POST /indexes/{i}/docs/index, index definition, load, check and undo scripts",
        vectors: "any number of dense vectors, f32, f16 and i8; bf16 and u8 as f32",
        ids: "texts of letters, digits, `_`, `-` and `=` that do not begin with `_`, integers as their digits; all others as UUIDv5 with the original as field",
        metadata: "fields of one Edm type each; all else as exact text",
        several_collections: false,
        bundles: true,
        proven_with: "not run against the engine: a hosted service",
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
    what: "bundles written by tranship, and search pages",
    known: Known::SheetOnly,
    note: "the REST reference of 2024-07-01; not run against the engine",
}];
