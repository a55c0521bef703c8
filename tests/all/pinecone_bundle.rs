//! Pinecone bundles, read by pyarrow and DuckDB as its import documents them.

use serde_json::Value;
use tranship_collection::Metric;
use tranship_testkit::{Generator, MemorySource, Tranship, engines};

use crate::support::{arg, convert, locator};
use crate::transfer;

#[test]
fn the_files_are_what_the_import_documents_and_hold_every_record() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("generated.tranship");
    let generator = Generator {
        metric: Metric::Dot,
        rows: 1_500,
        mixed_ids: true,
        namespaced: true,
        all_vectors: true,
        ..Generator::default()
    };
    let source = MemorySource::new(generator.schema(), generator.batches(), 4);
    transfer::write(&source, &locator("archive", &archive), transfer::engine(2, 512 << 20), 0).unwrap();
    let (bundle, read) = (dir.path().join("bundle"), dir.path().join("read.jsonl"));
    let allowed = ["VECTOR_DROPPED", "VECTOR_MISSING", "EMPTY_SPARSE", "ZERO_VECTOR"];
    let allowed: Vec<&str> = allowed.iter().flat_map(|code| ["--allow-loss", code]).collect();
    convert(&locator("archive", &archive), &locator("pinecone", &bundle), &allowed);
    let count = engines::run("readers", "pinecone_read.py", &[arg(&bundle), arg(&read)]);
    let mapping: Value = serde_json::from_slice(&std::fs::read(bundle.join("mapping.json")).unwrap()).unwrap();
    let expected = mapping["expected_fingerprint"]["records"].as_u64().unwrap();
    assert!(expected > 1_000 && count.trim() == expected.to_string(), "{count} of {expected}");
    // What the other readers saw, under the names and namespaces of the source, is the projected source.
    let namespaces = mapping["form"]["namespaces"].as_object().unwrap();
    let own = |folder: &str| {
        namespaces.iter().find(|(_, target)| *target == folder).map_or(folder.to_owned(), |(name, _)| name.clone())
    };
    let text = std::fs::read_to_string(&read).unwrap();
    let lines = text.lines().map(|line| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        if let Some(folder) = record["namespace"].as_str().map(own) {
            record["namespace"] = folder.into();
        }
        let vectors = record["vectors"].as_object_mut().unwrap();
        for (from, to) in [("dense", "image"), ("sparse", "terms")] {
            let value = vectors.remove(from);
            vectors.extend(value.map(|value| (to.to_owned(), value)));
        }
        format!("{record}\n")
    });
    let renamed = dir.path().join("renamed.jsonl");
    std::fs::write(&renamed, lines.collect::<String>()).unwrap();
    let mapping = bundle.join("mapping.json");
    let arguments = [
        "verify",
        &locator("archive", &archive),
        &locator("jsonl", &renamed),
        "--mapping",
        mapping.to_str().unwrap(),
        "--json",
    ];
    let report = Tranship::run(arguments).expect(0).json();
    assert_eq!((&report["by_fingerprint"], &report["tolerated"]), (&true.into(), &0.into()));
}
