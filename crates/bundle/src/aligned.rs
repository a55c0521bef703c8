//! Data files for targets that know nothing but a matrix: an array or an index with one vector per row, and beside it a
//! text file with everything else of the same records.
//!
//! ```text
//! data/STEM-00042-000.EXT         the matrix: row n is record n of this part
//! data/records-00042-000.jsonl    line n: id, namespace, other vectors, metadata, document of record n
//! data/original-00042-000.npy     the vectors before they were brought to unit length; only where one was changed
//! data/rest-00042-000.jsonl       records without this vector: in no matrix, on their lines with all that they have
//! ```
//!
//! Invariant: nothing of a record is left out, and the files of a part have as many rows as each other. A part ends at
//! [`PART_BYTES`] of numbers or [`PART_ROWS`] rows, whichever comes first; that much is held in memory, for most
//! formats state the number of rows before the first one. Errors: damaged, with the file.

mod records;

use std::io::{self, BufRead, BufReader, Write};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, Element, VectorKind, VectorValue};
use tranship_connector::mapping::unit_scale;
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Batches, Error, Mapping, Result};
use tranship_storage::blob::BlobRange;
use tranship_storage::{Blob, DurableFile};

use crate::form::{DataFile, FormWriter, Part, Parts};

/// Bytes of numbers in one part.
pub const PART_BYTES: usize = 32 << 20;
/// Rows of one part.
pub const PART_ROWS: usize = 1 << 20;
const RECORDS: &str = "records";
const ORIGINAL: &str = "original";
const REST: &str = "rest";

/// A file format that holds one matrix.
pub trait MatrixFile: Send + Sync {
    /// File name before the number of the split.
    fn stem(&self) -> &'static str;

    /// Extension, without dot.
    fn extension(&self) -> &'static str;

    /// The type that numbers stand in; a vector of another one is widened to it.
    fn element(&self) -> Element;

    /// True if rows are brought to unit length. Only for f32.
    fn unit_length(&self) -> bool {
        false
    }

    /// Writes the whole file.
    fn write(&self, rows: &Rows<'_>, out: &mut dyn Write) -> io::Result<()>;

    /// Where the numbers stand in a file of this shape; why it cannot be one, else.
    fn layout(&self, bytes: &[u8], shape: Shape) -> std::result::Result<Layout, String>;
}

/// Rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub rows: usize,
    /// Numbers in a row.
    pub dim: usize,
}

/// Where rows stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Offset of the first row's numbers.
    pub start: usize,
    /// Bytes from a row to the next.
    pub stride: usize,
}

/// The rows of one part.
pub struct Rows<'a> {
    /// How many, and of how many numbers.
    pub shape: Shape,
    /// Ids, where all of the collection are integers of 64 bits; else empty.
    pub ids: &'a [i64],
    values: &'a [u8],
    scales: &'a [f32],
}

impl Rows<'_> {
    /// Writes all rows, little-endian; `before` stands in front of each.
    pub fn write_values(&self, before: &[u8], out: &mut dyn Write) -> io::Result<()> {
        if self.scales.is_empty() && before.is_empty() {
            return out.write_all(self.values);
        }
        let row_bytes = self.values.len() / self.shape.rows.max(1);
        let mut scaled = Vec::with_capacity(row_bytes);
        for (number, row) in self.values.chunks_exact(row_bytes.max(1)).enumerate() {
            out.write_all(before)?;
            match self.scales.get(number) {
                None => out.write_all(row)?,
                Some(scale) => {
                    scaled.clear();
                    scaled.extend(floats(row).flat_map(|value| (value * scale).to_le_bytes()));
                    out.write_all(&scaled)?;
                }
            }
        }
        Ok(())
    }
}

/// Which vector the matrix holds: `wanted`, else the unnamed one, else the first dense one.
pub fn main_vector(schema: &CollectionSchema, wanted: Option<&str>) -> Result<Option<String>> {
    let dense = || schema.stored_vectors().filter(|spec| spec.kind == VectorKind::Dense);
    let Some(wanted) = wanted else {
        let unnamed = dense().find(|spec| spec.name.is_empty());
        return Ok(unnamed.or_else(|| dense().next()).map(|spec| spec.name.clone()));
    };
    match dense().find(|spec| spec.name == wanted) {
        Some(spec) => Ok(Some(spec.name.clone())),
        None => {
            let names: Vec<&str> = dense().map(|spec| spec.name.as_str()).collect();
            Err(Error::usage(format!("there is no dense vector `{wanted}`"))
                .hint(format!("there are: {}", names.join(", "))))
        }
    }
}

