//! Deltas: what they hold, that they lead from one set to the other and back, and what they refuse.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tranship_collection::Metric;
use tranship_testkit::{Generator, MemorySource, Random, Tranship};

use crate::support::locator;
use crate::transfer;

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

#[test]
fn a_delta_with_more_ids_than_the_memory_holds_is_applied_by_a_join_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let lines = |rows: std::ops::Range<u64>| {
        rows.map(|row| format!("{{\"id\":{row},\"vector\":[{row}]}}\n")).collect::<String>()
    };
    let file = |name: &str, text: String| {
        std::fs::write(dir.join(name), text).unwrap();
        locator("jsonl", &dir.join(name))
    };
    // Of 256 MiB a sixteenth is for ids, 48 bytes each: 349,525 of them.
    let (a, b) = (file("a.jsonl", lines(0..400_000)), file("b.jsonl", lines(390_000..400_100)));
    let delta = dir.join("ab.delta");
    let limit = ["--memory", "256MiB", "--threads", "1", "--json"];
    let run = |words: &[&str]| Tranship::run([words, &limit].concat()).expect(0).json();
    let made = run(&["diff", &a, &b, "--delta", delta.to_str().unwrap()]);
    assert_eq!([&made["deleted"], &made["added"], &made["changed"]], [&json!(390_000), &json!(100), &json!(0)]);
    let (there, back) =
        (locator("archive", &dir.join("there.tranship")), locator("archive", &dir.join("back.tranship")));
    let applied = run(&["apply", &a, delta.to_str().unwrap(), &there]);
    assert_eq!((&applied["records"], &applied["fingerprint"]), (&json!(10_100), &made["result"]));
    let inverse = dir.join("ab.delta.inverse");
    assert_eq!(run(&["apply", &there, inverse.to_str().unwrap(), &back])["fingerprint"], made["base"]);
}

#[test]
fn a_merge_names_what_gave_way_and_where_everything_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let lines = |rows: std::ops::Range<u64>, mark: &str| {
        rows.map(|row| format!("{{\"id\":{row},\"vector\":[{row},1],\"metadata\":{{\"from\":\"{mark}\"}}}}\n"))
            .collect::<String>()
    };
    let file = |name: &str, text: String| {
        std::fs::write(dir.join(name), text).unwrap();
        locator("jsonl", &dir.join(name))
    };
    let sets =
        [file("a.jsonl", lines(0..50, "a")), file("b.jsonl", lines(40..90, "b")), file("c.jsonl", lines(45..100, "c"))];
    let target = dir.join("all.tranship");
    let into = locator("archive", &target);
    let words =
        [&["merge"], &sets.each_ref().map(String::as_str)[..], &["--keep", "last", "--into", &into, "--json"]].concat();
    let report = Tranship::run(words).expect(0).json();
    // 40 to 44 of a give way to b, 45 to 49 of a and 45 to 89 of b to c.
    assert_eq!([&report["records"], &report["conflicts"]], [&json!(100), &json!(55)]);
    let gave_way: Vec<u64> =
        report["inputs"].as_array().unwrap().iter().map(|input| input["gave_way"].as_u64().unwrap()).collect();
    assert_eq!(gave_way, [10, 45, 0]);
    let conflicts = report["first_conflicts"].as_array().unwrap();
    let of = |id: &str, from: &str| {
        conflicts.iter().find(|c| c["id"] == id && c["gave_way"] == json!(from)).map(|c| c["kept"].clone())
    };
    assert_eq!(of("41", &sets[0]), Some(json!(sets[1])));
    assert_eq!((of("47", &sets[0]), of("47", &sets[1])), (Some(json!(sets[2])), Some(json!(sets[2]))));
    let manifest: Value = serde_json::from_slice(&std::fs::read(target.join("MANIFEST.json")).unwrap()).unwrap();
    let files = manifest["source"].to_string();
    assert!(["1/a.jsonl", "2/b.jsonl", "3/c.jsonl"].iter().all(|name| files.contains(name)), "{files}");
    let back = dir.join("back.jsonl");
    Tranship::run(["convert", &into, &locator("jsonl", &back)]).expect(0);
    let text = std::fs::read_to_string(back).unwrap();
    let from = |mark: &str| text.lines().filter(|line| line.contains(&format!("\"from\":\"{mark}\""))).count();
    assert_eq!([from("a"), from("b"), from("c")], [40, 5, 55]);
}

#[test]
fn sets_of_other_dimensions_metrics_or_models_are_not_merged() {
    let dir = tempfile::tempdir().unwrap();
    let archive = |name: &str, dim: usize, metric: Metric, model: &str| {
        let generator = Generator { rows: 20, dim, metric, ..Generator::default() };
        let mut schema = generator.schema();
        schema.vectors.iter_mut().for_each(|spec| spec.model = Some(model.to_owned()));
        let target = locator("archive", &dir.path().join(name));
        let source = MemorySource::new(schema, generator.batches(), 1);
        transfer::write(&source, &target, transfer::engine(1, 512 << 20), 0).unwrap();
        target
    };
    let one = archive("one", 8, Metric::L2, "small");
    for (other, words) in [
        (archive("dims", 9, Metric::L2, "small"), "do not have the same vectors"),
        (archive("metric", 8, Metric::Dot, "small"), "another metric"),
        (archive("model", 8, Metric::L2, "large"), "different embedding models"),
    ] {
        let into = locator("archive", &dir.path().join("all"));
        let ran = Tranship::run(["merge", &one, &other, "--into", &into, "--keep", "first"]).expect(2);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        assert!(!dir.path().join("all").exists());
    }
}
