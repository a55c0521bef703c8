//! Deltas: what they hold, that they lead from one set to the other and back, and what they refuse.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tranship_testkit::{Random, Tranship};

use crate::support::locator;

/// A set of records by id, and the file that it is written to.
type Set = BTreeMap<String, Value>;

fn record(id: &str, random: &mut Random) -> Value {
    let vector: Vec<f32> = (0..3).map(|_| random.unit()).collect();
    let mut record =
        json!({ "id": id, "vector": vector, "metadata": { "n": random.below(100), "deep": [null, { "x": 1.5 }] } });
    if random.below(2) == 0 {
        record["document"] = json!(format!("text {}", random.below(1000)));
    }
    if random.below(3) == 0 {
        record["namespace"] = json!("tenant");
    }
    record
}

fn random_set(random: &mut Random) -> Set {
    (0..200).map(|row| (format!("id-{row}"), record(&format!("id-{row}"), random))).collect()
}

/// Adds, changes, deletes and puts back.
fn mutate(set: &Set, random: &mut Random) -> Set {
    let mut set = set.clone();
    for _ in 0..=random.below(40) {
        let id = format!("id-{}", random.below(260));
        match random.below(4) {
            0 => {
                set.remove(&id);
            }
            1 => {
                let namespace = set.get(&id).and_then(|old| old.get("namespace").cloned());
                let mut fresh = record(&id, random);
                match namespace {
                    Some(namespace) => fresh["namespace"] = namespace,
                    None => drop(fresh.as_object_mut().unwrap().remove("namespace")),
                }
                set.insert(id, fresh);
            }
            2 => {
                if let Some(record) = set.get_mut(&id) {
                    record["metadata"]["n"] = json!(-1);
                }
            }
            _ => {
                set.insert(id.clone(), record(&id, random));
            }
        }
    }
    set
}

fn write(set: &Set, dir: &Path, name: &str, order: u64) -> PathBuf {
    let path = dir.join(name);
    let mut lines: Vec<String> = set.values().map(Value::to_string).collect();
    // The order of records is none of the set's business.
    let shift = order as usize % lines.len().max(1);
    lines.rotate_left(shift);
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    path
}

fn digest(locator: &str) -> Value {
    let report = Tranship::run(["inspect", locator, "--full", "--json"]).expect(0).json();
    report["collections"][0]["full"]["fingerprint"]["digest"].clone()
}

fn diff(a: &str, b: &str, delta: &Path) -> Value {
    Tranship::run(["diff", a, b, "--delta", delta.to_str().unwrap(), "--json"]).expect(0).json()
}

fn apply(base: &str, delta: &Path, target: &Path) -> Value {
    let target = locator("archive", target);
    Tranship::run(["apply", base, delta.to_str().unwrap(), &target, "--json"]).expect(0).json()
}

fn equal(a: &str, b: &str) {
    Tranship::run(["verify", a, b]).expect(0);
}

#[test]
fn a_chain_of_deltas_leads_there_and_its_inverses_lead_back() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let mut random = Random::new(seed);
        let mut set = random_set(&mut random);
        let mut files = vec![write(&set, dir, "0.jsonl", 0)];
        for step in 1..=5 {
            set = mutate(&set, &mut random);
            files.push(write(&set, dir, &format!("{step}.jsonl"), random.number()));
        }
        let lines = |step: usize| locator("jsonl", &files[step]);
        let mut at = lines(0);
        for step in 1..=5 {
            let delta = dir.join(format!("{step}.delta"));
            let report = diff(&lines(step - 1), &lines(step), &delta);
            let made = dir.join(format!("{step}.tranship"));
            let applied = apply(&at, &delta, &made);
            assert_eq!(applied["fingerprint"], report["result"], "seed {seed}, step {step}");
            at = locator("archive", &made);
            equal(&at, &lines(step));
        }
        for step in (1..=5).rev() {
            let made = dir.join(format!("back-{step}.tranship"));
            apply(&at, &dir.join(format!("{step}.delta.inverse")), &made);
            at = locator("archive", &made);
            equal(&at, &lines(step - 1));
        }
    }
}

#[test]
fn a_delta_holds_only_what_changed_and_says_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut random = Random::new(7);
    let before = random_set(&mut random);
    let mut after = before.clone();
    after.remove("id-3");
    after.get_mut("id-4").unwrap()["document"] = json!("another text");
    after.insert("new".to_owned(), json!({ "id": "new", "vector": [1, 2, 3] }));
    let (a, b) = (write(&before, dir, "a.jsonl", 0), write(&after, dir, "b.jsonl", 9));
    let delta = dir.join("ab.delta");
    let report = diff(&locator("jsonl", &a), &locator("jsonl", &b), &delta);
    assert_eq!([&report["added"], &report["changed"], &report["deleted"]], [1, 1, 1].map(|n| json!(n)).each_ref());
    let lines = |part: &str| {
        let out = dir.join(format!("{part}.jsonl"));
        Tranship::run(["convert", &locator("archive", &delta.join(part)), &locator("jsonl", &out)]).expect(0);
        let text = std::fs::read_to_string(out).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let mut ids: Vec<String> = lines("upserts.tranship").iter().map(|record| record["id"].to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["\"id-4\"", "\"new\""]);
    let deletes = lines("deletes.tranship");
    assert_eq!(deletes.len(), 1);
    assert_eq!(deletes[0]["id"], "id-3");
    assert!(deletes[0].get("vector").is_none() && deletes[0].get("metadata").is_none());
    let same = diff(&locator("jsonl", &a), &locator("jsonl", &a), &dir.join("aa.delta"));
    assert_eq!([&same["added"], &same["changed"], &same["deleted"]], [0, 0, 0].map(|n| json!(n)).each_ref());
    apply(&locator("jsonl", &a), &dir.join("aa.delta"), &dir.join("a.tranship"));
    assert_eq!(digest(&locator("archive", &dir.join("a.tranship"))), digest(&locator("jsonl", &a)));
}

