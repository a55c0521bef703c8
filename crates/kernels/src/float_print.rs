//! Writes `f32` values as JSON numbers.
//!
//! Invariant: the text is the shortest decimal that reads back as the same bits, and always has a point or
//! an exponent (`1.0`, `-0.0`, `1e-10`), so a reader that tells integers from floats sees a float.
//!
//! Values must be finite: JSON has no other numbers. The caller checks; a NaN or infinity comes out as a
//! word (`NaN`, `inf`) that every JSON reader refuses, never as a wrong number.

/// More than the longest text of an `f32` with its separator.
const RESERVE_PER_VALUE: usize = 24;

/// Appends the shortest decimal of `value`, which must be finite.
#[inline]
pub fn print_f32(value: f32, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    out.extend_from_slice(buffer.format(value).as_bytes());
}

/// Appends `[a,b,c]`, without spaces; all values must be finite.
pub fn print_f32_array(values: &[f32], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + RESERVE_PER_VALUE * values.len() + 2, 0);
    let room = &mut out[start..];
    let mut buffer = zmij::Buffer::new();
    let mut end = 0;
    for &value in values {
        room[end] = b',';
        end += 1;
        let text = buffer.format(value).as_bytes();
        copy_short(text, &mut room[end..]);
        end += text.len();
    }
    room[0] = b'[';
    end = end.max(1);
    room[end] = b']';
    out.truncate(start + end + 1);
}

/// Copies a text to the start of `room`. Most texts have 8 to 16 bytes, which two moves of eight cover; a call of
/// `memcpy` for each took an eighth of the time of printing.
#[inline(always)]
fn copy_short(text: &[u8], room: &mut [u8]) {
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) if text.len() <= 16 => {
            room[..8].copy_from_slice(first);
            room[text.len() - 8..text.len()].copy_from_slice(last);
        }
        _ => room[..text.len()].copy_from_slice(text),
    }
}
