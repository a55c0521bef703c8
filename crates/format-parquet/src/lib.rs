//! Parquet in and out: our own parts, and foreign files with a vector column.
pub mod decode;
pub mod encode;
mod columns;
mod error;
pub use decode::{PartFile, RowGroupInfo};
pub use encode::{EncodeOptions, PartEncoder, PartStats};
