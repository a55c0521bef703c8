//! Writes one JSONL file, or standard output, on the ordered lane.
//!
//! Workers encode (and compress, where the name ends in `.gz` or `.zst`) whole shards; they are appended in split
//! order. Invariant: a file has its name only when it is whole; one that was not finished is written anew. When the reader
//! of standard output goes away, the error says so ([`Error::is_broken_pipe`]), for the command line to end well.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use tranship_collection::{BatchView, CollectionSchema};
use tranship_connector::{
    Error, ErrorKind, Mapping, Negotiated, Result, ShardOutput, ShardWriter, Sink, Survey, Totals,
};
use tranship_storage::{Compression, Compressor, StagedFile};

use crate::encode::RowEncoder;

/// Bytes of source per split: a shard's text is held in memory until its turn.
pub const SHARD_SOURCE_BYTES: u64 = 16 << 20;
/// Bytes of text that go to the compressor at a time; part of the format of deterministic output.
const CHUNK_BYTES: usize = 1 << 20;

/// One JSONL output.
pub struct JsonlSink {
    path: PathBuf,
    compression: Compression,
    output: Mutex<Option<Output>>,
}

enum Output {
    File(StagedFile),
    Stdout(io::Stdout),
}

impl JsonlSink {
    /// A sink for `path`, `-` for standard output. Nothing is touched before `begin`.
    pub fn new(path: &Path) -> Self {
        JsonlSink { path: path.to_owned(), compression: Compression::by_name(path), output: Mutex::new(None) }
    }

    fn output(&self) -> MutexGuard<'_, Option<Output>> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for JsonlSink {
    fn negotiate(&self, _schema: &CollectionSchema, _survey: &Survey) -> Result<Negotiated> {
        Ok(Negotiated { losses: Vec::new(), mapping: None })
    }

    fn split_bytes(&self) -> u64 {
        SHARD_SOURCE_BYTES
    }

    fn begin(&self, _plan: &str, _schema: &CollectionSchema) -> Result<BTreeMap<u64, ShardOutput>> {
        let output = match self.path == Path::new("-") {
            true => Output::Stdout(io::stdout()),
            false => Output::File(StagedFile::create(&self.path)?),
        };
        *self.output() = Some(output);
        Ok(BTreeMap::new())
    }

    fn shard_memory_bytes(&self, _schema: &CollectionSchema) -> u64 {
        // Four bytes of f32 become about eleven of text, rarely 16, and a growing buffer may be twice its content.
        5 * SHARD_SOURCE_BYTES
    }

    fn open_shard<'a>(
        &'a self,
        ordinal: u64,
        schema: &'a CollectionSchema,
        _mapping: Option<&'a Mapping>,
    ) -> Result<Box<dyn ShardWriter + 'a>> {
        let compressor = match self.compression {
            Compression::None => None,
            compression => Some(Compressor::new(compression).map_err(Error::from)?),
        };
        Ok(Box::new(JsonlShard { ordinal, schema, rows: 0, text: Vec::new(), compressor }))
    }

    fn publish(&self, shard: &mut ShardOutput) -> Result<()> {
        let bytes = std::mem::take(&mut shard.bytes);
        let written = match self.output().as_mut() {
            Some(Output::File(file)) => file.write_all(&bytes),
            Some(Output::Stdout(stdout)) => stdout.write_all(&bytes),
            None => return Err(Error::bug("an output was written before it began")),
        };
        written.map_err(|e| match Error::from(e) {
            full if full.kind() == ErrorKind::DiskFull => {
                full.hint("free some space and run the same command again: a single file is written anew")
            }
            other => other,
        })
    }

    fn abandon(&self) -> Result<()> {
        match self.output().take() {
            Some(Output::File(file)) => Ok(file.abandon()?),
            _ => Ok(()),
        }
    }

    fn commit(&self, _totals: &Totals<'_>) -> Result<()> {
        match self.output().take() {
            Some(Output::File(file)) => {
                file.publish()?;
                Ok(())
            }
            Some(Output::Stdout(mut stdout)) => stdout.flush().map_err(Error::from),
            None => Err(Error::bug("an output was committed before it began")),
        }
    }
}

struct JsonlShard<'a> {
    ordinal: u64,
    schema: &'a CollectionSchema,
    rows: u64,
    text: Vec<u8>,
    /// `None` for plain text, which stays where it was encoded.
    compressor: Option<Compressor>,
}

impl ShardWriter for JsonlShard<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let view = BatchView::new(batch, self.schema)
            .map_err(|e| Error::bug("a batch does not fit its collection").caused_by(e))?;
        for row in 0..view.len() {
            RowEncoder::encode(&view, row, &mut self.text)?;
            if let Some(compressor) = self.compressor.as_mut().filter(|_| self.text.len() >= CHUNK_BYTES) {
                compressor.write_all(&self.text)?;
                self.text.clear();
            }
        }
        self.rows += view.len() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<ShardOutput> {
        let bytes = match self.compressor.take() {
            None => std::mem::take(&mut self.text),
            Some(mut compressor) => {
                compressor.write_all(&self.text)?;
                compressor.finish()?
            }
        };
        Ok(ShardOutput { ordinal: self.ordinal, rows: self.rows, bytes, ..ShardOutput::default() })
    }
}
