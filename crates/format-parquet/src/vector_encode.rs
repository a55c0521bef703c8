//! Builds the column chunk of a dense vector column page by page, without a step per value.
//!
//! Invariant: the bytes depend on the rows alone, however they were cut into arrays. A page holds whole rows and at most
//! [`PAGE_VALUES`] values, unless one row has more. Values are those of the rows that have a vector.
//!
//! ```text
//! chunk   page | page | ..
//! page    header | zstd(levels | values)      values: planes of bytes 0, 1, 2, 3 of each (BYTE_STREAM_SPLIT), or in place
//! ```
//!
//! Settings and their measurement: `docs/adr/0013-vector-pages-by-hand.md`. Source: apache/parquet-format 2.11.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type};
use arrow_array::{Array, ArrayRef, FixedSizeListArray};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::{OffsetIndexMetaData, PageLocation};
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};
use tranship_connector::{Error, Result};
use tranship_kernels::split_f32;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, compress_bound};

use crate::error::parquet_error;
use crate::levels::{Run, count_levels, count_rows, write_levels};
use crate::page_header::{PageHeader, ValueEncoding};

/// Values in a page: a plane of them is as long as a zstd block, so that noise and what can be compressed do not share one.
pub const PAGE_VALUES: usize = 128 << 10;
const ZSTD_LEVEL: i32 = 1;
/// Longer matches and a smaller table than the level has: planes of floats hold no others, and looking for them costs
/// more than half of the time.
const ZSTD_MIN_MATCH: u32 = 7;
const ZSTD_HASH_LOG: u32 = 7;

/// A column whose pages are built here.
#[derive(Debug, Clone)]
pub struct VectorColumn {
    dim: usize,
    encoding: ValueEncoding,
    column: ColumnDescPtr,
}

impl VectorColumn {
    /// The column of `field` in the canonical layout, if it holds dense vectors of `f32` or `f16`; `column` is its leaf.
    pub fn of(field: &Field, column: &ColumnDescPtr, plain: bool) -> Option<Self> {
        let dim = dense_dim(field, column)?;
        let split = column.physical_type() == Type::FLOAT && !plain;
        let encoding = if split { ValueEncoding::ByteStreamSplit } else { ValueEncoding::Plain };
        Some(VectorColumn { dim, encoding, column: column.clone() })
    }

    fn metadata(&self, chunk: &Chunk) -> std::result::Result<ColumnChunkMetaData, ParquetError> {
        let encoding = match self.encoding {
            ValueEncoding::Plain => Encoding::PLAIN,
            ValueEncoding::ByteStreamSplit => Encoding::BYTE_STREAM_SPLIT,
        };
        ColumnChunkMetaData::builder(self.column.clone())
            .set_encodings(vec![Encoding::RLE, encoding])
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_num_values(chunk.levels as i64)
            .set_total_compressed_size(chunk.bytes.len() as i64)
            .set_total_uncompressed_size(chunk.unpacked_bytes as i64)
            .set_data_page_offset(0)
            .build()
    }
}

/// Elements per row of a column of dense `f32` or `f16` vectors that stands as `optional list<required element>`.
pub fn dense_dim(field: &Field, column: &ColumnDescriptor) -> Option<usize> {
    let DataType::FixedSizeList(item, dim) = field.data_type() else { return None };
    let physical = match item.data_type() {
        DataType::Float32 => Type::FLOAT,
        DataType::Float16 => Type::FIXED_LEN_BYTE_ARRAY,
        _ => return None,
    };
    let fits = column.physical_type() == physical && (column.max_rep_level(), column.max_def_level()) == (1, 2);
    usize::try_from(*dim).ok().filter(|dim| fits && *dim > 0)
}

/// Makes column chunks, in buffers that serve one row group after the other.
pub struct VectorEncoder {
    zstd: Compressor<'static>,
    levels: Vec<u8>,
    body: Vec<u8>,
    packed: Vec<u8>,
    chunk: Chunk,
}

#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    unpacked_bytes: usize,
    levels: usize,
    rows: usize,
    pages: Vec<PageLocation>,
}

