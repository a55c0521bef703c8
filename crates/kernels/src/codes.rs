//! Vectors as 8-bit codes: element `i` is about `scale * code[i]`, with a scale per vector.
//!
//! Invariant: codes are in -127..=127, the scale is a function of the largest element, and [`Coded::residual`] is at least as
//! long as what the codes leave out (x - scale * code), up to the rounding of its own sum. Dot products of codes are exact
//! integers, so every CPU has the same. A vector whose largest element is below 10^-12 has codes and scale 0.

use crate::dispatch::Kernels;

/// Elements that a dot product of codes may have: beyond, an `i32` would not hold the sum.
pub const MAX_CODES: usize = 1 << 16;

/// What is known of a vector beside its codes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Coded {
    /// The length of a step.
    pub scale: f32,
    /// Norm of what the codes leave out.
    pub residual: f32,
    /// Sum of the codes.
    pub sum: i32,
}

/// Writes the codes of `vector`.
///
/// # Panics
/// If the lengths differ.
pub fn encode(vector: &[f32], codes: &mut [i8]) -> Coded {
    Kernels::detect().encode(vector, codes)
}

/// Dot product of two vectors' codes.
///
/// # Panics
/// If the lengths differ or are above [`MAX_CODES`].
#[inline]
pub fn dot_codes(a: &[i8], b: &[i8]) -> i32 {
    Kernels::detect().dot_codes(a, b)
}

/// Terms of the residual that are summed side by side.
const LANES: usize = 16;

/// Smaller elements would leave out what vanishes when it is squared.
const LEAST: f32 = 1e-12;

/// Added to a small float, it leaves the nearest integer in the low bits.
const ROUNDER: f32 = 12_582_912.0;

#[inline(always)]
pub(crate) fn encode_plain(vector: &[f32], codes: &mut [i8]) -> Coded {
    assert_eq!(vector.len(), codes.len(), "a code for every element");
    // Without their signs, floats have the order of their bits.
    let largest = f32::from_bits(vector.iter().map(|value| value.to_bits() & 0x7fff_ffff).max().unwrap_or(0));
    if largest < LEAST {
        codes.fill(0);
        return Coded { scale: 0.0, residual: largest * (vector.len() as f32).sqrt(), sum: 0 };
    }
    let (scale, steps) = (largest / 127.0, 127.0 / largest);
    let mut sum = 0;
    for (code, value) in codes.iter_mut().zip(vector) {
        *code = (value * steps + ROUNDER).to_bits() as i8;
        sum += i32::from(*code);
    }
    Coded { scale, residual: residual(vector, codes, scale), sum }
}

#[inline(always)]
fn residual(vector: &[f32], codes: &[i8], scale: f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (blocks, rest) = vector.as_chunks::<LANES>();
    let (block_codes, rest_codes) = codes.as_chunks::<LANES>();
    for (values, codes) in blocks.iter().zip(block_codes) {
        for i in 0..LANES {
            let left = values[i] - scale * f32::from(codes[i]);
            lanes[i] += left * left;
        }
    }
    let mut total: f32 = lanes.iter().sum();
    for (value, code) in rest.iter().zip(rest_codes) {
        let left = value - scale * f32::from(*code);
        total += left * left;
    }
    total.sqrt()
}

#[inline(always)]
pub(crate) fn dot_codes_plain(a: &[i8], b: &[i8]) -> i32 {
    check_codes(a, b);
    a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

#[inline(always)]
pub(crate) fn check_codes(a: &[i8], b: &[i8]) {
    assert!(a.len() == b.len() && a.len() <= MAX_CODES, "vectors of different dimension, or too long");
}
