//! Bundles for Azure AI Search: index and batches, what is refused, damage, and their scripts against a stand-in.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tranship_collection::{Metric, VectorSpec};
use tranship_connector::{CreateOptions, ErrorKind};
use tranship_provider_azure::CONNECTOR;
use tranship_testkit::feeds::{self, StandIn};
use tranship_testkit::{Generator, bundles};

fn options() -> CreateOptions {
    CreateOptions::default()
}

fn bodies(path: &Path) -> Vec<Value> {
    let files = feeds::data(path).into_iter().filter(|(name, _)| name.starts_with("documents-"));
    files.map(|(_, text)| serde_json::from_str(&text).unwrap()).collect()
}

#[test]
fn every_field_of_every_document_is_declared_with_its_type() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    feeds::write(&CONNECTOR, &path, &feeds::collection("title", Metric::Cosine), &options());
    let index = feeds::json(&path.join("index.json"));
    let fields: BTreeMap<&str, &Value> =
        index["fields"].as_array().unwrap().iter().map(|field| (field["name"].as_str().unwrap(), field)).collect();
    assert_eq!(fields["id"]["key"], true);
    assert_eq!(fields["title"]["type"], "Collection(Edm.Single)");
    assert_eq!(
        (&fields["title"]["dimensions"], &fields["title"]["vectorSearchProfile"]),
        (&json!(3), &json!("profile-title"))
    );
    assert_eq!(
        (&fields["n"]["type"], &fields["tags"]["type"]),
        (&json!("Edm.Int64"), &json!("Collection(Edm.String)"))
    );
    assert_eq!(fields["tranship_namespace"]["filterable"], true);
    let algorithm = &index["vectorSearch"]["algorithms"][0];
    let parameters = json!({ "m": 10, "efConstruction": 200, "efSearch": 100, "metric": "cosine" });
    assert_eq!((&algorithm["name"], &algorithm["hnswParameters"]), (&json!("algorithm-title"), &parameters));
    let documents: Vec<Value> =
        bodies(&path).iter().flat_map(|body| body["value"].as_array().unwrap().clone()).collect();
    assert_eq!(documents.len(), feeds::ROWS.len());
    for document in &documents {
        assert_eq!(document["@search.action"], "upload");
        let key = document["id"].as_str().unwrap();
        assert!(
            !key.starts_with('_') && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-=".contains(&b)),
            "{key}"
        );
        let names = document.as_object().unwrap().keys().filter(|key| !key.starts_with('@'));
        assert!(names.into_iter().all(|key| fields.contains_key(key.as_str())), "{document}");
    }
    let renamed = documents.iter().find(|document| document["tranship_id"] == "_under").unwrap();
    assert_eq!(renamed["id"].as_str().unwrap().len(), 36, "keys cannot begin with an underscore");
}

#[test]
fn narrow_elements_have_their_own_types_and_a_batch_at_most_1000_documents() {
    let generator = Generator { rows: 2_300, batch_rows: 2_300, narrow: true, dim: 4, ..Generator::default() };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let allowed = feeds::allowing(&["ZERO_VECTOR"]);
    feeds::write(&CONNECTOR, &path, &(generator.schema(), generator.batches()), &allowed);
    let index = feeds::json(&path.join("index.json"));
    let kinds: BTreeMap<&str, &str> = index["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| (field["name"].as_str().unwrap(), field["type"].as_str().unwrap()))
        .collect();
    let wanted = [("half", "Half"), ("unit", "Half"), ("signed", "SByte"), ("byte", "Single"), ("brain", "Single")];
    for (name, kind) in wanted {
        assert_eq!(kinds[name], format!("Collection(Edm.{kind})"), "{name}");
    }
    let counts: Vec<usize> = bodies(&path).iter().map(|body| body["value"].as_array().unwrap().len()).collect();
    assert!(counts.len() == 3 && counts[..2] == [1000, 1000], "{counts:?}");
    let documents = bodies(&path).into_iter().flat_map(|body| body["value"].as_array().unwrap().clone());
    let signed: Vec<Value> = documents.filter_map(|document| document.get("signed").cloned()).collect();
    assert!(signed.len() > 1_900 && signed.iter().flat_map(|v| v.as_array().unwrap()).all(Value::is_i64));
}

#[test]
fn vectors_of_one_dimension_are_refused_before_anything_is_written() {
    let (mut schema, _) = feeds::collection("", Metric::L2);
    schema.vectors = vec![VectorSpec { metric: Some(Metric::L2), ..VectorSpec::dense("", 1) }];
    let batch = feeds::batch(&schema, &[(None, "a", Some(&[1.0]), None, None)]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let error = bundles::write(&CONNECTOR, &path, &schema, &[batch], &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(!path.exists());
}

#[test]
fn a_document_key_that_is_no_field_name_is_refused() {
    let (schema, batches) = feeds::collection("", Metric::L2);
    let dir = tempfile::tempdir().unwrap();
    let options = CreateOptions { document_key: Some("azureSearchText".into()), ..options() };
    let error = bundles::write(&CONNECTOR, &dir.path().join("b"), &schema, &batches, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.next_step().unwrap().contains("--document-key"));
}

#[test]
fn what_azure_cannot_hold_is_refused_by_its_code() {
    let (schema, _) = feeds::collection("", Metric::Cosine);
    feeds::refused(&CONNECTOR, &schema, "ZERO_VECTOR", (None, "bad", Some(&[0.0, -0.0, 0.0]), None, None));
}

#[test]
fn a_damaged_bundle_is_told_with_its_file() {
    feeds::damage_is_told(&CONNECTOR, &feeds::collection("", Metric::L2), &options());
}

#[test]
fn the_scripts_load_check_and_undo() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azure/stand_in.py");
    let stand_in = StandIn {
        script: &script,
        address: Some("AZURE_SEARCH_URL"),
        programs: &[],
        variables: &[("AZURE_SEARCH_API_KEY", "s3cr\"et\\")],
        secret: Some("AZURE_SEARCH_API_KEY"),
    };
    feeds::scripts_work(&CONNECTOR, &feeds::collection("", Metric::L2), &options(), &stand_in);
}
