//! Changes on the way, as a user asks for them: what is written is what the same changes make of the source, and adds up.

use std::path::Path;

use serde_json::Value;
use tranship_testkit::Tranship;

use crate::support::{locator, wordnet_archive};

const WORDNET: &str = "chroma:fixtures/chroma-wordnet";

const MAP: &str = r#"
drop = ["n_lemmas", "restored"]
rename = { lemma = "word", has_example = "illustrated" }
default = { language = "en" }
[cast]
lex = "text"
[document]
to = "gloss"
[id]
keep = "chroma_id"
as = "uuid5"
[vectors.rename]
"" = "minilm"
"#;

fn map_file(dir: &Path) -> String {
    let path = dir.join("fields.toml");
    std::fs::write(&path, MAP).unwrap();
    path.display().to_string()
}

fn with<'a>(base: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [base, more].concat()
}

/// Converts wordnet with `flags` into an archive; its path and the report.
fn archive(dir: &Path, name: &str, flags: &[&str]) -> (String, Value) {
    let archive = locator("archive", &dir.join(name));
    let report = Tranship::run(with(&["convert", WORDNET, &archive, "--json"], flags)).expect(0).json();
    (archive, report)
}

/// raw = live + deleted + superseded + filtered + rejected.
fn adds_up(report: &Value) {
    let ledger = &report["ledger"];
    let count = |key: &str| ledger[key].as_u64().unwrap_or(0);
    let parts = count("live") + count("deleted") + count("superseded") + count("filtered");
    assert_eq!(count("raw"), parts + report["rejected"].as_u64().unwrap(), "{ledger}");
    assert_eq!(count("live"), report["records"].as_u64().unwrap());
}

#[test]
fn an_archive_made_through_changes_equals_the_source_seen_through_them() {
    let dir = tempfile::tempdir().unwrap();
    let map = map_file(dir.path());
    let groups: [(&[&str], Option<u64>); 14] = [
        (&["--where", "pos = \"noun\" and chars < 0.6 or reviewed = true"], None),
        (&["--where-jq", ".metadata.pos == \"verb\" and (.document | length) > 40"], None),
        (&["--sample", "100", "--sample-seed", "7"], Some(100)),
        (&["--dedupe"], Some(1480)),
        (&["--dedupe=id"], Some(1480)),
        (&["--limit", "37"], Some(37)),
        (&["--map", &map], Some(1480)),
        (&["--map-jq", ".metadata |= {pos, lemma} | if .metadata.pos == \"adverb\" then empty else . end"], None),
        (&["--select", "lemma,document"], Some(1480)),
        (&["--truncate-dims", "64", "--normalize"], Some(1480)),
        (&["--cast", "f16"], Some(1480)),
        (&["--cast", "i8"], Some(1480)),
        (&["--cast", "bits"], Some(1480)),
        (
            &[
                "--where",
                "exists lemma",
                "--sample",
                "500",
                "--limit",
                "400",
                "--map",
                &map,
                "--truncate-dims",
                "32",
                "--cast",
                "bf16",
            ],
            Some(400),
        ),
    ];
    for (position, (flags, records)) in groups.into_iter().enumerate() {
        let (archive, report) = archive(dir.path(), &format!("{position}.tranship"), flags);
        adds_up(&report);
        let found = report["records"].as_u64().unwrap();
        assert!(records.map_or(found > 0 && found < 1480, |records| records == found), "{flags:?}: {found}");
        let proof = Tranship::run(with(&["verify", WORDNET, &archive, "--json"], flags)).expect(0).json();
        assert_eq!((&proof["equal"], &proof["by_fingerprint"]), (&true.into(), &true.into()), "{flags:?}");
        if !flags[0].starts_with("--dedupe") {
            Tranship::run(["verify", WORDNET, &archive]).expect(1);
        }
        Tranship::run(["verify", &archive]).expect(0);
        let shown = Tranship::run(["inspect", &archive]).expect(0).stdout;
        assert!(shown.contains("changed    {"), "{flags:?}: {shown}");
    }
}

#[test]
fn the_second_of_two_sources_is_changed_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--where", "pos = \"noun\""];
    let (nouns, report) = archive(dir.path(), "nouns.tranship", &flags);
    let inspected = Tranship::run(with(&["inspect", WORDNET, "--full", "--json"], &flags)).expect(0).json();
    let full = &inspected["collections"][0]["full"];
    assert_eq!(full["ledger"]["filtered"], report["ledger"]["filtered"]);
    assert_eq!(full["fingerprint"]["digest"], report["fingerprint"]["digest"]);
    Tranship::run(with(&["verify", &nouns, WORDNET, "--change", "b"], &flags)).expect(0);
    Tranship::run(with(&["verify", WORDNET, WORDNET, "--change", "both"], &flags)).expect(0);
    Tranship::run(with(&["verify", WORDNET, WORDNET, "--change", "b"], &flags)).expect(1);
    let delta = dir.path().join("delta");
    let base = wordnet_archive(dir.path());
    let report = Tranship::run(with(
        &["diff", &locator("archive", &base), WORDNET, "--change", "b", "-d", delta.to_str().unwrap(), "--json"],
        &flags,
    ))
    .expect(0)
    .json();
    assert_eq!(report["deleted"].as_u64().unwrap() + full["fingerprint"]["records"].as_u64().unwrap(), 1480);
}

