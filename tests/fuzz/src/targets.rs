//! What is fuzzed: one entry per reader, and the one way that all of them go.
//!
//! An input is either the file itself, or a list of patches to a stored dump, for formats of many or of large files:
//!
//! ```text
//! patch = u8 file | u8 kind | u32 offset | u8 length | length bytes       little-endian; file and offset wrap around
//! kind  = 0 overwrite | 1 cut the file there | 2 insert | 3 take `length` bytes out | 4 remove the file
//! ```
//!
//! Whatever the input is, reading must end in an error, in rejects or in records: a panic, an allocation beyond the
//! fuzzer's limit, a batch of the wrong layout, or metadata that has no digest is a finding.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tranship_connector::OpenOptions;
use tranship_testkit::{fixtures, reading};
use tranship_toolkit::{open, providers};

/// Bytes that `prepare` may use: little, so that spilling is reached.
const MEMORY: u64 = 16 << 20;
/// Collections of one input that are read.
const COLLECTIONS: usize = 4;

/// One reader under test.
pub struct Target {
    /// Name of its corpus.
    pub name: &'static str,
    /// The connector.
    pub provider: &'static str,
    /// What the input stands for.
    pub input: Input,
    /// Options of the connector; `{dir}` is where the files lie. `id_column` and `vector_column` are the general ones.
    pub options: &'static [(&'static str, &'static str)],
}

/// What an input stands for.
pub enum Input {
    /// The bytes of the file that is called so.
    File(&'static str),
    /// Patches to these files and directories of a fixture; the first of them is opened.
    Patches(&'static str, &'static [&'static str]),
}

use Input::{File, Patches};

/// The columns of the table in the stored COPY files.
const PG_COLUMNS: &str = "id:bigint,Emb:vector,h:halfvec,s:sparsevec,b:bit,doc:text,meta:jsonb,tags:text[],\
    f8:float8,ts:timestamptz,raw:bytea,u:uuid,m:text,n:numeric,novec:vector";

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "jsonl", provider: "jsonl", input: File("in.jsonl"), options: &[] },
    Target { name: "parquet", provider: "parquet", input: File("in.parquet"), options: &[] },
    Target {
        name: "chroma",
        provider: "chroma",
        input: Patches("chroma-small-1.0.0", &["chroma-small-1.0.0"]),
        options: &[],
    },
    Target { name: "qdrant_pages", provider: "qdrant", input: File("scroll-00001.json"), options: &[] },
    Target { name: "npy", provider: "arrays", input: File("in.npy"), options: &[] },
    Target { name: "npz", provider: "arrays", input: File("in.npz"), options: &[("ids", "ids")] },
    Target { name: "fvecs", provider: "arrays", input: File("in.fvecs"), options: &[] },
    Target { name: "bvecs", provider: "arrays", input: File("in.bvecs"), options: &[] },
    Target { name: "fbin", provider: "arrays", input: File("in.fbin"), options: &[] },
    Target { name: "hnswlib", provider: "hnswlib", input: File("in.bin"), options: &[("space", "l2")] },
    Target {
        name: "usearch",
        provider: "usearch",
        input: Patches("ann-files", &["ann/usearch_f16.usearch"]),
        options: &[],
    },
    Target { name: "faiss", provider: "faiss", input: File("in.faiss"), options: &[] },
    Target {
        name: "faiss_hnsw",
        provider: "faiss",
        input: Patches("ann-files", &["ann/hnsw_flat.faiss"]),
        options: &[],
    },
    Target { name: "faiss_ivf", provider: "faiss", input: Patches("ann-files", &["ann/ivfflat.faiss"]), options: &[] },
    Target {
        name: "langchain_pickle",
        provider: "faiss",
        input: Patches("langchain-faiss", &["langchain-faiss"]),
        options: &[],
    },
    Target {
        name: "milvus_binlogs",
        provider: "milvus",
        input: Patches("milvus-2.3.5-binlogs", &["milvus-2.3.5", "milvus-2.3.5.schema.json"]),
        options: &[("schema", "{dir}/milvus-2.3.5.schema.json")],
    },
    Target {
        name: "qdrant_snapshot",
        provider: "qdrant",
        input: Patches("qdrant-1.19-u8_euclid", &["server119_u8_euclid.snapshot"]),
        options: &[],
    },
    Target {
        name: "qdrant_storage",
        provider: "qdrant",
        input: Patches("qdrant-1.19-crash-storage", &["server119_crash_storage/crash"]),
        options: &[],
    },
    Target { name: "pg_plain", provider: "pgvector", input: File("in.sql"), options: &[] },
    Target { name: "pg_copy_text", provider: "pgvector", input: File("in.tsv"), options: &[("columns", PG_COLUMNS)] },
    Target { name: "pg_copy_binary", provider: "pgvector", input: File("in.bin"), options: &[("columns", PG_COLUMNS)] },
    Target {
        name: "pg_custom",
        provider: "pgvector",
        input: Patches("pgvector-0.8", &["pg/custom.dump"]),
        options: &[],
    },
    Target {
        name: "pg_custom_plain",
        provider: "pgvector",
        input: Patches("pgvector-0.8", &["pg/custom_z0.dump"]),
        options: &[],
    },
    Target { name: "tar", provider: "pgvector", input: Patches("pgvector-0.8", &["pg/tar.dump"]), options: &[] },
    Target {
        name: "rocksdb",
        provider: "qdrant",
        input: Patches("qdrant-1.10-u8_euclid", &["qdrant-1.10.1-u8_euclid.snapshot"]),
        options: &[],
    },
    Target {
        name: "milvus_lite2",
        provider: "milvus",
        input: Patches("milvus-lite-2.5.1", &["milvus-lite-2.5.1.db"]),
        options: &[],
    },
    Target {
        name: "milvus_lite3",
        provider: "milvus",
        input: Patches("milvus-lite-3.2.2", &["milvus-lite-3.2.2.db"]),
        options: &[],
    },
    Target { name: "rdb", provider: "redis", input: File("dump.rdb"), options: &[("vector_column", "embedding")] },
    Target {
        name: "rdb_dump",
        provider: "redis",
        input: Patches("redis-7-rdb", &["redis/dump.rdb"]),
        options: &[("vector_column", "embedding")],
    },
];

/// A target with its files in place.
pub struct Harness {
    target: &'static Target,
    dir: TempDir,
    /// The files of the fixture, relative to `dir`, sorted.
    base: Vec<(PathBuf, Vec<u8>)>,
}

impl Harness {
    /// Puts the files of `target` into a directory of its own.
    pub fn new(target: &'static Target) -> Self {
        let dir = tempfile::tempdir().expect("a directory of its own");
        let mut base = Vec::new();
        if let Patches(fixture, files) = &target.input {
            let home = fixtures::shared(fixture);
            files.iter().for_each(|file| collect(&home, &home.join(file), &mut base));
            base.sort();
            base.iter().for_each(|(path, bytes)| put(&dir.path().join(path), bytes));
        }
        Harness { target, dir, base }
    }

