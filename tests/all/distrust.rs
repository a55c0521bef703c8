//! What looks right and is not: damaged archives, pipes that pass for empty files, other inputs under an old output,
//! names that command a terminal.

use std::io::Write;
use std::process::Stdio;

use tranship_testkit::{Ran, Tranship};

use crate::support::{convert, locator};

fn bash(script: &str, arguments: &[&str]) -> Ran {
    let out = std::process::Command::new("bash")
        .args(["-c", script])
        .arg(Tranship::path())
        .args(arguments)
        .env("TRANSHIP_PROGRESS", "none")
        .output()
        .unwrap();
    Ran::of(out)
}

fn lines(rows: usize) -> String {
    (0..rows).map(|row| format!("{{\"id\":{row},\"vector\":[{row}.5,2],\"document\":\"text {row}\"}}\n")).collect()
}

/// Parquet pages have no checksums: most flipped bits decode to another value.
#[test]
fn an_archive_with_a_flipped_bit_is_not_converted_as_if_it_were_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (input, archive) = (dir.path().join("in.jsonl"), dir.path().join("a.tranship"));
    std::fs::write(&input, lines(500)).unwrap();
    convert(&locator("jsonl", &input), &locator("archive", &archive), &[]);
    let expected = dir.path().join("expected.jsonl");
    convert(&locator("archive", &archive), &locator("jsonl", &expected), &[]);
    let reference = std::fs::read(&expected).unwrap();
    let mut noticed = 0;
    for name in ["data/part-00000.parquet", "data/collection.json"] {
        let path = archive.join(name);
        let whole = std::fs::read(&path).unwrap();
        for at in (8..whole.len().min(2_000)).step_by(whole.len().min(2_000) / 20) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let out = dir.path().join("out.jsonl");
            let ran = Tranship::run(["convert", &locator("archive", &archive), &locator("jsonl", &out)]);
            match ran.code {
                // Some bits mean nothing, such as those of a page's statistics.
                Some(0) if std::fs::read(&out).unwrap() == reference => {
                    std::fs::remove_file(&out).unwrap();
                }
                code => {
                    assert_eq!((code, out.exists()), (Some(11), false), "{name} byte {at}: {}", ran.stderr);
                    noticed += 1;
                }
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    assert!(noticed > 20, "only {noticed} damages were noticed");
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_and_not_taken_for_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.jsonl");
    std::fs::write(&input, lines(3)).unwrap();
    let input = input.to_str().unwrap();
    let ran = bash("\"$0\" verify jsonl:<(cat \"$1\") jsonl:<(head -1 \"$1\")", &[input]).expect(22);
    assert!(ran.stderr.contains("pipe") && ran.stderr.contains("jsonl:-"), "{}", ran.stderr);
    bash("\"$0\" verify jsonl:- jsonl:- <\"$1\"", &[input]).expect(2);
}

#[test]
fn nobody_listening_to_the_talk_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.jsonl");
    std::fs::write(&input, lines(3)).unwrap();
    let archive = locator("archive", &dir.path().join("a.tranship"));
    bash("\"$0\" convert \"jsonl:$1\" \"$2\" 2>/dev/full", &[input.to_str().unwrap(), &archive]).expect(0);
    bash("\"$0\" inspect jsonl:/nowhere 2>/dev/full", &[]).expect(22);
}

#[test]
fn an_interrupted_stream_goes_on_with_the_same_stream_only() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a.tranship");
    let stream = |text: &str| {
        let mut child = Tranship::command()
            .args(["convert", "jsonl:-", &locator("archive", &archive)])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A run that refuses its input does not read it to the end.
        let _refused = child.stdin.take().unwrap().write_all(text.as_bytes());
        Ran::of(child.wait_with_output().unwrap())
    };
    let pad = "x".repeat(1_000);
    let line = |row: usize| format!("{{\"id\":{row},\"vector\":[{row}.5,2],\"document\":\"{pad}\"}}\n");
    let whole: Vec<String> = (0..60_000).map(line).collect();
    stream(&(whole[..50_000].concat() + "{bad\n")).expect(14);
    assert!(stream(&whole[..20_000].concat()).expect(23).stderr.contains("another input"));
    assert!(!archive.exists());
    let reversed: String = whole.iter().take(1_000).chain(whole.iter().skip(1_000).rev()).map(String::as_str).collect();
    stream(&reversed).expect(23);
    assert!(!stream(&whole.concat()).expect(0).stderr.contains("(0 resumed)"));
    Tranship::run(["verify", archive.to_str().unwrap()]).expect(0);
}

