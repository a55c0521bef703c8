//! Qdrant: its dialect, what it leaves on disk, the bundles that its REST API takes, and the pages that it scrolls back.
//!
//! Snapshots and storage directories are read offline (`snapshot`). What is written is a bundle (`bundle`): a directory of
//! numbered request bodies, or of one snapshot in Qdrant's own files, with the scripts that send them. What comes out of a server
//! again is read as raw scroll pages. Types, limits, metrics and index parameters stand in `dialect`, used in both
//! directions.

pub mod bundle;
pub mod dialect;
pub mod filter;
pub mod snapshot;

use std::path::Path;

use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Coverage, Known, Locator, OpenOptions, Result, Score, Source, SourceOption,
};

/// The connector `qdrant`.
pub static CONNECTOR: Connector = Connector {
    name: "qdrant",
    about: "Qdrant snapshots, storage directories, bundles (REST request bodies or a snapshot) and scroll pages",
    extensions: &["snapshot"],
    capabilities: Capabilities {
        reads: "snapshots of collections, shards and storages, storage directories; bundles written by tranship; pages \
                of POST /collections/{c}/points/scroll",
        writes: "bundles: bodies for PUT /collections/{c}/points and a create body, or a native collection snapshot; load, \
                 check and undo scripts",
        vectors: "dense f32, f16 and u8, sparse, multivector; cosine ones come back at unit length (but for u8), bf16 and i8 as f32",
        ids: "u64 integers and UUIDs; all others as UUIDv5 with the original in the payload",
        metadata: "any JSON object by value; numbers that Qdrant would round are kept beside it as text",
        several_collections: true,
        bundles: true,
        proven_with: "qdrant-edge-py 0.9.0 (Qdrant's segment engine)",
        covers: COVERS,
    },
    options: &[],
    target_options: &[SourceOption {
        key: "form",
        about: "`bodies`: request bodies (default); `snapshot`: a native collection snapshot, for Qdrant 1.14 and newer",
    }],
    probe,
    list: Some(list),
    open: Some(open),
    create: Some(bundle::create),
};

const COVERS: &[Coverage] = &[
    Coverage {
        what: "bundles written by tranship",
        known: Known::AgainstEngine,
        note: "applied by qdrant-edge-py 0.9.0 and read back in `tests/all/bundle.rs`",
    },
    Coverage {
        what: "native snapshots in bundles written by tranship (form=snapshot)",
        known: Known::AgainstEngine,
        note: "taken by qdrant-edge-py 0.9.0 as a shard snapshot, read back bit for bit, changed, optimised and loaded again; \
               the upload itself ran against a stand-in, not a server",
    },
    Coverage {
        what: "pages of POST /collections/{c}/points/scroll with collection.json",
        known: Known::SheetOnly,
        note: "the REST schema of 1.19; the tests' pages come from a stand-in for the server",
    },
    Coverage {
        what: "segments in flat files and Gridstore (Qdrant 1.13 to 1.19, qdrant-edge)",
        known: Known::AgainstEngine,
        note: "named, sparse, multi, f16 and u8 vectors; a random workload of qdrant-edge 0.9.0 and stored snapshots",
    },
    Coverage {
        what: "segments in RocksDB (Qdrant 1.7 to 1.15), in directories and in backups",
        known: Known::StoredDump,
        note: "1.10, 1.11 and 1.13, with and without a crash",
    },
    Coverage {
        what: "write-ahead logs: operations by id, replayed over the segments",
        known: Known::AgainstEngine,
        note: "qdrant-edge 0.9.0, and servers that were killed; operations by filter that no segment holds are refused",
    },
    Coverage {
        what: "snapshots of collections, shards (regular and streamed) and storages; storage directories",
        known: Known::StoredDump,
        note: "Qdrant 1.10, 1.11, 1.13, 1.19",
    },
    Coverage {
        what: "snapshots of several nodes, custom sharding, shards in several copies",
        known: Known::SheetOnly,
        note: "put together from snapshots of one node",
    },
    Coverage {
        what: "turbo4 vectors, the disk id tracker, Logstore (behind feature flags of 1.18 and 1.19)",
        known: Known::Refused,
        note: "turbo4 keeps no floats; the others need the flag serverless_compatible",
    },
];

/// Scores a path: bundles and pages first, which are directories of their own kind.
fn probe(path: &Path) -> Option<Score> {
    bundle::probe(path).or_else(|| snapshot::probe(path))
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    if is_snapshot(locator) { snapshot::list(locator, options) } else { bundle::list(locator, options) }
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    if is_snapshot(locator) { snapshot::open(locator, options) } else { bundle::open(locator, options) }
}

/// True for what Qdrant itself wrote: neither a bundle nor scroll pages.
fn is_snapshot(locator: &Locator) -> bool {
    if locator.is_stream() || bundle::probe(&locator.path).is_some() {
        return false;
    }
    let has_pages_name = locator.path.extension().is_some_and(|extension| extension == "json");
    !has_pages_name && !bundle::is_bundle(&locator.path)
}
