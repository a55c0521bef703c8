//! Fuzzes the readers: builds `tests/fuzz` with a nightly toolchain and runs its targets one after the other.
//!
//! Seconds are those of the processor, so that a run beside other work means as much as one on an idle machine. Invariant: a finding, be it a panic, an allocation beyond [`MEMORY_MB`] or an input that takes longer than
//! [`SECONDS_PER_INPUT`], ends the chore with a failure; the input is kept under `target/fuzz`. Inputs that reach new
//! code are kept there as well; `--keep` merges the smallest set of them into `tests/fuzz/corpus`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

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
    println!("{target}: {} seconds", options.seconds);
    let mut fuzzer = limited(binary, target, &scratch);
    fuzzer.arg(&found).arg(corpus).args(["-print_final_stats=1", "-verbosity=0"]);
    fuzzer.arg(format!("-timeout={SECONDS_PER_INPUT}"));
    fuzzer.arg(format!("-artifact_prefix={}/{target}-", results().display()));
    let outcome = run_for(f64::from(options.seconds), &mut fuzzer);
    let kept = match (&outcome, options.keep) {
        (Ok(()), true) => shell::run(limited(binary, target, &scratch).arg("-merge=1").arg(corpus).arg(&found)),
        _ => Ok(()),
    };
    let removed = fs::remove_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()));
    outcome.and(kept).and(removed)
}

/// The fuzzer on one target, under its limits.
fn limited(binary: &Path, target: &str, scratch: &Path) -> Command {
    let mut command = Command::new(binary);
    // SQLite's C code stands in two objects of the instrumented build, which is no finding.
    command.env("ASAN_OPTIONS", "detect_odr_violation=0");
    command.env("TRANSHIP_FUZZ_TARGET", target).env("TMPDIR", scratch).current_dir(scratch).arg("-detect_leaks=0");
    command.arg(format!("-rss_limit_mb={}", 4 * MEMORY_MB)).arg(format!("-malloc_limit_mb={MEMORY_MB}"));
    command
}

/// Runs until so many seconds of the processor are used, then asks for a graceful end; an earlier end is a finding.
fn run_for(seconds: f64, command: &mut Command) -> Outcome {
    let failed = |error| format!("the fuzzer cannot be watched: {error}");
    let mut child = command.spawn().map_err(failed)?;
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return if asked && status.success() { Ok(()) } else { Err(format!("the fuzzer ended with {status}")) };
        }
        if !asked && processor_seconds(child.id()).is_some_and(|used| used >= seconds) {
            asked = true;
            shell::run(Command::new("kill").args(["-USR1", &child.id().to_string()]))?;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`: ticks in user and system mode, 100 a second on Linux.
fn processor_seconds(process: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let ticks = text.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    Some(ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0)
}

/// Where the inputs become files: in memory, where the system offers that.
fn scratch(target: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    parent.join(format!("tranship-soak-{}-{target}", std::process::id()))
}
