//! The command line's promises: exit codes, messages with a next step, data on standard output only.

use std::io::Write;
use std::process::Stdio;

use tranship_testkit::{Tranship, fixtures};

use crate::support::locator;

/// Exit code and standard error of a conversion of `text` as JSON lines.
fn convert_text(text: &[u8]) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("in.jsonl");
    std::fs::write(&lines, text).unwrap();
    let ran =
        Tranship::run(["convert", &locator("jsonl", &lines), &locator("archive", &dir.path().join("out.tranship"))]);
    assert!(ran.code == Some(0) || !dir.path().join("out.tranship").exists(), "a failed run left an output");
    (ran.code.unwrap(), ran.stderr.replace(&dir.path().display().to_string(), "DIR"))
}

#[test]
fn bad_records_end_the_run_with_their_place_and_the_next_step() {
    let good = "{\"id\":\"a\",\"vector\":[1,2]}\n";
    let deep = format!(
        "{good}{{\"id\":\"b\",\"vector\":[1,2],\"metadata\":{}1{}}}\n",
        "{\"a\":".repeat(10_000),
        "}".repeat(10_000)
    );
    let cases: [(&str, String, i32, &str); 7] = [
        ("wrong dim", format!("{good}{{\"id\":\"b\",\"vector\":[1,2,3]}}\n"), 14, "3 dimensions"),
        ("NaN", format!("{good}{{\"id\":\"b\",\"vector\":[1,NaN]}}\n"), 14, "not a finite f32"),
        ("overflow", format!("{good}{{\"id\":\"b\",\"vector\":[1,1e39]}}\n"), 14, "not a finite f32"),
        ("duplicate id", format!("{good}{good}"), 11, "same id"),
        ("deep nesting", deep, 14, "nest"),
        (
            "duplicate key",
            format!("{good}{{\"id\":\"b\",\"vector\":[1,2],\"metadata\":{{\"k\":1,\"k\":2}}}}\n"),
            14,
            "duplicate",
        ),
        ("cut line", format!("{good}{{\"id\":\"b\",\"vec"), 11, "line"),
    ];
    for (name, text, code, part) in cases {
        let (found, stderr) = convert_text(text.as_bytes());
        assert_eq!(found, code, "{name}: {stderr}");
        assert!(stderr.starts_with("error[TS"), "{name}: {stderr}");
        assert!(stderr.to_lowercase().contains(&part.to_lowercase()), "{name}: {stderr}");
        assert!(stderr.contains("next:"), "{name}: {stderr}");
    }
}

#[test]
fn rejects_within_the_budget_are_set_aside_with_place_and_reason() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("in.jsonl");
    std::fs::write(
        &lines,
        "{\"id\":\"a\",\"vector\":[1,2]}\n{\"id\":\"b\",\"vector\":[1]}\n{\"id\":\"c\",\"vector\":[3,4]}\n",
    )
    .unwrap();
    let archive = dir.path().join("out.tranship");
    let ran = Tranship::run([
        "convert",
        &locator("jsonl", &lines),
        &locator("archive", &archive),
        "--max-rejects",
        "1",
        "--json",
    ]);
    let report = ran.expect(0).json();
    assert_eq!((report["records"].as_u64(), report["rejected"].as_u64()), (Some(2), Some(1)));
    let rejects = zstd::decode_all(std::fs::File::open(archive.join("data/rejects-00000.jsonl.zst")).unwrap()).unwrap();
    let reject: serde_json::Value = serde_json::from_slice(&rejects).unwrap();
    assert_eq!(reject["id"], "b");
    assert!(reject["reason"].as_str().unwrap().contains("1 dimensions"), "{reject}");
    Tranship::run(["verify", archive.to_str().unwrap()]).expect(0);
}

