//! FAISS's names and numbers in tranship's vocabulary.
//!
//! An index type is four ASCII letters at the start of the index (a fourcc); there is no version besides. What is not
//! read is known by its letters all the same, so that the refusal can say what it is and what to do.
//!
//! Source: facebookresearch/faiss 1.15 (`impl/index_read.cpp`, `MetricType.h`, `impl/ScalarQuantizer.h`).

use tranship_collection::{Element, Metric};
use tranship_connector::rules::{Chars, TextIds};
use tranship_connector::{Error, Result};

/// Four letters that name an index type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fourcc(pub [u8; 4]);

/// What can be done with an index type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Its structure is known; whether its vectors are exact is seen when it is opened.
    Known,
    /// It keeps codes from which the vectors cannot be told.
    Lossy,
    /// It keeps the vectors, in a layout that is not read.
    Foreign,
    /// It is no index of vectors.
    NoVectors,
}

/// Every index type of FAISS 1.15 and of the releases before it.
#[rustfmt::skip]
const TYPES: &[(&str, Reading, &str)] = &[
    ("IxF2", Reading::Known, "flat, L2"),
    ("IxFI", Reading::Known, "flat, inner product"),
    ("IxFl", Reading::Known, "flat"),
    ("IxSQ", Reading::Known, "scalar quantiser"),
    ("IxMp", Reading::Known, "id map"),
    ("IxM2", Reading::Known, "id map with reverse map"),
    ("IHNf", Reading::Known, "HNSW over flat vectors"),
    ("IHNs", Reading::Known, "HNSW over scalar-quantised vectors"),
    ("IHNp", Reading::Known, "HNSW over product-quantised vectors"),
    ("IHN2", Reading::Known, "HNSW over two-level codes"),
    ("IHNc", Reading::Known, "HNSW from CAGRA, before numeric types"),
    ("IHc2", Reading::Known, "HNSW from CAGRA"),
    ("IHfP", Reading::Known, "HNSW with Panorama over flat vectors"),
    ("IH00", Reading::Known, "HNSW over another index"),
    ("INSf", Reading::Known, "NSG over flat vectors"),
    ("INSs", Reading::Known, "NSG over scalar-quantised vectors"),
    ("INSp", Reading::Known, "NSG over product-quantised vectors"),
    ("INNf", Reading::Known, "NN-descent over flat vectors"),
    ("IwFl", Reading::Known, "inverted lists of flat vectors"),
    ("IvFL", Reading::Known, "inverted lists of flat vectors, old"),
    ("IvFl", Reading::Known, "inverted lists of flat vectors, oldest"),
    ("IwSq", Reading::Known, "inverted lists of scalar-quantised vectors"),
    ("IwSQ", Reading::Known, "inverted lists of scalar-quantised vectors, old"),
    ("IvSQ", Reading::Known, "inverted lists of scalar-quantised vectors, oldest"),
    ("IwPQ", Reading::Known, "inverted lists of product-quantised vectors"),
    ("IwQR", Reading::Known, "inverted lists of product-quantised vectors, refined"),
    ("IwPf", Reading::Known, "inverted lists of product-quantised vectors for fast scan"),
    ("IxPQ", Reading::Known, "product quantiser, old"),
    ("IxPo", Reading::Known, "product quantiser, polysemous, old"),
    ("IxPq", Reading::Known, "product quantiser"),
    ("IPfs", Reading::Known, "product quantiser for fast scan"),
    ("Imiq", Reading::Known, "multi-index quantiser"),
    ("IxPT", Reading::Known, "transformed before it is stored"),
    ("IxRF", Reading::Known, "refined by a second index"),
    ("IBxF", Reading::Known, "binary flat"),
    ("IBMp", Reading::Known, "binary id map"),
    ("IBM2", Reading::Known, "binary id map with reverse map"),
    ("IBwF", Reading::Known, "binary inverted lists"),
    ("IBHf", Reading::Known, "binary HNSW"),
    ("IBHc", Reading::Known, "binary HNSW from CAGRA"),
    ("IxHE", Reading::Lossy, "LSH, old"),
    ("IxHe", Reading::Lossy, "LSH"),
    ("IvPQ", Reading::Lossy, "inverted lists of product-quantised vectors, old"),
    ("IvQR", Reading::Lossy, "inverted lists of product-quantised vectors, refined, old"),
    ("Ix2L", Reading::Lossy, "two-level codes"),
    ("IxRQ", Reading::Lossy, "residual quantiser, old"),
    ("IxRq", Reading::Lossy, "residual quantiser"),
    ("IxLS", Reading::Lossy, "local search quantiser"),
    ("IxPR", Reading::Lossy, "product residual quantiser"),
    ("IxPL", Reading::Lossy, "product local search quantiser"),
    ("ILfs", Reading::Lossy, "local search quantiser for fast scan"),
    ("IRfs", Reading::Lossy, "residual quantiser for fast scan"),
    ("IPRf", Reading::Lossy, "product residual quantiser for fast scan"),
    ("IPLf", Reading::Lossy, "product local search quantiser for fast scan"),
    ("IVLf", Reading::Lossy, "inverted lists of local search codes for fast scan"),
    ("IVRf", Reading::Lossy, "inverted lists of residual codes for fast scan"),
    ("NPLf", Reading::Lossy, "inverted lists of product local search codes for fast scan"),
    ("NPRf", Reading::Lossy, "inverted lists of product residual codes for fast scan"),
    ("IwLS", Reading::Lossy, "inverted lists of local search codes"),
    ("IwRQ", Reading::Lossy, "inverted lists of residual codes"),
    ("IwPL", Reading::Lossy, "inverted lists of product local search codes"),
    ("IwPR", Reading::Lossy, "inverted lists of product residual codes"),
    ("IwSh", Reading::Lossy, "inverted lists of spectral hashes"),
    ("IwIQ", Reading::Lossy, "inverted lists with an independent quantiser"),
    ("IRMf", Reading::Lossy, "row-wise minimum and maximum"),
    ("IRMh", Reading::Lossy, "row-wise minimum and maximum, fp16"),
    ("IxEd", Reading::Lossy, "EDEN codes, old"),
    ("IxEe", Reading::Lossy, "EDEN codes"),
    ("IwEd", Reading::Lossy, "inverted lists of EDEN codes, old"),
    ("IwEe", Reading::Lossy, "inverted lists of EDEN codes"),
    ("Ixrq", Reading::Lossy, "RaBitQ codes, old"),
    ("Ixrr", Reading::Lossy, "RaBitQ codes"),
    ("Iwrq", Reading::Lossy, "inverted lists of RaBitQ codes, old"),
    ("Iwrr", Reading::Lossy, "inverted lists of RaBitQ codes"),
    ("Irfs", Reading::Lossy, "RaBitQ codes for fast scan, old"),
    ("Irfn", Reading::Lossy, "RaBitQ codes for fast scan"),
    ("Iwrf", Reading::Lossy, "inverted lists of RaBitQ codes for fast scan, old"),
    ("Iwrn", Reading::Lossy, "inverted lists of RaBitQ codes for fast scan"),
    ("ILVQ", Reading::Lossy, "Intel SVS Vamana with LVQ"),
    ("ISVL", Reading::Lossy, "Intel SVS Vamana with LeanVec"),
    ("ISVD", Reading::Lossy, "Intel SVS Vamana, old"),
    ("ISV2", Reading::Lossy, "Intel SVS Vamana"),
    ("ISIQ", Reading::Lossy, "Intel SVS IVF with LVQ"),
    ("ISIL", Reading::Lossy, "Intel SVS IVF with LeanVec"),
    ("IBHh", Reading::Foreign, "binary hash"),
    ("IBHm", Reading::Foreign, "binary multi-hash"),
    ("IBFf", Reading::Foreign, "binary vectors kept as floats"),
    ("ISVF", Reading::Foreign, "Intel SVS flat"),
    ("ISID", Reading::Foreign, "Intel SVS IVF"),
    ("IxFP", Reading::Foreign, "flat with Panorama, L2"),
    ("IxFp", Reading::Foreign, "flat with Panorama, inner product"),
    ("IxRP", Reading::Foreign, "refined by a Panorama index"),
    ("IwPn", Reading::Foreign, "inverted lists with Panorama, old"),
    ("IwP2", Reading::Foreign, "inverted lists with Panorama"),
    ("IwFd", Reading::Foreign, "inverted lists without duplicates"),
    ("ImRQ", Reading::NoVectors, "residual coarse quantiser"),
    ("IxLa", Reading::NoVectors, "lattice codec"),
    ("null", Reading::NoVectors, "no index"),
];

