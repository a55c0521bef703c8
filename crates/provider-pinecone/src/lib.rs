//! Pinecone: writes the Parquet files that its bulk import takes, and reads back what its API answers.
//!
//! Pinecone is a service and leaves no files, so there is no dump to read: `bundle` writes and reads bundles, and reads the
//! pages that a bundle's `check.sh` fetched. Types, limits, metrics and names stand in `dialect`.

pub mod bundle;
pub mod dialect;
pub mod filter;

use tranship_connector::{Capabilities, Connector, Coverage, Known, SourceOption};

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "pinecone",
    about: "Pinecone bundles (Parquet for its bulk import) and pages fetched from an index",
    extensions: &[],
    capabilities: Capabilities {
        reads: "bundles written by tranship; pages of GET /vectors/fetch that their check.sh fetched",
        writes: "bundles: Parquet per namespace for POST /bulk/imports, create body, load, check and undo scripts",
        vectors: "one dense f32 and one sparse, together under dotproduct only",
        ids: "ASCII texts of up to 512 characters; integers as their digits; all others as UUIDv5 with the original in the metadata",
        metadata: "text, numbers, booleans and lists of text, 40,960 bytes a record; the rest as text beside it; documents in the metadata",
        several_collections: false,
        bundles: true,
        proven_with: "the Parquet files: pyarrow, DuckDB; not run against the service",
        covers: &[
            Coverage {
                what: "bundles written by tranship",
                known: Known::SheetOnly,
                note: "columns and types as the import documents them, read by pyarrow and DuckDB in `tests/all/pinecone_bundle.rs`; not run against the service",
            },
            Coverage {
                what: "pages of GET /vectors/fetch",
                known: Known::SheetOnly,
                note: "the documented answer, in `crates/provider-pinecone/tests`; not run against the service",
            },
            Coverage {
                what: "JSON lines for indexes with a schema (document indexes)",
                known: Known::Refused,
                note: "not written: their import could not be checked; the bundle makes a vector index",
            },
        ],
    },
    options: &[],
    target_options: &[
        SourceOption { key: "vector", about: "the dense vector to keep, where there are several" },
        SourceOption { key: "cloud", about: "aws, gcp or azure; default aws" },
        SourceOption { key: "region", about: "the cloud's region; default us-east-1" },
    ],
    probe: bundle::probe,
    list: Some(bundle::list),
    open: Some(bundle::open),
    create: Some(bundle::create),
};
