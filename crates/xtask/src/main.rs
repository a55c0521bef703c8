//! The project's own chores, run as `cargo xtask <chore>` from anywhere in the checkout.
//!
//! Invariant: a chore either did everything it names or ends with a non-zero exit code and says on stderr what failed; nothing is
//! skipped in silence. Chores may create files and directories, but only under `target/` and, when asked, `docs/`.

// The rule that only crate `storage` creates files is about the toolkit's data, not about chores.
#![allow(clippy::disallowed_methods)]

mod bench;
mod engines;
mod layers;
mod licences;
mod metadata;
mod shell;
mod soak;
mod sources;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <chore>

chores:
  layers                 check crate floors, banned crates, licences and source rules
  engines [NAME..|--all] make the pinned Python environments under target/engines/
  test                   everything that must pass: format, layers, engines, build, clippy, tests
  bench [NAME] [--rows N] [--write]
                         run the benchmarks beside their peers; --write renews docs/benchmarks.md
  soak [--seconds N] [--keep] [TARGET..]
                         fuzz the readers, N processor-seconds each (60); --keep adds what was found to tests/fuzz/corpus
";

/// What a chore ends with: a reason to show, with the next step in it.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome {
    let Some((chore, rest)) = arguments.split_first() else {
        return Err(format!("name a chore\n\n{USAGE}"));
    };
    match chore.as_str() {
        "layers" => no_arguments(chore, rest).and_then(|()| layers::check()),
        "engines" => engines::make(rest),
        "test" => no_arguments(chore, rest).and_then(|()| test::run()),
        "bench" => bench::run(rest),
        "soak" => soak::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown chore {chore:?}\n\n{USAGE}")),
    }
}

fn no_arguments(chore: &str, rest: &[String]) -> Outcome {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(format!("{chore} takes no arguments, found {extra:?}\n\n{USAGE}")),
    }
}
