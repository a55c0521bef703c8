//! Which machine code runs: chosen once, by what the CPU has.
//!
//! Invariant: each kernel is one piece of Rust source, compiled once for any CPU and once with AVX2 and FMA,
//! so both variants do the same operations in the same order and give the same bits. Without FMA hardware
//! the portable variant is exact as well, but slow, because each `mul_add` is then a library call.

use std::sync::OnceLock;

use crate::dense_scores::{self, QueryPanel, TILE_ROWS, TileScores};
use crate::{byte_split, distance, float_scan};

type PairKernel = unsafe fn(&[f32], &[f32]) -> f32;
type TileKernel = unsafe fn(&[QueryPanel], [&[f32]; TILE_ROWS]) -> TileScores;
type SplitKernel = unsafe fn(&[f32], [&mut [u8]; 4]);
type RunKernel = unsafe fn(&[u8], usize, &mut Vec<f32>) -> usize;
type JoinKernel = unsafe fn([&[u8]; 4], &mut [f32]);

/// The kernels for one kind of CPU.
///
/// ```
/// use tranship_kernels::Kernels;
/// let (a, b) = ([1.0, 2.0], [3.0, 4.0]);
/// assert_eq!(Kernels::detect().dot(&a, &b), Kernels::portable().dot(&a, &b));
/// ```
#[derive(Debug)]
pub struct Kernels {
    name: &'static str,
    dot: PairKernel,
    l2_squared: PairKernel,
    l1: PairKernel,
    score_tile: TileKernel,
    split_f32: SplitKernel,
    join_f32: JoinKernel,
    take_run: RunKernel,
}

static PORTABLE: Kernels = Kernels {
    name: "portable",
    dot: distance::dot_lanes,
    l2_squared: distance::l2_squared_lanes,
    l1: distance::l1_lanes,
    score_tile: dense_scores::score_tile,
    split_f32: byte_split::split,
    join_f32: byte_split::join,
    take_run: no_run,
};

/// Leaves every element to the portable scanner, which has no other form.
fn no_run(_: &[u8], at: usize, _: &mut Vec<f32>) -> usize {
    at
}

#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = Kernels {
    name: "avx2+fma",
    dot: avx2::dot,
    l2_squared: avx2::l2_squared,
    l1: avx2::l1,
    score_tile: avx2::score_tile,
    split_f32: avx2::split_f32,
    join_f32: avx2::join_f32,
    take_run: no_run,
};

#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = Kernels { name: "avx512", take_run: float_scan::runs::take, ..AVX2 };

/// The portable source again, compiled for wider registers.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{QueryPanel, TILE_ROWS, TileScores, byte_split, dense_scores, distance};

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
        distance::dot_lanes(a, b)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn l2_squared(a: &[f32], b: &[f32]) -> f32 {
        distance::l2_squared_lanes(a, b)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn l1(a: &[f32], b: &[f32]) -> f32 {
        distance::l1_lanes(a, b)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn score_tile(panel: &[QueryPanel], rows: [&[f32]; TILE_ROWS]) -> TileScores {
        dense_scores::score_tile(panel, rows)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn split_f32(values: &[f32], planes: [&mut [u8]; 4]) {
        byte_split::split(values, planes);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn join_f32(planes: [&[u8]; 4], values: &mut [f32]) {
        byte_split::join(planes, values);
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
}

#[allow(unsafe_code, reason = "calls code compiled for a CPU feature found present")]
impl Kernels {
    /// The fastest kernels that this CPU runs; detected once, then one atomic load.
    #[inline]
    pub fn detect() -> &'static Self {
        static CHOSEN: OnceLock<&Kernels> = OnceLock::new();
        CHOSEN.get_or_init(Self::choose)
    }

    /// The kernels that run on any CPU: the twins.
    pub fn portable() -> &'static Self {
        &PORTABLE
    }

    fn choose() -> &'static Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return if has_avx512() { &AVX512 } else { &AVX2 };
        }
        &PORTABLE
    }

    /// The CPU features in use, for reports.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// As [`crate::dot`].
    #[inline]
    pub fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: only `choose` hands out a table that needs CPU features, and it has found them present.
        unsafe { (self.dot)(a, b) }
    }

    /// As [`crate::l2_squared`].
    #[inline]
    pub fn l2_squared(&self, a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: as in `dot`.
        unsafe { (self.l2_squared)(a, b) }
    }

    /// As [`crate::l1`].
    #[inline]
    pub fn l1(&self, a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: as in `dot`.
        unsafe { (self.l1)(a, b) }
    }

    /// As [`crate::split_f32`].
    #[inline]
    pub fn split_f32(&self, values: &[f32], planes: [&mut [u8]; 4]) {
        // SAFETY: as in `dot`.
        unsafe { (self.split_f32)(values, planes) }
    }

    /// As [`crate::join_f32`].
    #[inline]
    pub fn join_f32(&self, planes: [&[u8]; 4], values: &mut [f32]) {
        // SAFETY: as in `dot`.
        unsafe { (self.join_f32)(planes, values) }
    }

    /// Appends elements from the one that starts at `at` on, as many as it likes, and gives the offset of the next; see
    /// [`crate::float_scan`].
    #[inline]
    pub(crate) fn take_run(&self, text: &[u8], at: usize, out: &mut Vec<f32>) -> usize {
        // SAFETY: as in `dot`.
        unsafe { (self.take_run)(text, at, out) }
    }

    #[inline]
    pub(crate) fn score_tile(&self, panel: &[QueryPanel], rows: [&[f32]; TILE_ROWS]) -> TileScores {
        // SAFETY: as in `dot`.
        unsafe { (self.score_tile)(panel, rows) }
    }
}
