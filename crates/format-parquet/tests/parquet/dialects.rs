//! Datasets of others, made by pyarrow as their makers lay them out.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tranship_collection::schema::IdKinds;
use tranship_collection::{BatchView, Metric, VectorValue};
use tranship_connector::{ErrorKind, Locator, OpenOptions};
use tranship_format_parquet::CONNECTOR;
use tranship_testkit::engines;

use crate::samples::{Read, read};

/// The datasets and the bits of their vectors.
fn made() -> (tempfile::TempDir, Vec<Vec<u32>>) {
    let dir = tempfile::tempdir().unwrap();
    let text = engines::run("readers", "dataset_files.py", &[OsStr::new("make"), dir.path().as_os_str()]);
    let truth: Value = serde_json::from_str(&text).unwrap();
    let vectors = serde_json::from_value(truth["vectors"].clone()).unwrap();
    (dir, vectors)
}

type Row = (Option<String>, String, Option<Vec<u32>>, Option<String>, Option<String>);

/// Namespace, id, bits of the vector, document, metadata of each record in order.
fn rows(read: &Read) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in &read.batches {
        let view = BatchView::new(batch, &read.schema).unwrap();
        for row in 0..view.len() {
            let bits = match view.vector(0, row) {
                Some(VectorValue::Dense(values)) => Some(values.iter().map(|value| value.to_bits()).collect()),
                _ => None,
            };
            let owned = |text: Option<&str>| text.map(str::to_owned);
            rows.push((
                owned(view.namespace(row)),
                view.id(row).to_owned(),
                bits,
                owned(view.document(row)),
                owned(view.metadata(row)),
            ));
        }
    }
    rows
}

fn read_whole(path: &Path, options: &OpenOptions) -> Read {
    let read = read(path, options, 1).unwrap();
    assert!(read.rejects.is_empty(), "{:?}", read.rejects);
    read
}

fn probe(path: PathBuf) -> Option<u8> {
    (CONNECTOR.probe)(&path)
}

#[test]
fn directories_of_pinecone_are_namespaces_with_sparse_values_beside_the_dense_ones() {
    let (dir, vectors) = made();
    let read = read_whole(&dir.path().join("pinecone"), &OpenOptions::default());
    let found = rows(&read);
    assert_eq!(found.len(), 12);
    for (row, (namespace, id, bits, document, metadata)) in found.iter().enumerate() {
        assert_eq!(namespace.as_deref(), (row >= 6).then_some("tenant ü"), "{row}");
        assert_eq!((id, bits.as_ref(), document), (&format!("p{row}"), vectors.get(row), &None), "{row}");
        let wanted = (row % 4 > 0).then(|| format!("{{\"n\": {row}, \"t\": [\"a\", \"b\"]}}"));
        assert_eq!(*metadata, wanted, "{row}");
    }
    let view = BatchView::new(&read.batches[0], &read.schema).unwrap();
    assert_eq!(view.vector(1, 0), None);
    assert_eq!(view.vector(1, 1), Some(VectorValue::Sparse(&[2, 7], &[0.25, 0.5])));
    assert_eq!(probe(dir.path().join("pinecone")), Some(70));
}

#[test]
fn vdf_states_columns_namespaces_and_metric_and_its_indexes_are_collections() {
    let (dir, vectors) = made();
    let root = dir.path().join("vdf");
    let error = read(&root, &OpenOptions::default(), 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.next_step().unwrap().contains("books, other"), "{error}");
    let options = OpenOptions { collection: Some("books".to_owned()), ..OpenOptions::default() };
    let read = read_whole(&root, &options);
    assert_eq!((read.schema.name.as_str(), read.schema.vectors[0].metric), ("books", Some(Metric::Cosine)));
    assert_eq!(read.schema.vectors[0].model.as_deref(), Some("m1"));
    for (row, (namespace, id, bits, _, metadata)) in rows(&read).iter().enumerate() {
        assert_eq!(namespace.as_deref(), (row >= 6).then_some("blue"), "{row}");
        assert_eq!((id, bits.as_ref()), (&format!("v{row}"), vectors.get(row)), "{row}");
        assert_eq!(metadata.as_deref(), Some(&*format!("{{\"year\":{},\"title\":\"t{row}\"}}", 1990 + row)), "{row}");
    }
    let locator = Locator { provider: None, path: root.clone() };
    let infos = (CONNECTOR.list.unwrap())(&locator, &OpenOptions::default()).unwrap();
    let names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
    assert_eq!((names, probe(root)), (vec!["books", "other"], Some(90)));
}

#[test]
fn a_vdf_directory_cannot_point_outside_itself() {
    let (dir, _) = made();
    let meta = dir.path().join("vdf/VDF_META.json");
    let text = std::fs::read_to_string(&meta).unwrap();
    let options = OpenOptions { collection: Some("other".to_owned()), ..OpenOptions::default() };
    for (stated, kind) in [("../pinecone", ErrorKind::Damaged), ("/etc", ErrorKind::Damaged), ("gone", ErrorKind::Io)] {
        let changed = text.replace("\"books_blue\"", &format!("{stated:?}"));
        assert_ne!(changed, text);
        std::fs::write(&meta, changed).unwrap();
        let error = read(&dir.path().join("vdf"), &options, 1).unwrap_err();
        assert_eq!(error.kind(), kind, "{stated}: {error}");
    }
    for cut in [0, 10, text.len() / 2, text.len() - 1] {
        std::fs::write(&meta, &text[..cut]).unwrap();
        let error = read(&dir.path().join("vdf"), &options, 1).unwrap_err();
        assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains("VDF_META.json"), "{cut}: {error}");
    }
}

#[test]
fn datasets_of_hugging_face_and_vectordbbench_are_read_by_their_columns() {
    let (dir, vectors) = made();
    let read_hf = read_whole(&dir.path().join("hf"), &OpenOptions::default());
    for (row, (_, id, bits, document, metadata)) in rows(&read_hf).iter().enumerate() {
        assert_eq!((id, bits.as_ref()), (&format!("h{row}"), vectors.get(row)), "{row}");
        assert_eq!(document.as_deref(), Some(&*format!("Text {row}")));
        assert_eq!(metadata.as_deref(), Some(&*format!("{{\"title\":\"t{row}\"}}")));
    }
    let bench = read_whole(&dir.path().join("bench/train.parquet"), &OpenOptions::default());
    assert_eq!(bench.schema.ids, IdKinds::Integer);
    for (row, (_, id, bits, ..)) in rows(&bench).iter().enumerate() {
        assert_eq!((id, bits.as_ref()), (&row.to_string(), vectors.get(row)), "{row}");
    }
}
