//! What bundles of JSON are put through, whoever the provider is: read back, damaged, refused, and loaded with their own
//! scripts into a stand-in for the service.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde_json::Value;
use tranship_collection::batch::RowText;
use tranship_collection::{BatchBuilder, CollectionSchema, IdKind, IdKinds, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::{
    Connector, CreateOptions, Error, ErrorKind, Grade, Locator, Mapping, OpenOptions, PrepareContext, Reject,
    RejectSink, Result,
};

use crate::bundles::{self, fingerprint};

/// A collection in memory.
pub type Collection = (CollectionSchema, Vec<RecordBatch>);

/// A record: namespace, id, dense vector, document, metadata.
pub type Row<'a> = (Option<&'a str>, &'a str, Option<&'a [f32]>, Option<&'a str>, Option<&'a str>);

/// The float whose shortest text becomes its neighbour when it is read as a double first.
const ROUNDS_TWICE: f32 = f32::from_bits(0x15ae_43fd);

/// Records that are hard to carry: ids, floats, texts, numbers, nested and odd metadata, two namespaces.
pub const ROWS: [Row<'static>; 8] = [
    (
        None,
        "doc-1",
        Some(&[0.1, -2.5, ROUNDS_TWICE]),
        Some("a \"document\"\n\u{1F980}"),
        Some(r#"{"n":1,"f":1.0,"s":"x","b":true,"tags":["a","b"]}"#),
    ),
    (
        None,
        "\u{fc}ber/2 \"x\"",
        Some(&[1.0, 2.0, 3.0]),
        None,
        Some(r#"{"n":-7,"f":0.25,"s":"","o":{"x":{"y":[1,null]}},"z":null}"#),
    ),
    (None, "42", Some(&[-0.0, 1e-38, 3.4e38]), Some(""), None),
    (
        None,
        "_under",
        Some(&[16777217.0, 0.3, 1.0]),
        Some("late"),
        Some(r#"{"n":9007199254740991,"odd key":"$x","f":1e300,"mixed":[1,"a"]}"#),
    ),
    (
        None,
        "x\u{1}y",
        Some(&[5.0, 5.0, 5.0]),
        None,
        Some(r#"{"s":"line\nbreak | pipe\t\\","big":123456789012345678901234567890}"#),
    ),
    (Some("tenant a|b"), "doc-1", Some(&[9.0, 8.0, 7.0]), Some("other"), Some(r#"{"n":3,"tags":["c"]}"#)),
    (Some("tenant a|b"), "3f622591-baa6-5888-8a4f-6b3813e16a44", Some(&[0.5, 0.5, 0.5]), None, None),
    (None, "last", Some(&[1.5, -1.5, 1e-45]), None, Some(r#"{"f":2.5,"$set":1,"s":"end"}"#)),
];

/// The rows above in two batches, under one dense vector called `name`.
pub fn collection(name: &str, metric: Metric) -> Collection {
    let index = Some(IndexSpec::Hnsw { m: 16, ef_construction: 200, ef_search: Some(80) });
    let mut schema = CollectionSchema::new("notes");
    schema.ids = IdKinds::Text;
    schema.namespaced = true;
    schema.vectors = vec![VectorSpec { metric: Some(metric), index, ..VectorSpec::dense(name, 3) }];
    let batches = ROWS.chunks(5).map(|rows| batch(&schema, rows)).collect();
    (schema, batches)
}

/// One batch of rows in a schema whose first vector is dense; others are left out.
///
/// # Panics
/// If a row does not fit.
pub fn batch(schema: &CollectionSchema, rows: &[Row<'_>]) -> RecordBatch {
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).expect("a schema for a builder");
    for (namespace, id, vector, document, metadata) in rows {
        for (column, spec) in schema.stored_vectors().enumerate() {
            match (spec.kind, vector) {
                (VectorKind::Dense, Some(values)) => builder.push_dense(column, values),
                (VectorKind::Sparse, Some(values)) => {
                    let indices: Vec<u32> = (0..values.len() as u32).map(|i| i * 1_000).collect();
                    builder.push_sparse(column, &indices, values).expect("indices ascend");
                }
                (VectorKind::Multi, Some(values)) => builder.push_multi(column, &[*values, *values].concat()),
                _ => {}
            }
        }
        let (namespace, document, metadata) = (*namespace, *document, *metadata);
        builder.finish_row(RowText { id, id_kind: IdKind::Text, namespace, document, metadata }).expect("a row fits");
    }
    builder.finish().expect("a batch")
}

/// Options that accept the given losses.
pub fn allowing(codes: &[&str]) -> CreateOptions {
    CreateOptions { allow_loss: codes.iter().map(|code| (*code).to_owned()).collect(), ..CreateOptions::default() }
}

struct NoRejects;

impl RejectSink for NoRejects {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        Err(Error::damaged(format!("{}: {}", reject.place, reject.reason)))
    }
}

/// Everything that lies at `path`, as batches.
pub fn read(connector: &Connector, path: &Path) -> Result<Collection> {
    let locator = Locator { provider: None, path: path.to_owned() };
    let source = connector.open.expect("the connector reads")(&locator, &OpenOptions::default())?;
    let scratch = std::env::temp_dir();
    let prepared =
        source.prepare(&PrepareContext { memory_bytes: 1 << 30, split_bytes: 1 << 20, scratch: &scratch })?;
    let mut batches = Vec::new();
    for split in prepared.splits()? {
        for batch in prepared.open(split?, &mut NoRejects)? {
            batches.push(batch?);
        }
    }
    Ok((prepared.schema().clone(), batches))
}

/// Writes a bundle and checks that it reads back as the source, but for what is left out by consent.
///
/// # Panics
/// If it does not.
pub fn write(connector: &Connector, path: &Path, collection: &Collection, options: &CreateOptions) -> Mapping {
    let (schema, batches) = collection;
    let mapping = bundles::write(connector, path, schema, batches, options).unwrap_or_else(|e| panic!("{e}"));
    let (found, records) = read(connector, path).unwrap_or_else(|e| panic!("{e}"));
    let projected: Vec<RecordBatch> =
        batches.iter().map(|batch| mapping.project(batch, schema).expect("a projection")).collect();
    let expected = fingerprint(&mapping.projected_schema(schema), &projected).summary();
    assert_eq!(fingerprint(&found, &records).summary(), expected, "the bundle reads back as its source");
    mapping
}

/// The data files of a bundle by name, as text.
///
/// # Panics
/// If one cannot be read.
pub fn data(path: &Path) -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(path.join("data")).expect("data/").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let text = |path: &PathBuf| fs::read_to_string(path).expect("a text");
    files.iter().map(|file| (file.file_name().unwrap_or_default().to_string_lossy().into_owned(), text(file))).collect()
}

/// A JSON file of a bundle.
///
/// # Panics
/// If it is none.
pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

/// A record that breaks a rule is refused by its code, and by nothing but consent to that code let go.
///
/// # Panics
/// If it is not so.
pub fn refused(connector: &Connector, schema: &CollectionSchema, code: &str, bad: Row<'_>) {
    let good: Row<'_> = (None, "good", Some(&[1.0, 2.0, 3.0]), None, Some(r#"{"n":1}"#));
    let rows = [good, bad, (None, "also-good", Some(&[3.0, 2.0, 1.0]), None, None)];
    let batches = vec![batch(schema, &rows)];
    let dir = tempfile::tempdir().expect("a directory");
    let others = ["VECTOR_MISSING", "ZERO_VECTOR", "METADATA_TOO_LARGE", "FILTERABLE_TOO_LARGE", "DOCUMENT_TOO_LARGE"];
    let others: Vec<&str> = others.into_iter().filter(|other| *other != code).collect();
    let path = dir.path().join("refused");
    let error = bundles::write(connector, &path, schema, &batches, &allowing(&others)).expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::LossDenied, "{error}");
    assert!(error.message().contains(&format!("`{}`", bad.1)), "{error}");
    assert!(error.next_step().is_some_and(|step| step.contains(code)), "{error}");
    let path = dir.path().join("allowed");
    let mapping = write(connector, &path, &(schema.clone(), batches), &allowing(&[code]));
    assert_eq!(mapping.left_out, [code]);
    assert!(mapping.losses.iter().any(|loss| loss.code == code && loss.grade == Grade::Dropped));
    let told = fs::read_to_string(path.join("data/left-out-00000.jsonl")).expect("the list of those left out");
    assert!(told.contains(code) && told.lines().count() == 1, "{told}");
}

/// A flipped byte, a cut file and a missing file are errors with the file.
///
/// # Panics
/// If one of them passes.
pub fn damage_is_told(connector: &Connector, collection: &Collection, options: &CreateOptions) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("bundle");
    write(connector, &path, collection, options);
    let (name, _) = data(&path).into_iter().next().expect("a data file");
    let file = path.join("data").join(&name);
    let whole = fs::read(&file).expect("the file");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for bytes in [&flipped[..], &whole[..whole.len() - 1], &[]] {
        fs::write(&file, bytes).expect("damage");
        let error = read(connector, &path).expect_err("damage is told");
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.context().iter().any(|(_, value)| value.contains(&name)), "{error}");
    }
    fs::remove_file(&file).expect("removal");
    let error = read(connector, &path).expect_err("a missing file is told");
    assert!(error.to_string().contains(&name), "{error}");
}

/// What stands in for a service.
pub struct StandIn<'a> {
    /// A Python program: the service itself, or all of its command-line programs by the name in the first argument.
    pub script: &'a Path,
    /// The variable that takes the service's address; none for programs.
    pub address: Option<&'a str>,
    /// The programs.
    pub programs: &'a [&'a str],
    /// Variables for the scripts.
    pub variables: &'a [(&'a str, &'a str)],
    /// The variable among them whose value nobody may print.
    pub secret: Option<&'a str>,
}

struct Running<'a> {
    stand_in: &'a StandIn<'a>,
    dir: tempfile::TempDir,
    service: Option<(Child, String)>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some((service, _)) = &mut self.service {
            let _ended = service.kill().and_then(|()| service.wait().map(drop));
        }
    }
}

