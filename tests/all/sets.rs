//! Two sets that differ: every difference is found and named.

use std::path::Path;

use serde_json::{Value, json};
use tranship_testkit::{Generator, MemorySource, Tranship, fixtures};

use crate::support::{convert, locator, wordnet_archive};
use crate::transfer;

/// The wordnet collection as JSON lines.
fn lines(dir: &Path) -> Vec<Value> {
    let file = dir.join("w.jsonl");
    convert("chroma:fixtures/chroma-wordnet", &locator("jsonl", &file), &[]);
    fixtures::jsonl(&file)
}

fn write(path: &Path, records: &[Value]) {
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    std::fs::write(path, text).unwrap();
}

/// The report of `verify A B`, which must find a difference.
fn differences(a: &Path, b: &Path) -> Value {
    let (a, b) = (locator("archive", a), locator("jsonl", b));
    Tranship::run(["verify", &a, &b, "--json"]).expect(1).json()
}

fn named(report: &Value) -> Vec<(String, String)> {
    let mut named: Vec<(String, String)> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|d| {
            d["fields"].as_array().unwrap().iter().map(|f| (text(&d["id"]), text(&f["field"]))).collect::<Vec<_>>()
        })
        .collect();
    named.sort();
    named
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn a_directory_an_archive_and_json_lines_of_one_collection_are_equal_by_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    let archive = locator("archive", &wordnet_archive(dir.path()));
    let mut records = lines(dir.path());
    records.reverse();
    let reversed = dir.path().join("reversed.jsonl");
    // serde_json re-prints floats as f64 and sorts keys: other bytes, the same values.
    write(&reversed, &records);
    for other in ["chroma:fixtures/chroma-wordnet".to_owned(), locator("jsonl", &dir.path().join("w.jsonl"))] {
        let report = Tranship::run(["verify", &archive, &other, "--json"]).expect(0).json();
        assert_eq!((&report["equal"], &report["by_fingerprint"]), (&json!(true), &json!(true)), "{other}");
    }
    Tranship::run(["verify", &archive, &locator("jsonl", &reversed)]).expect(0);
}

#[test]
fn two_records_with_swapped_vectors_are_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let archive = wordnet_archive(dir.path());
    let mut records = lines(dir.path());
    let (a, b) = (records[3]["vector"].clone(), records[900]["vector"].clone());
    (records[3]["vector"], records[900]["vector"]) = (b, a);
    let swapped = dir.path().join("swapped.jsonl");
    write(&swapped, &records);
    let report = differences(&archive, &swapped);
    let mut ids = [text(&records[3]["id"]), text(&records[900]["id"])];
    ids.sort();
    let found = named(&report);
    assert_eq!(found.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), ids);
    assert!(found.iter().all(|(_, field)| field.starts_with("vector[")), "{found:?}");
    assert_eq!((&report["changed"], &report["missing"], &report["extra"]), (&json!(2), &json!(0), &json!(0)));
}

#[test]
fn two_records_with_swapped_documents_are_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let archive = wordnet_archive(dir.path());
    let mut records = lines(dir.path());
    let (a, b) = (records[10]["document"].clone(), records[11]["document"].clone());
    (records[10]["document"], records[11]["document"]) = (b, a);
    let swapped = dir.path().join("swapped.jsonl");
    write(&swapped, &records);
    let mut expected: Vec<_> = [10, 11].iter().map(|row| (text(&records[*row]["id"]), "document".to_owned())).collect();
    expected.sort();
    assert_eq!(named(&differences(&archive, &swapped)), expected);
}

