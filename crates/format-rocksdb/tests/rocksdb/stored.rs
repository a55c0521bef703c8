//! Databases inside stored dumps of Qdrant: a live directory that was killed, and backups.

use std::path::Path;
use std::process::Command;

use tranship_testkit::fixtures;

use crate::{check_gets, content, open};

/// Unpacks every archive below `dir` beside itself, nested ones too.
pub fn unpack_all(dir: &Path) {
    let script = r#"set -e
        find "$0" -name '*.tar.zst' | while read f; do mkdir "$f.d"; zstd -dc "$f" | tar xS -C "$f.d"; done
        find "$0" -name '*.snapshot' | while read f; do mkdir "$f.d"; tar xSf "$f" -C "$f.d"; done
        find "$0" -name '*.tar' | while read f; do mkdir "$f.d"; tar xSf "$f" -C "$f.d"; done"#;
    assert!(Command::new("sh").arg("-c").arg(script).arg(dir).status().unwrap().success());
}

/// Directories below `dir` for which `is_database` holds, in order.
pub fn databases(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        if dir.join("CURRENT").exists() && !dir.parent().unwrap().ends_with("private") || dir.join("meta/1").exists() {
            found.push(dir.clone());
        }
        let entries = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        waiting.extend(entries.filter(|path| path.is_dir()));
    }
    found.sort();
    found
}

/// Mapped points and rows in all families of all databases of a dump, `payload_index` included.
fn counted(name: &str) -> (usize, usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    fixtures::unpack(name, dir.path());
    unpack_all(dir.path());
    let (mut mapped, mut rows) = (0, 0);
    let found = databases(dir.path());
    for path in &found {
        let database = open(path).unwrap_or_else(|error| panic!("{error}"));
        let content = content(&database).unwrap_or_else(|error| panic!("{error}"));
        check_gets(&database, &content);
        mapped += content.get("mapping").map_or(0, |pairs| pairs.len());
        rows += content.values().map(|pairs| pairs.len()).sum::<usize>();
    }
    (found.len(), mapped, rows)
}

#[test]
fn every_database_in_the_stored_dumps_is_read_to_the_last_key() {
    assert_eq!(counted("qdrant-1.10-crash_storage"), (12, 2220, 10960));
    assert_eq!(counted("qdrant-1.10-u8_euclid"), (4, 993, 3980));
    assert_eq!(counted("qdrant-1.11-hot_race"), (4, 402, 12317));
    assert_eq!(counted("qdrant-1.13-dense_cos"), (8, 360, 15984));
}
