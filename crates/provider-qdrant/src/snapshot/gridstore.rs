//! Gridstore: values of any size by row, for payloads and sparse vectors (Qdrant 1.13 and later).
//!
//! ```text
//! config.json           page_size_bytes, block_size_bytes, compression ("LZ4" or "None", LZ4 if absent)
//! tracker.dat           u32 next row, then 16 B per row: u32 tag (0 none), u32 page, u32 block, u32 bytes
//! page_<n>.dat          values, each from a block on; one that passes the end of a page goes on in the next page
//! tracker_journal.dat   u32 bytes, u32 CRC32C, then 20 B per change: u32 row and its 16 B slot; repeated
//! ```
//!
//! The journal is written before the tracker, so its valid entries lie over the tracker; the first entry whose
//! checksum is wrong ends it. A compressed value is an LZ4 block with its size as u32 before it.
//!
//! Faulty cells: a value that does not lie within its pages, does not decompress, or claims more than the limit.
//! Errors: damaged for a configuration that cannot be; not recognised for the append-only form ("Logstore").

use std::collections::HashMap;

use serde::Deserialize;
use tranship_connector::{Error, Result};
use tranship_storage::{Blob, Limits, Tree};

use super::bytes::{damaged, u32_at};
use super::pieces::{Numbered, Piece, Pieces};

/// Bytes of a slot.
const SLOT: usize = 16;
/// Bytes of the tracker before the first slot.
const HEADER: u64 = 4;
/// Most stored bytes that one request reads.
const REQUEST_BYTES: u64 = 2 << 20;

/// A store of values.
pub struct Gridstore {
    tracker: Blob,
    journal: HashMap<u32, [u8; SLOT]>,
    pages: Numbered,
    page_bytes: u64,
    block_bytes: u64,
    is_compressed: bool,
    max_value_bytes: usize,
}

#[derive(Deserialize)]
struct Config {
    page_size_bytes: u64,
    block_size_bytes: u64,
    compression: Option<String>,
    mode: Option<String>,
}

/// A value as it was asked for.
pub enum Stored<'a> {
    /// Decompressed.
    Value(&'a [u8]),
    /// The row has none.
    None,
    /// It cannot be read, and why.
    Faulty(String),
}

#[derive(Clone, Copy)]
struct Pointer {
    page: u32,
    block: u32,
    bytes: u32,
}

impl Gridstore {
    /// Opens the store in `tree`; `None` if it has no files.
    pub fn open(tree: &Tree, limits: &Limits) -> Result<Option<Self>> {
        let Some(config) = tree.get("config.json") else {
            return match tree.is_empty() {
                true => Ok(None),
                false => Err(damaged(tree.label(), "a Gridstore without config.json")),
            };
        };
        let label = config.label();
        let parsed: Config = serde_json::from_slice(&config.read_all(64 << 10)?)
            .map_err(|e| damaged(label, "not the configuration of a Gridstore").caused_by(e))?;
        let is_log = parsed.mode.as_deref().is_some_and(|mode| mode != "mutable");
        if is_log || tree.get("log_tracker.dat").is_some() || tree.get("compacted_tracker.dat").is_some() {
            return Err(Error::not_recognised(
                "the segment keeps values in the append-only form of Gridstore (Logstore)",
            )
            .with("file", label)
            .hint("let the server optimise the collection without that feature flag, or scroll it"));
        }
        if parsed.block_size_bytes == 0 || parsed.page_size_bytes < parsed.block_size_bytes {
            return Err(damaged(label, "pages and blocks of impossible sizes"));
        }
        let is_compressed = match parsed.compression.as_deref() {
            None | Some("LZ4") => true,
            Some("None") => false,
            Some(other) => {
                return Err(Error::not_recognised(format!("values compressed by {other:?}")).with("file", label));
            }
        };
        let tracker =
            tree.get("tracker.dat").ok_or_else(|| damaged(tree.label(), "a Gridstore without tracker.dat"))?;
        Ok(Some(Gridstore {
            journal: journal(tree, limits)?,
            tracker: tracker.clone(),
            pages: Numbered::find(tree, "page_", ".dat"),
            page_bytes: parsed.page_size_bytes,
            block_bytes: parsed.block_size_bytes,
            is_compressed,
            max_value_bytes: limits.max_line_bytes,
        }))
    }

