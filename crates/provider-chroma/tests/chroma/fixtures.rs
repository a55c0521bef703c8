//! Finds, unpacks and reads dumps.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tranship_collection::{BatchView, CollectionSchema, VectorValue};
use tranship_connector::{
    CollectionInfo, Locator, OpenOptions, PrepareContext, Reject, RejectSink, Result, RowLedger, Source, Split,
};
use tranship_provider_chroma::CONNECTOR;

/// A private copy of a dump.
pub struct Dump {
    _dir: TempDir,
    pub root: PathBuf,
    pub truth: String,
}

/// One record as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub vector: Option<Vec<f32>>,
    pub metadata: Option<String>,
    pub document: Option<String>,
}

/// Everything that reading a collection yields.
#[derive(Debug, Default)]
pub struct Outcome {
    pub records: Vec<(String, Record)>,
    pub rejects: Vec<Reject>,
    pub notes: Vec<String>,
    pub ledger: RowLedger,
    pub splits: Vec<Split>,
}

impl Outcome {
    pub fn by_id(&self) -> BTreeMap<&str, &Record> {
        self.records.iter().map(|(id, record)| (id.as_str(), record)).collect()
    }
}

struct Rejects(Vec<Reject>);

impl RejectSink for Rejects {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        self.0.push(reject);
        Ok(())
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// A private copy of the dump `name`.
pub fn dump(name: &str) -> Dump {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join(name);
    let plain = fixtures().join(name);
    let truth = if plain.is_dir() {
        copy_tree(&plain, &root);
        unzstd(&fixtures().join(format!("{name}.truth.jsonl.zst")))
    } else {
        untar(&unzstd(&fixtures().join(format!("{name}.tar.zst"))), dir.path());
        fs::read(dir.path().join(format!("{name}.truth.jsonl"))).unwrap()
    };
    Dump { _dir: dir, root, truth: String::from_utf8(truth).unwrap() }
}

fn unzstd(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    zstd::Decoder::new(File::open(path).unwrap()).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn untar(archive: &[u8], into: &Path) {
    let mut tar = Command::new("tar").arg("-x").current_dir(into).stdin(Stdio::piped()).spawn().unwrap();
    tar.stdin.take().unwrap().write_all(archive).unwrap();
    assert!(tar.wait().unwrap().success());
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn locator(root: &Path) -> Locator {
    Locator { provider: Some("chroma".into()), path: root.to_owned() }
}

pub fn options(collection: &str) -> OpenOptions {
    OpenOptions { collection: Some(collection.to_owned()), ..OpenOptions::default() }
}

pub fn tolerant(collection: &str) -> OpenOptions {
    OpenOptions { allow_inconsistent: true, ..options(collection) }
}

pub fn open(root: &Path, options: &OpenOptions) -> Result<Box<dyn Source>> {
    CONNECTOR.open.unwrap()(&locator(root), options)
}

pub fn list(root: &Path) -> Result<Vec<CollectionInfo>> {
    CONNECTOR.list.unwrap()(&locator(root), &OpenOptions::default())
}

pub fn read(root: &Path, collection: &str) -> Result<Outcome> {
    read_with(root, &options(collection), 128 << 20, 64 << 20)
}

pub fn read_with(root: &Path, options: &OpenOptions, split_bytes: u64, memory_bytes: u64) -> Result<Outcome> {
    let source = open(root, options)?;
    let scratch = tempfile::tempdir().unwrap();
    let context = PrepareContext { memory_bytes, split_bytes, scratch: scratch.path() };
    let prepared = source.prepare(&context)?;
    let mut outcome = Outcome { notes: prepared.notes(), ledger: prepared.ledger(), ..Outcome::default() };
    let mut rejects = Rejects(Vec::new());
    for split in prepared.splits()? {
        let split = split?;
        outcome.splits.push(split.clone());
        for batch in prepared.open(split, &mut rejects)? {
            take(&batch?, prepared.schema(), &mut outcome.records);
        }
    }
    outcome.rejects = rejects.0;
    Ok(outcome)
}

fn take(batch: &arrow_array::RecordBatch, schema: &CollectionSchema, records: &mut Vec<(String, Record)>) {
    let view = BatchView::new(batch, schema).unwrap();
    for row in 0..view.len() {
        let vector = match view.vector(0, row) {
            Some(VectorValue::Dense(values)) => Some(values.to_vec()),
            None => None,
            other => panic!("{other:?}"),
        };
        let text = |text: Option<&str>| text.map(str::to_owned);
        let record = Record { vector, metadata: text(view.metadata(row)), document: text(view.document(row)) };
        records.push((view.id(row).to_owned(), record));
    }
}

/// The UUID of a collection's segment directory, or of another thing in `segments`.
pub fn segment(root: &Path, collection: &str, scope: &str) -> String {
    let connection = rusqlite::Connection::open(root.join("chroma.sqlite3")).unwrap();
    let sql =
        "SELECT s.id FROM segments s JOIN collections c ON s.collection = c.id WHERE c.name = ?1 AND s.scope = ?2";
    connection.query_row(sql, [collection, scope], |row| row.get(0)).unwrap()
}

pub fn segment_file(root: &Path, collection: &str, file: &str) -> PathBuf {
    root.join(segment(root, collection, "VECTOR")).join(file)
}

/// Changes the database by hand. Chroma's own foreign keys name tables that do not exist.
pub fn execute(root: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(root.join("chroma.sqlite3")).unwrap();
    connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).unwrap();
}
