//! Fixtures unpacked into directories that a test may change.

use std::path::{Path, PathBuf};
use std::process::Command;

use tranship_testkit::fixtures;

/// The storage directory inside an archive inside a fixture.
pub fn storage(fixture: &str, into: &Path) -> PathBuf {
    fixtures::unpack(fixture, into);
    let script = r#"zstd -dc --long=31 "$0"/*.tar.zst | tar xS -C "$0""#;
    let done = Command::new("sh").arg("-c").arg(script).arg(into).status();
    assert!(done.is_ok_and(|status| status.success()), "cannot unpack {fixture}");
    let holds_collections = |path: &PathBuf| {
        path.is_dir() && (path.join("collections").is_dir() || path.join("config.json").is_file() || has_shard(path))
    };
    let entries = std::fs::read_dir(into).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(holds_collections).expect("the archive holds a storage directory")
}

fn has_shard(path: &Path) -> bool {
    path.join("0/segments").is_dir()
}

/// The first file called `name` below `dir`.
pub fn find(dir: &Path, name: &str) -> PathBuf {
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        if let Some(found) = paths.iter().find(|path| path.is_file() && path.file_name().unwrap() == name) {
            return found.clone();
        }
        waiting.extend(paths.into_iter().filter(|path| path.is_dir()));
    }
    panic!("no {name} below {}", dir.display());
}
