//! Redis and Valkey: reads the hashes of an RDB file whose field is a raw vector, as RediSearch indexes them, and writes
//! bundles that `redis-cli --pipe` loads.
//!
//! `dialect` maps element types and versions, `snapshot` reads a file, `bundle` writes commands. RedisJSON documents and vector sets are values
//! of modules: they are skipped, counted and named.

pub mod bundle;
pub mod dialect;
pub mod snapshot;

use std::path::Path;

use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Coverage, Known, Locator, OpenOptions, Result, Score, Source, SourceOption,
};

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "redis",
    about: "Redis or Valkey: dumps (RDB) with vectors in hash fields, bundles (commands for redis-cli --pipe)",
    extensions: &["rdb"],
    capabilities: Capabilities {
        reads: "RDB files of Redis up to 8.10 and Valkey up to 9.1: hashes with a raw vector in a field; bundles \
                written by tranship",
        writes: "bundles: HSET commands and FT.CREATE, or VADD commands (form=vset); load, check and undo scripts",
        vectors: "dense f32, f16, bf16, i8, u8 bit for bit; f64 where f32 holds it exactly; several fields",
        ids: "text: the key, or a field",
        metadata: "fields as text, verbatim; other bytes as {\"$bytes\": base64}",
        several_collections: true,
        bundles: true,
        proven_with: "Redis 6.2 and 7.0, Valkey 9.1",
        covers: COVERS,
    },
    options: OPTIONS,
    target_options: bundle::TARGET_OPTIONS,
    probe,
    list: Some(list),
    open: Some(open),
    create: Some(bundle::create),
};

/// A bundle is a directory of its own kind; everything else is a dump.
fn probe(path: &Path) -> Option<Score> {
    bundle::probe(path).or_else(|| snapshot::probe(path))
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    if is_bundle(locator) { bundle::list(locator, options) } else { snapshot::list(locator, options) }
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    if is_bundle(locator) { bundle::open(locator, options) } else { snapshot::open(locator, options) }
}

fn is_bundle(locator: &Locator) -> bool {
    !locator.is_stream() && tranship_bundle::is_bundle(&locator.path)
}

const COVERS: &[Coverage] = &[
    Coverage {
        what: "bundles of hashes written by tranship",
        known: Known::AgainstEngine,
        note: "loaded by load.sh into redis-server 6.2 and valkey-server 9.1, read back by HGETALL and from the dump",
    },
    Coverage {
        what: "the search index (FT.CREATE) and bundles of vector sets (form=vset, VADD)",
        known: Known::SheetOnly,
        note: "no engine with them was at hand; bundles of vector sets are read back as files only",
    },
    Coverage {
        what: "RDB 10 (Redis 7.0): hash tables, listpacks, LZF",
        known: Known::StoredDump,
        note: "redis-7-rdb, 1,999 vectors bit for bit",
    },
    Coverage {
        what: "RDB 9 (Redis 5 to 6.2): hash tables, ziplists, streams, quicklists, LZF",
        known: Known::AgainstEngine,
        note: "a dump of redis-server 6.2 made by the test",
    },
    Coverage {
        what: "RDB 80 (Valkey 9): hashes with expiring fields",
        known: Known::AgainstEngine,
        note: "a dump of valkey-server 9.1 made by the test",
    },
    Coverage {
        what: "RDB 1 to 8, 11 and 12 (Redis to 4, 7.2 to 8.4): zipmaps, hashes with expiring fields",
        known: Known::SheetOnly,
        note: "after Redis' own loader; files made by hand",
    },
    Coverage {
        what: "RDB 13 to 15 (Redis 8.6 to 8.10): key metadata, hash templates, arrays, newer streams",
        known: Known::SheetOnly,
        note: "after descriptions of the format; files made by hand",
    },
    Coverage {
        what: "RedisJSON documents, vector sets, other modules",
        known: Known::Refused,
        note: "skipped, counted and named",
    },
];

const OPTIONS: &[SourceOption] = &[
    SourceOption {
        key: "element",
        about: "type of the vector's elements: f32 (default), f64, f16, bf16, i8 or u8; f64 must be exactly f32 unless --allow-lossy",
    },
    SourceOption { key: "prefix", about: "only keys that begin so, as in prefix=doc: (default: all keys)" },
    SourceOption {
        key: "strip-prefix",
        about: "true: ids are the keys without the prefix; false (default): the whole keys",
    },
    SourceOption {
        key: "bundle",
        about: "mapping.json of the bundle that was loaded: its keys and fields are read as tranship wrote them, for verify --mapping",
    },
    SourceOption { key: "db", about: "number of the database (default: the one that holds vectors)" },
    SourceOption {
        key: "without-vector",
        about: "keep: hashes without the vector field are records without vector; skip (default): they are left out and counted",
    },
];
