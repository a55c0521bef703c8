//! Every stored dump of a real engine, against the demands that all readers share.
//!
//! One line per dump: a name, the fixture, the locator inside it, further arguments, the records. For each of them
//! `inspect` answers at once and says no less than there is; the archive has the same bytes for any number of threads
//! and any memory; it is EQUAL to the dump; the rows of the dump add up; and the dump is left as it was.

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tranship_testkit::{Ran, Tranship, fixtures};

use crate::support::locator;
use crate::transfer::tree;

/// A dump and what to expect of it.
struct Dump {
    /// Name of `fixtures/NAME.tar.zst`, or of a directory there.
    fixture: &'static str,
    /// `provider:path`, the path below the unpacked fixture.
    inside: &'static str,
    /// Flags that choose the collection, and options of the reader; `{home}` is where the fixture lies.
    flags: &'static [&'static str],
    /// Live records.
    records: u64,
}

macro_rules! dumps {
    ($($name:ident: $fixture:literal, $inside:literal, [$($flag:literal),*], $records:literal;)*) => {
        $(
            #[test]
            fn $name() {
                Dump { fixture: $fixture, inside: $inside, flags: &[$($flag),*], records: $records }.check();
            }
        )*
    };
}

dumps! {
    chroma_0_4_0: "chroma-small-0.4.0", "chroma:chroma-small-0.4.0", ["--collection", "l2s"], 31;
    chroma_0_4_24: "chroma-0.4.24", "chroma:chroma-0.4.24", ["--collection", "cos64"], 2751;
    chroma_0_5: "chroma-0.5.23", "chroma:chroma-0.5.23", ["--collection", "ip_16_bigsync"], 2751;
    chroma_0_6: "chroma-small-0.6.3", "chroma:chroma-small-0.6.3", ["--collection", "queued"], 31;
    chroma_1_0: "chroma-small-1.0.0", "chroma:chroma-small-1.0.0", ["--collection", "cos1"], 31;
    chroma_1_5: "chroma-1.5.9", "chroma:chroma-1.5.9", ["--collection", "l2_32"], 2751;
    chroma_1_5_wordnet: "chroma-wordnet", "chroma:", [], 1480;
    chroma_killed: "chroma-killed-1.5.9", "chroma:chroma-killed-1.5.9", ["--collection", "queued"], 37;
    chroma_empty: "chroma-1.5.9", "chroma:chroma-1.5.9", ["--collection", "empty"], 0;
    arrays_bvecs: "ann-files", "arrays:ann/x.bvecs", [], 3000;
    arrays_fbin: "ann-files", "arrays:ann/x.fbin", [], 3000;
    arrays_fvecs: "ann-files", "arrays:ann/x.fvecs", [], 3000;
    arrays_hdf5: "ann-files", "arrays:ann/x-angular.hdf5", [], 2900;
    arrays_npy: "ann-files", "arrays:ann/truth_X.npy", ["-o", "ids={home}/ann/truth_ids.npy"], 3000;
    arrays_npy_big_endian: "ann-files", "arrays:ann/x_be.npy", [], 3000;
    arrays_npy_f16: "ann-files", "arrays:ann/x_f16.npy", [], 3000;
    arrays_npz: "ann-files", "arrays:ann/x.npz", [], 3000;
    arrays_u8bin: "ann-files", "arrays:ann/x.u8bin", [], 3000;
    faiss_binary: "ann-files", "faiss:ann/binary_flat.faiss", [], 3000;
    faiss_flat: "ann-files", "faiss:ann/flat_l2.faiss", [], 3000;
    faiss_hnsw: "ann-files", "faiss:ann/hnsw_flat.faiss", [], 3000;
    faiss_idmap2: "ann-files", "faiss:ann/idmap2_flat.faiss", [], 3000;
    faiss_idmap: "ann-files", "faiss:ann/idmap_flat.faiss", [], 2900;
    faiss_ivf: "ann-files", "faiss:ann/ivfflat.faiss", [], 2995;
    faiss_langchain: "langchain-faiss", "faiss:langchain-faiss", [], 290;
    faiss_sq8: "ann-files", "faiss:ann/sq8.faiss", ["--allow-lossy"], 3000;
    hnswlib_cosine: "ann-files", "hnswlib:ann/hnswlib_cosine.bin", ["-o", "space=cosine"], 2950;
    hnswlib_l2: "ann-files", "hnswlib:ann/hnswlib_l2.bin", ["-o", "space=l2"], 2950;
    milvus_2_3: "milvus-2.3.5-binlogs", "milvus:milvus-2.3.5", ["--collection", "typed", "-o", "schema={home}/milvus-2.3.5.schema.json"], 2717;
    milvus_2_3_bits: "milvus-2.3.5-binlogs", "milvus:milvus-2.3.5", ["--collection", "strpk", "-o", "schema={home}/milvus-2.3.5.schema.json"], 298;
    milvus_lite_2_bits: "milvus-lite-2.5.1", "milvus:milvus-lite-2.5.1.db", ["--collection", "binv"], 290;
    milvus_lite_2_f16: "milvus-lite-2.5.1", "milvus:milvus-lite-2.5.1.db", ["--collection", "f16"], 290;
    milvus_lite_2_typed: "milvus-lite-2.5.1", "milvus:milvus-lite-2.5.1.db", ["--collection", "typed"], 2701;
    milvus_lite_3_sparse: "milvus-lite-3.2.2", "milvus:milvus-lite-3.2.2.db", ["--collection", "sparse"], 290;
    milvus_lite_3_typed: "milvus-lite-3.2.2", "milvus:milvus-lite-3.2.2.db", ["--collection", "typed"], 2701;
    pg_copy_binary: "pgvector-0.8", "pgvector:pg/copy_bin.bin", ["-o", "columns=id:bigint,Emb:vector,h:halfvec,s:sparsevec,b:bit,doc:text,meta:jsonb,tags:text[],f8:float8,ts:timestamptz,raw:bytea,u:uuid,m:text,n:numeric,novec:vector"], 2700;
    pg_copy_text: "pgvector-0.8", "pgvector:pg/copy_text.tsv", ["-o", "columns=id:bigint,Emb:vector,h:halfvec,s:sparsevec,b:bit,doc:text,meta:jsonb,tags:text[],f8:float8,ts:timestamptz,raw:bytea,u:uuid,m:text,n:numeric,novec:vector"], 2700;
    pg_custom: "pgvector-0.8", "pgvector:pg/custom.dump", ["--collection", "app.Docs ,odd"], 2700;
    pg_custom_plain: "pgvector-0.8", "pgvector:pg/custom_z0.dump", ["--collection", "app.Docs ,odd"], 2700;
    pg_directory: "pgvector-0.8", "pgvector:pg/dirfmt", ["--collection", "app.Docs ,odd"], 2700;
    pg_inserts: "pgvector-0.8", "pgvector:pg/inserts.sql", ["--collection", "app.Docs ,odd"], 2700;
    pg_plain: "pgvector-0.8", "pgvector:pg/plain.sql", ["--collection", "app.Docs ,odd"], 2700;
    pg_tar: "pgvector-0.8", "pgvector:pg/tar.dump", ["--collection", "app.Docs ,odd"], 2700;
    qdrant_1_10_crash: "qdrant-1.10-crash_storage", "qdrant:qdrant-1.10.1-crash_storage/crash_storage", ["--collection", "crash"], 1144;
    qdrant_1_10_crash_mem: "qdrant-1.10-crash_storage", "qdrant:qdrant-1.10.1-crash_storage/crash_storage", ["--collection", "crash_mem"], 630;
    qdrant_1_10_mixed: "qdrant-1.10-mixed", "qdrant:qdrant-1.10.1-mixed.snapshot", [], 1571;
    qdrant_1_10_named: "qdrant-1.10-named_mem", "qdrant:qdrant-1.10.1-named_mem.snapshot", [], 934;
    qdrant_1_10_u8: "qdrant-1.10-u8_euclid", "qdrant:qdrant-1.10.1-u8_euclid.snapshot", [], 993;
    qdrant_1_11_race: "qdrant-1.11-hot_race", "qdrant:qdrant-1.11.5-hot_race.snapshot", [], 2970;
    qdrant_1_13: "qdrant-1.13-dense_cos", "qdrant:qdrant-1.13.6-dense_cos.snapshot", [], 2401;
    qdrant_1_13_shard: "qdrant-1.13-dense_cos", "qdrant:qdrant-1.13.6-dense_cos_shard0.snapshot", [], 2401;
    qdrant_1_19_crash: "qdrant-1.19-crash-storage", "qdrant:server119_crash_storage/crash", [], 1387;
    qdrant_1_19_dot: "qdrant-1.19-plain_dot", "qdrant:server119_plain_dot.snapshot", [], 1402;
    qdrant_1_19_mixed: "qdrant-1.19-mixed", "qdrant:server119_mixed.snapshot", [], 1862;
    qdrant_1_19_u8: "qdrant-1.19-u8_euclid", "qdrant:server119_u8_euclid.snapshot", [], 1120;
    redis_7: "redis-7-rdb", "redis:redis/dump.rdb", ["--vector-column", "embedding"], 1999;
    usearch_f16: "ann-files", "usearch:ann/usearch_f16.usearch", [], 2950;
    usearch_f32: "ann-files", "usearch:ann/usearch_f32.usearch", [], 2950;
}

