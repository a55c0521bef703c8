//! One record of each native dump changed in each way that migrations change records: found, named and classed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use serde_json::{Value, json};
use tranship_testkit::{Random, Tranship, fixtures};

use crate::support::locator;

/// A way to spoil a record, and the class that it must be given; `None` where values alone cannot tell.
type Mutation = (&'static str, fn(&mut Value) -> bool, Option<&'static str>);

const MUTATIONS: &[Mutation] = &[
    ("f16", |r| each_float(r, |x, _| f16::from_f32(x).to_f32()), Some("rounded to f16")),
    ("bf16", |r| each_float(r, |x, _| bf16::from_f32(x).to_f32()), Some("rounded to bf16")),
    ("quantised", quantised, Some("quantised")),
    (
        "null to missing",
        |r| {
            r["metadata"].is_object() && {
                let entries = r["metadata"].as_object_mut().unwrap();
                let null = entries.iter().find(|(_, value)| value.is_null()).map(|(key, _)| key.clone());
                // What has no null gets one: the class is the same both ways.
                match null {
                    Some(key) => drop(entries.remove(&key)),
                    None => drop(entries.insert("nothing".to_owned(), Value::Null)),
                }
                true
            }
        },
        Some("null became missing"),
    ),
    ("flattened", flattened, Some("nested flattened")),
    ("negated", |r| each_float(r, |x, _| -x), Some("negated")),
    ("normalised", |r| each_float(r, |x, length| x / length), Some("normalised to unit length")),
    ("one element", |r| first_float(r), None),
    (
        "int to float",
        |r| metadata(r, |v| v.as_i64().filter(|n| n.abs() < 1 << 50).map(|n| json!(n as f64))),
        Some("int became float"),
    ),
    (
        "value to text",
        |r| metadata(r, |v| (v.is_boolean() || v.is_i64()).then(|| json!(v.to_string()))),
        Some("value became text"),
    ),
    (
        "reordered",
        |r| {
            metadata(r, |v| {
                Some(json!(
                    v.as_array()
                        .filter(|list| list.len() > 1 && list[0] != list[list.len() - 1])?
                        .iter()
                        .rev()
                        .collect::<Vec<_>>()
                ))
            })
        },
        Some("reordered array"),
    ),
    (
        "document",
        |r| {
            r.get("document").is_some() && {
                r["document"] = json!("another text");
                true
            }
        },
        None,
    ),
];

fn vector(record: &mut Value) -> Option<&mut Vec<Value>> {
    if record.get("vector").is_some() {
        return record["vector"].as_array_mut();
    }
    let named = record.get_mut("vectors")?.as_object_mut()?;
    named.values_mut().find_map(|value| value.as_array_mut().filter(|list| list.first().is_some_and(Value::is_number)))
}

/// Changes every element; the change must be one that shows.
fn each_float(record: &mut Value, change: fn(f32, f32) -> f32) -> bool {
    let Some(values) = vector(record) else { return false };
    let before: Vec<f32> = values.iter().map(|value| value.as_f64().unwrap() as f32).collect();
    let length = before.iter().map(|x| x * x).sum::<f32>().sqrt();
    let after: Vec<f32> = before.iter().map(|x| change(*x, length)).collect();
    let far = before.iter().zip(&after).any(|(x, y)| (x - y).abs() > 1e-6 * x.abs().max(1e-3));
    *values = after.iter().map(|value| json!(value)).collect();
    far && length > 0.0 && after.iter().all(|value| value.is_finite())
}

fn first_float(record: &mut Value) -> bool {
    let Some(values) = vector(record) else { return false };
    let first = values[0].as_f64().unwrap();
    values[0] = json!(if first == 1.0 { 3.0 } else { 1.0 });
    true
}

/// 256 even levels between the least and the largest element.
fn quantised(record: &mut Value) -> bool {
    let Some(values) = vector(record).filter(|values| values.len() >= 16) else { return false };
    let before: Vec<f32> = values.iter().map(|value| value.as_f64().unwrap() as f32).collect();
    let low = before.iter().copied().fold(f32::INFINITY, f32::min);
    let step = (before.iter().copied().fold(f32::NEG_INFINITY, f32::max) - low) / 255.0;
    *values = before.iter().map(|x| json!(low + ((x - low) / step).round() * step)).collect();
    step > 0.0 && step.is_finite()
}

