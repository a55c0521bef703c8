//! Bundles for Typesense: schema and documents, what is refused, damage, and their scripts against a stand-in.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tranship_collection::Metric;
use tranship_connector::{CreateOptions, Grade};
use tranship_provider_typesense::CONNECTOR;
use tranship_testkit::feeds::{self, StandIn};

fn options() -> CreateOptions {
    CreateOptions::default()
}

#[test]
fn every_field_of_every_document_is_declared_with_its_type() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    feeds::write(&CONNECTOR, &path, &feeds::collection("title", Metric::Cosine), &options());
    let schema = feeds::json(&path.join("schema.json"));
    let fields: BTreeMap<&str, &Value> =
        schema["fields"].as_array().unwrap().iter().map(|field| (field["name"].as_str().unwrap(), field)).collect();
    let vector = json!({
        "name": "title", "type": "float[]", "num_dim": 3, "vec_dist": "cosine", "optional": true,
        "hnsw_params": { "M": 16, "ef_construction": 200 },
    });
    assert_eq!(fields["title"], &vector);
    assert_eq!((&fields["n"]["type"], &fields["tags"]["type"]), (&json!("int64"), &json!("string[]")));
    assert_eq!(fields["_tranship_exact"]["index"], json!(false));
    assert_eq!(fields["_tranship_namespace"]["index"], json!(true));
    let documents: Vec<Value> = feeds::data(&path)
        .iter()
        .flat_map(|(_, text)| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
        .collect();
    assert_eq!(documents.len(), feeds::ROWS.len());
    for document in &documents {
        let id = document["id"].as_str().unwrap();
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id}");
        assert!(document.as_object().unwrap().keys().all(|key| key == "id" || fields.contains_key(key.as_str())));
    }
    assert_eq!(documents[0]["n"], json!(1));
    assert!(documents[1].get("o").is_none() && documents[1]["_tranship_exact"].as_str().unwrap().contains("\"o\""));
}

#[test]
fn a_key_that_is_the_field_of_id_or_vector_is_kept_as_text() {
    let (schema, _) = feeds::collection("", Metric::Dot);
    let metadata = r#"{"id":"mine","vector":"v","n":1}"#;
    let rows = [(None, "a", Some(&[1.0, 0.0, 0.0][..]), None, Some(metadata))];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    feeds::write(&CONNECTOR, &path, &(schema.clone(), vec![feeds::batch(&schema, &rows)]), &options());
    let document: Value = serde_json::from_str(&feeds::data(&path)[0].1).unwrap();
    assert_eq!((&document["id"], &document["n"]), (&json!("a"), &json!(1)));
    assert_eq!(document["_tranship_exact"], json!(r#"{"id":"mine","vector":"v"}"#));
}

#[test]
fn l2_becomes_inner_product_by_consent_and_freely_for_unit_vectors() {
    let grade = |vector: &[f32]| {
        let (schema, _) = feeds::collection("", Metric::L2);
        let rows = [(None, "a", Some(vector), None, None)];
        let dir = tempfile::tempdir().unwrap();
        let collection = (schema.clone(), vec![feeds::batch(&schema, &rows)]);
        let mapping = feeds::write(&CONNECTOR, &dir.path().join("b"), &collection, &feeds::allowing(&["METRIC"]));
        assert_eq!(mapping.metrics[""], Metric::Dot);
        mapping.losses.iter().find(|loss| loss.code == "METRIC").unwrap().grade
    };
    assert_eq!(grade(&[0.6, 0.8, 0.0]), Grade::Equivalent);
    assert_eq!(grade(&[6.0, 8.0, 0.0]), Grade::Lossy);
}

#[test]
fn what_typesense_cannot_hold_is_refused_by_its_code() {
    let (schema, _) = feeds::collection("", Metric::Cosine);
    feeds::refused(&CONNECTOR, &schema, "ZERO_VECTOR", (None, "bad", Some(&[0.0, -0.0, 0.0]), None, None));
}

#[test]
fn a_damaged_bundle_is_told_with_its_file() {
    feeds::damage_is_told(&CONNECTOR, &feeds::collection("", Metric::Dot), &options());
}

#[test]
fn the_scripts_load_check_and_undo() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/typesense/stand_in.py");
    let stand_in = StandIn {
        script: &script,
        address: Some("TYPESENSE_URL"),
        programs: &[],
        variables: &[("TYPESENSE_API_KEY", "s3cr\"et\\")],
        secret: Some("TYPESENSE_API_KEY"),
    };
    feeds::scripts_work(&CONNECTOR, &feeds::collection("", Metric::Dot), &options(), &stand_in);
}
