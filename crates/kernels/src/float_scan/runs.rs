//! Runs of elements of the common shape, `-?[0-9]\.[0-9]{1,22}`, with 64-byte registers: first all commas of a block are found, then the
//! elements between them are taken apart without waiting for each other, then eight at a time become `f32`.
//!
//! ```text
//! text      0.0123456789,-0.5, 1.25,...
//! commas    ............^....^....^         one comparison of 64 bytes
//! element   sign | unit | 16 digits         one comparison of 32 bytes proves the shape
//! batch     8 x (unit * 10^16 + digits) -> f64 * 1e-16 -> f32
//! ```
//!
//! Invariant: appends correctly rounded values of whole elements, each followed by a comma and at most one space, and stops
//! in front of the first element that it is not sure to take, or of white space before it; it never reports an error and reads no byte outside the
//! text. Stopping at once is right as well, which is what CPUs without AVX-512 do.

#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code, reason = "loads and stores of whole registers have no safe form")]

use std::arch::x86_64::*;

use super::decimal;
use super::swar::LEAST_EXACT_ENOUGH;

/// Bytes in which commas are looked for at once.
const BLOCK: usize = 64;
/// Bytes in which an element has to end.
const WINDOW: usize = 32;
/// Digits after the point that are kept; an error below 1e-16 is dealt with as in `swar`.
const KEPT_DIGITS: usize = 16;
/// Digits after the point that an element may have: the longest still ends inside the window.
const MOST_DIGITS: usize = 22;
/// Elements converted together.
const LANES: usize = 8;
/// A block has at most 16 elements of three characters and a comma; more than that is always free before one.
const ROOM: usize = 64;

/// Appends as many elements as it can from the one that starts at `at`, and gives the offset where the next starts.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,bmi1,bmi2")]
pub(crate) fn take(text: &[u8], at: usize, out: &mut Vec<f32>) -> usize {
    let mut batch = Batch::new();
    let (mut element, mut block) = (at, at);
    while let Some(bytes) = text.get(block..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        let mut commas = _mm512_cmpeq_epi8_mask(load64(bytes), _mm512_set1_epi8(b',' as i8));
        while commas != 0 {
            let comma = block + commas.trailing_zeros() as usize;
            commas &= commas - 1;
            if !batch.add(text, element, comma) {
                batch.convert(text, out);
                return element;
            }
            element = comma + 1 + usize::from(text.get(comma + 1) == Some(&b' '));
        }
        if batch.len > ROOM - BLOCK / 4 {
            batch.convert(text, out);
        }
        block += BLOCK;
    }
    batch.convert(text, out);
    element
}

/// Elements that are proven to have the common shape, taken apart.
#[repr(align(64))]
struct Batch {
    /// Values of the digits after the point, zero behind the last.
    digits: [[u8; KEPT_DIGITS]; ROOM],
    /// Values of the digits before the point.
    units: [u8; ROOM],
    /// 0x80 for a minus.
    signs: [u8; ROOM],
    /// 1 where digits after the point were dropped.
    dropped: [u8; ROOM],
    starts: [usize; ROOM],
    len: usize,
}

impl Batch {
    #[inline(always)]
    fn new() -> Self {
        Batch {
            digits: [[0; KEPT_DIGITS]; ROOM],
            units: [0; ROOM],
            signs: [0; ROOM],
            dropped: [0; ROOM],
            starts: [0; ROOM],
            len: 0,
        }
    }

    /// Takes the element `start..end` apart; false if it has not the common shape.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,bmi1,bmi2")]
    fn add(&mut self, text: &[u8], start: usize, end: usize) -> bool {
        let Some(window) = text.get(start..).and_then(|rest| rest.first_chunk::<WINDOW>()) else { return false };
        // An element that was ended by the space behind the last comma has no length.
        let len = end.wrapping_sub(start);
        let negative = usize::from(window[0] == b'-');
        let digits = _mm256_sub_epi8(load32(window), _mm256_set1_epi8(b'0' as i8));
        let is_digit = _mm256_cmple_epu8_mask(digits, _mm256_set1_epi8(9)) >> negative;
        let fraction = len.wrapping_sub(negative + 2);
        // A digit, something else that must be the point, and digits to the end.
        let shape = !2 & ((1u64 << (fraction.min(WINDOW) + 2)) - 1) as u32;
        let fits = fraction.wrapping_sub(1) < MOST_DIGITS
            && _bzhi_u32(is_digit, fraction as u32 + 2) == shape
            && window[negative + 1] == b'.'
            && self.len < ROOM;
        if !fits {
            return false;
        }
        let place = self.len;
        let mut kept = [0; KEPT_DIGITS];
        kept.copy_from_slice(&window[negative + 2..][..KEPT_DIGITS]);
        let mask = _bzhi_u32(0xffff, fraction as u32) as u16;
        store16(&mut self.digits[place], _mm_maskz_sub_epi8(mask, load16(&kept), _mm_set1_epi8(b'0' as i8)));
        self.units[place] = window[negative] - b'0';
        self.signs[place] = (negative as u8) << 7;
        self.dropped[place] = u8::from(fraction > KEPT_DIGITS);
        self.starts[place] = start;
        self.len += 1;
        true
    }

