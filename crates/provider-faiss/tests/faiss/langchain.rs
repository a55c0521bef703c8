//! The stored LangChain folder against what LangChain answered: 290 documents after 10 were deleted.

use std::path::PathBuf;

use tranship_collection::{IdKinds, Metric};
use tranship_connector::{Count, OpenOptions};
use tranship_provider_faiss::CONNECTOR;
use tranship_testkit::fixtures;
use tranship_testkit::reading::read_within;

use crate::support::{list, open, options, read_plain, read_with};

pub fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fixtures::unpack("langchain-faiss", dir.path());
    let folder = dir.path().join("langchain-faiss");
    (dir, folder)
}

#[test]
fn every_document_comes_with_its_vector_text_and_metadata() {
    let (dir, folder) = folder();
    let truth = fixtures::jsonl(&dir.path().join("langchain-faiss.truth.jsonl"));
    let outcome = read_plain(&folder).unwrap();
    assert_eq!((outcome.records.len(), truth.len()), (290, 290));
    assert_eq!((outcome.ledger.raw, outcome.ledger.live), (Some(290), Some(290)));
    assert!(outcome.rejects.is_empty() && outcome.notes.is_empty());
    assert_eq!(outcome.schema.ids, IdKinds::Text);
    assert_eq!(outcome.schema.name, "langchain-faiss");
    assert_eq!(outcome.schema.vectors[0].metric, Some(Metric::L2));
    let found = outcome.by_id();
    for line in &truth {
        let record = found[&(None, line["id"].as_str().unwrap())];
        assert_eq!(record.document.as_deref(), line["document"].as_str());
        assert_eq!(record.json(), line["metadata"]);
        let wanted: Vec<u32> =
            line["vector"].as_array().unwrap().iter().map(|v| (v.as_f64().unwrap() as f32).to_bits()).collect();
        let values: Vec<u32> = record.dense("").unwrap().iter().map(|value| value.to_bits()).collect();
        assert_eq!(values, wanted);
    }
}

#[test]
fn folders_of_old_releases_read_back_as_they_answered() {
    let dir = tempfile::tempdir().unwrap();
    fixtures::unpack("langchain-faiss-old", dir.path());
    for (version, rows) in [("0.0.80", 201), ("0.0.200", 201), ("0.0.354", 191), ("0.1.20", 191)] {
        let folder = dir.path().join(format!("langchain-{version}"));
        let outcome = read_plain(&folder).unwrap_or_else(|error| panic!("{version}: {error}"));
        assert!(outcome.rejects.is_empty() && outcome.notes.is_empty(), "{version}: {:?}", outcome.rejects);
        assert_eq!(outcome.records.len(), rows, "{version}");
        let found = outcome.by_id();
        for line in fixtures::jsonl(&folder.join("truth.jsonl")) {
            let record = found[&(None, line["id"].as_str().unwrap())];
            assert_eq!(record.document.as_deref(), line["document"].as_str(), "{version}");
            assert_eq!(record.json(), line["metadata"], "{version}");
            let values = record.dense("").unwrap().iter().map(|value| f64::from(*value));
            assert!(
                values.eq(line["vector"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap())),
                "{version}"
            );
        }
    }
}

#[test]
fn folder_index_file_and_index_alone_are_told_apart() {
    let (_dir, folder) = folder();
    let index = folder.join("index.faiss");
    assert_eq!((CONNECTOR.probe)(&folder), Some(95));
    assert_eq!((CONNECTOR.probe)(&folder.join("index.pkl")), None);
    let info = &list(&folder, &OpenOptions::default()).unwrap()[0];
    assert_eq!((info.name.as_str(), info.records), ("langchain-faiss", Count::Exact(290)));
    assert!(info.producer.as_deref().unwrap().starts_with("LangChain"));
    assert!(read_plain(&index).unwrap().records[0].document.is_some());
    let alone = read_with(&index, &options(&[("docstore", "ignore")])).unwrap();
    assert_eq!((alone.records[0].id.as_str(), &alone.records[0].document), ("0", &None));
    assert_eq!(alone.schema.ids, IdKinds::Integer);
}

#[test]
fn two_stores_in_one_folder_are_chosen_by_name() {
    let (_dir, folder) = folder();
    for name in ["faiss", "pkl"] {
        std::fs::copy(folder.join(format!("index.{name}")), folder.join(format!("second.{name}"))).unwrap();
    }
    let names: Vec<String> =
        list(&folder, &OpenOptions::default()).unwrap().into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["index", "second"]);
    let error = open(&folder, &OpenOptions::default()).err().unwrap();
    assert_eq!(error.next_step(), Some("choose with --collection one of: index, second; or take --all"));
    let chosen = OpenOptions { collection: Some("second".to_owned()), ..OpenOptions::default() };
    assert_eq!(read_with(&folder, &chosen).unwrap().records.len(), 290);
}

#[test]
fn documents_beyond_the_memory_name_what_would_do() {
    let (_dir, folder) = folder();
    let source = open(&folder, &OpenOptions::default()).unwrap();
    let error = read_within(&*source, 100 << 10).unwrap_err();
    assert_eq!(error.kind(), tranship_connector::ErrorKind::Limit);
    assert!(error.next_step().unwrap().ends_with("give it at least 1 MiB (--memory)"), "{error:?}");
    assert_eq!(read_within(&*source, 1 << 20).unwrap().records.len(), 290);
}