#[test]
fn a_delta_is_refused_for_another_base_a_second_time_and_when_it_was_touched() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut random = Random::new(1);
    let before = random_set(&mut random);
    let after = mutate(&before, &mut random);
    let (a, b) = (write(&before, dir, "a.jsonl", 0), write(&after, dir, "b.jsonl", 0));
    let (a, b) = (locator("jsonl", &a), locator("jsonl", &b));
    let delta = dir.join("ab.delta");
    diff(&a, &b, &delta);
    let target = locator("archive", &dir.join("out.tranship"));
    let refused = |base: &str, code: i32, text: &str| {
        let ran = Tranship::run(["apply", base, delta.to_str().unwrap(), &target]).expect(code);
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
        assert!(!dir.join("out.tranship").exists());
    };
    refused(&b, 2, "applied already");
    let other = locator("jsonl", &write(&random_set(&mut random), dir, "other.jsonl", 0));
    refused(&other, 2, "made from");
    let manifest = delta.join("upserts.tranship/MANIFEST.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let inverse = std::fs::read_to_string(dir.join("ab.delta.inverse/upserts.tranship/MANIFEST.json")).unwrap();
    std::fs::write(&manifest, &inverse).unwrap();
    refused(&a, 11, "not the one that it was made with");
    std::fs::write(&manifest, text).unwrap();
    let own = delta.join("DELTA.json");
    let text = std::fs::read_to_string(&own).unwrap();
    std::fs::write(&own, text.replacen("\"records\"", "\"records\" ", 1)).unwrap();
    refused(&a, 11, "was changed");
    std::fs::remove_file(&own).unwrap();
    refused(&a, 11, "has no DELTA.json");
}

#[test]
fn sets_of_other_vectors_or_metrics_have_no_delta() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let file = |name: &str, text: &str| {
        std::fs::write(dir.join(name), text).unwrap();
        locator("jsonl", &dir.join(name))
    };
    let two = file("two.jsonl", "{\"id\":\"a\",\"vector\":[1,2]}\n");
    let three = file("three.jsonl", "{\"id\":\"a\",\"vector\":[1,2,3]}\n");
    let delta = dir.join("d.delta");
    let ran = Tranship::run(["diff", &two, &three, "--delta", delta.to_str().unwrap()]).expect(2);
    assert!(ran.stderr.contains("same vectors"), "{}", ran.stderr);
    let archive = |metric: &str| {
        let path = locator("archive", &dir.join(format!("{metric}.tranship")));
        Tranship::run(["convert", &two, &path, "--metric", metric]).expect(0);
        path
    };
    let ran = Tranship::run(["diff", &archive("l2"), &archive("dot"), "--delta", delta.to_str().unwrap()]).expect(2);
    assert!(ran.stderr.contains("another metric"), "{}", ran.stderr);
    assert!(!delta.exists());
}

#[test]
fn a_set_in_pieces_merges_into_the_whole_and_conflicts_go_by_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut random = Random::new(3);
    let whole = random_set(&mut random);
    let piece = |part: usize| {
        whole.iter().enumerate().filter(move |(row, _)| row % 3 == part).map(|(_, (k, v))| (k.clone(), v.clone()))
    };
    let mut pieces: Vec<Set> = (0..3).map(|part| piece(part).collect()).collect();
    let merge = |pieces: &[Set], keep: &str, name: &str| {
        let target = locator("archive", &dir.join(name));
        let files = pieces
            .iter()
            .enumerate()
            .map(|(row, set)| locator("jsonl", &write(set, dir, &format!("{name}-{row}.jsonl"), 1)));
        let words = ["merge".to_owned()]
            .into_iter()
            .chain(files)
            .chain(["--into", &target, "--keep", keep, "--json"].map(str::to_owned));
        (Tranship::run(words), target)
    };
    let all = locator("jsonl", &write(&whole, dir, "whole.jsonl", 5));
    let (ran, target) = merge(&pieces, "fail", "whole.tranship");
    assert_eq!(ran.expect(0).json()["records"], 200);
    equal(&target, &all);

    let (id, old) = pieces[0].iter().next().map(|(id, record)| (id.clone(), record.clone())).unwrap();
    let mut newer = old.clone();
    newer["metadata"] = json!({ "newer": true });
    pieces[2].insert(id.clone(), newer.clone());
    let (ran, target) = merge(&pieces, "fail", "fail.tranship");
    assert!(ran.expect(11).stderr.contains("same id"));
    assert!(!Path::new(target.split_once(':').unwrap().1).exists());
    let (ran, first) = merge(&pieces, "first", "first.tranship");
    let report = ran.expect(0).json();
    assert_eq!([&report["inputs"][0]["gave_way"], &report["inputs"][2]["gave_way"]], [&json!(0), &json!(1)]);
    equal(&first, &all);
    let (ran, last) = merge(&pieces, "last", "last.tranship");
    assert_eq!(ran.expect(0).json()["inputs"][0]["gave_way"], 1);
    let mut renewed = whole.clone();
    renewed.insert(id, newer);
    equal(&last, &locator("jsonl", &write(&renewed, dir, "renewed.jsonl", 0)));
}
