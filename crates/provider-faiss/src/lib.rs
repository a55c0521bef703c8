//! FAISS: reads index files (`faiss.write_index`) and the folders that LangChain saves around them, offline; writes flat
//! indexes with everything else of the records beside them.
//!
//! `dialect` knows FAISS's types and metrics, `snapshot` reads an index file, `langchain` the documents beside it; `bundle` writes.

pub mod bundle;
pub mod dialect;
mod langchain;
pub mod snapshot;

use std::path::Path;

use tranship_bundle::BundleSource;
use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Coverage, Known, Locator, OpenOptions, Result, Score, Source, SourceOption,
};

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "faiss",
    about: "FAISS index file, or LangChain folder (index.faiss and index.pkl)",
    extensions: &["faiss"],
    capabilities: Capabilities {
        reads: "index files of FAISS up to 1.15 that keep vectors; LangChain folders",
        writes: "bundles: IndexFlat or IndexIDMap2 per part, with records.jsonl beside it and load.py",
        vectors: "dense f32, f16, bf16, i8, u8; bits",
        ids: "integers; texts from LangChain",
        metadata: "from LangChain: whatever JSON can say, times, bytes",
        several_collections: true,
        bundles: true,
        proven_with: "faiss-cpu 1.15.1",
        covers: COVERS,
    },
    target_options: &[SourceOption {
        key: "vector",
        about: "the dense vector to index: the unnamed one, else the first, by default; others stay in records.jsonl",
    }],
    options: &[
        SourceOption {
            key: "ids",
            about: "`file`: the ids that the index has (default); `row`: number the rows from 0",
        },
        SourceOption {
            key: "docstore",
            about: "`read`: documents from the .pkl beside the index (default); `ignore`: the index alone",
        },
    ],
    probe,
    list: Some(list),
    open: Some(open),
    create: Some(bundle::create),
};

fn probe(path: &Path) -> Option<Score> {
    match bundle::is_bundle(path) {
        true => tranship_bundle::probe(path, bundle::RULES.target),
        false => snapshot::probe(path),
    }
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    match bundle::is_bundle(&locator.path) {
        true => tranship_bundle::list(&bundle::FORM, locator, options),
        false => snapshot::list(locator, options),
    }
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    match bundle::is_bundle(&locator.path) {
        true => Ok(Box::new(BundleSource::open(&bundle::FORM, &locator.path, options)?)),
        false => snapshot::open(locator, options),
    }
}

const COVERS: &[Coverage] = &[
    Coverage {
        what: "bundles written by tranship",
        known: Known::AgainstEngine,
        note: "every part and what load.py makes of them, opened by faiss-cpu 1.15.1 in `tests/faiss/bundle.rs`",
    },
    Coverage {
        what: "Flat (all metrics), IDMap, IDMap2, HNSWFlat, IVFFlat, pre-transform L2norm, BinaryFlat of 1.15",
        known: Known::AgainstEngine,
        note: "tests/faiss/engine.rs and stored dumps",
    },
    Coverage {
        what: "scalar quantiser fp16, bf16, 8bit_direct, 8bit_direct_signed: flat, HNSW, IVF",
        known: Known::AgainstEngine,
        note: "lists of differences are read as f32, as FAISS reconstructs them",
    },
    Coverage {
        what: "scalar quantiser 8bit, 6bit, 4bit; rotations, OPQ, PCA, centring, ITQ before exact vectors",
        known: Known::AgainstEngine,
        note: "what the index keeps, only with --allow-lossy",
    },
    Coverage {
        what: "refined (IxRF) over flat, NSG, NN-descent, HNSW with Panorama, binary IDMap, IVF and HNSW",
        known: Known::AgainstEngine,
        note: "a base index of product-quantised codes is stepped over",
    },
    Coverage {
        what: "HNSW from CAGRA; IvFl, IvFL, IvSQ, IwSQ of old releases",
        known: Known::SheetOnly,
        note: "written after index_read.cpp of 1.15",
    },
    Coverage {
        what: "LangChain folders of langchain-community of 2026, and of langchain 0.0.80, 0.0.200, 0.0.354, 0.1.20",
        known: Known::StoredDump,
        note: "tests/faiss/langchain.rs",
    },
    Coverage {
        what: "LangChain folders with pickles of protocols 2 to 5, states of plain classes and of slots",
        known: Known::SheetOnly,
        note: "made by Python from classes of the same names: tests/faiss/pickles.rs",
    },
    Coverage {
        what: "PQ, LSH, additive quantisers, RaBitQ, EDEN, TurboQuant, SVS, Panorama, dedup, binary hashes, lists on disk",
        known: Known::Refused,
        note: "by name, with the way out",
    },
];
