//! Vespa: its dialect, and the bundles of an application package and feed files.
//!
//! What is read is our own bundles, and the documents that `check.sh` visits.

pub mod bundle;
pub mod dialect;
mod tensors;
mod texts;

use tranship_connector::{Capabilities, Connector, Coverage, Known};

/// The connector `vespa`.
pub static CONNECTOR: Connector = Connector {
    name: "vespa",
    about: "Vespa bundles (application package and feed files)",
    extensions: &[],
    capabilities: Capabilities {
        reads: "bundles written by tranship; documents of `vespa visit` pulled by their check.sh",
        writes: "bundles: JSON lines for `vespa feed`, application package with the schema, load, check and undo scripts",
        vectors: "any number of dense vectors (f32, bf16, i8), sparse and multivectors; f16 and u8 as f32",
        ids: "ASCII texts of at most 1,024 bytes, integers as their digits; all others as UUIDv5 with the original as field",
        metadata: "fields of one type each; all else as exact text",
        several_collections: false,
        bundles: true,
        proven_with: "not run against the engine",
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
    what: "bundles written by tranship, and documents of `vespa visit`",
    known: Known::SheetOnly,
    note: "the document JSON format as documented; not run against the engine",
}];