impl Fourcc {
    /// What it stands for and what can be done with it; `None` if FAISS has no such type.
    pub fn meaning(self) -> Option<(Reading, &'static str)> {
        let found = TYPES.iter().find(|(letters, ..)| letters.as_bytes() == self.0)?;
        Some((found.1, found.2))
    }

    /// True for an index of bit vectors.
    pub fn is_binary(self) -> bool {
        self.0.starts_with(b"IB")
    }

    /// The letters with what they mean.
    pub fn shown(self) -> String {
        match self.meaning() {
            Some((_, meaning)) => format!("{self} ({meaning})"),
            None => self.to_string(),
        }
    }

    /// Why an index of this type is not read, and the way out.
    pub fn refusal(self) -> Error {
        let Some((reading, _)) = self.meaning() else {
            return Error::not_recognised(format!("`{self}` is no index type of FAISS up to 1.15"))
                .hint("write the vectors into an IndexFlat with the FAISS that wrote this file, and read that");
        };
        let shown = self.shown();
        match reading {
            Reading::Known | Reading::Lossy => Error::not_recognised(format!(
                "an index of type {shown} keeps codes from which the vectors cannot be told"
            ))
            .hint(
                "take the vectors from where they were added; if approximations will do, write \
                 index.reconstruct_n(0, index.ntotal) with numpy.save and read that",
            ),
            Reading::Foreign => Error::not_recognised(format!("an index of type {shown} is not read")).hint(
                "copy it with FAISS: flat = faiss.IndexFlat(index.d, index.metric_type); \
                 flat.add(index.reconstruct_n(0, index.ntotal)); faiss.write_index(flat, \"flat.faiss\")",
            ),
            Reading::NoVectors => Error::not_recognised(format!("an index of type {shown} holds no vectors"))
                .hint("give the file of the index that was searched"),
        }
    }
}

