//! What a bundle holds, and that it reads back as the source's own set.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tranship_collection::{BatchView, CollectionSchema, Metric};
use tranship_connector::{CreateOptions, ErrorKind, Mapping};
use tranship_provider_qdrant::{CONNECTOR, dialect};
use tranship_testkit::bundles;

use crate::support::{ROWS, build, dense, fingerprint, named, read, sink, write};

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in [dir.to_owned(), dir.join("data")] {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
            found.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn a_bundle_reads_back_with_the_fingerprint_of_its_source() {
    let collections = [dense(Metric::Cosine), dense(Metric::L2), dense(Metric::Dot), dense(Metric::L1), named()];
    for (schema, batches) in collections {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle");
        write(&path, &schema, &batches, &CreateOptions::default()).unwrap();
        assert_eq!((CONNECTOR.probe)(&path), Some(95));
        let (back, read_batches) = read(&path).unwrap();
        assert_eq!(back, schema);
        assert_eq!(fingerprint(&back, &read_batches).summary(), fingerprint(&schema, &batches).summary());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_body_is_what_qdrant_documents() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let (schema, batches) = dense(Metric::Cosine);
    write(&path, &schema, &batches, &CreateOptions::default()).unwrap();
    let body = json_of(&path.join("data/points-00000-000.json"));
    assert_eq!(
        body["points"][0]["payload"],
        json!({
            "a": 1, "b": 1.0, "c": null, "d": {"e": []},
            "_tranship_id": "doc-1", "document": "a \"document\"\n\u{1F980}"
        })
    );
    assert_eq!(body["points"][0]["vector"].as_array().unwrap().len(), 3);
    assert_eq!(body["points"][1], json!({"id": crate::support::UUID, "vector": {}, "payload": {}}));
    let second = json_of(&path.join("data/points-00001-000.json"));
    assert_eq!(second["points"][0]["id"], 42);
    assert_eq!(second["points"][0]["payload"]["_tranship_exact"], r#"{"score":997833.0085806655,"n":[-0,1e22]}"#);
    assert_eq!(second["points"][1]["payload"]["_tranship_id"], -5);
    assert_eq!(second["points"][2]["payload"]["_tranship_id"], json!({"integer": "99999999999999999999"}));
    assert_eq!(second["points"][3]["payload"]["_tranship_namespace"], "tenant\tone");
    assert_eq!(second["points"][3]["payload"]["_tranship_id"], 42);
    assert_eq!(
        json_of(&path.join("schema.json")),
        json!({
            "vectors": {"size": 3, "distance": "Cosine", "hnsw_config": {"m": 16, "ef_construct": 100}},
            "optimizers_config": {"indexing_threshold": 0}
        })
    );
    assert_eq!(json_of(&path.join("payload-index-000.json"))["field_name"], dialect::NAMESPACE_KEY);
    let mapping: Mapping = serde_json::from_value(json_of(&path.join("mapping.json"))).unwrap();
    assert_eq!(mapping.records, BTreeMap::from([(String::new(), 7), ("tenant\tone".to_owned(), 2)]));
    assert_eq!(mapping.normalised, [""]);
    assert_ne!(mapping.source_fingerprint, mapping.expected_fingerprint);
}

#[test]
fn named_vectors_have_named_settings() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let (schema, batches) = named();
    write(&path, &schema, &batches, &CreateOptions::default()).unwrap();
    assert_eq!(
        json_of(&path.join("schema.json")),
        json!({
            "vectors": {
                "a": {"size": 2, "distance": "Euclid"},
                "m": {"size": 2, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}
            },
            "sparse_vectors": {"s": {}},
            "optimizers_config": {"indexing_threshold": 0}
        })
    );
    assert_eq!(
        json_of(&path.join("data/points-00000-000.json"))["points"][2]["vector"],
        json!({"m": [[3.0, 4.0], [0.0, 2.0]], "s": {"indices": [0, 4294967295u32], "values": [0.5, -7.25]}})
    );
}

#[test]
fn metrics_that_qdrant_stores_as_they_are_expect_the_fingerprint_of_the_source() {
    for metric in [Metric::L2, Metric::Dot, Metric::L1] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle");
        let (schema, batches) = dense(metric);
        write(&path, &schema, &batches, &CreateOptions::default()).unwrap();
        let manifest = json_of(&path.join("MANIFEST.json"));
        assert_eq!(manifest["source_fingerprint"], manifest["expected_fingerprint"]);
        assert!(manifest["losses"].as_array().unwrap().iter().all(|loss| loss["code"] != "NORM"));
    }
}

#[test]
fn the_same_records_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (schema, batches) = dense(Metric::Cosine);
    let paths = ["one", "two"].map(|name| dir.path().join(name));
    paths.iter().for_each(|path| write(path, &schema, &batches, &CreateOptions::default()).unwrap());
    let [one, two] = paths.map(|path| files(&path));
    assert_eq!(one, two);
    assert!(one.len() > 10);
}

