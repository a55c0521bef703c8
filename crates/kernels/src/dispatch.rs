//! Which machine code runs: chosen once, by what the CPU has.
//!
//! Invariant: each kernel is one piece of Rust source, compiled once for any CPU, once with AVX2 and FMA and once with
//! AVX-512, so all variants do the same operations in the same order and give the same bits. What the compiler does not
//! find for AVX-512 is written out in [`crate::avx512`], with the same operations. Without FMA hardware the portable variant
//! is exact as well, but slow, because each `mul_add` is then a library call.

use std::sync::OnceLock;

use crate::codes::{self, Coded};
use crate::screen::{self, Above, Ceilings, CodePanel, Panel, QueryTerms, RowTerms, TILE_ROWS};
use crate::{byte_split, distance, float_scan};

type PairKernel = unsafe fn(&[f32], &[f32]) -> f32;
type ScreenKernel = unsafe fn(&[Panel], [&[f32]; TILE_ROWS], &RowTerms, &QueryTerms, &mut Ceilings) -> Above;
type CodeScreenKernel = unsafe fn(&[CodePanel], [&[i8]; TILE_ROWS], &RowTerms, &QueryTerms, &mut Ceilings) -> Above;
type EncodeKernel = unsafe fn(&[f32], &mut [i8]) -> Coded;
type CodeKernel = unsafe fn(&[i8], &[i8]) -> i32;
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
    screen: ScreenKernel,
    screen_codes: CodeScreenKernel,
    encode: EncodeKernel,
    dot_codes: CodeKernel,
    fast_codes: bool,
    split_f32: SplitKernel,
    join_f32: JoinKernel,
    take_run: RunKernel,
}

static PORTABLE: Kernels = Kernels {
    name: "portable",
    dot: distance::dot_lanes,
    l2_squared: distance::l2_squared_lanes,
    l1: distance::l1_lanes,
    screen: screen::screen_plain,
    screen_codes: screen::screen_codes_plain,
    encode: codes::encode_plain,
    dot_codes: codes::dot_codes_plain,
    fast_codes: false,
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
    screen: avx2::screen,
    screen_codes: avx2::screen_codes,
    encode: avx2::encode,
    dot_codes: avx2::dot_codes,
    fast_codes: false,
    split_f32: avx2::split_f32,
    join_f32: avx2::join_f32,
    take_run: no_run,
};

#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = Kernels {
    name: "avx512+vnni",
    dot: wide::dot,
    l2_squared: wide::l2_squared,
    l1: wide::l1,
    screen: crate::avx512::screen,
    screen_codes: crate::avx512::screen_codes,
    encode: wide::encode,
    dot_codes: crate::avx512::dot_codes,
    fast_codes: true,
    split_f32: avx2::split_f32,
    join_f32: avx2::join_f32,
    take_run: float_scan::runs::take,
};

/// The portable source again, compiled for wider registers.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled_for {
    ($features:literal: $($name:ident = $module:ident :: $plain:ident ($($argument:ident: $kind:ty),*) -> $out:ty;)*) => {$(
        #[target_feature(enable = $features)]
        pub(super) fn $name($($argument: $kind),*) -> $out {
            $module::$plain($($argument),*)
        }
    )*};
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::*;

    compiled_for! { "avx2,fma":
        dot = distance::dot_lanes(a: &[f32], b: &[f32]) -> f32;
        l2_squared = distance::l2_squared_lanes(a: &[f32], b: &[f32]) -> f32;
        l1 = distance::l1_lanes(a: &[f32], b: &[f32]) -> f32;
        screen = screen::screen_plain(
            panel: &[Panel], rows: [&[f32]; TILE_ROWS], row: &RowTerms, query: &QueryTerms, out: &mut Ceilings
        ) -> Above;
        screen_codes = screen::screen_codes_plain(
            panel: &[CodePanel], rows: [&[i8]; TILE_ROWS], row: &RowTerms, query: &QueryTerms, out: &mut Ceilings
        ) -> Above;
        encode = codes::encode_plain(vector: &[f32], codes: &mut [i8]) -> Coded;
        dot_codes = codes::dot_codes_plain(a: &[i8], b: &[i8]) -> i32;
        split_f32 = byte_split::split(values: &[f32], planes: [&mut [u8]; 4]) -> ();
        join_f32 = byte_split::join(planes: [&[u8]; 4], values: &mut [f32]) -> ();
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::*;

    compiled_for! { "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma":
        dot = distance::dot_lanes(a: &[f32], b: &[f32]) -> f32;
        l2_squared = distance::l2_squared_lanes(a: &[f32], b: &[f32]) -> f32;
        l1 = distance::l1_lanes(a: &[f32], b: &[f32]) -> f32;
        encode = codes::encode_plain(vector: &[f32], codes: &mut [i8]) -> Coded;
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vnni")
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

    /// All kernels that this CPU runs, the portable ones first and the fastest last.
    pub fn available() -> Vec<&'static Self> {
        let mut available = vec![&PORTABLE];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            available.push(&AVX2);
            if has_avx512() {
                available.push(&AVX512);
            }
        }
        available
    }

    fn choose() -> &'static Self {
        Self::available().last().copied().unwrap_or(&PORTABLE)
    }

    /// Whether dot products of codes are much faster than those of floats.
    pub fn fast_codes(&self) -> bool {
        self.fast_codes
    }

    /// The CPU features in use, for reports.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// As [`crate::dot`].
    #[inline]
    pub fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: only `available` hands out a table that needs CPU features, and it has found them present.
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

    /// As [`crate::codes::encode`].
    pub fn encode(&self, vector: &[f32], codes: &mut [i8]) -> Coded {
        // SAFETY: as in `dot`.
        unsafe { (self.encode)(vector, codes) }
    }

    /// As [`crate::codes::dot_codes`].
    #[inline]
    pub fn dot_codes(&self, a: &[i8], b: &[i8]) -> i32 {
        // SAFETY: as in `dot`.
        unsafe { (self.dot_codes)(a, b) }
    }

    /// As [`crate::screen::screen`].
    #[inline]
    pub fn screen(
        &self,
        panel: &[Panel],
        rows: [&[f32]; TILE_ROWS],
        row_terms: &RowTerms,
        query_terms: &QueryTerms,
        ceilings: &mut Ceilings,
    ) -> Above {
        // SAFETY: as in `dot`.
        unsafe { (self.screen)(panel, rows, row_terms, query_terms, ceilings) }
    }

    /// As [`crate::screen::screen_codes`].
    #[inline]
    pub fn screen_codes(
        &self,
        panel: &[CodePanel],
        rows: [&[i8]; TILE_ROWS],
        row_terms: &RowTerms,
        query_terms: &QueryTerms,
        ceilings: &mut Ceilings,
    ) -> Above {
        // SAFETY: as in `dot`.
        unsafe { (self.screen_codes)(panel, rows, row_terms, query_terms, ceilings) }
    }
}
