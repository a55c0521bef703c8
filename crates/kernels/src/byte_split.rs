//! Takes `f32` values apart into one stream per byte, and puts them together again.
//!
//! ```text
//! values   a0 a1 a2 a3 | b0 b1 b2 b3 | ..     a0 is the lowest byte of the first value
//! planes   a0 b0 ..    a1 b1 ..    a2 b2 ..    a3 b3 ..
//! ```
//!
//! This is the BYTE_STREAM_SPLIT encoding of Parquet (apache/parquet-format 2.11): the upper bytes of embeddings are
//! alike, so their plane compresses while the others are noise. Invariant: every bit pattern survives, NaNs included.
//! Each plane has as many bytes as there are values; surplus of the longer side is left alone.

use crate::dispatch::Kernels;

/// Writes byte `k` of every value to `planes[k]`.
pub fn split_f32(values: &[f32], planes: [&mut [u8]; 4]) {
    Kernels::detect().split_f32(values, planes);
}

/// Makes each value of the four bytes at its place in `planes`.
pub fn join_f32(planes: [&[u8]; 4], values: &mut [f32]) {
    Kernels::detect().join_f32(planes, values);
}

/// The source of every variant of [`split_f32`]: so plain that the compiler makes wide shuffles of it.
#[inline(always)]
pub(crate) fn split(values: &[f32], planes: [&mut [u8]; 4]) {
    let [first, second, third, fourth] = planes;
    for ((((value, a), b), c), d) in values.iter().zip(first).zip(second).zip(third).zip(fourth) {
        [*a, *b, *c, *d] = value.to_le_bytes();
    }
}

/// The source of every variant of [`join_f32`].
#[inline(always)]
pub(crate) fn join(planes: [&[u8]; 4], values: &mut [f32]) {
    let [first, second, third, fourth] = planes;
    for ((((value, a), b), c), d) in values.iter_mut().zip(first).zip(second).zip(third).zip(fourth) {
        *value = f32::from_le_bytes([*a, *b, *c, *d]);
    }
}