impl<'a> Running<'a> {
    fn start(stand_in: &'a StandIn<'a>, refuse: bool) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("feeds");
        for program in stand_in.programs {
            let file = dir.path().join(program);
            let refuse = if refuse { "export REFUSE=1\n" } else { "" };
            let text = format!(
                "#!/bin/sh\n{refuse}export PYTHONPATH={} STAND_IN_DIR={}\nexec python3 {} {program} \"$@\"\n",
                library.display(),
                dir.path().display(),
                stand_in.script.display()
            );
            fs::write(&file, text).expect("a program");
            fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
        }
        let service = stand_in.address.map(|_| {
            let mut command = Command::new("python3");
            command.arg(stand_in.script).env("PYTHONPATH", &library).env("FAIL_EVERY", "3").stdout(Stdio::piped());
            if refuse {
                command.env("REFUSE", "1");
            }
            let secret = stand_in.secret.and_then(|name| stand_in.variables.iter().find(|(own, _)| *own == name));
            command.env("STAND_IN_KEY", secret.map_or("", |(_, value)| value));
            let mut child = command.spawn().expect("the script tests need python3");
            let mut port = String::new();
            BufReader::new(child.stdout.take().expect("its output")).read_line(&mut port).expect("its port");
            (child, format!("http://127.0.0.1:{}", port.trim()))
        });
        Running { stand_in, dir, service }
    }

    fn run(&self, bundle: &Path, script: &str, arguments: &[&str]) -> (i32, String) {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command
            .current_dir(bundle.parent().unwrap_or(bundle))
            .arg(bundle.join(script))
            .args(arguments)
            .env("PATH", format!("{}:{path}", self.dir.path().display()))
            .env("RETRY_SECONDS", "0")
            .env("TRANSHIP", "/nonexistent/tranship")
            .env_remove("http_proxy")
            .envs(self.stand_in.variables.iter().copied())
            .stdin(Stdio::null());
        if let (Some(name), Some((_, url))) = (self.stand_in.address, &self.service) {
            command.env(name, url);
        }
        let Output { status, stdout, stderr } = command.output().expect("bash");
        let talk = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        let secret = self.stand_in.secret.and_then(|name| self.stand_in.variables.iter().find(|(own, _)| *own == name));
        assert!(secret.is_none_or(|(_, value)| !talk.contains(value)), "a secret is printed: {talk}");
        (status.code().unwrap_or(-1), talk)
    }

    fn expect(&self, bundle: &Path, script: &str, arguments: &[&str], code: i32) -> String {
        let (found, talk) = self.run(bundle, script, arguments);
        assert_eq!(found, code, "{script} {arguments:?}: {talk}");
        talk
    }
}

