//! Chroma bundles, loaded by Chroma's own client into a fresh directory and read back from it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tranship_collection::Metric;
use tranship_testkit::{Generator, MemorySource, Tranship, engines, fixtures};

use crate::support::{arg, convert, locator};
use crate::transfer;

/// Runs one of the bundle's own scripts with the chromadb client.
fn script(bundle: &Path, name: &str, database: &Path, more: &[&str]) {
    let script = bundle.join(name);
    let arguments = [arg(Path::new("--path")), arg(database)];
    let more = more.iter().map(|text| arg(Path::new(text)));
    engines::run("chroma", script.to_str().unwrap(), &arguments.into_iter().chain(more).collect::<Vec<_>>());
}

fn verify(archive: &Path, target: &str, bundle: &Path, code: i32) -> Value {
    let mapping = bundle.join("mapping.json");
    let arguments = ["verify", &locator("archive", archive), target, "--mapping", mapping.to_str().unwrap(), "--json"];
    Tranship::run(arguments).expect(code).json()
}

/// A collection with every awkward id, document and metadata, in an archive. Every record has its vector.
fn generated(metric: Metric, dir: &Path) -> PathBuf {
    let archive = dir.join("generated.tranship");
    let generator = Generator { metric, rows: 1_500, mixed_ids: true, namespaced: true, ..Generator::default() };
    let source = MemorySource::new(generator.schema(), generator.batches(), 4);
    transfer::write(&source, &locator("archive", &archive), transfer::engine(2, 512 << 20), 0).unwrap();
    archive
}

#[test]
fn collections_come_back_from_the_engine_bit_for_bit_but_for_the_rounding_of_cosine() {
    for metric in [Metric::L2, Metric::Dot, Metric::Cosine] {
        let dir = tempfile::tempdir().unwrap();
        let archive = generated(metric, dir.path());
        let (bundle, database) = (dir.path().join("bundle"), dir.path().join("chroma_db"));
        let allowed = ["--allow-loss", "VECTOR_MISSING", "--allow-loss", "NORM_OUT_OF_RANGE"];
        convert(&locator("archive", &archive), &locator("chroma", &bundle), &allowed);
        script(&bundle, "load.py", &database, &[]);
        // Through our own reader of Chroma's files, and through the engine's API.
        let own = verify(&archive, &locator("chroma", &database), &bundle, 0);
        let pulled = bundle.join("pulled.jsonl");
        pull(&bundle, &database);
        let api = verify(&archive, &locator("jsonl", &pulled), &bundle, 0);
        let mapping: Value = serde_json::from_slice(&std::fs::read(bundle.join("mapping.json")).unwrap()).unwrap();
        let left_out = mapping["source_fingerprint"]["records"].as_u64().unwrap()
            - mapping["expected_fingerprint"]["records"].as_u64().unwrap();
        assert!(left_out > 100, "{left_out}");
        for report in [own, api] {
            for exact in ["id", "document", "metadata"] {
                let expected = &mapping["expected_fingerprint"]["components"][exact];
                assert_eq!(report["b"]["components"][exact], *expected, "{metric:?} {exact}");
            }
            if metric == Metric::Cosine {
                let largest = report["largest_tolerated"].as_f64().unwrap();
                assert!(report["tolerated"].as_u64().unwrap() > 0 && largest < 5e-7, "{largest}");
            } else {
                assert_eq!((&report["by_fingerprint"], &report["tolerated"]), (&json!(true), &json!(0)));
                assert_eq!(report["b"], mapping["expected_fingerprint"]);
            }
        }
    }
}

/// `check.py` with the binary under test: GO.
fn pull(bundle: &Path, database: &Path) {
    let checker = bundle.join("checker.py");
    let text = format!(
        "import os, runpy, sys\nos.environ['TRANSHIP'] = {:?}\nsys.argv = ['check.py', '--path', {:?}]\n\
         runpy.run_path({:?}, run_name='__main__')\n",
        Tranship::path().to_str().unwrap(),
        database.to_str().unwrap(),
        bundle.join("check.py").to_str().unwrap()
    );
    std::fs::write(&checker, text).unwrap();
    engines::run("chroma", checker.to_str().unwrap(), &[]);
    std::fs::remove_file(checker).unwrap();
}

#[test]
fn an_interrupted_load_goes_on_and_a_changed_record_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("l2.tranship");
    convert(
        &locator("chroma", &fixtures::five_collections()),
        &locator("archive", &archive),
        &["--collection", "l2_32"],
    );
    let (bundle, database) = (dir.path().join("bundle"), dir.path().join("chroma_db"));
    convert(&locator("archive", &archive), &locator("chroma", &bundle), &[]);
    script(&bundle, "load.py", &database, &[]);
    let marks: Vec<PathBuf> = std::fs::read_dir(bundle.join(".loaded"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "done"))
        .collect();
    assert!(!marks.is_empty());
    // The acknowledgement of a body was lost: it is sent again, and nothing doubles.
    std::fs::remove_file(&marks[0]).unwrap();
    script(&bundle, "load.py", &database, &["--resume"]);
    let report = verify(&archive, &locator("chroma", &database), &bundle, 0);
    assert_eq!(report["by_fingerprint"], json!(true));
    let body = std::fs::read_dir(bundle.join("data")).unwrap().next().unwrap().unwrap().path();
    let id = serde_json::from_slice::<Value>(&std::fs::read(body).unwrap()).unwrap()["ids"][0].clone();
    let change = dir.path().join("change.py");
    let text = format!(
        "import chromadb\nc = chromadb.PersistentClient({:?})\n[k] = c.list_collections()\n\
         c.get_collection(k.name, embedding_function=None).update(ids=[{id}], embeddings=[[0.5] * 32])\n",
        database.to_str().unwrap()
    );
    std::fs::write(&change, text).unwrap();
    engines::run("chroma", change.to_str().unwrap(), &[]);
    let report = verify(&archive, &locator("chroma", &database), &bundle, 1);
    let found: Vec<&Value> = report["differences"].as_array().unwrap().iter().map(|d| &d["id"]).collect();
    assert_eq!(found, [&id]);
    script(&bundle, "undo.py", &database, &["--yes"]);
    script(&bundle, "load.py", &database, &[]);
}
