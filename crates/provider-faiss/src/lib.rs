//! FAISS: reads index files (`faiss.write_index`) and the folders that LangChain saves around them, offline.
//!
//! `dialect` knows FAISS's types and metrics, `snapshot` reads an index file, `langchain` the documents beside it.

pub mod dialect;
mod langchain;
pub mod snapshot;

use tranship_connector::{Capabilities, Connector, Coverage, Known, SourceOption};

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "faiss",
    about: "FAISS index file, or LangChain folder (index.faiss and index.pkl)",
    extensions: &["faiss"],
    capabilities: Capabilities {
        reads: "index files of FAISS up to 1.15 that keep vectors; LangChain folders",
        writes: "",
        vectors: "dense f32, f16, bf16, i8, u8; bits",
        ids: "integers; texts from LangChain",
        metadata: "from LangChain: whatever JSON can say, times, bytes",
        several_collections: true,
        bundles: false,
        proven_with: "faiss-cpu 1.15.1",
        covers: COVERS,
    },
    target_options: &[],
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
    probe: snapshot::probe,
    list: Some(snapshot::list),
    open: Some(snapshot::open),
    create: None,
};

const COVERS: &[Coverage] = &[
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
