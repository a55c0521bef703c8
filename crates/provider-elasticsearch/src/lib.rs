//! Elasticsearch and OpenSearch: their dialects, and the bundles of `_bulk` bodies that load a collection into an index.
//!
//! One crate for both: they parted in 2021, and still share `_bulk`, `_source`, scroll, index names, metadata fields and the
//! traps of dynamic mapping. What differs is the mapping of vectors, a setting, and how a client logs in; `dialect` says
//! both, side by side. Snapshots of either are not read: what is read is our own bundles, and the pages that their
//! `check.sh` pulls; the `jsonl` reader takes `_bulk` files and elasticdump's exports of any index.

pub mod bundle;
pub mod dialect;

use tranship_connector::{Capabilities, Connector, Coverage, Known, SourceOption};

/// The connector `elasticsearch`.
pub static ELASTICSEARCH: Connector = Connector {
    name: "elasticsearch",
    about: "Elasticsearch bundles (_bulk bodies)",
    extensions: &[],
    capabilities: capabilities(
        "dense vectors as dense_vector, f32 and i8; bf16, f16 and u8 as f32; sparse and multivectors in _source, not indexed",
    ),
    options: &[],
    target_options: &[],
    probe: bundle::elasticsearch::probe,
    list: Some(bundle::elasticsearch::list),
    open: Some(bundle::elasticsearch::open),
    create: Some(bundle::elasticsearch::create),
};

/// The connector `opensearch`.
pub static OPENSEARCH: Connector = Connector {
    name: "opensearch",
    about: "OpenSearch bundles (_bulk bodies)",
    extensions: &[],
    capabilities: capabilities(
        "dense vectors as knn_vector, f32 and i8; bf16, f16 and u8 as f32; sparse and multivectors in _source, not indexed",
    ),
    options: &[],
    target_options: &[SourceOption {
        key: "engine",
        about: "the engine of the vector index, lucene or faiss; lucene by default, since OpenSearch 3 gives cosine \
                vectors of faiss back at unit length",
    }],
    probe: bundle::opensearch::probe,
    list: Some(bundle::opensearch::list),
    open: Some(bundle::opensearch::open),
    create: Some(bundle::opensearch::create),
};

const fn capabilities(vectors: &'static str) -> Capabilities {
    Capabilities {
        reads: "bundles written by tranship; scroll pages pulled by their check.sh",
        writes: "bundles: bodies for POST /{index}/_bulk, settings and mappings, load, check and undo scripts",
        vectors,
        ids: "texts up to 512 bytes, integers as their digits; all others as UUIDv5 with the original as field",
        metadata: "JSON by value in _source; keys of one type are indexed; keys with `.` and integers beyond 64 bits as exact text",
        several_collections: false,
        bundles: true,
        proven_with: "not run against the engine",
        covers: COVERS,
    }
}

const COVERS: &[Coverage] = &[
    Coverage {
        what: "bundles written by tranship, and scroll pages",
        known: Known::SheetOnly,
        note: "bodies and mappings as the documentation has them, the scripts against a stand-in; not run against the engine",
    },
    Coverage {
        what: "snapshots",
        known: Known::Refused,
        note: "restore them and export the index, for instance with elasticdump",
    },
];
