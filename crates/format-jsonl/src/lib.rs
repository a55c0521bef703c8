//! Generic JSON lines, in and out: one object per line, plain or as `.gz` or `.zst`, also from and to a pipe.
//!
//! ```text
//! {"id": 7 | "a", "namespace"?: "n", "vector": [..], "metadata"?: {..}, "document"?: ".."}
//! {"id": .., "vectors": {"dense": [..], "sparse": {"indices": [..], "values": [..]}, "multi": [[..], ..]}, ..}
//! ```
//!
//! Exports and pages of vendors are read through [`dialect`], which brings them into this form.
//!
//! Invariant: a record that is written and read back has the same vector bits, ids, texts and metadata text. Numbers
//! in vectors are read to the nearest `f32` and written as the shortest decimal that reads back.

pub mod decode;
pub mod dialect;
pub mod encode;
pub mod infer;
pub mod line;
pub mod record;
pub mod sink;
pub mod source;
pub mod split;

use std::io::Read;
use std::path::Path;

use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Count, Coverage, CreateOptions, Known, Locator, OpenOptions, Result,
    Score, Sink, Source, SourceOption,
};
use tranship_storage::open_stream;

pub use decode::RecordDecoder;
pub use encode::RowEncoder;
pub use record::Keys;
pub use sink::JsonlSink;
pub use source::JsonlSource;

/// Generic JSON lines.
pub static CONNECTOR: Connector = Connector {
    name: "jsonl",
    about: "JSON lines: id, vector or vectors, metadata, document",
    extensions: &["jsonl", "ndjson", "jsonl.gz", "jsonl.zst", "ndjson.gz", "ndjson.zst", "bson", "bson.gz", "bson.zst"],
    capabilities: Capabilities {
        reads: "files, .gz, .zst, standard input; exports of Elasticsearch, Vespa, Typesense, MongoDB, turbopuffer, Azure, \
                Pinecone, Weaviate",
        writes: "files, .gz, .zst, standard output",
        vectors: "f32 dense, named, sparse, multi, bits; other elements as f32 with the same values",
        ids: "integers of any size, text",
        metadata: "any JSON object, verbatim",
        several_collections: false,
        bundles: false,
        proven_with: "serde_json",
        covers: &[
            Coverage {
                what: "one JSON object per line, plain, .gz or .zst",
                known: Known::AgainstEngine,
                note: "values compared with serde_json's in `crates/format-jsonl/tests`",
            },
            Coverage {
                what: "other keys, by --id-column, --vector-column and --document-column",
                known: Known::AgainstEngine,
                note: "`crates/format-jsonl/tests`",
            },
            Coverage {
                what: "elasticdump, _bulk, vespa visit, Typesense, mongoexport, mongodump (.bson), turbopuffer, Azure, Pinecone and Weaviate",
                known: Known::SheetOnly,
                note: "written after the vendors' documentation; `crates/format-jsonl/tests/jsonl/dialects.rs`",
            },
        ],
    },
    options: &[SourceOption {
        key: "dialect",
        about: "how an export of others is read: elasticdump, bulk, vespa, typesense, mongoexport, mongodump, turbopuffer, azure, \
                pinecone or weaviate; by default told from the first record (typesense and rows of turbopuffer are not); \
                none for generic lines",
    }],
    target_options: &[],
    probe,
    list: Some(list),
    open: Some(open),
    create: Some(create),
};

fn probe(path: &Path) -> Option<Score> {
    if path == Path::new("-") {
        return Some(50);
    }
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let named = CONNECTOR.extensions.iter().any(|extension| name.ends_with(&format!(".{extension}")));
    if !path.is_file() {
        return None;
    }
    match (first_character(path), named) {
        (_, true) if is_bson(path) => Some(80),
        (Some(b'{'), true) => Some(80),
        (_, true) => Some(30),
        (Some(b'{'), false) => Some(10),
        _ => None,
    }
}

/// The first character that is neither white space nor a byte order mark.
fn first_character(path: &Path) -> Option<u8> {
    let mut head = Vec::with_capacity(256);
    open_stream(path).ok()?.take(256).read_to_end(&mut head).ok()?;
    line::without_bom(&head).iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

fn is_bson(path: &Path) -> bool {
    let mut head = Vec::with_capacity(256);
    let read = open_stream(path).map(|stream| stream.take(256).read_to_end(&mut head));
    matches!(read, Ok(Ok(_))) && dialect::is_bson(&head)
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let source = JsonlSource::open(&locator.path, options)?;
    let schema = source.schema().clone();
    Ok(vec![CollectionInfo {
        name: schema.name.clone(),
        records: Count::Unknown,
        schema,
        producer: None,
        notes: Vec::new(),
    }])
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    Ok(Box::new(JsonlSource::open(&locator.path, options)?))
}

fn create(locator: &Locator, _options: &CreateOptions) -> Result<Box<dyn Sink>> {
    Ok(Box::new(JsonlSink::new(&locator.path)))
}