/// Memory of an open shard: the numbers of a part, a row, and the buffers of its files.
pub fn shard_memory_bytes(schema: &CollectionSchema) -> u64 {
    (PART_BYTES + 8 * PART_ROWS + (2 << 20) + 24 * schema.dense_row_bytes()) as u64
}

/// Memory for reading a part whose matrix has so many bytes, with the vectors before they were changed.
pub fn read_memory_bytes(bytes: u64) -> u64 {
    2 * bytes + (1 << 20)
}

/// Writes the parts of one shard.
pub struct AlignedWriter<'a> {
    parts: Parts<'a>,
    stored: Arc<CollectionSchema>,
    format: &'a dyn MatrixFile,
    /// Position of the matrix's vector among the stored ones.
    main: Option<usize>,
    with_ids: bool,
    dim: usize,
    values: Vec<u8>,
    ids: Vec<i64>,
    rows: usize,
    number: usize,
    records: Option<DurableFile>,
    rest: Option<(DurableFile, u64)>,
    line: Vec<u8>,
    done: Vec<Part>,
}

impl<'a> AlignedWriter<'a> {
    /// The files of one shard of records in `stored`, the vector `main` in the matrix. `with_ids`: every id is an integer
    /// of 64 bits with sign.
    pub fn new(
        parts: Parts<'a>,
        stored: &Arc<CollectionSchema>,
        format: &'a dyn MatrixFile,
        main: Option<&str>,
        with_ids: bool,
    ) -> Self {
        AlignedWriter {
            parts,
            main: main.and_then(|name| stored.stored_vectors().position(|spec| spec.name == name)),
            stored: stored.clone(),
            format,
            with_ids,
            dim: 0,
            values: Vec::new(),
            ids: Vec::new(),
            rows: 0,
            number: 0,
            records: None,
            rest: None,
            line: Vec::new(),
            done: Vec::new(),
        }
    }

    fn push(&mut self, view: &BatchView<'_>, row: usize) -> Result<()> {
        self.line.clear();
        let value = self.main.and_then(|main| view.vector(main, row));
        records::append(view, row, self.main.filter(|_| value.is_some()), &mut self.line)?;
        let Some(value) = value else {
            let (mut file, rows) = match self.rest.take() {
                Some(open) => open,
                None => (self.parts.create(REST, 0, "jsonl")?, 0),
            };
            file.write_all(&self.line)?;
            self.rest = Some((file, rows + 1));
            return Ok(());
        };
        self.dim = self.main.map_or(0, |main| view.dim(main));
        let row_bytes = self.dim * self.format.element().bytes();
        if self.rows > 0 && (self.values.len() + row_bytes > PART_BYTES || self.rows == PART_ROWS) {
            self.close()?;
        }
        let file = match self.records.take() {
            Some(file) => file,
            None => {
                self.values.reserve_exact(PART_BYTES.max(row_bytes));
                self.parts.create(RECORDS, self.number, "jsonl")?
            }
        };
        let file = self.records.insert(file);
        file.write_all(&self.line)?;
        append_values(&value, self.format.element(), &mut self.values)?;
        if self.with_ids {
            let id = view.id(row).parse().map_err(|_| Error::bug("an id that is no integer of 64 bits"))?;
            self.ids.push(id);
        }
        self.rows += 1;
        Ok(())
    }

    /// Writes the part that is held.
    fn close(&mut self) -> Result<()> {
        let Some(records) = self.records.take() else { return Ok(()) };
        let shape = Shape { rows: self.rows, dim: self.dim };
        let scales = if self.format.unit_length() { scales(&self.values, self.dim) } else { Vec::new() };
        let changed = scales.iter().any(|scale| *scale != 1.0);
        let rows = Rows { shape, ids: &self.ids, values: &self.values, scales: if changed { &scales } else { &[] } };
        let mut file = self.parts.create(self.format.stem(), self.number, self.format.extension())?;
        self.format.write(&rows, &mut file)?;
        let name = (self.format.stem(), self.number, self.format.extension());
        self.done.push(self.parts.finish(file, name, Some(self.rows as u64), None)?);
        self.done.push(self.parts.finish(records, (RECORDS, self.number, "jsonl"), None, None)?);
        if changed {
            let mut file = self.parts.create(ORIGINAL, self.number, "npy")?;
            file.write_all(&npy_header("<f4", shape))?;
            file.write_all(&self.values)?;
            self.done.push(self.parts.finish(file, (ORIGINAL, self.number, "npy"), None, None)?);
        }
        self.values.clear();
        self.ids.clear();
        self.rows = 0;
        self.number += 1;
        Ok(())
    }
}

