//! Dense vectors and multivectors in flat files.
//!
//! ```text
//! matrix.dat              "data", then rows of dim elements; deleted.dat beside it
//! vectors/config.json     chunk_size_bytes, chunk_size_vectors, dim
//! vectors/status.dat      u64 number of rows
//! vectors/chunk_<n>.mmap  rows n * chunk_size_vectors and on, preallocated
//! deleted/                flags
//! offsets/                multivectors: the same with one element of 12 B per point,
//!                         u32 first row of `vectors`, u32 number of rows, u32 capacity; rows never cross a chunk
//! ```
//!
//! Elements are f32, f16 or u8, little-endian. Dense ones are handed on as they lie, those of multivectors are widened.
//! Faulty cells: a point whose vector lies beyond the stored rows. Errors: damaged for files that contradict the
//! segment's configuration.

use serde::Deserialize;
use tranship_collection::{Element, VectorKind};
use tranship_connector::Result;
use tranship_storage::{Blob, Limits, Tree};

use super::bytes::{damaged, u32_at, u64_at};
use super::cells::Cells;
use super::flags::Flags;
use super::pieces::{Numbered, Piece, Pieces};
use super::schema::Column;
use super::stores::Store;

/// Bytes of an entry of `offsets`.
const OFFSET_BYTES: u64 = 12;
/// Bytes of `matrix.dat` before the first row.
const MATRIX_HEADER: u64 = 4;
/// Most bytes that one request reads, of multivectors as f32.
const REQUEST_BYTES: u64 = 2 << 20;

/// The same of dense vectors, which the reader asks for in groups of about this size.
const DENSE_BYTES: u64 = 4 << 20;

/// Opens the vectors of one name from the files of their directory.
pub fn open(tree: &Tree, column: &Column, limits: &Limits) -> Result<Box<dyn Store>> {
    if column.kind == VectorKind::Multi {
        return Ok(Box::new(Multi::open(tree, column, limits)?));
    }
    let (rows, flags) = match tree.get("matrix.dat") {
        Some(matrix) => {
            let rows = Rows::matrix(matrix, column.row_bytes() as u64)?;
            let flags = Flags::beside_matrix(tree, rows.len)?;
            (rows, flags)
        }
        None => (Rows::chunked(tree, "vectors", column.dim, column.row_bytes() as u64)?, Flags::in_directory(tree)?),
    };
    Ok(Box::new(Dense { rows, flags }))
}

/// Rows of one width in one file or in chunks.
struct Rows {
    files: Numbered,
    /// Bytes before the first row of a file.
    header: u64,
    rows_per_file: u64,
    /// Rows altogether.
    len: u64,
    width: u64,
}

#[derive(Deserialize)]
struct ChunkConfig {
    chunk_size_bytes: u64,
    chunk_size_vectors: u64,
    dim: usize,
}

impl Rows {
    fn matrix(matrix: &Blob, width: u64) -> Result<Self> {
        let mut magic = [0; MATRIX_HEADER as usize];
        matrix.open()?.read_exact_at(0, &mut magic)?;
        if magic != *b"data" {
            return Err(damaged(matrix.label(), "it does not begin with `data`"));
        }
        let bytes = matrix.len() - MATRIX_HEADER;
        if width == 0 || !bytes.is_multiple_of(width) {
            return Err(damaged(matrix.label(), format!("{bytes} bytes of vectors, each of {width}")));
        }
        let len = bytes / width;
        Ok(Rows { files: Numbered::one(matrix), header: MATRIX_HEADER, rows_per_file: len.max(1), len, width })
    }

    /// The chunks in `directory`, rows of `dim` elements and `width` bytes.
    fn chunked(tree: &Tree, directory: &str, dim: usize, width: u64) -> Result<Self> {
        let file = |name: &str| {
            let missing = || damaged(tree.label(), format!("vectors without {directory}/{name}"));
            tree.get(&format!("{directory}/{name}")).ok_or_else(missing)
        };
        let (config, status) = (file("config.json")?, file("status.dat")?);
        let parsed: ChunkConfig = serde_json::from_slice(&config.read_all(64 << 10)?)
            .map_err(|e| damaged(config.label(), "not the configuration of vector chunks").caused_by(e))?;
        if parsed.dim != dim {
            let what = format!("rows of {} elements, the segment has {dim}", parsed.dim);
            return Err(damaged(config.label(), what));
        }
        let needed = parsed.chunk_size_vectors.checked_mul(width);
        if width == 0 || parsed.chunk_size_vectors == 0 || needed.is_none_or(|n| n > parsed.chunk_size_bytes) {
            let what = format!(
                "{} rows of {width} bytes in a chunk of {}",
                parsed.chunk_size_vectors, parsed.chunk_size_bytes
            );
            return Err(damaged(config.label(), what));
        }
        let counted = status.open()?.range_to_vec(0, status.len().min(8), 8)?;
        let len = u64_at(&counted, 0).ok_or_else(|| damaged(status.label(), "too short"))?;
        Ok(Rows {
            files: Numbered::find(&tree.below(directory), "chunk_", ".mmap"),
            header: 0,
            rows_per_file: parsed.chunk_size_vectors,
            len,
            width,
        })
    }