/// Rows of one array that all have a vector or all have none.
#[derive(Clone, Copy)]
struct Stretch {
    array: usize,
    first_row: usize,
    run: Run,
}

impl VectorEncoder {
    /// An encoder with empty buffers.
    pub fn new() -> Result<Self> {
        let mut zstd = Compressor::new(ZSTD_LEVEL).map_err(zstd_failed)?;
        zstd.set_parameter(CParameter::MinMatch(ZSTD_MIN_MATCH)).map_err(zstd_failed)?;
        zstd.set_parameter(CParameter::HashLog(ZSTD_HASH_LOG)).map_err(zstd_failed)?;
        let (levels, body, packed) = Default::default();
        Ok(VectorEncoder { zstd, levels, body, packed, chunk: Chunk::default() })
    }

    /// Appends the rows of `arrays` as the next column chunk of `group`.
    pub fn append<W: Write + Send>(
        &mut self,
        column: &VectorColumn,
        arrays: &[&ArrayRef],
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        let lists: Option<Vec<&FixedSizeListArray>> =
            arrays.iter().map(|array| array.as_fixed_size_list_opt()).collect();
        let lists = lists.ok_or_else(|| Error::bug("a vector column is no list of a fixed size"))?;
        let bytes = std::mem::take(&mut self.chunk.bytes);
        self.chunk = Chunk { bytes, ..Chunk::default() };
        self.chunk.bytes.clear();
        for page in pages(&lists, (PAGE_VALUES / column.dim).max(1)) {
            self.page(column, &lists, &page)?;
        }
        self.splice(column, group).map_err(|e| parquet_error("write", e))
    }

    fn page(&mut self, column: &VectorColumn, lists: &[&FixedSizeListArray], page: &[Stretch]) -> Result<()> {
        let runs: Vec<Run> = page.iter().map(|stretch| stretch.run).collect();
        self.levels.clear();
        write_levels(&runs, column.dim, &mut self.levels);
        let (rows, present) = count_rows(&runs);
        let value_bytes = present * column.dim * width(column);
        // What is left of the last page is overwritten; clearing it first would cost as much as the copy.
        self.body.resize(self.levels.len() + value_bytes, 0);
        let (levels, values) = self.body.split_at_mut(self.levels.len());
        levels.copy_from_slice(&self.levels);
        let present = page.iter().filter(|stretch| stretch.run.present);
        match column.encoding {
            ValueEncoding::ByteStreamSplit => split_values(present, lists, column.dim, values),
            ValueEncoding::Plain => copy_values(present, lists, values)?,
        }
        self.packed.clear();
        self.packed.reserve(compress_bound(self.body.len()));
        self.zstd.compress_to_buffer(&self.body, &mut self.packed).map_err(zstd_failed)?;
        let levels = count_levels(&runs, column.dim);
        let header = PageHeader {
            body_bytes: self.body.len(),
            packed_bytes: self.packed.len(),
            levels,
            encoding: column.encoding,
        };
        self.chunk.push(&header, &self.packed, rows);
        Ok(())
    }

    fn splice<W: Write + Send>(
        &mut self,
        column: &VectorColumn,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> std::result::Result<(), ParquetError> {
        let metadata = column.metadata(&self.chunk)?;
        let page_locations = std::mem::take(&mut self.chunk.pages);
        let bytes = Bytes::from(std::mem::take(&mut self.chunk.bytes));
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.chunk.rows as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(OffsetIndexMetaData { page_locations, unencoded_byte_array_data_bytes: None }),
        };
        group.append_column(&bytes, close)?;
        self.chunk.bytes = Vec::from(bytes);
        Ok(())
    }
}

impl Chunk {
    fn push(&mut self, header: &PageHeader, packed: &[u8], rows: usize) {
        let start = self.bytes.len();
        header.write(&mut self.bytes);
        self.unpacked_bytes += self.bytes.len() - start + header.body_bytes;
        self.bytes.extend_from_slice(packed);
        self.pages.push(PageLocation {
            offset: start as i64,
            compressed_page_size: (self.bytes.len() - start) as i32,
            first_row_index: self.rows as i64,
        });
        self.levels += header.levels;
        self.rows += rows;
    }
}

