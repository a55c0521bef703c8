//! What users read when something is wrong: the whole text, so that a change of wording is a decision.

use std::fs;

use tranship_connector::{Error, OpenOptions};
use tranship_provider_faiss::CONNECTOR;

use crate::hand_made::{Bytes, ROWS, flat};
use crate::support::{list, open, options};

fn shown(error: &Error, dir: &std::path::Path) -> String {
    let text = format!("{error} [{}]\n  -> {}", error.kind().code(), error.next_step().unwrap_or("(no next step)"));
    text.replace(&dir.display().to_string(), "DIR")
}

#[test]
fn files_and_folders_of_other_kinds_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let failed = |name: &str| {
        let path = dir.path().join(name);
        shown(&open(&path, &OpenOptions::default()).err().unwrap(), dir.path())
    };
    assert_eq!(
        failed(""),
        "DIR/ holds no index: no file there ends in .faiss [TS0010]\n  \
         -> give the index file itself; that of LlamaIndex is default__vector_store.json"
    );
    assert_eq!((CONNECTOR.probe)(dir.path()), None);
    fs::write(dir.path().join("a.json"), b"{\"a\": 1}").unwrap();
    assert_eq!(
        failed("a.json"),
        "DIR/a.json is no FAISS index: it begins with `{\\\"a\\\"` [TS0010]\n  \
         -> give a file that faiss.write_index wrote, or the folder of a LangChain store"
    );
    assert_eq!((CONNECTOR.probe)(&dir.path().join("a.json")), None);
    fs::write(dir.path().join("b"), b"Ix").unwrap();
    assert_eq!(
        failed("b"),
        "the FAISS index is damaged: the file ends within the type of an index (file DIR/b, offset 0) [TS0011]\n  \
         -> copy the file again from its origin and compare sizes"
    );
    assert!(failed("none").starts_with("cannot inspect DIR/none"), "{}", failed("none"));
    let llama = flat(&ROWS).write(dir.path(), "default__vector_store.json");
    assert_eq!((CONNECTOR.probe)(&llama), Some(95));
}

#[test]
fn types_that_are_not_read_are_named_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let failed = |letters: &str| {
        let path = Bytes::default().header(letters, 2, 5).write(dir.path(), "x.faiss");
        shown(&open(&path, &OpenOptions::default()).err().unwrap(), dir.path())
    };
    assert_eq!(
        failed("IxHe"),
        "an index of type IxHe (LSH) keeps codes from which the vectors cannot be told (file DIR/x.faiss, offset 0) [TS0010]\n  \
         -> take the vectors from where they were added; if approximations will do, write index.reconstruct_n(0, index.ntotal) \
         with numpy.save and read that"
    );
    assert_eq!(
        failed("IwFd"),
        "an index of type IwFd (inverted lists without duplicates) is not read (file DIR/x.faiss, offset 0) [TS0010]\n  \
         -> copy it with FAISS: flat = faiss.IndexFlat(index.d, index.metric_type); \
         flat.add(index.reconstruct_n(0, index.ntotal)); faiss.write_index(flat, \"flat.faiss\")"
    );
    let path = dir.path().join("x.faiss");
    let info = &list(&path, &OpenOptions::default()).unwrap()[0];
    assert!(info.notes[0].starts_with("cannot be read: an index of type IwFd (inverted lists without duplicates)"));
    assert_eq!((info.records, info.schema.vectors[0].dim), (tranship_connector::Count::Exact(5), Some(2)));
}

#[test]
fn options_with_values_that_they_do_not_take_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = flat(&ROWS).write(dir.path(), "x.faiss");
    let failed = |pair| shown(&open(&path, &options(&[pair])).err().unwrap(), dir.path());
    assert_eq!(failed(("ids", "x")), "the option `ids` cannot be `x` [TS0002]\n  -> it takes file or row");
    assert_eq!(failed(("docstore", "x")), "the option `docstore` cannot be `x` [TS0002]\n  -> it takes read or ignore");
    fs::write(dir.path().join("x.pkl"), b"N.").unwrap();
    assert!(failed(("ids", "row")).contains("or add -o docstore=ignore"));
}

#[test]
fn quantised_vectors_are_refused_with_the_flag_that_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let quantiser = Bytes::default().i32s(&[0, 0]).f32s(&[0.0]).u64s(&[2, 2]).floats(&[0.0, 1.0, 2.0, 3.0]);
    let path = Bytes::default().header("IxSQ", 2, 1).then(quantiser).bytes(&[7; 2]).write(dir.path(), "x.faiss");
    assert_eq!(
        shown(&open(&path, &OpenOptions::default()).err().unwrap(), dir.path()),
        "the index keeps vectors that are not those that were added: each element was rounded to one of 256 steps \
         (file DIR/x.faiss) [TS0030]\n  \
         -> take the vectors from where they were added, or read what the index keeps with --allow-lossy"
    );
}
