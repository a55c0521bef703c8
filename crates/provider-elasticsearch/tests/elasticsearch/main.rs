//! Bundles for Elasticsearch and OpenSearch: index and documents, what is refused, damage, their scripts against stand-ins,
//! and `_bulk` bodies through the reader of JSON lines.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tranship_collection::{Element, Metric, VectorKind, VectorSpec};
use tranship_connector::{Connector, CreateOptions, Grade, Mapping};
use tranship_provider_elasticsearch::{ELASTICSEARCH, OPENSEARCH};
use tranship_testkit::bundles::{self, fingerprint};
use tranship_testkit::feeds::{self, Collection, StandIn};

const BOTH: [&Connector; 2] = [&ELASTICSEARCH, &OPENSEARCH];

fn options() -> CreateOptions {
    CreateOptions::default()
}

/// The common rows, but for the ones whose length no f32 holds, under vectors of all kinds.
fn all_vectors() -> Collection {
    let (mut schema, _) = feeds::collection("title", Metric::Cosine);
    let rows = VectorSpec { kind: VectorKind::Multi, metric: Some(Metric::Dot), ..VectorSpec::dense("rows", 3) };
    let terms =
        VectorSpec { kind: VectorKind::Sparse, dim: None, metric: Some(Metric::Dot), ..VectorSpec::dense("terms", 0) };
    schema.vectors.extend([rows, terms, VectorSpec { metric: Some(Metric::L2), ..VectorSpec::dense("", 3) }]);
    let rows: Vec<feeds::Row<'static>> = feeds::ROWS.iter().filter(|row| row.1 != "42").copied().collect();
    let batches = rows.chunks(4).map(|rows| feeds::batch(&schema, rows)).collect();
    (schema, batches)
}

fn indexed_in_part() -> CreateOptions {
    feeds::allowing(&["VECTOR_NOT_INDEXED"])
}

/// Action and source of every document, from bodies as `_bulk` documents them.
fn documents(path: &Path) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, text) in feeds::data(path) {
        assert!(name.ends_with(".ndjson") && text.ends_with('\n') && !text.ends_with("\n\n"), "{name}");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for pair in lines.chunks(2) {
            let [action, source] = pair else { panic!("an action without its source in {name}") };
            let id = action["index"]["_id"].as_str().unwrap();
            assert_eq!(action, &json!({ "index": { "_id": id } }));
            found.push((id.to_owned(), source.clone()));
        }
    }
    found
}

fn written(
    connector: &Connector,
    collection: &Collection,
    options: &CreateOptions,
) -> (Value, BTreeMap<String, Value>, Mapping) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let mapping = feeds::write(connector, &path, collection, options);
    (feeds::json(&path.join("index.json")), documents(&path).into_iter().collect(), mapping)
}

