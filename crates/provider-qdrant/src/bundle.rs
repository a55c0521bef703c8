//! A bundle: a directory of request bodies that loads one collection into Qdrant, and reads back as that collection.
//!
//! ```text
//! NAME/
//!   MANIFEST.json             every file with size, SHA-256 and rows; both fingerprints; written last
//!   schema.json               body of PUT /collections/{c}, indexing off   (absent without dimensions)
//!   schema-after-load.json    body of PATCH /collections/{c}, indexing on  (likewise)
//!   payload-index-000.json    bodies of PUT /collections/{c}/index         (namespaced collections)
//!   aliases.json              body of POST /collections/aliases            (collections with aliases)
//!   mapping.json              how records changed form, and how to undo it
//!   counts.tsv                expected count per namespace, with the body that asks for it
//!   load.sh check.sh undo.sh README.md
//!   data/points-00042-000.json   bodies of PUT /collections/{c}/points, split 42, each at most 24 MB
//! ```
//!
//! Invariant: the directory exists only when it is whole, its bytes depend on nothing but the records and the options,
//! and reading it back gives the source's fingerprint. Errors: damaged (a file is not what the manifest says), usage
//! (something that Qdrant has no name for), loss denied (a record that could not be undone).

mod encode;
mod manifest;
mod pages;
mod plan;
mod points;
mod scripts;
mod sink;
mod source;
mod target_ids;

use std::fs;
use std::path::Path;

use serde::Deserialize;
use tranship_collection::CollectionSchema;
use tranship_connector::{
    CollectionInfo, Count, CreateOptions, Error, Locator, Mapping, OpenOptions, Result, Score, Sink, Source,
};

pub use sink::BundleSink;
pub use source::BundleSource;

const MANIFEST: &str = "MANIFEST.json";
const MAPPING: &str = "mapping.json";
const SCHEMA: &str = "schema.json";
const SCHEMA_AFTER_LOAD: &str = "schema-after-load.json";
const ALIASES: &str = "aliases.json";
const COUNTS: &str = "counts.tsv";
const README: &str = "README.md";

/// Scores a path: 95 for a bundle, 60 for a directory of scroll pages.
pub fn probe(path: &Path) -> Option<Score> {
    #[derive(Deserialize)]
    struct Target {
        target: String,
    }
    if path.join(MANIFEST).is_file() {
        let text = fs::read(path.join(MAPPING)).ok()?;
        let mapping: Target = serde_json::from_slice(&text).ok()?;
        return (mapping.target == "qdrant").then_some(95);
    }
    path.join(pages::FIRST_PAGE).is_file().then_some(60)
}

/// The one collection of a bundle or of a directory of pages.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let info = if is_bundle(&locator.path) {
        let bundle = BundleSource::open(&locator.path, options)?;
        let producer = Some("tranship bundle for Qdrant".to_owned());
        let records = Count::Exact(bundle.records());
        CollectionInfo {
            name: bundle.schema().name.clone(),
            records,
            schema: bundle.schema().clone(),
            producer,
            notes: Vec::new(),
        }
    } else {
        let pages = pages::PageSource::open(&locator.path, options)?;
        let producer = Some("Qdrant scroll pages".to_owned());
        let schema = pages.schema().clone();
        CollectionInfo { name: schema.name.clone(), records: Count::Unknown, schema, producer, notes: Vec::new() }
    };
    Ok(vec![info])
}

/// Opens a bundle, or the raw scroll pages that a server answered with.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    if locator.is_stream() {
        return Err(Error::usage("a Qdrant bundle is a directory, not a stream").hint("give its path"));
    }
    if is_bundle(&locator.path) {
        return Ok(Box::new(BundleSource::open(&locator.path, options)?));
    }
    Ok(Box::new(pages::PageSource::open(&locator.path, options)?))
}

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    if locator.is_stream() {
        return Err(
            Error::usage("a Qdrant bundle is a directory, not a stream").hint("give a path that does not exist")
        );
    }
    Ok(Box::new(BundleSink::new(&locator.path, options)?))
}

/// True for a directory that is, or was to be, a bundle.
pub fn is_bundle(path: &Path) -> bool {
    path.join(MANIFEST).is_file() || path.join(MAPPING).is_file()
}

/// The schema of records as they stand in bodies: every text still in the payload.
fn stored_schema(schema: &CollectionSchema) -> CollectionSchema {
    let mut stored = schema.clone();
    stored.ids = tranship_collection::IdKinds::Mixed;
    stored.namespaced = false;
    stored
}

/// Reads the mapping of a bundle.
fn parse_mapping(text: &[u8], path: &Path) -> Result<Mapping> {
    let damaged = |e| Error::damaged("mapping.json is not a mapping").with("file", path.display()).caused_by(e);
    serde_json::from_slice(text).map_err(damaged)
}
