//! The difference of two sets as something that can be moved: what to write and what to delete, and how to take it back.
//!
//! ```text
//! NAME/
//!   DELTA.json            both fingerprints, counts, the SHA-256 of both manifests; written last
//!   upserts.tranship/     an archive of the records of B that A has not, or has otherwise
//!   deletes.tranship/     an archive of the ids of A that B has not: no vectors, documents or metadata
//! NAME.inverse/           the same from B to A
//! ```
//!
//! Invariant: a directory without a whole `DELTA.json` is no delta; a delta fits exactly one base, by fingerprint, and
//! what comes of applying it has exactly the stated fingerprint, or nothing is written. Errors: usage (sets that cannot
//! be told apart record by record: other vectors), damaged.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tranship_archive::Archive;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::{CollectionSchema, IdKinds};
use tranship_connector::{Error, Result};
use tranship_storage::durable::sha256_bytes;
use tranship_storage::{StorageError, sha256_file};

/// Name of the file that makes a directory a delta.
pub const DELTA: &str = "DELTA.json";
/// The archive of records to write.
pub const UPSERTS: &str = "upserts.tranship";
/// The archive of ids to delete.
pub const DELETES: &str = "deletes.tranship";
const FORMAT: &str = "tranship delta";
const VERSION: u32 = 1;

/// The content of `DELTA.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaManifest {
    /// Always "tranship delta".
    pub format: String,
    /// Version of the format.
    pub version: u32,
    /// SHA-256 of this text with an empty digest.
    pub digest: String,
    /// The collection as it will be.
    pub schema: CollectionSchema,
    /// The set that it can be applied to.
    pub base: FingerprintSummary,
    /// The set that comes of it.
    pub result: FingerprintSummary,
    /// Records to write.
    pub upserts: DeltaPart,
    /// Ids to delete.
    pub deletes: DeltaPart,
}

/// One of the two archives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaPart {
    /// Records in it.
    pub records: u64,
    /// SHA-256 of its manifest.
    pub manifest: String,
}

/// A delta that has been opened.
#[derive(Debug, Clone)]
pub struct Delta {
    /// Its directory.
    pub path: PathBuf,
    /// What it says of itself.
    pub manifest: DeltaManifest,
}

impl DeltaManifest {
    /// A manifest without parts.
    pub fn new(schema: CollectionSchema, base: FingerprintSummary, result: FingerprintSummary) -> Self {
        DeltaManifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            digest: String::new(),
            schema,
            base,
            result,
            upserts: DeltaPart::default(),
            deletes: DeltaPart::default(),
        }
    }

    /// The canonical text, with the digest filled in.
    pub fn sealed(mut self) -> Result<String> {
        self.digest.clear();
        self.digest = sha256_bytes(self.text()?.as_bytes());
        self.text()
    }

    fn text(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::bug("cannot write a delta").caused_by(e))?;
        Ok(text + "\n")
    }
}

impl DeltaPart {
    /// The part that lies at `path`.
    pub fn of(path: &Path) -> Result<Self> {
        let archive = Archive::open(path)?;
        let manifest = sha256_file(&path.join(tranship_archive::MANIFEST))?.sha256;
        Ok(DeltaPart { records: archive.manifest().records, manifest })
    }
}

impl Delta {
    /// Opens a delta and proves that both of its archives are the ones it was made with.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(DELTA);
        if !file.is_file() {
            return Err(Error::damaged(format!(
                "{} has no {DELTA}: it is no delta, or one that was never finished",
                path.display()
            ))
            .hint("make it again: tranship diff A B --delta DELTA"));
        }
        let damaged =
            |what: &str| Error::damaged(what).with("file", file.display()).hint("restore it from another copy");
        let text = std::fs::read_to_string(&file).map_err(|e| StorageError::new("read", &file, e))?;
        let manifest: DeltaManifest =
            serde_json::from_str(&text).map_err(|e| damaged("the delta is not readable").caused_by(e))?;
        if manifest.format != FORMAT || manifest.version != VERSION {
            return Err(Error::not_recognised(format!("this is {} version {}", manifest.format, manifest.version))
                .with("file", file.display())
                .hint("use the tranship that wrote it"));
        }
        if manifest.clone().sealed()? != text {
            return Err(damaged("the delta was changed: it does not equal its own canonical text and digest"));
        }
        let delta = Delta { path: path.to_owned(), manifest };
        for (name, stated) in [(UPSERTS, &delta.manifest.upserts), (DELETES, &delta.manifest.deletes)] {
            if DeltaPart::of(&path.join(name))? != *stated {
                return Err(
                    damaged("an archive of the delta is not the one that it was made with").with("archive", name)
                );
            }
        }
        Ok(delta)
    }

    /// Refuses a base that the delta was not made for.
    pub fn check_base(&self, found: &FingerprintSummary) -> Result<()> {
        let manifest = &self.manifest;
        if *found == manifest.base {
            return Ok(());
        }
        let hint = match *found == manifest.result {
            true => "it has been applied already: this is its result",
            false => "apply it to the set that it was made from, or make a new one with `tranship diff`",
        };
        Err(Error::usage(format!("the delta is for the set {}, this is {}", manifest.base.digest, found.digest))
            .with("records of the base", manifest.base.records)
            .with("records found", found.records)
            .hint(hint))
    }
}

/// The schema that records of both sides fit into; an error where their vectors are others.
pub fn common_schema(a: &CollectionSchema, b: &CollectionSchema) -> Result<CollectionSchema> {
    let shape = |schema: &CollectionSchema| -> Vec<_> {
        schema.stored_vectors().map(|v| (v.name.clone(), v.kind, v.element, v.dim)).collect()
    };
    let (of_a, of_b) = (shape(a), shape(b));
    if of_a != of_b {
        let other = of_b.iter().find(|v| !of_a.contains(v)).or(of_a.iter().find(|v| !of_b.contains(v)));
        let name = other.map_or_else(String::new, |(name, ..)| tranship_collection::fault::vector_label(name));
        return Err(Error::usage(format!(
            "A and B do not have the same vectors: {name} is another, or only in one of them"
        ))
        .hint("a delta moves records between sets of one form; convert B as a whole"));
    }
    if let Some((x, _)) = a
        .vectors
        .iter()
        .filter_map(|x| Some((x, b.vector(&x.name)?)))
        .find(|(x, y)| x.metric.is_some() && y.metric.is_some() && x.metric != y.metric)
    {
        let label = tranship_collection::fault::vector_label(&x.name);
        return Err(Error::usage(format!("{label} has another metric in A than in B"))
            .hint("find out which is right; --metric says it for a side that declares none"));
    }
    let ids = if a.ids == b.ids { a.ids } else { IdKinds::Mixed };
    Ok(CollectionSchema { ids, namespaced: a.namespaced || b.namespaced, ..b.clone() })
}
