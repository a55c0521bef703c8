//! Milvus bundles, imported by a real Milvus 2.3.5 server from their own scripts and queried back row by row.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tranship_testkit::{Generator, MemorySource, Random, Tranship, engines};

use crate::support::{arg, convert, locator};
use crate::transfer;

/// Metadata that an importer could change on its way: kinds of numbers, escapes, nesting, keys named as fields are.
const METADATA: [&str; 8] = [
    "{}",
    r#"{"a": 1, "b": 1.0, "c": -0.0, "d": 9007199254740993, "e": 9223372036854775807, "f": 18446744073709551615}"#,
    r#"{"nested": {"deep": [1, 2.5, null, {"ü": "\u0001"}]}, "ünïcode 😀": "\"q\" \\ \n</script>&"}"#,
    r#"{"x": 0.1234567890123456, "y": 1e300, "z": 5e-324, "t": true, "n": null, "1e22": 1e22}"#,
    r#"{"vector": [1, 2], "pk": "mine", "e": [], "o": {}, "$meta": 1}"#,
    r#"{"big": -9223372036854775808, "f": 1e16, "g": 123456789.0, "h": 100000000000000000000.0}"#,
    r#"{"nul": "a\u0000b", "long": "äöü äöü äöü äöü", "k": [[], [[]]]}"#,
    r#"{"a.b": {"c.d": 1}, "": "no key", "with space": false}"#,
];

fn floats(random: &mut Random) -> String {
    let values: Vec<String> = (0..16).map(|_| random.unit().to_string()).collect();
    values.join(",")
}

