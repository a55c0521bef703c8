//! The files of a write-ahead log, read entry by entry.
//!
//! ```text
//! closed-<first index>  open-<number>      files, closed ones in order of their index, then open ones in order
//! first-index                              {"ack_index": n}: entries before n are in the segments; absent = from 0
//!
//! file  = "wal" | u8 version 0 | u32 seed | entries, preallocated with zeros
//! entry = u64 bytes | data | 0 to 7 zeros, so that the next entry is aligned to 8 | u32 crc
//! crc   = CRC32C of everything before it in the entry, begun with the reversed and inverted crc of the entry before
//!         (of the first one: with the seed)
//! ```
//! The first entry of a file that fails its checksum ends the file: that is how the log finds its own end.
//!
//! Invariant: indices are contiguous over all files, one entry is in memory at a time.
//! Errors: damaged for a file that is no log, for indices that are missing between files, limit for an entry beyond
//! `Limits::max_page_bytes`. Bytes after the end of a file's entries that are no zeros are told.
//! Source: qdrant/wal `src/segment.rs`.

use tranship_connector::{Error, Result};
use tranship_storage::{Blob, BlobReader, Limits, Tree};

const HEADER_BYTES: u64 = 8;

/// The files of a log in the order of their entries.
pub struct WalFiles {
    label: String,
    files: Vec<WalFile>,
    /// Index of the first entry that may not be in the segments.
    pub acknowledged: u64,
    limits: Limits,
}

struct WalFile {
    /// Index of the first entry, if the name says it.
    first: Option<u64>,
    blob: Blob,
}

/// The entries of a log.
pub struct Entries<'a> {
    wal: &'a WalFiles,
    next_file: usize,
    reader: Option<FileReader>,
    next_index: u64,
    notes: Vec<String>,
}

/// An entry and its index, which is the number of its operation.
pub struct Entry {
    /// Number of the operation.
    pub index: u64,
    /// The operation.
    pub data: Vec<u8>,
    /// The file and the byte that it begins at, for messages.
    pub place: (String, u64),
}

struct FileReader {
    file: BlobReader,
    at: u64,
    crc: u32,
}

impl WalFiles {
    /// The log in `files`; `None` if no file of one is there.
    pub fn open(files: &Tree, limits: &Limits) -> Result<Option<Self>> {
        let mut closed = Vec::new();
        let mut open = Vec::new();
        for (name, blob) in files.iter() {
            if let Some(first) = name.strip_prefix("closed-").and_then(|number| number.parse().ok()) {
                closed.push((first, WalFile { first: Some(first), blob: blob.clone() }));
            } else if let Some(number) = name.strip_prefix("open-").and_then(|number| number.parse::<u64>().ok()) {
                open.push((number, WalFile { first: None, blob: blob.clone() }));
            }
        }
        closed.sort_by_key(|(first, _)| *first);
        open.sort_by_key(|(number, _)| *number);
        let ordered: Vec<WalFile> = closed.into_iter().chain(open).map(|(_, file)| file).collect();
        if ordered.is_empty() {
            return Ok(None);
        }
        let acknowledged = acknowledged(files)?;
        Ok(Some(WalFiles { label: files.label().to_owned(), files: ordered, acknowledged, limits: limits.clone() }))
    }

    /// Where it is, for messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// All entries from the first file on.
    pub fn entries(&self) -> Entries<'_> {
        Entries { wal: self, next_file: 0, reader: None, next_index: 0, notes: Vec::new() }
    }
}

impl Entries<'_> {
    /// The next entry.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(reader) = &mut self.reader {
                let (label, at) = (reader.file.label().to_owned(), reader.at);
                if let Some(data) = reader.next(&self.wal.limits)? {
                    let index = self.next_index;
                    self.next_index = index.saturating_add(1);
                    return Ok(Some(Entry { index, data, place: (label, at) }));
                }
                self.notes.extend(reader.remains()?);
                self.reader = None;
            }
            let Some(file) = self.wal.files.get(self.next_file) else { return Ok(None) };
            self.begin(file)?;
        }
    }

    /// What was found after the last entries of files.
    pub fn notes(self) -> Vec<String> {
        self.notes
    }

    fn begin(&mut self, file: &WalFile) -> Result<()> {
        if let Some(first) = file.first {
            if self.next_file > 0 && first != self.next_index {
                let next = self.next_index;
                let what = format!("it begins with entry {first}, but the file before it ends before entry {next}");
                return Err(damaged(file.blob.label(), 0, what));
            }
            self.next_index = first;
        }
        self.reader = FileReader::open(&file.blob)?;
        self.next_file += 1;
        Ok(())
    }
}

