//! The stored dumps of `fixtures/`, and their truth.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the project has a root")
}

/// A path below `fixtures/`.
pub fn path(name: &str) -> PathBuf {
    root().join("fixtures").join(name)
}

/// A Chroma directory of `version` below `into`, copied or unpacked so that a test may do with it what it likes.
/// Versions: `0.4.24`, `0.5.23`, `1.5.9`, `wordnet`.
pub fn chroma(version: &str, into: &Path) -> PathBuf {
    let name = format!("chroma-{version}");
    let plain = path(&name);
    if plain.is_dir() {
        let done = Command::new("cp").arg("-r").arg(&plain).arg(into).status();
        assert!(done.is_ok_and(|status| status.success()), "cannot make a copy of {name}");
    } else {
        unpack(&name, into);
    }
    into.join(name)
}

/// Unpacks `fixtures/NAME.tar.zst` into `into`, where a test may do with the files what it likes.
///
/// # Panics
/// If there is no such fixture.
pub fn unpack(name: &str, into: &Path) {
    unpack_file(&path(&format!("{name}.tar.zst")), into);
}

fn unpack_inner(home: &Path) {
    for entry in std::fs::read_dir(home).expect("the fixture is a directory") {
        let archive = entry.expect("the fixture can be listed").path();
        if let Some(stem) = archive.to_string_lossy().strip_suffix(".tar.zst") {
            std::fs::create_dir(stem).expect("target can be written");
            unpack_file(&archive, Path::new(stem));
        }
    }
}

fn unpack_file(archive: &Path, into: &Path) {
    let done =
        Command::new("sh").arg("-c").arg(r#"zstd -dc --long=31 "$0" | tar x -C "$1""#).arg(archive).arg(into).status();
    assert!(done.is_ok_and(|status| status.success()), "cannot unpack {}", archive.display());
}

/// `fixtures/NAME.tar.zst` unpacked below `target/fixtures`, once for all tests: to be read, never written to. An
/// archive `X.tar.zst` inside is unpacked as well, into `X/` beside it.
///
/// # Panics
/// If there is no such fixture.
pub fn shared(name: &str) -> PathBuf {
    let bytes = path(&format!("{name}.tar.zst")).metadata().unwrap_or_else(|e| panic!("{name}: {e}")).len();
    let parent = root().join("target/fixtures");
    let home = parent.join(format!("{name}-{bytes}"));
    if !home.is_dir() {
        std::fs::create_dir_all(&parent).expect("target can be written");
        let fresh = tempfile::tempdir_in(&parent).expect("target can be written");
        unpack(name, fresh.path());
        unpack_inner(fresh.path());
        // Another process may have been faster; then there is nothing to be done.
        if std::fs::rename(fresh.path(), &home).is_ok() {
            let _moved = fresh.keep();
        }
    }
    assert!(home.is_dir(), "{} cannot be made", home.display());
    home
}

/// The directory of five collections that Chroma 1.5.9 wrote, to be read only.
pub fn five_collections() -> PathBuf {
    shared("chroma-1.5.9").join("chroma-1.5.9")
}

/// The truth of a Chroma fixture: one JSON object per live record, in the order of the engine's answer.
pub fn chroma_truth(version: &str, unpacked: &Path) -> Vec<serde_json::Value> {
    let stored = path(&format!("chroma-{version}.truth.jsonl.zst"));
    if stored.is_file() {
        let file = std::fs::File::open(stored).expect("the truth is there");
        return lines(BufReader::new(zstd::Decoder::new(file).expect("the truth is zstd")));
    }
    let beside = unpacked.with_file_name(format!("chroma-{version}.truth.jsonl"));
    lines(BufReader::new(std::fs::File::open(beside).expect("the truth lies beside the dump")))
}

/// The objects of a JSONL file.
pub fn jsonl(path: &Path) -> Vec<serde_json::Value> {
    lines(BufReader::new(std::fs::File::open(path).expect("the file is there")))
}

fn lines(reader: impl BufRead) -> Vec<serde_json::Value> {
    reader.lines().map(|line| serde_json::from_str(&line.expect("lines are UTF-8")).expect("lines are JSON")).collect()
}