impl Dump {
    fn check(&self) {
        let home = self.home();
        let (provider, inside) = self.inside.split_once(':').expect("a row names its provider");
        let source = locator(provider, &home.join(inside));
        let before = state(&home);
        self.check_inspect(&source);
        self.check_ledger(&source);
        let work = tempfile::tempdir().unwrap();
        let archive = self.check_bytes(&source, work.path());
        let report = self.run(&["verify", &locator("archive", &archive), &source, "--json"], "--option-b").json();
        assert_eq!((&report["equal"], &report["by_fingerprint"]), (&json!(true), &json!(true)));
        assert_eq!(report["b"]["records"], self.records);
        Tranship::run(["verify", archive.to_str().unwrap()]).expect(0);
        assert!(state(&home) == before, "{} was written to", home.display());
    }

    fn home(&self) -> PathBuf {
        let plain = fixtures::path(self.fixture);
        if plain.is_dir() { plain } else { fixtures::shared(self.fixture) }
    }

    /// Runs a verb with the row's flags; `--collection` and `-o` speak of the second source where there are two.
    fn run(&self, arguments: &[&str], option: &str) -> Ran {
        let home = self.home().display().to_string();
        let flags = self.flags.iter().map(|flag| match *flag {
            "-o" => option.to_owned(),
            "--collection" if option == "--option-b" => "--collection-b".to_owned(),
            flag => flag.replace("{home}", &home),
        });
        Tranship::run(arguments.iter().map(|word| (*word).to_owned()).chain(flags)).expect(0)
    }

