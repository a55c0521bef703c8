//! Bundles for Vertex AI Vector Search: batch files, what is refused, damage, and their scripts against a stand-in.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use serde_json::{Value, json};
use tranship_collection::{IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::Grade;
use tranship_provider_vertex::CONNECTOR;
use tranship_testkit::feeds::{self, Collection, StandIn};

/// Tree-AH is another index than the HNSW of the source.
const INDEX: [&str; 1] = ["INDEX_SETTINGS"];

fn hybrid() -> Collection {
    let (mut schema, _) = feeds::collection("title", Metric::Cosine);
    let terms =
        VectorSpec { kind: VectorKind::Sparse, dim: None, metric: Some(Metric::Dot), ..VectorSpec::dense("terms", 0) };
    schema.vectors.insert(0, terms);
    let batches = feeds::ROWS.chunks(5).map(|rows| feeds::batch(&schema, rows)).collect();
    (schema, batches)
}

#[test]
fn a_record_has_its_embeddings_and_restricts_beside_its_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let mapping = feeds::write(&CONNECTOR, &path, &hybrid(), &feeds::allowing(&INDEX));
    let lines = |(_, text): &(String, String)| {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let records: Vec<Value> = feeds::data(&path).iter().flat_map(lines).collect();
    assert_eq!(records.len(), feeds::ROWS.len());
    let first = &records[0];
    assert_eq!((&first["id"], &first["embedding"][1]), (&json!("doc-1"), &json!(-2.5)));
    assert_eq!(first["sparse_embedding"]["dimensions"], json!([0, 1000, 2000]));
    assert_eq!(first["embedding_metadata"]["tags"], json!(["a", "b"]));
    let restricts = json!([
        { "namespace": "s", "allow": ["x"] }, { "namespace": "b", "allow": ["true"] }, { "namespace": "tags", "allow": ["a", "b"] },
    ]);
    assert_eq!(first["restricts"], restricts);
    let numbers = first["numeric_restricts"].as_array().unwrap();
    assert!(numbers.contains(&json!({ "namespace": "n", "value_int": 1 })), "{numbers:?}");
    let tenant = json!({ "namespace": "_tranship_namespace", "allow": ["tenant a|b"] });
    assert_eq!(
        records.iter().filter(|r| r["restricts"].as_array().is_some_and(|list| list.contains(&tenant))).count(),
        2
    );
    let index = feeds::json(&path.join("index.json"));
    assert_eq!(index["config"]["distanceMeasureType"], "COSINE_DISTANCE");
    assert!(index["config"]["algorithmConfig"].get("treeAhConfig").is_some());
    assert!(mapping.losses.iter().any(|loss| loss.code == "INDEX_SETTINGS" && loss.grade == Grade::Lossy));
}

#[test]
fn only_values_of_the_keys_own_type_become_restricts() {
    let (schema, _) = feeds::collection("", Metric::L2);
    let vector: Option<&[f32]> = Some(&[1.0, 0.0, 0.0]);
    let odd = [r#"{"s":"x"}"#, r#"{"s":null}"#, r#"{"s":{"a":1}}"#, r#"{"s":[1,"x"]}"#];
    let rows: Vec<feeds::Row<'_>> =
        ["a", "b", "c", "d"].iter().zip(odd).map(|(id, text)| (None, *id, vector, None, Some(text))).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    feeds::write(&CONNECTOR, &path, &(schema.clone(), vec![feeds::batch(&schema, &rows)]), &feeds::allowing(&INDEX));
    let (_, text) = feeds::data(&path).remove(0);
    assert_eq!(text.matches("restricts").count(), 1, "{text}");
}

#[test]
fn a_collection_without_index_gets_brute_force() {
    let (mut schema, _) = feeds::collection("", Metric::L2);
    schema.vectors[0].index = Some(IndexSpec::Flat);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let batch = feeds::batch(&schema, &feeds::ROWS);
    let mapping = feeds::write(&CONNECTOR, &path, &(schema, vec![batch]), &feeds::allowing(&[]));
    assert!(mapping.losses.iter().all(|loss| !loss.grade.needs_consent()), "{:?}", mapping.losses);
    assert_eq!(feeds::json(&path.join("index.json"))["config"]["algorithmConfig"], json!({ "bruteForceConfig": {} }));
}

#[test]
fn what_vertex_cannot_hold_is_refused_by_its_code() {
    let (schema, _) = feeds::collection("", Metric::Cosine);
    feeds::refused(&CONNECTOR, &schema, "VECTOR_MISSING", (None, "bad", None, None, None));
    feeds::refused(&CONNECTOR, &schema, "ZERO_VECTOR", (None, "bad", Some(&[0.0, -0.0, 0.0]), None, None));
}

#[test]
fn a_damaged_bundle_is_told_with_its_file() {
    feeds::damage_is_told(&CONNECTOR, &hybrid(), &feeds::allowing(&INDEX));
}

#[test]
fn the_scripts_load_check_and_undo() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vertex/stand_in.py");
    let stand_in = StandIn {
        script: &script,
        address: None,
        programs: &["gcloud"],
        variables: &[("VERTEX_GCS", "gs://bucket/batch"), ("VERTEX_REGION", "europe-west4")],
        secret: None,
    };
    feeds::scripts_work(&CONNECTOR, &hybrid(), &feeds::allowing(&INDEX), &stand_in);
}