    /// Reads what `input` stands for.
    pub fn read(&self, input: &[u8]) {
        let dir = self.dir.path();
        match self.target.input {
            File(name) => {
                put(&dir.join(name), input);
                self.read_at(&dir.join(name));
            }
            Patches(_, files) => {
                let touched = self.patch(input);
                self.read_at(&dir.join(files[0]));
                touched.into_iter().for_each(|file| put(&dir.join(&self.base[file].0), &self.base[file].1));
            }
        }
    }

    fn read_at(&self, path: &Path) {
        providers::registry().connectors.iter().for_each(|connector| {
            let _score = (connector.probe)(path);
        });
        let locator = format!("{}:{}", self.target.provider, path.display());
        let options = self.options();
        let names: Vec<Option<String>> = match open::list(&locator, &options) {
            Ok((_, found)) => found.into_iter().take(COLLECTIONS).map(|info| Some(info.name)).collect(),
            Err(_) => vec![None],
        };
        for collection in names {
            let options = OpenOptions { collection, ..options.clone() };
            let _outcome =
                open::source(&locator, &options).and_then(|opened| reading::read_within(&*opened.source, MEMORY));
        }
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions { allow_inconsistent: true, allow_lossy: true, ..OpenOptions::default() };
        for (key, value) in self.target.options {
            let value = value.replace("{dir}", &self.dir.path().display().to_string());
            match *key {
                "id_column" => options.id_column = Some(value),
                "vector_column" => options.vector_column = Some(value),
                key => {
                    options.options.insert(key.to_owned(), value);
                }
            }
        }
        options
    }

    /// Applies the patches; gives the positions of the files that are not what they were.
    fn patch(&self, mut input: &[u8]) -> Vec<usize> {
        let mut patched: Vec<(usize, Option<Vec<u8>>)> = Vec::new();
        while let Some(([file, kind, a, b, c, d, length], rest)) = input.split_first_chunk::<7>() {
            let (bytes, rest) = rest.split_at(usize::from(*length).min(rest.len()));
            input = rest;
            let file = usize::from(*file) % self.base.len();
            let place = patched.iter().position(|(other, _)| *other == file).unwrap_or_else(|| {
                patched.push((file, Some(self.base[file].1.clone())));
                patched.len() - 1
            });
            let offset = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            let contents = &mut patched[place].1;
            match (kind % 5, &mut *contents) {
                (4, _) => *contents = None,
                (kind, Some(contents)) => change(contents, kind, offset, usize::from(*length), bytes),
                (_, None) => {}
            }
        }
        for (file, contents) in &patched {
            let path = self.dir.path().join(&self.base[*file].0);
            match contents {
                Some(contents) => put(&path, contents),
                None => std::fs::remove_file(&path).expect("a file of its own can be removed"),
            }
        }
        patched.into_iter().map(|(file, _)| file).collect()
    }
}

fn change(contents: &mut Vec<u8>, kind: u8, offset: usize, length: usize, bytes: &[u8]) {
    let start = offset % (contents.len() + 1);
    let end = |length: usize| (start + length).min(contents.len());
    match kind {
        0 => {
            let end = end(bytes.len());
            contents.splice(start..end, bytes.iter().copied());
        }
        1 => contents.truncate(start),
        2 => {
            contents.splice(start..start, bytes.iter().copied());
        }
        _ => {
            let end = end(length);
            contents.drain(start..end);
        }
    }
}

fn collect(home: &Path, path: &Path, base: &mut Vec<(PathBuf, Vec<u8>)>) {
    if !path.is_dir() {
        let name = path.strip_prefix(home).expect("below the fixture").to_owned();
        return base.push((name, std::fs::read(path).expect("a fixture can be read")));
    }
    for entry in std::fs::read_dir(path).expect("a fixture can be listed") {
        collect(home, &entry.expect("a fixture can be listed").path(), base);
    }
}

fn put(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("a directory of its own");
    std::fs::write(path, bytes).expect("a file of its own can be written");
}
