//! Index files of usearch.
//!
//! ```text
//! u32 rows | u32 row bytes      or both as u64 ("64-bit dimensions"); neither, nor the matrix, where vectors are left out
//! matrix   rows * row bytes     vector of node i is row i
//! head     64 bytes             see `header`
//! graph    5 x u64              size | connectivity | connectivity of level 0 | highest level | entry
//! levels   i16 * size
//! nodes    size times: u64 key | i16 level | links of level 0 | links of each level above
//! ```
//! All numbers are little-endian. The graph is walked to the end of the file, which proves it, but not read.
//!
//! Invariant: raw = live + deleted: each node is a record, or has the key 2^64 - 1 and was removed. Elements are kept
//! as they are stored; what is stored only approximately, or fits no element type of ours, is refused unless
//! `--allow-lossy`.
//!
//! Errors: damaged, naming file and place; not recognised for files without vectors and for foreign kinds of keys and
//! scalars; loss denied for 8-bit integers and for doubles that no f32 equals.
//! Source: unum-cloud/usearch `include/usearch/{index,index_dense,index_plugins}.hpp`; checked against 2.26.

mod header;
mod nodes;
mod reader;
mod source;

use std::path::Path;

use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Count, Coverage, Known, Locator, OpenOptions, Result, Score, Source,
    SourceOption,
};
use tranship_storage::InputFile;

pub use source::UsearchSource;

/// Index files of usearch.
pub static CONNECTOR: Connector = Connector {
    name: "usearch",
    about: "usearch index file",
    extensions: &["usearch"],
    capabilities: Capabilities {
        reads: "index files of usearch's save, with their vectors",
        writes: "",
        vectors: "dense f32, f16, bf16, bits; f64 where f32 is exact; i8 and u8 with --allow-lossy",
        ids: "integers",
        metadata: "none in the format",
        several_collections: false,
        bundles: false,
        proven_with: "usearch 2.26.6",
        covers: &[
            Coverage {
                what: "f32, f16, bf16, f64, i8 and b1 indexes of usearch 2.26, also with several vectors per key",
                known: Known::AgainstEngine,
                note: "fresh indexes with removals and re-used slots, compared with Index.get",
            },
            Coverage {
                what: "u8 indexes, 64-bit dimensions, u40 slots, usearch 2.0 to 2.25",
                known: Known::SheetOnly,
                note: "files written by the tests",
            },
            Coverage {
                what: "files saved without vectors, 8-bit and 6-bit floats, keys other than u64",
                known: Known::Refused,
                note: "the vectors are elsewhere, or no element type of ours holds them",
            },
        ],
    },
    options: &[SourceOption {
        key: "ids",
        about: "row: number the vectors instead of using their keys, which go into the metadata; for several vectors per key",
    }],
    target_options: &[],
    probe,
    list: Some(list),
    open: Some(open),
    create: None,
};

/// The head stands behind the matrix, where the first two numbers say; a file without vectors begins with it.
fn probe(path: &Path) -> Option<Score> {
    if !path.is_file() {
        return None;
    }
    header::has_magic(&InputFile::open(path).ok()?).then_some(95)
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let source = UsearchSource::open(&locator.path, options)?;
    let schema = source.schema().clone();
    Ok(vec![CollectionInfo {
        name: schema.name.clone(),
        records: Count::Exact(source.live()),
        schema,
        producer: Some(source.producer()),
        notes: source.notes(),
    }])
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    Ok(Box::new(UsearchSource::open(&locator.path, options)?))
}
