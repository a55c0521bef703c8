//! Typesense: its dialect, and the bundles of JSON lines that its import endpoint takes.
//!
//! Typesense's own snapshots are RocksDB of its server alone, so what is read is our own bundles, and the exports that
//! `check.sh` pulls.

pub mod bundle;
pub mod dialect;

use tranship_connector::{Capabilities, Connector, Coverage, Known};

/// The connector `typesense`.
pub static CONNECTOR: Connector = Connector {
    name: "typesense",
    about: "Typesense bundles (JSON lines for the import endpoint)",
    extensions: &[],
    capabilities: Capabilities {
        reads: "bundles written by tranship; exports of GET /collections/{c}/documents/export pulled by their check.sh",
        writes: "bundles: JSON lines for POST /collections/{c}/documents/import, schema, load, check and undo scripts",
        vectors: "any number of dense vectors, f32; narrower elements as f32 with the same values",
        ids: "texts of letters, digits, `_` and `-`, integers as their digits; all others as UUIDv5 with the original as field",
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
    what: "bundles written by tranship, and exports",
    known: Known::SheetOnly,
    note: "the documentation of v30; not run against the engine",
}];
