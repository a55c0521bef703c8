//! Dot product, squared Euclidean and Manhattan distance, norm and cosine of two `f32` vectors.
//!
//! Invariant: the order of every addition is fixed, so the bits of a result depend on the two vectors only.
//! Element `i` goes to lane `i % 32`; each lane adds its terms in ascending order, products fused with the
//! addition (`f32::mul_add`); a last block that is not full counts as filled with zeros; then the lanes are
//! added in halves: lane `i` takes lane `i + 16`, then `i + 8`, 4, 2, 1.
//!
//! Both vectors must have the same length (a panic otherwise); empty vectors give 0. NaN and infinities go
//! through as IEEE 754 has it.

use crate::dispatch::Kernels;

/// Terms summed side by side: enough to hide the latency of a fused multiply-add on eight-wide registers.
const LANES: usize = 32;

type Lanes = [f32; LANES];

/// Dot product of `a` and `b`.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    Kernels::detect().dot(a, b)
}

/// Sum of the squared differences of `a` and `b`: the Euclidean distance before its root.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub fn l2_squared(a: &[f32], b: &[f32]) -> f32 {
    Kernels::detect().l2_squared(a, b)
}

/// Sum of the absolute differences of `a` and `b`.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub fn l1(a: &[f32], b: &[f32]) -> f32 {
    Kernels::detect().l1(a, b)
}

/// Euclidean length of `a`.
#[inline]
pub fn norm(a: &[f32]) -> f32 {
    dot(a, a).sqrt()
}

/// Cosine of the angle between `a` and `b`, in [-1, 1] up to rounding; nothing where it is undefined, that
/// is where a norm is zero or beyond `f32`.
///
/// # Panics
/// If the lengths differ.
pub fn cosine_similarity(a: &[f32], b: &[f32]) -> Option<f32> {
    let (norm_a, norm_b) = (norm(a), norm(b));
    let measurable = |norm: f32| norm > 0.0 && norm.is_finite();
    (measurable(norm_a) && measurable(norm_b)).then(|| dot(a, b) / norm_a / norm_b)
}

#[inline(always)]
pub(crate) fn dot_lanes(a: &[f32], b: &[f32]) -> f32 {
    sum_terms(a, b, |sum, x, y| x.mul_add(y, sum))
}

#[inline(always)]
pub(crate) fn l2_squared_lanes(a: &[f32], b: &[f32]) -> f32 {
    sum_terms(a, b, |sum, x, y| (x - y).mul_add(x - y, sum))
}

#[inline(always)]
pub(crate) fn l1_lanes(a: &[f32], b: &[f32]) -> f32 {
    sum_terms(a, b, |sum, x, y| sum + (x - y).abs())
}

/// Sums over all elements in the order that the module defines; `add` adds the term of one pair to a lane.
#[inline(always)]
fn sum_terms(a: &[f32], b: &[f32], add: impl Fn(f32, f32, f32) -> f32) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of different dimension");
    let (blocks_a, rest_a) = a.as_chunks::<LANES>();
    let (blocks_b, rest_b) = b.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (x, y) in blocks_a.iter().zip(blocks_b) {
        add_block(&mut lanes, x, y, &add);
    }
    if !rest_a.is_empty() {
        add_block(&mut lanes, &padded(rest_a), &padded(rest_b), &add);
    }
    add_in_halves(lanes)
}

#[inline(always)]
fn add_block(lanes: &mut Lanes, x: &Lanes, y: &Lanes, add: &impl Fn(f32, f32, f32) -> f32) {
    for i in 0..LANES {
        lanes[i] = add(lanes[i], x[i], y[i]);
    }
}

#[inline(always)]
fn padded(rest: &[f32]) -> Lanes {
    let mut block = [0.0; LANES];
    block[..rest.len()].copy_from_slice(rest);
    block
}

#[inline(always)]
fn add_in_halves(mut lanes: Lanes) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}
