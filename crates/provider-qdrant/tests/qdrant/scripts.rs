//! load.sh, check.sh and undo.sh against a stand-in for the server that fails now and then.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tranship_collection::{BatchView, CollectionSchema, Metric, VectorValue};
use tranship_connector::{CreateOptions, Mapping};

use crate::support::{dense, fingerprint, named, read, write};

/// A server that ends with the test.
struct Server {
    process: Child,
    url: String,
    log: PathBuf,
}

impl Server {
    fn start(dir: &Path, fail_every: u32, key: &str) -> Self {
        let log = dir.join("calls.log");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/qdrant/fake_qdrant.py");
        let mut process = Command::new("python3")
            .args([script.to_str().unwrap(), &fail_every.to_string(), key])
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .expect("the script tests need python3");
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Server { process, url: format!("http://127.0.0.1:{}", port.trim()), log }
    }

    fn calls(&self, of: &str) -> usize {
        fs::read_to_string(&self.log).unwrap().lines().filter(|line| line.contains(of)).count()
    }

    fn run(&self, bundle: &Path, script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new("bash")
            .current_dir(bundle.parent().unwrap())
            .arg(bundle.join(script))
            .args(arguments)
            .env("QDRANT_URL", &self.url)
            .env("RETRY_SECONDS", "0")
            .env("TRANSHIP", "/nonexistent/tranship")
            .env_remove("http_proxy")
            .env_remove("QDRANT_API_KEY")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn bundle(dir: &Path, collection: &(CollectionSchema, Vec<arrow_array::RecordBatch>)) -> PathBuf {
    let path = dir.join("bundle");
    write(&path, &collection.0, &collection.1, &CreateOptions::default()).unwrap();
    path
}

/// A `tranship` that notes its arguments and ends with `exit`.
fn stub(dir: &Path, exit: i32) -> String {
    let path = dir.join("tranship-stub");
    fs::write(&path, format!("#!/bin/sh\necho \"$@\" > {}/arguments\nexit {exit}\n", dir.display())).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&path, mode).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_bundle_is_loaded_checked_and_undone_through_a_server_that_stumbles() {
    for collection in [dense(Metric::Cosine), dense(Metric::L2), named()] {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle(dir.path(), &collection);
        let server = Server::start(dir.path(), 3, "s3cr\"et\\");
        let key = [("QDRANT_API_KEY", "s3cr\"et\\")];
        let refused = server.run(&bundle, "load.sh", &[], &[]);
        assert_ne!(code(&refused), 0);
        assert!(talk(&refused).contains("QDRANT_API_KEY"), "{}", talk(&refused));
        let loaded = server.run(&bundle, "load.sh", &[], &key);
        assert_eq!(code(&loaded), 0, "{}", talk(&loaded));
        assert!(!talk(&loaded).contains("s3cr"));
        assert_eq!(server.calls("PATCH"), server.calls("PATCH /collections/"));
        let checked = server.run(&bundle, "check.sh", &[], &[key[0], ("PAGE_POINTS", "2")]);
        assert_eq!(code(&checked), 2, "{}", talk(&checked));
        assert!(talk(&checked).contains("tranship verify"), "{}", talk(&checked));
        assert!(!talk(&checked).contains("WRONG"), "{}", talk(&checked));
        compare_pages(&bundle, &collection);
        let undone = server.run(&bundle, "undo.sh", &[], &key);
        assert_eq!(code(&undone), 1, "without an answer nothing is deleted");
        let undone = server.run(&bundle, "undo.sh", &["--yes"], &key);
        assert_eq!(code(&undone), 0, "{}", talk(&undone));
        assert_eq!(code(&server.run(&bundle, "load.sh", &[], &key)), 0, "after undo it can be loaded anew");
    }
}

/// The scrolled pages, undone, are the projected source.
fn compare_pages(bundle: &Path, (schema, batches): &(CollectionSchema, Vec<arrow_array::RecordBatch>)) {
    let mapping: Mapping = serde_json::from_slice(&fs::read(bundle.join("mapping.json")).unwrap()).unwrap();
    let (found, scrolled) = read(&bundle.join("pages")).unwrap();
    assert_eq!(found.vectors.len(), schema.vectors.len());
    assert_eq!(found.vectors[0].metric, schema.vectors[0].metric);
    let undone: Vec<_> = scrolled.iter().map(|batch| mapping.undo(batch, &found).unwrap()).collect();
    let target = mapping.undone_schema(&found);
    let summary = fingerprint(&target, &undone).summary();
    let expected = mapping.expected_fingerprint.clone().unwrap();
    assert_eq!(summary.records, expected.records);
    for component in ["id", "document", "metadata"] {
        assert_eq!(summary.components.get(component), expected.components.get(component), "{component}");
    }
    if mapping.normalised.is_empty() {
        assert_eq!(summary, expected);
        return;
    }
    for batch in batches {
        let projected = mapping.project(batch, schema).unwrap();
        let view = BatchView::new(&projected, schema).unwrap();
        for row in 0..view.len() {
            assert_close(&mapping, &view, row, &target, &undone);
        }
    }
}

fn assert_close(
    mapping: &Mapping,
    view: &BatchView<'_>,
    row: usize,
    target: &CollectionSchema,
    undone: &[arrow_array::RecordBatch],
) {
    let views: Vec<_> = undone.iter().map(|batch| BatchView::new(batch, target).unwrap()).collect();
    let key = |view: &BatchView<'_>, row| {
        (view.namespace(row).map(str::to_owned), view.id(row).to_owned(), view.id_kind(row))
    };
    let same = |other: &&(&BatchView<'_>, usize)| key(other.0, other.1) == key(view, row);
    let all: Vec<_> = views.iter().flat_map(|view| (0..view.len()).map(move |row| (view, row))).collect();
    let (found, found_row) = all.iter().find(same).unwrap();
    for (column, spec) in view.vector_specs().enumerate() {
        match (view.vector(column, row), found.vector(column, *found_row)) {
            (
                Some(VectorValue::Dense(a) | VectorValue::Multi(a)),
                Some(VectorValue::Dense(b) | VectorValue::Multi(b)),
            ) => {
                let largest = a.iter().fold(0f32, |largest, v| largest.max(v.abs()));
                let tolerance = mapping.tolerance.get(&spec.name).copied().unwrap_or(0.0) * largest;
                assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance), "{a:?} {b:?}");
            }
            (a, b) => assert_eq!(a, b),
        }
    }
}