#[test]
fn the_same_changes_give_the_same_bytes_whatever_the_threads_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    let map = map_file(dir.path());
    let flags = [
        "--where-jq",
        ".metadata.pos != \"verb\"",
        "--sample",
        "700",
        "--dedupe",
        "--limit",
        "600",
        "--map",
        &map,
        "--cast",
        "i8",
    ];
    let manifest = |name: &str, more: &[&str]| {
        archive(dir.path(), name, &with(&flags, more));
        std::fs::read_to_string(dir.path().join(name).join("MANIFEST.json")).unwrap()
    };
    let one = manifest("one.tranship", &["--threads", "1", "--memory", "512MiB"]);
    assert_eq!(one, manifest("four.tranship", &["--threads", "4", "--memory", "2GiB"]));
    let other = archive(dir.path(), "other.tranship", &flags[..4]).1;
    assert_ne!(other["records"], 600);
}

#[test]
fn a_cast_is_reported_with_its_error_and_every_change_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let map = map_file(dir.path());
    let (_, report) = archive(dir.path(), "cast.tranship", &["--map", &map, "--cast", "f16"]);
    let error = &report["changed"]["cast minilm"]["error"];
    assert_eq!(error["elements"], 1480 * 384);
    let largest = error["largest"].as_f64().unwrap();
    assert!(largest > 0.0 && largest < 2.5e-4, "{error}");
    assert!(error["least_cosine"].as_f64().unwrap() > 0.999_999, "{error}");
    let codes: Vec<&str> = report["changes"].as_array().unwrap().iter().map(|c| c["path"].as_str().unwrap()).collect();
    for path in ["n_lemmas", "restored", "lemma", "lex", "language", "document", "id", "vector."] {
        assert!(codes.contains(&path), "{path} is not among {codes:?}");
    }
    let text =
        Tranship::run(["plan", WORDNET, &locator("archive", &dir.path().join("p")), "--map", &map]).expect(0).stdout;
    assert!(text.contains("change   lemma: lemma -> word"), "{text}");
}

#[test]
fn a_migration_goes_through_changes_to_ready() {
    let dir = tempfile::tempdir().unwrap();
    let target = locator("qdrant", &dir.path().join("nouns"));
    let flags = ["--where", "pos = \"noun\"", "--select", "lemma,pos,document", "--truncate-dims", "128"];
    let ran = Tranship::run(with(&["migrate", WORDNET, &target], &flags)).expect(0);
    assert!(ran.stdout.contains("READY TO LOAD") && ran.stdout.contains("where: "), "{}", ran.stdout);
}

#[test]
fn records_that_a_program_fails_on_are_set_aside_within_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let program = "if .metadata.reviewed then error(\"seen\") else . end";
    let target = locator("archive", &dir.path().join("a.tranship"));
    let ran = Tranship::run(["convert", WORDNET, &target, "--map-jq", program]).expect(14);
    assert!(ran.stderr.contains("split 0, record") && ran.stderr.contains("seen"), "{}", ran.stderr);
    let ran =
        Tranship::run(["convert", WORDNET, &target, "--map-jq", program, "--max-rejects", "40", "--json"]).expect(0);
    let report = ran.json();
    assert_eq!((&report["rejected"], &report["records"]), (&37.into(), &1443.into()));
    adds_up(&report);
}

#[test]
fn a_stream_is_filtered_and_mapped_but_not_sampled() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..50)
        .map(|row| format!("{{\"id\":\"{row}\",\"vector\":[{row}.5,1.0],\"metadata\":{{\"row\":{row}}}}}\n"))
        .collect();
    let file = dir.path().join("rows.jsonl");
    std::fs::write(&file, lines).unwrap();
    let piped = |flags: &[&str], code: i32| {
        let output = Tranship::command()
            .args(["convert", "jsonl:-", &locator("archive", &dir.path().join("piped.tranship"))])
            .args(flags)
            .stdin(std::fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        tranship_testkit::Ran::of(output).expect(code)
    };
    let refused = piped(&["--limit", "5"], 2);
    assert!(refused.stderr.contains("standard input"), "{}", refused.stderr);
    piped(&["--where", "row >= 45", "--map-jq", ".metadata.row += 1"], 0);
    let report =
        Tranship::run(["inspect", &locator("archive", &dir.path().join("piped.tranship")), "--full", "--json"]);
    assert_eq!(report.expect(0).json()["collections"][0]["full"]["fingerprint"]["records"], 5);
}

#[test]
fn mistakes_are_told_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let target = locator("archive", &dir.path().join("never.tranship"));
    let bad = dir.path().join("bad.toml");
    let refused = |flags: &[&str], parts: &[&str]| {
        let ran = Tranship::run(with(&["convert", WORDNET, &target], flags)).expect(2);
        assert!(parts.iter().all(|part| ran.stderr.contains(part)), "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("next: "), "{}", ran.stderr);
    };
    refused(&["--where", "pos = noun"], &["pos = ^noun", "a text in quotes"]);
    refused(&["--where-jq", ".metadata.pos = "], &["--where-jq", "^"]);
    refused(&["--select", "lemma,nowhere"], &["no record has the field `nowhere`"]);
    refused(&["--truncate-dims", "384"], &["the widest has 384"]);
    std::fs::write(&bad, "drop = [\"pos\"]\n[rename]\nlema = \"word\"\n").unwrap();
    refused(&["--map", bad.to_str().unwrap()], &["`lema`", "line 3"]);
    std::fs::write(&bad, "[rename]\nlemma = \"word\"\nsenses = {}\n").unwrap();
    refused(&["--map", bad.to_str().unwrap()], &["line 3", "bad.toml"]);
    assert!(!dir.path().join("never.tranship").exists() && !dir.path().join("never.tranship.partial").exists());
}
