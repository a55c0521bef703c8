//! Deltas as bundles: what they bring a database from one set to the other with, in real engines, and what they refuse.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tranship_testkit::{Random, Tranship, engines, fixtures};

use crate::support::{convert, locator};

/// Two sets as archives, the delta between them, and the bundles that follow from it.
struct Sets {
    dir: tempfile::TempDir,
    provider: &'static str,
}

fn record(row: u64, random: &mut Random) -> Value {
    let vector: Vec<f32> = (0..8).map(|_| random.unit()).collect();
    let mut record =
        json!({ "id": format!("id-{row}"), "vector": vector, "metadata": { "n": row, "once": random.below(9) } });
    if row % 3 == 0 {
        record["document"] = json!(format!("text {row}\twith 'marks' \\ and \"others\""));
    }
    if row % 5 == 0 {
        record["namespace"] = json!(["tenant\tone", "two", "drei é"][row as usize % 3]);
    }
    record
}

impl Sets {
    /// 400 records; 40 leave, 40 come, 50 change, among them some that lose metadata or their document.
    fn new(provider: &'static str, namespaced: bool) -> Self {
        let sets = Sets { dir: tempfile::tempdir().unwrap(), provider };
        let mut random = Random::new(11);
        let mut before: BTreeMap<u64, Value> = (0..400).map(|row| (row, record(row, &mut random))).collect();
        if !namespaced {
            before.values_mut().for_each(|record| drop(record.as_object_mut().unwrap().remove("namespace")));
        }
        let mut after = before.clone();
        for row in 0..40 {
            after.remove(&(row * 7 + 1));
            let mut fresh = record(1000 + row, &mut random);
            if !namespaced {
                fresh.as_object_mut().unwrap().remove("namespace");
            }
            after.insert(1000 + row, fresh);
        }
        for (number, record) in after.values_mut().take(180).enumerate().filter(|(number, _)| number % 3 == 0) {
            match number % 4 {
                0 => drop(record["metadata"].as_object_mut().unwrap().remove("once")),
                1 => record["vector"][2] = json!(0.25),
                2 => drop(record.as_object_mut().unwrap().remove("document")),
                _ => record["metadata"]["n"] = json!(-1),
            }
        }
        for (name, set) in [("before", &before), ("after", &after)] {
            let lines: String = set.values().map(|record| format!("{record}\n")).collect();
            let file = sets.path(&format!("{name}.jsonl"));
            std::fs::write(&file, lines).unwrap();
            convert(&locator("jsonl", &file), &sets.archive(name), &["--metric", "l2"]);
        }
        let delta = sets.path("ab.delta");
        Tranship::run(["diff", &sets.archive("before"), &sets.archive("after"), "--delta", delta.to_str().unwrap()])
            .expect(0);
        convert(&sets.archive("before"), &locator(provider, &sets.path("bulk")), &["--as", "things"]);
        sets.delta_bundle("ab.delta", "bulk", "delta");
        sets.delta_bundle("ab.delta.inverse", "delta", "inverse");
        sets
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn archive(&self, name: &str) -> String {
        locator("archive", &self.path(&format!("{name}.tranship")))
    }

    fn delta_bundle(&self, delta: &str, onto: &str, bundle: &str) {
        let (delta, onto) = (self.path(delta), self.path(onto));
        let target = locator(self.provider, &self.path(bundle));
        Tranship::run(["convert", delta.to_str().unwrap(), &target, "--onto", onto.to_str().unwrap()]).expect(0);
    }

    /// Loads everything into a real engine, which ends up with the one set and then with the other.
    fn tell_to(&self, engine: &str) {
        let paths = ["out", "bulk", "delta", "inverse"].map(|name| self.path(name));
        let tranship = Tranship::path();
        let (before, after) = (self.archive("before"), self.archive("after"));
        let mut arguments: Vec<&OsStr> = vec![OsStr::new(self.provider)];
        arguments.extend(paths.iter().map(|path| path.as_os_str()));
        arguments.extend([OsStr::new(&before), OsStr::new(&after), tranship.as_os_str()]);
        let report: Value = serde_json::from_str(&engines::run(engine, "delta_apply.py", &arguments)).unwrap();
        let exit = |step: &str| report[step]["exit"].as_i64().unwrap_or(-1);
        // The script leaves these out for Chroma.
        let is_told =
            |step: &&str| self.provider != "chroma" || !["repeated", "still", "nothing", "not_before"].contains(step);
        for step in ["bulk", "resumed", "repeated", "after", "inverse", "before", "still"].into_iter().filter(is_told) {
            assert_eq!(exit(step), 0, "{step}: {}", report[step]["says"].as_str().unwrap_or_default());
        }
        for step in ["nothing", "damaged", "not_before", "undo"].into_iter().filter(is_told) {
            assert!(exit(step) > 0, "{step}: {}", report[step]["says"].as_str().unwrap_or_default());
        }
        let words = [("after", "GO: "), ("not_before", "NO-GO"), ("before", "GO: "), ("undo", "inverse")];
        for (step, words) in words.into_iter().filter(|(step, _)| is_told(step)) {
            let says = report[step]["says"].as_str().unwrap();
            assert!(says.contains(words), "{step}: {says}");
        }
    }
}

#[test]
fn a_table_in_postgresql_follows_a_delta_and_its_inverse() {
    Sets::new("pgvector", true).tell_to("postgres");
}

#[test]
fn hashes_in_redis_follow_a_delta_and_its_inverse() {
    Sets::new("redis", true).tell_to("redis");
}

#[test]
fn a_chroma_collection_follows_a_delta_and_its_inverse() {
    Sets::new("chroma", false).tell_to("chroma");
}

#[test]
fn a_segment_of_qdrant_follows_a_delta_and_its_inverse() {
    let sets = Sets::new("qdrant", true);
    let out = sets.path("scrolled.jsonl");
    let apply = |deltas: &[&str]| {
        let (bulk, deltas) = (sets.path("bulk"), deltas.iter().map(|name| sets.path(name)).collect::<Vec<_>>());
        let mut arguments = vec![bulk.as_os_str(), out.as_os_str()];
        deltas.iter().for_each(|delta| arguments.extend([OsStr::new("--delta"), delta.as_os_str()]));
        engines::run("qdrant", "qdrant_apply.py", &arguments);
        let mapping = sets.path("bulk/mapping.json");
        let compare = |set: &str| {
            let words = [
                "verify",
                &sets.archive(set),
                &locator("jsonl", &out),
                "--mapping",
                mapping.to_str().unwrap(),
                "--json",
            ];
            Tranship::run(words).code
        };
        (compare("before"), compare("after"))
    };
    assert_eq!(apply(&[]), (Some(0), Some(1)));
    assert_eq!(apply(&["delta"]), (Some(1), Some(0)));
    assert_eq!(apply(&["delta", "inverse"]), (Some(0), Some(1)));
}

#[test]
fn the_scripts_of_a_qdrant_delta_go_on_after_an_interruption_and_check_the_new_set() {
    let sets = Sets::new("qdrant", true);
    let fake = fixtures::root().join("crates/provider-qdrant/tests/qdrant/fake_qdrant.py");
    let mut server =
        Command::new("python3").arg(fake).arg("7").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let run = |bundle: &str, script: &str, more: &[&str], retries: &str| {
        let output = Command::new("bash")
            .arg(sets.path(bundle).join(script))
            .args(more)
            .env("QDRANT_URL", format!("http://127.0.0.1:{}", port.trim()))
            .env("RETRY_SECONDS", "0")
            .env("RETRIES", retries)
            .env("TRANSHIP", Tranship::path())
            .env("PAGES", sets.path("pages"))
            .env_remove("http_proxy")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (before, after) = (sets.archive("before"), sets.archive("after"));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let nothing = run("delta", "load.sh", &[], "8");
        assert!(nothing.0 == 2 && nothing.1.contains("no collection"), "{nothing:?}");
        assert_eq!(run("bulk", "load.sh", &[], "8").0, 0);
        let other = run("inverse", "load.sh", &[], "8");
        // The inverse is made for as many points as are there, so it is `check` that tells the difference.
        assert_eq!(other.0, 0, "{other:?}");
        assert_eq!(run("inverse", "check.sh", &[&before], "8").0, 0, "applied to its own result it changes nothing");
        let mut tries = vec![run("delta", "load.sh", &[], "0")];
        while tries.last().unwrap().0 != 0 && tries.len() < 20 {
            tries.push(run("delta", "load.sh", &["--resume"], "0"));
        }
        assert_eq!(tries.last().unwrap().0, 0, "{tries:?}");
        let checked = run("delta", "check.sh", &[&after], "8");
        assert!(checked.0 == 0 && checked.1.contains("GO: every record"), "{checked:?}");
        assert_eq!(run("delta", "check.sh", &[&before], "8").0, 1);
        let unnamed = run("delta", "check.sh", &[], "8");
        assert!(unnamed.0 != 0 && unnamed.1.contains("name the set"), "{unnamed:?}");
        let undo = run("delta", "undo.sh", &["--yes"], "8");
        assert!(undo.0 == 2 && undo.1.contains("inverse"), "{undo:?}");
    }));
    server.kill().unwrap();
    server.wait().unwrap();
    outcome.unwrap();
}

