//! `MANIFEST.json`: what a bundle consists of.
//!
//! Invariant: the file equals its own canonical serialisation (sorted keys, two spaces, one newline at the end) and
//! `digest` is the SHA-256 of that serialisation without the `digest` entry. It holds no time, host or path of the run.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_connector::{Error, Loss, Result, RowLedger};
use tranship_storage::durable::sha256_bytes;

const FORMAT: &str = "tranship-bundle";
const VERSION: u32 = 1;

/// The manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `tranship-bundle`.
    pub format: String,
    /// Version of this layout.
    pub version: u32,
    /// The target's connector.
    pub target: String,
    /// Name of the collection at the target.
    pub collection: String,
    /// Every other file of the bundle, by path with `/` as separator.
    pub files: BTreeMap<String, FileEntry>,
    /// What it adds up to.
    pub totals: BundleTotals,
    /// Fingerprint of the records at the source; reading the bundle gives the same.
    pub source_fingerprint: FingerprintSummary,
    /// Fingerprint of the records as the target will hold them, undone.
    pub expected_fingerprint: FingerprintSummary,
    /// What the target represents differently.
    pub losses: Vec<Loss>,
    /// How the source's rows add up.
    pub ledger: RowLedger,
    /// The source's files.
    pub source: Vec<SourceFile>,
    /// What the bundle takes its target from, and to, if it is one of a delta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<DeltaEntry>,
}

/// The bundle of a delta: its records are those to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaEntry {
    /// Fingerprint of the source's set that the target holds before.
    pub base: FingerprintSummary,
    /// Fingerprint of the source's set that it holds after.
    pub result: FingerprintSummary,
    /// Records that leave the set.
    pub deletes: u64,
    /// Ids in each file of deletes; more than `deletes` where records are deleted before they are replaced.
    pub files: BTreeMap<String, u64>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Size.
    pub bytes: u64,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
    /// Records in it, for data files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The namespace of all its records, where files are divided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Sums over the bundle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleTotals {
    /// Records.
    pub rows: u64,
    /// Data files that hold them.
    pub bodies: u64,
    /// Bytes of those files.
    pub bytes: u64,
    /// Records of the source that were set aside.
    pub rejected: u64,
}

/// One file of the source, as far as it is the same for everybody who holds a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Path below the source's root.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// XXH3-128 of its first and last 64 KiB.
    pub edges: String,
}

impl Manifest {
    /// An empty manifest of this version.
    pub fn new(target: &str, collection: &str, source: FingerprintSummary, expected: FingerprintSummary) -> Self {
        Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            target: target.to_owned(),
            collection: collection.to_owned(),
            files: BTreeMap::new(),
            totals: BundleTotals::default(),
            source_fingerprint: source,
            expected_fingerprint: expected,
            losses: Vec::new(),
            ledger: RowLedger::default(),
            source: Vec::new(),
            delta: None,
        }
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let broken = |e| Error::bug("a manifest cannot be serialised").caused_by(e);
        let mut value = serde_json::to_value(self).map_err(broken)?;
        let digest = sha256_bytes(&canonical(&value)?);
        if let Value::Object(entries) = &mut value {
            entries.insert("digest".to_owned(), Value::String(digest));
        }
        canonical(&value)
    }

    /// Reads and checks the file's bytes. `path` is for messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let damaged = |what: &str| {
            Error::damaged(format!("the bundle's manifest {what}"))
                .with("file", path.display())
                .hint("copy the bundle again or write it anew; it must not be edited")
        };
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|e| damaged("cannot be read").with("line", e.line()).caused_by(e))?;
        if manifest.format != FORMAT || manifest.version != VERSION {
            return Err(Error::not_recognised(format!(
                "this is {} version {}, not {FORMAT} version {VERSION}",
                manifest.format, manifest.version
            ))
            .with("file", path.display())
            .hint("use the version of tranship that wrote it"));
        }
        if manifest.to_bytes()? != bytes {
            return Err(damaged("does not match its own digest"));
        }
        let inside = |name: &String| Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !manifest.files.keys().all(inside) {
            return Err(damaged("names a file outside the bundle"));
        }
        Ok(manifest)
    }

    /// The data files, in order: path, entry and records.
    pub fn bodies(&self) -> impl Iterator<Item = (&String, &FileEntry, u64)> {
        self.files.iter().filter_map(|(path, entry)| entry.rows.map(|rows| (path, entry, rows)))
    }
}

/// Two-space JSON; maps of `serde_json::Value` are sorted.
fn canonical(value: &Value) -> Result<Vec<u8>> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|e| Error::bug("JSON cannot be serialised").caused_by(e))?;
    bytes.push(b'\n');
    Ok(bytes)
}
