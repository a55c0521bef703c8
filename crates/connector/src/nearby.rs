//! What a user may have meant by a path that no connector recognises: a dump one level above or below it, one that is
//! still packed, or one that is too damaged to be recognised.
//!
//! Only names and first bytes are looked at, of at most [`MOST_ENTRIES`] entries of the directory and
//! [`MOST_LEVELS`] directories above. Errors of the file system mean that nothing was found.

use std::path::{Path, PathBuf};

use tranship_storage::Compression;

use crate::connector::{Connector, Registry, Score};

/// Entries of a directory that are looked at.
const MOST_ENTRIES: usize = 100;
/// Entries that are named.
const MOST_NAMED: usize = 4;
/// Directories above that are looked at.
const MOST_LEVELS: usize = 3;
/// A lower score says no more than that a name fits.
const FITS: Score = 50;
/// The score of a directory whose structure fits.
const SURE: Score = 90;

/// The next step for `path`, which nobody recognises.
pub fn next_step(registry: &Registry, path: &Path) -> String {
    if let Some(step) = below(registry, path) {
        return step;
    }
    let steps: Vec<String> = packed(path).into_iter().chain(above(registry, path)).collect();
    if steps.is_empty() { named(registry, path) } else { steps.join("; ") }
}

fn named(registry: &Registry, path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let ends = |extension: &&str| name.ends_with(&format!(".{extension}"));
    if let Some(likely) = registry.connectors.iter().find(|connector| connector.extensions.iter().any(&ends)) {
        return format!("to be told what is wrong with it, give {}:{}", likely.name, path.display());
    }
    let names: Vec<&str> = registry.connectors.iter().map(|connector| connector.name).collect();
    format!("name the format, as in {}:{}", names.join("|"), path.display())
}

fn below(registry: &Registry, path: &Path) -> Option<String> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path).ok()?.take(MOST_ENTRIES).filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    let found: Vec<String> = entries
        .iter()
        .filter_map(|entry| {
            Some(format!("{} ({})", entry.file_name()?.to_string_lossy(), best(registry, entry, FITS)?.name))
        })
        .collect();
    let more = if found.len() > MOST_NAMED { ", .." } else { "" };
    let named = found.get(..found.len().min(MOST_NAMED))?.join(", ");
    (!found.is_empty()).then(|| format!("give what lies in it: {named}{more}"))
}

fn above(registry: &Registry, path: &Path) -> Option<String> {
    let whole = std::path::absolute(path).ok()?;
    let mut directories = whole.ancestors().skip(1).take(MOST_LEVELS);
    directories.find_map(|directory| {
        let connector = best(registry, directory, SURE)?;
        Some(format!("if it is a part of the dump around it, give {}:{}", connector.name, directory.display()))
    })
}

fn packed(path: &Path) -> Option<String> {
    let tool = match Compression::of_file(path).ok()? {
        Compression::None => return None,
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    Some(format!("it is compressed: unpack it (`{tool} -d`, and `tar -x` if it is a tar), then give what was in it"))
}

fn best(registry: &Registry, path: &Path, least: Score) -> Option<&'static Connector> {
    let scored = registry.connectors.iter().filter_map(|connector| Some(((connector.probe)(path)?, *connector)));
    scored.max_by_key(|(score, _)| *score).filter(|(score, _)| *score >= least).map(|(_, connector)| connector)
}