#[test]
fn the_deletes_of_a_milvus_delta_are_expressions_and_come_before_its_one_import() {
    let sets = Sets::new("milvus", false);
    let delta = sets.path("delta");
    let manifest: Value = serde_json::from_slice(&std::fs::read(delta.join("MANIFEST.json")).unwrap()).unwrap();
    assert_eq!((&manifest["delta"]["deletes"], &manifest["totals"]["rows"]), (&json!(40), &json!(90)));
    let ids: u64 = manifest["delta"]["files"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(ids, 130, "rows that are written anew are deleted as well");
    let text = std::fs::read_to_string(delta.join("data/deletes-00000-000.txt")).unwrap();
    let body: Value =
        serde_json::from_str(&format!("{{\"filter\": \"id in [{}]\"}}", text.trim_end())).expect("a body of JSON");
    let filter = body["filter"].as_str().unwrap();
    let list: Vec<String> = serde_json::from_str(filter.strip_prefix("id in ").unwrap()).expect("a list of texts");
    assert!(list.len() == 130 && list.contains(&"id-1".to_owned()) && list.contains(&"id-1003".to_owned()));
}

#[test]
fn a_delta_bundle_is_refused_for_what_it_does_not_fit() {
    let sets = Sets::new("qdrant", false);
    let (delta, inverse, bulk) = (sets.path("ab.delta"), sets.path("ab.delta.inverse"), sets.path("bulk"));
    let words = |path: &Path| path.to_str().unwrap().to_owned();
    let refused = |source: &str, target: &str, onto: &Path, code: i32, text: &str| {
        let ran = Tranship::run(["convert", source, target, "--onto", onto.to_str().unwrap()]).expect(code);
        assert!(ran.stderr.contains(text), "{text}: {}", ran.stderr);
    };
    let target = locator("qdrant", &sets.path("x"));
    refused(&words(&inverse), &target, &bulk, 2, "the delta is for the set");
    refused(&words(&delta), &locator("pgvector", &sets.path("x")), &bulk, 2, "is a bundle for qdrant");
    refused(&sets.archive("after"), &target, &bulk, 11, "is no delta");
    refused(&words(&delta), &target, &sets.path("nowhere"), 22, "the bundle that was loaded");
    let plain = Tranship::run(["convert", &words(&delta), &target]).expect(2);
    assert!(plain.stderr.contains("is a delta") && plain.stderr.contains("--onto"), "{}", plain.stderr);
    for verb in ["verify", "recall"] {
        let ran = Tranship::run([verb, &sets.archive("before"), &words(&delta)]).expect(2);
        assert!(ran.stderr.contains("is a delta: what changed between two sets, and not a set"), "{}", ran.stderr);
    }
    // A form without deletes says what to do instead.
    let pinecone = locator("pinecone", &sets.path("p"));
    convert(&sets.archive("before"), &pinecone, &[]);
    refused(&words(&delta), &locator("pinecone", &sets.path("y")), &sets.path("p"), 2, "no form of deletes");
    assert!(!sets.path("x").exists() && !sets.path("y").exists());
}