#[test]
fn documents_are_whole_and_the_index_is_not_dynamic() {
    for connector in BOTH {
        let (index, documents, mapping) = written(connector, &feeds::collection("", Metric::L2), &options());
        assert_eq!(documents.len(), feeds::ROWS.len());
        assert_eq!(
            (&index["mappings"]["dynamic"], &index["settings"]["index"]["number_of_replicas"]),
            (&json!(false), &json!(0))
        );
        assert_eq!(index["settings"]["index"]["refresh_interval"], json!("-1"));
        let properties = index["mappings"]["properties"].as_object().unwrap();
        let kind = |key: &str| properties.get(key).map(|field| field["type"].as_str().unwrap());
        assert_eq!(
            (kind("n"), kind("f"), kind("s"), kind("b")),
            (Some("long"), Some("double"), Some("keyword"), Some("boolean"))
        );
        assert_eq!(
            (kind("tags"), kind("document"), kind("_tranship_namespace")),
            (Some("keyword"), Some("text"), Some("keyword"))
        );
        // Objects, mixed lists, nothing but nulls, and what only stands as text.
        assert!(["o", "mixed", "z", "big", "_tranship_exact"].iter().all(|key| kind(key).is_none()), "{properties:?}");
        let first = &documents["doc-1"];
        assert_eq!((&first["vector"][1], &first["f"], &first["tags"]), (&json!(-2.5), &json!(1.0), &json!(["a", "b"])));
        let nested = &documents["\u{fc}ber/2 \"x\""];
        assert_eq!((&nested["o"], &nested["z"]), (&json!({ "x": { "y": [1, null] } }), &Value::Null));
        assert!(nested.as_object().unwrap().contains_key("z") && nested.get("_tranship_exact").is_none());
        assert_eq!(documents["x\u{1}y"]["_tranship_exact"], json!(r#"{"big":123456789012345678901234567890}"#));
        let in_tenant: Vec<&Value> =
            documents.values().filter(|source| source["_tranship_namespace"] == "tenant a|b").collect();
        assert!(in_tenant.len() == 2 && in_tenant.iter().any(|source| source["_tranship_id"] == "doc-1"));
        let loss = mapping.losses.iter().find(|loss| loss.code == "METADATA_NOT_INDEXED").unwrap();
        assert_eq!(loss.grade, Grade::Equivalent);
    }
}

#[test]
fn vectors_are_declared_as_each_of_them_wants_it() {
    let (index, _, mapping) = written(&ELASTICSEARCH, &all_vectors(), &indexed_in_part());
    let properties = &index["mappings"]["properties"];
    let wanted = json!({
        "type": "dense_vector", "dims": 3, "element_type": "float", "index": true, "similarity": "cosine",
        "index_options": { "type": "hnsw", "m": 16, "ef_construction": 200 },
    });
    assert_eq!((&properties["title"], &properties["vector"]["similarity"]), (&wanted, &json!("l2_norm")));
    assert!(properties.get("rows").is_none() && properties.get("terms").is_none());
    assert_eq!(mapping.tolerance.keys().collect::<Vec<_>>(), ["title"]);
    assert!(index["settings"]["index"].get("knn").is_none());

    let (index, documents, mapping) = written(&OPENSEARCH, &all_vectors(), &indexed_in_part());
    let method = json!({
        "name": "hnsw", "engine": "lucene", "space_type": "cosinesimil", "parameters": { "m": 16, "ef_construction": 200 },
    });
    let wanted = json!({ "type": "knn_vector", "dimension": 3, "data_type": "float", "method": method });
    assert_eq!(
        (&index["mappings"]["properties"]["title"], &index["settings"]["index"]["knn"]),
        (&wanted, &json!(true))
    );
    assert!(mapping.tolerance.is_empty() && mapping.normalised.is_empty());
    let first = &documents["doc-1"];
    assert_eq!((&first["rows"][1][1], &first["terms"]["indices"]), (&json!(-2.5), &json!([0, 1000, 2000])));
    let lossy = mapping.losses.iter().filter(|loss| loss.code == "VECTOR_NOT_INDEXED" && loss.grade == Grade::Lossy);
    assert_eq!(lossy.count(), 2);
}

#[test]
fn the_faiss_engine_is_chosen_by_name_and_brings_cosine_vectors_to_unit_length() {
    let engine =
        |name: &str| CreateOptions { options: [("engine".to_owned(), name.to_owned())].into(), ..indexed_in_part() };
    let dir = tempfile::tempdir().unwrap();
    let (schema, batches) = all_vectors();
    let mapping = bundles::write(&OPENSEARCH, &dir.path().join("b"), &schema, &batches, &engine("faiss")).unwrap();
    assert_eq!(mapping.form["mappings"]["properties"]["title"]["method"]["engine"], "faiss");
    assert_eq!(mapping.normalised, ["title"]);
    assert!(mapping.losses.iter().any(|loss| loss.code == "NORM"));
    let error = bundles::write(&OPENSEARCH, &dir.path().join("c"), &schema, &batches, &engine("nmslib")).unwrap_err();
    assert!(error.next_step().unwrap().contains("lucene, faiss"), "{error}");
}

#[test]
fn bytes_stay_bytes() {
    for connector in BOTH {
        let (mut schema, _) = feeds::collection("", Metric::L2);
        schema.vectors[0].element = Element::I8;
        let rows = [(None, "a", Some(&[-128.0, 0.0, 127.0][..]), None, None)];
        let (index, documents, _) =
            written(connector, &(schema.clone(), vec![feeds::batch(&schema, &rows)]), &options());
        let field = &index["mappings"]["properties"]["vector"];
        assert!(field["element_type"] == "byte" || field["data_type"] == "byte", "{field}");
        assert_eq!(documents["a"]["vector"], json!([-128, 0, 127]));
        assert!(documents["a"]["vector"].as_array().unwrap().iter().all(Value::is_i64));
    }
}

/// Keys that are a vector's or the server's, that the parser refuses, or whose values are of several types.
const KEYS: &str =
    r#"{"vector":"mine","_id":"x","_source":{"_id":1},"a.b":1,"":2," ":3,"o":{"p.q":1},"kind":1,"maybe":null}"#;

#[test]
fn keys_that_cannot_be_fields_get_other_names_or_stand_as_text() {
    let (schema, _) = feeds::collection("", Metric::Dot);
    let vector: Option<&[f32]> = Some(&[1.0, 0.0, 0.0]);
    let rows = [
        (None, "a", vector, None, Some(KEYS)),
        (None, "b", vector, None, Some("{\"kind\":\"one\",\n\"maybe\":7,\"metadata_id\":\"taken\"}")),
    ];
    let collection = (schema.clone(), vec![feeds::batch(&schema, &rows)]);
    for connector in BOTH {
        let (index, documents, mapping) = written(connector, &collection, &options());
        let first = &documents["a"];
        assert_eq!((&first["metadata_vector"], &first["metadata_source"]), (&json!("mine"), &json!({ "_id": 1 })));
        assert!(first.get("_id").is_none() && documents["b"]["metadata_id"] == "taken");
        let exact: Value = serde_json::from_str(first["_tranship_exact"].as_str().unwrap()).unwrap();
        assert_eq!(exact, json!({ "a.b": 1, "": 2, " ": 3, "o": { "p.q": 1 } }));
        let properties = &index["mappings"]["properties"];
        assert_eq!((properties.get("kind"), &properties["maybe"]["type"]), (None, &json!("long")));
        assert_eq!(properties["vector"]["type"].as_str().map(|kind| kind.ends_with("_vector")), Some(true));
        assert!(mapping.losses.iter().any(|loss| loss.code == "KEY_RENAMED" && loss.grade == Grade::Reversible));
    }
}

#[test]
fn ids_beyond_512_bytes_are_mapped_and_come_back() {
    let (schema, _) = feeds::collection("", Metric::Dot);
    let (fits, long) = ("x".repeat(512), "\u{fc}".repeat(257));
    let rows = [&fits, &long].map(|id| (None, id.as_str(), Some(&[1.0, 0.0, 0.0][..]), None, None));
    let (_, documents, _) = written(&ELASTICSEARCH, &(schema.clone(), vec![feeds::batch(&schema, &rows)]), &options());
    assert!(documents.contains_key(&fits) && documents.values().any(|source| source["_tranship_id"] == json!(long)));
    assert!(documents.keys().all(|id| id.len() <= 512));
}

#[test]
fn what_an_index_cannot_hold_is_refused_by_its_code() {
    let (schema, _) = feeds::collection("", Metric::Cosine);
    for connector in BOTH {
        feeds::refused(connector, &schema, "ZERO_VECTOR", (None, "bad", Some(&[0.0, -0.0, 0.0]), None, None));
        feeds::refused(connector, &schema, "NORM_OUT_OF_RANGE", (None, "bad", Some(&[3e38, 3e38, 0.0]), None, None));
    }
}

#[test]
fn vectors_that_cannot_be_indexed_need_consent() {
    let dir = tempfile::tempdir().unwrap();
    let (schema, batches) = all_vectors();
    for connector in BOTH {
        let mapping =
            bundles::write(connector, &dir.path().join(connector.name), &schema, &batches, &options()).unwrap();
        let lossy: Vec<&str> =
            mapping.losses.iter().filter(|loss| loss.grade.needs_consent()).map(|loss| loss.code.as_str()).collect();
        assert_eq!(lossy, ["VECTOR_NOT_INDEXED"; 2]);
    }
    let wide = |dim| VectorSpec { metric: Some(Metric::Dot), ..VectorSpec::dense("", dim) };
    for (connector, dim) in [(&ELASTICSEARCH, 4_097), (&OPENSEARCH, 16_001)] {
        let schema = tranship_collection::CollectionSchema { vectors: vec![wide(dim)], ..schema.clone() };
        let error = bundles::write(connector, &dir.path().join("wide"), &schema, &[], &options()).unwrap_err();
        assert!(error.to_string().contains(&dim.to_string()), "{error}");
    }
}

#[test]
fn a_damaged_bundle_is_told_with_its_file() {
    for connector in BOTH {
        feeds::damage_is_told(connector, &all_vectors(), &indexed_in_part());
    }
}

#[test]
fn the_scripts_load_check_and_undo() {
    let at = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/elasticsearch").join(name);
    let (hides, shows) = (at("hides.py"), at("shows.py"));
    let elasticsearch = |script| StandIn {
        script,
        address: Some("ELASTICSEARCH_URL"),
        programs: &[],
        variables: &[("ELASTICSEARCH_API_KEY", "s3cr\"et\\")],
        secret: Some("ELASTICSEARCH_API_KEY"),
    };
    feeds::scripts_work(&ELASTICSEARCH, &feeds::collection("", Metric::Dot), &options(), &elasticsearch(&hides));
    feeds::scripts_work(&ELASTICSEARCH, &all_vectors(), &indexed_in_part(), &elasticsearch(&shows));
    let opensearch = StandIn {
        script: &shows,
        address: Some("OPENSEARCH_URL"),
        programs: &[],
        variables: &[("OPENSEARCH_PASSWORD", "s3cr\"et\\")],
        secret: None,
    };
    feeds::scripts_work(&OPENSEARCH, &feeds::collection("", Metric::L2), &options(), &opensearch);
    feeds::scripts_work(&OPENSEARCH, &all_vectors(), &indexed_in_part(), &opensearch);
}

#[test]
fn the_reader_of_json_lines_takes_bulk_bodies_and_the_mapping_undoes_them() {
    let dir = tempfile::tempdir().unwrap();
    let (path, file) = (dir.path().join("b"), dir.path().join("all.ndjson"));
    feeds::write(&ELASTICSEARCH, &path, &feeds::collection("", Metric::Dot), &options());
    std::fs::write(&file, feeds::data(&path).into_iter().map(|(_, text)| text).collect::<String>()).unwrap();
    let (found, batches) = feeds::read(&tranship_format_jsonl::CONNECTOR, &file).unwrap();
    let mapping: Mapping = serde_json::from_value(feeds::json(&path.join("mapping.json"))).unwrap();
    let undone: Vec<_> = batches.iter().map(|batch| mapping.undo(batch, &found).unwrap()).collect();
    let summary = fingerprint(&mapping.undone_schema(&found), &undone).summary();
    assert_eq!(Some(summary), mapping.expected_fingerprint);
}
