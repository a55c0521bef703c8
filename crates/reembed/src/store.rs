//! The cache: vectors by the digest of their text, in one file per space that only grows.
//!
//! ```text
//! "TREMBED1" | u32 length | JSON of the space | u64 XXH3 of all that
//! digest 16 B | u32 tokens | dims x f32 | u64 XXH3 of all that       once per text, little-endian
//! ```
//!
//! Invariant: a vector counts only when the file has been synced behind it, and what the index names has the right
//! checksum. Records have one length, so a damaged one is passed over and embedded anew; a torn end is cut off.
//! The index takes 21 bytes a slot and is held against the memory given.
//!
//! Errors: damaged (the head of the file is not that of the space), limit (too many texts for the memory).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tranship_connector::{Error, Result};
use tranship_storage::{InputFile, Journal};
use xxhash_rust::xxh3::xxh3_64;

use crate::space::Space;

/// First 16 bytes of the SHA-256 of a normalised text.
pub type Digest = [u8; 16];

/// Stands in the index for a text that the hook has been asked for.
pub const ASKED: u32 = u32::MAX;
/// Stands in the index for a text that the hook refused.
pub const REFUSED: u32 = u32::MAX - 1;

const MAGIC: &[u8; 8] = b"TREMBED1";
const SLOT_BYTES: u64 = 21;
const READ_BYTES: usize = 1 << 20;

/// A vector on its way into the cache.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Of the text.
    pub digest: Digest,
    /// Tokens that it cost.
    pub tokens: u32,
    /// `dims` elements.
    pub vector: Vec<f32>,
}

/// The vectors of one space.
pub struct Store {
    journal: Journal,
    input: InputFile,
    dims: usize,
    head_bytes: u64,
    rows: u32,
    index: HashMap<Digest, u32>,
    memory_bytes: u64,
    tokens: u64,
    damaged: u64,
}

/// The digest of a normalised text.
pub fn digest(text: &str) -> Digest {
    let mut out = [0; 16];
    out.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    out
}

impl Store {
    /// Opens the file of `space` in `dir`, new if it is not there. The index may take `memory_bytes`.
    pub fn open(dir: &Path, space: &Space, memory_bytes: u64) -> Result<Self> {
        let path = dir.join(format!("{}.vectors", space.key()));
        let mut journal = Journal::open(&path)?;
        let head = head(space);
        check_head(&mut journal, &path, &head)?;
        let input = InputFile::open(&path)?;
        let mut store = Store {
            journal,
            input,
            dims: space.dims,
            head_bytes: head.len() as u64,
            rows: 0,
            index: HashMap::new(),
            memory_bytes,
            tokens: 0,
            damaged: 0,
        };
        store.read_index()?;
        Ok(store)
    }

    /// Where the vectors lie.
    pub fn path(&self) -> PathBuf {
        self.journal.path().to_owned()
    }

    /// Tokens of everything in the file.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Records with a wrong checksum, which are embedded anew.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Texts that have a vector.
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// True if no text has a vector.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// What is known of a text: a row, [`ASKED`] or [`REFUSED`].
    pub fn state(&self, digest: &Digest) -> Option<u32> {
        self.index.get(digest).copied()
    }

    /// Notes something about a text.
    pub fn mark(&mut self, digest: Digest, state: u32) -> Result<()> {
        if self.index.len() == self.index.capacity() && !self.index.contains_key(&digest) {
            self.refuse_growth()?;
        }
        self.index.insert(digest, state);
        Ok(())
    }

    /// A growing table holds the old and the new half for a moment.
    fn refuse_growth(&self) -> Result<()> {
        let slots = (self.index.capacity() as u64 * 8 / 7).max(4);
        let needed = 3 * slots * SLOT_BYTES;
        if needed <= self.memory_bytes {
            return Ok(());
        }
        let least = (4 * needed).div_ceil(1 << 20);
        Err(Error::limit(format!("the index of {} embedded texts does not fit the memory", self.index.len()))
            .hint(format!("give at least --memory {least}MiB")))
    }

