//! The binary as a user runs it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::fixtures::root;

/// The built `tranship` binary.
pub struct Tranship;

/// What a run of the binary came to.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Tranship {
    /// The path of the binary: beside the test binary's own folder.
    pub fn path() -> PathBuf {
        let test = std::env::current_exe().expect("a test has a path");
        let binary = test.ancestors().nth(2).expect("target/release").join("tranship");
        assert!(binary.exists(), "{} is missing: build the workspace first", binary.display());
        binary
    }

    /// A command in the project's root, without progress.
    pub fn command() -> Command {
        let mut command = Command::new(Self::path());
        command.current_dir(root()).env("TRANSHIP_PROGRESS", "none");
        command
    }

    /// Runs it to the end.
    pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(Self::command().args(arguments).output().expect("tranship starts"))
    }
}

impl Ran {
    /// From a finished process.
    pub fn of(output: Output) -> Self {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The run, if it ended with `code`.
    ///
    /// # Panics
    /// If it ended otherwise.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as one JSON document.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not JSON ({e}):\n{}", self.stdout))
    }
}
