//! Every column of every row of the stored dumps, in every form.

use serde_json::{Value, json};
use tranship_collection::{Element, IdKinds, IndexSpec, VectorKind};
use tranship_connector::{Count, Known};
use tranship_provider_pgvector::CONNECTOR;
use tranship_testkit::fixtures;
use tranship_testkit::reading::{Outcome, Vector};

use crate::reading::{FORMS, by_value, list, load, options, options_of, stored};

const ROWS: usize = 2700;

/// The dense vector that a text stands for.
fn dense(text: &Value) -> Option<Vector> {
    let inner = text.as_str()?.strip_prefix('[')?.strip_suffix(']')?;
    Some(Vector::Dense(inner.split(',').map(|number| number.parse().unwrap()).collect()))
}

fn sparse(text: &Value) -> Option<Vector> {
    let entries = text.as_str()?.strip_prefix('{')?.split_once('}')?.0;
    let entries = entries.split(',').map(|entry| entry.split_once(':').unwrap());
    let (indices, values) = entries.map(|(i, v)| (i.parse::<u32>().unwrap() - 1, v.parse::<f32>().unwrap())).unzip();
    Some(Vector::Sparse(indices, values))
}

fn base64(hex: &str) -> String {
    use std::fmt::Write;
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = hex.chars().fold(String::new(), |mut bits, digit| {
        write!(bits, "{:04b}", digit.to_digit(16).unwrap()).unwrap();
        bits
    });
    let mut text: String = bits
        .as_bytes()
        .chunks(6)
        .map(|six| format!("{:0<6}", std::str::from_utf8(six).unwrap()))
        .map(|six| char::from(DIGITS[usize::from_str_radix(&six, 2).unwrap()]))
        .collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// What the metadata of a row must be. COPY and pg_dump leave the generated column out.
fn metadata(truth: &Value) -> Value {
    let float = |value: &Value| match value {
        Value::String(text) => json!({ "$float": match text.as_str() {
            "Infinity" => "inf",
            "-Infinity" => "-inf",
            _ => "nan",
        } }),
        Value::Number(number) => json!(number.as_f64().unwrap()),
        other => other.clone(),
    };
    json!({
        "b": truth["b"],
        "doc": truth["doc"],
        "meta": truth["meta"],
        "tags": truth["tags"],
        "f8": float(&truth["f8"]),
        "ts": truth["ts"].as_str().map(|ts| ts.replace('T', " ").replace("+00:00", "+00")),
        "raw": truth["raw"].as_str().map(|raw| json!({ "$bytes": base64(&raw[2..]) })),
        "u": truth["u"],
        "m": truth["m"],
        "n": truth["n"],
    })
}

fn compare(form: &str, outcome: &Outcome, truth: &[Value]) {
    assert_eq!(outcome.rejects, [], "{form}");
    assert_eq!(outcome.records.len(), ROWS, "{form}");
    let records = outcome.by_id();
    for row in truth {
        let id = row["id"].to_string();
        let record = records.get(&(None, id.as_str())).unwrap_or_else(|| panic!("{form}: {id} is missing"));
        let names = [("Emb", dense(&row["Emb"])), ("h", dense(&row["h"])), ("s", sparse(&row["s"])), ("novec", dense(&row["novec"]))];
        for (name, expected) in names {
            assert_eq!(record.vectors.get(name), expected.as_ref(), "{form}: {name} of {id}");
        }
        assert_eq!(record.json(), metadata(row), "{form}: metadata of {id}");
        assert_eq!(record.document, None);
    }
}

#[test]
fn every_form_of_the_stored_table_holds_every_row_and_every_column() {
    let (_dir, root) = stored();
    let truth = fixtures::jsonl(&root.join("truth.jsonl"));
    for form in FORMS {
        let outcome = load(&root.join(form), &options_of(form)).unwrap();
        compare(form, &outcome, &truth);
        let specs: Vec<_> = outcome.schema.vectors.iter().map(|v| (v.name.as_str(), v.kind, v.element, v.dim)).collect();
        let expected = [
            ("Emb", VectorKind::Dense, Element::F32, Some(8)),
            ("h", VectorKind::Dense, Element::F16, Some(4)),
            ("novec", VectorKind::Dense, Element::F32, Some(3)),
            ("s", VectorKind::Sparse, Element::F32, None),
        ];
        assert_eq!(specs, expected, "{form}");
        assert_eq!(outcome.schema.ids, IdKinds::Integer);
        let counted = outcome.ledger.raw.is_some();
        assert_eq!(counted, form.ends_with(".sql"), "{form}");
        assert_eq!(outcome.ledger.raw.unwrap_or(ROWS as u64), ROWS as u64, "{form}");
    }
}

#[test]
fn all_forms_give_the_same_records() {
    let (_dir, root) = stored();
    let read = |form: &str| {
        let outcome = load(&root.join(form), &options_of(form)).unwrap();
        outcome.records.iter().map(by_value).collect::<Vec<_>>()
    };
    let plain = read("plain.sql");
    for form in FORMS {
        assert!(read(form) == plain, "{form}");
    }
}

#[test]
fn a_listing_tells_tables_counts_and_producer() {
    let (_dir, root) = stored();
    for form in ["plain.sql", "inserts.sql", "custom.dump", "tar.dump", "dirfmt"] {
        let infos = list(&root.join(form)).unwrap();
        let names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
        assert_eq!(names, ["app.Docs ,odd", "public.plain"], "{form}");
        let producer = infos[0].producer.as_deref().unwrap();
        assert!(producer.starts_with("PostgreSQL 15.20"), "{producer}");
        let counts: Vec<Count> = infos.iter().map(|info| info.records).collect();
        match form {
            "plain.sql" | "inserts.sql" => assert_eq!(counts, [Count::Exact(2700), Count::Exact(2)]),
            _ => assert_eq!(counts, [Count::Unknown; 2]),
        }
    }
}

#[test]
fn a_small_table_of_the_same_dump_is_read_by_its_name_alone() {
    let (_dir, root) = stored();
    for form in ["plain.sql", "inserts.sql", "custom.dump", "custom_z0.dump", "tar.dump", "dirfmt"] {
        let outcome = load(&root.join(form), &options(&[("collection", "plain")])).unwrap();
        let records: Vec<_> = outcome.records.iter().map(|r| (r.id.as_str(), r.dense("").map(<[f32]>::to_vec))).collect();
        assert_eq!(records, [("a", Some(vec![1.0, 2.0, 3.0])), ("b", None)], "{form}");
        assert_eq!(outcome.schema.ids, IdKinds::Text);
        assert_eq!(outcome.schema.vectors[0].index, None::<IndexSpec>);
    }
    let binary = load(&root.join("plain_bin.bin"), &options(&[("columns", "id:text,embedding:vector")])).unwrap();
    assert_eq!(binary.records[0].dense(""), Some(&[1.0, 2.0, 3.0][..]));
    assert_eq!((binary.records.len(), binary.records[1].dense("")), (2, None));
}

#[test]
fn every_stored_form_is_recognised() {
    let (_dir, root) = stored();
    for form in ["plain.sql", "inserts.sql", "custom.dump", "custom_z0.dump", "tar.dump", "dirfmt", "copy_bin.bin"] {
        assert!((CONNECTOR.probe)(&root.join(form)) >= Some(95), "{form}");
    }
    assert_eq!((CONNECTOR.probe)(&root.join("truth.jsonl")), None);
    assert_eq!((CONNECTOR.probe)(&root), None);
    assert!(CONNECTOR.capabilities.covers.iter().any(|row| row.known == Known::StoredDump));
}
