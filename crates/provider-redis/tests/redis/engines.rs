//! Dumps that real servers make now, compared with their own answers.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use tranship_testkit::{engines, fixtures};

use crate::reading::read;

/// Makes a dump with `server` and compares every hash of its two databases.
fn check(server: &str, producer: &str) -> BTreeMap<String, usize> {
    let dir = tempfile::tempdir().unwrap();
    let (dump, truth) = (dir.path().join("dump.rdb"), dir.path().join("truth.jsonl"));
    let arguments = [OsStr::new(server), dump.as_os_str(), truth.as_os_str(), OsStr::new("--seed"), OsStr::new("7")];
    engines::run("redis", "redis_make.py", &arguments);
    let truth = fixtures::jsonl(&truth);
    let mut encodings = BTreeMap::new();
    for database in [0, 2] {
        let wanted: Vec<_> = truth.iter().filter(|line| line["db"] == database).collect();
        let outcome = read(&dump, &[("vector", "v"), ("db", &database.to_string()), ("without-vector", "keep")]);
        assert!(outcome.schema.vendor["redis"]["producer"].as_str().unwrap().starts_with(producer));
        assert!(outcome.rejects.is_empty(), "{:?}", outcome.rejects);
        let found = outcome.by_id();
        assert_eq!(found.len(), wanted.len());
        for line in wanted {
            let id = line["key"].as_str().unwrap();
            let record = found.get(&(None, id)).unwrap_or_else(|| panic!("{id} is missing"));
            let vector = record.dense("").map(|v| v.iter().map(|v| format!("{:08x}", v.to_bits())).collect::<String>());
            assert_eq!(vector.as_deref(), line["vector"].as_str(), "vector of {id}");
            let empty = serde_json::json!({});
            let got = if record.metadata.is_some() { record.json() } else { empty };
            assert_eq!(got, line["fields"], "fields of {id}");
            *encodings.entry(line["encoding"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert!(encodings.values().sum::<usize>() > 500);
    encodings
}

#[test]
fn a_fresh_dump_of_redis_6_2_is_what_the_server_answers() {
    let encodings = check("redis", "Redis 6.2");
    assert_eq!(encodings.keys().collect::<Vec<_>>(), ["hashtable", "ziplist"]);
}

#[test]
fn a_fresh_dump_of_valkey_9_1_is_what_the_server_answers() {
    let encodings = check("valkey", "Valkey 9.1");
    assert_eq!(encodings.keys().collect::<Vec<_>>(), ["hashtable", "listpack"]);
}