#[test]
fn an_interrupted_bundle_goes_on_with_the_shards_that_are_finished() {
    let dir = tempfile::tempdir().unwrap();
    let (schema, batches) = dense(Metric::Cosine);
    let whole = dir.path().join("whole");
    write(&whole, &schema, &batches, &CreateOptions::default()).unwrap();
    let path = dir.path().join("resumed");
    {
        let sink = sink(&path, &CreateOptions::default()).unwrap();
        let survey = bundles::survey(&*sink, &schema, &batches).unwrap();
        let mapping = sink.negotiate(&schema, &survey).unwrap().mapping;
        sink.begin("plan", &schema).unwrap();
        let mut writer = sink.open_shard(1, &schema, mapping.as_ref()).unwrap();
        writer.write(&batches[1]).unwrap();
        sink.publish(&mut writer.finish().unwrap()).unwrap();
        let mut torn = sink.open_shard(2, &schema, mapping.as_ref()).unwrap();
        torn.write(&batches[2]).unwrap();
    }
    write(&path, &schema, &batches, &CreateOptions::default()).unwrap();
    assert_eq!(files(&path), files(&whole));
}

#[test]
fn a_collection_without_dimensions_has_no_create_body_and_is_no_failure() {
    for rows in [&[][..], &ROWS[..4]] {
        let mut schema = CollectionSchema::new("empty");
        schema.vectors =
            vec![tranship_collection::VectorSpec { dim: None, ..tranship_collection::VectorSpec::dense("", 0) }];
        let batches = build(&schema, rows, |_, _| {});
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle");
        write(&path, &schema, &batches, &CreateOptions::default()).unwrap();
        assert!(!path.join("schema.json").exists());
        let losses = json_of(&path.join("MANIFEST.json"))["losses"].clone();
        assert!(losses.as_array().unwrap().iter().any(|loss| loss["code"] == "NO_DIMS"));
        let (back, read_batches) = read(&path).unwrap();
        assert_eq!(fingerprint(&back, &read_batches).summary(), fingerprint(&schema, &batches).summary());
    }
}

#[test]
fn bodies_stay_below_their_limit() {
    let schema = {
        let mut schema = CollectionSchema::new("long");
        schema.vectors = vec![tranship_collection::VectorSpec {
            metric: Some(Metric::Dot),
            ..tranship_collection::VectorSpec::dense("", 1)
        }];
        schema
    };
    let text: &'static str = Box::leak("x".repeat(5_000_000).into_boxed_str());
    let ids = ["a", "b", "c", "d", "e", "f", "g"];
    let rows = ids.map(|id| (id, tranship_collection::IdKind::Text, None, Some(text), None));
    let batches = build(&schema, &rows, |builder, row| builder.push_dense(0, &[row as f32]));
    let one = arrow_select_concat(&batches);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    write(&path, &schema, &one, &CreateOptions::default()).unwrap();
    let sizes: Vec<u64> =
        fs::read_dir(path.join("data")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.len() >= 2 && sizes.iter().all(|size| *size <= dialect::BODY_BYTES), "{sizes:?}");
    let (back, read_batches) = read(&path).unwrap();
    assert_eq!(fingerprint(&back, &read_batches).summary(), fingerprint(&schema, &batches).summary());
}

/// All batches as one, so that one shard has several bodies.
fn arrow_select_concat(batches: &[arrow_array::RecordBatch]) -> Vec<arrow_array::RecordBatch> {
    vec![arrow_select::concat::concat_batches(&batches[0].schema(), batches).unwrap()]
}

