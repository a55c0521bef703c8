//! What DuckDB, polars and pyarrow find in a dataset, against the source; and what comes back.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tranship_collection::VectorKind;
use tranship_connector::{CreateOptions, ErrorKind, Locator, OpenOptions, Result};
use tranship_format_parquet::ParquetSource;
use tranship_provider_dataset::CONNECTOR;
use tranship_testkit::damage::{Damage, flips, survey};
use tranship_testkit::reading::{Outcome, Record, Vector, read};
use tranship_testkit::{Generator, MemorySource, bundles, engines};

pub fn write(dir: &Path, generator: &Generator, layout: &str) -> Result<PathBuf> {
    let path = dir.join("dataset");
    let options = [("layout".to_owned(), layout.to_owned())].into();
    let options = CreateOptions { options, ..CreateOptions::default() };
    bundles::write(&CONNECTOR, &path, &generator.schema(), &generator.batches(), &options)?;
    Ok(path)
}

pub fn source(generator: &Generator) -> Outcome {
    read(&MemorySource::new(generator.schema(), generator.batches(), 2)).unwrap()
}

pub fn read_back(path: &Path) -> Result<Outcome> {
    let locator = Locator { provider: None, path: path.to_owned() };
    read(&*(CONNECTOR.open.unwrap())(&locator, &OpenOptions::default())?)
}

fn opened(path: &Path) -> Value {
    let text = engines::run("readers", "dataset_files.py", &[OsStr::new("read"), path.as_os_str()]);
    serde_json::from_str(&text).unwrap()
}

/// The bits of doubles with the same values, as the script shows floats.
fn bits(values: &[f32]) -> Value {
    json!(values.iter().map(|value| f64::from(*value).to_bits() as i64).collect::<Vec<i64>>())
}

pub fn everything() -> Generator {
    Generator { mixed_ids: true, namespaced: true, all_vectors: true, narrow: true, bits: true, ..Generator::default() }
}

fn wanted_vector(record: &Record, name: &str, dim: usize) -> Value {
    match record.vectors.get(name) {
        None => Value::Null,
        Some(Vector::Dense(values)) => bits(values),
        Some(Vector::Multi(values)) => json!(values.chunks(dim).map(bits).collect::<Vec<_>>()),
        Some(Vector::Sparse(indices, values)) => json!({ "indices": indices, "values": bits(values) }),
        Some(Vector::Bits(bytes)) => {
            json!((0..dim + 3).map(|bit| char::from(b'0' + (bytes[bit / 8] >> (7 - bit % 8) & 1))).collect::<String>())
        }
    }
}

#[test]
fn three_readers_find_every_value_of_every_layout() {
    for (layout, embedding, document) in [("hf", "embedding", "text"), ("vdf", "vector", "document")] {
        for generator in [everything(), Generator { narrow: true, ..Generator::default() }] {
            let dir = tempfile::tempdir().unwrap();
            let path = write(dir.path(), &generator, layout).unwrap();
            let found = opened(&path);
            let rows = found["rows"].as_array().unwrap();
            let source = source(&generator);
            assert_eq!(rows.len(), source.records.len(), "{layout}");
            for (row, record) in rows.iter().zip(&source.records) {
                assert_eq!(row["id"], json!(record.id), "{layout}");
                assert_eq!(row[document], json!(record.document), "{layout}");
                if generator.namespaced {
                    assert_eq!(row["namespace"], json!(record.namespace), "{layout}");
                }
                for spec in &source.schema.vectors {
                    let name = match (spec.kind, spec.name.as_str()) {
                        (VectorKind::Dense, "") => embedding.to_owned(),
                        (VectorKind::Dense, name) => name.to_owned(),
                        (VectorKind::Sparse, name) => format!("sparse_{name}"),
                        (VectorKind::Multi, name) => format!("multi_{name}"),
                        (VectorKind::Bits, name) => format!("bits_{name}"),
                    };
                    assert_eq!(row[&name], wanted_vector(record, &spec.name, generator.dim), "{layout}, {name}");
                }
                // `row` has one type throughout and is a column; the other keys are mixed and stand as text.
                assert_eq!(row["row"], record.json()["row"], "{layout}");
                let exact: Value =
                    row["_tranship_exact"].as_str().map_or(Value::Null, |t| serde_json::from_str(t).unwrap());
                let mut own = record.json();
                let others = own.as_object_mut().is_some_and(|own| own.remove("row").is_some() && !own.is_empty());
                assert_eq!(exact, if others { own } else { Value::Null }, "{layout}, {}", record.id);
            }
            assert_eq!(read_back(&path).unwrap().by_id().len(), source.records.len());
        }
    }
}

