//! Weaviate: its dialect, and the bundles of batch bodies that load a collection into a class.
//!
//! Weaviate's own backups are not read. What is read is our own bundles, and the cursor pages that their `check.sh` pulls;
//! the `jsonl` reader takes such pages from any class.

pub mod bundle;
pub mod dialect;

use tranship_connector::{Capabilities, Connector, Coverage, Known};

/// The connector `weaviate`.
pub static CONNECTOR: Connector = Connector {
    name: "weaviate",
    about: "Weaviate bundles (batch bodies)",
    extensions: &[],
    capabilities: Capabilities {
        reads: "bundles written by tranship; pages of GET /v1/objects pulled by their check.sh",
        writes: "bundles: bodies for POST /v1/batch/objects, class, tenants, load, check and undo scripts",
        vectors: "any number of dense vectors and multivectors, f32; narrower elements as f32 with the same values",
        ids: "UUIDs; all others as UUIDv5 with the original as property",
        metadata: "properties of one type each, under GraphQL names; all else as exact text",
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

const COVERS: &[Coverage] = &[
    Coverage {
        what: "bundles written by tranship, and pages of GET /v1/objects",
        known: Known::SheetOnly,
        note: "bodies and class as Weaviate's REST schema has them, the scripts against a stand-in; not run against the engine",
    },
    Coverage {
        what: "backups",
        known: Known::Refused,
        note: "restore them and list the class: GET /v1/objects?class=C&include=vector&after=",
    },
];
