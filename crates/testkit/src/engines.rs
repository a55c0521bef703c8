//! Real engines as judges: the scripts of `tests/engines` in their pinned environments.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::fixtures::root;

/// Runs `tests/engines/SCRIPT` in the environment `name` and returns its standard output.
///
/// # Panics
/// If the environment is missing (`cargo xtask engines` makes it) or the script fails: a missing judge is a failed
/// test, never a skipped one.
pub fn run(name: &str, script: &str, arguments: &[&OsStr]) -> String {
    let engines = std::env::var_os("TRANSHIP_ENGINES").map_or_else(|| root().join("target/engines"), PathBuf::from);
    let python = engines.join(name).join("bin/python");
    assert!(python.exists(), "{} is missing: run `cargo xtask engines`", python.display());
    let script = root().join("tests/engines").join(script);
    let output = Command::new(python).arg(&script).args(arguments).output().expect("python starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?} failed:\n{stderr}", script.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
