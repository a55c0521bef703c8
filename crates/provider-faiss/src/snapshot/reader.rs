//! Reads the rows of a split: a run of codes in one positioned read, each row copied into the batch as it stands.
//!
//! Rejects: NaN or infinite vectors, and what a document store says against a record. Errors: damaged where a label
//! points outside an id map.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::{BatchBuilder, CollectionSchema, IdKind};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, Reject, RejectSink, Result};
use tranship_storage::BlobReader;

use super::cursor::damaged;
use super::decode::Decoder;
use super::labels::Labels;
use super::plan::Plan;
use crate::langchain::{Assembler, Docstore};

/// What a reader reads.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The index file.
    pub file: &'a BlobReader,
    /// How it is read.
    pub plan: &'a Plan,
    /// Schema of the batches.
    pub schema: &'a Arc<CollectionSchema>,
    /// The documents, for a LangChain folder.
    pub documents: Option<&'a Docstore>,
    /// Rows are numbered, whatever ids the file has.
    pub number_rows: bool,
    /// Bytes of a record in a batch, about.
    pub record_bytes: u64,
}

/// Iterator over the batches of a split.
pub struct Reader<'a> {
    input: Input<'a>,
    next: u64,
    end: u64,
    builder: BatchBuilder,
    decoder: Decoder,
    labels: Labels,
    codes: Vec<u8>,
    assembler: Assembler,
    id: String,
    rejects: &'a mut dyn RejectSink,
}

impl<'a> Reader<'a> {
    /// Over the rows `start..end`.
    pub fn new(input: Input<'a>, start: u64, end: u64, rejects: &'a mut dyn RejectSink) -> Result<Self> {
        let builder = BatchBuilder::new(input.schema.clone()).map_err(|fault| Error::bug(fault.to_string()))?;
        Ok(Reader {
            builder,
            decoder: Decoder::new(input.file, input.plan)?,
            labels: Labels::default(),
            codes: Vec::new(),
            assembler: Assembler::default(),
            id: String::new(),
            next: start,
            end: end.min(input.plan.rows),
            input,
            rejects,
        })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.next < self.end && self.builder.bytes() < BATCH_BYTES {
            self.fill()?;
        }
        match self.builder.rows() {
            0 => Ok(None),
            _ => self.builder.finish().map(Some).map_err(|fault| Error::bug(fault.to_string())),
        }
    }

    /// Reads rows of one run until the batch is full.
    fn fill(&mut self) -> Result<()> {
        let room = BATCH_BYTES.saturating_sub(self.builder.bytes()) as u64;
        let most = (room / self.input.record_bytes.max(1) + 1).min(self.end - self.next);
        let Some(piece) = self.input.plan.piece(self.next, most) else {
            return Err(Error::bug(format!("row {} is in no run", self.next)));
        };
        let row_bytes = self.input.plan.row_bytes();
        self.codes.resize((piece.rows * row_bytes) as usize, 0);
        self.input.file.read_exact_at(piece.codes_at, &mut self.codes)?;
        self.labels.read(self.input.file, self.input.plan, &piece)?;
        self.decoder.enter(self.input.file, piece.list, &mut self.codes)?;
        for (position, code) in (0u64..).zip(self.codes.chunks_exact((row_bytes as usize).max(1))) {
            self.decoder.push(code, &mut self.builder);
            let label = self.labels.get(position as usize);
            let appended = match self.input.documents {
                None => append(label, piece.first + position, &self.input, &mut self.id, &mut self.builder),
                Some(documents) => self.assembler.append(documents, label, &mut self.id, &mut self.builder),
            };
            if let Err(reason) = appended {
                self.builder.rollback();
                let place = format!("{} row {}", self.input.file.label(), piece.first + position);
                let id = Some(self.id.clone()).filter(|id| !id.is_empty());
                self.rejects.reject(Reject { place, id, reason, record: None })?;
            }
            self.next += 1;
            if self.builder.bytes() >= BATCH_BYTES {
                break;
            }
        }
        Ok(())
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            self.next = self.end;
        }
        batch.transpose()
    }
}

/// Completes a record that is nothing but its id and vector.
fn append(
    label: i64,
    row: u64,
    input: &Input<'_>,
    id: &mut String,
    builder: &mut BatchBuilder,
) -> std::result::Result<(), String> {
    id.clear();
    // Writing to a string cannot fail.
    let _written = if input.number_rows { write!(id, "{row}") } else { write!(id, "{label}") };
    let text = RowText { id, id_kind: IdKind::Integer, namespace: None, document: None, metadata: None };
    builder.finish_row(text).map_err(|fault| fault.to_string())
}

/// An error for a label that no map knows.
pub fn stray_label(file: &BlobReader, at: u64, label: i64, count: u64) -> Error {
    damaged(file.label(), at, format_args!("row {label} of an id map of {count} ids"))
}
