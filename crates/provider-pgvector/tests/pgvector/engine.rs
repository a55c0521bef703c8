//! Fresh dumps of PostgreSQL 18 and 16 in every format, against what the engine's own SELECT answers.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tranship_collection::json::Entries;
use tranship_collection::{Element, IndexSpec, Metric, VectorKind};
use tranship_connector::Count;
use tranship_testkit::reading::{Outcome, Record, Vector};
use tranship_testkit::{engines, fixtures};

use crate::reading::{by_value, list, load, options};

const DUMPS: [&str; 13] = [
    "plain.sql",
    "inserts.sql",
    "column_inserts.sql",
    "rows_per_insert.sql",
    "custom.dump",
    "custom_z0.dump",
    "custom_z9.dump",
    "custom_piped.dump",
    "custom_inserts.dump",
    "dir",
    "dir_z0",
    "dir_inserts",
    "tar.dump",
];
const COPIES: [&str; 4] = ["docs.tsv", "docs.csv", "docs_header.csv", "docs.bin"];
const COLUMNS: &str = "id:int8,Emb:vector(8),h:halfvec(4),s:sparsevec(100),b:bit(12),doc:text,meta:jsonb,js:json,tags:text[],\
                       nums:float4[],grid:int4[],i2:int2,i4:int4,f4:float4,f8:float8,flag:bool,d:date,t:time,tz:timetz,\
                       t0:timestamp,ts:timestamptz,iv:interval,raw:bytea,u:uuid,m:text,n:numeric,c:bpchar,v:varchar,novec:vector";
const DOCS: &str = "app.Docs ,odd";

fn made(version: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let arguments = [out.as_os_str(), OsStr::new("--postgres"), OsStr::new(version)];
    engines::run("postgres", "pgvector_make.py", &arguments);
    dir
}

fn number(value: &Value) -> f32 {
    value.as_str().unwrap().parse().unwrap()
}

/// The vector that the engine tells for a column.
fn told(value: &Value) -> Option<Vector> {
    match value {
        Value::Null => None,
        Value::Array(values) => Some(Vector::Dense(values.iter().map(number).collect())),
        Value::String(text) => {
            let entries = text.strip_prefix('{').unwrap().split_once('}').unwrap().0;
            let entries = entries.split(',').map(|entry| entry.split_once(':').unwrap());
            let (indices, values) =
                entries.map(|(i, v)| (i.parse::<u32>().unwrap() - 1, v.parse::<f32>().unwrap())).unzip();
            Some(Vector::Sparse(indices, values))
        }
        other => panic!("{other}"),
    }
}

fn bits_of(vector: Option<&Vector>) -> Option<Vec<u32>> {
    match vector? {
        Vector::Dense(values) => Some(values.iter().map(|value| value.to_bits()).collect()),
        Vector::Sparse(indices, values) => {
            Some(indices.iter().copied().chain(values.iter().map(|v| v.to_bits())).collect())
        }
        other => panic!("{other:?}"),
    }
}

/// The JSON text that a float's text stands for, as a number or wrapped.
fn same_float(found: &str, told: &str) -> bool {
    match told {
        "NaN" => found == r#"{"$float":"nan"}"#,
        "Infinity" => found == r#"{"$float":"inf"}"#,
        "-Infinity" => found == r#"{"$float":"-inf"}"#,
        _ => {
            found.contains(['.', 'e'])
                && found.parse::<f64>().unwrap().to_bits() == told.parse::<f64>().unwrap().to_bits()
        }
    }
}

/// True if the entry `key` with the text `found` is what the engine tells.
fn is_same(key: &str, found: &str, told: &Value) -> bool {
    let found_value: Value = serde_json::from_str(found).unwrap();
    match (key, told) {
        (_, Value::Null) => found == "null",
        ("f4" | "f8", Value::String(text)) => same_float(found, text),
        ("n", Value::String(text)) if !text.starts_with(['N', 'I', '-']) => found == text,
        ("n", Value::String(text)) => found == text || same_float(found, text),
        ("raw", Value::String(text)) => found_value["$bytes"] == *text,
        ("nums", Value::Array(items)) => {
            let Value::Array(elements) = &found_value else { return false };
            elements.len() == items.len()
                && elements.iter().zip(items).all(|(element, told)| match told {
                    Value::String(text) => same_float(&element.to_string(), text),
                    other => element == other,
                })
        }
        _ => found_value == *told,
    }
}

fn compare(form: &str, record: &Record, told_row: &Value, vectors: &[&str], apart: &[&str]) {
    let id = &record.id;
    for name in vectors {
        let own = if vectors.len() == 1 { "" } else { name };
        assert_eq!(
            bits_of(record.vectors.get(own)),
            bits_of(told(&told_row[*name]).as_ref()),
            "{form}: {name} of {id}"
        );
    }
    let text = record.metadata.as_deref().unwrap_or("{}");
    let found: BTreeMap<String, String> = Entries::parse(text)
        .unwrap()
        .0
        .into_iter()
        .map(|(key, value)| (key.into_owned(), value.get().to_owned()))
        .collect();
    let Value::Object(told_row) = told_row else { panic!("{told_row}") };
    let keys: Vec<&String> =
        told_row.keys().filter(|key| !vectors.contains(&key.as_str()) && !apart.contains(&key.as_str())).collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), keys, "{form}: {id}");
    for key in keys {
        assert!(
            is_same(key, &found[key], &told_row[key]),
            "{form}: {key} of {id}: {} is not {}",
            found[key],
            told_row[key]
        );
    }
}