#[test]
fn a_migration_does_not_go_on_under_other_names_of_columns() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.jsonl");
    std::fs::write(&input, "{\"id\":1,\"vector\":[1,2],\"a\":\"text\"}\n").unwrap();
    let target = locator("qdrant", &dir.path().join("demo"));
    let migrate = |column: &str| {
        let source = locator("jsonl", &input);
        Tranship::run(["migrate", &source, &target, "--metric", "l2", "--document-column", column])
    };
    migrate("a").expect(0);
    let ran = migrate("b").expect(20);
    assert!(ran.stderr.contains("with other options"), "{}", ran.stderr);
    migrate("a").expect(0);
}

#[test]
fn an_id_cannot_write_a_verdict_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.jsonl"), dir.path().join("b.jsonl"));
    std::fs::write(&a, "{\"id\":\"x\\u001b[2J\\nEQUAL: 5 records\",\"vector\":[1,2]}\n").unwrap();
    std::fs::write(&b, "{\"id\":\"y\",\"vector\":[1,2]}\n").unwrap();
    let ran = Tranship::run(["verify", &locator("jsonl", &a), &locator("jsonl", &b)]).expect(1);
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains("\nEQUAL"), "{}", ran.stdout);
}

#[test]
fn thousands_of_vectors_per_record_are_a_limit_and_no_exhausted_memory() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.jsonl");
    let vectors: Vec<String> = (0..20_000).map(|n| format!("\"v{n}\":[1]")).collect();
    std::fs::write(&input, format!("{{\"id\":1,\"vectors\":{{{}}}}}\n", vectors.join(","))).unwrap();
    let (source, archive) = (locator("jsonl", &input), locator("archive", &dir.path().join("a.tranship")));
    Tranship::run(["convert", &source, &archive]).expect(12);
    Tranship::run(["inspect", &source, "--full"]).expect(12);
    Tranship::run(["verify", &source, &source]).expect(12);
}

#[test]
fn an_interrupted_file_is_not_read_where_the_output_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let partial = dir.path().join("out.jsonl.partial");
    std::fs::write(&partial, lines(3)).unwrap();
    Tranship::run(["convert", &locator("jsonl", &partial), &locator("jsonl", &dir.path().join("out.jsonl"))]).expect(2);
    assert_eq!(std::fs::read_to_string(&partial).unwrap(), lines(3));
}

#[test]
fn a_verdict_says_no_more_than_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let (input, archive) = (dir.path().join("in.jsonl"), dir.path().join("a.tranship"));
    std::fs::write(&input, lines(3)).unwrap();
    convert(&locator("jsonl", &input), &locator("archive", &archive), &["--metric", "l2"]);
    let verify =
        |subset: &str| Tranship::run(["verify", archive.to_str().unwrap(), "--subset", subset]).expect(0).stdout;
    assert!(verify("1/2").contains("level L1") && verify("1/2").contains("files were not read"));
    assert!(verify("99/100").contains("level L0"), "{}", verify("99/100"));
    let other = dir.path().join("b.tranship");
    convert(&locator("jsonl", &input), &locator("archive", &other), &["--metric", "dot"]);
    let ran = Tranship::run(["verify", archive.to_str().unwrap(), other.to_str().unwrap()]).expect(0);
    assert!(ran.stdout.contains("! vector: the metric is l2 in A, dot in B"), "{}", ran.stdout);
}
