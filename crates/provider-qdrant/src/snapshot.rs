//! Reads what Qdrant leaves on disk: snapshots of collections, shards and whole storages, and storage directories.

pub mod cbor;
pub mod cells;
pub mod overlay;
pub mod point_id;
pub mod rocks;
pub mod schema;
pub mod stores;
pub mod wal;
