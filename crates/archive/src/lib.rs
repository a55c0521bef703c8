//! The archive: a collection kept as plain Parquet in a BagIt bag, with a manifest that makes it one.
//!
//! ```text
//! name.tranship/
//!   MANIFEST.json                    written last; without it this is no archive
//!   data/collection.json             the collection schema
//!   data/part-00000.parquet ...      one per split, deterministic bytes
//!   data/rejects-00000.jsonl.zst     same numbering, only where records were set aside
//!   fingerprint.bin                  the bucket table
//!   bagit.txt bag-info.txt manifest-sha256.txt tagmanifest-sha256.txt
//! ```
//!
//! Invariant: nothing about the run is in it (no time, threads, host, temporaries), so the same input and options give
//! the same bytes; and no file is in it that the manifest does not list.

mod bag;
mod manifest;
mod open;
mod sink;
mod source;

use std::path::Path;

use tranship_connector::{Capabilities, Connector, Coverage, Known, Score};

pub use manifest::{FileEntry, MANIFEST, Manifest, Part};
pub use open::Archive;
pub use sink::ArchiveSink;
pub use source::ArchiveSource;

/// The connector `archive`.
pub static CONNECTOR: Connector = Connector {
    name: "archive",
    about: "verifiable Parquet archive of one collection (a BagIt bag)",
    extensions: &["tranship"],
    capabilities: Capabilities {
        reads: "archives of version 1",
        writes: "archives of version 1",
        vectors: "dense of f32, f16, bf16, i8 and u8, sparse, multi and bits, bit for bit",
        ids: "integers and texts",
        metadata: "any JSON object, verbatim",
        several_collections: false,
        bundles: false,
        proven_with: "bagit-python, DuckDB, polars, pyarrow 15 and newest; the fingerprint by a second implementation",
        covers: &[
            Coverage {
                what: "archives, version 1",
                known: Known::AgainstEngine,
                note: "`tests/all/conformance.rs`; the parts read by DuckDB, polars and pyarrow in `tests/all/archive.rs`",
            },
            Coverage {
                what: "archives of later versions",
                known: Known::Refused,
                note: "read them with their own tranship",
            },
        ],
    },
    options: &[],
    target_options: &[],
    probe,
    list: Some(source::list),
    open: Some(source::open),
    create: Some(sink::create),
};

fn probe(path: &Path) -> Option<Score> {
    let manifest = path.join(MANIFEST);
    if manifest.is_file() && path.join("bagit.txt").is_file() {
        return Some(95);
    }
    let looks_like_one = path.extension().is_some_and(|extension| extension == "tranship") && path.is_dir();
    looks_like_one.then_some(20)
}
