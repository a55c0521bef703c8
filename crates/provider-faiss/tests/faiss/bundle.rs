//! Bundles: opened by FAISS itself, read back, damaged.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde_json::{Value, json};
use tranship_collection::batch::RowText;
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_collection::{BatchBuilder, CollectionSchema, IndexSpec, Metric, VectorSpec};
use tranship_connector::mapping::unit_scale;
use tranship_connector::{CreateOptions, Error, ErrorKind, Locator, OpenOptions, Result};
use tranship_provider_faiss::CONNECTOR;
use tranship_testkit::damage::{Damage, cuts, flips, survey};
use tranship_testkit::generate::Random;
use tranship_testkit::{Generator, bundles, engines};

use crate::support::{read_plain, read_with};

const DIM: usize = 7;

fn schema(metric: Metric) -> CollectionSchema {
    let mut schema = CollectionSchema::new("numbers");
    schema.ids = IdKinds::Integer;
    let index = Some(IndexSpec::Hnsw { m: 12, ef_construction: 60, ef_search: None });
    schema.vectors = vec![VectorSpec { metric: Some(metric), index, ..VectorSpec::dense("", DIM) }];
    schema
}

/// Records with integer ids, some without a vector; one batch becomes one part.
fn batches(schema: &CollectionSchema) -> Vec<RecordBatch> {
    let mut random = Random::new(7);
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    let mut made = Vec::new();
    for row in 0..300i64 {
        if row % 29 != 3 {
            let values: Vec<f32> = (0..DIM).map(|_| random.unit() * 3.0).collect();
            builder.push_dense(0, &values);
        }
        let (id, metadata) = ((row * 7919 - 1_000_000).to_string(), format!("{{\"n\":{row},\n \"t\": \"a b\"}}"));
        let text = RowText {
            id: &id,
            id_kind: IdKind::Integer,
            namespace: None,
            document: (row % 3 == 0).then_some("Text\nmit \"Zeilen\""),
            metadata: (row % 4 > 0).then_some(&metadata),
        };
        builder.finish_row(text).unwrap();
        if builder.rows() == 110 || row == 299 {
            made.push(builder.finish().unwrap());
        }
    }
    made
}

fn write(dir: &Path, schema: &CollectionSchema, batches: &[RecordBatch]) -> Result<std::path::PathBuf> {
    let path = dir.join("bundle");
    bundles::write(&CONNECTOR, &path, schema, batches, &CreateOptions::default())?;
    Ok(path)
}

fn opened(bundle: &Path) -> Value {
    let out = bundle.with_file_name("joined");
    let text = engines::run("faiss", "bundle_open.py", &[OsStr::new("faiss"), bundle.as_os_str(), out.as_os_str()]);
    serde_json::from_str(&text).unwrap()
}

/// Rows with a vector, as they came: id and values.
fn given(schema: &CollectionSchema, batches: &[RecordBatch]) -> Vec<(String, Vec<f32>)> {
    let mut rows = Vec::new();
    for batch in batches {
        let view = tranship_collection::BatchView::new(batch, schema).unwrap();
        for row in 0..view.len() {
            if let Some(tranship_collection::VectorValue::Dense(values)) = view.vector(0, row) {
                rows.push((view.id(row).to_owned(), values.to_vec()));
            }
        }
    }
    rows
}

