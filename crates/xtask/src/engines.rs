//! Pinned Python environments under `target/engines/`, for tests against real engines and for peers of benchmarks.
//!
//! Invariant: an environment whose stamp equals its requirements file is complete; the stamp is written last, and a directory without
//! it is made anew. An environment that cannot be made is an error; no test is skipped for want of it.
//! Source: `tests/engines/requirements/<name>.txt`, every package pinned.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use crate::{Outcome, shell};

/// What the tests need.
pub const FOR_TESTS: &[&str] = &[
    "chroma",
    "postgres",
    "qdrant",
    "readers",
    "pyarrow-old",
    "faiss",
    "ann",
    "redis",
    "milvus-lite",
    "rocksdb",
    "bson",
    "embed",
];

/// Made only when named or with `--all`: the tests read stored dumps of the old engines.
const ON_REQUEST: &[&str] = &["chroma-0.5", "chroma-0.4", "bench", "bench-native"];

/// Installed as listed, without what packages ask for besides: one of them asks for PyTorch with CUDA and runs without.
const AS_LISTED: &[&str] = &["embed"];

/// The environment that installs the others.
const INSTALLER: &str = "uv";

/// Downloads wait for the network and unpacking for the disk: two at a time keep both busy on a small machine.
const AT_ONCE: usize = 2;

const STAMP: &str = "requirements.stamp";

/// `cargo xtask engines [NAME..|--all]`; without arguments those that the tests need.
pub fn make(arguments: &[String]) -> Outcome {
    let known: Vec<&str> = FOR_TESTS.iter().chain(ON_REQUEST).copied().collect();
    let chosen: Vec<&str> = match arguments {
        [] => FOR_TESTS.to_vec(),
        [all] if all == "--all" => known,
        names => {
            if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
                return Err(format!("engines: no environment {unknown:?}; there are {}", known.join(", ")));
            }
            names.iter().map(String::as_str).collect()
        }
    };
    make_all(&chosen)
}

/// Makes those of the named environments that are not there or not current.
pub fn make_all(names: &[&str]) -> Outcome {
    let (outcome, took) = shell::timed(|| {
        let waiting: Vec<&str> = names.iter().copied().filter(|name| !is_current(name)).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        check_python()?;
        let uv = installer();
        make_in_parallel(&waiting, uv.as_deref())
    });
    outcome?;
    println!("engines: {} environments current in {:.1} s: {}", names.len(), took.as_secs_f64(), names.join(", "));
    Ok(())
}

/// Directory of all environments; the tests know it as `TRANSHIP_ENGINES`.
pub fn directory() -> PathBuf {
    shell::target_dir().join("engines")
}

/// The Python of one environment.
pub fn python(name: &str) -> PathBuf {
    directory().join(name).join("bin").join("python")
}

fn make_in_parallel(names: &[&str], uv: Option<&Path>) -> Outcome {
    let waiting = Mutex::new(names.iter().rev().copied().collect::<Vec<_>>());
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(name) = locked(&waiting).pop() {
                    let (outcome, took) = shell::timed(|| make_one(name, uv));
                    match outcome {
                        Ok(()) => println!("engines: {name} made in {:.1} s", took.as_secs_f64()),
                        Err(reason) => locked(&failures).push(format!("engines: {name} cannot be made: {reason}")),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn make_one(name: &str, uv: Option<&Path>) -> Outcome {
    let Some(uv) = uv else {
        return make_with_pip(name);
    };
    make_with_uv(name, uv).or_else(|reason| {
        eprintln!("engines: uv failed on {name}, trying pip: {reason}");
        make_with_pip(name)
    })
}

fn make_with_uv(name: &str, uv: &Path) -> Outcome {
    let home = begin(name)?;
    // One cache for all environments: a package they share is downloaded once and hard-linked.
    let with_cache = |arguments: &[&str]| {
        let mut command = Command::new(uv);
        command.env("UV_CACHE_DIR", directory().join(".uv-cache")).args(arguments);
        command
    };
    shell::answer(with_cache(&["venv", "--quiet", "--python", "python3"]).arg(&home))?;
    let mut install = with_cache(&["pip", "install", "--quiet", "--python"]);
    shell::answer(install.arg(python(name)).args(dependencies(name)).arg("--requirement").arg(requirements(name)))?;
    finish(name)
}

fn dependencies(name: &str) -> &'static [&'static str] {
    if AS_LISTED.contains(&name) { &["--no-deps"] } else { &[] }
}

fn make_with_pip(name: &str) -> Outcome {
    let home = begin(name)?;
    shell::answer(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    let mut install = Command::new(python(name));
    install.args(["-m", "pip", "install", "--quiet"]).args(dependencies(name));
    shell::answer(install.arg("--requirement").arg(requirements(name)))?;
    finish(name)
}

/// uv makes environments about ten times as fast as pip; without it everything still works.
fn installer() -> Option<PathBuf> {
    if !is_current(INSTALLER)
        && let Err(reason) = make_with_pip(INSTALLER)
    {
        eprintln!("engines: uv cannot be installed, using pip: {reason}");
        return None;
    }
    Some(directory().join(INSTALLER).join("bin").join("uv"))
}

fn check_python() -> Outcome {
    let test = "import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))";
    if shell::succeeds(Command::new("python3").args(["-c", test])) {
        return Ok(());
    }
    Err("engines: python3 must be Python 3.11 or 3.12 (the pinned engines have wheels for both); install one and put it first in PATH".into())
}

/// Clears what an interrupted run may have left.
fn begin(name: &str) -> Result<PathBuf, String> {
    let home = directory().join(name);
    if home.exists() {
        fs::remove_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    }
    fs::create_dir_all(directory()).map_err(|error| format!("{}: {error}", directory().display()))?;
    Ok(home)
}

fn finish(name: &str) -> Outcome {
    let stamp = directory().join(name).join(STAMP);
    fs::copy(requirements(name), &stamp).map(drop).map_err(|error| format!("{}: {error}", stamp.display()))
}

fn is_current(name: &str) -> bool {
    let stamp = fs::read(directory().join(name).join(STAMP));
    let wanted = fs::read(requirements(name));
    // A Python that was upgraded or moved leaves an environment that no longer starts.
    matches!((stamp, wanted), (Ok(stamp), Ok(wanted)) if stamp == wanted)
        && shell::succeeds(Command::new(python(name)).args(["-c", ""]))
}

fn requirements(name: &str) -> PathBuf {
    shell::root().join("tests/engines/requirements").join(format!("{name}.txt"))
}
