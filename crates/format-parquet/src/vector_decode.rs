//! Reads the pages that [`vector_encode`](crate::vector_encode) builds straight into the arrays of a batch.
//!
//! Invariant: only pages of that very form are taken: the header and both kinds of levels are those that would be written
//! for the rows, the values are as many as the levels say, and a chunk ends with its last row. Each length is checked
//! against the chunk, the page and the limits before anything is allocated for it. Anything else is damage, with the
//! file, the column and the byte where the page begins.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeListArray, Float16Array, Float32Array};
use arrow_buffer::NullBufferBuilder;
use arrow_schema::{DataType, Field, FieldRef};
use half::f16;
use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, Result};
use tranship_kernels::join_f32;
use tranship_storage::{InputFile, Limits};
use zstd::bulk::Decompressor;

use crate::error::damaged;
use crate::levels::{Run, count_rows, read_levels};
use crate::page_header::{MAX_HEADER_BYTES, PageHeader, ValueEncoding};

/// One column chunk in the file: bytes `position..end`.
#[derive(Debug, Clone, Copy)]
pub struct ChunkPlace {
    position: u64,
    end: u64,
    rows: u64,
}

impl ChunkPlace {
    /// Where a chunk of `rows` rows lies, if it is compressed as ours are. The footer's offsets have been checked.
    pub fn of(chunk: &ColumnChunkMetaData, rows: u64) -> Option<Self> {
        let ours = matches!(chunk.compression(), Compression::ZSTD(_)) && chunk.dictionary_page_offset().is_none();
        let position = u64::try_from(chunk.data_page_offset()).ok().filter(|_| ours)?;
        let end = position.checked_add(u64::try_from(chunk.compressed_size()).ok()?)?;
        Some(ChunkPlace { position, end, rows })
    }
}

/// The vectors of one column, in the order of the rows.
pub struct VectorReader {
    file: Arc<InputFile>,
    name: String,
    item: FieldRef,
    dim: usize,
    chunks: VecDeque<ChunkPlace>,
    page: Page,
    zstd: Decompressor<'static>,
    packed: Vec<u8>,
    max_page_bytes: usize,
}

/// A page, and what of it has not been taken yet.
#[derive(Default)]
struct Page {
    body: Vec<u8>,
    /// Where the values begin in the body, and how many there are.
    first_byte: usize,
    values: usize,
    split: bool,
    runs: VecDeque<Run>,
    taken_values: usize,
}

impl VectorReader {
    /// A reader of the column `field` of `dim` elements, whose chunks lie at `chunks`.
    pub fn new(
        file: Arc<InputFile>,
        field: &Field,
        dim: usize,
        chunks: Vec<ChunkPlace>,
        limits: &Limits,
    ) -> Result<Self> {
        let DataType::FixedSizeList(item, _) = field.data_type() else {
            return Err(Error::bug(format!("column `{}` holds no dense vectors", field.name())));
        };
        Ok(VectorReader {
            file,
            name: field.name().clone(),
            item: item.clone(),
            dim,
            chunks: chunks.into(),
            page: Page::default(),
            zstd: Decompressor::new().map_err(|e| Error::bug("cannot decompress pages").caused_by(e))?,
            packed: Vec::new(),
            max_page_bytes: limits.max_page_bytes,
        })
    }

    /// The name of the column.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next `rows` rows.
    pub fn take(&mut self, rows: usize) -> Result<ArrayRef> {
        let mut values = Values::new(self.item.data_type(), rows.saturating_mul(self.dim))?;
        let mut nulls = NullBufferBuilder::new(rows);
        let mut taken = 0;
        while taken < rows {
            let Some(run) = self.page.next_run(rows - taken) else {
                self.next_page()?;
                continue;
            };
            if run.present {
                values.extend(&mut self.page, run.rows * self.dim);
                nulls.append_n_non_nulls(run.rows);
            } else {
                values.skip(run.rows * self.dim);
                nulls.append_n_nulls(run.rows);
            }
            taken += run.rows;
        }
        let built = FixedSizeListArray::try_new(self.item.clone(), self.dim as i32, values.finish(), nulls.finish());
        Ok(Arc::new(built.map_err(|e| damaged(self.path(), e))?))
    }

    fn next_page(&mut self) -> Result<()> {
        let Some(mut chunk) = self.chunks.pop_front() else {
            return Err(damaged(self.path(), format!("column `{}` has fewer rows than the footer states", self.name)));
        };
        if chunk.rows == 0 {
            return if chunk.position == chunk.end {
                Ok(())
            } else {
                Err(self.bad_page(&chunk, "more pages than rows"))
            };
        }
        let header = self.read_packed(&mut chunk)?;
        let rows = self.unpack(&header).map_err(|reason| self.bad_page(&chunk, &reason))?;
        chunk.rows = match chunk.rows.checked_sub(rows as u64) {
            Some(left) => left,
            None => return Err(self.bad_page(&chunk, "more rows than the footer states")),
        };
        self.chunks.push_front(chunk);
        Ok(())
    }

