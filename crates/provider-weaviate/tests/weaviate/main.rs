//! Bundles for Weaviate: class, tenants and objects, what is refused, damage, their scripts against a stand-in, and its
//! cursor pages through the reader of JSON lines.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tranship_collection::{Metric, VectorKind, VectorSpec};
use tranship_connector::{CreateOptions, Grade, Mapping};
use tranship_provider_weaviate::{CONNECTOR, dialect};
use tranship_testkit::bundles::fingerprint;
use tranship_testkit::feeds::{self, Collection, StandIn};

fn options() -> CreateOptions {
    CreateOptions::default()
}

/// The common rows under two dense vectors, one of them by a name that Weaviate keeps to itself, and a multivector.
fn named_vectors() -> Collection {
    let (mut schema, _) = feeds::collection("title", Metric::Cosine);
    let dense = VectorSpec { metric: Some(Metric::L2), ..VectorSpec::dense("default", 3) };
    let rows = VectorSpec { kind: VectorKind::Multi, metric: Some(Metric::Dot), ..VectorSpec::dense("rows", 3) };
    schema.vectors.extend([dense, rows]);
    let batches = feeds::ROWS.chunks(5).map(|rows| feeds::batch(&schema, rows)).collect();
    (schema, batches)
}

fn objects(path: &Path) -> Vec<Value> {
    let list = |(_, text): &(String, String)| {
        let body: Value = serde_json::from_str(text).unwrap();
        assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["objects"]);
        body["objects"].as_array().unwrap().clone()
    };
    feeds::data(path).iter().flat_map(list).collect()
}

fn has_type(value: &Value, kind: &str) -> bool {
    match kind.strip_suffix("[]") {
        Some(of) => value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(|one| has_type(one, of))),
        None => match kind {
            "text" => value.is_string(),
            "int" => value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            other => panic!("{other} is no data type"),
        },
    }
}

/// Everything that the REST schema says of a class and of an object, as far as we use it.
fn assert_documented(class: &Value, objects: &[Value]) {
    let allowed = [
        "class",
        "vectorizer",
        "vectorIndexType",
        "vectorIndexConfig",
        "vectorConfig",
        "properties",
        "multiTenancyConfig",
    ];
    assert!(class.as_object().unwrap().keys().all(|key| allowed.contains(&key.as_str())), "{class}");
    assert_ne!(class.get("vectorConfig").is_some(), class.get("vectorizer").is_some(), "{class}");
    let tenants = class["multiTenancyConfig"]["enabled"] == true;
    let properties: BTreeMap<&str, &str> = class["properties"]
        .as_array()
        .unwrap()
        .iter()
        .map(|property| (property["name"].as_str().unwrap(), property["dataType"][0].as_str().unwrap()))
        .collect();
    assert!(properties.keys().all(|name| dialect::is_property(name)), "{properties:?}");
    let folded: std::collections::BTreeSet<String> = properties.keys().map(|name| name.to_lowercase()).collect();
    assert_eq!(folded.len(), class["properties"].as_array().unwrap().len());
    for object in objects {
        let allowed = ["class", "id", "properties", "tenant", "vector", "vectors"];
        assert!(object.as_object().unwrap().keys().all(|key| allowed.contains(&key.as_str())), "{object}");
        assert_eq!(object["class"], class["class"]);
        let id = object["id"].as_str().unwrap();
        assert!(id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'), "{id}");
        assert_eq!(object["tenant"].as_str().is_some_and(dialect::is_tenant), tenants, "{object}");
        for (key, value) in object["properties"].as_object().unwrap() {
            assert!(has_type(value, properties[key.as_str()]), "{key}: {value}");
        }
        for name in object.get("vectors").and_then(Value::as_object).into_iter().flat_map(|vectors| vectors.keys()) {
            assert!(class["vectorConfig"].get(name).is_some(), "{name}");
        }
    }
}

#[test]
fn objects_and_class_have_the_documented_shape() {
    for collection in [feeds::collection("", Metric::Cosine), named_vectors()] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        feeds::write(&CONNECTOR, &path, &collection, &options());
        let (class, objects) = (feeds::json(&path.join("class.json")), objects(&path));
        assert_eq!((&class["class"], objects.len()), (&json!("Notes"), feeds::ROWS.len()));
        assert_documented(&class, &objects);
        let tenants = feeds::json(&path.join("tenants-000.json"));
        assert_eq!(tenants, json!([{ "name": "default" }, { "name": "tenant_a_b" }]));
        let property = |name: &str| {
            class["properties"].as_array().unwrap().iter().find(|property| property["name"] == name).unwrap().clone()
        };
        assert_eq!(property("n")["dataType"], json!(["int"]));
        assert_eq!(property("f")["dataType"], json!(["number"]));
        assert_eq!(property("tags")["dataType"], json!(["text[]"]));
        assert_eq!(property("document")["indexSearchable"], true);
        assert_eq!(property("_tranship_exact")["indexFilterable"], false);
        assert_eq!(objects[0]["properties"]["_tranship_id"], "doc-1");
    }
}