#[test]
fn an_interrupted_load_goes_on_where_it_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let collection = dense(Metric::Dot);
    let bundle = bundle(dir.path(), &collection);
    let body = bundle.join("data/points-00001-000.json");
    let whole = fs::read(&body).unwrap();
    fs::write(&body, "{\"points\":[{\"id\":\"no uuid\",\"vector\":{},\"payload\":{}}]}").unwrap();
    let server = Server::start(dir.path(), 0, "");
    let broken = server.run(&bundle, "load.sh", &[], &[("JOBS", "1")]);
    assert_eq!(code(&broken), 2);
    assert!(talk(&broken).contains("HTTP 400") && talk(&broken).contains("--resume"), "{}", talk(&broken));
    assert_eq!(server.calls("PATCH"), 0, "indexing stays off until all is there");
    fs::write(&body, whole).unwrap();
    let again = server.run(&bundle, "load.sh", &[], &[]);
    assert!(code(&again) != 0 && talk(&again).contains("already there"), "{}", talk(&again));
    let before = server.calls("PUT /collections/notes%20%26%20more/points?wait=true 200");
    let resumed = server.run(&bundle, "load.sh", &["--resume"], &[]);
    assert_eq!(code(&resumed), 0, "{}", talk(&resumed));
    assert_eq!(before, 1);
    assert_eq!(server.calls("points?wait=true 200"), 3, "each body is acknowledged once");
    let elsewhere = Server::start(dir.path(), 0, "");
    let other = elsewhere.run(&bundle, "load.sh", &[], &[]);
    assert!(code(&other) != 0 && talk(&other).contains("STATE_DIR"), "{}", talk(&other));
}

