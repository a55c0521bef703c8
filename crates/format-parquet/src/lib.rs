//! Parquet in and out: our own parts, and foreign files with a vector column.
//!
//! Our parts are plain Parquet that any reader opens, with the collection schema in the key-value metadata
//! ([`encode`]); they come back bit for bit ([`decode`]). Pages of dense vectors are built and read by hand, all others
//! by the Parquet crate. In foreign files the columns of a collection are found by type and name ([`foreign`]), and every
//! other column becomes a metadata key ([`json_value`]).

mod columns;
pub mod decode;
pub mod dialects;
pub mod encode;
mod error;
pub mod foreign;
mod foreign_rows;
mod foreign_sparse;
pub mod json_value;
mod levels;
mod page_header;
pub mod sink;
pub mod source;
mod vector_decode;
mod vector_encode;

use std::path::Path;

use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Count, Coverage, CreateOptions, Known, Locator, OpenOptions, Result,
    Score, Sink, Source,
};
use tranship_storage::InputFile;

pub use decode::{PartBatches, PartFile, RowGroupInfo};
pub use encode::{EncodeOptions, PartEncoder, PartStats, encoder_memory_bytes};
pub use sink::{ParquetSink, count_null_vectors, part_name};
pub use source::ParquetSource;

/// An error met while writing Parquet: the file system's own where it is one.
pub fn write_error(error: parquet::errors::ParquetError) -> tranship_connector::Error {
    error::parquet_error("write", error)
}

/// Parquet files and directories of them.
pub static CONNECTOR: Connector = Connector {
    name: "parquet",
    about: "Parquet files with a vector column, ours and foreign",
    extensions: &["parquet"],
    capabilities: Capabilities {
        reads: "a file or a directory of files; VDF directories, Pinecone exports (a directory per namespace)",
        writes: "a directory of part-00000.parquet ..",
        vectors: "dense of f32, f16, bf16, i8 and u8, sparse, multi and bits, bit for bit; foreign: one column of f32, f16 or exact f64 lists",
        ids: "integers, text; foreign: integer, text or UUID column, else the row number",
        metadata: "any JSON object, verbatim; foreign: other columns as keys",
        several_collections: true,
        bundles: false,
        proven_with: "the parts of archives: DuckDB, polars, pyarrow 15 and newest",
        covers: &[
            Coverage {
                what: "parts of archives and of `parquet:` outputs",
                known: Known::AgainstEngine,
                note: "`tests/all/conformance.rs`",
            },
            Coverage {
                what: "foreign files: lists of f32, f16 or exact f64 and any plain columns",
                known: Known::SheetOnly,
                note: "files of the same Parquet library in `crates/format-parquet/tests/parquet/foreign.rs`",
            },
            Coverage {
                what: "VDF directories of vector-io; Pinecone imports and exports with sparse values and namespaces",
                known: Known::SheetOnly,
                note: "files by pyarrow in the documented layout in `crates/format-parquet/tests/parquet/dialects.rs`",
            },
            Coverage { what: "encrypted files", known: Known::Refused, note: "decrypt them first" },
        ],
    },
    options: &[],
    target_options: &[],
    probe,
    list: Some(list),
    open: Some(open),
    create: Some(create),
};

fn probe(path: &Path) -> Option<Score> {
    if path.is_dir() {
        let files = source::parquet_files(path).ok()?;
        return if files.is_empty() { dialects::probe(path) } else { Some(40) };
    }
    if !path.is_file() {
        return None;
    }
    let mut head = [0; 4];
    let count = InputFile::open(path).and_then(|file| file.read_at(0, &mut head)).ok()?;
    match (&head, count) {
        (b"PAR1" | b"PARE", 4) => Some(90),
        // The name alone, so that a damaged file is called damaged.
        _ => (path.extension()? == "parquet").then_some(20),
    }
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let names = match &options.collection {
        Some(_) => Vec::new(),
        None => dialects::collections(&locator.path)?,
    };
    if names.is_empty() {
        return Ok(vec![info(locator, options)?]);
    }
    let named = |name: &String| OpenOptions { collection: Some(name.clone()), ..options.clone() };
    names.iter().map(|name| info(locator, &named(name))).collect()
}

fn info(locator: &Locator, options: &OpenOptions) -> Result<CollectionInfo> {
    let source = ParquetSource::open(&locator.path, options)?;
    let schema = source.schema().clone();
    let records = Count::Exact(source.rows());
    Ok(CollectionInfo {
        name: schema.name.clone(),
        records,
        schema,
        producer: source.producer().map(str::to_owned),
        notes: Vec::new(),
    })
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    Ok(Box::new(ParquetSource::open(&locator.path, options)?))
}

fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    Ok(Box::new(ParquetSink::new(&locator.path, EncodeOptions { plain: options.plain_encoding })))
}