#[test]
fn a_damaged_bundle_is_refused_with_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (schema, batches) = dense(Metric::L2);
    let damage: [(&str, fn(&mut Vec<u8>)); 5] = [
        ("data/points-00000-000.json", |bytes| bytes[40] ^= 1),
        ("data/points-00001-000.json", |bytes| bytes.truncate(100)),
        ("mapping.json", |bytes| bytes.push(b' ')),
        ("MANIFEST.json", |bytes| *bytes = String::from_utf8_lossy(bytes).replace("\"rows\": 4", "\"rows\": 5").into()),
        ("MANIFEST.json", |bytes| bytes.truncate(200)),
    ];
    for (number, (name, damage)) in damage.into_iter().enumerate() {
        let path = dir.path().join(number.to_string());
        write(&path, &schema, &batches, &CreateOptions::default()).unwrap();
        let mut bytes = fs::read(path.join(name)).unwrap();
        damage(&mut bytes);
        fs::write(path.join(name), bytes).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.next_step().is_some());
    }
    let path = dir.path().join("0");
    fs::remove_file(path.join("MANIFEST.json")).unwrap();
    assert!(read(&path).unwrap_err().message().contains("no MANIFEST.json"));
}

#[test]
fn scroll_pages_are_read_as_they_are_and_undone_by_the_mapping() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("bundle");
    let (schema, batches) = dense(Metric::L2);
    write(&bundle, &schema, &batches, &CreateOptions::default()).unwrap();
    let pages = dir.path().join("pages");
    fs::create_dir(&pages).unwrap();
    for (number, name) in ["points-00000-000", "points-00001-000", "points-00002-000"].iter().enumerate() {
        let body = fs::read_to_string(bundle.join(format!("data/{name}.json"))).unwrap();
        let page = format!("{{\"result\":{},\"status\":\"ok\",\"time\":0.1}}", body.trim());
        fs::write(pages.join(format!("scroll-0000{}.json", number + 1)), page).unwrap();
    }
    assert_eq!((CONNECTOR.probe)(&pages), Some(60));
    let (found, scrolled) = read(&pages).unwrap();
    assert_eq!(found.vectors[0].dim, Some(3));
    let mapping: Mapping = serde_json::from_value(json_of(&bundle.join("mapping.json"))).unwrap();
    let undone: Vec<_> = scrolled.iter().map(|batch| mapping.undo(batch, &found).unwrap()).collect();
    let target = mapping.undone_schema(&found);
    assert_eq!(fingerprint(&target, &undone).summary(), fingerprint(&schema, &batches).summary());
    fs::remove_file(pages.join("scroll-00002.json")).unwrap();
    assert!(read(&pages).unwrap_err().message().contains("page 2 is missing"));
}

#[test]
fn a_point_that_does_not_fit_is_rejected_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("scroll-00001.json");
    let deep = format!(r#"{{"id":1,"vector":{{}},"payload":{{"a":{}1{}}}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (point, reason) in [
        (deep.as_str(), "nested deeper"),
        (r#"{"id":-1,"vector":[1.0,2.0]}"#, "no point id"),
        (r#"{"id":1,"vector":[1.0]}"#, "1 dimensions"),
        (r#"{"id":1,"vector":[1.0,"x"]}"#, "not a JSON number"),
        (r#"{"id":1,"vector":{"b":[1.0]}}"#, "page"),
        (r#"{"id":1,"vector":[1.0,2.0],"payload":[]}"#, "not an object"),
        (r#"{"vector":[1.0,2.0]}"#, "missing field `id`"),
    ] {
        let text = format!(r#"{{"result":{{"points":[{{"id":7,"vector":[1.0,2.0]}},{point}]}}}}"#);
        fs::write(&page, text).unwrap();
        match read(dir.path()) {
            Err(error) => {
                assert!(error.message().contains("scroll-00001.json point 1"), "{error}");
                assert!(error.message().contains(reason), "{error}");
            }
            // A vector under a new name is a new vector of the collection.
            Ok((schema, batches)) => {
                assert_eq!(reason, "page");
                let view = BatchView::new(&batches[0], &schema).unwrap();
                assert_eq!((view.len(), schema.vectors.len()), (2, 2));
            }
        }
    }
    for text in ["", "[]", "{\"result\":{}}", "{\"points\":[1", "{\"status\":{\"error\":\"Not found\"}}"] {
        fs::write(&page, text).unwrap();
        let error = read(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{text}: {error}");
    }
}