#[test]
fn one_vector_without_name_and_several_with_names_are_declared_as_weaviate_wants_them() {
    let body = |collection: &Collection| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        feeds::write(&CONNECTOR, &path, collection, &options());
        (feeds::json(&path.join("class.json")), objects(&path))
    };
    let (class, objects) = body(&feeds::collection("", Metric::L2));
    let wanted = json!({
        "distance": "l2-squared", "maxConnections": 16, "efConstruction": 200, "ef": 80, "skipDefaultQuantization": true,
    });
    assert_eq!((&class["vectorizer"], &class["vectorIndexConfig"]), (&json!("none"), &wanted));
    assert_eq!(objects[0]["vector"][1], json!(-2.5));
    let (class, objects) = body(&named_vectors());
    assert_eq!(class["vectorConfig"]["title"]["vectorizer"], json!({ "none": {} }));
    assert_eq!(class["vectorConfig"]["default_"]["vectorIndexConfig"]["distance"], "l2-squared");
    assert_eq!(class["vectorConfig"]["rows"]["vectorIndexConfig"]["multivector"], json!({ "enabled": true }));
    assert_eq!(objects[0]["vectors"]["rows"][1][1], json!(-2.5));
}

/// Keys that GraphQL does not take, that Weaviate keeps for itself, or that fall together without regard to case.
const KEYS: &str =
    r#"{"Title":"T","title":"t","odd key":1,"id":"mine","\u00fcber":true,"x_searchable":2.0,"Document":"d","":"e"}"#;

#[test]
fn keys_become_names_of_graphql_and_come_back() {
    let (schema, _) = feeds::collection("", Metric::Dot);
    let rows = [(None, "a", Some(&[1.0, 0.0, 0.0][..]), Some("text"), Some(KEYS))];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let mapping = feeds::write(&CONNECTOR, &path, &(schema.clone(), vec![feeds::batch(&schema, &rows)]), &options());
    let (class, objects) = (feeds::json(&path.join("class.json")), objects(&path));
    assert_documented(&class, &objects);
    let properties = &objects[0]["properties"];
    assert_eq!(
        (&properties["title"], &properties["odd_key"], &properties["id_"]),
        (&json!("t"), &json!(1), &json!("mine"))
    );
    assert_eq!((&properties["document"], properties.as_object().unwrap().len()), (&json!("text"), 10));
    let loss = mapping.losses.iter().find(|loss| loss.code == "KEY_RENAMED").unwrap();
    assert_eq!((loss.grade, loss.records), (Grade::Reversible, Some(1)));
}

#[test]
fn a_document_key_that_is_no_property_is_refused_with_a_way_out() {
    let (schema, batches) = feeds::collection("", Metric::Dot);
    let options = CreateOptions { document_key: Some("my text".to_owned()), ..options() };
    let dir = tempfile::tempdir().unwrap();
    let error =
        tranship_testkit::bundles::write(&CONNECTOR, &dir.path().join("b"), &schema, &batches, &options).unwrap_err();
    assert!(
        error.to_string().contains("`my text`") && error.next_step().unwrap().contains("--document-key"),
        "{error}"
    );
}

#[test]
fn what_weaviate_cannot_hold_is_refused_by_its_code() {
    let (mut schema, _) = named_vectors();
    schema.vectors.drain(..2);
    feeds::refused(&CONNECTOR, &schema, "EMPTY_MULTIVECTOR", (None, "bad", Some(&[]), None, None));
}

