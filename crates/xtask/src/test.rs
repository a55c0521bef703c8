//! The one test command: everything that must hold before a change is merged.
//!
//! Invariant: phases run in order and the first that fails ends the command with its reason; nothing is skipped, so a missing tool is
//! a failure. Engines are made while the code is compiled. The time of each phase is printed at the end, pass or fail.

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::{Outcome, engines, layers, shell};

/// Runs all phases.
pub fn run() -> Outcome {
    let mut phases = Phases::default();
    let (outcome, total) = shell::timed(|| all_phases(&mut phases));
    phases.print(total, outcome.is_ok());
    outcome
}

fn all_phases(phases: &mut Phases) -> Outcome {
    phases.run("tools", tools_are_there)?;
    phases.run("format", || shell::run(&mut shell::cargo(&["fmt", "--all", "--check"])))?;
    phases.run("layers", layers::check)?;
    phases.run("build and engines", build_and_engines)?;
    phases.run("main job", main_job)?;
    phases.run("clippy", || {
        shell::run(&mut shell::cargo(&[
            "clippy",
            "--release",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]))
    })?;
    phases.run("tests", || shell::run(with_engines(&mut test_command())))?;
    phases.run("doc tests", || {
        shell::run(with_engines(&mut shell::cargo(&["test", "--release", "--workspace", "--doc"])))
    })
}

/// The README's first command, as it stands there, and the same for a directory of several collections. Exit 0 is READY TO LOAD.
fn main_job() -> Outcome {
    let fresh = shell::target_dir().join("main-job");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).map_err(|e| format!("cannot remove {}: {e}", fresh.display()))?;
    }
    std::fs::create_dir_all(&fresh).map_err(|e| format!("cannot create {}: {e}", fresh.display()))?;
    let unpack = r#"zstd -dc fixtures/chroma-1.5.9.tar.zst | tar x -C "$0""#;
    shell::run(Command::new("sh").arg("-c").arg(unpack).arg(&fresh).current_dir(shell::root()))?;
    let five = format!("chroma:{}", fresh.join("chroma-1.5.9").display());
    for (source, target, more) in
        [("chroma:fixtures/chroma-wordnet", "demo", None), (five.as_str(), "demo-all", Some("--all"))]
    {
        let target = format!("qdrant:{}", fresh.join(target).display());
        let mut arguments = vec!["run", "--release", "--", "migrate", source, &target];
        arguments.extend(more);
        shell::run(&mut shell::cargo(&arguments))?;
    }
    Ok(())
}

fn build_and_engines() -> Outcome {
    thread::scope(|scope| {
        let making = scope.spawn(|| engines::make_all(engines::FOR_TESTS));
        let built = shell::run(&mut shell::cargo(&["build", "--release", "--workspace", "--all-targets"]));
        let made = making.join().unwrap_or_else(|_| Err("engines: a thread panicked".to_owned()));
        built.and(made)
    })
}

/// nextest where it is installed, for its parallel runs; else what every toolchain has.
fn test_command() -> Command {
    if shell::succeeds(&mut shell::cargo(&["nextest", "--version"])) {
        return shell::cargo(&["nextest", "run", "--release", "--workspace"]);
    }
    shell::cargo(&["test", "--release", "--workspace", "--all-targets", "--no-fail-fast"])
}

fn with_engines(command: &mut Command) -> &mut Command {
    command.env("TRANSHIP_ENGINES", engines::directory())
}

fn tools_are_there() -> Outcome {
    for (component, arguments) in [("rustfmt", ["fmt", "--version"]), ("clippy", ["clippy", "--version"])] {
        if !shell::succeeds(&mut shell::cargo(&arguments)) {
            return Err(format!("{component} is missing: rustup component add {component}"));
        }
    }
    for tool in ["zstd", "tar", "strace", "curl"] {
        if !shell::succeeds(Command::new(tool).arg("--version")) {
            return Err(format!("{tool} is missing: install the package of that name"));
        }
    }
    Ok(())
}

/// Names and times of the phases so far.
#[derive(Default)]
struct Phases(Vec<(&'static str, Duration)>);

impl Phases {
    fn run(&mut self, name: &'static str, phase: impl FnOnce() -> Outcome) -> Outcome {
        println!("== {name}");
        let (outcome, took) = shell::timed(phase);
        self.0.push((name, took));
        outcome
    }

    fn print(&self, total: Duration, passed: bool) {
        println!("\n{:<20} {:>8}", "phase", "seconds");
        for (name, took) in &self.0 {
            println!("{name:<20} {:>8.1}", took.as_secs_f64());
        }
        println!("{:<20} {:>8.1}", "total", total.as_secs_f64());
        match self.0.last() {
            Some((name, _)) if !passed => println!("FAILED in: {name}"),
            _ => println!("PASSED"),
        }
    }
}