    /// Where `count` rows from `row` on lie, which must be in one file.
    fn piece(&self, row: u64, count: u64) -> Option<Piece> {
        let (file, within) = (row / self.rows_per_file, row % self.rows_per_file);
        let is_inside = row.checked_add(count)? <= self.len && within + count <= self.rows_per_file;
        let offset = self.header.checked_add(within.checked_mul(self.width)?)?;
        is_inside.then_some(Piece { file: u32::try_from(file).ok()?, offset, len: count.checked_mul(self.width)? })
    }

    /// One piece per row; a row that is not there gets one that no file holds.
    fn pieces(&self, rows: &[u32]) -> Vec<Piece> {
        let nowhere = Piece { file: u32::MAX, offset: u64::MAX, len: self.width };
        rows.iter().map(|row| self.piece(u64::from(*row), 1).unwrap_or(nowhere)).collect()
    }
}

/// Dense vectors.
struct Dense {
    rows: Rows,
    flags: Flags,
}

impl Store for Dense {
    fn fetch(&self, rows: &[u32], cells: &mut Cells) -> Result<()> {
        let most = (DENSE_BYTES / self.rows.width).max(1).min(rows.len() as u64) as usize;
        let rows = &rows[..most];
        let absent = self.flags.window(rows)?;
        let mut read = Pieces::reusing(cells.take_buffer());
        self.rows.files.read(&self.rows.pieces(rows), &mut read)?;
        let (bytes, ranges) = read.into_parts();
        cells.give_buffer(bytes);
        for (row, range) in rows.iter().zip(ranges) {
            match range {
                _ if absent.is_set(*row) => cells.push_absent(),
                Some(range) => cells.push_range(range),
                None => cells.push_faulty(beyond(*row, self.rows.len)),
            }
        }
        Ok(())
    }
}

/// Multivectors.
struct Multi {
    rows: Rows,
    offsets: Rows,
    flags: Flags,
    element: Element,
    max_value_bytes: u64,
}

impl Multi {
    fn open(tree: &Tree, column: &Column, limits: &Limits) -> Result<Self> {
        Ok(Multi {
            rows: Rows::chunked(tree, "vectors", column.dim, column.row_bytes() as u64)?,
            offsets: Rows::chunked(tree, "offsets", 1, OFFSET_BYTES)?,
            flags: Flags::in_directory(tree)?,
            element: column.stored,
            max_value_bytes: limits.max_line_bytes as u64,
        })
    }
}

impl Store for Multi {
    fn fetch(&self, rows: &[u32], cells: &mut Cells) -> Result<()> {
        let absent = self.flags.window(rows)?;
        let mut entries = Pieces::default();
        self.offsets.files.read(&self.offsets.pieces(rows), &mut entries)?;
        let nowhere = Piece { file: u32::MAX, offset: u64::MAX, len: 1 };
        let widening = 4 / self.element.bytes() as u64;
        let mut bytes = 0;
        let mut pieces = Vec::with_capacity(rows.len());
        for position in 0..rows.len() {
            if bytes >= REQUEST_BYTES {
                break;
            }
            let entry = entries.get(position).and_then(|entry| u32_at(entry, 0).zip(u32_at(entry, 4)));
            let piece = entry.and_then(|(first, count)| match count {
                0 => Some(Piece { len: 0, ..nowhere }),
                count => self.rows.piece(first.into(), count.into()),
            });
            let piece = piece.filter(|piece| piece.len <= self.max_value_bytes).unwrap_or(nowhere);
            bytes += piece.len * widening;
            pieces.push(piece);
        }
        let mut read = Pieces::default();
        self.rows.files.read(&pieces, &mut read)?;
        for (position, (row, piece)) in rows.iter().zip(&pieces).enumerate() {
            match read.get(position) {
                _ if absent.is_set(*row) => cells.push_absent(),
                _ if piece.len == 0 => cells.push_absent(),
                Some(elements) => cells.push_with(|out| widen(self.element, elements, out)),
                None => cells.push_faulty(beyond(*row, self.offsets.len)),
            }
        }
        Ok(())
    }
}

/// Appends the f32 that each element stands for.
pub fn widen(element: Element, elements: &[u8], out: &mut Vec<u8>) {
    match element {
        Element::F16 => {
            let wide = |word: &[u8; 2]| half::f16::from_le_bytes(*word).to_f32().to_le_bytes();
            elements.as_chunks::<2>().0.iter().for_each(|word| out.extend_from_slice(&wide(word)));
        }
        Element::U8 => elements.iter().for_each(|byte| out.extend_from_slice(&f32::from(*byte).to_le_bytes())),
        _ => out.extend_from_slice(elements),
    }
}

fn beyond(row: u32, len: u64) -> String {
    format!("vector {row} does not lie within the {len} stored ones")
}
