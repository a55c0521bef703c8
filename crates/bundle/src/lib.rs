//! What every bundle has in common: the directory that a provider's own bulk import takes.
//!
//! ```text
//! NAME/
//!   MANIFEST.json         every file with size, SHA-256 and records; both fingerprints; written last
//!   mapping.json          how records changed form, and how to undo it
//!   data/...              what the import takes; one or more files per split, each under the provider's limits
//!   schema.* load.sh check.sh undo.sh README.md ...      the provider's own, from its [`Form`]
//! ```
//!
//! A provider gives its [`Rules`](tranship_connector::Rules) and a [`Form`]; here is the rest: what the rules mean for
//! a measured collection ([`plan`]), shards, commit and reading back. A record's path is: survey -> plan -> shape (ids
//! and metadata the target can hold) -> the form's writer -> commit; back: the form's reader -> undo.
//!
//! Invariant: the directory exists only when it is whole, its bytes depend on nothing but the records and the options,
//! and reading it back gives the expected fingerprint. Errors: damaged (a file is not what the manifest says), usage
//! (something that the target has no name for), loss denied, limit.

pub mod aligned;
mod commit;
pub mod deletes;
mod dump;
pub mod facts;
pub mod form;
pub mod json;
pub mod manifest;
pub mod names;
pub mod pages;
pub mod plan;
pub mod rows;
pub mod sink;
pub mod source;
mod target_ids;

use std::path::Path;

use serde::Deserialize;
use tranship_connector::{CollectionInfo, Count, Locator, OpenOptions, Result, Score};

pub use deletes::Deletes;
pub use facts::{Extra, Facts};
pub use form::{DataFile, Finished, Form, FormWriter, Part, Parts};
pub use manifest::Manifest;
pub use sink::BundleSink;
pub use source::BundleSource;

/// Name of the manifest.
pub const MANIFEST: &str = "MANIFEST.json";
/// Name of the mapping.
pub const MAPPING: &str = "mapping.json";
/// Name of the README.
pub const README: &str = "README.md";

/// Scores a path: 95 for a bundle for `target`.
pub fn probe(path: &Path, target: &str) -> Option<Score> {
    #[derive(Deserialize)]
    struct Target {
        target: String,
    }
    if !path.join(MANIFEST).is_file() {
        return None;
    }
    let text = std::fs::read(path.join(MAPPING)).ok()?;
    let mapping: Target = serde_json::from_slice(&text).ok()?;
    (mapping.target == target).then_some(95)
}

/// True for a directory that is, or was to be, a bundle.
pub fn is_bundle(path: &Path) -> bool {
    path.join(MANIFEST).is_file() || path.join(MAPPING).is_file()
}

/// The one collection of a bundle.
pub fn list(form: &'static dyn Form, locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let bundle = BundleSource::open(form, &locator.path, options)?;
    let schema = tranship_connector::Source::schema(&bundle).clone();
    Ok(vec![CollectionInfo {
        name: schema.name.clone(),
        records: Count::Exact(bundle.records()),
        schema,
        producer: Some(format!("tranship bundle for {}", form.rules().title)),
        notes: Vec::new(),
    }])
}
