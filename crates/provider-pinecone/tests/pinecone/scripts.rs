//! load.sh, check.sh and undo.sh against a stand-in for the service that fails now and then.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tranship_collection::{CollectionSchema, Metric};

use crate::{Record, batch, plain, read, schema, spec, write};
use tranship_testkit::bundles;

struct Service {
    process: Child,
    url: String,
}

impl Service {
    fn start(dir: &Path, records: &Value, fail_every: u32) -> Self {
        let file = dir.join("records.json");
        fs::write(&file, records.to_string()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pinecone/fake_pinecone.py");
        let mut process = Command::new("python3")
            .args([script.as_os_str(), file.as_os_str(), fail_every.to_string().as_ref()])
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.join("calls.log")).unwrap())
            .spawn()
            .expect("the script tests need python3");
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Service { process, url: format!("http://127.0.0.1:{}", port.trim()) }
    }

    fn run(&self, bundle: &Path, script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new("bash")
            .arg(bundle.join(script))
            .args(arguments)
            .env("PINECONE_CONTROL_URL", &self.url)
            .env("PINECONE_API_KEY", "se\"cret")
            .env("PINECONE_IMPORT_URI", "s3://bucket/dir")
            .env("RETRY_SECONDS", "0")
            .env("POLL_SECONDS", "0")
            .env("TRANSHIP", "/nonexistent/tranship")
            .env_remove("http_proxy")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn talk(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const IDS: [&str; 5] = ["a", "b c&d=<e>", "q\"uote\\slash/'", "100%", "+"];

fn things() -> (CollectionSchema, Vec<Record>) {
    let mut records: Vec<Record> = IDS.into_iter().map(|id| Record { sparse: None, ..plain(id) }).collect();
    records.push(Record { namespace: Some("tenant-a"), sparse: None, ..plain("a") });
    (schema(vec![spec("", Metric::Cosine)]), records)
}

fn bundle(dir: &Path) -> PathBuf {
    let (schema, records) = things();
    let path = dir.join("bundle");
    write(&path, &schema, &records, &[]).unwrap();
    path
}

fn imported() -> Value {
    let record = |id: &str| json!({"id": id, "values": [1.0, 0.1]});
    let own: serde_json::Map<String, Value> = IDS.into_iter().map(|id| (id.to_owned(), record(id))).collect();
    json!({"__default__": own, "tenant-a": {"a": record("a")}})
}

#[test]
fn a_bundle_is_imported_checked_and_undone_through_a_service_that_stumbles() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = bundle(dir.path());
    let service = Service::start(dir.path(), &imported(), 3);
    let (code, text) = talk(&service.run(&bundle, "load.sh", &[], &[]));
    assert!(code == 0 && text.contains("imported 6 records"), "{code} {text}");
    let (code, text) = talk(&service.run(&bundle, "load.sh", &[], &[]));
    assert!(code == 2 && text.contains("already there"), "{code} {text}");
    let pages = dir.path().join("pages");
    let (code, text) = talk(&service.run(&bundle, "check.sh", &[], &[("PAGES", pages.to_str().unwrap())]));
    assert!(code == 2 && text.contains("tranship verify") && !text.contains("WRONG"), "{code} {text}");
    // What was fetched is what was loaded, whatever stands in the ids.
    let (stored, batches) = read(&pages).unwrap();
    let (schema, records) = things();
    let given = bundles::fingerprint(&schema, &[batch(&schema, &records)]).summary();
    assert_eq!(bundles::fingerprint(&stored, &batches).summary(), given);
    assert!(!fs::read_to_string(dir.path().join("calls.log")).unwrap().contains("None"));
    let (code, text) = talk(&service.run(&bundle, "undo.sh", &["--yes"], &[]));
    assert!(code == 0, "{text}");
    let (code, text) = talk(&service.run(&bundle, "check.sh", &[], &[]));
    assert!(code == 2 && text.contains("there is no index"), "{code} {text}");
}

#[test]
fn a_failed_import_and_a_wrong_count_stop_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = bundle(dir.path());
    let service = Service::start(dir.path(), &imported(), 0);
    let (code, text) = talk(&service.run(&path, "load.sh", &[], &[("PINECONE_IMPORT_URI", "s3://b/broken")]));
    assert!(code == 2 && text.contains("Failed"), "{code} {text}");
    let (code, text) = talk(&service.run(&path, "load.sh", &[], &[("PINECONE_IMPORT_URI", "s3://b/\"")]));
    assert!(code == 2 && text.contains("quotes"), "{code} {text}");
    let short = tempfile::tempdir().unwrap();
    let path = bundle(short.path());
    let service = Service::start(short.path(), &json!({"__default__": imported()["tenant-a"]}), 0);
    let (code, text) = talk(&service.run(&path, "load.sh", &[], &[]));
    assert!(code == 2 && text.contains("took 1 of 6"), "{code} {text}");
    let (code, text) = talk(&service.run(&path, "check.sh", &[], &[]));
    assert!(code == 1 && text.contains("WRONG  namespace tenant-a: 0 of 1") && text.contains("NO-GO"), "{code} {text}");
    let (code, text) = talk(&service.run(&path, "load.sh", &[], &[("PINECONE_API_KEY", "wrong")]));
    assert!(code == 2 && text.contains("401"), "{code} {text}");
}
