//! Opens an archive and proves what can be proved without decoding.
//!
//! Level 0: the manifest is whole, every file that it lists is there with its size, and no other file is. Level 1:
//! every file has its SHA-256. Decoding is level 2 and belongs to `verify`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tranship_collection::{CollectionSchema, SetFingerprint};
use tranship_connector::{Error, Result};
use tranship_storage::durable::sha256_bytes;
use tranship_storage::{StorageError, sha256_file};

use crate::manifest::{MANIFEST, Manifest};

const COLLECTION: &str = "data/collection.json";

/// An archive whose manifest is whole.
#[derive(Debug, Clone)]
pub struct Archive {
    path: PathBuf,
    manifest: Manifest,
}

impl Archive {
    /// Reads the manifest. A directory without one is no archive, however it is called.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(MANIFEST);
        if !file.is_file() {
            return Err(Error::damaged(format!(
                "{} has no {MANIFEST}: it is no archive, or one that was never finished",
                path.display()
            ))
            .hint("if NAME.partial lies beside it, run the same convert again; else make the archive anew"));
        }
        let text = fs::read_to_string(&file).map_err(|e| StorageError::new("read", &file, e))?;
        let manifest = Manifest::parse(&text)
            .map_err(|e| e.with("file", file.display()).hint("restore the archive from another copy"))?;
        Ok(Archive { path: path.to_owned(), manifest })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The collection schema, after its file's SHA-256.
    pub fn schema(&self) -> Result<CollectionSchema> {
        let file = self.path.join(COLLECTION);
        let bytes = fs::read(&file).map_err(|e| StorageError::new("read", &file, e))?;
        let sha256 = sha256_bytes(&bytes);
        if !self.manifest.all_files().any(|(path, _, listed)| path == COLLECTION && listed == sha256) {
            return Err(Error::damaged("the collection schema does not have the SHA-256 of the manifest")
                .with("file", file.display())
                .hint("restore the archive from another copy"));
        }
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::damaged("the collection schema is not readable").with("file", file.display()).caused_by(e)
        })
    }

    /// The bucket table.
    pub fn fingerprint(&self) -> Result<SetFingerprint> {
        let file = self.path.join("fingerprint.bin");
        let bytes = fs::read(&file).map_err(|e| StorageError::new("read", &file, e))?;
        SetFingerprint::from_bytes(&bytes)
            .map_err(|fault| Error::damaged(fault.to_string()).with("file", file.display()))
    }

    /// Level 0: what is missing, has another size, or does not belong here. Empty if all is well.
    pub fn check_presence(&self) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        let mut listed = BTreeSet::from([PathBuf::from(MANIFEST)]);
        for (path, bytes, _) in self.manifest.all_files() {
            if !listed.insert(PathBuf::from(path)) {
                faults.push(format!("{path}: listed twice"));
            }
            match self.path.join(path).symlink_metadata() {
                Ok(metadata) if !metadata.is_file() => faults.push(format!("{path}: not a regular file")),
                Ok(metadata) if metadata.len() != bytes => {
                    faults.push(format!("{path}: {} bytes, the manifest says {bytes}", metadata.len()));
                }
                Ok(_) => {}
                Err(e) => faults.push(format!("{path}: {e}")),
            }
        }
        let mut found = Vec::new();
        files_below(&self.path, Path::new(""), &mut found)?;
        let extra = found.into_iter().filter(|path| !listed.contains(path));
        faults.extend(extra.map(|path| format!("{}: not in the manifest", path.display())));
        Ok(faults)
    }

    /// Level 1 for one file: the fault, if its SHA-256 is another.
    pub fn check_digest(&self, path: &str, sha256: &str) -> Result<Option<String>> {
        let found = sha256_file(&self.path.join(path))?.sha256;
        Ok((found != sha256).then(|| format!("{path}: its SHA-256 is {found}, the manifest says {sha256}")))
    }
}

fn files_below(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let dir = root.join(below);
    for entry in fs::read_dir(&dir).map_err(|e| StorageError::new("list", &dir, e))? {
        let entry = entry.map_err(|e| StorageError::new("list", &dir, e))?;
        let name = below.join(entry.file_name());
        if entry.file_type().map_err(|e| StorageError::new("inspect", &dir, e))?.is_dir() {
            files_below(root, &name, found)?;
        } else {
            found.push(name);
        }
    }
    found.sort();
    Ok(())
}
