//! A hint to the CPU that data will be read soon; no effect but on time.

/// Bytes in a cache line.
const LINE_BYTES: usize = 64;

/// Lines that are fetched at most; the CPU itself goes on from there.
const MAX_LINES: usize = 16;

/// Asks for the first KiB of a vector.
#[inline(always)]
#[allow(unsafe_code, reason = "the hint takes a pointer")]
pub fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks((LINE_BYTES / size_of::<T>().max(1)).max(1)).take(MAX_LINES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and cannot fault; SSE is part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}
