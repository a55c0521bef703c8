//! One record of each native dump changed in each way that migrations change records: found, named and classed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use half::f16;
use serde_json::{Value, json};
use tranship_testkit::{Tranship, fixtures};

use crate::support::locator;

/// A way to spoil a record, and the class that it must be given; `None` where values alone cannot tell.
type Mutation = (&'static str, fn(&mut Value) -> bool, Option<&'static str>);

const MUTATIONS: &[Mutation] = &[
    ("f16", |r| each_float(r, |x, _| f16::from_f32(x).to_f32()), Some("rounded to f16")),
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
    a_chroma_directory: "chroma-wordnet", "chroma:", [], 6;
    a_qdrant_snapshot: "qdrant-1.19-plain_dot", "qdrant:server119_plain_dot.snapshot", [], 6;
    a_milvus_directory: "milvus-lite-3.2.2", "milvus:milvus-lite-3.2.2.db", ["--collection", "typed"], 5;
    a_pg_dump: "pgvector-0.8", "pgvector:pg/custom.dump", ["--collection", "app.Docs ,odd"], 5;
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

#[test]
fn one_changed_record_among_a_hundred_thousand_is_named_whatever_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let record = |row: usize| format!("{{\"id\":{row},\"vector\":[{row},0.5,-1],\"metadata\":{{\"n\":{row}}}}}\n");
    let lines: Vec<String> = (0..100_000).map(record).collect();
    let mut other = lines.clone();
    other[77_777] = other[77_777].replace("\"n\":77777", "\"n\":\"77777\"");
    other.reverse();
    let write = |name: &str, lines: &[String]| {
        std::fs::write(dir.path().join(name), lines.concat()).unwrap();
        locator("jsonl", &dir.path().join(name))
    };
    let (a, b) = (write("a.jsonl", &lines), write("b.jsonl", &other));
    let report = Tranship::run(["verify", &a, &b, "--json"]).expect(1).json();
    assert_eq!((&report["changed"], &report["missing"], &report["extra"]), (&json!(1), &json!(0), &json!(0)));
    assert_eq!(report["differences"][0]["id"], "77777");
    assert_eq!(report["differences"][0]["fields"][0]["class"], "value became text");
}