/// Integer ids to the ends of what Milvus answers, every kind of metadata, documents: JSON lines.
fn integers(dir: &Path) -> PathBuf {
    let mut random = Random::new(20_261_121);
    let edges = [i64::MIN, -5, 0, i64::MAX - 1];
    let mut text = String::new();
    for (row, id) in edges.into_iter().chain((1..1_400).map(|row| row * 3)).enumerate() {
        let metadata = METADATA[row % METADATA.len()];
        let document = if row % 3 == 0 { format!(r#","document":"text {row} ü""#) } else { String::new() };
        let vector = floats(&mut random);
        writeln!(text, r#"{{"id":{id},"vector":[{vector}],"metadata":{metadata}{document}}}"#).unwrap();
    }
    let path = dir.join("integers.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

/// Bits of 19 signs under text ids that need escapes in a filter: JSON lines.
fn bits(dir: &Path) -> PathBuf {
    let mut random = Random::new(7);
    let mut text = String::new();
    for row in 0..1_200 {
        let id = [format!("id-{row}"), format!("ü \"{row}\""), format!("back\\slash {row}\t\n")][row % 3].clone();
        let signs: String = (0..19).map(|_| if random.below(2) == 0 { '0' } else { '1' }).collect();
        let record = json!({ "id": id, "vectors": { "flags": { "bits": signs } }, "metadata": { "row": row } });
        writeln!(text, "{record}").unwrap();
    }
    let path = dir.join("bits.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

/// Mixed ids in namespaces with f16 vectors, in several parts.
fn namespaced(dir: &Path) -> PathBuf {
    let archive = dir.join("namespaced.tranship");
    let generator = Generator { rows: 1_500, mixed_ids: true, namespaced: true, ..Generator::default() };
    let source = MemorySource::new(generator.schema(), generator.batches(), 6);
    transfer::write(&source, &locator("archive", &archive), transfer::engine(2, 512 << 20), 0).unwrap();
    archive
}

fn bundle(dir: &Path, source: &str, name: &str, form: &str) -> PathBuf {
    let path = dir.join(name);
    let form = format!("form={form}");
    let mut options = vec!["--as", name, "--target-option", "version=2.3", "--target-option", &form];
    options.extend(["--document-key", "text of it", "--allow-loss", "VECTOR_MISSING"]);
    if !source.contains("bits.jsonl") {
        options.extend(["--metric", "l2"]);
    }
    convert(source, &locator("milvus", &path), &options);
    path
}

#[test]
fn a_real_server_imports_every_form_and_answers_every_record_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let sources = [
        ("integers", locator("jsonl", &integers(dir.path())), 1),
        ("bits", locator("jsonl", &bits(dir.path())), 1),
        ("namespaced", locator("archive", &namespaced(dir.path())), 4),
    ];
    let work = dir.path().join("work");
    let binary = Tranship::path();
    let mut arguments = vec![work.clone().into_os_string(), binary.into_os_string()];
    for (name, source, files) in &sources {
        for form in ["parquet", "json"] {
            let path = bundle(dir.path(), source, &format!("{name}_{form}"), form);
            let written = std::fs::read_dir(path.join("data"))
                .unwrap()
                .filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().starts_with("rows-"));
            assert_eq!(written.count(), *files, "{name} {form}");
            arguments.push(format!("{}={source}", path.display()).into());
        }
    }
    let arguments: Vec<_> = arguments.iter().map(|argument| arg(Path::new(argument))).collect();
    let report: Value = serde_json::from_str(&engines::run("milvus", "milvus_apply.py", &arguments)).unwrap();
    assert!(report["version"].as_str().unwrap().starts_with("v2.3.5"), "{report}");
    for (name, ..) in &sources {
        for form in ["parquet", "json"] {
            let bundle = format!("{name}_{form}");
            let found = &report["bundles"][&bundle];
            assert_eq!(found["killed"], -9, "{bundle}: {report}");
            for (step, code, said) in [
                ("again", 1, "--resume goes on with it"),
                ("load", 0, "check.sh proves it"),
                ("check", 0, "GO"),
                ("tampered", 1, "NO-GO"),
                ("undo", 0, "is dropped"),
            ] {
                assert_eq!(found[step][0], code, "{bundle} {step}: {report}");
                assert!(found[step][1][0].as_str().unwrap().contains(said), "{bundle} {step}: {report}");
            }
        }
    }
    for step in 0..3 {
        assert_eq!(report["bundles"]["integers_parquet"]["anew"][step][0], 0, "{report}");
    }
    assert_eq!(report["left"], json!([]));
    same_values(&dir.path().join("integers.jsonl"), &work.join("integers_json.jsonl"));
    same_values(&dir.path().join("integers.jsonl"), &work.join("integers_parquet.jsonl"));
}

#[test]
fn a_key_that_milvus_never_answers_makes_all_keys_texts() {
    let dir = tempfile::tempdir().unwrap();
    let key_type = |last: i64| {
        let source = dir.path().join(format!("{last}.jsonl"));
        std::fs::write(&source, format!("{{\"id\":1,\"vector\":[1]}}\n{{\"id\":{last},\"vector\":[2]}}\n")).unwrap();
        let path = bundle(dir.path(), &locator("jsonl", &source), &format!("to_{last}"), "json");
        let schema: Value = serde_json::from_slice(&std::fs::read(path.join("schema.json")).unwrap()).unwrap();
        schema["schema"]["fields"][0]["dataType"].as_str().unwrap().to_owned()
    };
    assert_eq!((key_type(i64::MAX - 1).as_str(), key_type(i64::MAX).as_str()), ("Int64", "VarChar"));
}

/// Without tranship's comparison: ids and vectors of two files of JSON lines.
fn same_values(source: &Path, pulled: &Path) {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let vector = |line: &Value| -> Vec<u32> {
            line["vector"].as_array().unwrap().iter().map(|v| (v.as_f64().unwrap() as f32).to_bits()).collect()
        };
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut records: Vec<(i64, Vec<u32>)> =
            lines.map(|line| (line["id"].as_i64().unwrap(), vector(&line))).collect();
        records.sort();
        records
    };
    let (source, pulled) = (read(source), read(pulled));
    assert_eq!(source.len(), 1_403);
    assert_eq!(source, pulled);
}