impl std::fmt::Display for Fourcc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl std::fmt::Debug for Fourcc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// `METRIC_INNER_PRODUCT`.
pub const INNER_PRODUCT: i32 = 0;
/// `METRIC_L2`, whose distances are squared.
pub const L2: i32 = 1;
/// `METRIC_L1`.
pub const L1: i32 = 2;
/// Most dimensions of an index that we write: what our own limits read.
pub const MAX_DIM: usize = 65_536;
/// `M` of a graph, where the source has no settings.
pub const HNSW_M: u32 = 32;
/// `efConstruction` of a graph, where the source has no settings.
pub const HNSW_EF_CONSTRUCTION: u32 = 40;
/// Any text: ids stand in a side file.
pub const ANY_TEXT: TextIds = TextIds::Text { max_bytes: usize::MAX, max_chars: usize::MAX, chars: Chars::Any };

/// The number of the metric that a float index compares by; cosine is the inner product of unit vectors.
pub fn metric_number(metric: Metric) -> Option<i32> {
    match metric {
        Metric::Dot | Metric::Cosine => Some(INNER_PRODUCT),
        Metric::L2 => Some(L2),
        Metric::L1 => Some(L1),
        Metric::Hamming | Metric::Jaccard => None,
    }
}

/// A metric by its number: its FAISS name, and ours where we have one.
pub fn metric(number: i32) -> Option<(&'static str, Option<Metric>)> {
    Some(match number {
        0 => ("inner_product", Some(Metric::Dot)),
        1 => ("l2", Some(Metric::L2)),
        2 => ("l1", Some(Metric::L1)),
        3 => ("linf", None),
        4 => ("lp", None),
        20 => ("canberra", None),
        21 => ("bray_curtis", None),
        22 => ("jensen_shannon", None),
        // The weighted Jaccard similarity of non-negative floats, not that of sets.
        23 => ("jaccard", None),
        24 => ("nan_euclidean", None),
        25 => ("gower", None),
        _ => return None,
    })
}

/// How a scalar quantiser stores a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalars {
    /// In a narrower element type, as it is.
    Narrow(Element),
    /// Signed bytes, 128 added to each.
    Signed,
    /// As one of `2^bits` steps between a minimum and a maximum, those of all elements if `uniform`.
    Steps {
        /// 4, 6 or 8.
        bits: u8,
        /// One range for all elements.
        uniform: bool,
    },
}

impl Scalars {
    /// By number of `QuantizerType`.
    pub fn of(number: i32) -> Result<Self> {
        Ok(match number {
            0 => Scalars::Steps { bits: 8, uniform: false },
            1 => Scalars::Steps { bits: 4, uniform: false },
            2 => Scalars::Steps { bits: 8, uniform: true },
            3 => Scalars::Steps { bits: 4, uniform: true },
            4 => Scalars::Narrow(Element::F16),
            5 => Scalars::Narrow(Element::U8),
            6 => Scalars::Steps { bits: 6, uniform: false },
            7 => Scalars::Narrow(Element::BF16),
            8 => Scalars::Signed,
            _ => return Err(Self::refusal(number)),
        })
    }

    /// What FAISS calls it.
    pub fn name(self) -> &'static str {
        match self {
            Scalars::Narrow(Element::F16) => "fp16",
            Scalars::Narrow(Element::BF16) => "bf16",
            Scalars::Narrow(_) => "8bit_direct",
            Scalars::Signed => "8bit_direct_signed",
            Scalars::Steps { bits: 8, uniform: false } => "8bit",
            Scalars::Steps { bits: 8, uniform: true } => "8bit_uniform",
            Scalars::Steps { bits: 4, uniform: false } => "4bit",
            Scalars::Steps { bits: 4, uniform: true } => "4bit_uniform",
            Scalars::Steps { .. } => "6bit",
        }
    }

    /// Bytes of a vector of `dim` elements.
    pub fn row_bytes(self, dim: u64) -> u64 {
        match self {
            Scalars::Narrow(element) => dim.saturating_mul(element.bytes() as u64),
            Scalars::Signed => dim,
            Scalars::Steps { bits, .. } => dim.saturating_mul(bits.into()).div_ceil(8),
        }
    }

    fn refusal(number: i32) -> Error {
        let name = match number {
            9 => "0bit",
            10..=14 => "TurboQuant MSE",
            15..=18 => "TurboQuant",
            19..=26 => "EDEN",
            _ => "unknown",
        };
        Error::not_recognised(format!("a scalar quantiser of type {number} ({name}) keeps no readable vectors")).hint(
            "take the vectors from where they were added; if approximations will do, write \
             index.reconstruct_n(0, index.ntotal) with numpy.save and read that",
        )
    }
}