impl FormWriter for AlignedWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let stored = self.stored.clone();
        let view = BatchView::new(batch, &stored).map_err(|fault| Error::bug(fault.to_string()))?;
        (0..view.len()).try_for_each(|row| self.push(&view, row))
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Part>> {
        self.close()?;
        if let Some((file, rows)) = self.rest.take() {
            self.done.push(self.parts.finish(file, (REST, 0, "jsonl"), Some(rows), None)?);
        }
        Ok(self.done)
    }
}

/// The header of an array of numpy in version 1.0, rows one after another: `descr` is `<f4`, `<f2`, `|i1`, `|u1`..
pub fn npy_header(descr: &str, shape: Shape) -> Vec<u8> {
    let Shape { rows, dim } = shape;
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    // Magic, version and length take 10 bytes; the numbers begin at a multiple of 64.
    let padding = (64 - (10 + text.len() + 1) % 64) % 64;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(text.len() as u16).to_le_bytes());
    header.extend_from_slice(text.as_bytes());
    header
}

/// Where the numbers of an array of numpy stand that has the header of [`npy_header`].
pub fn npy_layout(
    descr: &str,
    element_bytes: usize,
    bytes: &[u8],
    shape: Shape,
) -> std::result::Result<Layout, String> {
    let header = npy_header(descr, shape);
    match bytes.starts_with(&header) {
        true => Ok(Layout { start: header.len(), stride: shape.dim * element_bytes }),
        false => Err(format!("it is no array of {descr} with {} rows of {}", shape.rows, shape.dim)),
    }
}

/// Reads one data file, a matrix with its records or a file of the rest, as batches of `stored`.
pub fn read<'a>(
    file: DataFile<'a>,
    format: &dyn MatrixFile,
    main: Option<&str>,
    stored: &Arc<CollectionSchema>,
) -> Result<Batches<'a>> {
    let builder = BatchBuilder::new(stored.clone()).map_err(|fault| Error::bug(fault.to_string()))?;
    let (matrix, text) = match file.name.strip_prefix("data/").is_some_and(|name| name.starts_with(REST)) {
        true => (None, file.checked_path()?),
        false => {
            let matrix = Matrix::open(&file, format, main, stored)?;
            (Some(matrix), file.checked_sibling(&sibling(&file, format, RECORDS, "jsonl")?)?)
        }
    };
    let blob = Blob::of_path(&text)?;
    let lines = BufReader::with_capacity(256 << 10, blob.open()?.range(0, blob.len()));
    Ok(Box::new(Reader { file, matrix, lines, text: Vec::new(), builder, row: 0, scratch: Vec::new(), done: false }))
}

/// The name of the file that belongs to a matrix.
fn sibling(file: &DataFile<'_>, format: &dyn MatrixFile, stem: &str, extension: &str) -> Result<String> {
    let number = file.name.strip_prefix("data/").and_then(|name| name.strip_prefix(format.stem()));
    let number = number.and_then(|name| name.strip_suffix(format.extension())).and_then(|name| name.strip_suffix('.'));
    match number {
        Some(number) => Ok(format!("data/{stem}{number}.{extension}")),
        None => Err(file.damaged("the manifest lists a data file of an unknown name")),
    }
}

/// The numbers of a part that is read.
struct Matrix {
    bytes: Vec<u8>,
    layout: Layout,
    row_bytes: usize,
    element: Element,
    /// The element type of the collection's vector.
    wanted: Element,
    column: usize,
}

impl Matrix {
    fn open(
        file: &DataFile<'_>,
        format: &dyn MatrixFile,
        main: Option<&str>,
        stored: &CollectionSchema,
    ) -> Result<Self> {
        let found = stored.stored_vectors().enumerate().find(|(_, spec)| Some(spec.name.as_str()) == main);
        let Some((column, spec)) = found else {
            return Err(file.damaged("the mapping names no vector that this file could hold"));
        };
        let shape = Shape { rows: file.rows as usize, dim: spec.dim.unwrap_or(0) };
        let original = sibling(file, format, ORIGINAL, "npy")?;
        let (bytes, layout) = match file.manifest.files.contains_key(&original) {
            true => {
                // The matrix is not needed, but a damaged one is told of.
                file.checked_path()?;
                let original = DataFile { name: original, ..file.clone() };
                let bytes = original.bytes()?;
                let layout = npy_layout("<f4", 4, &bytes, shape);
                (bytes, layout)
            }
            false => {
                let bytes = file.bytes()?;
                let layout = format.layout(&bytes, shape);
                (bytes, layout)
            }
        };
        let layout = layout.map_err(|what| file.damaged(what))?;
        let row_bytes = shape.dim * format.element().bytes();
        let needed = layout.start + layout.stride * shape.rows.saturating_sub(1) + row_bytes;
        if shape.rows > 0 && needed > bytes.len() {
            return Err(file.damaged("the file ends before its rows do"));
        }
        Ok(Matrix { bytes, layout, row_bytes, element: format.element(), wanted: spec.element, column })
    }

