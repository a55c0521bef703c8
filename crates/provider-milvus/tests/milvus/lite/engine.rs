//! A directory that Milvus Lite 3.2 makes now, copied while it is open, compared with the engine's own answers.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use serde_json::{Value, json};
use tranship_collection::{IndexSpec, Metric, json as canonical_json};
use tranship_connector::{Count, ErrorKind};
use tranship_testkit::reading::Vector;
use tranship_testkit::{engines, fixtures};

use super::{list, options, read, try_read};

fn canonical(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    canonical_json::canonical(text, &mut out).unwrap();
    if canonical_json::is_nothing(&out) { Vec::new() } else { out }
}

fn as_truth(vector: &Vector) -> Value {
    match vector {
        Vector::Dense(values) => json!(values),
        Vector::Sparse(indices, values) => {
            indices.iter().zip(values).map(|(index, value)| (index.to_string(), json!(value))).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Numbers as f32, so that the same float in another spelling is the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            (a.as_f64().unwrap() as f32).to_bits() == (b.as_f64().unwrap() as f32).to_bits()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => false,
    }
}

#[test]
fn a_fresh_directory_of_milvus_lite_3_is_what_the_engine_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (path, truth) = (dir.path().join("fresh.db"), dir.path().join("truth.jsonl"));
    let arguments = [path.as_os_str(), truth.as_os_str(), OsStr::new("--seed"), OsStr::new("11")];
    engines::run("milvus-lite", "milvus_lite_make.py", &arguments);
    let truth = fixtures::jsonl(&truth);
    let collections = [
        ("default", "typed", "default/typed"),
        ("default", "texts", "texts"),
        ("default", "keyed", "keyed"),
        ("default", "empty", "empty"),
        ("second", "typed", "second/typed"),
    ];
    let listed: BTreeSet<String> = list(&path).into_iter().map(|info| info.name).collect();
    assert_eq!(listed, collections.iter().map(|(.., shown)| (*shown).to_owned()).collect());
    let (mut deleted, mut superseded) = (0, 0);
    for (database, name, shown) in collections {
        let outcome = read(&path, shown);
        assert!(outcome.rejects.is_empty() && outcome.notes.is_empty(), "{shown}: {:?}", outcome.notes);
        let wanted: Vec<_> = truth.iter().filter(|l| l["database"] == database && l["collection"] == name).collect();
        let found = outcome.by_id();
        assert_eq!(found.len(), wanted.len(), "{shown}");
        for line in wanted {
            let id = line["id"].as_str().map_or_else(|| line["id"].to_string(), str::to_owned);
            let partition = line["partition"].as_str().filter(|partition| *partition != "_default");
            let record = found.get(&(partition, id.as_str())).unwrap_or_else(|| panic!("{shown}: {id} is missing"));
            assert!(same(&as_truth(record.vectors.values().next().unwrap()), &line["vector"]), "vector of {id}");
            let metadata = canonical(record.metadata.as_deref().unwrap_or("null"));
            assert_eq!(metadata, canonical(&line["fields"].to_string()), "{id}: {:?} {line}", record.metadata);
        }
        deleted += outcome.ledger.deleted;
        superseded += outcome.ledger.superseded;
        if name == "typed" && database == "default" {
            assert_eq!(
                (outcome.schema.namespaced, outcome.schema.aliases.as_slice()),
                (true, &["typed_alias".to_owned()][..])
            );
            let vector = &outcome.schema.vectors[0];
            assert_eq!(vector.metric, Some(Metric::Cosine));
            // This engine keeps the kind of an index, not the parameters that the client gave with it.
            assert!(matches!(&vector.index, Some(IndexSpec::Other { name, .. }) if name == "HNSW"));
        }
    }
    assert!(truth.len() > 700 && deleted > 0 && superseded > 0, "{deleted} deleted, {superseded} superseded");
    let counts: Vec<Count> = list(&path).into_iter().map(|info| info.records).collect();
    assert!(counts.contains(&Count::Exact(0)) && counts.contains(&Count::Unknown), "{counts:?}");
    assert_eq!(try_read(&path, &options("typed")).unwrap_err().kind(), ErrorKind::Usage);
}
