//! The Parquet file that a log holds, read from where it lies.
//!
//! Invariant: what the footer states lies within the payload before anything is read by it; reads go page by page, so
//! that memory is a page and a batch per column; what the Parquet crate panics about is damage of the file. Rows are
//! counted from the start of the payload. A page is decompressed as a whole, to the size that its header states: a file
//! made to harm can so ask for up to 2 GiB, the most that Parquet's format allows; nothing is kept of it after its page.
//!
//! Errors: damaged with the log's file and the payload's first byte; limit for a footer beyond the limits. Source:
//! apache/parquet-format 2.11.

use std::io::{BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::DataType as ArrowType;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tranship_connector::{Error, Result};
use tranship_storage::{Blob, BlobReader, Limits, StorageError};

use super::log::Payload;

/// Read ahead of page headers.
const BUFFER_BYTES: usize = 16 << 10;
/// Bytes that one batch of one column aims at.
const BATCH_BYTES: u64 = 1 << 20;
/// Rows of a batch at most.
const BATCH_ROWS: u64 = 8192;

/// A Parquet file whose footer has been read and checked.
pub struct Parquet {
    slice: Slice,
    metadata: ArrowReaderMetadata,
    rows: u64,
}

/// One top-level column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Milvus's field id: the Parquet field id, or a name that is a number.
    pub field: Option<i64>,
    /// Its type in Arrow.
    pub data_type: ArrowType,
}

impl Parquet {
    /// Reads the footer.
    pub fn open(blob: &Blob, payload: Payload, limits: &Limits) -> Result<Self> {
        let slice = Slice { blob: blob.clone(), payload, max_page: limits.max_page_bytes };
        check_envelope(&slice)?;
        // Without the writer's own Arrow schema columns come in the types that Parquet states.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = slice.guarded("footer", || ArrowReaderMetadata::load(&slice, options))?;
        let rows = slice.guarded("footer", || count_rows(&metadata, payload.len))?;
        Ok(Parquet { slice, metadata, rows })
    }

    /// Rows of all row groups.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The columns in order.
    pub fn columns(&self) -> Vec<Column> {
        let roots = self.metadata.parquet_schema().root_schema().get_fields();
        let fields = self.metadata.schema().fields();
        let described = roots.iter().zip(fields).map(|(root, field)| {
            let info = root.get_basic_info();
            let by_id = info.has_id().then(|| i64::from(info.id())).filter(|id| *id >= 0);
            let data_type = field.data_type().clone();
            Column { name: field.name().clone(), field: by_id.or_else(|| field.name().parse().ok()), data_type }
        });
        described.collect()
    }

    /// Rows `start..end` of the column at `position`.
    pub fn read(self, position: usize, start: u64, end: u64) -> Result<Pages> {
        let Parquet { slice, metadata, .. } = self;
        let parquet = metadata.parquet_schema();
        let leaves = (0..parquet.num_columns()).filter(|leaf| parquet.get_column_root_idx(*leaf) == position);
        let mask = ProjectionMask::leaves(parquet, leaves);
        let (mut groups, mut before, mut first, mut bytes) = (Vec::new(), 0u64, None, 0u64);
        for (number, group) in metadata.metadata().row_groups().iter().enumerate() {
            let rows = group.num_rows().unsigned_abs();
            if before < end && before + rows > start {
                groups.push(number);
                first.get_or_insert(before);
                bytes = bytes.max(
                    group.column(position.min(group.num_columns() - 1)).uncompressed_size().unsigned_abs()
                        / rows.max(1),
                );
            }
            before += rows;
        }
        let rows = end.saturating_sub(start);
        let skip = usize::try_from(start.saturating_sub(first.unwrap_or(0))).unwrap_or(usize::MAX);
        let batch = (BATCH_BYTES / bytes.max(1)).clamp(1, BATCH_ROWS).min(rows.max(1));
        let reader = slice.clone();
        let reader = slice.guarded("pages", || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(reader, metadata.clone())
                .with_row_groups(groups)
                .with_projection(mask)
                .with_offset(skip)
                .with_limit(usize::try_from(rows).unwrap_or(usize::MAX))
                .with_batch_size(batch as usize)
                .build()
        })?;
        Ok(Pages { slice, reader, next_row: start, rows_left: rows })
    }
}

/// Arrays of one column, in order.
pub struct Pages {
    slice: Slice,
    reader: ParquetRecordBatchReader,
    next_row: u64,
    rows_left: u64,
}

