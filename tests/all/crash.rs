//! Killed at any point, a run goes on where it was and ends with the same bytes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::transfer::tree;
use tranship_testkit::{Random, Tranship};

use crate::support::{convert, locator};

/// A JSONL file that is cut into several splits when it is compressed (16 MiB each), so that there is much to resume.
fn input(dir: &Path) -> String {
    let lines = dir.join("in.jsonl.zst");
    let mut random = Random::new(5);
    let mut text = String::new();
    for row in 0..24_000 {
        let vector: Vec<String> = (0..192).map(|_| random.unit().to_string()).collect();
        text.push_str(&format!("{{\"id\":{row},\"vector\":[{}],\"metadata\":{{\"row\":{row}}}}}\n", vector.join(",")));
    }
    std::fs::write(&lines, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    locator("jsonl", &lines)
}

#[test]
fn killed_at_200_random_points_the_archive_is_the_same_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let source = input(dir.path());
    let whole = dir.path().join("whole.tranship");
    let started = Instant::now();
    convert(&source, &locator("archive", &whole), &[]);
    let duration = started.elapsed();
    let expected = tree(&whole);

    let mut random = Random::new(9);
    let (mut kills, mut rounds, mut resumed) = (0, 0, 0);
    while kills < 200 {
        let archive = dir.path().join(format!("round-{rounds}.tranship"));
        let target = locator("archive", &archive);
        // Up to five kills in a row before a run may end, then one that must.
        for _ in 0..5 {
            let mut child = Tranship::command()
                .args(["convert", &source, &target])
                .stderr(Stdio::null())
                .spawn()
                .expect("tranship starts");
            let wait = Duration::from_micros(random.below(duration.as_micros() as u64));
            std::thread::sleep(wait);
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
            }
            child.wait().unwrap();
            assert!(!archive.exists() || archive.join("MANIFEST.json").exists(), "a half archive has the final name");
            if archive.exists() {
                break;
            }
        }
        if !archive.exists() {
            let ran = Tranship::run(["convert", &source, &target]).expect(0);
            resumed += u32::from(!ran.stderr.contains("(0 resumed)"));
        }
        assert!(tree(&archive) == expected, "round {rounds} ended with other bytes");
        std::fs::remove_dir_all(&archive).unwrap();
        rounds += 1;
    }
    assert!(resumed > 5, "only {resumed} of {rounds} rounds had anything to resume");
}

#[test]
fn an_interrupted_bundle_goes_on_with_its_finished_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let source = input(dir.path());
    let (whole, bundle) = (dir.path().join("whole"), dir.path().join("bundle"));
    let metric = ["--metric", "l2", "--threads", "1"];
    convert(&source, &locator("qdrant", &whole), &metric);
    let target = locator("qdrant", &bundle);
    let mut child = Tranship::command().args(["convert", &source, &target]).args(metric).spawn().unwrap();
    while !dir.path().join("bundle.partial/job/split-00000.json").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let arguments = [&["convert", &source, &target], &metric[..]].concat();
    let ran = Tranship::run(arguments).expect(0);
    assert!(!ran.stderr.contains("(0 resumed)"), "{}", ran.stderr);
    assert!(tree(&bundle) == tree(&whole), "other bytes after resuming");
}

/// Fails the N-th write, sync or rename with an error of the system and expects a clear end and a resumable state.
#[test]
fn every_failing_system_call_ends_with_an_error_and_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let source = "chroma:fixtures/chroma-wordnet";
    let whole = dir.path().join("whole.tranship");
    convert(source, &locator("archive", &whole), &[]);
    let expected = tree(&whole);
    let mut points = 0;
    for (call, error) in [("fsync", "EIO"), ("rename", "EIO"), ("write", "ENOSPC"), ("openat", "ENOSPC")] {
        let mut quiet = 0;
        for nth in 1..400 {
            let archive = dir.path().join(format!("{call}-{nth}.tranship"));
            let inject = format!("inject={call}:error={error}:when={nth}");
            let out = Command::new("strace")
                .args(["-f", "-qq", "-e", &format!("trace={call}"), "-e", &inject, "-P"])
                .arg(dir.path())
                .args(watched(&archive))
                .arg("-o")
                .arg("/dev/null")
                .arg(Tranship::path())
                .args(["convert", source, &locator("archive", &archive)])
                .env("TRANSHIP_PROGRESS", "none")
                .current_dir(tranship_testkit::fixtures::root())
                .output()
                .expect("strace is installed");
            if out.status.success() {
                // Past the last call of this kind nothing is injected any more.
                assert!(tree(&archive) == expected, "{call} {nth}: success, but other bytes");
                quiet += 1;
                if quiet == 2 {
                    break;
                }
                continue;
            }
            points += 1;
            if !archive.exists() {
                Tranship::run(["convert", source, &locator("archive", &archive)]).expect(0);
            }
            assert!(tree(&archive) == expected, "{call} {nth}: other bytes after resuming");
            std::fs::remove_dir_all(&archive).unwrap();
        }
    }
    assert!(points > 30, "only {points} calls could be failed");
}

/// Every path that a run writes, for strace to watch: reads of libraries and of the source are not failed.
fn watched(archive: &Path) -> Vec<String> {
    let partial = format!("{}.partial", archive.display());
    let names = [
        "",
        "/data",
        "/job",
        "/job/plan.json",
        "/job/plan.json.tmp",
        "/job/split-00000.json",
        "/job/split-00000.json.tmp",
        "/job/split-00000.ids",
        "/job/split-00000.ids.tmp",
        "/job/split-00000.fingerprint",
        "/job/split-00000.fingerprint.tmp",
        "/data/part-00000.parquet",
        "/data/collection.json",
        "/fingerprint.bin",
        "/bagit.txt",
        "/bag-info.txt",
        "/manifest-sha256.txt",
        "/tagmanifest-sha256.txt",
        "/MANIFEST.json",
    ];
    let mut arguments: Vec<String> =
        names.iter().flat_map(|name| ["-P".to_owned(), format!("{partial}{name}")]).collect();
    arguments.extend(["-P".to_owned(), archive.display().to_string()]);
    arguments
}

#[test]
fn an_interrupt_ends_with_130_and_the_next_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let source = input(dir.path());
    let archive = dir.path().join("a.tranship");
    let target = locator("archive", &archive);
    let child = Tranship::command()
        .args(["convert", &source, &target, "--threads", "1"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let partial = dir.path().join("a.tranship.partial/job/split-00000.json");
    while !partial.exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130), "{}", String::from_utf8_lossy(&out.stderr));
    let ran = Tranship::run(["convert", &source, &target]).expect(0);
    assert!(!ran.stderr.contains("(0 resumed)"), "{}", ran.stderr);
}

#[test]
fn a_failed_run_with_nothing_finished_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("in.jsonl");
    std::fs::write(&lines, "{\"id\":\"a\",\"vector\":[1,2]}\n{\"id\":\"b\",\"vector\":[1]}\n").unwrap();
    for provider in ["archive", "jsonl", "parquet"] {
        Tranship::run(["convert", &locator("jsonl", &lines), &locator(provider, &dir.path().join("out"))]).expect(14);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "{provider} left something");
    }
}
