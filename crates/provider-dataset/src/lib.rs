//! Datasets: Parquet in the layouts that people hand vectors around in (Hugging Face, VectorDBBench, VDF).
//!
//! `layout` says how the columns are called, `bundle` writes the directory, `write` and `read` turn records into columns
//! and back, `csv` into text. Files of others in these layouts are read by the connector `parquet`.

pub mod bundle;
mod csv;
pub mod layout;
mod read;
mod write;

use std::path::Path;

use tranship_bundle::BundleSource;
use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Coverage, Known, Locator, OpenOptions, Result, Score, Source, SourceOption,
};

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "dataset",
    about: "Parquet datasets as Hugging Face, VectorDBBench and VDF (vector-io) lay them out",
    extensions: &[],
    capabilities: Capabilities {
        reads: "datasets written by tranship; those of others are read by `parquet`",
        writes: "a directory of Parquet files, with VDF_META.json for VDF, or of CSV files",
        vectors: "dense as list<float> with the same values; sparse, multivectors and bits as columns of their own",
        ids: "integers of 64 bits as int64, text; others as UUIDv5 with the original beside it",
        metadata: "keys of one type as typed columns, all else as JSON text in a column of its own",
        several_collections: false,
        bundles: false,
        proven_with: "DuckDB 2.0.0, polars 2.1.0, pyarrow 26.0.1",
        covers: &[
            Coverage {
                what: "Parquet datasets written by tranship",
                known: Known::AgainstEngine,
                note: "values compared in DuckDB, polars and pyarrow in `tests/dataset/engine.rs`",
            },
            Coverage {
                what: "CSV written by tranship",
                known: Known::AgainstEngine,
                note: "cells compared in Python's csv module and DuckDB in `tests/dataset/csv.rs`",
            },
        ],
    },
    options: &[],
    target_options: &[SourceOption {
        key: "layout",
        about: "hf (default): id, text, embedding; vectordbbench: id (int64), emb; vdf: id (text), vector, VDF_META.json; csv: text instead of Parquet, metadata and vectors as JSON",
    }],
    probe,
    list: Some(list),
    open: Some(open),
    create: Some(bundle::create),
};

fn probe(path: &Path) -> Option<Score> {
    tranship_bundle::probe(path, bundle::RULES.target)
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    tranship_bundle::list(&bundle::FORM, locator, options)
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    Ok(Box::new(BundleSource::open(&bundle::FORM, &locator.path, options)?))
}
