//! `MANIFEST.json`: what is in the archive, and the proof that the manifest itself is whole.
//!
//! Invariant: the file equals its own canonical serialisation byte for byte (fields in the order of the structs, maps
//! sorted, two spaces, one line feed at the end), and `digest` is the SHA-256 of that text with an empty `digest`.
//! Any other text is damage, and so is a listed path that leaves the archive.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_connector::{Error, Loss, Result, RowLedger};
use tranship_storage::durable::sha256_bytes;

/// Name of the manifest.
pub const MANIFEST: &str = "MANIFEST.json";
/// Version of the archive format.
pub const VERSION: u32 = 1;

/// The content of `MANIFEST.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always "tranship archive".
    pub format: String,
    /// Version of the format.
    pub version: u32,
    /// SHA-256 of this text with an empty digest.
    pub digest: String,
    /// The collection's name at its origin.
    pub collection: String,
    /// Records in all parts.
    pub records: u64,
    /// Records that were set aside.
    pub rejected: u64,
    /// Records without a vector, per vector.
    pub null_vectors: BTreeMap<String, u64>,
    /// Fingerprint of the set of records.
    pub fingerprint: FingerprintSummary,
    /// The parts in order.
    pub parts: Vec<Part>,
    /// Every other file of the archive, sorted by path.
    pub files: Vec<FileEntry>,
    /// What was lost on the way in: nothing, for every source that tranship reads exactly.
    pub losses: Vec<Loss>,
    /// Where the records came from.
    pub source: Origin,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Path within the archive.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256.
    pub sha256: String,
    /// The split that it holds.
    pub split: u64,
    /// Records in it.
    pub rows: u64,
    /// Records of the split that were set aside.
    pub rejected: u64,
    /// Records without a vector, per vector.
    pub null_vectors: BTreeMap<String, u64>,
}

/// One other file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path within the archive.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256.
    pub sha256: String,
}

/// Where the records came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The input files; empty for a stream.
    pub files: Vec<OriginFile>,
    /// How the source's rows add up.
    pub ledger: RowLedger,
}

/// One input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginFile {
    /// Path relative to the source.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// XXH3-128 of its first and last 64 KiB.
    pub edges: String,
    /// SHA-256 of all of it, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Manifest {
    /// The canonical text, with the digest filled in.
    pub fn sealed(mut self) -> Result<String> {
        self.digest.clear();
        self.digest = sha256_bytes(self.text()?.as_bytes());
        self.text()
    }

    /// Reads a manifest and proves that it is whole.
    pub fn parse(text: &str) -> Result<Self> {
        let manifest: Manifest =
            serde_json::from_str(text).map_err(|e| Error::damaged("the manifest is not readable").caused_by(e))?;
        if manifest.version != VERSION {
            return Err(Error::not_recognised(format!(
                "archive version {} is newer than this tranship",
                manifest.version
            ))
            .hint("use the tranship that wrote it, or a later one"));
        }
        let resealed = manifest.clone().sealed()?;
        if resealed != text {
            return Err(Error::damaged(
                "the manifest was changed: it does not equal its own canonical text and digest",
            ));
        }
        let outside = manifest.all_files().find(|(path, ..)| !is_inside(path));
        if let Some((path, ..)) = outside {
            return Err(Error::damaged(format!("the manifest lists {path:?}, which is no place within the archive")));
        }
        Ok(manifest)
    }

    /// Every file of the archive but the manifest: path, bytes, SHA-256.
    pub fn all_files(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        let parts = self.parts.iter().map(|part| (part.path.as_str(), part.bytes, part.sha256.as_str()));
        parts.chain(self.files.iter().map(|file| (file.path.as_str(), file.bytes, file.sha256.as_str())))
    }

    fn text(&self) -> Result<String> {
        let text =
            serde_json::to_string_pretty(self).map_err(|e| Error::bug("cannot write the manifest").caused_by(e))?;
        Ok(text + "\n")
    }
}

/// True for a plain path downwards.
fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_manifest_cannot_list_files_outside_the_archive() {
        for (path, fits) in [("data/x", true), ("../x", false), ("/etc/passwd", false), ("data/../../x", false)] {
            let fingerprint = FingerprintSummary { digest: String::new(), records: 0, components: BTreeMap::new() };
            let manifest = Manifest {
                format: "tranship archive".to_owned(),
                version: VERSION,
                digest: String::new(),
                collection: "c".to_owned(),
                records: 0,
                rejected: 0,
                null_vectors: BTreeMap::new(),
                fingerprint,
                parts: Vec::new(),
                files: vec![FileEntry { path: path.to_owned(), bytes: 0, sha256: String::new() }],
                losses: Vec::new(),
                source: Origin { files: Vec::new(), ledger: RowLedger::default() },
            };
            let parsed = Manifest::parse(&manifest.sealed().unwrap());
            assert_eq!(parsed.is_ok(), fits, "{path}: {parsed:?}");
        }
    }
}
