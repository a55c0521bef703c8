//! Records of an index by positioned reads.

use std::ops::ControlFlow;

use tranship_connector::Result;
use tranship_storage::{InputFile, Limits};

use crate::graph::StoredGraph;
use crate::header::{HnswHeader, PLAIN_BYTES, wrong};
use crate::links;

/// Bytes that a scan reads at once.
const SCAN_BYTES: u64 = 1 << 20;

/// The records of one index. May be shared by threads.
#[derive(Debug)]
pub struct VectorFile {
    header: HnswHeader,
    data: InputFile,
    base: u64,
}

/// One record as a scan sees it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Number of the record, from 0.
    pub number: u64,
    /// The id that the index knows it by.
    pub label: u64,
    /// True if it was deleted.
    pub deleted: bool,
    /// Links on level 0.
    pub links: u16,
    link_bytes: &'a [u8],
    vector: &'a [u8],
}

impl Record<'_> {
    /// The stored vector's elements.
    pub fn values(&self) -> impl Iterator<Item = f32> + '_ {
        self.vector.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }

    /// The stored vector as it lies in the file.
    pub fn vector_bytes(&self) -> &[u8] {
        self.vector
    }

    /// The records that it is linked to on level 0; no more than there is room for, whatever `links` says.
    pub fn neighbours(&self) -> impl Iterator<Item = u32> + '_ {
        let room = self.link_bytes.as_chunks::<4>().0.iter();
        room.take(usize::from(self.links)).map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Euclidean length of the stored vector.
    pub fn norm(&self) -> f64 {
        self.values().map(|value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
    }
}

impl VectorFile {
    /// Chroma's split form: `header.bin` and `data_level0.bin`.
    pub fn open_split(header: &InputFile, data: InputFile, limits: &Limits) -> Result<Self> {
        Self::checked(HnswHeader::read_split(header, limits)?, data, 0)
    }

    /// hnswlib's own `index.bin`.
    pub fn open_plain(file: InputFile, limits: &Limits) -> Result<Self> {
        Self::checked(HnswHeader::read_plain(&file, limits)?, file, PLAIN_BYTES)
    }

    fn checked(header: HnswHeader, data: InputFile, base: u64) -> Result<Self> {
        let end = header.cur_count.checked_mul(header.record_size).and_then(|bytes| bytes.checked_add(base));
        if end.is_none_or(|end| end > data.len()) {
            let (count, size) = (header.cur_count, header.record_size);
            return Err(wrong(
                data.path(),
                format_args!("too short: {} bytes for {count} records of {size} bytes each", data.len()),
            ));
        }
        Ok(VectorFile { header, data, base })
    }

    /// Follows the links of the upper levels behind the records of `index.bin`: those of all records must end where
    /// the file ends. With `at_most`, only those of the first so many records, which must lie within the file.
    pub fn check_links(&self, at_most: u64) -> Result<()> {
        links::walk(&self.data, &self.header, self.base + self.header.data_bytes(), at_most)
    }

    /// The graph of `index.bin`, whose upper levels follow the records.
    pub fn read_graph(&self) -> Result<StoredGraph> {
        StoredGraph::read(self, &self.data, self.base + self.header.data_bytes())
    }

    /// The graph of Chroma's split form, whose upper levels are the file `upper` (`link_lists.bin`).
    pub fn read_split_graph(&self, upper: &InputFile) -> Result<StoredGraph> {
        StoredGraph::read(self, upper, 0)
    }

    /// The checked header.
    pub fn header(&self) -> &HnswHeader {
        &self.header
    }

    /// Elements of every vector.
    pub fn dim(&self) -> usize {
        self.header.dim()
    }

    /// Records, deleted ones included.
    pub fn len(&self) -> u64 {
        self.header.cur_count
    }

    /// True if there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file that the records lie in.
    pub fn path(&self) -> &std::path::Path {
        self.data.path()
    }

    /// Appends the vector of record `number` to `out`; `scratch` is reused from call to call.
    pub fn read_vector(&self, number: u64, scratch: &mut Vec<u8>, out: &mut Vec<f32>) -> Result<()> {
        if number >= self.len() {
            return Err(wrong(self.path(), format_args!("asked for record {number} of {}", self.len())));
        }
        scratch.resize(4 * self.dim(), 0);
        let offset = self.base + number * self.header.record_size + self.header.data_offset;
        self.data.read_exact_at(offset, scratch)?;
        out.extend(scratch.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        Ok(())
    }

    /// Shows every record in file order to `visit` until it breaks; memory is about 1 MiB or one record.
    pub fn scan<B>(&self, mut visit: impl FnMut(Record<'_>) -> ControlFlow<B>) -> Result<Option<B>> {
        let per_read = self.records_per_read();
        let mut buffer = Vec::new();
        for first in (0..self.len()).step_by(per_read as usize) {
            for record in self.read_records(first, per_read, &mut buffer)? {
                if let ControlFlow::Break(value) = visit(record) {
                    return Ok(Some(value));
                }
            }
        }
        Ok(None)
    }

    /// Records that are best read at once: about 1 MiB, at least one.
    pub fn records_per_read(&self) -> u64 {
        (SCAN_BYTES / self.header.record_size).max(1)
    }

    /// Up to `count` records from number `first` on, read at once into `buffer`.
    pub fn read_records<'b>(
        &self,
        first: u64,
        count: u64,
        buffer: &'b mut Vec<u8>,
    ) -> Result<impl Iterator<Item = Record<'b>> + use<'_, 'b>> {
        let size = self.header.record_size;
        let count = count.min(self.len().saturating_sub(first));
        buffer.resize((count * size) as usize, 0);
        self.data.read_exact_at(self.base + first * size, buffer)?;
        let records = buffer.chunks_exact(size as usize);
        Ok((first..).zip(records).map(|(number, bytes)| self.record(number, bytes)))
    }

