//! Milvus: reads, offline and without touching them, the files of a Milvus server, of milvus-backup and of Milvus Lite.
//!
//! What it writes is a bundle (`bundle`): the files of its bulk import.
//!
//! `dialect` maps Milvus's names and types, `scalar` decodes its arrays. `snapshot` reads backups and raw
//! `insert_log`/`delta_log` trees, `lite` the databases of Milvus Lite. Which of the two a path is, its probe tells.

pub mod bundle;
pub mod dialect;
pub mod lite;
pub mod scalar;
pub mod snapshot;
pub mod time;

use std::path::Path;

use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Coverage, Known, Locator, OpenOptions, Result, Score, Source, SourceOption,
};

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "milvus",
    about: "Milvus: milvus-backup directories, insert_log trees, Milvus Lite databases",
    extensions: &["db"],
    capabilities: Capabilities {
        reads: "milvus-backup directories, raw insert_log and delta_log trees, Milvus Lite; bundles written by tranship",
        writes: "bundles: Parquet or JSON rows for the bulk import, create and index bodies, load, check and undo scripts",
        vectors: "dense f32, f16, bf16, i8, bits, sparse, arrays of vectors",
        ids: "integers, text",
        metadata: "all scalar types, arrays, JSON, dynamic keys; null stays null",
        several_collections: true,
        bundles: true,
        proven_with: "milvus 2.3.5, milvus-lite 2.5.1 and 3.2.2",
        covers: COVERS,
    },
    options: OPTIONS,
    target_options: bundle::OPTIONS,
    probe,
    list: Some(list),
    open: Some(open),
    create: Some(bundle::create),
};

const COVERS: &[Coverage] = &[
    Coverage {
        what: "bundles for 2.3, in Parquet and in JSON: f32 and bit vectors, integer and text keys, dynamic metadata",
        known: Known::AgainstEngine,
        note: "loaded into a Milvus 2.3.5 server by their own scripts, every row queried and compared",
    },
    Coverage {
        what: "bundles for 2.4 and later: several vectors, f16, bf16, sparse",
        known: Known::SheetOnly,
        note: "after the importer's source; read back by tranship, not run against the engine",
    },
    Coverage {
        what: "binlogs (storage v1) of Milvus 2.0 to 2.5, raw insert_log and delta_log trees",
        known: Known::StoredDump,
        note: "Milvus 2.3.5, every field of 7,897 records of five collections; names come from -o schema=FILE",
    },
    Coverage {
        what: "milvus-backup directories, full and levelled meta, group ids",
        known: Known::SheetOnly,
        note: "real binlogs of 2.3.5 below a meta that was written after the description",
    },
    Coverage {
        what: "L0 deltas, two-column deltas, nullable, f16, bf16, int8 and sparse vectors, arrays of vectors (2.4 to 2.6)",
        known: Known::SheetOnly,
        note: "files written by the tests; arrays of vectors are widened to f32, those of bits and sparse refused",
    },
    Coverage {
        what: "packed Parquet (storage v2) of Milvus 2.6",
        known: Known::SheetOnly,
        note: "files written by the tests",
    },
    Coverage {
        what: "Milvus Lite 2.2 to 2.5 (SQLite)",
        known: Known::StoredDump,
        note: "2.5.1: float, f16, binary and sparse vectors, all scalar types, text keys",
    },
    Coverage {
        what: "Milvus Lite 3.0 to 3.2 (directory), open or closed",
        known: Known::AgainstEngine,
        note: "a directory of 3.2.2 made by the test and copied while open, and a stored dump",
    },
    Coverage {
        what: "storage v3 (Milvus 2.7 and later), backups of format `snapshot`, encrypted logs",
        known: Known::Refused,
        note: "by name, with the way around",
    },
];

const OPTIONS: &[SourceOption] = &[
    SourceOption {
        key: "schema",
        about: "file that describes the collections of a raw insert_log tree, whose logs hold no names: what pymilvus' \
                describe_collection answers, as JSON or as Python prints it; by name, in a list, or alone",
    },
    SourceOption {
        key: "duplicates",
        about: "`newest` (default) keeps the newest row of each key in each partition, `keep-all` every row",
    },
];

fn probe(path: &Path) -> Option<Score> {
    tranship_bundle::probe(path, "milvus").or_else(|| snapshot::probe(path).max(lite::probe(path)))
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    CONNECTOR.check_options(options)?;
    if tranship_bundle::is_bundle(&locator.path) {
        return tranship_bundle::list(&bundle::FORM, locator, options);
    }
    match is_lite(&locator.path) {
        true => lite::list(locator, options),
        false => snapshot::list(locator, options),
    }
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    CONNECTOR.check_options(options)?;
    if tranship_bundle::is_bundle(&locator.path) {
        return Ok(Box::new(tranship_bundle::BundleSource::open(&bundle::FORM, &locator.path, options)?));
    }
    match is_lite(&locator.path) {
        true => lite::open(locator, options),
        false => snapshot::open(locator, options),
    }
}

fn is_lite(path: &Path) -> bool {
    lite::probe(path) > snapshot::probe(path)
}