    /// Appends vectors and syncs; from then on they count.
    pub fn append(&mut self, batch: &[Embedded]) -> Result<()> {
        let mut bytes = Vec::with_capacity(batch.len() * self.record_bytes());
        for one in batch {
            let start = bytes.len();
            bytes.extend_from_slice(&one.digest);
            bytes.extend_from_slice(&one.tokens.to_le_bytes());
            one.vector.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
            let sum = xxh3_64(&bytes[start..]);
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        self.journal.append(&bytes)?;
        self.journal.sync()?;
        for one in batch {
            self.mark(one.digest, self.rows)?;
            self.rows += 1;
            self.tokens += u64::from(one.tokens);
        }
        Ok(())
    }

    /// Reads the vector at `row` to the end of `out`.
    pub fn vector(&self, row: u32, out: &mut Vec<f32>) -> Result<()> {
        let mut record = vec![0; self.record_bytes()];
        let at = self.head_bytes + u64::from(row) * record.len() as u64;
        self.input.read_exact_at(at, &mut record)?;
        if !is_whole(&record) {
            return Err(Error::damaged("a cached vector has a wrong checksum")
                .with("file", self.path().display())
                .with("byte", at)
                .hint("run the same command again: what is damaged is embedded anew"));
        }
        let values = record[20..20 + 4 * self.dims].chunks_exact(4);
        out.extend(values.map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]])));
        Ok(())
    }

    fn record_bytes(&self) -> usize {
        16 + 4 + 4 * self.dims + 8
    }

    fn read_index(&mut self) -> Result<()> {
        let record_bytes = self.record_bytes();
        let rows = (self.input.len() - self.head_bytes) / record_bytes as u64;
        let whole = self.head_bytes + rows * record_bytes as u64;
        if whole < self.input.len() {
            self.journal.cut(whole)?;
        }
        let per_read = (READ_BYTES / record_bytes).max(1) as u64;
        let mut buffer = Vec::new();
        for first in (0..rows).step_by(per_read as usize) {
            let count = per_read.min(rows - first);
            buffer.resize(count as usize * record_bytes, 0);
            self.input.read_exact_at(self.head_bytes + first * record_bytes as u64, &mut buffer)?;
            for (step, record) in buffer.chunks_exact(record_bytes).enumerate() {
                if !is_whole(record) {
                    self.damaged += 1;
                    continue;
                }
                let mut digest = [0; 16];
                digest.copy_from_slice(&record[..16]);
                self.tokens += u64::from(u32::from_le_bytes([record[16], record[17], record[18], record[19]]));
                self.mark(digest, (first + step as u64) as u32)?;
            }
        }
        self.rows = rows as u32;
        Ok(())
    }
}

fn is_whole(record: &[u8]) -> bool {
    record.split_last_chunk::<8>().is_some_and(|(body, sum)| xxh3_64(body) == u64::from_le_bytes(*sum))
}

fn head(space: &Space) -> Vec<u8> {
    let json = space.to_json();
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&(json.len() as u32).to_le_bytes());
    head.extend_from_slice(json.as_bytes());
    let sum = xxh3_64(&head);
    head.extend_from_slice(&sum.to_le_bytes());
    head
}

/// Writes the head of a new file, or of one that was killed at its first breath.
fn check_head(journal: &mut Journal, path: &Path, head: &[u8]) -> Result<()> {
    let mut found = vec![0; head.len()];
    let input = InputFile::open(path)?;
    let length = input.read_at(0, &mut found)?;
    found.truncate(length);
    if found == head {
        return Ok(());
    }
    if !head.starts_with(&found) {
        return Err(Error::damaged(format!("{} does not begin as a cache of this model does", path.display()))
            .hint("move it away: what it holds is embedded anew"));
    }
    journal.cut(0)?;
    journal.append(head)?;
    journal.sync()?;
    if let Some(dir) = path.parent() {
        tranship_storage::durable::sync_dir(dir)?;
    }
    Ok(())
}
