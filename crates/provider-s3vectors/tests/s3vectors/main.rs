//! Bundles for S3 Vectors: the shape of their bodies, what is refused, damage, and their scripts against a stand-in.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use serde_json::{Value, json};
use tranship_collection::Metric;
use tranship_connector::CreateOptions;
use tranship_provider_s3vectors::CONNECTOR;
use tranship_testkit::Generator;
use tranship_testkit::feeds::{self, StandIn};

fn options() -> CreateOptions {
    CreateOptions::default()
}

#[test]
fn a_body_is_a_call_of_put_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    feeds::write(&CONNECTOR, &path, &feeds::collection("title", Metric::Cosine), &options());
    let bodies: Vec<Value> = feeds::data(&path).iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
    let first = &bodies[0]["vectors"][0];
    assert_eq!(first["key"], "doc-1");
    assert_eq!(first["data"]["float32"][1], json!(-2.5));
    assert_eq!(first["metadata"]["tags"], json!(["a", "b"]));
    for vector in bodies.iter().flat_map(|body| body["vectors"].as_array().unwrap()) {
        let known = ["key", "data", "metadata"];
        assert!(vector.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{vector}");
        for (key, value) in vector["metadata"].as_object().into_iter().flatten() {
            let plain = value.is_string() || value.is_number() || value.is_boolean();
            assert!(plain || value.as_array().is_some_and(|list| list.iter().all(Value::is_string)), "{key}: {value}");
        }
    }
    let unfiltered = json!(["_tranship_id", "document", "_tranship_exact"]);
    let index = feeds::json(&path.join("index.json"));
    assert_eq!(index["metadataConfiguration"]["nonFilterableMetadataKeys"], unfiltered);
    assert_eq!((&index["dimension"], &index["distanceMetric"]), (&json!(3), &json!("cosine")));
}

#[test]
fn a_call_has_at_most_500_vectors() {
    let generator = Generator { rows: 1_200, batch_rows: 1_200, ..Generator::default() };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let options = feeds::allowing(&["VECTOR_MISSING"]);
    feeds::write(&CONNECTOR, &path, &(generator.schema(), generator.batches()), &options);
    let files = feeds::data(&path);
    let counts: Vec<usize> = files
        .iter()
        .filter(|(name, _)| name.starts_with("vectors-"))
        .map(|(_, text)| serde_json::from_str::<Value>(text).unwrap()["vectors"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts[..2], [500, 500]);
    assert_eq!(counts.len(), 3);
}

#[test]
fn a_collection_of_many_keys_keeps_the_commonest_and_the_others_as_text() {
    let (schema, _) = feeds::collection("", Metric::L2);
    let all: Vec<String> = (0..60).map(|i| format!("\"k{i:02}\":{i}")).collect();
    let (many, few) = (format!("{{{}}}", all.join(",")), format!("{{{}}}", all[55..].join(",")));
    let vector: Option<&[f32]> = Some(&[1.0, 0.0, 0.0]);
    let rows = [(None, "a", vector, None, Some(many.as_str())), (None, "b", vector, None, Some(few.as_str()))];
    let collection = (schema.clone(), vec![feeds::batch(&schema, &rows)]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let mapping = feeds::write(&CONNECTOR, &path, &collection, &options());
    let fields = mapping.fields.unwrap();
    assert_eq!(fields.len(), 46);
    assert!(all[55..].iter().all(|entry| fields.contains_key(&entry[1..4])));
    let body: Value = serde_json::from_str(&feeds::data(&path)[0].1).unwrap();
    assert_eq!(body["vectors"][0]["metadata"].as_object().unwrap().len(), 47);
}

#[test]
fn what_s3_vectors_cannot_hold_is_refused_by_its_code() {
    let (schema, _) = feeds::collection("", Metric::Cosine);
    let vector: Option<&[f32]> = Some(&[1.0, 0.0, 0.0]);
    feeds::refused(&CONNECTOR, &schema, "VECTOR_MISSING", (None, "bad", None, None, None));
    feeds::refused(&CONNECTOR, &schema, "ZERO_VECTOR", (None, "bad", Some(&[0.0, -0.0, 0.0]), None, None));
    let long = "x".repeat(40_001);
    feeds::refused(&CONNECTOR, &schema, "METADATA_TOO_LARGE", (None, "bad", vector, Some(&long), None));
    let filterable: Vec<String> = (0..3).map(|i| format!("\"k{i}\":\"{}\"", "x".repeat(700))).collect();
    let filterable = format!("{{{}}}", filterable.join(","));
    feeds::refused(&CONNECTOR, &schema, "FILTERABLE_TOO_LARGE", (None, "bad", vector, None, Some(&filterable)));
}

#[test]
fn a_damaged_bundle_is_told_with_its_file() {
    feeds::damage_is_told(&CONNECTOR, &feeds::collection("", Metric::L2), &options());
}

#[test]
fn the_scripts_load_check_and_undo() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3vectors/stand_in.py");
    let stand_in = StandIn {
        script: &script,
        address: None,
        programs: &["aws"],
        variables: &[("S3VECTORS_BUCKET", "bucket")],
        secret: None,
    };
    feeds::scripts_work(&CONNECTOR, &feeds::collection("", Metric::L2), &options(), &stand_in);
}
