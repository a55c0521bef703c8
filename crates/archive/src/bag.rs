//! The BagIt files (RFC 8493): they let software that is not ours check the archive.
//!
//! `manifest-sha256.txt` lists everything below `data/`, `tagmanifest-sha256.txt` the other files but itself and
//! `MANIFEST.json`, which is written after it and may stay unlisted (section 2.2.1).

use crate::manifest::FileEntry;

/// Content of `bagit.txt`.
pub const BAGIT: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";

/// Content of `bag-info.txt` for these payload files.
pub fn info(payload: &[FileEntry]) -> String {
    let bytes: u64 = payload.iter().map(|file| file.bytes).sum();
    format!("Payload-Oxum: {bytes}.{}\n", payload.len())
}

/// Content of a bag manifest, sorted by path.
pub fn manifest(files: &[FileEntry]) -> String {
    let mut files: Vec<&FileEntry> = files.iter().collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect()
}
