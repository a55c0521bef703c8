//! Directories of RocksDB, read without RocksDB: live ones and those of its BackupEngine.
//!
//! Invariant: what a [`Database`] answers is what RocksDB would answer after opening the same files: of several
//! entries of one key the one with the newest sequence number counts, in table files and in write-ahead logs alike, and
//! deleted keys are absent. Nothing is written, nothing is locked. Memory: the logs (up to
//! `Limits::max_page_bytes`), a cache of blocks of fixed size, and for a scan one block and one index per table.
//!
//! ```text
//! CURRENT          the name of the MANIFEST
//! MANIFEST-<n>     log of version edits: column families, their table files and first log
//! <n>.sst          block-based table: data blocks, index, properties, metaindex, footer
//! <n>.log          log of write batches that may not be in any table yet
//!
//! meta/<n>         backup: text, the list of its files
//! private/<n>/     backup: CURRENT, MANIFEST, OPTIONS, logs
//! shared_checksum/ backup: tables, <n>_<more>_<size>.sst; shared/ in old backups
//! ```
//! All numbers are little-endian. Keys are compared bytewise; another comparator is refused. Read are table formats 2 to
//! 6, checksums none, CRC32C, XXH32, XXH64 and XXH3, compressions none, Snappy, LZ4 and ZSTD, plain and partitioned
//! indexes. Refused by name: other compressions, compression dictionaries, ingested tables, range deletes, merge
//! operands, values in blob files, wide columns, transactions.
//!
//! Errors: damaged, naming file and byte, for whatever contradicts itself, its checksum or the MANIFEST; not recognised
//! for what is refused; limit for blocks and logs beyond the limits. A log whose last record is torn is normal after a
//! crash and told by [`Database::notes`].
//! Source: facebook/rocksdb 8.10 and 9.9, `db/{log_format.h,version_edit.cc,write_batch.cc,dbformat.h}`,
//! `table/{format.cc,block_based/*}`, `utilities/backup/backup_engine.cc`.

mod backup;
mod batch;
mod block;
mod cache;
mod checksum;
mod coding;
mod database;
mod family;
mod footer;
mod index;
mod manifest;
mod records;
mod scan;
mod table;

pub use database::{CACHE_BYTES, Database};
pub use scan::Scan;

use tranship_connector::Error;

/// Damage at a byte of a file.
fn damaged(label: &str, byte: u64, what: impl std::fmt::Display) -> Error {
    Error::damaged(format!("a RocksDB file is damaged: {what}"))
        .with("file", label)
        .with("byte", byte)
        .hint("copy the whole directory again while its database is stopped, or take a new snapshot")
}

/// Something that RocksDB knows and this reader does not.
fn refused(label: &str, what: impl std::fmt::Display) -> Error {
    Error::not_recognised(format!("a RocksDB file holds {what}, which is not read"))
        .with("file", label)
        .hint("let the database that wrote it export the collection in another way")
}
