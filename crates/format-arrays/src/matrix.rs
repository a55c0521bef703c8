//! A matrix of numbers in a run of bytes, read a block of rows at a time.
//!
//! Invariant: a [`Matrix`] lies within its bytes: whoever makes one has checked rows, dims and size. Blocks come row
//! by row, little-endian, without anything between the rows, whatever the file's own order.
//!
//! Errors: damaged for a row of `.fvecs` and its kin that states other dims than the first.

use std::path::Path;

use tranship_connector::{Error, Result};
use tranship_storage::{Blob, BlobReader, StagedFile};

use crate::number::Number;
use crate::zip::{Archive, Member};

/// Columns that are turned into rows together: 64 bytes of f4 in each row.
const COLUMNS_AT_ONCE: usize = 16;

/// Rows of numbers.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// What it lies in.
    pub bytes: Bytes,
    /// Where its first byte is.
    pub start: u64,
    /// Rows.
    pub rows: u64,
    /// Numbers in a row.
    pub dim: usize,
    /// Their type.
    pub number: Number,
    /// How they follow one another.
    pub order: Order,
}

/// How the numbers of a matrix follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Row by row.
    Rows,
    /// Row by row, each after its dims as an i32.
    RowsWithDims,
    /// Column by column.
    Columns,
}

/// Where bytes lie.
#[derive(Debug, Clone)]
pub enum Bytes {
    /// In a file, as they are.
    Plain(Blob),
    /// In a ZIP archive.
    Member(Archive, Member),
    /// In a dataset that is not one run of bytes.
    #[cfg(feature = "hdf5")]
    Hdf5(crate::hdf5::Dataset),
}

/// An open matrix.
pub struct MatrixReader<'a> {
    matrix: &'a Matrix,
    bytes: Open,
}

enum Open {
    Bytes(BlobReader),
    #[cfg(feature = "hdf5")]
    Hdf5(crate::hdf5::OpenDataset),
}

impl Bytes {
    /// The same bytes where positioned reads reach them: a deflated member is unpacked to `file` below `scratch`.
    /// The checksum of a member is checked.
    pub fn settle(&self, scratch: &Path, file: &str) -> Result<Bytes> {
        match self {
            Bytes::Member(archive, member) if member.stored => {
                archive.check(member)?;
                archive.data(member).map(Bytes::Plain)
            }
            Bytes::Member(archive, member) => {
                let path = scratch.join(file);
                let mut out = StagedFile::create(&path)?;
                archive.unpack(member, &mut out)?;
                out.publish()?;
                Ok(Bytes::Plain(Blob::of_path(&path)?))
            }
            settled => Ok(settled.clone()),
        }
    }

    /// Rows that can be read only together.
    pub fn chunk_rows(&self) -> u64 {
        match self {
            #[cfg(feature = "hdf5")]
            Bytes::Hdf5(dataset) => dataset.chunk_rows,
            _ => 1,
        }
    }

    /// The bytes, if they are one run.
    pub fn plain(&self) -> Result<&Blob> {
        match self {
            Bytes::Plain(blob) => Ok(blob),
            _ => Err(Error::bug("bytes that were not unpacked are to be read")),
        }
    }
}

impl Matrix {
    /// Bytes of the numbers of one row.
    pub fn row_bytes(&self) -> usize {
        self.dim * self.number.bytes
    }

    /// Bytes from one row to the next.
    pub fn stride(&self) -> u64 {
        self.row_bytes() as u64 + if self.order == Order::RowsWithDims { 4 } else { 0 }
    }

    /// Opens it.
    pub fn open(&self) -> Result<MatrixReader<'_>> {
        let bytes = match &self.bytes {
            #[cfg(feature = "hdf5")]
            Bytes::Hdf5(dataset) => Open::Hdf5(dataset.open()?),
            bytes => Open::Bytes(bytes.plain()?.open()?),
        };
        Ok(MatrixReader { matrix: self, bytes })
    }
}

