//! The write-ahead log of a shard: what was acknowledged to clients and may not be in the segments.
//!
//! Every entry is one operation, and its index is the operation's number and the version of the points that it
//! writes. A log is read twice, entry by entry: for the points that it names, and for the replay over those that the
//! segments hold.
//!
//! Errors: those of [`files`], [`operation`] and [`replay`].

pub mod files;
pub mod filter;
pub mod operation;
pub mod payload;
pub mod replay;
pub mod vectors;

use std::collections::HashSet;

use tranship_connector::{OpenOptions, Result};
use tranship_storage::Tree;

use self::files::WalFiles;
use self::operation::Operation;
use self::replay::Replay;
use super::overlay::{BasePoints, Log, Overlay};
use super::point_id::PointId;
use super::schema::Columns;

/// Opens the log in `files`; `None` if it holds no entry that may have to be replayed. `columns` are the vectors of
/// the collection, `newest` the highest version that any segment of the shard says it has flushed.
pub fn open(
    files: &Tree,
    columns: &Columns,
    newest: Option<u64>,
    options: &OpenOptions,
) -> Result<Option<Box<dyn Log>>> {
    let Some(files) = WalFiles::open(files, &options.limits)? else { return Ok(None) };
    let allow_inconsistent = options.allow_inconsistent;
    let log = Wal { files, columns: columns.clone(), newest, allow_inconsistent };
    let mut entries = log.files.entries();
    while let Some(entry) = entries.next_entry()? {
        if entry.index >= log.files.acknowledged {
            return Ok(Some(Box::new(log)));
        }
    }
    Ok(None)
}

struct Wal {
    files: WalFiles,
    columns: Columns,
    newest: Option<u64>,
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

impl Log for Wal {
    fn touched(&self) -> Result<HashSet<PointId>> {
        let mut touched = HashSet::new();
        self.each(|_, _, _, operation| {
            touched.extend(operation.ids());
            Ok(())
        })?;
        Ok(touched)
    }

    fn replay(&self, base: &dyn BasePoints, memory_bytes: u64) -> Result<Overlay> {
        let mut replay = Replay::new(&self.columns, base, self.newest, self.allow_inconsistent, memory_bytes);
        let told = self.each(|number, name, file, operation| replay.apply(number, name, file, operation))?;
        let mut overlay = replay.finish();
        overlay.notes.splice(0..0, told);
        Ok(overlay)
    }
}
