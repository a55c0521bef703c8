//! Files of hnswlib: the plain `index.bin` and Chroma's split form (`header.bin`, `data_level0.bin`, `length.bin`).
//!
//! Invariant: a [`VectorFile`] exists only for a header whose fields agree with each other, with the limits and with
//! the length of the data file, so that every record number below `cur_count` lies inside the file.
//!
//! ```text
//! record i at base + i * record_size:
//!   +0            u16 number of links
//!   +2            u8 flags, bit 0 = deleted
//!   +3            u8 unused
//!   +4            u32 links[maxM0]
//!   +data_offset  f32 vector[dim]        data_offset = 4 + 4 * maxM0
//!   +label_offset u64 label              label_offset = data_offset + 4 * dim, record_size = label_offset + 8
//! ```
//! All numbers are little-endian; offsets and sizes are bytes; records are counted from 0. Record order is not label
//! order. The upper levels of the graph are not read.
//!
//! Errors: damaged, naming file and field; limit for dims beyond `Limits::max_dim`.
//! Source: nmslib/hnswlib `hnswalg.h` (saveIndex), chroma-core/hnswlib commit 6868102 (persistDirty).

mod header;
mod vectors;

pub use header::HnswHeader;
pub use vectors::{Record, VectorFile};
