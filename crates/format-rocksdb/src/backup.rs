//! A backup made by RocksDB's BackupEngine, seen as the directory that it was made from.
//!
//! ```text
//! meta/<n>:  [schema_version 2.x] | unix time | sequence number | [metadata <hex>] | number of files | one line per file:
//!            <path> [size <bytes>] crc32 <decimal>
//! private/<n>/CURRENT                    -> CURRENT
//! shared_checksum/000018_s7Q_9253.sst    -> 000018.sst      shared/000018.sst -> 000018.sst
//! ```
//! The newest backup counts. A file that it lists and that is not there is an error; private files are compared with
//! their CRC32C, tables with the size in their name (their blocks carry checksums of their own).

use tranship_connector::{Error, Result};
use tranship_storage::{Blob, Limits, Tree};

use crate::damaged;

/// The directory behind the newest backup in `tree`; `None` if there is no backup.
pub fn restored(tree: &Tree, limits: &Limits) -> Result<Option<Tree>> {
    let metas = tree.below("meta");
    let numbers = metas.iter().filter_map(|(name, _)| name.parse::<u64>().ok());
    let Some(newest) = numbers.max() else { return Ok(None) };
    let Some(meta) = metas.get(&newest.to_string()) else { return Ok(None) };
    let bytes = meta.read_all(limits.max_line_bytes as u64)?;
    let text = String::from_utf8(bytes).map_err(|_| damaged(meta.label(), 0, "the list of a backup is no text"))?;
    let mut restored = Tree::new(format!("{} (backup {newest})", tree.label()));
    for line in files(&text).ok_or_else(|| damaged(meta.label(), 0, "the list of a backup is incomplete"))? {
        let mut words = line.split(' ');
        let path = words.next().unwrap_or_default();
        let blob = tree.get(path).ok_or_else(|| missing(meta, path))?;
        check(blob, path, words)?;
        if !restored.insert(&original_name(path), blob.clone()) {
            return Err(damaged(meta.label(), 0, format_args!("the list of a backup names {path} twice")));
        }
    }
    Ok(Some(restored))
}

/// The lines that name files, if there are as many as the text says.
fn files(text: &str) -> Option<Vec<&str>> {
    let mut lines = text.lines().peekable();
    lines.next_if(|line| line.starts_with("schema_version "));
    lines.next()?.parse::<i64>().ok()?;
    lines.next()?.parse::<u64>().ok()?;
    lines.next_if(|line| line.starts_with("metadata "));
    let count: usize = lines.next()?.parse().ok()?;
    let files: Vec<&str> = lines.take_while(|line| !line.is_empty() && !line.starts_with("// ")).collect();
    (files.len() == count && text.ends_with('\n')).then_some(files)
}

/// Compares a file with what the backup says of it.
fn check<'a>(blob: &Blob, path: &str, words: impl Iterator<Item = &'a str>) -> Result<()> {
    let words: Vec<&str> = words.collect();
    let said = |key| words.windows(2).find_map(|pair| (pair[0] == key).then(|| pair[1].parse::<u64>().ok())).flatten();
    let size_in_name = path
        .strip_prefix("shared_checksum/")
        .and_then(|name| name.strip_suffix(".sst")?.rsplit_once('_')?.1.parse::<u64>().ok());
    if let Some(size) = said("size").or(size_in_name).filter(|size| *size != blob.len()) {
        let what = format_args!("{} bytes long, its backup says {size}", blob.len()).to_string();
        return Err(damaged(blob.label(), blob.len().min(size), what));
    }
    if let Some(crc) = said("crc32").filter(|_| path.starts_with("private/")) {
        let found = crc_of(blob)?;
        if u64::from(found) != crc {
            return Err(damaged(blob.label(), 0, format_args!("its CRC32C is {found}, its backup says {crc}")));
        }
    }
    Ok(())
}

fn crc_of(blob: &Blob) -> Result<u32> {
    let reader = blob.open()?;
    let (mut crc, mut at, mut piece) = (0, 0, vec![0; 1 << 20]);
    loop {
        let count = reader.read_at(at, &mut piece)?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else { return Ok(crc) };
        crc = crc32c::crc32c_append(crc, read);
        at += count as u64;
    }
}

/// `private/1/CURRENT` is `CURRENT`, `shared_checksum/000018_s7Q_9253.sst` is `000018.sst`.
fn original_name(path: &str) -> String {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    match name.strip_suffix(".sst").and_then(|stem| stem.split_once('_')) {
        Some((number, _)) => format!("{number}.sst"),
        None => name.to_owned(),
    }
}

fn missing(meta: &Blob, path: &str) -> Error {
    Error::damaged(format!("a RocksDB backup lists {path}, which is not there"))
        .with("file", meta.label())
        .hint("copy the whole backup again, or take a new snapshot")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_must_hold_as_many_files_as_it_says() {
        assert_eq!(files("1\n2\n1\nprivate/1/CURRENT crc32 7\n").unwrap().len(), 1);
        assert_eq!(files("schema_version 2.1\n1\n2\nmetadata ff\n1\na crc32 7\n").unwrap(), ["a crc32 7"]);
        assert!(files("1\n2\n2\nprivate/1/CURRENT crc32 7\n").is_none());
        assert!(files("1\n2\n1\nprivate/1/CURRENT crc32 7").is_none());
    }
}
