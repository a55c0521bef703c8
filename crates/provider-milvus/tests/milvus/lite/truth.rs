//! Every record of both stored dumps, compared with what the engine's API said.

use serde_json::{Map, Value};
use tranship_collection::{IndexSpec, Metric, VectorKind, json};
use tranship_connector::{Count, RowLedger};
use tranship_testkit::reading::{Outcome, Record, Vector};

use super::{Dump, dump, list, read};

fn canonical(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json::canonical(text, &mut out).unwrap();
    if json::is_nothing(&out) { Vec::new() } else { out }
}

/// The bits of a vector as the truth writes it: numbers, pairs, or one text of hex for bytes.
fn same_vector(vector: &Vector, truth: &Value) -> bool {
    let bits = |value: &Value| (value.as_f64().unwrap() as f32).to_bits();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match (vector, truth) {
        (Vector::Dense(values), Value::Array(wanted)) if wanted[0].is_string() => {
            let halves: Vec<u8> = values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
            hex(&halves) == wanted[0].as_str().unwrap()
        }
        (Vector::Dense(values), Value::Array(wanted)) => values.iter().map(|v| v.to_bits()).eq(wanted.iter().map(bits)),
        (Vector::Bits(bytes), Value::Array(wanted)) => hex(bytes) == wanted[0].as_str().unwrap(),
        (Vector::Sparse(indices, values), Value::Object(wanted)) => {
            wanted.len() == indices.len()
                && indices
                    .iter()
                    .zip(values)
                    .all(|(i, v)| wanted.get(&i.to_string()).is_some_and(|w| bits(w) == v.to_bits()))
        }
        _ => false,
    }
}

/// The collections of the dumps have one vector each: unnamed, or a sparse one by its name.
fn only_vector(record: &Record) -> &Vector {
    record.vectors.values().next().unwrap_or_else(|| panic!("{} has no vector", record.id))
}

fn check(outcome: &Outcome, dump: &Dump, collection: &str) {
    let wanted: Vec<&Map<String, Value>> =
        dump.truth.iter().filter(|line| line["collection"] == collection).filter_map(Value::as_object).collect();
    let found = outcome.by_id();
    assert_eq!(found.len(), wanted.len(), "{collection}");
    assert!(outcome.rejects.is_empty(), "{:?}", outcome.rejects);
    for line in wanted {
        let id = line["pk"].as_str().map_or_else(|| line["pk"].to_string(), str::to_owned);
        let record: &Record = found.get(&(None, id.as_str())).unwrap_or_else(|| panic!("{id} is missing"));
        assert!(same_vector(only_vector(record), &line["v"]), "vector of {id}: {:?}", record.vectors);
        let mut metadata = line.clone();
        metadata.retain(|key, _| !matches!(key.as_str(), "collection" | "pk" | "v"));
        let wanted = canonical(&Value::Object(metadata).to_string());
        assert_eq!(canonical(record.metadata.as_deref().unwrap_or("null")), wanted, "{id}: {:?}", record.metadata);
    }
    assert_eq!(outcome.ledger.live, Some(found.len() as u64));
}

#[test]
fn the_dump_of_milvus_lite_2_is_read_as_its_api_read_it() {
    let dump = dump("2.5.1");
    let infos = list(&dump.path);
    let names: Vec<_> = infos.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["typed", "sparse", "binv", "f16", "strpk"]);
    for info in &infos {
        let outcome = read(&dump.path, &info.name);
        check(&outcome, &dump, &info.name);
        assert_eq!(info.records, Count::Exact(outcome.records.len() as u64));
        assert_eq!((outcome.ledger.raw, outcome.notes.len()), (outcome.ledger.live, 0));
    }
    let vectors: Vec<_> = infos.iter().map(|info| &info.schema.vectors[0]).collect();
    let shown: Vec<_> = vectors.iter().map(|v| (v.kind, v.dim, v.metric)).collect();
    assert_eq!(
        shown,
        [
            (VectorKind::Dense, Some(16), Some(Metric::Cosine)),
            (VectorKind::Sparse, None, Some(Metric::Dot)),
            (VectorKind::Bits, Some(64), Some(Metric::Hamming)),
            (VectorKind::Dense, Some(8), Some(Metric::L2)),
            (VectorKind::Dense, Some(4), Some(Metric::L2)),
        ]
    );
    assert_eq!(vectors[0].index, Some(IndexSpec::Flat));
}

#[test]
fn the_dump_of_milvus_lite_3_is_read_as_its_api_read_it() {
    let dump = dump("3.2.2");
    let infos = list(&dump.path);
    let names: Vec<_> = infos.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["sparse", "strpk", "typed"]);
    for info in &infos {
        let outcome = read(&dump.path, &info.name);
        check(&outcome, &dump, &info.name);
        assert_eq!(outcome.notes, [""; 0]);
        let RowLedger { raw, live, deleted, superseded, .. } = outcome.ledger;
        assert_eq!(raw, live.map(|live| live + deleted + superseded));
        assert_eq!(info.records, Count::UpTo(raw.unwrap()));
        assert_eq!(info.producer.as_deref(), Some("Milvus Lite 3"));
    }
}
