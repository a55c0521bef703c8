//! Writes `f32` values as JSON numbers.
//!
//! Invariant: the text is the shortest decimal that reads back as the same bits, and always has a point or
//! an exponent (`1.0`, `-0.0`, `1e-10`), so a reader that tells integers from floats sees a float.
//!
//! Values must be finite: JSON has no other numbers. The caller checks; a NaN or infinity comes out as a
//! word (`NaN`, `inf`) that every JSON reader refuses, never as a wrong number.

/// Longest text of an `f32` with its separator, rounded up.
const RESERVE_PER_VALUE: usize = 16;

/// Appends the shortest decimal of `value`, which must be finite.
#[inline]
pub fn print_f32(value: f32, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    out.extend_from_slice(buffer.format(value).as_bytes());
}

/// Appends `[a,b,c]`, without spaces; all values must be finite.
pub fn print_f32_array(values: &[f32], out: &mut Vec<u8>) {
    out.reserve(RESERVE_PER_VALUE * values.len() + 2);
    out.push(b'[');
    for (i, &value) in values.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        print_f32(value, out);
    }
    out.push(b']');
}
