//! The records of one split, in batches.
//!
//! Errors: loss denied for a number that no f32 equals; damaged where ids and metadata contradict each other. Rejects:
//! NaN or infinity, metadata that is no acceptable JSON object.

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::{BatchBuilder, Element};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, ErrorKind, Reject, RejectSink, Result};

use crate::ids::{Id, IdReader};
use crate::matrix::{Matrix, MatrixReader, Order};
use crate::side::{SideReader, SideRow};

/// Bytes of a matrix read at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Rows read at once at most: short ones weigh more as records than in the file.
const BLOCK_ROWS: u64 = 16 << 10;

/// How numbers become elements of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// As they are.
    Kept(Element),
    /// As f32, rounded if `lossy`.
    Widened {
        /// Numbers that no f32 equals may be rounded.
        lossy: bool,
    },
    /// As packed bits.
    Bits,
}

impl How {
    /// What is worth telling about it.
    pub fn note(self) -> Option<String> {
        match self {
            How::Widened { lossy: true } => {
                Some("numbers that no f32 equals are rounded to the nearest one".to_owned())
            }
            How::Widened { lossy: false } => {
                Some("numbers are read as f32 if each is equal to one; --allow-lossy rounds the others".to_owned())
            }
            How::Kept(_) | How::Bits => None,
        }
    }
}

/// Reads rows, ids and metadata side by side.
pub struct Reader<'a> {
    /// The numbers.
    pub matrix: MatrixReader<'a>,
    /// Their shape.
    pub shape: &'a Matrix,
    /// The file's name.
    pub name: &'a str,
    /// How numbers become elements.
    pub how: How,
    /// The next row of the matrix.
    pub next: u64,
    /// One past the last row.
    pub end: u64,
    /// The number of the next row among all matrices.
    pub next_record: u64,
    /// Ids from `next_record` on.
    pub ids: IdReader,
    /// Metadata from `next_record` on.
    pub metadata: Option<SideReader<'a>>,
    /// Takes the records.
    pub builder: BatchBuilder,
    /// Takes the rejects.
    pub rejects: &'a mut dyn RejectSink,
    /// Rows read last.
    pub block: Vec<u8>,
    /// Ids of these rows.
    pub row_ids: Vec<Option<Id>>,
    /// An error ended the split.
    pub failed: bool,
}

impl Reader<'_> {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.next < self.end && self.builder.bytes() < BATCH_BYTES {
            let rows = self.rows_of_next_block() as usize;
            let mut block = std::mem::take(&mut self.block);
            let mut ids = std::mem::take(&mut self.row_ids);
            self.matrix.read(self.next, rows, &mut block)?;
            self.ids.read(self.next_record, rows, &mut ids)?;
            for (numbers, id) in block.chunks_exact(self.shape.row_bytes()).zip(&mut ids) {
                self.push(numbers, id.take())?;
                self.next += 1;
                self.next_record += 1;
            }
            (self.block, self.row_ids) = (block, ids);
        }
        if self.builder.rows() == 0 {
            return Ok(None);
        }
        self.builder.finish().map(Some).map_err(|e| Error::bug("a batch has the wrong layout").caused_by(e))
    }

    /// A block of columns costs one read for each and is therefore as long as a batch; one of chunks ends with a chunk.
    fn rows_of_next_block(&self) -> u64 {
        let aim = if self.shape.order == Order::Columns { BATCH_BYTES } else { BLOCK_BYTES };
        let aim = ((aim / self.shape.row_bytes()) as u64).clamp(1, BLOCK_ROWS);
        let chunk = self.shape.bytes.chunk_rows();
        let end = if chunk > 1 { (self.next / chunk + (aim / chunk).max(1)) * chunk } else { self.next + aim };
        end.min(self.end) - self.next
    }

    fn push(&mut self, numbers: &[u8], id: Option<Id>) -> Result<()> {
        let side = match self.metadata.as_mut().map(SideReader::next_row).transpose()? {
            None => SideRow::default(),
            Some(Ok(row)) => row,
            Some(Err(bad)) => {
                let id = id.map(|id| id.text);
                return self.rejects.reject(Reject {
                    place: bad.place,
                    id,
                    reason: bad.reason,
                    record: Some(bad.record),
                });
            }
        };
        let id = self.one_id(id, side.id)?;
        match self.how {
            How::Kept(_) | How::Bits => self.builder.push_bytes(0, numbers),
            How::Widened { lossy } => self.widen(numbers, lossy)?,
        }
        let row = RowText {
            id: &id.text,
            id_kind: id.kind,
            namespace: None,
            document: side.document.as_deref(),
            metadata: side.metadata.as_deref(),
        };
        let Err(fault) = self.builder.finish_row(row) else { return Ok(()) };
        let place = format!("{} row {}", self.name, self.next);
        self.rejects.reject(Reject { place, id: Some(id.text), reason: fault.to_string(), record: None })
    }

    /// The row's id, which its metadata must not contradict.
    fn one_id(&self, given: Option<Id>, with_metadata: Option<Id>) -> Result<Id> {
        match (given, with_metadata) {
            (Some(given), Some(other)) if given.text != other.text && !matches!(self.ids, IdReader::Rows) => {
                let what = format!("the ids say {:?}, the metadata says {:?}", given.text, other.text);
                Err(Error::damaged(what)
                    .with("row", self.next_record)
                    .hint("ids and metadata are of different files, or in different orders"))
            }
            (Some(id), _) | (None, Some(id)) => Ok(id),
            (None, None) => Err(Error::damaged("a row of the metadata has no id").with("row", self.next_record)),
        }
    }

    fn widen(&mut self, numbers: &[u8], lossy: bool) -> Result<()> {
        let number = self.shape.number;
        let widened = number.widen(numbers, lossy, self.builder.dense_values(0));
        widened.map_err(|(dimension, text)| {
            Error::new(ErrorKind::LossDenied, format!("no f32 equals {text} ({})", number.name()))
                .with("file", self.name)
                .with("row", self.next)
                .with("dimension", dimension)
                .hint("--allow-lossy rounds to the nearest f32")
        })
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.batch().transpose();
        self.failed = matches!(batch, Some(Err(_)));
        batch
    }
}
