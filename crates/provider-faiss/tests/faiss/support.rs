//! Opening, reading, and numpy's arrays.

use std::path::Path;

use tranship_connector::{CollectionInfo, Locator, OpenOptions, Result, Source};
use tranship_provider_faiss::CONNECTOR;
use tranship_testkit::reading::{Outcome, Record, Vector, read};

pub fn locator(path: &Path) -> Locator {
    Locator { provider: None, path: path.to_owned() }
}

pub fn options(pairs: &[(&str, &str)]) -> OpenOptions {
    let options = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    OpenOptions { options, ..OpenOptions::default() }
}

pub fn lossy() -> OpenOptions {
    OpenOptions { allow_lossy: true, ..OpenOptions::default() }
}

pub fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Source>> {
    (CONNECTOR.open.unwrap())(&locator(path), options)
}

pub fn list(path: &Path, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    (CONNECTOR.list.unwrap())(&locator(path), options)
}

pub fn read_with(path: &Path, options: &OpenOptions) -> Result<Outcome> {
    read(&*open(path, options)?)
}

pub fn read_plain(path: &Path) -> Result<Outcome> {
    read_with(path, &OpenOptions::default())
}

/// A two-dimensional array of numpy, as its bytes.
pub struct Array {
    pub dtype: String,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Array {
    pub fn load(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let header = std::str::from_utf8(&bytes[10..start]).unwrap();
        assert!(header.contains("'fortran_order': False"), "{header}");
        let between = |from: &str, to: &str| header.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
        let shape = between("'shape': (", ")");
        let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
        Array { dtype: between("'descr': '", "'"), shape, bytes: bytes[start..].to_vec() }
    }

    pub fn integers(&self) -> Vec<i64> {
        assert_eq!(self.dtype, "<i8");
        self.bytes.as_chunks().0.iter().map(|n| i64::from_le_bytes(*n)).collect()
    }

    /// Row by row as bits: of f32 the bits, of bytes the bytes.
    pub fn rows(&self) -> Vec<Vec<u32>> {
        let dim = self.shape.get(1).copied().unwrap_or(0);
        let values: Vec<u32> = match self.dtype.as_str() {
            "<f4" => self.bytes.as_chunks().0.iter().map(|n| u32::from_le_bytes(*n)).collect(),
            "|u1" => self.bytes.iter().map(|n| u32::from(*n)).collect(),
            other => panic!("{other}"),
        };
        values.chunks(dim.max(1)).map(<[u32]>::to_vec).collect()
    }
}

/// The only vector of a record, as [`Array::rows`] has it.
pub fn bits(record: &Record) -> Vec<u32> {
    match &record.vectors[""] {
        Vector::Dense(values) => values.iter().map(|value| value.to_bits()).collect(),
        Vector::Bits(bytes) => bytes.iter().map(|byte| u32::from(*byte)).collect(),
        other => panic!("{other:?}"),
    }
}

/// Every record must be one of the truth, bit for bit, and the other way round.
pub fn compare(name: &str, outcome: &Outcome, ids: &[i64], rows: &[Vec<u32>]) {
    assert!(outcome.rejects.is_empty(), "{name}: {:?}", outcome.rejects);
    assert_eq!(outcome.ledger.raw, Some(ids.len() as u64), "{name}");
    assert_eq!(outcome.records.len(), ids.len(), "{name}");
    let found = outcome.by_id();
    for (id, row) in ids.iter().zip(rows) {
        let id = id.to_string();
        let record = found.get(&(None, id.as_str())).unwrap_or_else(|| panic!("{name}: {id} is missing"));
        assert_eq!(&bits(record), row, "{name}: vector of {id}");
        assert_eq!((&record.metadata, &record.document), (&None, &None), "{name}");
    }
}

/// The same up to rounding.
pub fn compare_nearly(name: &str, outcome: &Outcome, ids: &[i64], rows: &[Vec<u32>]) {
    let found = outcome.by_id();
    assert_eq!(found.len(), ids.len(), "{name}");
    for (id, row) in ids.iter().zip(rows) {
        let values = bits(found[&(None, id.to_string().as_str())]);
        assert_eq!(values.len(), row.len(), "{name}");
        for (value, wanted) in values.iter().zip(row) {
            let (value, wanted) = (f32::from_bits(*value), f32::from_bits(*wanted));
            assert!((value - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{name}: {id}: {value} is not {wanted}");
        }
    }
}