    /// A record in its `record_size` bytes.
    fn record<'a>(&self, number: u64, bytes: &'a [u8]) -> Record<'a> {
        let (data, label) = (self.header.data_offset as usize, self.header.label_offset as usize);
        Record {
            number,
            label: u64::from_le_bytes(std::array::from_fn(|offset| bytes[label + offset])),
            deleted: bytes[2] & 1 == 1,
            links: u16::from_le_bytes([bytes[0], bytes[1]]),
            link_bytes: &bytes[4..data],
            vector: &bytes[data..label],
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    /// Two records of two dimensions with maxM0 = 4, labels 7 and 9, the second one deleted.
    fn index(version: bool) -> (Vec<u8>, Vec<u8>) {
        let mut header = if version { 1i32.to_le_bytes().to_vec() } else { Vec::new() };
        let numbers = [0u64, 10, 2, 36, 28, 20];
        numbers.iter().for_each(|n| header.extend(n.to_le_bytes()));
        header.extend(0i32.to_le_bytes());
        header.extend(0u32.to_le_bytes());
        [2u64, 4, 2].iter().for_each(|n| header.extend(n.to_le_bytes()));
        header.extend(1.44f64.to_le_bytes());
        header.extend(100u64.to_le_bytes());
        let mut data = Vec::new();
        for (flag, values, label) in [(0u8, [3.0f32, 4.0], 7u64), (1, [1.0, 2.0], 9)] {
            data.extend([0, 0, flag, 0]);
            data.extend([0; 16]);
            values.iter().for_each(|v| data.extend(v.to_le_bytes()));
            data.extend(label.to_le_bytes());
        }
        (header, data)
    }

    fn open(header: &[u8], data: &[u8]) -> Result<VectorFile> {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        std::fs::write(dir.path().join("header.bin"), header).unwrap();
        std::fs::write(dir.path().join("data_level0.bin"), data).unwrap();
        let file = |name| InputFile::open(&dir.path().join(name)).unwrap();
        VectorFile::open_split(&file("header.bin"), file("data_level0.bin"), &Limits::default())
    }

    #[test]
    fn records_come_with_label_deletion_and_vector() {
        let (header, data) = index(true);
        let file = open(&header, &data).unwrap();
        let mut seen = Vec::new();
        let stopped: Option<()> = file
            .scan(|r| {
                seen.push((r.number, r.label, r.deleted, r.norm()));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(stopped, None);
        assert_eq!(seen, [(0, 7, false, 5.0), (1, 9, true, 5f64.sqrt())]);
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        file.read_vector(1, &mut scratch, &mut out).unwrap();
        assert_eq!(out, [1.0, 2.0]);
        assert!(file.read_vector(2, &mut scratch, &mut out).is_err());
    }

    #[test]
    fn the_plain_form_is_the_same_without_version() {
        let (header, data) = index(false);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("index.bin"), [header, data].concat()).unwrap();
        let file = InputFile::open(&dir.path().join("index.bin")).unwrap();
        let file = VectorFile::open_plain(file, &Limits::default()).unwrap();
        assert_eq!((file.len(), file.dim(), file.header().m), (2, 2, 2));
        let labels: Option<u64> =
            file.scan(|r| if r.deleted { ControlFlow::Break(r.label) } else { ControlFlow::Continue(()) }).unwrap();
        assert_eq!(labels, Some(9));
    }

    #[test]
    fn every_truncation_and_every_flipped_header_bit_is_an_error_or_harmless() {
        let (header, data) = index(true);
        assert!((0..header.len()).all(|len| open(&header[..len], &data).is_err()));
        assert!((0..data.len()).all(|len| open(&header, &data[..len]).is_err()));
        for bit in 0..header.len() * 8 {
            let mut flipped = header.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(file) = open(&flipped, &data) {
                // Only fields that say nothing about where records lie may change unnoticed.
                assert_eq!((file.dim(), file.header().record_size), (2, 36));
                assert!(file.len() <= 3, "bit {bit}");
            }
        }
    }

    #[test]
    fn messages_name_the_file_and_what_is_wrong_with_it() {
        let (mut header, data) = index(true);
        let text = open(&header, &data[..50]).unwrap_err().to_string();
        assert!(text.ends_with("data_level0.bin is too short: 50 bytes for 2 records of 36 bytes each"), "{text}");
        header[20..28].copy_from_slice(&u64::MAX.to_le_bytes());
        let text = open(&header, &data).unwrap_err().to_string();
        assert!(text.contains("header.bin is inconsistent: 18446744073709551615 records with room for 10"), "{text}");
        assert!(open(&header[..99], &data).unwrap_err().to_string().ends_with("header.bin is 99 bytes long, not 100"));
    }
}