impl FileReader {
    /// `None` for a file that has room and nothing in it.
    fn open(blob: &Blob) -> Result<Option<Self>> {
        let file = blob.open()?;
        let mut header = [0; HEADER_BYTES as usize];
        let read = file.read_at(0, &mut header)?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        match header {
            [b'w', b'a', b'l', 0, seed @ ..] if read == header.len() => {
                Ok(Some(FileReader { file, at: HEADER_BYTES, crc: u32::from_le_bytes(seed) }))
            }
            [b'w', b'a', b'l', version, ..] if read == header.len() => {
                Err(Error::not_recognised(format!("a write-ahead log of version {version}, only 0 is known"))
                    .with("file", blob.label())
                    .hint("start the server once on a copy of the directory, so that it applies its log, and stop it"))
            }
            _ => Err(damaged(blob.label(), 0, "it is not a write-ahead log".to_owned())),
        }
    }

    /// The data of the next entry; `None` at the end of the entries.
    fn next(&mut self, limits: &Limits) -> Result<Option<Vec<u8>>> {
        let mut len = [0; 8];
        if self.file.read_at(self.at, &mut len)? < len.len() {
            return Ok(None);
        }
        let data_len = u64::from_le_bytes(len);
        let padding = 4u64.wrapping_sub(data_len) & 7;
        let covered = data_len.checked_add(8 + padding);
        let end = covered.and_then(|covered| covered.checked_add(4)?.checked_add(self.at));
        let (Some(covered), Some(end)) = (covered, end.filter(|end| *end <= self.file.len())) else { return Ok(None) };
        if data_len > limits.max_page_bytes as u64 {
            return Err(Error::limit(format!(
                "an operation of {data_len} bytes, the limit is {}",
                limits.max_page_bytes
            ))
            .with("file", self.file.label())
            .with("byte", self.at)
            .hint("if operations really are that large, raise the limit"));
        }
        let mut bytes = self.file.range_to_vec(self.at, end, u64::MAX)?;
        let stored = bytes.split_off(covered as usize);
        let crc = crc32c::crc32c_append(!self.crc.reverse_bits(), &bytes);
        if stored != crc.to_le_bytes() {
            return Ok(None);
        }
        (self.at, self.crc) = (end, crc);
        bytes.truncate(8 + data_len as usize);
        bytes.drain(..8);
        Ok(Some(bytes))
    }

    /// Says so if what follows the last entry is no unused room.
    fn remains(&self) -> Result<Option<String>> {
        let mut next = [0; 16];
        let read = self.file.read_at(self.at, &mut next)?;
        let used = next.iter().take(read).any(|byte| *byte != 0);
        Ok(used.then(|| {
            let (label, at) = (self.file.label(), self.at);
            format!("{label}: what begins at byte {at} fails its checksum and is not read, as the server would not")
        }))
    }
}

/// The first index that is not acknowledged.
fn acknowledged(files: &Tree) -> Result<u64> {
    let Some(blob) = files.get("first-index") else { return Ok(0) };
    let bytes = blob.read_all(1 << 16)?;
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| damaged(blob.label(), 0, "it is no JSON".to_owned()).caused_by(error))?;
    value
        .get("ack_index")
        .and_then(serde_json::Value::as_u64)
        .ok_or_else(|| damaged(blob.label(), 0, "it has no ack_index".to_owned()))
}

fn damaged(label: &str, byte: u64, what: String) -> Error {
    Error::damaged(format!("a write-ahead log is damaged: {what}"))
        .with("file", label)
        .with("byte", byte)
        .hint("copy the whole directory again while its server is stopped, or take a new snapshot")
}