    fn range(&self, row: usize) -> Range<usize> {
        let start = self.layout.start + row * self.layout.stride;
        start..start + self.row_bytes
    }

    fn push(&self, row: usize, builder: &mut BatchBuilder) -> std::result::Result<(), String> {
        let bytes = self.bytes.get(self.range(row)).ok_or("there are more records than rows")?;
        match (self.element, self.wanted) {
            (stands, wanted) if stands == wanted => builder.push_bytes(self.column, bytes),
            (Element::F32, _) => builder.dense_values(self.column).extend(floats(bytes)),
            _ => return Err("the numbers are narrower than those of the source".to_owned()),
        }
        Ok(())
    }
}

/// Reads records line by line, and the rows beside them.
struct Reader<'a> {
    file: DataFile<'a>,
    matrix: Option<Matrix>,
    lines: BufReader<BlobRange>,
    text: Vec<u8>,
    builder: BatchBuilder,
    row: usize,
    scratch: Vec<f32>,
    done: bool,
}

impl Reader<'_> {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while !self.done && self.builder.bytes() < BATCH_BYTES {
            self.text.clear();
            if self.lines.read_until(b'\n', &mut self.text)? == 0 {
                self.done = true;
                break;
            }
            self.record().map_err(|what| self.file.damaged(what).with("row", self.row))?;
            self.row += 1;
        }
        match self.builder.rows() {
            0 => Ok(None),
            _ => self.builder.finish().map(Some).map_err(|fault| Error::bug(fault.to_string())),
        }
    }

    fn record(&mut self) -> std::result::Result<(), String> {
        let text = std::str::from_utf8(&self.text).map_err(|e| e.to_string())?;
        if let Some(matrix) = &self.matrix {
            matrix.push(self.row, &mut self.builder)?;
        }
        records::push(text, &mut self.builder, &mut self.scratch)
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        self.done |= batch.is_err();
        batch.transpose()
    }
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word))
}

/// The factors that bring rows of f32 to unit length.
fn scales(values: &[u8], dim: usize) -> Vec<f32> {
    let mut row = Vec::with_capacity(dim);
    let scale = |bytes: &[u8]| {
        row.clear();
        row.extend(floats(bytes));
        unit_scale(&row)
    };
    values.chunks_exact((4 * dim).max(4)).map(scale).collect()
}

/// Appends a dense vector, little-endian, as `element`.
fn append_values(value: &VectorValue<'_>, element: Element, out: &mut Vec<u8>) -> Result<()> {
    let values: &[f32] = match value {
        VectorValue::Dense(values) => values,
        VectorValue::Widened(values) => values,
        _ => return Err(Error::bug("a vector in a matrix that is not dense")),
    };
    match element {
        Element::F32 => {
            let start = out.len();
            out.resize(start + 4 * values.len(), 0);
            let words = out[start..].as_chunks_mut::<4>().0;
            words.iter_mut().zip(values).for_each(|(word, value)| *word = value.to_le_bytes());
        }
        Element::F16 => out.extend(values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes())),
        Element::BF16 => out.extend(values.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes())),
        Element::I8 => out.extend(values.iter().map(|value| *value as i8 as u8)),
        Element::U8 => out.extend(values.iter().map(|value| *value as u8)),
    }
    Ok(())
}

/// The vector that a bundle's matrix holds, as its mapping says.
pub fn main_of(mapping: &Mapping) -> Option<&str> {
    mapping.form.get("vector").and_then(serde_json::Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_an_array_begin_at_a_multiple_of_64() {
        for rows in [0, 1, 9, 10, 99_999, 1 << 40] {
            let shape = Shape { rows, dim: 768 };
            let header = npy_header("<f4", shape);
            assert_eq!((header.len() % 64, header.last()), (0, Some(&b'\n')), "{rows}");
            assert_eq!(npy_layout("<f4", 4, &header, shape).unwrap().start, header.len());
            assert!(npy_layout("<f2", 2, &header, shape).is_err());
        }
    }
}