    /// Shows the values of `rows` (ascending), in order, until `visit` answers false; shows at least the first one.
    /// Stops after some megabytes.
    pub fn fetch(&self, rows: &[u32], visit: &mut dyn FnMut(Stored<'_>) -> bool) -> Result<()> {
        let pointers = self.pointers(rows)?;
        let mut pieces = Vec::with_capacity(pointers.len());
        let mut spans = Vec::with_capacity(pointers.len());
        let mut bytes = 0;
        for pointer in pointers {
            if bytes >= REQUEST_BYTES {
                break;
            }
            let first = pieces.len();
            let fault = match pointer {
                Some(pointer) if pointer.bytes as usize > self.max_value_bytes => {
                    Some(format!("a value of {} bytes, the limit is {}", pointer.bytes, self.max_value_bytes))
                }
                Some(pointer) => {
                    bytes += u64::from(pointer.bytes);
                    self.add_pieces(pointer, &mut pieces);
                    None
                }
                None => None,
            };
            spans.push((pointer.is_some(), first..pieces.len(), fault));
        }
        let mut read = Pieces::default();
        self.pages.read(&pieces, &mut read)?;
        let (mut joined, mut value) = (Vec::new(), Vec::new());
        for (is_there, span, fault) in spans {
            let stored = match fault {
                Some(why) => Stored::Faulty(why),
                None if !is_there => Stored::None,
                None => {
                    let raw = match span.len() {
                        1 => read.get(span.start),
                        _ => join(&read, span, &mut joined),
                    };
                    self.decode(raw, &mut value)
                }
            };
            if !visit(stored) {
                break;
            }
        }
        Ok(())
    }

    /// The slots of `rows`, in large reads.
    fn pointers(&self, rows: &[u32]) -> Result<Vec<Option<Pointer>>> {
        let reader = self.tracker.open()?;
        let mut pointers = Vec::with_capacity(rows.len());
        let mut window = vec![0; 64 << 10];
        let mut start = 0u64;
        let mut filled = 0usize;
        for row in rows {
            let at = HEADER + u64::from(*row) * SLOT as u64;
            let is_inside = filled > 0 && at >= start && at + SLOT as u64 <= start + filled as u64;
            if !is_inside {
                start = at;
                filled = reader.read_at(at, &mut window)?;
            }
            let slot = usize::try_from(at - start).ok().and_then(|from| window[..filled].get(from..from + SLOT));
            let slot = self.journal.get(row).map(<[u8; SLOT]>::as_slice).or(slot);
            pointers.push(slot.and_then(pointer));
        }
        Ok(pointers)
    }

    /// The pieces of a value, page by page.
    fn add_pieces(&self, pointer: Pointer, pieces: &mut Vec<Piece>) {
        let mut offset = u64::from(pointer.block).saturating_mul(self.block_bytes);
        let mut left = u64::from(pointer.bytes);
        let mut page = pointer.page;
        loop {
            let len = left.min(self.page_bytes.saturating_sub(offset));
            if len == 0 && left > 0 {
                // A pointer behind the end of its page: a piece that no file holds.
                pieces.push(Piece { file: page, offset: u64::MAX, len: left });
                return;
            }
            pieces.push(Piece { file: page, offset, len });
            if !self.pages.holds(page) {
                // As many pieces as there are pages, whatever size a page claims to have.
                return;
            }
            left -= len;
            let Some(next) = page.checked_add(1).filter(|_| left > 0) else { return };
            (page, offset) = (next, 0);
        }
    }

    fn decode<'a>(&self, raw: Option<&'a [u8]>, value: &'a mut Vec<u8>) -> Stored<'a> {
        let Some(raw) = raw else {
            return Stored::Faulty("its value does not lie within the pages".to_owned());
        };
        if !self.is_compressed {
            return Stored::Value(raw);
        }
        let Some((size, block)) = u32_at(raw, 0).zip(raw.get(4..)) else {
            return Stored::Faulty("its compressed value has no size".to_owned());
        };
        // LZ4 makes at most 255 bytes of one.
        if size as usize > self.max_value_bytes || size as usize > block.len().saturating_mul(255) {
            return Stored::Faulty(format!("its compressed value of {} bytes claims to hold {size}", raw.len()));
        }
        value.clear();
        value.resize(size as usize, 0);
        match lz4_flex::block::decompress_into(block, value) {
            Ok(written) if written == size as usize => Stored::Value(value),
            Ok(written) => Stored::Faulty(format!("its value decompresses to {written} bytes, {size} are stated")),
            Err(error) => Stored::Faulty(format!("its value does not decompress: {error}")),
        }
    }
}

/// The pieces of a value put together.
fn join<'a>(read: &Pieces, span: std::ops::Range<usize>, joined: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    joined.clear();
    for piece in span {
        joined.extend_from_slice(read.get(piece)?);
    }
    Some(joined)
}

fn pointer(slot: &[u8]) -> Option<Pointer> {
    let number = |at| u32_at(slot, at);
    if number(0)? == 0 {
        return None;
    }
    Some(Pointer { page: number(4)?, block: number(8)?, bytes: number(12)? })
}

/// The changes that may not have reached the tracker.
fn journal(tree: &Tree, limits: &Limits) -> Result<HashMap<u32, [u8; SLOT]>> {
    let mut slots = HashMap::new();
    let Some(blob) = tree.get("tracker_journal.dat") else { return Ok(slots) };
    let bytes = blob.read_all(limits.max_page_bytes as u64)?;
    let mut rest = bytes.as_slice();
    while let Some((entry, behind)) = journal_entry(rest) {
        for change in entry.as_chunks::<20>().0 {
            if let (Some(row), Some(slot)) = (u32_at(change, 0), change.last_chunk()) {
                slots.insert(row, *slot);
            }
        }
        rest = behind;
    }
    Ok(slots)
}

/// The changes of the next entry, and what is behind it.
fn journal_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, sum) = (u32_at(bytes, 0)? as usize, u32_at(bytes, 4)?);
    let (entry, behind) = bytes.get(8..)?.split_at_checked(len)?;
    (len > 0 && len.is_multiple_of(20) && crc32c::crc32c(entry) == sum).then_some((entry, behind))
}