#[test]
fn faiss_opens_every_metric_and_finds_every_vector_and_label() {
    for (metric, number) in [(Metric::L2, 1), (Metric::Dot, 0), (Metric::Cosine, 0), (Metric::L1, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let schema = schema(metric);
        let batches = batches(&schema);
        let bundle = write(dir.path(), &schema, &batches).unwrap();
        let found = opened(&bundle);
        assert_eq!(found["metric"], number, "{metric:?}");
        let given = given(&schema, &batches);
        let labels: Vec<i64> = given.iter().map(|(id, _)| id.parse().unwrap()).collect();
        assert_eq!(found["labels"], json!(labels), "{metric:?}");
        let bits = |values: &[f32]| -> Vec<u32> {
            let scale = if metric == Metric::Cosine { unit_scale(values) } else { 1.0 };
            values.iter().map(|value| (value * scale).to_bits()).collect()
        };
        let rows: Vec<Vec<u32>> = given.iter().map(|(_, values)| bits(values)).collect();
        assert_eq!(found["rows"], json!(rows), "{metric:?}");
        if metric != Metric::Dot {
            assert_eq!(found["nearest"], json!(labels), "{metric:?}: each vector is its own nearest");
        }
        let ids: Vec<i64> = found["records"].as_array().unwrap().iter().map(|r| r["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, labels, "{metric:?}");
        let outcome = read_plain(&bundle).unwrap();
        assert_eq!(outcome.records.len(), 300, "{metric:?}");
        assert_eq!(outcome.records.iter().filter(|record| record.vectors.is_empty()).count(), 11, "{metric:?}");
        for ((id, values), record) in given.iter().zip(outcome.records.iter().filter(|r| !r.vectors.is_empty())) {
            assert_eq!((id, Some(values.as_slice())), (&record.id, record.dense("")), "{metric:?}");
        }
    }
}

#[test]
fn ids_that_are_no_labels_and_all_other_vectors_stand_beside_a_plain_index() {
    let dir = tempfile::tempdir().unwrap();
    let generator =
        Generator { mixed_ids: true, namespaced: true, all_vectors: true, narrow: true, ..Generator::default() };
    let bundle = write(dir.path(), &generator.schema(), &generator.batches()).unwrap();
    let found = opened(&bundle);
    assert_eq!((found["labels"].as_array().unwrap().len(), found["metric"].as_i64()), (0, Some(0)));
    let rows: Vec<i64> = (0..found["rows"].as_array().unwrap().len() as i64).collect();
    assert_eq!(found["records"].as_array().unwrap().len(), rows.len());
    let other = found["records"].as_array().unwrap().iter().filter(|record| record["vectors"]["title"].is_array());
    assert!(other.count() > 300);
    let outcome = read_plain(&bundle).unwrap();
    assert_eq!((outcome.records.len(), outcome.schema.vectors.len()), (500, 9));
}

#[test]
fn a_collection_without_records_or_without_dense_vectors_is_still_a_bundle() {
    let schema = schema(Metric::L2);
    let dir = tempfile::tempdir().unwrap();
    let bundle = write(dir.path(), &schema, &[]).unwrap();
    assert_eq!(read_plain(&bundle).unwrap().records.len(), 0);
    let mut bare = CollectionSchema::new("bare");
    bare.ids = IdKinds::Integer;
    let mut builder = BatchBuilder::new(Arc::new(bare.clone())).unwrap();
    let text = RowText { id: "1", id_kind: IdKind::Integer, namespace: None, document: Some("d"), metadata: None };
    builder.finish_row(text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bundle = write(dir.path(), &bare, &[builder.finish().unwrap()]).unwrap();
    assert_eq!(read_plain(&bundle).unwrap().records[0].document.as_deref(), Some("d"));
}

fn refusal(schema: &CollectionSchema, options: &[(&str, &str)]) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let options = CreateOptions { options, ..CreateOptions::default() };
    bundles::write(&CONNECTOR, &dir.path().join("bundle"), schema, &[], &options).unwrap_err()
}

#[test]
fn what_cannot_be_indexed_is_refused_with_a_next_step() {
    let mut without = schema(Metric::L2);
    without.vectors[0].metric = None;
    let error = refusal(&without, &[]);
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.next_step().unwrap().contains("--metric"), "{error}");
    let error = refusal(&schema(Metric::Hamming), &[]);
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let error = refusal(&schema(Metric::L2), &[("vector", "nope")]);
    assert!(error.to_string().contains("`nope`"), "{error}");
    let error = (CONNECTOR.create.unwrap())(&Locator { provider: None, path: "-".into() }, &CreateOptions::default());
    assert_eq!(error.err().unwrap().kind(), ErrorKind::Usage);
}

#[test]
fn every_damage_to_a_data_file_is_found_and_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let schema = schema(Metric::Cosine);
    let bundle = write(dir.path(), &schema, &batches(&schema)).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(bundle.join("data")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let stems = ["index-", "original-", "records-", "rest-"];
    let name = |file: &Path| file.file_name().unwrap().to_string_lossy().into_owned();
    assert!(
        stems.iter().all(|stem| files.iter().filter(|file| name(file).starts_with(stem)).count() == 3),
        "{files:?}"
    );
    for file in &files {
        let len = std::fs::metadata(file).unwrap().len();
        let mut damages = flips(len, 40, 3);
        damages.extend(cuts(len, &[], 3).into_iter().step_by(97));
        damages.push(Damage::Cut(len - 1));
        let found = survey(file, &name(file), &damages, || read_with(&bundle, &OpenOptions::default()));
        assert_eq!((found.errors, found.unnoticed), (damages.len(), 0), "{}", name(file));
        let whole = std::fs::read(file).unwrap();
        std::fs::remove_file(file).unwrap();
        let error = read_plain(&bundle).unwrap_err();
        assert!(error.to_string().contains(&name(file)), "{error}");
        std::fs::write(file, whole).unwrap();
    }
    assert_eq!(read_plain(&bundle).unwrap().records.len(), 300);
}
