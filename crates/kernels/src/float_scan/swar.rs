//! The common shape of a vector element, `-?[0-9]\.[0-9]+`, with eight digits per multiplication.
//!
//! Invariant: gives the correctly rounded value or nothing; it never reports an error, and reads no byte
//! outside the text. Portable: little-endian words are taken apart with integer arithmetic only.

use super::{Number, decimal::narrow, ends_number};

/// Sign, digit, point and three words of digits, rounded up.
const WINDOW: usize = 32;

const EIGHT_ZEROS: u64 = 0x3030_3030_3030_3030;

/// Fraction digits beyond the sixteenth are dropped: an error below 1e-16, which is under 16384 ulp of an
/// `f64` only for values above this.
pub(super) const LEAST_EXACT_ENOUGH: f64 = 6.2e-5;

/// The number at `at` with the offset after it, if it has the common shape and is settled in `f64`.
#[inline(always)]
pub(super) fn number(text: &[u8], at: usize) -> Option<Number> {
    let window = text.get(at..)?.first_chunk::<WINDOW>()?;
    let negative = window[0] == b'-';
    let sign_len = usize::from(negative);
    let units = window[sign_len].wrapping_sub(b'0');
    if units > 9 || window[sign_len + 1] != b'.' {
        return None;
    }
    let point = sign_len + 1;
    let high = word(window, point + 1);
    let mut fraction_len = leading_digits(high);
    let mut fraction = 100_000_000 * eight_digits(keep(high, fraction_len));
    if fraction_len == 8 {
        let low = word(window, point + 9);
        let low_len = leading_digits(low);
        fraction += eight_digits(keep(low, low_len));
        fraction_len += low_len;
    }
    if fraction_len == 16 {
        fraction_len += leading_digits(word(window, point + 17));
    }
    let end = point + 1 + fraction_len;
    if fraction_len == 0 || fraction_len == 24 || !ends_number(window[end]) {
        return None;
    }
    let scaled = 10_000_000_000_000_000 * u64::from(units) + fraction;
    let magnitude = if scaled == 0 && fraction_len < 16 {
        0.0
    } else {
        // Below 1e17, so the signed conversion (one instruction) is right.
        let value = scaled as i64 as f64 * 1e-16;
        if value < LEAST_EXACT_ENOUGH {
            return None;
        }
        narrow(value)?
    };
    // Signs are random, so a branch on them would be mispredicted every other time.
    let value = f32::from_bits(magnitude.to_bits() | u32::from(negative) << 31);
    Some((value, at + end))
}

#[inline(always)]
fn word(window: &[u8; WINDOW], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&window[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// How many bytes of the word, from the first (lowest), are ASCII digits before one that is not.
#[inline(always)]
fn leading_digits(word: u64) -> usize {
    let digits = word ^ EIGHT_ZEROS;
    // A carry out of a byte disturbs only later bytes, and that byte is itself no digit.
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    others.trailing_zeros() as usize / 8
}

/// The values of the first `len` digits, the rest zero.
#[inline(always)]
fn keep(word: u64, len: usize) -> u64 {
    // Shifted in two halves, because eight bytes at once would overflow the shift.
    let mask = (1u64 << (4 * len) << (4 * len)).wrapping_sub(1);
    (word ^ EIGHT_ZEROS) & mask
}

/// The number whose eight decimal digit values are the bytes of `digits`, the most significant lowest.
#[inline(always)]
fn eight_digits(digits: u64) -> u64 {
    const EVEN_BYTES: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let first = (pairs & EVEN_BYTES).wrapping_mul(100 + (1_000_000 << 32));
    let second = ((pairs >> 16) & EVEN_BYTES).wrapping_mul(1 + (10_000 << 32));
    first.wrapping_add(second) >> 32
}