fn check_docs(form: &str, outcome: &Outcome, truth: &[Value]) {
    assert_eq!(outcome.rejects.first(), None, "{form}");
    assert_eq!(outcome.records.len(), truth.len(), "{form}");
    let records = outcome.by_id();
    for row in truth {
        let id = row["id"].to_string();
        compare(form, records[&(None, id.as_str())], row, &["Emb", "h", "s", "novec"], &["id"]);
    }
}

fn check_indexes(form: &str, outcome: &Outcome) {
    let of = |name: &str| {
        let spec = outcome.schema.vector(name).unwrap();
        (spec.element, spec.dim, spec.metric, spec.index.clone())
    };
    let hnsw = |m, ef_construction| Some(IndexSpec::Hnsw { m, ef_construction, ef_search: None });
    assert_eq!(of("Emb"), (Element::F32, Some(8), Some(Metric::Cosine), hnsw(24, 100)), "{form}");
    assert_eq!(of("h"), (Element::F16, Some(4), Some(Metric::L1), hnsw(16, 64)), "{form}");
    assert_eq!(of("novec"), (Element::F32, Some(3), Some(Metric::Dot), hnsw(16, 64)), "{form}");
}

fn check_version(version: &str) {
    let dir = made(version);
    let out = dir.path().join("out");
    let truth = fixtures::jsonl(&out.join("docs.jsonl"));
    assert_eq!(truth.len(), 600, "700 rows, every seventh deleted");
    let mut first = None;
    for form in DUMPS.into_iter().chain(["data_only.sql", "via_root.dump"]).chain(COPIES) {
        let chosen = match form {
            "docs.tsv" | "docs.csv" | "docs_header.csv" | "docs.bin" => options(&[("columns", COLUMNS)]),
            "data_only.sql" => options(&[("columns", COLUMNS), ("collection", DOCS)]),
            _ => options(&[("collection", DOCS)]),
        };
        let outcome = load(&out.join(form), &chosen).unwrap_or_else(|e| panic!("{form}: {e}"));
        check_docs(form, &outcome, &truth);
        let mut values: Vec<_> = outcome.records.iter().map(by_value).collect();
        values.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        assert!(*first.get_or_insert_with(|| values.clone()) == values, "{form} differs by value");
        if form.ends_with(".dump") || form.starts_with("dir") {
            check_indexes(form, &outcome);
        }
    }
    check_other_tables(&out);
}

fn check_other_tables(out: &Path) {
    let (parts, bits, keyless) = (truth(out, "parts"), truth(out, "bits"), truth(out, "keyless"));
    for form in DUMPS.into_iter().chain(["via_root.dump"]) {
        let path = out.join(form);
        let names: Vec<String> = list(&path).unwrap().into_iter().map(|info| info.name).collect();
        assert_eq!(names, [DOCS, "public.bits", "public.empty", "public.keyless", "public.parts"], "{form}");

        let composite = load(&path, &options(&[("collection", "parts")])).unwrap_err();
        assert!(composite.to_string().contains("tenant, id"), "{composite}");
        let outcome = load(&path, &options(&[("collection", "parts"), ("namespace", "tenant")])).unwrap();
        assert_eq!((outcome.records.len(), outcome.rejects.len()), (parts.len(), 0), "{form}");
        assert_eq!(outcome.schema.vectors[0].metric, Some(Metric::Dot), "{form}");
        let records = outcome.by_id();
        for row in &parts {
            let id = row["id"].to_string();
            compare(form, records[&(row["tenant"].as_str(), id.as_str())], row, &["e"], &["id", "tenant"]);
        }

        let outcome = load(&path, &options(&[("collection", "bits")])).unwrap();
        let spec = &outcome.schema.vectors[0];
        assert_eq!((spec.kind, spec.dim, spec.metric), (VectorKind::Bits, Some(37), Some(Metric::Hamming)), "{form}");
        check_bits(form, &outcome, &bits);

        let outcome = load(&path, &options(&[("collection", "keyless")])).unwrap();
        assert_eq!(outcome.records.len(), keyless.len(), "{form}");
        for (at, (record, row)) in outcome.records.iter().zip(&keyless).enumerate() {
            assert_eq!(record.id, at.to_string());
            compare(form, record, row, &["e"], &[]);
        }

        let outcome = load(&path, &options(&[("collection", "empty")])).unwrap();
        assert_eq!((outcome.records.len(), outcome.schema.vectors[0].dim), (0, Some(2)), "{form}");
    }
    let outcome =
        load(&out.join("bits.bin"), &options(&[("columns", "id:uuid,code:bit(37)"), ("vector", "code")])).unwrap();
    check_bits("bits.bin", &outcome, &bits);
    let counts: Vec<Count> = list(&out.join("plain.sql")).unwrap().iter().map(|info| info.records).collect();
    assert_eq!(counts, [600, 50, 0, 121, 300].map(Count::Exact));
}

fn check_bits(form: &str, outcome: &Outcome, truth: &[Value]) {
    assert_eq!(outcome.records.len(), truth.len(), "{form}");
    let records = outcome.by_id();
    for row in truth {
        let code = row["code"].as_str().unwrap();
        let packed = code.as_bytes().chunks(8).map(|eight| {
            let text = format!("{:0<8}", std::str::from_utf8(eight).unwrap());
            u8::from_str_radix(&text, 2).unwrap()
        });
        let record = records[&(None, row["id"].as_str().unwrap())];
        assert_eq!(record.vectors[""], Vector::Bits(packed.collect()), "{form}");
    }
}

fn truth(out: &Path, name: &str) -> Vec<Value> {
    fixtures::jsonl(&out.join(format!("{name}.jsonl")))
}

#[test]
fn fresh_dumps_of_postgresql_18_hold_what_its_select_answers() {
    check_version("18");
}

#[test]
fn fresh_dumps_of_postgresql_16_hold_what_its_select_answers() {
    check_version("16");
}
