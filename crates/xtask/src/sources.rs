//! Rules about source text that no lint knows.
//!
//! Invariants: every `crates/*/src/**/*.rs` begins with `//!`; the unsafe lint is switched off only in crate `kernels` and in
//! `crates/storage/src/map.rs`; every crate takes the lints of the workspace. A rule broken is one line naming the file.

use std::fs;
use std::path::{Path, PathBuf};

/// Where unsafe code may be allowed, relative to the root of the checkout; a name ending in `/` is a whole folder.
const UNSAFE_HOMES: &[&str] = &["crates/kernels/", "crates/storage/src/map.rs"];

/// Spelled in two halves so that this file does not accuse itself.
const UNSAFE_LINT: &str = concat!("unsafe", "_code");

/// Every broken rule in the checkout at `root`, in the order of file names.
pub fn broken_rules(root: &Path) -> Result<Vec<String>, String> {
    let mut broken = Vec::new();
    for folder in entries(&root.join("crates"))? {
        let manifest = folder.join("Cargo.toml");
        if manifest.is_file() && !takes_workspace_lints(&read(&manifest)?) {
            broken.push(format!("{}: needs [lints] workspace = true", relative(root, &manifest)));
        }
        for file in rust_files(&folder)? {
            broken.extend(broken_in(&relative(root, &file), &read(&file)?));
        }
    }
    Ok(broken)
}

/// Rules broken by one file; `name` is its path from the root of the checkout.
fn broken_in(name: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let is_source = name.split('/').nth(2) == Some("src");
    if is_source && !text.starts_with("//!") {
        broken.push(format!("{name}: must begin with //! saying what the module is"));
    }
    if !may_be_unsafe(name) {
        let allowing = text.lines().enumerate().filter(|(_, line)| allows_unsafe(line));
        broken.extend(
            allowing.map(|(at, _)| format!("{name}:{}: unsafe code is allowed only in {UNSAFE_HOMES:?}", at + 1)),
        );
    }
    broken
}

fn may_be_unsafe(name: &str) -> bool {
    UNSAFE_HOMES.iter().any(|home| if home.ends_with('/') { name.starts_with(home) } else { name == *home })
}

/// Code, not a comment, that names the lint in order to weaken it; an attribute may span lines.
fn allows_unsafe(line: &str) -> bool {
    let code = line.trim_start();
    code.contains(UNSAFE_LINT) && !code.starts_with("//") && !code.contains("deny") && !code.contains("forbid")
}

fn takes_workspace_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines.find(|line| !line.is_empty()) == Some("workspace = true")
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let listed = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths: Result<Vec<PathBuf>, _> = listed.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|error| format!("{}: {error}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_file_begins_with_its_module_comment() {
        assert!(broken_in("crates/a/src/lib.rs", "//! What it is.\n").is_empty());
        assert_eq!(broken_in("crates/a/src/deep/x.rs", "use std::fs;\n").len(), 1);
        assert!(broken_in("crates/a/tests/x.rs", "use std::fs;\n").is_empty());
    }

    #[test]
    fn unsafe_is_allowed_only_in_its_homes() {
        let text = format!("//! x\n#[allow(\n    {UNSAFE_LINT}\n)]\nfn f() {{}}\n");
        assert_eq!(broken_in("crates/archive/src/lib.rs", &text).len(), 1);
        assert_eq!(broken_in("crates/storage/src/other.rs", &text).len(), 1);
        assert!(broken_in("crates/storage/src/map.rs", &text).is_empty());
        assert!(broken_in("crates/kernels/src/scan/wide.rs", &text).is_empty());
        assert!(broken_in("crates/archive/src/lib.rs", &format!("//! x\n#![forbid({UNSAFE_LINT})]\n")).is_empty());
    }

    #[test]
    fn a_crate_takes_the_lints_of_the_workspace() {
        assert!(takes_workspace_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(!takes_workspace_lints("[package]\nname = \"a\"\n"));
        assert!(!takes_workspace_lints("[lints]\nrust.dead_code = \"allow\"\n"));
    }
}