fn flattened(record: &mut Value) -> bool {
    let Some(entries) = record.get_mut("metadata").and_then(Value::as_object_mut) else { return false };
    let filled = |value: &Value| value.as_object().is_some_and(|inner| !inner.is_empty());
    let Some(key) = entries.iter().find(|(_, value)| filled(value)).map(|(key, _)| key.clone()) else { return false };
    let Some(Value::Object(inner)) = entries.remove(&key) else { return false };
    inner.into_iter().for_each(|(name, value)| drop(entries.insert(format!("{key}.{name}"), value)));
    true
}

fn metadata(record: &mut Value, change: fn(&Value) -> Option<Value>) -> bool {
    let Some(entries) = record.get_mut("metadata").and_then(Value::as_object_mut) else { return false };
    for value in entries.values_mut() {
        if let Some(changed) = change(value) {
            *value = changed;
            return true;
        }
    }
    false
}

struct Dump {
    fixture: &'static str,
    inside: &'static str,
    flags: &'static [&'static str],
    /// How many of the mutations can be made with its records.
    mutations: usize,
}

impl Dump {
    fn home(&self) -> PathBuf {
        let plain = fixtures::path(self.fixture);
        if plain.is_dir() { plain } else { fixtures::shared(self.fixture) }
    }

    fn check(&self) {
        let home = self.home();
        let (provider, inside) = self.inside.split_once(':').unwrap();
        let source = locator(provider, &home.join(inside));
        let flags: Vec<String> =
            self.flags.iter().map(|flag| flag.replace("{home}", &home.display().to_string())).collect();
        let work = tempfile::tempdir().unwrap();
        let plain = work.path().join("plain.jsonl");
        let run =
            |words: &[&str]| Tranship::run(words.iter().map(|word| (*word).to_owned()).chain(flags.iter().cloned()));
        run(&["convert", &source, &locator("jsonl", &plain)]).expect(0);
        let (changed, wanted) = self.spoil(&plain, &work.path().join("spoilt.jsonl"));
        let report =
            run(&["verify", &source, &locator("jsonl", &changed), "--max-named", "100", "--json"]).expect(1).json();
        let found = |key: &str| report[key].as_u64().unwrap();
        assert_eq!((found("missing"), found("extra"), found("changed")), (1, 1, wanted.len() as u64), "{report:#}");
        assert_eq!(report["extra_ids"], json!(["resurrected"]));
        for difference in report["differences"].as_array().unwrap() {
            let id = difference["id"].as_str().unwrap();
            let (name, class) = wanted.get(id).unwrap_or_else(|| panic!("{id} was not changed"));
            let classes: BTreeSet<&str> =
                difference["fields"].as_array().unwrap().iter().filter_map(|field| field["class"].as_str()).collect();
            match class {
                Some(class) => assert!(classes.contains(class), "{id}, {name}: {difference:#}"),
                None => assert!(classes.is_empty(), "{id}, {name}: {difference:#}"),
            }
        }
        assert!(wanted.len() >= self.mutations, "only {} mutations could be made: {wanted:?}", wanted.len());
    }

    /// One record is gone, one is there that should not be, and one is changed in each way.
    fn spoil(&self, plain: &Path, out: &Path) -> (PathBuf, BTreeMap<String, (&'static str, Option<&'static str>)>) {
        let text = std::fs::read_to_string(plain).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut wanted = BTreeMap::new();
        let mut at = 10;
        for (name, change, class) in MUTATIONS {
            for (line, text) in lines.iter_mut().enumerate().skip(at) {
                let mut record: Value = serde_json::from_str(text).unwrap();
                let before = record.clone();
                // A record with numbers that this test cannot spell again would differ by more than the mutation.
                let faithful =
                    !text.contains("e+") && serde_json::from_str::<Value>(&before.to_string()).unwrap() == before;
                if faithful && change(&mut record) && record != before {
                    let id = record["id"].as_str().map_or_else(|| record["id"].to_string(), str::to_owned);
                    wanted.insert(id, (*name, *class));
                    *text = record.to_string();
                    at = line + 1;
                    break;
                }
            }
        }
        let mut extra: Value = serde_json::from_str(&lines[1]).unwrap();
        extra["id"] = json!("resurrected");
        lines.push(extra.to_string());
        lines.remove(0);
        std::fs::write(out, lines.join("\n") + "\n").unwrap();
        (out.to_owned(), wanted)
    }
}

