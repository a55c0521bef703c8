//! Benchmarks beside their peers: prepares the environment and the binary, then leaves the measuring to `benches/run.py`.
//!
//! Invariant: figures are of the release binary of this checkout. Errors: whatever fails below is the chore's failure.

use std::path::PathBuf;
use std::process::Command;

use crate::{Outcome, engines, shell};

const ENVIRONMENT: &str = "bench";
/// The vendors' own libraries.
const NATIVE: &str = "bench-native";
/// hnswlib.
const ANN: &str = "ann";

/// `cargo xtask bench [NAME] [--rows N] [--write]`; the arguments are those of `benches/run.py`.
pub fn run(arguments: &[String]) -> Outcome {
    engines::make_all(&[ENVIRONMENT, NATIVE, ANN])?;
    shell::run(&mut shell::cargo(&["build", "--release", "--bin", "tranship"]))?;
    shell::run(&mut shell::cargo(&["build", "--release", "--workspace", "--example", "searches"]))?;
    let mut harness = Command::new(engines::python(ENVIRONMENT));
    harness.current_dir(shell::root()).arg("benches/run.py").arg("--tranship").arg(binary());
    harness.arg("--native").arg(engines::python(NATIVE)).arg("--ann").arg(engines::python(ANN));
    shell::run(harness.arg("--work").arg(shell::target_dir().join("bench")).args(arguments))
}

fn binary() -> PathBuf {
    shell::target_dir().join("release").join("tranship")
}
