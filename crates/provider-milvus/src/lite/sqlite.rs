//! Which SQLite files are databases of Milvus Lite 2.x, and what messages about them advise.
//!
//! How such a file is opened without changing it or running anything in it is [`SqliteFile`]'s business.

use std::path::Path;

use tranship_connector::{OpenOptions, Result};
use tranship_container::sqlite::{MAGIC, Owner, SqliteFile};
use tranship_storage::InputFile;

/// The table that every database of Milvus Lite 2.x has.
pub const META_TABLE: &str = "collection_meta";
/// Where its definition stands: SQLite writes the first definitions into the first page.
const FIRST_PAGE_BYTES: usize = 64 << 10;

static MILVUS_LITE: Owner = Owner {
    name: "Milvus Lite",
    release: "close the MilvusClient, or copy the file while it is closed; --allow-inconsistent reads it anyway",
    repair: "check a copy with `sqlite3 FILE 'PRAGMA integrity_check'`, restore it from a backup, or rebuild it with \
             `sqlite3 FILE .recover`",
};

/// True for a SQLite file with the table of collections.
pub fn is_database(path: &Path) -> bool {
    let mut page = vec![0; FIRST_PAGE_BYTES];
    let found = InputFile::open(path).and_then(|file| file.read_at(0, &mut page)).unwrap_or(0);
    let page = &page[..found];
    // The whole name: Chroma has a table that is called `collection_metadata`.
    let names_table = |window: &[u8]| match window.split_last() {
        Some((behind, name)) => name == META_TABLE.as_bytes() && !(behind.is_ascii_alphanumeric() || *behind == b'_'),
        None => false,
    };
    page.starts_with(MAGIC) && page.windows(META_TABLE.len() + 1).any(names_table)
}

/// Checks and opens the file.
pub fn open(path: &Path, options: &OpenOptions) -> Result<SqliteFile> {
    SqliteFile::open(path, &MILVUS_LITE, options)
}