macro_rules! dumps {
    ($($name:ident: $fixture:literal, $inside:literal, [$($flag:literal),*], $mutations:literal;)*) => {
        $(
            #[test]
            fn $name() {
                Dump { fixture: $fixture, inside: $inside, flags: &[$($flag),*], mutations: $mutations }.check();
            }
        )*
    };
}

dumps! {
    a_chroma_directory: "chroma-wordnet", "chroma:", [], 10;
    a_qdrant_snapshot: "qdrant-1.19-plain_dot", "qdrant:server119_plain_dot.snapshot", [], 10;
    a_milvus_directory: "milvus-lite-3.2.2", "milvus:milvus-lite-3.2.2.db", ["--collection", "typed"], 9;
    a_pg_dump: "pgvector-0.8", "pgvector:pg/custom.dump", ["--collection", "app.Docs ,odd"], 8;
}

#[test]
fn an_archive_a_parquet_file_and_json_lines() {
    for (provider, name) in [("archive", "x.tranship"), ("parquet", "x.parquet"), ("jsonl", "x.jsonl")] {
        let dir = tempfile::tempdir().unwrap();
        let other = locator(provider, &dir.path().join(name));
        Tranship::run(["convert", "chroma:fixtures/chroma-wordnet", &other]).expect(0);
        let plain = dir.path().join("plain.jsonl");
        Tranship::run(["convert", &other, &locator("jsonl", &plain)]).expect(0);
        let dump = Dump { fixture: "chroma-wordnet", inside: "chroma:", flags: &[], mutations: 6 };
        let (changed, wanted) = dump.spoil(&plain, &dir.path().join("spoilt.jsonl"));
        let report = Tranship::run(["verify", &other, &locator("jsonl", &changed), "--json"]).expect(1).json();
        assert_eq!(report["changed"], wanted.len() as u64, "{provider}");
    }
}

/// 100,000 records that every mutation can be made with.
fn hundred_thousand(dir: &Path) -> PathBuf {
    let plain = dir.join("plain.jsonl");
    let mut random = Random::new(100);
    let mut text = String::new();
    for row in 0..100_000 {
        let vector: Vec<f32> = (0..16).map(|_| random.unit()).collect();
        let metadata = json!({ "n": row, "flag": row % 2 == 0, "gone": null, "list": [row, 1, 2], "deep": { "a": { "b": row }, "c": "x" } });
        let record = json!({ "id": format!("r{row}"), "vector": vector, "document": format!("text {row}"), "metadata": metadata });
        text.push_str(&format!("{record}\n"));
    }
    std::fs::write(&plain, text).unwrap();
    plain
}

/// What became of 100,000 records: a set that differs from them, one that they were before, and what must be found.
struct Spoilt {
    b: String,
    earlier: String,
    wanted: BTreeMap<String, (&'static str, Option<&'static str>)>,
}

/// Every class of `MUTATIONS` has one record, two records have each other's ids, one is moved and one came back.
fn one_of_each(plain: &Path, dir: &Path) -> Spoilt {
    let dump = Dump { fixture: "", inside: "", flags: &[], mutations: 0 };
    let (changed, mut wanted) = dump.spoil(plain, &dir.join("spoilt.jsonl"));
    let text = std::fs::read_to_string(&changed).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (x, y) = (lines[50_000].clone(), lines[50_001].clone());
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    let renamed =
        |line: &str, new: &str| line.replace(&format!("\"id\":\"{}\"", id(line)), &format!("\"id\":\"{new}\""));
    (lines[50_000], lines[50_001]) = (renamed(&x, &id(&y)), renamed(&y, &id(&x)));
    for line in [&x, &y] {
        wanted.insert(id(line), ("permuted", Some("permuted ids")));
    }
    // `spoil` takes the first record out; it stands under another id now.
    let mut earlier = std::fs::read_to_string(plain).unwrap();
    let first = earlier.lines().next().unwrap().to_owned();
    let last = lines.len() - 1;
    lines[last] = renamed(&first, "moved");
    let deleted = renamed(&first, "deleted long ago").replace("text 0", "a text that nobody has any more");
    earlier.push_str(&format!("{deleted}\n"));
    std::fs::write(dir.join("earlier.jsonl"), earlier).unwrap();
    lines.push(deleted);
    lines.reverse();
    std::fs::write(&changed, lines.join("\n") + "\n").unwrap();
    assert_eq!(wanted.len(), MUTATIONS.len() + 2, "not every mutation could be made: {wanted:?}");
    Spoilt { b: locator("jsonl", &changed), earlier: locator("jsonl", &dir.join("earlier.jsonl")), wanted }
}

