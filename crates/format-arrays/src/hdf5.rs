//! ann-benchmarks files: HDF5 with the dataset `train`, and `test`, `neighbors`, `distances` beside it.
//!
//! Attributes of the file: `distance` names the metric, `type` is `dense` (or absent) or `sparse`. A dataset that is
//! one run of bytes is read in place, as any matrix; a chunked one row window by row window, each split decoding the
//! chunks that it touches.
//!
//! Errors: damaged where the decoder gives up, naming the file; not recognised for sparse files, for datasets that are
//! no matrix of numbers, and for a dataset that is not there. Decoder: crate hdf5-pure, which executes nothing.

use std::path::{Path, PathBuf};

use hdf5_pure::{Datatype, DatatypeByteOrder, File, FloatingPointLayout, Layout};
use tranship_collection::Metric;
use tranship_connector::{Error, OpenOptions, Result};
use tranship_storage::{Blob, Limits};

use crate::matrix::{Bytes, Matrix, Order};
use crate::number::{Class, Number};

/// No filter packs tighter than deflate, which makes at most 258 bytes out of two bits.
const MOST_EXPANSION: u64 = 1032;

/// The dataset that is read unless another is named.
const TRAIN: &str = "train";

/// A dataset to be decoded.
#[derive(Debug, Clone)]
pub struct Dataset {
    path: PathBuf,
    name: String,
    /// Rows of a chunk.
    pub chunk_rows: u64,
}

/// An open dataset.
pub struct OpenDataset {
    dataset: hdf5_pure::Dataset,
    label: String,
}

