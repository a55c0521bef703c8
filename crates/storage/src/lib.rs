//! Bytes on disk: how tranship reads inputs it must not touch and writes outputs that are whole or absent.
//!
//! The only crate that creates, renames or syncs files. Readers get positioned reads that notice a shrinking file
//! ([`InputFile`]), named runs of bytes wherever they lie ([`Blob`], [`Tree`]), decompressed streams ([`open_stream`]) and identities ([`FileIdentity`]); writers get files that
//! are digested while they are written and synced before they count ([`DurableFile`]), a staging directory that
//! becomes the output by one rename ([`Staging`]), files that grow and outlive them ([`Journal`]), and spill files that vanish with the run ([`Spill`]).

// This is the crate that the others are sent to.
#![allow(clippy::disallowed_methods)]

pub mod blob;
pub mod durable;
pub mod error;
pub mod identity;
pub mod input;
pub mod journal;
pub mod limits;
pub mod spill;
pub mod staged_file;
pub mod staging;
pub mod stream;
pub mod tree;

pub use blob::{Blob, BlobReader, Extent};
pub use durable::{DurableFile, FileDigest, sha256_file, write_whole};
pub use error::StorageError;
pub use identity::{FileIdentity, SourceIdentity};
pub use input::InputFile;
pub use journal::Journal;
pub use limits::Limits;
pub use spill::Spill;
pub use staged_file::StagedFile;
pub use staging::{Scratch, Staging};
pub use stream::{Compression, Compressor, open_stream};
pub use tree::Tree;