impl MatrixReader<'_> {
    /// Reads `count` rows from `first` on into `out`, which holds nothing else afterwards.
    pub fn read(&self, first: u64, count: usize, out: &mut Vec<u8>) -> Result<()> {
        let matrix = self.matrix;
        out.clear();
        if count == 0 {
            return Ok(());
        }
        if first.checked_add(count as u64).is_none_or(|end| end > matrix.rows) {
            return Err(Error::bug(format!("rows {first} and {count} more of {} are to be read", matrix.rows)));
        }
        match &self.bytes {
            Open::Bytes(reader) => match matrix.order {
                Order::Rows => self.read_rows(reader, first, count, out)?,
                Order::RowsWithDims => self.read_rows_with_dims(reader, first, count, out)?,
                Order::Columns => self.read_columns(reader, first, count, out)?,
            },
            #[cfg(feature = "hdf5")]
            Open::Hdf5(dataset) => dataset.read(first, count, count * matrix.row_bytes(), out)?,
        }
        matrix.number.make_little(out);
        Ok(())
    }

    fn read_rows(&self, reader: &BlobReader, first: u64, count: usize, out: &mut Vec<u8>) -> Result<()> {
        out.resize(count * self.matrix.row_bytes(), 0);
        Ok(reader.read_exact_at(self.matrix.start + first * self.matrix.stride(), out)?)
    }

    fn read_rows_with_dims(&self, reader: &BlobReader, first: u64, count: usize, out: &mut Vec<u8>) -> Result<()> {
        let (row_bytes, stride) = (self.matrix.row_bytes(), self.matrix.stride() as usize);
        let at = self.matrix.start + first * self.matrix.stride();
        out.resize(count * stride, 0);
        reader.read_exact_at(at, out)?;
        for row in 0..count {
            let from = row * stride;
            let stated = u32::from_le_bytes(std::array::from_fn(|offset| out[from + offset]));
            if stated as usize != self.matrix.dim {
                return Err(Error::damaged(format!("a row of {stated} dimensions, the first has {}", self.matrix.dim))
                    .with("file", reader.label())
                    .with("row", first + row as u64)
                    .with("byte", at + from as u64)
                    .hint("rows of different lengths are no matrix; if the file was cut or joined, copy it again"));
            }
            out.copy_within(from + 4..from + stride, row * row_bytes);
        }
        out.truncate(count * row_bytes);
        Ok(())
    }

    /// One read for each column: the longer the block, the fewer of them. A few columns at a time are woven into the
    /// rows, so that every cache line of the output is filled at once.
    fn read_columns(&self, reader: &BlobReader, first: u64, count: usize, out: &mut Vec<u8>) -> Result<()> {
        let Matrix { start, rows, dim, number, .. } = self.matrix;
        let column_bytes = count * number.bytes;
        out.resize(dim * column_bytes, 0);
        let mut columns = vec![0; COLUMNS_AT_ONCE * column_bytes];
        for from in (0..*dim).step_by(COLUMNS_AT_ONCE) {
            let several = COLUMNS_AT_ONCE.min(dim - from);
            for (position, column) in (from..from + several).zip(columns.chunks_exact_mut(column_bytes)) {
                reader.read_exact_at(start + (position as u64 * rows + first) * number.bytes as u64, column)?;
            }
            let read = &columns[..several * column_bytes];
            let place = Place { row_bytes: self.matrix.row_bytes(), at: from * number.bytes, column_bytes };
            match number.bytes {
                1 => place.weave::<1>(read, out),
                2 => place.weave::<2>(read, out),
                4 => place.weave::<4>(read, out),
                _ => place.weave::<8>(read, out),
            }
        }
        Ok(())
    }
}

/// Where columns go among the rows, all in bytes.
struct Place {
    row_bytes: usize,
    at: usize,
    column_bytes: usize,
}

impl Place {
    /// Writes columns of numbers of `W` bytes, one after another, side by side into the rows.
    fn weave<const W: usize>(&self, columns: &[u8], out: &mut [u8]) {
        for (row, line) in out.chunks_exact_mut(self.row_bytes).enumerate() {
            let line = line[self.at..].as_chunks_mut::<W>().0;
            for (to, column) in line.iter_mut().zip(columns.chunks_exact(self.column_bytes)) {
                *to = column.as_chunks::<W>().0[row];
            }
        }
    }
}
