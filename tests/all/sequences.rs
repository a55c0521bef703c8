//! Conversations: records without vectors, in sessions, proven in order, complete, and the same in two sets.

use std::path::Path;

use serde_json::{Value, json};
use tranship_testkit::Tranship;

use crate::support::{convert, locator};

const KEYS: &str = "session_id,seq,at";

/// Twenty sessions of up to thirty messages; each answers the one before it.
fn messages() -> Vec<Value> {
    let mut all = Vec::new();
    for session in 0..20u64 {
        for seq in 0..5 + session {
            let parent = (seq > 0).then(|| format!("m-{session}-{}", seq - 1));
            let time = format!("2026-01-{:02}T10:{:02}:00+01:00", session + 1, seq);
            all.push(json!({
                "id": format!("m-{session}-{seq}"),
                "document": format!("message {seq} of {session}"),
                "metadata": { "session_id": format!("s{session}"), "seq": seq, "at": time, "parent": parent, "role": "user" },
            }));
        }
    }
    all
}

fn write(path: &Path, records: &[Value]) -> String {
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    std::fs::write(path, text).unwrap();
    locator("jsonl", path)
}

fn check(words: &[&str], code: i32) -> Value {
    let all = [words, &["--sequence", KEYS, "--parent", "parent", "--json"]].concat();
    Tranship::run([&["verify"][..], &all].concat()).expect(code).json()
}

#[test]
fn conversations_travel_through_archives_and_parquet_and_stay_the_same_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let mut records = messages();
    let lines = write(&dir.path().join("a.jsonl"), &records);
    records.reverse();
    let reversed = write(&dir.path().join("reversed.jsonl"), &records);
    let archive = locator("archive", &dir.path().join("a.tranship"));
    let parquet = locator("parquet", &dir.path().join("a.parquet"));
    convert(&lines, &archive, &[]);
    convert(&archive, &parquet, &[]);
    for other in [&reversed, &archive, &parquet] {
        let report = check(&[&lines, other], 0);
        assert_eq!([&report["a"]["sessions"], &report["b"]["sessions"]], [&json!(20), &json!(20)]);
        assert_eq!(report["a"]["records"], json!(records.len()));
        Tranship::run(["verify", &lines, other]).expect(0);
    }
    let told = Tranship::run(["verify", &archive, "--sequence", "session_id,seq"]).expect(0).stdout;
    assert!(told.contains("IN ORDER") && told.contains("not proven"), "{told}");
}

#[test]
fn gaps_duplicates_times_orphans_and_strays_are_counted_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut records = messages();
    let at = |records: &[Value], id: &str| records.iter().position(|record| record["id"] == id).unwrap();
    let gone = at(&records, "m-3-4");
    records.remove(gone);
    let twice = at(&records, "m-5-2");
    let mut copy = records[twice].clone();
    copy["id"] = json!("another");
    records.push(copy);
    let late = at(&records, "m-7-6");
    records[late]["metadata"]["at"] = json!("2026-01-08T08:00:00Z");
    let stray = at(&records, "m-9-13");
    records[stray]["metadata"].as_object_mut().unwrap().remove("session_id");
    let head = at(&records, "m-11-0");
    records[head]["metadata"]["seq"] = json!(-3);
    let report = check(&[&write(&dir.path().join("a.jsonl"), &records)], 1);
    let of = |kind: &str| (report["a"][kind]["count"].as_u64().unwrap(), report["a"][kind]["first"].to_string());
    for (kind, count, words) in [
        ("gaps", 3, "after 3 comes 5"),
        ("duplicates", 1, "session s5: 2 is taken twice"),
        ("backwards", 1, "m-7-6"),
        ("orphans", 1, "session s3: answers a record that is not there (id m-3-5)"),
        ("unplaced", 1, "m-9-13"),
    ] {
        let found = of(kind);
        assert!(found.0 == count && found.1.contains(words), "{kind}: {found:?}");
    }
    assert!(of("gaps").1.contains("begins with -3"), "{:?}", of("gaps"));
}

#[test]
fn sessions_are_compared_after_ids_are_renamed() {
    let dir = tempfile::tempdir().unwrap();
    let records = messages();
    let a = write(&dir.path().join("a.jsonl"), &records);
    let renamed = |id: &str| format!("x-{id}");
    let mut remap = String::new();
    let mut others = records.clone();
    for (number, record) in others.iter_mut().enumerate() {
        let (id, session) = (record["id"].as_str().unwrap().to_owned(), record["metadata"]["session_id"].clone());
        let session = session.as_str().unwrap();
        remap.push_str(&match number % 2 {
            0 => format!("{id}\t{}\n{session}\t{}\n", renamed(&id), renamed(session)),
            _ => format!("{}\n", json!({ &id: renamed(&id), session: renamed(session) })),
        });
        record["id"] = json!(renamed(&id));
        record["metadata"]["session_id"] = json!(renamed(session));
        if let Some(parent) = record["metadata"]["parent"].as_str() {
            record["metadata"]["parent"] = json!(renamed(parent));
        }
    }
    let b = write(&dir.path().join("b.jsonl"), &others);
    let file = dir.path().join("remap.txt");
    std::fs::write(&file, &remap).unwrap();
    let remapped = ["--remap", file.to_str().unwrap()];
    assert_eq!(check(&[&[a.as_str(), &b][..], &remapped].concat(), 0)["remapped"], json!(records.len() + 20));
    let unmapped = check(&[&a, &b], 1);
    assert_eq!([&unmapped["missing"]["count"], &unmapped["extra"]["count"]], [&json!(20), &json!(20)]);
    others[40]["document"] = json!("another text");
    let last = others.pop().unwrap();
    others.retain(|record| record["metadata"]["session_id"] != "x-s2");
    let c = write(&dir.path().join("c.jsonl"), &others);
    let report = check(&[&[a.as_str(), &c][..], &remapped].concat(), 1);
    assert_eq!(
        [&report["missing"]["count"], &report["extra"]["count"], &report["changed"]["count"]],
        [&json!(1), &json!(0), &json!(2)]
    );
    let changed = report["changed"]["first"].to_string();
    let end = last["metadata"]["seq"].as_u64().unwrap();
    assert!(
        changed.contains("is another record in B") && changed.contains(&format!("B ends before {end}")),
        "{changed}"
    );
    std::fs::write(&file, "a\tx\nb\tx\n").unwrap();
    let ran = Tranship::run(["verify", &a, &b, "--sequence", KEYS, "--remap", file.to_str().unwrap()]).expect(2);
    assert!(ran.stderr.contains("collide"), "{}", ran.stderr);
}