#[test]
fn check_says_go_or_no_go() {
    let dir = tempfile::tempdir().unwrap();
    let collection = dense(Metric::Dot);
    let bundle = bundle(dir.path(), &collection);
    let server = Server::start(dir.path(), 0, "");
    assert_eq!(code(&server.run(&bundle, "load.sh", &[], &[("STATE_DIR", "marks")])), 0);
    for (verify, wanted, word) in [(0, 0, "GO:"), (1, 1, "NO-GO"), (11, 2, "could not compare")] {
        let checked = server.run(&bundle, "check.sh", &["chroma:./db"], &[("TRANSHIP", &stub(dir.path(), verify))]);
        assert_eq!(code(&checked), wanted, "{}", talk(&checked));
        assert!(talk(&checked).contains(word), "{}", talk(&checked));
    }
    assert!(dir.path().join("marks/server").is_file());
    let arguments = fs::read_to_string(dir.path().join("arguments")).unwrap();
    let wanted = format!("verify chroma:./db qdrant:{0}/pages --mapping {0}/mapping.json\n", bundle.display());
    assert_eq!(arguments, wanted);
    let counts = fs::read_to_string(bundle.join("counts.tsv")).unwrap();
    fs::write(bundle.join("counts.tsv"), counts.replacen("2\t", "3\t", 1)).unwrap();
    let checked = server.run(&bundle, "check.sh", &[], &[("TRANSHIP", &stub(dir.path(), 0))]);
    assert_eq!(code(&checked), 1, "{}", talk(&checked));
    assert!(talk(&checked).contains(r#"WRONG  namespace "tenant\tone": 2 of 3"#), "{}", talk(&checked));
    assert_eq!(code(&server.run(&bundle, "undo.sh", &["--yes"], &[])), 0);
    let gone = server.run(&bundle, "check.sh", &[], &[("TRANSHIP", &stub(dir.path(), 0))]);
    assert_eq!(code(&gone), 2, "{}", talk(&gone));
}

#[test]
fn an_empty_collection_without_dimensions_loads_as_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let schema = CollectionSchema::new("empty");
    let bundle = bundle(dir.path(), &(schema, Vec::new()));
    let server = Server::start(dir.path(), 0, "");
    for (script, word) in [("load.sh", "nothing to load"), ("check.sh", "GO")] {
        let output = server.run(&bundle, script, &[], &[]);
        assert_eq!(code(&output), 0, "{}", talk(&output));
        assert!(talk(&output).contains(word), "{}", talk(&output));
    }
    assert_eq!(server.calls(""), 0);
}

#[test]
fn a_snapshot_is_uploaded_counted_and_undone() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("bundle");
    let (schema, batches) = named();
    write(&bundle, &schema, &batches, &crate::native::snapshot_form()).unwrap();
    let server = Server::start(dir.path(), 3, "key");
    let key = ("QDRANT_API_KEY", "key");
    let loaded = server.run(&bundle, "load.sh", &[], &[key]);
    assert_eq!(code(&loaded), 0, "{}", talk(&loaded));
    let again = server.run(&bundle, "load.sh", &[], &[key]);
    assert!(code(&again) != 0 && talk(&again).contains("already there"), "{}", talk(&again));
    let uploads = server.calls("/snapshots/upload");
    let resumed = server.run(&bundle, "load.sh", &["--resume"], &[key]);
    assert_eq!(code(&resumed), 0, "{}", talk(&resumed));
    assert_eq!(server.calls("/snapshots/upload"), uploads, "what was acknowledged is not uploaded again");
    assert_eq!(server.calls("PATCH"), 0, "the snapshot says itself that it is to be indexed");
    let checked = server.run(&bundle, "check.sh", &[], &[key]);
    assert!(code(&checked) == 2 && !talk(&checked).contains("WRONG"), "{}", talk(&checked));
    assert_eq!(code(&server.run(&bundle, "undo.sh", &["--yes"], &[key])), 0);
    assert_eq!(code(&server.run(&bundle, "load.sh", &[], &[key])), 0, "after undo it can be loaded anew");
}

#[test]
fn a_snapshot_that_is_not_the_bundles_own_is_not_uploaded() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("bundle");
    let (schema, batches) = named();
    write(&bundle, &schema, &batches, &crate::native::snapshot_form()).unwrap();
    let server = Server::start(dir.path(), 0, "");
    let path = bundle.join("data/collection.snapshot");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let cut = server.run(&bundle, "load.sh", &[], &[]);
    assert!(code(&cut) == 2 && talk(&cut).contains("copy the bundle again"), "{}", talk(&cut));
    assert_eq!(server.calls("/snapshots/upload"), 0);
    let mut flipped = whole;
    flipped[3000] ^= 1;
    fs::write(&path, flipped).unwrap();
    let refused = server.run(&bundle, "load.sh", &[], &[]);
    assert!(code(&refused) == 2 && talk(&refused).contains("checksum"), "{}", talk(&refused));
}

#[test]
fn every_script_parses() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = bundle(dir.path(), &dense(Metric::Dot));
    let native = dir.path().join("native");
    write(&native, &dense(Metric::Dot).0, &dense(Metric::Dot).1, &crate::native::snapshot_form()).unwrap();
    assert!(Command::new("bash").arg("-n").arg(native.join("load.sh")).status().unwrap().success());
    let text = fs::read_to_string(native.join("load.sh")).unwrap();
    for fact in ["@COMMON@", "@BYTES@", "@SHA256@", "@ROWS@", "@COLLECTION@"] {
        assert!(!text.contains(fact), "{fact}");
    }
    for script in ["load.sh", "check.sh", "undo.sh"] {
        let text = fs::read_to_string(bundle.join(script)).unwrap();
        assert!(!text.contains("@COMMON@") && text.contains("notes%20%26%20more"));
        assert!(Command::new("bash").arg("-n").arg(bundle.join(script)).status().unwrap().success());
    }
}