    /// Appends the values of all elements and forgets them.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,bmi1,bmi2")]
    fn convert(&mut self, text: &[u8], out: &mut Vec<f32>) {
        for first in (0..self.len).step_by(LANES) {
            let count = LANES.min(self.len - first);
            let (values, unsure) = self.eight(first);
            let before = out.len();
            out.extend_from_slice(&values[..count]);
            let mut unsure = u32::from(unsure) & ((1 << count) - 1);
            while unsure != 0 {
                let lane = unsure.trailing_zeros() as usize;
                unsure &= unsure - 1;
                // The shape is proven, so that this is a number.
                if let Ok((value, _)) = decimal::number(text, self.starts[first + lane]) {
                    out[before + lane] = value;
                }
            }
        }
        self.len = 0;
    }

    /// Eight values, and a bit for each that `f64` does not settle.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,bmi1,bmi2")]
    fn eight(&self, first: usize) -> ([f32; LANES], u8) {
        let (low, high) = (self.four_digit_groups(first), self.four_digit_groups(first + LANES / 2));
        let pairs = _mm512_madd_epi16(_mm512_packus_epi32(low, high), _mm512_set1_epi32(0x0001_2710));
        // In each lane the upper eight digits stand in the lower half. Packing has put the elements in the order 04152637.
        let upper = _mm512_and_si512(pairs, _mm512_set1_epi64(0xffff_ffff));
        let fraction =
            _mm512_add_epi64(_mm512_mul_epu32(upper, _mm512_set1_epi64(100_000_000)), _mm512_srli_epi64::<32>(pairs));
        let fraction = _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), fraction);
        let units = _mm512_cvtepu8_epi64(load8(&self.units, first));
        let scaled = _mm512_add_epi64(fraction, _mm512_mullo_epi64(units, _mm512_set1_epi64(10_000_000_000_000_000)));
        let value = _mm512_mul_pd(_mm512_cvtepi64_pd(scaled), _mm512_set1_pd(1e-16));
        let signs = _mm256_slli_epi32::<24>(_mm256_cvtepu8_epi32(load8(&self.signs, first)));
        let magnitude = _mm256_castps_si256(_mm512_cvtpd_ps(value));
        let mut values = [0.0; LANES];
        store_f32(&mut values, _mm256_castsi256_ps(_mm256_or_si256(magnitude, signs)));

        let small = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(value, _mm512_set1_pd(LEAST_EXACT_ENOUGH));
        let dropped = _mm512_cvtepu8_epi64(load8(&self.dropped, first));
        let zero = _mm512_testn_epi64_mask(scaled, scaled) & _mm512_testn_epi64_mask(dropped, dropped);
        (values, (small & !zero) | near_a_middle(value))
    }

    /// Sums of four digits each, of four elements.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,bmi1,bmi2")]
    fn four_digit_groups(&self, first: usize) -> __m512i {
        let digits = load4x16(&self.digits, first);
        let twos = _mm512_maddubs_epi16(digits, _mm512_set1_epi16(0x010a));
        _mm512_madd_epi16(twos, _mm512_set1_epi32(0x0001_0064))
    }
}

/// Where an error of 16384 ulp could decide between two `f32`, as in [`decimal::narrow`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,bmi1,bmi2")]
fn near_a_middle(value: __m512d) -> u8 {
    let shifted = _mm512_add_epi64(_mm512_castpd_si512(value), _mm512_set1_epi64(16384));
    let below_f32 = _mm512_and_si512(shifted, _mm512_set1_epi64((1 << 29) - 1));
    let from_middle = _mm512_sub_epi64(below_f32, _mm512_set1_epi64(1 << 28));
    _mm512_cmple_epu64_mask(from_middle, _mm512_set1_epi64(2 * 16384))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load64(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: reads the 64 bytes of the array.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load32(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: reads the 32 bytes of the array.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: reads the 16 bytes of the array.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Eight bytes from place `first` on, in the lower half.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load8(bytes: &[u8; ROOM], first: usize) -> __m128i {
    let lanes: &[u8] = &bytes[first..first + LANES];
    // SAFETY: reads the 8 bytes of the slice.
    unsafe { _mm_loadl_epi64(lanes.as_ptr().cast()) }
}

/// The digits of four elements from place `first` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load4x16(digits: &[[u8; KEPT_DIGITS]; ROOM], first: usize) -> __m512i {
    let four: &[[u8; KEPT_DIGITS]] = &digits[first..first + 4];
    // SAFETY: reads the 4 x 16 bytes of the slice.
    unsafe { _mm512_loadu_si512(four.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn store16(bytes: &mut [u8; 16], register: __m128i) {
    // SAFETY: writes the 16 bytes of the array.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), register) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn store_f32(values: &mut [f32; LANES], register: __m256) {
    // SAFETY: writes the eight values of the array.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), register) }
}