    /// The answer comes within two seconds and counts no record too few.
    fn check_inspect(&self, source: &str) {
        let start = Instant::now();
        let report = self.run(&["inspect", source, "--json"], "-o").json();
        let taken = start.elapsed();
        assert!(taken < Duration::from_secs(2), "inspect took {taken:?}");
        let records = &only_collection(&report)["records"];
        match records["certainty"].as_str() {
            Some("exact") => assert_eq!(records["count"], self.records),
            Some("up_to") => assert!(records["count"].as_u64() >= Some(self.records), "{records}"),
            _ => assert_eq!(records["certainty"], "unknown"),
        }
    }

    /// raw = live + deleted + superseded, where it is known; nothing is rejected, or the read would have failed.
    fn check_ledger(&self, source: &str) {
        let report = self.run(&["inspect", source, "--full", "--json"], "-o").json();
        let full = &only_collection(&report)["full"];
        let ledger = &full["ledger"];
        let rows = |name: &str| ledger[name].as_u64();
        assert_eq!(rows("live"), Some(self.records));
        let accounted: u64 = ["live", "deleted", "superseded"].iter().filter_map(|name| rows(name)).sum();
        // A format that counts no rows has nothing to add up to.
        assert!(rows("raw").is_none_or(|raw| raw == accounted), "{ledger}");
        assert_eq!(full["fingerprint"]["records"], self.records);
    }

    /// Converts with few and many threads, little and much memory; the bytes must be the same. Gives one archive.
    fn check_bytes(&self, source: &str, work: &Path) -> PathBuf {
        let mut first: Option<(PathBuf, Vec<_>)> = None;
        for (threads, memory) in [("1", "768MiB"), ("4", "768MiB"), ("1", "1GiB"), ("4", "1GiB")] {
            let archive = work.join(format!("{threads}-{memory}.tranship"));
            let target = locator("archive", &archive);
            self.run(&["convert", source, &target, "--threads", threads, "--memory", memory], "-o");
            let files = tree(&archive);
            match &first {
                None => first = Some((archive, files)),
                Some((_, expected)) => {
                    assert!(*expected == files, "other bytes with {threads} threads, {memory}");
                    std::fs::remove_dir_all(&archive).unwrap();
                }
            }
        }
        first.expect("there was a first").0
    }
}

fn only_collection(report: &Value) -> &Value {
    let collections = report["collections"].as_array().expect("a list of collections");
    assert_eq!(collections.len(), 1, "{report:#}");
    &collections[0]
}

/// Every file below `root` with its time and a hash of its bytes, which may be many.
fn state(root: &Path) -> Vec<(PathBuf, SystemTime, u64)> {
    let mut files = Vec::new();
    let mut paths = vec![root.to_owned()];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let mut file = std::fs::File::open(&path).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap();
            let mut hash = Hashing(DefaultHasher::new());
            std::io::copy(&mut file, &mut hash).unwrap();
            files.push((path, modified, hash.0.finish()));
        }
    }
    files.sort();
    files
}

struct Hashing(DefaultHasher);

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
