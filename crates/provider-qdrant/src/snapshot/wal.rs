//! The write-ahead log of a shard: files `open-N`, `closed-N` and `first-index` of its `wal` directory.

use tranship_connector::{Error, OpenOptions, Result};
use tranship_storage::Tree;

use super::overlay::Log;
use super::schema::Columns;

/// Opens the log in `files`; `None` if it holds no entry that may have to be replayed. `columns` are the vectors of
/// the collection, `newest` the highest version that any segment of the shard says it has flushed.
pub fn open(
    files: &Tree,
    columns: &Columns,
    newest: Option<u64>,
    options: &OpenOptions,
) -> Result<Option<Box<dyn Log>>> {
    let _ = (columns, newest, options);
    match files.is_empty() {
        true => Ok(None),
        false => Err(Error::not_recognised("a write-ahead log is not read").with("file", files.label())),
    }
}
