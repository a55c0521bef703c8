//! Bundles for Vespa: schema and documents, what is refused, damage, and their scripts against a stand-in.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use serde_json::{Value, json};
use tranship_collection::{Metric, VectorKind, VectorSpec};
use tranship_connector::CreateOptions;
use tranship_provider_vespa::CONNECTOR;
use tranship_testkit::feeds::{self, Collection, StandIn};

fn options() -> CreateOptions {
    CreateOptions::default()
}

/// The common rows under a dense, a multi and a sparse vector.
fn all_vectors() -> Collection {
    let (mut schema, _) = feeds::collection("title", Metric::Cosine);
    schema
        .vectors
        .insert(0, VectorSpec { kind: VectorKind::Multi, metric: Some(Metric::Dot), ..VectorSpec::dense("rows", 3) });
    let terms =
        VectorSpec { kind: VectorKind::Sparse, dim: None, metric: Some(Metric::Dot), ..VectorSpec::dense("terms", 0) };
    schema.vectors.insert(1, terms);
    let batches = feeds::ROWS.chunks(5).map(|rows| feeds::batch(&schema, rows)).collect();
    (schema, batches)
}

fn documents(path: &Path) -> Vec<Value> {
    let lines =
        |(_, text): &(String, String)| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>();
    feeds::data(path).iter().flat_map(lines).collect()
}

#[test]
fn documents_hold_tensors_and_the_schema_declares_every_field() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    feeds::write(&CONNECTOR, &path, &all_vectors(), &options());
    let documents = documents(&path);
    assert_eq!(documents.len(), feeds::ROWS.len());
    let first = &documents[0];
    assert_eq!(first["put"], "id:tranship:notes::doc-1");
    let fields = &first["fields"];
    assert_eq!(fields["title"]["values"][1], json!(-2.5));
    assert_eq!(fields["rows"]["blocks"]["1"][1], json!(-2.5));
    assert_eq!(fields["terms"]["cells"]["1000"], json!(-2.5));
    assert_eq!((&fields["n"], &fields["tags"]), (&json!(1), &json!(["a", "b"])));
    let schema = std::fs::read_to_string(path.join("app/schemas/notes.sd")).unwrap();
    assert!(
        schema.contains("field title type tensor<float>(x[3]) {\n      indexing: attribute | index | summary"),
        "{schema}"
    );
    assert!(schema.contains("distance-metric: angular") && schema.contains("max-links-per-node: 16"), "{schema}");
    assert!(schema.contains("field rows type tensor<float>(p{},x[3])"), "{schema}");
    assert_eq!(schema.matches('{').count(), schema.matches('}').count());
    for document in &documents {
        for field in document["fields"].as_object().unwrap().keys() {
            assert!(schema.contains(&format!("field {field} type ")), "{field} is not declared: {schema}");
        }
    }
    assert!(std::fs::read_to_string(path.join("app/services.xml")).unwrap().contains("<document type=\"notes\""));
}

#[test]
fn empty_texts_and_control_characters_survive() {
    let (schema, _) = feeds::collection("", Metric::L2);
    let metadata = r#"{"s":"a\u0001b","list":["\u0002","plain"],"t":""}"#;
    let vector: Option<&[f32]> = Some(&[1.0, 0.0, 0.0]);
    let rows = [(None, "a", vector, Some(""), Some(metadata)), (None, "b", vector, Some("x\u{b}"), None)];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    feeds::write(&CONNECTOR, &path, &(schema.clone(), vec![feeds::batch(&schema, &rows)]), &options());
    let documents = documents(&path);
    let fields = &documents[0]["fields"];
    assert_eq!(fields["tranship_empty"], json!(["t", "document"]));
    assert_eq!(fields["tranship_escaped"], json!(["s", "list"]));
    assert_eq!((&fields["s"], &fields["list"]), (&json!("a\\u0001b"), &json!(["\\u0002", "plain"])));
    assert!(fields.get("t").is_none() && fields.get("document").is_none());
}

#[test]
fn what_vespa_cannot_hold_is_refused_by_its_code() {
    let (schema, _) = feeds::collection("", Metric::Cosine);
    feeds::refused(&CONNECTOR, &schema, "ZERO_VECTOR", (None, "bad", Some(&[0.0, -0.0, 0.0]), None, None));
}

#[test]
fn a_damaged_bundle_is_told_with_its_file() {
    feeds::damage_is_told(&CONNECTOR, &all_vectors(), &options());
}

#[test]
fn the_scripts_load_check_and_undo() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vespa/stand_in.py");
    let stand_in = StandIn { script: &script, address: None, programs: &["vespa"], variables: &[], secret: None };
    feeds::scripts_work(&CONNECTOR, &feeds::collection("", Metric::L2), &options(), &stand_in);
    feeds::scripts_work(&CONNECTOR, &all_vectors(), &options(), &stand_in);
}