#[test]
fn sparse_vectors_are_left_out_by_consent_only() {
    let (mut schema, _) = feeds::collection("", Metric::Dot);
    let terms =
        VectorSpec { kind: VectorKind::Sparse, dim: None, metric: Some(Metric::Dot), ..VectorSpec::dense("terms", 0) };
    schema.vectors.push(terms);
    let collection = (schema.clone(), vec![feeds::batch(&schema, &feeds::ROWS)]);
    let dir = tempfile::tempdir().unwrap();
    let mapping = feeds::write(&CONNECTOR, &dir.path().join("b"), &collection, &feeds::allowing(&["VECTOR_DROPPED"]));
    assert_eq!(mapping.dropped_vectors, ["terms"]);
    let loss = mapping.losses.iter().find(|loss| loss.code == "VECTOR_DROPPED").unwrap();
    assert_eq!(loss.grade, Grade::Dropped);
}

#[test]
fn a_damaged_bundle_is_told_with_its_file() {
    feeds::damage_is_told(&CONNECTOR, &named_vectors(), &options());
}

#[test]
fn the_scripts_load_check_and_undo() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weaviate/stand_in.py");
    let stand_in = StandIn {
        script: &script,
        address: Some("WEAVIATE_URL"),
        programs: &[],
        variables: &[("WEAVIATE_API_KEY", "s3cr\"et\\")],
        secret: Some("WEAVIATE_API_KEY"),
    };
    feeds::scripts_work(&CONNECTOR, &feeds::collection("", Metric::Dot), &options(), &stand_in);
    feeds::scripts_work(&CONNECTOR, &named_vectors(), &options(), &stand_in);
    let (mut schema, _) = feeds::collection("", Metric::Dot);
    schema.namespaced = false;
    let without = (schema.clone(), vec![feeds::batch(&schema, &feeds::ROWS[..5])]);
    feeds::scripts_work(&CONNECTOR, &without, &options(), &stand_in);
}

/// A page of the cursor as the server prints it: whole numbers without a point, the tenant said once by check.sh.
fn page(tenant: &str, objects: &[Value]) -> Value {
    let mut objects: Vec<Value> = objects.iter().filter(|object| object["tenant"] == tenant).cloned().collect();
    for object in &mut objects {
        object.as_object_mut().unwrap().remove("tenant");
        object["creationTimeUnix"] = json!(1);
        object["vectorWeights"] = Value::Null;
        for value in object["properties"].as_object_mut().unwrap().values_mut() {
            if value.as_f64().is_some_and(|number| value.is_f64() && number.fract() == 0.0 && number.abs() < 1e15) {
                *value = json!(value.as_f64().unwrap() as i64);
            }
        }
    }
    json!({ "tenant": tenant, "deprecations": null, "objects": objects, "totalResults": 1 })
}

#[test]
fn the_reader_of_json_lines_takes_cursor_pages_and_the_mapping_undoes_them() {
    let (schema, _) = feeds::collection("", Metric::Cosine);
    let mut rows = feeds::ROWS.to_vec();
    rows[0].4 = Some(r#"{"n":1,"f":1.0,"Title":"x","odd key":true}"#);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let collection = (schema.clone(), vec![feeds::batch(&schema, &rows)]);
    let mapping: Mapping = feeds::write(&CONNECTOR, &path, &collection, &options());
    assert!(!mapping.renamed_keys.is_empty() && !mapping.renamed_namespaces.is_empty());
    let objects = objects(&path);
    let pages = dir.path().join("pages.json");
    let text: Vec<String> = ["default", "tenant_a_b"].iter().map(|tenant| page(tenant, &objects).to_string()).collect();
    assert!(text[0].contains("\"f\":1,"), "a whole number stands without a point: {}", text[0]);
    std::fs::write(&pages, text.join("\n")).unwrap();
    let (found, batches) = feeds::read(&tranship_format_jsonl::CONNECTOR, &pages).unwrap();
    let undone: Vec<_> = batches.iter().map(|batch| mapping.undo(batch, &found).unwrap()).collect();
    let told: Mapping = serde_json::from_value(feeds::json(&path.join("mapping.json"))).unwrap();
    let summary = fingerprint(&mapping.undone_schema(&found), &undone).summary();
    assert_eq!(Some(summary), told.expected_fingerprint);
}
