//! Bundles for turbopuffer: the shape of their bodies, what is refused, damage, and their scripts against a stand-in.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use serde_json::{Value, json};
use tranship_collection::Metric;
use tranship_connector::CreateOptions;
use tranship_provider_turbopuffer::CONNECTOR;
use tranship_testkit::feeds::{self, StandIn};

fn options() -> CreateOptions {
    CreateOptions::default()
}

#[test]
fn a_body_holds_rows_of_one_namespace_with_metric_and_schema() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    feeds::write(&CONNECTOR, &path, &feeds::collection("title", Metric::Cosine), &options());
    let bodies: Vec<Value> = feeds::data(&path).iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(bodies.len(), 3, "two shards, the second with two namespaces");
    for body in &bodies {
        assert_eq!(body["distance_metric"], "cosine_distance");
        assert_eq!(body["schema"]["vector"], json!({ "type": "[3]f32", "ann": true }));
        assert_eq!(body["schema"]["n"], json!({ "type": "int" }));
        assert_eq!(body["schema"]["tags"], json!({ "type": "[]string" }));
        assert_eq!(body["schema"]["document"], json!({ "type": "string", "filterable": false }));
    }
    let first = &bodies[0]["upsert_rows"][0];
    assert_eq!(
        (&first["id"], &first["n"], &first["document"]),
        (&json!("doc-1"), &json!(1), &json!("a \"document\"\n\u{1F980}"))
    );
    assert_eq!(first["vector"][1], json!(-2.5));
    let declared = bodies[0]["schema"].as_object().unwrap();
    for row in bodies.iter().flat_map(|body| body["upsert_rows"].as_array().unwrap()) {
        assert!(row.as_object().unwrap().keys().all(|key| declared.contains_key(key)), "{row}");
        assert!(row["id"].as_str().unwrap().len() <= 64);
    }
    let namespaces = std::fs::read_to_string(path.join("namespaces.tsv")).unwrap();
    assert_eq!(namespaces, "\tnotes\t6\t\"\"\ntenant%20a%7Cb\tnotes..tenant.20a.7Cb\t2\t\"tenant a|b\"\n");
}

#[test]
fn what_turbopuffer_cannot_hold_is_refused_by_its_code() {
    let (schema, _) = feeds::collection("", Metric::Cosine);
    feeds::refused(&CONNECTOR, &schema, "VECTOR_MISSING", (None, "bad", None, None, None));
    feeds::refused(&CONNECTOR, &schema, "ZERO_VECTOR", (None, "bad", Some(&[0.0, -0.0, 0.0]), None, None));
    let long = "x".repeat((8 << 20) + 1);
    feeds::refused(&CONNECTOR, &schema, "DOCUMENT_TOO_LARGE", (None, "bad", Some(&[1.0, 0.0, 0.0]), Some(&long), None));
}

#[test]
fn a_long_text_is_kept_as_exact_text_and_a_long_id_is_mapped() {
    let (schema, _) = feeds::collection("", Metric::L2);
    let (long, id) = (format!("{{\"s\":\"{}\"}}", "x".repeat(5000)), "i".repeat(65));
    let rows = [feeds::ROWS[0], (None, id.as_str(), Some(&[1.0, 0.0, 0.0][..]), None, Some(long.as_str()))];
    let collection = (schema.clone(), vec![feeds::batch(&schema, &rows)]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    feeds::write(&CONNECTOR, &path, &collection, &options());
    let body: Value = serde_json::from_str(&feeds::data(&path)[0].1).unwrap();
    let row = &body["upsert_rows"][1];
    assert!(row.get("s").is_none() && row["_tranship_exact"].as_str().unwrap().len() > 5000, "{row}");
    assert_eq!((row["id"].as_str().unwrap().len(), row["_tranship_id"].as_str()), (36, Some(id.as_str())));
}

#[test]
fn a_damaged_bundle_is_told_with_its_file() {
    feeds::damage_is_told(&CONNECTOR, &feeds::collection("", Metric::L2), &options());
}

#[test]
fn the_scripts_load_check_and_undo() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/turbopuffer/stand_in.py");
    let stand_in = StandIn {
        script: &script,
        address: Some("TURBOPUFFER_URL"),
        programs: &[],
        variables: &[("TURBOPUFFER_API_KEY", "s3cr\"et\\")],
        secret: Some("TURBOPUFFER_API_KEY"),
    };
    feeds::scripts_work(&CONNECTOR, &feeds::collection("", Metric::L2), &options(), &stand_in);
}
