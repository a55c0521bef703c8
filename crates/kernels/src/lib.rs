//! The hot loops of tranship: float scan, float print, byte-stream split, distances, 8-bit codes and screening.
//!
//! Invariant: every fast path has a plain twin that is always compiled, and both give the same bits. A
//! result therefore never depends on the CPU. `unsafe` are only the calls of functions compiled for a CPU feature
//! that was found present at run time ([`Kernels`]), loads and stores of whole registers, and prefetches.
//!
//! Vectors are `&[f32]`; matrices are row-major `&[f32]` with `dim` elements per row.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "loads and stores of registers")]
mod avx512;
pub mod byte_split;
pub mod codes;
mod dispatch;
pub mod distance;
pub mod float_print;
pub mod float_scan;
mod prefetch;
pub mod screen;

pub use byte_split::{join_f32, split_f32};
pub use codes::{Coded, dot_codes, encode};
pub use dispatch::Kernels;
pub use distance::{cosine_similarity, dot, l1, l2_squared, norm};
pub use float_print::{print_f32, print_f32_array};
pub use float_scan::{ScanError, ScanErrorKind, scan_f32_array, scan_f32_array_plain, scan_f32_array_with};
pub use prefetch::prefetch;