impl Spoilt {
    fn is_found_in(&self, a: &str, flags: &[&str]) {
        let words = [&["verify", a, &self.b, "--earlier", &self.earlier, "--json"][..], flags].concat();
        let report = Tranship::run(words).expect(1).json();
        assert_eq!([&report["missing"], &report["extra"]], [&json!(1), &json!(2)], "{a}");
        assert_eq!(report["moved"], json!([{ "a": "r0", "b": "moved" }]), "{a}");
        assert_eq!([&report["resurrected"], &report["resurrected_ids"]], [&json!(1), &json!(["deleted long ago"])]);
        let found: BTreeMap<String, BTreeSet<String>> = report["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|difference| {
                let classes = difference["fields"].as_array().unwrap().iter().filter_map(|f| f["class"].as_str());
                (difference["id"].as_str().unwrap().to_owned(), classes.map(str::to_owned).collect())
            })
            .collect();
        assert_eq!(found.keys().collect::<Vec<_>>(), self.wanted.keys().collect::<Vec<_>>(), "{a}");
        for (id, (name, class)) in &self.wanted {
            let Some(class) = class else { continue };
            assert!(found[id].contains(*class), "{a}, {name}: {:?}", found[id]);
        }
    }
}

#[test]
fn one_record_of_each_class_among_a_hundred_thousand_is_named_and_classed_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let plain = hundred_thousand(dir.path());
    let (lines, spoilt) = (locator("jsonl", &plain), one_of_each(&plain, dir.path()));
    for (provider, name) in [("archive", "x.tranship"), ("parquet", "x.parquet")] {
        let other = locator(provider, &dir.path().join(name));
        Tranship::run(["convert", &lines, &other, "--metric", "dot"]).expect(0);
        Tranship::run(["verify", &lines, &other]).expect(0);
        spoilt.is_found_in(&other, &[]);
    }
    spoilt.is_found_in(&lines, &[]);
    // Qdrant's own files, as tranship writes them: the records of a snapshot, behind the mapping of its bundle.
    let (archive, bundle) = (locator("archive", &dir.path().join("x.tranship")), dir.path().join("bundle"));
    Tranship::run(["convert", &archive, &locator("qdrant", &bundle), "--target-option", "form=snapshot"]).expect(0);
    spoilt.is_found_in(&locator("qdrant", &bundle), &[]);
    // PostgreSQL's COPY of such a table.
    let table = dir.path().join("copy.tsv");
    let rows = std::fs::read_to_string(&plain).unwrap();
    let row = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let field = |value: String| value.replace('\\', "\\\\").replace('\t', "\\t");
        let [vector, document, metadata] = ["vector", "document", "metadata"].map(|key| &record[key]);
        let id = record["id"].as_str().unwrap();
        format!("{id}\t{vector}\t{}\t{}\n", field(metadata.to_string()), field(document.as_str().unwrap().to_owned()))
    };
    std::fs::write(&table, rows.lines().map(row).collect::<String>()).unwrap();
    let columns = "columns=id:text,embedding:vector,metadata:jsonb,document:text";
    spoilt.is_found_in(&locator("pgvector", &table), &["-o", columns, "-o", "metadata=metadata"]);
}