impl Pages {
    /// The next array; `None` once all rows that were asked for have come.
    pub fn next_array(&mut self) -> Result<Option<ArrayRef>> {
        if self.rows_left == 0 {
            return Ok(None);
        }
        let (slice, reader, row) = (&self.slice, &mut self.reader, self.next_row);
        let batch: Option<RecordBatch> =
            slice.guarded("pages", || reader.next().transpose()).map_err(|error| error.with("row", row))?;
        let array = batch.filter(|batch| batch.num_rows() > 0).and_then(|batch| batch.columns().first().cloned());
        let Some(array) = array else {
            return Err(self.slice.damaged(format_args!("{} rows fewer than the footer states", self.rows_left)));
        };
        let rows = array.len() as u64;
        self.rows_left =
            self.rows_left.checked_sub(rows).ok_or_else(|| self.slice.damaged("more rows than the footer states"))?;
        self.next_row += rows;
        Ok(Some(array))
    }
}

/// The bytes of a payload, as the Parquet crate asks for them.
#[derive(Clone)]
struct Slice {
    blob: Blob,
    payload: Payload,
    max_page: usize,
}

impl Slice {
    fn open(&self) -> parquet::errors::Result<BlobReader> {
        self.blob.open().map_err(foreign)
    }

    /// Runs foreign code over foreign bytes: a panic in there is damage of the file, not of the run.
    fn guarded<T, E: std::fmt::Display>(
        &self,
        what: &str,
        run: impl FnOnce() -> std::result::Result<T, E>,
    ) -> Result<T> {
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.damaged(format_args!("cannot read its {what}: {error}"))),
            Err(_panic) => Err(self.damaged(format_args!("cannot read its {what}: it contradicts itself"))),
        }
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> Error {
        Error::damaged(format!("the Parquet data of the Milvus log is damaged: {reason}"))
            .with("file", self.blob.label())
            .with("byte", self.payload.start)
            .hint("copy the file again from the object store and compare sizes")
    }
}

impl Length for Slice {
    fn len(&self) -> u64 {
        self.payload.len
    }
}

impl ChunkReader for Slice {
    type T = BufReader<Box<dyn Read + Send>>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        if start > self.payload.len {
            return Err(ParquetError::EOF(format!("byte {start} lies beyond its {} bytes", self.payload.len)));
        }
        let range = self.open()?.range(self.payload.start + start, self.payload.start + self.payload.len);
        Ok(BufReader::with_capacity(BUFFER_BYTES, Box::new(range)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.payload.len);
        let end = end.ok_or_else(|| {
            ParquetError::EOF(format!("{length} bytes at {start} lie beyond its {} bytes", self.payload.len))
        })?;
        let base = self.payload.start;
        let bytes = self.open()?.range_to_vec(base + start, base + end, self.max_page as u64);
        bytes.map(Bytes::from).map_err(foreign)
    }
}

fn foreign(error: StorageError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// Checks magic and length of the footer.
fn check_envelope(slice: &Slice) -> Result<()> {
    let Payload { start, len } = slice.payload;
    let (mut head, mut tail) = ([0; 4], [0; 8]);
    if len < 12 {
        return Err(slice.damaged(format_args!("{len} bytes are too few")));
    }
    let reader = slice.blob.open()?;
    reader.read_exact_at(start, &mut head)?;
    reader.read_exact_at(start + len - 8, &mut tail)?;
    let [a, b, c, d, magic @ ..] = tail;
    if &magic == b"PARE" {
        return Err(Error::not_recognised("the Parquet data of the Milvus log is encrypted")
            .with("file", slice.blob.label())
            .hint("tranship has no keys; make the backup from a database without encryption"));
    }
    if &head != b"PAR1" || &magic != b"PAR1" {
        return Err(slice.damaged("it does not begin and end with PAR1"));
    }
    let footer = u64::from(u32::from_le_bytes([a, b, c, d]));
    if footer > len - 12 {
        return Err(slice.damaged(format_args!("the footer claims {footer} bytes of {len}")));
    }
    if footer > slice.max_page as u64 {
        return Err(Error::limit(format!("a footer of {footer} bytes; more than {} are not read", slice.max_page))
            .with("file", slice.blob.label()));
    }
    Ok(())
}

/// Rows of all row groups, once every column chunk is known to lie within the payload.
fn count_rows(metadata: &ArrowReaderMetadata, len: u64) -> std::result::Result<u64, String> {
    let mut rows = 0u64;
    for (number, group) in metadata.metadata().row_groups().iter().enumerate() {
        let size = |value: i64| u64::try_from(value).map_err(|_| format!("row group {number} has a negative size"));
        for column in group.columns() {
            let start = size(column.dictionary_page_offset().unwrap_or(column.data_page_offset()))?;
            if start.checked_add(size(column.compressed_size())?).is_none_or(|end| end > len) {
                return Err(format!("column {} of row group {number} ends beyond it", column.column_path()));
            }
            size(column.uncompressed_size())?;
        }
        rows = rows.checked_add(size(group.num_rows())?).ok_or("more rows than can be counted")?;
    }
    // Every row takes at least a fraction of a bit of a page; far more rows than bits are a lie.
    if rows > len.saturating_mul(1 << 16) || rows > u64::from(u32::MAX) {
        return Err(format!("{rows} rows in {len} bytes"));
    }
    Ok(rows)
}