/// A bundle is loaded through its own scripts into a stand-in that stumbles, pulled back, compared and removed; and a
/// load of which the service refuses an item stops.
///
/// # Panics
/// If it is not so.
pub fn scripts_work(connector: &Connector, collection: &Collection, options: &CreateOptions, stand_in: &StandIn<'_>) {
    let dir = tempfile::tempdir().expect("a directory");
    let bundle = dir.path().join("bundle");
    let mapping = write(connector, &bundle, collection, options);
    for script in ["load.sh", "check.sh", "undo.sh"] {
        let text = fs::read_to_string(bundle.join(script)).expect("a script");
        let left = ["COMMON", "FUNCTIONS", "VARIABLES", "NEEDS", "ROWS", "BODIES", "COLLECTION", "TARGET"];
        assert!(!left.iter().any(|name| text.contains(&format!("@{name}@"))), "{text}");
    }
    let running = Running::start(stand_in, false);
    running.expect(&bundle, "load.sh", &["--wrong"], 2);
    running.expect(&bundle, "load.sh", &[], 0);
    assert!(running.expect(&bundle, "load.sh", &[], 2).contains("--resume"));
    assert!(running.expect(&bundle, "load.sh", &["--resume"], 0).contains("0 of "));
    let talk = running.expect(&bundle, "check.sh", &[], 2);
    assert!(talk.contains("tranship verify") && talk.contains("ok ") && !talk.contains("WRONG"), "{talk}");
    compare(connector, &bundle.join("pulled"), &mapping);
    running.expect(&bundle, "undo.sh", &[], 1);
    running.expect(&bundle, "undo.sh", &["--yes"], 0);
    running.expect(&bundle, "load.sh", &[], 0);
    running.expect(&bundle, "undo.sh", &["--yes"], 0);
    drop(running);
    let refusing = Running::start(stand_in, true);
    let (code, talk) = refusing.run(&bundle, "load.sh", &[]);
    assert!(code != 0 && !talk.contains("Next: bash check.sh"), "a refused item stops the load: {talk}");
}

/// What was pulled, undone, is what the bundle promises.
fn compare(connector: &Connector, pulled: &Path, mapping: &Mapping) {
    let (found, batches) = read(connector, pulled).unwrap_or_else(|e| panic!("{e}"));
    let undo = |batch| mapping.undo(batch, &found).unwrap_or_else(|e| panic!("{e:?}"));
    let undone: Vec<RecordBatch> = batches.iter().map(undo).collect();
    let summary = fingerprint(&mapping.undone_schema(&found), &undone).summary();
    let text = fs::read(pulled.join("mapping.json")).expect("the mapping beside the pages");
    let told: Mapping = serde_json::from_slice(&text).expect("a mapping");
    assert_eq!(Some(summary), told.expected_fingerprint, "what was pulled is not what was loaded");
}
