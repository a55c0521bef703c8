//! One log file of a segment: a binlog (storage v1) or plain Parquet (storage v2), told apart by their magic.
//!
//! ```text
//! binlog  = magic i32 0x00FFFABC | descriptor event | event*            all little-endian
//! event   = u64 timestamp | i8 type | i32 length of the event, header included | i32 next_position | body
//! descriptor (type 0) body = i64 collection | i64 partition | i64 segment | i64 field (-1 in a delta log)
//!           | u64 start_ts | u64 end_ts | i32 DataType | u8[8] lengths of bodies | i32 length | extras, JSON
//! insert (type 1), delete (type 2) body = u64 start_ts | u64 end_ts | one whole Parquet file
//! ```
//!
//! Invariant: events are found by their lengths; `next_position`, which streaming writers leave at -1, is not used.
//! Payloads lie within the file. Nothing is read but headers.
//!
//! Errors: damaged with file and byte for a length that does not fit, not recognised for an encrypted log or an event
//! of another kind. Source: milvus-io/milvus `internal/storage/{binlog_writer,event_header,event_data}.go`; checked
//! against Milvus 2.3.5.

use serde::Deserialize;
use tranship_connector::{Error, Result};
use tranship_storage::{Blob, BlobReader};

const MAGIC: [u8; 4] = [0xbc, 0xfa, 0xff, 0x00];
const PARQUET_MAGIC: &[u8; 4] = b"PAR1";
const ENCRYPTED_MAGIC: &[u8; 4] = b"PARE";
const EVENT_HEADER: u64 = 17;
/// Fixed part of the descriptor's body, lengths of bodies and the length of the extras.
const DESCRIPTOR_FIXED: u64 = 52 + 8 + 4;
/// The two timestamps before a payload.
const PAYLOAD_HEAD: u64 = 16;
const MAX_EXTRAS: u64 = 1 << 20;

/// A log whose headers have been read.
#[derive(Debug, Clone)]
pub struct Log {
    /// The file; opened for each read, so that many columns cost no descriptors.
    pub blob: Blob,
    /// What a binlog says of itself; plain Parquet says nothing.
    pub header: Option<Header>,
    /// The Parquet files in it, in order.
    pub payloads: Vec<Payload>,
}

/// Bytes of one Parquet file within a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

/// The descriptor event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Id of the field; -1 in a delta log.
    pub field: i64,
    /// Number of the field's type.
    pub data_type: i64,
    /// The field may be null.
    pub nullable: bool,
}

/// Extras that matter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extras {
    nullable: Option<bool>,
    edek: Option<serde_json::Value>,
    encryption_zone: Option<serde_json::Value>,
}

impl Log {
    /// Reads the headers of `blob`.
    pub fn open(blob: &Blob) -> Result<Self> {
        let reader = blob.open()?;
        let mut magic = [0; 4];
        let seen = reader.read_at(0, &mut magic)?;
        match &magic {
            _ if seen < 4 => Err(damaged(&reader, 0, "it ends within its magic")),
            PARQUET_MAGIC => {
                let payloads = vec![Payload { start: 0, len: reader.len() }];
                Ok(Log { blob: blob.clone(), header: None, payloads })
            }
            ENCRYPTED_MAGIC => Err(encrypted(&reader)),
            _ if magic == MAGIC => {
                let (header, first) = descriptor(&reader)?;
                let payloads = payloads(&reader, first)?;
                Ok(Log { blob: blob.clone(), header: Some(header), payloads })
            }
            _ => Err(damaged(&reader, 0, "it begins neither like a binlog nor like Parquet")),
        }
    }

    /// Where it is, for messages.
    pub fn label(&self) -> &str {
        self.blob.label()
    }
}

