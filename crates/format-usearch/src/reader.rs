//! The live vectors of one split, in batches.
//!
//! Errors: loss denied for a double that no f32 equals. Rejects: NaN or infinity.

use arrow_array::RecordBatch;
use tranship_collection::BatchBuilder;
use tranship_collection::batch::RowText;
use tranship_collection::schema::IdKind;
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, ErrorKind, Reject, RejectSink, Result};

use crate::header::Scalar;
use crate::nodes::{Nodes, REMOVED};
use crate::source::UsearchSource;

/// Bytes of the matrix read at once.
const BLOCK_BYTES: u64 = 1 << 20;
/// Rows read at once at most: short ones weigh more as records than in the file.
const BLOCK_ROWS: u64 = 16 << 10;

/// Reads nodes and rows side by side.
pub struct Reader<'a> {
    source: &'a UsearchSource,
    nodes: Nodes<'a>,
    end: u64,
    builder: BatchBuilder,
    rejects: &'a mut dyn RejectSink,
    block: Vec<u8>,
    failed: bool,
}

impl<'a> Reader<'a> {
    /// The rows from the next of `nodes` to `end`.
    pub fn new(
        source: &'a UsearchSource,
        nodes: Nodes<'a>,
        end: u64,
        builder: BatchBuilder,
        rejects: &'a mut dyn RejectSink,
    ) -> Self {
        Reader { source, nodes, end, builder, rejects, block: Vec::new(), failed: false }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let layout = &self.source.layout;
        let per_block = (BLOCK_BYTES / layout.row_bytes.max(1)).clamp(1, BLOCK_ROWS);
        while self.nodes.place().0 < self.end && self.builder.bytes() < BATCH_BYTES {
            let first = self.nodes.place().0;
            let count = per_block.min(self.end - first);
            let mut block = std::mem::take(&mut self.block);
            block.resize((count * layout.row_bytes) as usize, 0);
            self.source.file.read_exact_at(layout.matrix + first * layout.row_bytes, &mut block)?;
            for (row, bytes) in (first..).zip(block.chunks_exact_mut(layout.row_bytes as usize)) {
                match self.nodes.next_key()? {
                    REMOVED => {}
                    key => self.push(row, key, bytes)?,
                }
            }
            self.block = block;
        }
        if self.builder.rows() == 0 {
            return Ok(None);
        }
        self.builder.finish().map(Some).map_err(|e| Error::bug("a batch has the wrong layout").caused_by(e))
    }

    fn push(&mut self, row: u64, key: u64, bytes: &mut [u8]) -> Result<()> {
        match self.source.layout.scalar {
            Scalar::Is(_) => self.builder.push_bytes(0, bytes),
            Scalar::Bits => {
                clear_padding(bytes, self.source.layout.dims);
                self.builder.push_bytes(0, bytes);
            }
            Scalar::F64 => self.push_doubles(row, key, bytes)?,
        }
        let metadata = self.source.ids_are_rows.then(|| format!("{{\"key\":{key}}}"));
        let id = if self.source.ids_are_rows { row } else { key }.to_string();
        let text = RowText {
            id: &id,
            id_kind: IdKind::Integer,
            namespace: None,
            document: None,
            metadata: metadata.as_deref(),
        };
        let Err(fault) = self.builder.finish_row(text) else { return Ok(()) };
        let place = format!("{} vector {row}", self.source.file.path().display());
        self.rejects.reject(Reject { place, id: Some(id), reason: fault.to_string(), record: None })
    }

    fn push_doubles(&mut self, row: u64, key: u64, bytes: &[u8]) -> Result<()> {
        let values = self.builder.dense_values(0);
        for (dimension, word) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let value = f64::from_le_bytes(*word);
            let narrow = value as f32;
            if f64::from(narrow) != value && !value.is_nan() && !self.source.allow_lossy {
                return Err(Error::new(ErrorKind::LossDenied, format!("no f32 equals the double {value}"))
                    .with("file", self.source.file.path().display())
                    .with("key", key)
                    .with("vector", row)
                    .with("dimension", dimension)
                    .hint("--allow-lossy rounds to the nearest f32"));
            }
            values.push(narrow);
        }
        Ok(())
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

/// Bits beyond the dimensions mean nothing and are 0 in our layout.
fn clear_padding(bytes: &mut [u8], dims: u64) {
    if let Some(last) = bytes.last_mut().filter(|_| !dims.is_multiple_of(8)) {
        *last &= 0xff << (8 - dims % 8);
    }
}