#[test]
fn json_lines_go_through_pipes_and_compression_without_changing_a_value() {
    let dir = tempfile::tempdir().unwrap();
    let gz = dir.path().join("w.jsonl.gz");
    let zst = dir.path().join("w.jsonl.zst");
    for target in [&gz, &zst] {
        Tranship::run(["convert", "chroma:fixtures/chroma-wordnet", &locator("jsonl", target)]).expect(0);
        Tranship::run(["verify", "chroma:fixtures/chroma-wordnet", &locator("jsonl", target)]).expect(0);
    }
    let streamed = Tranship::command().args(["convert", "chroma:fixtures/chroma-wordnet", "jsonl:-"]).output().unwrap();
    assert!(streamed.status.success());
    let archive = dir.path().join("piped.tranship");
    let mut child = Tranship::command()
        .args(["convert", "jsonl:-", &locator("archive", &archive)])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&streamed.stdout).unwrap();
    assert!(child.wait().unwrap().success());
    Tranship::run(["verify", "chroma:fixtures/chroma-wordnet", &locator("archive", &archive)]).expect(0);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let out = std::process::Command::new("bash")
        .args([
            "-c",
            "\"$0\" convert chroma:fixtures/chroma-wordnet jsonl:- | head -c 1000 >/dev/null; exit ${PIPESTATUS[0]}",
        ])
        .arg(Tranship::path())
        .current_dir(fixtures::root())
        .env("TRANSHIP_PROGRESS", "none")
        .output()
        .unwrap();
    assert!(out.status.success());
    assert!(!String::from_utf8_lossy(&out.stderr).contains("error["), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn what_nobody_recognises_or_is_not_there_has_its_own_exit_code_and_hint() {
    let dir = tempfile::tempdir().unwrap();
    let ran = Tranship::run(["inspect", dir.path().to_str().unwrap()]).expect(10);
    assert!(ran.stderr.contains("next:"), "{}", ran.stderr);
    for path in [
        "/nowhere/at/all",
        "qdrant:/nowhere/at/all",
        "archive:/nowhere/at/all",
        "chroma:/nowhere/at/all",
        "jsonl:/nowhere/at/all",
    ] {
        Tranship::run(["inspect", path]).expect(22);
    }
    let unknown = Tranship::run(["inspect", "chromma:db"]).expect(2);
    assert!(unknown.stderr.contains("no connector `chromma`"), "{}", unknown.stderr);
    Tranship::run(["inspect"]).expect(2);
    Tranship::run(["migrate", "chroma:fixtures/chroma-wordnet", "no-provider"]).expect(2);
    let several = Tranship::run([
        "convert",
        &locator("chroma", &fixtures::five_collections()),
        &locator("archive", &dir.path().join("x")),
    ])
    .expect(2);
    assert!(several.stderr.contains("cos64") && several.stderr.contains("--collection"), "{}", several.stderr);
    let old = dir.path().join("old");
    std::fs::create_dir(&old).unwrap();
    std::fs::write(old.join("chroma-embeddings.parquet"), "PAR1").unwrap();
    std::fs::write(old.join("chroma-collections.parquet"), "PAR1").unwrap();
    let ran = Tranship::run(["inspect", old.to_str().unwrap()]).expect(10);
    assert!(ran.stderr.contains("0.3"), "{}", ran.stderr);
}

#[test]
fn the_support_matrix_in_the_docs_is_the_one_of_this_build() {
    let ran = Tranship::run(["connectors", "--markdown"]).expect(0);
    let docs = std::fs::read_to_string(fixtures::root().join("docs/providers.md")).unwrap();
    assert!(
        docs.contains(&ran.stdout),
        "docs/providers.md is stale: paste the output of `tranship connectors --markdown`"
    );
}

#[test]
fn each_of_two_sources_has_its_own_connector_options() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("a.jsonl");
    std::fs::write(&lines, "{\"id\":\"a\",\"vector\":[1,2]}\n").unwrap();
    let lines = locator("jsonl", &lines);
    for flag in ["-o", "--option-b"] {
        let ran = Tranship::run(["verify", &lines, &lines, flag, "colour=blue"]).expect(2);
        assert!(ran.stderr.contains("no option `colour`"), "{}", ran.stderr);
    }
    Tranship::run(["verify", &lines, "--option-b", "colour=blue"]).expect(2);
    let matrix = Tranship::run(["connectors", "--json"]).expect(0).json();
    for row in matrix.as_array().unwrap() {
        assert!(!row["covers"].as_array().unwrap().is_empty(), "{} does not say what it covers", row["name"]);
        assert!(row["options"].is_array());
    }
}

#[test]
fn a_plan_writes_nothing_and_names_the_losses() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out");
    let ran =
        Tranship::run(["plan", "chroma:fixtures/chroma-wordnet", &locator("qdrant", &target), "--json"]).expect(0);
    let codes: Vec<String> =
        ran.json()["losses"].as_array().unwrap().iter().map(|l| l["code"].as_str().unwrap().to_owned()).collect();
    assert!(codes.iter().any(|code| code == "NORM") && codes.iter().any(|code| code == "ID_TO_UUID"), "{codes:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_stream_that_differs_is_told_without_reading_it_twice() {
    let out = Tranship::command()
        .args(["verify", "jsonl:-", "chroma:fixtures/chroma-wordnet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            child.stdin.take().unwrap().write_all(b"{\"id\":\"a\",\"vector\":[1,2]}\n")?;
            child.wait_with_output()
        })
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stdout).contains("DIFFERENT by fingerprint"));
}

/// Offline and tidy: no connection, no other program, no file opened for writing outside output and scratch.
#[test]
fn a_migration_writes_only_where_it_was_told_and_talks_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("calls");
    let scratch = dir.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let status = std::process::Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=openat,open,creat,connect,execve", "-o"])
        .arg(&log)
        .arg(Tranship::path())
        .args(["migrate", "chroma:fixtures/chroma-wordnet", &locator("qdrant", &dir.path().join("demo"))])
        .env("TRANSHIP_PROGRESS", "none")
        .env("TMPDIR", &scratch)
        .current_dir(fixtures::root())
        .status()
        .expect("strace is installed");
    assert!(status.success());
    let calls = std::fs::read_to_string(log).unwrap();
    let own = dir.path().display().to_string();
    let writes = |line: &&str| line.contains("O_WRONLY") || line.contains("O_RDWR") || line.contains("creat(");
    let foreign: Vec<&str> = calls.lines().filter(writes).filter(|line| !line.contains(&own)).collect();
    assert!(foreign.is_empty(), "{foreign:#?}");
    assert!(!calls.contains("connect("), "a connection was opened");
    assert_eq!(calls.matches("execve(").count(), 1, "another program was started");
}
