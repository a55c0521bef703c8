//! Folders with pickles of every protocol and of the classes that LangChain had, made by Python itself.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;
use tranship_collection::json::canonical;
use tranship_connector::{ErrorKind, OpenOptions};
use tranship_storage::Limits;
use tranship_testkit::fixtures::jsonl;
use tranship_testkit::reading::{Outcome, Record};

use crate::support::{lossy, open, options, read_plain, read_with};

static MADE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("made");
    let arguments: [&OsStr; 1] = [made.as_os_str()];
    tranship_testkit::engines::run("faiss", "langchain_make.py", &arguments);
    dir
});

fn folder(name: &str) -> PathBuf {
    MADE.path().join("made").join(name)
}

/// The metadata of the truth as text: serde_json would not keep integers beyond 64 bits.
fn texts(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder(name).join("truth.jsonl")).unwrap();
    let between = |line: &str| {
        line.split_once(r#""metadata": "#).map(|(_, rest)| rest.rsplit_once(r#", "vector""#).unwrap().0.to_owned())
    };
    text.lines().map(|line| between(line).unwrap_or_default()).collect()
}

fn bytes(metadata: &str) -> Vec<u8> {
    let mut out = Vec::new();
    canonical(metadata, &mut out).unwrap();
    out
}

fn compare(name: &str, record: &Record, line: &Value, metadata: &str) {
    assert_eq!(record.document.as_deref(), line["document"].as_str(), "{name}");
    let found = record.metadata.as_deref().unwrap_or("{}");
    assert_eq!(bytes(found), bytes(metadata), "{name}: {found} is not {metadata}");
    let values = record.dense("").unwrap().iter().map(|value| f64::from(*value));
    assert!(values.eq(line["vector"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap())), "{name}");
}

/// Compares all lines of the truth that have no reason.
fn compare_all(name: &str, outcome: &Outcome) -> usize {
    let found = outcome.by_id();
    let lines = jsonl(&folder(name).join("truth.jsonl"));
    let good: Vec<_> = lines.iter().zip(texts(name)).filter(|(line, _)| line["reason"].is_null()).collect();
    for (line, metadata) in &good {
        compare(name, found[&(None, line["id"].as_str().unwrap())], line, metadata);
    }
    assert_eq!(outcome.records.len(), good.len(), "{name}");
    good.len()
}

#[test]
fn every_protocol_and_state_reads_back_by_value() {
    for kind in ["pydantic2", "pydantic1", "plain", "slots"] {
        for protocol in [2, 3, 4, 5] {
            let name = format!("{kind}-{protocol}");
            let outcome = read_plain(&folder(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(outcome.rejects.is_empty() && outcome.notes.is_empty(), "{name}: {:?}", outcome.rejects);
            assert_eq!(compare_all(&name, &outcome), 40);
        }
    }
}

#[test]
fn what_json_cannot_say_is_a_reject_with_its_place_and_reason() {
    let limits = Limits { max_line_bytes: 1 << 20, ..Limits::default() };
    let outcome = read_with(&folder("rejects"), &OpenOptions { limits, ..OpenOptions::default() }).unwrap();
    compare_all("rejects", &outcome);
    let lines = jsonl(&folder("rejects").join("truth.jsonl"));
    let wanted: Vec<_> = lines.iter().enumerate().filter(|(_, line)| line["reason"].is_string()).collect();
    assert_eq!(outcome.rejects.len(), wanted.len());
    for (reject, (row, line)) in outcome.rejects.iter().zip(wanted) {
        assert_eq!(reject.id.as_deref(), line["id"].as_str());
        assert_eq!(reject.reason, line["reason"].as_str().unwrap());
        assert!(reject.place.ends_with(&format!("index.faiss row {row}")), "{}", reject.place);
    }
}

#[test]
fn fields_that_nobody_reads_are_left_out_only_on_request() {
    let error = read_plain(&folder("extra")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LossDenied);
    assert!(
        error
            .to_string()
            .starts_with("the documents have fields that are not read: `embedding_model` of 2 documents (file ")
    );
    let outcome = read_with(&folder("extra"), &lossy()).unwrap();
    assert_eq!(outcome.notes, ["fields that are not read: `embedding_model` of 2 documents"]);
    assert_eq!(compare_all("extra", &outcome), 40);
}

#[test]
fn rows_and_documents_that_do_not_meet_are_an_error_unless_inconsistency_is_allowed() {
    let error = read_plain(&folder("orphans")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(
        error.to_string().starts_with(
            "index, map and docstore disagree: 40 vectors, 40 entries in index_to_docstore_id, 40 documents; 1 vectors without \
             document, 1 documents without vector, 1 entries that lead nowhere (file "
        ),
        "{error}"
    );
    let allowed = OpenOptions { allow_inconsistent: true, ..OpenOptions::default() };
    let outcome = read_with(&folder("orphans"), &allowed).unwrap();
    assert_eq!(compare_all("orphans", &outcome), 39);
    assert_eq!((outcome.rejects.len(), outcome.notes.len()), (1, 1));
    assert_eq!(outcome.rejects[0].reason, "there is no document for row 5");
}

#[test]
fn a_pickle_of_something_else_is_told_and_the_index_can_be_read_alone() {
    let source = open(&folder("foreign"), &OpenOptions::default()).unwrap();
    let error = tranship_testkit::reading::read(&*source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRecognised);
    assert_eq!(error.next_step(), Some("read the index alone with -o docstore=ignore"));
    assert_eq!(read_with(&folder("foreign"), &options(&[("docstore", "ignore")])).unwrap().records.len(), 40);
}
