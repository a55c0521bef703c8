//! Bundles for MongoDB: documents as MongoDB's own parser reads them, what is refused, damage, and the scripts.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tranship_collection::Metric;
use tranship_collection::json::canonical;
use tranship_connector::{CreateOptions, Grade, Locator, OpenOptions};
use tranship_provider_mongodb::CONNECTOR;
use tranship_testkit::feeds::{self, StandIn};
use tranship_testkit::reading::{self, Vector};
use tranship_testkit::{Generator, engines};

const ALL: [&str; 4] = ["ZERO_VECTOR", "METRIC", "VECTOR_DROPPED", "INDEX_SETTINGS"];

fn canonical_text(value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    canonical(value, &mut out).unwrap();
    out
}

/// What the mapping stored, from the bundle's own documents.
fn stored(path: &Path) -> BTreeMap<String, Value> {
    let lines = feeds::data(path).into_iter().filter(|(name, _)| name.starts_with("documents-"));
    let documents = lines.flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>());
    documents.map(|line| serde_json::from_str::<Value>(&line).unwrap()).map(|d| (d["_id"].to_string(), d)).collect()
}

#[test]
fn mongodbs_own_parser_reads_every_document_and_every_bit_of_its_vectors() {
    for wild in [false, true] {
        let generator = Generator {
            rows: 400,
            dim: 5,
            mixed_ids: true,
            namespaced: true,
            narrow: true,
            bits: true,
            wild,
            ..Generator::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        feeds::write(&CONNECTOR, &path, &(generator.schema(), generator.batches()), &feeds::allowing(&ALL));
        let told = engines::run("bson", "mongodb_bson.py", &[path.as_os_str()]);
        let documents = stored(&path);
        assert_eq!(told.lines().count(), documents.len());
        let locator = Locator { provider: None, path: path.clone() };
        let source = CONNECTOR.open.unwrap()(&locator, &OpenOptions::default()).unwrap();
        let read = reading::read(&*source).unwrap();
        assert_eq!(read.records.len(), documents.len());
        for (line, record) in told.lines().zip(&read.records) {
            let found: Value = serde_json::from_str(line).unwrap();
            let document = &documents[&found["id"].to_string()];
            assert_eq!(found["document"].as_str(), record.document.as_deref());
            // The integer -0, which stands beside its exact text, is 0 in BSON.
            let own = document.get("metadata").unwrap_or(&Value::Null).to_string();
            let own = if wild { own.replace(":-0.0", ":0") } else { own };
            let metadata = &found["metadata"];
            assert_eq!(canonical_text(&metadata.to_string()), canonical_text(&own), "{line}");
            assert_eq!(found["vectors"].as_object().unwrap().len(), record.vectors.len());
            for (name, vector) in &record.vectors {
                let field = if name.is_empty() { "vector" } else { name.as_str() };
                assert_eq!(found["vectors"][field], expected(name, vector), "{line}");
            }
        }
    }
}

fn expected(name: &str, vector: &Vector) -> Value {
    match vector {
        Vector::Dense(values) if name == "signed" => {
            json!(["INT8", 0, values.iter().map(|v| *v as i8).collect::<Vec<_>>()])
        }
        Vector::Dense(values) => {
            json!(["FLOAT32", 0, values.iter().map(|v| format!("{:08x}", v.to_bits())).collect::<Vec<_>>()])
        }
        Vector::Bits(bytes) => json!(["PACKED_BIT", 0, bytes]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_index_names_vectors_and_filters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let mapping =
        feeds::write(&CONNECTOR, &path, &feeds::collection("title", Metric::Cosine), &CreateOptions::default());
    let index = feeds::json(&path.join("search-index.json"));
    assert_eq!((&index["type"], &index["name"]), (&json!("vectorSearch"), &json!("vector_index")));
    let fields = index["definition"]["fields"].as_array().unwrap();
    let vector = json!({
        "type": "vector", "path": "vectors.title", "numDimensions": 3, "similarity": "cosine",
        "hnswOptions": { "maxEdges": 16, "numEdgeCandidates": 200 },
    });
    assert_eq!(fields[0], vector);
    for key in ["n", "s", "tags", "_tranship_namespace"] {
        assert!(fields.contains(&json!({ "type": "filter", "path": format!("metadata.{key}") })), "{key}");
    }
    assert!(!fields.iter().any(|field| field["path"] == "metadata.$set"));
    assert!(mapping.losses.iter().all(|loss| !loss.grade.needs_consent()), "{:?}", mapping.losses);
}

#[test]
fn keys_that_extended_json_would_take_for_types_are_kept_as_text_at_any_depth() {
    let (schema, _) = feeds::collection("", Metric::L2);
    let metadata = r#"{"a":{"b":[{"$oid":"x"}]},"c":{"d":1},"e.f":2}"#;
    let rows = [(None, "a", Some(&[1.0, 0.0, 0.0][..]), None, Some(metadata))];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    feeds::write(&CONNECTOR, &path, &(schema.clone(), vec![feeds::batch(&schema, &rows)]), &CreateOptions::default());
    let document = &stored(&path)["\"a\""];
    let wanted = json!({ "c": { "d": 1 }, "_tranship_exact": r#"{"a":{"b":[{"$oid":"x"}]},"e.f":2}"# });
    assert_eq!(document["metadata"], wanted);
}

#[test]
fn what_mongodb_cannot_search_is_told_by_its_code() {
    let (schema, _) = feeds::collection("", Metric::Cosine);
    feeds::refused(&CONNECTOR, &schema, "ZERO_VECTOR", (None, "bad", Some(&[0.0, -0.0, 0.0]), None, None));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let mapping = feeds::write(&CONNECTOR, &path, &feeds::collection("", Metric::Dot), &feeds::allowing(&["METRIC"]));
    let loss = mapping.losses.iter().find(|loss| loss.code == "METRIC").unwrap();
    assert_eq!(loss.grade, Grade::Lossy, "dotProduct of vectors that are not of unit length");
}

#[test]
fn a_damaged_bundle_is_told_with_its_file() {
    feeds::damage_is_told(&CONNECTOR, &feeds::collection("", Metric::L2), &CreateOptions::default());
}

#[test]
fn the_scripts_load_check_and_undo() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mongodb/stand_in.py");
    let stand_in = StandIn {
        script: &script,
        address: None,
        programs: &["mongosh", "mongoimport", "mongoexport"],
        variables: &[("MONGODB_URI", "mongodb://user:s3cr3t@host/database")],
        secret: Some("MONGODB_URI"),
    };
    feeds::scripts_work(&CONNECTOR, &feeds::collection("", Metric::L2), &CreateOptions::default(), &stand_in);
}
