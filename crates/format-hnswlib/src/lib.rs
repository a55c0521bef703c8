//! Files of hnswlib: the plain `index.bin` and Chroma's split form (`header.bin`, `data_level0.bin`, `length.bin`).
//!
//! Invariant: a [`VectorFile`] exists only for a header whose fields agree with each other, with the limits and with
//! the length of the data file, so that every record number below `cur_count` lies inside the file.
//!
//! ```text
//! record i at base + i * record_size:
//!   +0            u16 number of links
//!   +2            u8 flags, bit 0 = deleted
//!   +3            u8 unused
//!   +4            u32 links[maxM0]
//!   +data_offset  f32 vector[dim]        data_offset = 4 + 4 * maxM0
//!   +label_offset u64 label              label_offset = data_offset + 4 * dim, record_size = label_offset + 8
//! ```
//! All numbers are little-endian; offsets and sizes are bytes; records are counted from 0. Record order is not label
//! order. The element type is not stored: vectors are taken for f32, which is all that hnswlib's Python binding makes.
//! The upper levels of the graph are followed to the end of `index.bin`, which proves the file; [`StoredGraph`] reads them.
//!
//! Errors: damaged, naming file and field; limit for dims beyond `Limits::max_dim`.
//! Source: nmslib/hnswlib `hnswalg.h` (saveIndex), chroma-core/hnswlib commit 6868102 (persistDirty).

mod graph;
mod header;
mod links;
mod source;
mod vectors;

use std::path::Path;

use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Count, Coverage, Known, Locator, OpenOptions, Result, Score, Source,
    SourceOption,
};
use tranship_storage::{InputFile, Limits};

pub use graph::StoredGraph;
pub use header::HnswHeader;
pub use source::HnswlibSource;
pub use vectors::{Record, VectorFile};

/// The plain `index.bin`. Chroma's split form is read through its own connector.
pub static CONNECTOR: Connector = Connector {
    name: "hnswlib",
    about: "hnswlib index.bin",
    extensions: &["bin", "hnsw", "index"],
    capabilities: Capabilities {
        reads: "index files of hnswlib's save_index",
        writes: "",
        vectors: "dense f32; unit length under cosine, as hnswlib stores them",
        ids: "integers",
        metadata: "none in the format",
        several_collections: false,
        bundles: false,
        proven_with: "hnswlib 0.8.0",
        covers: &[Coverage {
            what: "index.bin of float spaces (l2, ip, cosine), hnswlib 0.8",
            known: Known::AgainstEngine,
            note: "fresh indexes with deletions and replaced elements, compared with get_items",
        }],
    },
    options: &[SourceOption {
        key: "space",
        about: "cosine, l2 or ip: the space the index was made with, which its file does not name",
    }],
    target_options: &[],
    probe,
    list: Some(list),
    open: Some(open),
    create: None,
};

/// There is no magic: the header must agree with itself and the links behind the records must lie where it says.
fn probe(path: &Path) -> Option<Score> {
    if !path.is_file() {
        return None;
    }
    let file = VectorFile::open_plain(InputFile::open(path).ok()?, &Limits::default()).ok()?;
    file.check_links(source::SAMPLE_RECORDS).ok()?;
    let named = path.extension().is_some_and(|own| CONNECTOR.extensions.iter().any(|known| own == *known));
    Some(if named { 70 } else { 60 })
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let source = HnswlibSource::open(&locator.path, options)?;
    let schema = source.schema().clone();
    Ok(vec![CollectionInfo {
        name: schema.name.clone(),
        // Deletions are marked record by record, so only reading tells.
        records: Count::UpTo(source.records()),
        schema,
        producer: Some("hnswlib (the file does not name its version)".to_owned()),
        notes: source.notes(),
    }])
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    Ok(Box::new(HnswlibSource::open(&locator.path, options)?))
}
