//! A write-ahead log of Milvus Lite 3: an Arrow IPC stream that its writer may have left anywhere.
//!
//! ```text
//! stream = message*, (ffffffff 00000000)?      message = ffffffff u32 bytes of metadata, metadata, body
//! ```
//! Invariant: a message is decoded only when all of it is in the file. A log that ends within a message gives the
//! batches before it and says so ([`Wal::cut_at`]): its writer was stopped, and the database itself takes no more
//! either. Anything else that does not hold together is damage.
//!
//! Errors: damaged with file and offset. Source: Arrow columnar format 1.5, "IPC Streaming Format".

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use tranship_connector::{Error, Result};
use tranship_storage::{Blob, BlobReader};

/// Bytes before the metadata.
const PREFIX_BYTES: u64 = 8;
const CONTINUATION: [u8; 4] = [0xff; 4];

/// A log being read.
pub struct Wal {
    reader: BlobReader,
    position: u64,
    decoder: StreamDecoder,
    /// Where the incomplete message begins, once it was met.
    pub cut_at: Option<u64>,
    ended: bool,
    max_message: u64,
}

impl Wal {
    /// Opens a log whose messages have at most `max_message` bytes.
    pub fn open(blob: &Blob, max_message: u64) -> Result<Self> {
        let (reader, decoder) = (blob.open()?, StreamDecoder::new());
        Ok(Wal { reader, position: 0, decoder, cut_at: None, ended: false, max_message })
    }

    /// The next batch; `None` at the end of the stream or where it was cut.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while !self.ended {
            let Some(message) = self.message()? else {
                self.ended = true;
                break;
            };
            let mut buffer = Buffer::from_vec(message);
            let decoder = &mut self.decoder;
            let decoded = catch_unwind(AssertUnwindSafe(|| decoder.decode(&mut buffer)));
            let batch = match decoded {
                Ok(Ok(batch)) => batch,
                Ok(Err(error)) => return Err(self.damaged(error)),
                Err(_panic) => return Err(self.damaged("it contradicts itself")),
            };
            self.position += self.length()?.unwrap_or(0);
            if batch.is_some() {
                return Ok(batch);
            }
        }
        Ok(None)
    }

    /// All bytes of the next message, or `None` if there is none or not all of it.
    fn message(&mut self) -> Result<Option<Vec<u8>>> {
        let left = self.reader.len() - self.position;
        match self.length()? {
            None if left == 0 => Ok(None),
            None if self.is_end_mark()? => Ok(None),
            Some(length) if length <= left => {
                let end = self.position + length;
                Ok(Some(self.reader.range_to_vec(self.position, end, self.max_message)?))
            }
            _ => {
                self.cut_at = Some(self.position);
                Ok(None)
            }
        }
    }

    fn is_end_mark(&self) -> Result<bool> {
        let mut prefix = [0; PREFIX_BYTES as usize];
        let found = self.reader.read_at(self.position, &mut prefix)?;
        Ok(found == prefix.len() && prefix[4..] == [0; 4])
    }

    /// Bytes of the next message as it says itself; `None` at the end mark and where not even that is known.
    fn length(&self) -> Result<Option<u64>> {
        let left = self.reader.len() - self.position;
        let mut prefix = [0; PREFIX_BYTES as usize];
        if left < PREFIX_BYTES {
            return Ok(None);
        }
        self.reader.read_exact_at(self.position, &mut prefix)?;
        let [a, b, c, d, size @ ..] = prefix;
        if [a, b, c, d] != CONTINUATION {
            return Err(self.damaged("a message does not begin where it should"));
        }
        let metadata = u64::from(u32::from_le_bytes(size));
        if metadata == 0 || metadata > left - PREFIX_BYTES {
            return Ok((metadata > 0).then_some(u64::MAX));
        }
        let start = self.position + PREFIX_BYTES;
        let bytes = self.reader.range_to_vec(start, start + metadata, self.max_message)?;
        let parsed = catch_unwind(|| arrow_ipc::root_as_message(&bytes).map(|message| message.bodyLength()));
        let body = match parsed {
            Ok(Ok(body)) => u64::try_from(body).map_err(|_| self.damaged("a message has a negative length"))?,
            Ok(Err(error)) => return Err(self.damaged(error)),
            Err(_panic) => return Err(self.damaged("it contradicts itself")),
        };
        Ok(Some((PREFIX_BYTES + metadata).saturating_add(body)))
    }

    fn damaged(&self, why: impl std::fmt::Display) -> Error {
        Error::damaged(format!("cannot read the write-ahead log {}: {why}", self.reader.label()))
            .with("byte", self.position)
            .hint("copy the directory again from its origin while the database is closed")
    }
}
