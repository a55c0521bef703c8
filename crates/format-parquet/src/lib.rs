//! Parquet in and out: our own parts, and foreign files with a vector column.
mod columns;
pub mod decode;
pub mod encode;
mod error;
pub mod sink;
pub use decode::{PartFile, RowGroupInfo};
pub use encode::{EncodeOptions, PartEncoder, PartStats};
