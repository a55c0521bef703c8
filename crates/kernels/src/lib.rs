//! The hot loops of tranship: float scan, float print, byte-stream split, distances and blocked exact scores.
//!
//! Invariant: every fast path has a plain twin that is always compiled, and both give the same bits. A
//! result therefore never depends on the CPU. The only `unsafe` code is the call of a function compiled
//! for a CPU feature that was found present at run time ([`Kernels`]).
//!
//! Vectors are `&[f32]`; matrices are row-major `&[f32]` with `dim` elements per row.

pub mod byte_split;
pub mod dense_scores;
mod dispatch;
pub mod distance;
pub mod float_print;
pub mod float_scan;
mod prefetch;

pub use byte_split::{join_f32, split_f32};
pub use dense_scores::{PackedQueries, dot_block};
pub use dispatch::Kernels;
pub use distance::{cosine_similarity, dot, l1, l2_squared, norm};
pub use float_print::{print_f32, print_f32_array};
pub use float_scan::{ScanError, ScanErrorKind, scan_f32_array, scan_f32_array_plain};
pub use prefetch::prefetch;
