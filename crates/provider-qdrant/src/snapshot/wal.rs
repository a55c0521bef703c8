//! The write-ahead log of a shard: what was acknowledged to clients and may not be in the segments.
//!
//! Every entry is one operation, and its index is the operation's number and the version of the points that it
//! writes. A log is read twice, entry by entry: for the points that it names, and for the replay over those that the
//! segments hold.
//!
//! Errors: those of [`files`], of decoding and [`replay`]; limit if the log changes more points than fit into memory.

mod decode;
pub mod files;
pub mod filter;
pub mod operation;
pub mod payload;
pub mod replay;
pub mod vectors;

use std::collections::HashSet;

use tranship_connector::{Error, OpenOptions, Result};
use tranship_storage::{Limits, Tree};

use self::files::WalFiles;
use self::operation::Operation;
use self::replay::{POINT_BYTES, Replay};
use self::vectors::Summation;
use super::overlay::{BasePoints, Log, Overlay};
use super::point_id::PointId;
use super::schema::Columns;

/// A log may take a quarter of the memory for preparing, which is half of all.
const PARTS_OF_MEMORY: u64 = 8;

/// Memory of a point that the log names, whatever becomes of it: its id in a set, then in a map, with room to grow.
const TOUCHED_BYTES: u64 = 160;

/// What a replay must know of the release that wrote the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// How it adds up squared lengths.
    pub summation: Summation,
    /// True up to 1.13: an upsert without payload leaves the payload of a point that exists.
    pub upsert_keeps_payload: bool,
}

/// Opens the log in `files`; `None` if it holds no entry that may have to be replayed. `columns` are the vectors of
/// the collection, `newest` the highest version that any segment of the shard says it has flushed.
pub fn open(
    files: &Tree,
    columns: &Columns,
    newest: Option<u64>,
    release: Release,
    options: &OpenOptions,
) -> Result<Option<Box<dyn Log>>> {
    let Some(files) = WalFiles::open(files, &options.limits)? else { return Ok(None) };
    let allow_inconsistent = options.allow_inconsistent;
    let log = Wal { files, columns: columns.clone(), newest, release, allow_inconsistent };
    let mut entries = log.files.entries();
    while let Some(entry) = entries.next_entry()? {
        if entry.index >= log.files.acknowledged {
            return Ok(Some(Box::new(log)));
        }
    }
    Ok(None)
}

/// Bytes of the operations in `files` that are not acknowledged; counted until they are more than `most`.
pub fn unapplied_bytes(files: &Tree, most: u64, limits: &Limits) -> Result<u64> {
    let Some(files) = WalFiles::open(files, limits)? else { return Ok(0) };
    let (mut entries, mut bytes) = (files.entries(), 0);
    while let Some(entry) = entries.next_entry()? {
        if entry.index >= files.acknowledged {
            bytes += entry.data.len() as u64;
        }
        if bytes > most {
            break;
        }
    }
    Ok(bytes)
}

struct Wal {
    files: WalFiles,
    columns: Columns,
    newest: Option<u64>,
    release: Release,
    allow_inconsistent: bool,
}

impl Wal {
    /// Hands over every operation that is not acknowledged: number, name, file.
    fn each(&self, mut take: impl FnMut(u64, &str, &str, Operation) -> Result<()>) -> Result<Vec<String>> {
        let mut entries = self.files.entries();
        while let Some(entry) = entries.next_entry()? {
            if entry.index >= self.files.acknowledged {
                let (name, operation) = Operation::decode(&entry)?;
                take(entry.index, &name, &entry.place.0, operation)?;
            }
        }
        Ok(entries.notes())
    }
}

impl Wal {
    /// The error for a log that changes too much, with the memory that is surely enough for all of it.
    fn too_large(&self) -> Result<Error> {
        let (mut entries, mut needed) = (self.files.entries(), 0);
        while let Some(entry) = entries.next_entry()? {
            if entry.index >= self.files.acknowledged {
                let points = Operation::decode(&entry)?.1.ids().len() as u64;
                // Three bytes of a packed float become four.
                needed += entry.data.len() as u64 * 4 / 3 + points * POINT_BYTES;
            }
        }
        let least = (needed * PARTS_OF_MEMORY).div_ceil(1 << 20);
        Ok(Error::limit("the write-ahead log changes more points than fit into memory")
            .with("file", self.files.label())
            .hint(format!(
                "give it at least {least} MiB (--memory), or start the server once on a copy of the directory, so that \
                 it applies its log, and stop it"
            )))
    }
}

impl Log for Wal {
    fn touched(&self, memory_bytes: u64) -> Result<HashSet<PointId>> {
        let mut touched = HashSet::new();
        self.each(|_, _, _, operation| {
            touched.extend(operation.ids());
            if touched.len() as u64 * TOUCHED_BYTES > memory_bytes { Err(self.too_large()?) } else { Ok(()) }
        })?;
        Ok(touched)
    }

    fn replay(&self, base: &dyn BasePoints, memory_bytes: u64) -> Result<Overlay> {
        let mut replay = Replay::new(&self.columns, self.release, base, self.newest, self.allow_inconsistent);
        let told = self.each(|number, name, file, operation| {
            replay.apply(number, name, file, operation)?;
            if replay.used_bytes() > memory_bytes { Err(self.too_large()?) } else { Ok(()) }
        })?;
        let mut overlay = replay.finish();
        overlay.notes.splice(0..0, told);
        Ok(overlay)
    }
}
