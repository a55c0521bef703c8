//! Arrays of vectors: numpy's `.npy` and `.npz`, `.fvecs` and its kin, `.fbin` and its kin, ann-benchmarks HDF5.
//!
//! A row of a matrix is a record. Its id is the row's number unless `-o ids=` names a file or a member of the
//! archive; metadata and documents come from `-o metadata=`, one JSON object per row. Elements are kept as they are
//! (f4, f2, i1, u1); all other numbers become f32, if each of them is equal to one.
//!
//! | module | what it reads |
//! |---|---|
//! | [`npy`] | the header of an array of numpy |
//! | [`zip`] | the archive of an `.npz` |
//! | [`raw`] | `.fvecs .ivecs .bvecs .fbin .hbin .i8bin .u8bin` |
//! | `hdf5` | ann-benchmarks files (feature `hdf5`) |
//! | [`ids`], [`side`], [`lines`] | what stands beside the matrix |
//!
//! [`bundle`] writes them, with everything else of the records beside the matrix.
//!
//! Invariant: as many ids and lines of metadata as rows, and no byte of a file beyond its rows. Big-endian and
//! column-wise (Fortran) arrays are turned block by block, in bounded memory.

pub mod bundle;
#[cfg(feature = "hdf5")]
pub mod hdf5;
pub mod ids;
pub mod lines;
pub mod matrix;
pub mod npy;
pub mod number;
pub mod open;
pub mod raw;
pub mod reader;
pub mod side;
pub mod source;
pub mod zip;

use std::path::Path;

use tranship_bundle::BundleSource;
use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Count, Coverage, Known, Locator, OpenOptions, Result, Score, Source,
    SourceOption,
};
use tranship_storage::{Blob, Limits};

pub use source::ArraysSource;

use open::Format;

/// Array files.
pub static CONNECTOR: Connector = Connector {
    name: "arrays",
    about: "arrays of vectors: npy, npz, fvecs, bvecs, ivecs, fbin, hbin, u8bin, i8bin, ann-benchmarks HDF5",
    extensions: &["npy", "npz", "fvecs", "bvecs", "ivecs", "fbin", "hbin", "u8bin", "i8bin", "hdf5", "h5"],
    capabilities: Capabilities {
        reads: "array files, a directory of .npy parts; ids and metadata from files beside them",
        writes: "bundles: npy, fvecs, bvecs, fbin, hbin, i8bin or u8bin per part, with records.jsonl beside it and load.py",
        vectors: "dense f32, f16, i8, u8, packed bits; f64 and wider integers where f32 is exact",
        ids: "row numbers, integers, text",
        metadata: "any JSON object, verbatim, from a JSONL file",
        several_collections: true,
        bundles: true,
        proven_with: "numpy 2.4.6, h5py 3.16.0",
        covers: &[
            Coverage {
                what: "bundles written by tranship",
                known: Known::AgainstEngine,
                note: "every form opened by numpy 2.4.6 in `tests/arrays/bundle.rs`",
            },
            Coverage {
                what: ".npy versions 1 to 3: f2, f4, f8, integers, both byte orders, C and Fortran order",
                known: Known::AgainstEngine,
                note: "fresh files by numpy.save",
            },
            Coverage {
                what: ".npz, stored and deflated, ZIP64",
                known: Known::AgainstEngine,
                note: "fresh files by numpy.savez and savez_compressed; checksums are checked",
            },
            Coverage {
                what: ".fvecs, .bvecs, .ivecs, .fbin, .u8bin",
                known: Known::StoredDump,
                note: "stored files, compared with the array that they were made from",
            },
            Coverage { what: ".hbin, .i8bin", known: Known::SheetOnly, note: "files written by the tests" },
            Coverage {
                what: "ann-benchmarks HDF5, dense (feature `hdf5`)",
                known: Known::AgainstEngine,
                note: "fresh files by h5py, contiguous and chunked; sparse ones are refused",
            },
            Coverage {
                what: "arrays of Python objects, structured arrays, one or three dimensions, .ibin",
                known: Known::Refused,
                note: "no matrix of numbers",
            },
        ],
    },
    options: &[
        SourceOption {
            key: "ids",
            about: "ids of the rows: an .npy of integers or texts, a member of the .npz, a .jsonl with {\"id\": ..} per line, \
                    or a text file with one id per line; by default the row numbers",
        },
        SourceOption {
            key: "metadata",
            about: "a JSONL file with one object per row: {\"id\"?, \"metadata\"?, \"document\"?}, or any object, which is \
                    the metadata then",
        },
        SourceOption { key: "dataset", about: "the dataset of an HDF5 file, `train` by default" },
        SourceOption { key: "bits", about: "yes: the bytes of a u1 array are packed bits, the most significant first" },
        SourceOption {
            key: "format",
            about: "npy, npz, fvecs, ivecs, bvecs, fbin, hbin, i8bin, u8bin or hdf5, where the extension does not tell",
        },
    ],
    target_options: &[
        SourceOption { key: "form", about: "npy (default), fvecs, bvecs, fbin, hbin, i8bin or u8bin" },
        SourceOption {
            key: "vector",
            about: "the dense vector of the array: the unnamed one, else the first, by default; others stay in \
                    records.jsonl",
        },
    ],
    probe,
    list: Some(list),
    open: Some(open),
    create: Some(bundle::create),
};

/// Magic where there is one, else extension and sizes that fit each other.
fn probe(path: &Path) -> Option<Score> {
    if bundle::is_bundle(path) {
        return tranship_bundle::probe(path, bundle::RULES.target);
    }
    let limits = Limits::default();
    match Format::of(path)? {
        Format::Npy => Some(95),
        Format::Npz => Some(90),
        Format::Hdf5 => Some(60),
        Format::Directory => Some(40),
        Format::Vecs(number) => Some(raw::vecs(Blob::of_path(path).ok()?, number, &limits).map_or(30, |_| 85)),
        Format::Bin(number) => Some(raw::bin(Blob::of_path(path).ok()?, number, &limits).map_or(30, |_| 85)),
    }
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    if bundle::is_bundle(&locator.path) {
        return tranship_bundle::list(&bundle::FORM, locator, options);
    }
    let names = match &options.collection {
        Some(_) => Vec::new(),
        None => open::names(&locator.path, options)?,
    };
    if names.is_empty() {
        return Ok(vec![info(locator, options)?]);
    }
    let named = |name: &String| OpenOptions { collection: Some(name.clone()), ..options.clone() };
    names.iter().map(|name| info(locator, &named(name))).collect()
}

fn info(locator: &Locator, options: &OpenOptions) -> Result<CollectionInfo> {
    let source = ArraysSource::open(&locator.path, options)?;
    let schema = source.schema().clone();
    Ok(CollectionInfo {
        name: schema.name.clone(),
        records: Count::Exact(source.rows()),
        schema,
        producer: None,
        notes: source.notes().to_vec(),
    })
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    if bundle::is_bundle(&locator.path) {
        return Ok(Box::new(BundleSource::open(&bundle::FORM, &locator.path, options)?));
    }
    Ok(Box::new(ArraysSource::open(&locator.path, options)?))
}
