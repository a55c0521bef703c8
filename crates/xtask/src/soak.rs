//! Fuzzes the readers: builds `tests/fuzz` with a nightly toolchain and runs its targets one after the other.
//!
//! Invariant: a finding, be it a panic, an allocation beyond [`MEMORY_MB`] or an input that takes longer than
//! [`SECONDS_PER_INPUT`], ends the chore with a failure; the input is kept under `target/fuzz`. Inputs that reach new
//! code are kept there as well; `--keep` merges the smallest set of them into `tests/fuzz/corpus`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, shell};

const MEMORY_MB: u32 = 512;
const SECONDS_PER_INPUT: u32 = 20;
const DEFAULT_SECONDS: u32 = 60;
/// The instrumentation that libFuzzer needs, as cargo-fuzz sets it. The address sanitiser lets it see allocations.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Zsanitizer=address -Ccodegen-units=1";

struct Options {
    seconds: u32,
    keep: bool,
    targets: Vec<String>,
}

/// Runs the chore.
pub fn run(arguments: &[String]) -> Outcome {
    let options = parse(arguments)?;
    let corpus = shell::root().join("tests/fuzz/corpus");
    let targets = if options.targets.is_empty() { all_targets(&corpus)? } else { options.targets.clone() };
    if let Some(unknown) = targets.iter().find(|target| !corpus.join(target).is_dir()) {
        return Err(format!("there is no target {unknown:?}; the targets are {}", all_targets(&corpus)?.join(", ")));
    }
    let binary = build()?;
    let mut failed = Vec::new();
    for target in &targets {
        if let Err(reason) = fuzz(&binary, target, &corpus.join(target), &options) {
            eprintln!("{target}: {reason}");
            failed.push(target.as_str());
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("findings in {}; the inputs lie under {}", failed.join(", "), results().display())),
    }
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options { seconds: DEFAULT_SECONDS, keep: false, targets: Vec::new() };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--keep" => options.keep = true,
            "--seconds" => {
                let number = words.next().and_then(|number| number.parse().ok());
                options.seconds = number.ok_or("--seconds needs a number")?;
            }
            flag if flag.starts_with('-') => return Err(format!("soak has no option {flag}")),
            target => options.targets.push(target.to_owned()),
        }
    }
    Ok(options)
}

/// The targets are those that have a corpus; the test `fuzz_corpus` holds the two lists against each other.
fn all_targets(corpus: &Path) -> Result<Vec<String>, String> {
    let listed = fs::read_dir(corpus).map_err(|error| format!("{}: {error}", corpus.display()))?;
    let mut names: Vec<String> =
        listed.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort();
    Ok(names)
}

fn results() -> PathBuf {
    shell::target_dir().join("fuzz")
}

fn build() -> Result<PathBuf, String> {
    let triple = shell::answer(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "host-tuple"]))
        .map_err(|reason| format!("{reason}\nthe fuzzer needs `rustup toolchain install nightly`"))?;
    let (triple, build) = (triple.trim(), results().join("build"));
    shell::run(
        Command::new("rustup")
            .args(["run", "nightly", "cargo", "build", "--release", "--target", triple])
            .current_dir(shell::root().join("tests/fuzz"))
            .env("CARGO_TARGET_DIR", &build)
            .env("RUSTFLAGS", INSTRUMENTATION),
    )?;
    Ok(build.join(triple).join("release/read"))
}

fn fuzz(binary: &Path, target: &str, corpus: &Path, options: &Options) -> Outcome {
    let found = results().join("found").join(target);
    let scratch = scratch(target);
    for dir in [&found, &scratch] {
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    let ran = |command: &mut Command| {
        let target = command.env("TRANSHIP_FUZZ_TARGET", target).env("TMPDIR", &scratch).current_dir(&scratch);
        shell::run(target.arg(format!("-rss_limit_mb={}", 4 * MEMORY_MB)).arg(format!("-malloc_limit_mb={MEMORY_MB}")))
    };
    println!("{target}: {} seconds", options.seconds);
    let outcome = ran(Command::new(binary)
        .args([&found, corpus])
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-timeout={SECONDS_PER_INPUT}"))
        .arg(format!("-artifact_prefix={}/{target}-", results().display()))
        .args(["-print_final_stats=1", "-detect_leaks=0", "-verbosity=0"]));
    let kept = match (&outcome, options.keep) {
        (Ok(()), true) => ran(Command::new(binary).arg("-merge=1").args([corpus, &found]).arg("-detect_leaks=0")),
        _ => Ok(()),
    };
    let removed = fs::remove_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()));
    outcome.and(kept).and(removed)
}

/// Where the inputs become files: in memory, where the system offers that.
fn scratch(target: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    parent.join(format!("tranship-soak-{}-{target}", std::process::id()))
}