/// Cuts the rows into pages of `page_rows` vectors; rows without one go with those before them.
fn pages(lists: &[&FixedSizeListArray], page_rows: usize) -> Vec<Vec<Stretch>> {
    let mut pages = vec![Vec::new()];
    let mut room = page_rows;
    for mut stretch in lists.iter().enumerate().flat_map(|(array, list)| stretches(array, list)) {
        while stretch.run.present && stretch.run.rows > room {
            let (head, tail) = stretch.cut(room);
            pages.last_mut().into_iter().for_each(|page| page.extend(head));
            pages.push(Vec::new());
            (stretch, room) = (tail, page_rows);
        }
        room -= if stretch.run.present { stretch.run.rows } else { 0 };
        pages.last_mut().into_iter().for_each(|page| page.push(stretch));
    }
    pages
}

impl Stretch {
    /// The first `rows`, if any, and the rest.
    fn cut(self, rows: usize) -> (Option<Stretch>, Stretch) {
        let head = Stretch { run: Run { rows, ..self.run }, ..self };
        let rest = Run { rows: self.run.rows - rows, ..self.run };
        ((rows > 0).then_some(head), Stretch { first_row: self.first_row + rows, run: rest, ..self })
    }
}

fn stretches(array: usize, list: &FixedSizeListArray) -> Vec<Stretch> {
    let stretch = |first_row, end, present| Stretch { array, first_row, run: Run { rows: end - first_row, present } };
    let Some(nulls) = list.nulls() else {
        return vec![stretch(0, list.len(), true)];
    };
    let (mut found, mut row) = (Vec::new(), 0);
    for (start, end) in nulls.valid_slices() {
        found.push(stretch(row, start, false));
        found.push(stretch(start, end, true));
        row = end;
    }
    found.push(stretch(row, list.len(), false));
    found.retain(|stretch| stretch.run.rows > 0);
    found
}

fn split_values<'a>(
    present: impl Iterator<Item = &'a Stretch>,
    lists: &[&FixedSizeListArray],
    dim: usize,
    bytes: &mut [u8],
) {
    let values = bytes.len() / 4;
    let (first, rest) = bytes.split_at_mut(values);
    let (second, rest) = rest.split_at_mut(values);
    let (third, fourth) = rest.split_at_mut(values);
    let mut done = 0;
    for stretch in present {
        let floats = lists[stretch.array].values().as_primitive::<Float32Type>().values();
        let floats = &floats[stretch.first_row * dim..(stretch.first_row + stretch.run.rows) * dim];
        let end = done + floats.len();
        split_f32(
            floats,
            [&mut first[done..end], &mut second[done..end], &mut third[done..end], &mut fourth[done..end]],
        );
        done = end;
    }
}

fn copy_values<'a>(
    present: impl Iterator<Item = &'a Stretch>,
    lists: &[&FixedSizeListArray],
    mut bytes: &mut [u8],
) -> Result<()> {
    for stretch in present {
        let list = lists[stretch.array];
        let source = little_endian_bytes(list.values())?;
        let row_bytes = source.len() / list.len();
        let source = &source[stretch.first_row * row_bytes..(stretch.first_row + stretch.run.rows) * row_bytes];
        let (target, rest) = bytes.split_at_mut(source.len());
        target.copy_from_slice(source);
        bytes = rest;
    }
    Ok(())
}

/// The values as they lie in memory.
fn little_endian_bytes(values: &ArrayRef) -> Result<&[u8]> {
    const { assert!(cfg!(target_endian = "little"), "values are copied as they lie in memory") };
    match values.data_type() {
        DataType::Float32 => Ok(values.as_primitive::<Float32Type>().values().inner().as_slice()),
        DataType::Float16 => Ok(values.as_primitive::<Float16Type>().values().inner().as_slice()),
        other => Err(Error::bug(format!("vectors of {other} are not copied"))),
    }
}

fn width(column: &VectorColumn) -> usize {
    if column.column.physical_type() == Type::FLOAT { 4 } else { 2 }
}

fn zstd_failed(error: std::io::Error) -> Error {
    Error::bug("cannot compress a page of vectors").caused_by(error)
}
