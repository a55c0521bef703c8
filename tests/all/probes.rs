//! Who claims what: every file and directory of the stored dumps is shown to all connectors.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tranship_connector::Locator;
use tranship_testkit::{Tranship, fixtures};
use tranship_toolkit::providers;

/// Dumps as a user names them, without saying whose they are, and whose they are.
const DUMPS: &[(&str, &str, &str)] = &[
    ("ann-files", "ann/binary_flat.faiss", "faiss"),
    ("ann-files", "ann/flat_ip.faiss", "faiss"),
    ("ann-files", "ann/flat_l1.faiss", "faiss"),
    ("ann-files", "ann/flat_l2.faiss", "faiss"),
    ("ann-files", "ann/hnsw_flat.faiss", "faiss"),
    ("ann-files", "ann/idmap2_flat.faiss", "faiss"),
    ("ann-files", "ann/idmap_flat.faiss", "faiss"),
    ("ann-files", "ann/ivfflat.faiss", "faiss"),
    ("ann-files", "ann/ivfsq8.faiss", "faiss"),
    ("ann-files", "ann/pq8.faiss", "faiss"),
    ("ann-files", "ann/pretransform_l2norm.faiss", "faiss"),
    ("ann-files", "ann/sq8.faiss", "faiss"),
    ("ann-files", "ann/hnswlib_cosine.bin", "hnswlib"),
    ("ann-files", "ann/hnswlib_l2.bin", "hnswlib"),
    ("ann-files", "ann/truth_X.npy", "arrays"),
    ("ann-files", "ann/usearch_f16.usearch", "usearch"),
    ("ann-files", "ann/usearch_f32.usearch", "usearch"),
    ("ann-files", "ann/usearch_f64.usearch", "usearch"),
    ("ann-files", "ann/usearch_i8.usearch", "usearch"),
    ("ann-files", "ann/x-angular.hdf5", "arrays"),
    ("ann-files", "ann/x.bvecs", "arrays"),
    ("ann-files", "ann/x.fbin", "arrays"),
    ("ann-files", "ann/x.fvecs", "arrays"),
    ("ann-files", "ann/x.ivecs", "arrays"),
    ("ann-files", "ann/x.npz", "arrays"),
    ("ann-files", "ann/x.u8bin", "arrays"),
    ("ann-files", "ann/x_be.npy", "arrays"),
    ("ann-files", "ann/x_f16.npy", "arrays"),
    ("ann-files", "ann/xc.npz", "arrays"),
    ("chroma-0.4.24", "chroma-0.4.24", "chroma"),
    ("chroma-0.5.23", "chroma-0.5.23", "chroma"),
    ("chroma-1.5.9", "chroma-1.5.9", "chroma"),
    ("chroma-killed-1.5.9", "chroma-killed-1.5.9", "chroma"),
    ("chroma-small-0.4.0", "chroma-small-0.4.0", "chroma"),
    ("chroma-small-0.6.3", "chroma-small-0.6.3", "chroma"),
    ("chroma-small-1.0.0", "chroma-small-1.0.0", "chroma"),
    ("langchain-faiss", "langchain-faiss", "faiss"),
    ("langchain-faiss", "langchain-faiss/index.faiss", "faiss"),
    ("milvus-2.3.5-binlogs", "milvus-2.3.5", "milvus"),
    ("milvus-lite-2.5.1", "milvus-lite-2.5.1.db", "milvus"),
    ("milvus-lite-3.2.2", "milvus-lite-3.2.2.db", "milvus"),
    ("pgvector-0.8", "pg/copy_bin.bin", "pgvector"),
    ("pgvector-0.8", "pg/custom.dump", "pgvector"),
    ("pgvector-0.8", "pg/custom_z0.dump", "pgvector"),
    ("pgvector-0.8", "pg/dirfmt", "pgvector"),
    ("pgvector-0.8", "pg/inserts.sql", "pgvector"),
    ("pgvector-0.8", "pg/plain.sql", "pgvector"),
    ("pgvector-0.8", "pg/tar.dump", "pgvector"),
    ("qdrant-1.10-crash_storage", "qdrant-1.10.1-crash_storage/crash_storage", "qdrant"),
    ("qdrant-1.10-mixed", "qdrant-1.10.1-mixed.snapshot", "qdrant"),
    ("qdrant-1.10-named_mem", "qdrant-1.10.1-named_mem.snapshot", "qdrant"),
    ("qdrant-1.11-hot_race", "qdrant-1.11.5-hot_race.snapshot", "qdrant"),
    ("qdrant-1.13-dense_cos", "qdrant-1.13.6-dense_cos.snapshot", "qdrant"),
    ("qdrant-1.13-dense_cos", "qdrant-1.13.6-dense_cos_shard0.snapshot", "qdrant"),
    ("qdrant-1.19-crash-storage", "server119_crash_storage/crash", "qdrant"),
    ("qdrant-1.19-mixed", "server119_mixed.snapshot", "qdrant"),
    ("qdrant-1.19-u8_euclid", "server119_u8_euclid.snapshot", "qdrant"),
    ("redis-7-rdb", "redis/dump.rdb", "redis"),
];

#[test]
fn a_dump_is_claimed_by_its_own_connector_and_by_no_other() {
    let wrong: Vec<String> = DUMPS
        .iter()
        .filter_map(|(fixture, inside, owner)| {
            let found = claims(&fixtures::shared(fixture).join(inside));
            (found.iter().map(|(name, _)| *name).ne([*owner])).then(|| format!("{fixture}/{inside}: {found:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_lies_inside_a_dump_is_claimed_by_its_own_connector_or_by_none() {
    let mut wrong = Vec::new();
    let fixtures: BTreeSet<&str> = DUMPS.iter().map(|(fixture, ..)| *fixture).filter(|f| *f != "ann-files").collect();
    for fixture in fixtures {
        let home = fixtures::shared(fixture);
        let owner = DUMPS.iter().find(|(own, ..)| *own == fixture).map_or("", |(.., owner)| *owner);
        for path in below(&home) {
            let found = claims(&path);
            // Parts that a database writes as plain JSON or Parquet, and the truth beside a dump, are just that.
            let allowed = |name: &str| name == owner || name == "jsonl" || name == "parquet";
            if found.iter().any(|(name, _)| !allowed(name)) {
                wrong.push(format!("{fixture}: {} {found:?}", path.strip_prefix(&home).unwrap_or(&path).display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn inspect_needs_no_name_of_a_connector() {
    let registry = providers::registry();
    for (fixture, inside, owner) in DUMPS {
        let path = fixtures::shared(fixture).join(inside);
        let locator = Locator { provider: None, path: path.clone() };
        assert_eq!(registry.resolve(&locator).map(|found| found.name).ok(), Some(*owner), "{inside}");
        // COPY BINARY names no columns.
        let code = if inside.ends_with("copy_bin.bin") { 2 } else { 0 };
        Tranship::run([Path::new("inspect"), &path]).expect(code);
    }
}

/// Names and scores of the connectors that take a path for theirs.
fn claims(path: &Path) -> Vec<(&'static str, u8)> {
    let registry = providers::registry();
    registry.connectors.iter().filter_map(|c| Some((c.name, (c.probe)(path)?))).collect()
}

/// All files and directories below `dir`.
fn below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}