/// What a file holds.
pub struct Found {
    /// The dataset.
    pub matrix: Matrix,
    /// The file's metric.
    pub metric: Option<Metric>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

/// Finds the dataset that `options` name.
pub fn find(path: &Path, options: &OpenOptions) -> Result<Found> {
    let failed = |error| unreadable(path, error);
    let file = File::open_streaming(path).map_err(failed)?;
    let attributes = file.root().attrs().map_err(failed)?;
    let attribute = |name: &str| attributes.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    if attribute("type").as_deref() == Some("sparse") {
        return Err(Error::not_recognised(
            "the HDF5 file is a sparse one of ann-benchmarks: sets of integers, not vectors",
        )
        .with("file", path.display())
        .hint("dense files are read"));
    }
    let name = options.option("dataset").unwrap_or(TRAIN);
    let there = file.root().datasets().map_err(failed)?;
    if !there.iter().any(|found| found == name) {
        return Err(Error::not_recognised(format!("the HDF5 file has no dataset `{name}`"))
            .with("file", path.display())
            .hint(format!("name one with -o dataset=NAME; there are {}", there.join(", "))));
    }
    let dataset = file.dataset(name).map_err(failed)?;
    let number = number(&dataset.datatype().map_err(failed)?);
    let shape = dataset.shape().map_err(failed)?;
    let (Some(number), [rows, dim]) = (number, shape.as_slice()) else {
        return Err(Error::not_recognised(format!(
            "the dataset `{name}` is no matrix of numbers, its shape is {shape:?}"
        ))
        .with("file", path.display())
        .hint("name another one with -o dataset=NAME"));
    };
    let dim = crate::open::checked_dim(*dim, &path.display().to_string(), &options.limits)?;
    let chunk_rows = chunk_rows(path, &dataset, number.bytes, &options.limits)?;
    let mut matrix = Matrix {
        bytes: Bytes::Hdf5(Dataset { path: path.to_owned(), name: name.to_owned(), chunk_rows }),
        start: 0,
        rows: *rows,
        dim,
        number,
        order: Order::Rows,
    };
    let bytes = rows.checked_mul(matrix.row_bytes() as u64);
    let possible = file.file_size().saturating_mul(MOST_EXPANSION);
    if bytes.is_none_or(|bytes| bytes > possible) {
        return Err(Error::damaged(format!(
            "{rows} rows of {} bytes are more than the file can hold",
            matrix.row_bytes()
        ))
        .with("file", path.display())
        .hint("the dataset was never written, or the file is cut off; copy it again and compare sizes"));
    }
    if let Layout::Contiguous { address: Some(address), size } = dataset.layout().map_err(failed)? {
        let blob = Blob::of_path(path)?;
        if bytes != Some(size) || address.checked_add(size).is_none_or(|end| end > blob.len()) {
            return Err(Error::damaged(format!(
                "{size} bytes at {address} for {rows} rows of {} bytes",
                matrix.row_bytes()
            ))
            .with("file", path.display())
            .hint("the file is cut off; copy it again and compare sizes"));
        }
        (matrix.bytes, matrix.start) = (Bytes::Plain(blob), address);
    }
    let distance = attribute("distance");
    let metric = distance.as_deref().and_then(metric);
    let mut notes = Vec::new();
    if let (Some(distance), None) = (&distance, metric) {
        notes.push(format!("the file's distance {distance:?} has no name here; declare one with --metric"));
    }
    let others: Vec<&str> = there.iter().map(String::as_str).filter(|other| *other != name).collect();
    if !others.is_empty() {
        notes.push(format!("the dataset `{name}` is read; there are also {}", others.join(", ")));
    }
    Ok(Found { matrix, metric, notes })
}

impl Dataset {
    /// Opens file and dataset.
    pub fn open(&self) -> Result<OpenDataset> {
        let failed = |error| unreadable(&self.path, error);
        let dataset = File::open_streaming(&self.path).map_err(failed)?.dataset(&self.name).map_err(failed)?;
        Ok(OpenDataset { dataset, label: self.path.display().to_string() })
    }
}

impl OpenDataset {
    /// Reads `count` rows from `first` on, which are `bytes` bytes, into `out`.
    pub fn read(&self, first: u64, count: usize, bytes: usize, out: &mut Vec<u8>) -> Result<()> {
        let failed = |error| unreadable(Path::new(&self.label), error);
        *out = self.dataset.read_raw_rows(first, count as u64).map_err(failed)?;
        if out.len() == bytes {
            return Ok(());
        }
        Err(Error::damaged(format!("{} bytes came for rows of {bytes} bytes", out.len()))
            .with("file", &self.label)
            .with("row", first))
    }
}

/// Rows of a chunk, which must not be larger than a page may be; 1 where there are no chunks.
fn chunk_rows(path: &Path, dataset: &hdf5_pure::Dataset, width: usize, limits: &Limits) -> Result<u64> {
    let Some(shape) = dataset.chunk_shape().map_err(|error| unreadable(path, error))? else { return Ok(1) };
    let bytes = shape.iter().try_fold(width as u64, |bytes, extent| bytes.checked_mul(*extent));
    if bytes.is_none_or(|bytes| bytes > limits.max_page_bytes as u64) {
        let limit = limits.max_page_bytes;
        return Err(Error::limit(format!("chunks of {shape:?} numbers, the limit is {limit} bytes each"))
            .with("file", path.display())
            .hint("write the matrix with np.save and read that"));
    }
    Ok(shape.first().copied().unwrap_or(1))
}

fn number(datatype: &Datatype) -> Option<Number> {
    let (size, order, class) = match datatype {
        Datatype::FixedPoint { size, byte_order, layout } => {
            let whole = layout.bit_offset == 0 && u32::from(layout.bit_precision) == size.checked_mul(8)?;
            let class = if layout.signed { Class::Signed } else { Class::Unsigned };
            whole.then_some((*size, byte_order, class))?
        }
        Datatype::FloatingPoint { size, byte_order, layout } => {
            is_ieee(*size, layout).then_some((*size, byte_order, Class::Float))?
        }
        _ => return None,
    };
    let big_endian = match order {
        DatatypeByteOrder::LittleEndian => false,
        DatatypeByteOrder::BigEndian => true,
        _ => return None,
    };
    let name = match class {
        Class::Float => format!("f{size}"),
        Class::Signed => format!("i{size}"),
        Class::Unsigned => format!("u{size}"),
    };
    Number::named(&name, big_endian)
}

/// True for the IEEE formats of 2, 4 and 8 bytes; bfloat16 is none.
fn is_ieee(size: u32, layout: &FloatingPointLayout) -> bool {
    matches!((size, layout.exponent_size, layout.mantissa_size), (2, 5, 10) | (4, 8, 23) | (8, 11, 52))
}

fn metric(distance: &str) -> Option<Metric> {
    match distance {
        "angular" => Some(Metric::Cosine),
        "euclidean" => Some(Metric::L2),
        "dot" | "ip" => Some(Metric::Dot),
        "hamming" => Some(Metric::Hamming),
        "jaccard" => Some(Metric::Jaccard),
        _ => None,
    }
}

fn unreadable(path: &Path, error: hdf5_pure::Error) -> Error {
    Error::damaged("the HDF5 file cannot be read")
        .with("file", path.display())
        .caused_by(error)
        .hint("check it with h5dump -H; if h5py reads it, write the matrix with np.save and read that")
}