#[test]
fn vectors_that_were_cut_are_of_a_class_and_order_alone_is_no_difference() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random::new(5);
    let records: Vec<Value> = (0..500)
        .map(|row| json!({ "id": row, "vector": (0..8).map(|_| random.unit()).collect::<Vec<f32>>(), "metadata": { "n": row } }))
        .collect();
    let write = |name: &str, records: &[Value]| {
        std::fs::write(dir.path().join(name), records.iter().map(|r| format!("{r}\n")).collect::<String>()).unwrap();
        locator("jsonl", &dir.path().join(name))
    };
    let mut cut = records.clone();
    cut.iter_mut().for_each(|record| record["vector"].as_array_mut().unwrap().truncate(5));
    let mut shuffled = records.clone();
    shuffled.reverse();
    shuffled.rotate_left(77);
    let (a, b, c) = (write("a.jsonl", &records), write("b.jsonl", &cut), write("c.jsonl", &shuffled));
    Tranship::run(["verify", &a, &c]).expect(0);
    let report = Tranship::run(["verify", &a, &b, "--json", "--max-named", "3"]).expect(1).json();
    assert_eq!(
        [&report["changed"], &report["differences"][2]["fields"][0]["class"]],
        [&json!(500), &json!("truncated dims")]
    );
    assert_eq!(report["differences"].as_array().unwrap().len(), 3);
    let told = Tranship::run(["verify", &a, &b, "--max-named", "3"]).expect(1).stdout;
    assert!(told.contains("and 497 more changed records"), "{told}");
    Tranship::run(["verify", &a, &b, "--accept", "truncated-dims"]).expect(0);
}

#[test]
fn what_is_accepted_is_counted_in_the_verdict_and_nothing_else_passes() {
    let dir = tempfile::tempdir().unwrap();
    let record = |row: usize| {
        format!("{{\"id\":{row},\"vector\":[{row}.123,0.5,-1],\"metadata\":{{\"n\":{row},\"flag\":true}}}}\n")
    };
    let lines: Vec<String> = (0..3_000).map(record).collect();
    let mut other = lines.clone();
    for row in 0..1_000 {
        other[row] = other[row].replace(&format!("\"n\":{row},"), &format!("\"n\":{row}.0,"));
        if row % 2 == 0 {
            other[row] = other[row].replace("true", "\"true\"");
        }
    }
    let write = |name: &str, lines: &[String]| {
        std::fs::write(dir.path().join(name), lines.concat()).unwrap();
        locator("jsonl", &dir.path().join(name))
    };
    let (a, b) = (write("a.jsonl", &lines), write("b.jsonl", &other));
    let verify = |b: &str, more: &[&str], code: i32| {
        let words = [&["verify", &a, b][..], more].concat();
        let json = Tranship::run([&words[..], &["--json"]].concat()).expect(code).json();
        (json, Tranship::run(&words).expect(code).stdout)
    };
    let both = ["--accept", "int-became-float", "--accept", "value became text"];
    let (json, told) = verify(&b, &both, 0);
    assert_eq!(
        [&json["accepted"], &json["changed"], &json["by_fingerprint"]],
        [&json!(1000), &json!(0), &json!(false)]
    );
    assert_eq!(json["accepted_by_class"], json!({ "int became float": 1000, "value became text": 500 }));
    assert!(
        told.contains("EQUAL") && told.contains("\"int became float\" (1000), \"value became text\" (500)"),
        "{told}"
    );
    let (json, told) = verify(&b, &both[..2], 1);
    assert_eq!([&json["accepted"], &json["changed"]], [&json!(500), &json!(500)]);
    assert_eq!(json["changed_by_component"], json!({ "metadata": 500 }));
    assert!(told.contains("DIFFERENT") && told.contains("\"int became float\" (500)"), "{told}");
    // One value that changed as well is not carried through by those that are accepted.
    other[4] = other[4].replace("4.123", "4.124");
    other.pop();
    let c = write("c.jsonl", &other);
    let (json, _) = verify(&c, &both, 1);
    assert_eq!([&json["accepted"], &json["changed"], &json["missing"]], [&json!(999), &json!(1), &json!(1)]);
    assert_eq!(json["differences"][0]["id"], "4");
    let (json, told) = verify(&c, &["--tolerance", "0.1"], 1);
    assert_eq!([&json["tolerated"], &json["changed"]], [&json!(1), &json!(1000)]);
    assert!(told.contains("within tolerance 1.0e-1: 1 vectors"), "{told}");
    let wrong = Tranship::run(["verify", &a, &b, "--accept", "permuted ids"]).expect(2);
    assert!(
        wrong.stderr.contains("no class of difference that can be accepted") && wrong.stderr.contains("rounded to f16"),
        "{}",
        wrong.stderr
    );
}