#[test]
fn layouts_read_back_as_their_source_and_by_the_reader_of_foreign_parquet() {
    let generator = Generator { mixed_ids: true, ..Generator::default() };
    for (layout, embedding) in [("hf", "embedding"), ("vdf", "vector")] {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), &generator, layout).unwrap();
        let (source, back) = (source(&generator), read_back(&path).unwrap());
        for (key, record) in source.by_id() {
            let found = back.by_id()[&key];
            assert_eq!((found.kind, &found.vectors, &found.document), (record.kind, &record.vectors, &record.document));
            assert_eq!((found.json(), found.metadata.is_some()), (record.json(), record.metadata.is_some()), "{key:?}");
        }
        let options = OpenOptions { vector_column: Some(embedding.to_owned()), ..OpenOptions::default() };
        let root = if layout == "vdf" { path.clone() } else { path.join("data") };
        let foreign = read(&ParquetSource::open(&root, &options).unwrap()).unwrap();
        assert_eq!((foreign.rejects.len(), foreign.records.len()), (0, source.records.len()), "{layout}");
        for (found, record) in foreign.records.iter().zip(&source.records) {
            assert_eq!((&found.id, found.dense(""), &found.document), (&record.id, record.dense(""), &record.document));
        }
    }
}

#[test]
fn vectordbbench_takes_integer_ids_only_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = write(dir.path(), &Generator::default(), "vectordbbench").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.next_step().unwrap().contains("layout=hf"), "{error}");
    let error = write(dir.path(), &Generator::default(), "tsv").unwrap_err();
    assert!(error.next_step().unwrap().contains("vectordbbench"), "{error}");
    let mut schema = tranship_collection::CollectionSchema::new("n");
    schema.ids = tranship_collection::IdKinds::Integer;
    schema.vectors = vec![tranship_collection::VectorSpec::dense("", 2)];
    let mut builder = tranship_collection::BatchBuilder::new(std::sync::Arc::new(schema.clone())).unwrap();
    for (id, vector) in [("-3", [0.1, 1e-45]), ("9223372036854775807", [-0.0, 3.0])] {
        builder.push_dense(0, &vector);
        let id_kind = tranship_collection::IdKind::Integer;
        let metadata = (id == "-3").then_some("{}");
        builder
            .finish_row(tranship_collection::batch::RowText { id, id_kind, namespace: None, document: None, metadata })
            .unwrap();
    }
    let options = [("layout".to_owned(), "vectordbbench".to_owned())].into();
    let options = CreateOptions { options, ..CreateOptions::default() };
    let path = dir.path().join("numbers");
    bundles::write(&CONNECTOR, &path, &schema, &[builder.finish().unwrap()], &options).unwrap();
    let found = opened(&path);
    assert_eq!((found["types"]["id"].as_str(), found["rows"][1]["id"].as_i64()), (Some("int64"), Some(i64::MAX)));
    assert_eq!(found["rows"][0]["emb"], bits(&[0.1, 1e-45]));
    let back = read_back(&path).unwrap();
    assert_eq!((back.records[0].metadata.as_deref(), back.records[1].metadata.as_deref()), (Some("{}"), None));
}

#[test]
fn every_damage_to_a_dataset_is_found_and_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), &Generator::default(), "vdf").unwrap();
    let file = path.join("data/part-00001-000.parquet");
    let len = std::fs::metadata(&file).unwrap().len();
    let mut damages = flips(len, 60, 5);
    damages.extend((0..40).map(|part| Damage::Cut(len * part / 40)));
    let found = survey(&file, "part-00001-000.parquet", &damages, || read_back(&path));
    assert_eq!(found.errors, damages.len());
    std::fs::remove_file(&file).unwrap();
    assert!(read_back(&path).unwrap_err().to_string().contains("part-00001-000.parquet"));
}