#[test]
fn missing_extra_and_changed_records_are_counted_and_named_with_both_values() {
    let dir = tempfile::tempdir().unwrap();
    let archive = wordnet_archive(dir.path());
    let mut records = lines(dir.path());
    let gone = records.remove(100);
    let key = records[7]["metadata"].as_object().unwrap().keys().next().unwrap().clone();
    records[7]["metadata"][&key] = json!("another value");
    let mut extra = records[0].clone();
    extra["id"] = json!("an extra one");
    records.push(extra);
    let other = dir.path().join("other.jsonl");
    write(&other, &records);
    let report = differences(&archive, &other);
    assert_eq!(report["missing_ids"], json!([gone["id"]]));
    assert_eq!(report["extra_ids"], json!(["an extra one"]));
    assert_eq!(named(&report), [(text(&records[7]["id"]), format!("metadata.{key}"))]);
    assert_eq!(report["differences"][0]["fields"][0]["b"], "\"another value\"");
    let told = Tranship::run(["verify", &locator("archive", &archive), &locator("jsonl", &other)]).expect(1).stdout;
    assert!(
        told.contains("DIFFERENT") && told.contains("an extra one only in B") && told.contains("another value"),
        "{told}"
    );
}

#[test]
fn one_bit_of_one_float_is_a_difference_unless_tolerance_is_granted() {
    let dir = tempfile::tempdir().unwrap();
    let archive = wordnet_archive(dir.path());
    let mut records = lines(dir.path());
    let value: f32 = records[50]["vector"][17].to_string().parse().unwrap();
    records[50]["vector"][17] = json!(f64::from(f32::from_bits(value.to_bits() ^ 1)));
    let other = dir.path().join("other.jsonl");
    write(&other, &records);
    assert_eq!(named(&differences(&archive, &other)), [(text(&records[50]["id"]), "vector[17]".to_owned())]);
    let (a, b) = (locator("archive", &archive), locator("jsonl", &other));
    let report = Tranship::run(["verify", &a, &b, "--tolerance", "1e-6", "--json"]).expect(0).json();
    assert_eq!((&report["tolerated"], &report["by_fingerprint"]), (&json!(1), &json!(false)));
}

#[test]
fn one_bit_and_one_narrow_element_are_differences_that_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let generator = Generator { rows: 50, narrow: true, bits: true, ..Generator::default() };
    let archive = dir.path().join("a.tranship");
    let source = MemorySource::new(generator.schema(), generator.batches(), 1);
    transfer::write(&source, &locator("archive", &archive), transfer::engine(1, 512 << 20), 0).unwrap();
    let file = dir.path().join("a.jsonl");
    convert(&locator("archive", &archive), &locator("jsonl", &file), &[]);
    let mut records = fixtures::jsonl(&file);
    let having = |records: &[Value], name: &str| records.iter().position(|r| !r["vectors"][name].is_null()).unwrap();
    let (bits, byte) = (having(&records, "flags"), having(&records, "byte"));
    let signs = text(&records[bits]["vectors"]["flags"]["bits"]);
    let turned = if &signs[9..10] == "1" { "0" } else { "1" };
    records[bits]["vectors"]["flags"]["bits"] = json!(format!("{}{turned}{}", &signs[..9], &signs[10..]));
    let value = records[byte]["vectors"]["byte"][2].as_f64().unwrap();
    records[byte]["vectors"]["byte"][2] = json!(if value > 9.0 { value - 1.0 } else { value + 1.0 });
    let other = dir.path().join("b.jsonl");
    write(&other, &records);
    let mut expected = [
        (text(&records[bits]["id"]), "vector.flags[9]".to_owned()),
        (text(&records[byte]["id"]), "vector.byte[2]".to_owned()),
    ];
    expected.sort();
    assert_eq!(named(&differences(&archive, &other)), expected);
}

#[test]
fn a_number_that_changed_its_type_is_a_difference() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.jsonl"), dir.path().join("b.jsonl"));
    std::fs::write(&a, "{\"id\":\"x\",\"vector\":[1,2],\"metadata\":{\"n\":1,\"t\":true,\"z\":null}}\n").unwrap();
    std::fs::write(&b, "{\"id\":\"x\",\"vector\":[1.0,2.0],\"metadata\":{\"n\":1.0,\"t\":\"true\"}}\n").unwrap();
    let report = Tranship::run(["verify", &locator("jsonl", &a), &locator("jsonl", &b), "--json"]).expect(1).json();
    let fields: Vec<_> = named(&report).into_iter().map(|(_, field)| field).collect();
    assert_eq!(fields, ["metadata.n", "metadata.t", "metadata.z"]);
}