/// The descriptor and the offset of the event behind it.
fn descriptor(reader: &BlobReader) -> Result<(Header, u64)> {
    let event = Event::read(reader, 4)?;
    if event.kind != 0 {
        return Err(damaged(reader, 4, format_args!("the first event is of kind {}, not the descriptor", event.kind)));
    }
    let mut body = [0; DESCRIPTOR_FIXED as usize];
    let at = event.start + EVENT_HEADER;
    if event.len < EVENT_HEADER + DESCRIPTOR_FIXED {
        return Err(damaged(reader, event.start, format_args!("a descriptor of {} bytes is too short", event.len)));
    }
    reader.read_exact_at(at, &mut body)?;
    let extras_len = u64::try_from(integer::<4>(&body, 60)).ok();
    let fits = |len: &u64| *len <= MAX_EXTRAS && EVENT_HEADER + DESCRIPTOR_FIXED + len == event.len;
    let Some(extras_len) = extras_len.filter(fits) else {
        return Err(damaged(reader, at + 60, "the descriptor's extras do not fill its event"));
    };
    let start = at + DESCRIPTOR_FIXED;
    let text = reader.range_to_vec(start, start + extras_len, MAX_EXTRAS)?;
    let extras: Extras = match text.is_empty() {
        true => Extras::default(),
        false => serde_json::from_slice(&text)
            .map_err(|error| damaged(reader, start, "the descriptor's extras are no JSON").caused_by(error))?,
    };
    if extras.edek.is_some() || extras.encryption_zone.is_some() {
        return Err(encrypted(reader));
    }
    let header = Header {
        field: integer::<8>(&body, 24),
        data_type: integer::<4>(&body, 48),
        nullable: extras.nullable.unwrap_or(false),
    };
    Ok((header, event.end()))
}

fn payloads(reader: &BlobReader, first: u64) -> Result<Vec<Payload>> {
    let mut payloads = Vec::new();
    let mut at = first;
    while at < reader.len() {
        let event = Event::read(reader, at)?;
        if !matches!(event.kind, 1 | 2) {
            return Err(Error::not_recognised(format!("an event of kind {} is no insert and no delete", event.kind))
                .with("file", reader.label())
                .with("byte", at));
        }
        let head = EVENT_HEADER + PAYLOAD_HEAD;
        let len = event.len.checked_sub(head).filter(|len| *len > 0);
        let len =
            len.ok_or_else(|| damaged(reader, at, format_args!("an event of {} bytes is too short", event.len)))?;
        payloads.push(Payload { start: at + head, len });
        at = event.end();
    }
    Ok(payloads)
}

struct Event {
    start: u64,
    kind: u8,
    len: u64,
}

impl Event {
    /// The event at `start`, which lies wholly within the file.
    fn read(reader: &BlobReader, start: u64) -> Result<Self> {
        let mut header = [0; EVENT_HEADER as usize];
        if reader.len().saturating_sub(start) < EVENT_HEADER {
            return Err(damaged(reader, start, "it ends within the header of an event"));
        }
        reader.read_exact_at(start, &mut header)?;
        let len = u64::try_from(integer::<4>(&header, 9)).unwrap_or(0);
        if len < EVENT_HEADER || len > reader.len() - start {
            let reason = format!("an event claims {len} bytes, {} follow", reader.len() - start);
            return Err(damaged(reader, start + 9, reason));
        }
        let [.., kind, _, _, _, _, _, _, _, _] = header;
        Ok(Event { start, kind, len })
    }

    fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// The little-endian signed integer of `N` bytes at `at`.
fn integer<const N: usize>(bytes: &[u8], at: usize) -> i64 {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N]);
    let unsigned = bytes.iter().rev().fold(0i64, |value, byte| value << 8 | i64::from(*byte));
    let unused = 64 - 8 * N as u32;
    unsigned << unused >> unused
}

/// The error for a log that contradicts itself.
pub fn damaged(reader: &BlobReader, byte: u64, reason: impl std::fmt::Display) -> Error {
    Error::damaged(format!("the Milvus log is damaged: {reason}"))
        .with("file", reader.label())
        .with("byte", byte)
        .hint("copy the file again from the object store and compare sizes")
}

fn encrypted(reader: &BlobReader) -> Error {
    Error::not_recognised("the Milvus log is encrypted")
        .with("file", reader.label())
        .hint("tranship has no keys; make the backup from a database without encryption")
}