    /// Reads header and compressed bytes of the page at the chunk's position, and moves that behind them.
    fn read_packed(&mut self, chunk: &mut ChunkPlace) -> Result<PageHeader> {
        let mut head = [0; MAX_HEADER_BYTES];
        let left = chunk.end - chunk.position;
        let head = &mut head[..(MAX_HEADER_BYTES as u64).min(left) as usize];
        self.file.read_exact_at(chunk.position, head)?;
        let Some((header, header_bytes)) = PageHeader::read(head) else {
            return Err(self.bad_page(chunk, "the page header is not one of vectors"));
        };
        let page_bytes = header_bytes as u64 + header.packed_bytes as u64;
        if page_bytes > left {
            return Err(self.bad_page(chunk, "the page ends after its column"));
        }
        if header.body_bytes > self.max_page_bytes {
            let reason =
                format!("a page is {} bytes, more than {} are not read", header.body_bytes, self.max_page_bytes);
            return Err(Error::limit(reason).with("file", self.path().display()).with("byte", chunk.position));
        }
        self.packed.resize(header.packed_bytes, 0);
        self.file.read_exact_at(chunk.position + header_bytes as u64, &mut self.packed)?;
        chunk.position += page_bytes;
        Ok(header)
    }

    /// Makes the page that was read the current one and says how many rows it has.
    fn unpack(&mut self, header: &PageHeader) -> std::result::Result<usize, String> {
        let page = &mut self.page;
        page.body.clear();
        page.body.reserve(header.body_bytes);
        let unpacked = self.zstd.decompress_to_buffer(&self.packed, &mut page.body).map_err(|e| e.to_string())?;
        if unpacked != header.body_bytes {
            return Err(format!("{unpacked} bytes in the page, the header states {}", header.body_bytes));
        }
        let mut values = &page.body[..];
        let runs = read_levels(&mut values, header.levels, self.dim)?;
        let (rows, present) = count_rows(&runs);
        page.values = present * self.dim;
        let width = width(self.item.data_type());
        if page.values.checked_mul(width) != Some(values.len()) {
            return Err(format!("{} bytes of values, the levels ask for {} values", values.len(), page.values));
        }
        page.split = header.encoding == ValueEncoding::ByteStreamSplit;
        if page.split && width != 4 {
            return Err("values of two bytes are not split".to_owned());
        }
        page.first_byte = page.body.len() - values.len();
        page.runs = runs.into();
        page.taken_values = 0;
        Ok(rows)
    }

    fn bad_page(&self, chunk: &ChunkPlace, reason: &str) -> Error {
        damaged(self.path(), format!("a page of column `{}` cannot be read: {reason}", self.name))
            .with("byte", chunk.position)
    }

    fn path(&self) -> &Path {
        self.file.path()
    }
}

impl Page {
    /// The rows to take next, `most` at most.
    fn next_run(&mut self, most: usize) -> Option<Run> {
        let run = self.runs.front_mut()?;
        let rows = run.rows.min(most);
        let taken = Run { rows, ..*run };
        run.rows -= rows;
        if run.rows == 0 {
            self.runs.pop_front();
        }
        Some(taken)
    }

    /// The bytes of the next `count` values: of each plane, or all of them in the first slice.
    fn next_values(&mut self, count: usize) -> [&[u8]; 4] {
        let (start, end) = (self.taken_values, self.taken_values + count);
        self.taken_values = end;
        let bytes = &self.body[self.first_byte..];
        if self.split {
            return [0, 1, 2, 3].map(|plane| &bytes[plane * self.values + start..plane * self.values + end]);
        }
        let width = bytes.len() / self.values.max(1);
        [&bytes[start * width..end * width], &[], &[], &[]]
    }
}

/// Values of a batch; those of rows without a vector are zeros.
enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl Values {
    fn new(data_type: &DataType, expected: usize) -> Result<Self> {
        // Room for a batch; beyond that it grows with what the pages really hold.
        let room = expected.min(BATCH_BYTES);
        match data_type {
            DataType::Float32 => Ok(Values::F32(Vec::with_capacity(room))),
            DataType::Float16 => Ok(Values::F16(Vec::with_capacity(room))),
            other => Err(Error::bug(format!("vectors of {other} are not read by hand"))),
        }
    }

    fn extend(&mut self, page: &mut Page, count: usize) {
        let split = page.split;
        let planes = page.next_values(count);
        match self {
            Values::F32(values) if split => {
                let first = values.len();
                values.resize(first + count, 0.0);
                join_f32(planes, &mut values[first..]);
            }
            Values::F32(values) => {
                values.extend(planes[0].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)))
            }
            Values::F16(values) => {
                values.extend(planes[0].as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes)))
            }
        }
    }

    fn skip(&mut self, count: usize) {
        match self {
            Values::F32(values) => values.resize(values.len() + count, 0.0),
            Values::F16(values) => values.resize(values.len() + count, f16::ZERO),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Values::F32(values) => Arc::new(Float32Array::from(values)),
            Values::F16(values) => Arc::new(Float16Array::from(values)),
        }
    }
}

fn width(data_type: &DataType) -> usize {
    if *data_type == DataType::Float16 { 2 } else { 4 }
}
