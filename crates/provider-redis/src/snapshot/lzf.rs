//! LZF, the compression of strings in an RDB file.
//!
//! ```text
//! 000lllll                literal: l + 1 bytes follow
//! lllooooo oooooooo       copy l + 2 bytes from o + 1 bytes back (l < 7)
//! 111ooooo llllllll oooooooo   copy l + 9 bytes from o + 1 bytes back
//! ```
//! Invariant: exactly as many bytes come out as the file claims, or there is an error; nothing is allocated beyond
//! that claim, and the claim is at most [`MOST_PER_BYTE`] times the input.

/// Bytes that one compressed byte can stand for: three of them copy 264.
const MOST_PER_BYTE: u64 = 88;

/// True if `compressed` bytes can become `claimed` bytes.
pub fn is_possible(compressed: u64, claimed: u64) -> bool {
    claimed <= compressed.saturating_mul(MOST_PER_BYTE)
}

/// Appends what `input` stands for to `out`: `claimed` bytes, or `None` if it does not hold together.
pub fn decompress(mut input: &[u8], claimed: usize, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let end = start.checked_add(claimed)?;
    out.reserve(claimed);
    while let Some((control, rest)) = input.split_first() {
        input = rest;
        if *control < 32 {
            let (literal, rest) = input.split_at_checked(usize::from(*control) + 1)?;
            out.extend_from_slice(literal);
            input = rest;
        } else {
            let mut length = usize::from(*control >> 5) + 2;
            if length == 9 {
                let (more, rest) = input.split_first()?;
                (length, input) = (length + usize::from(*more), rest);
            }
            let (low, rest) = input.split_first()?;
            input = rest;
            let back = (usize::from(*control & 31) << 8 | usize::from(*low)) + 1;
            copy_back(out, start, back, length)?;
        }
        if out.len() > end {
            return None;
        }
    }
    (out.len() == end).then_some(())
}

/// Appends `length` bytes that begin `back` bytes before the end; they may overlap what they make.
fn copy_back(out: &mut Vec<u8>, start: usize, back: usize, length: usize) -> Option<()> {
    let from = out.len().checked_sub(back).filter(|from| *from >= start)?;
    if back >= length {
        out.extend_from_within(from..from + length);
    } else {
        (from..from + length).for_each(|at| out.push(out[at]));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(input: &[u8], claimed: usize) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        decompress(input, claimed, &mut out)?;
        Some(out.split_off(6))
    }

    #[test]
    fn literals_and_copies_give_the_bytes_back() {
        assert_eq!(plain(&[2, b'a', b'b', b'c', 0x20, 2], 6).unwrap(), b"abcabc");
        assert_eq!(plain(&[0, b'x', 0xe0, 0x57, 0], 97).unwrap(), [b'x'; 97]);
        assert_eq!(plain(&[], 0).unwrap(), b"");
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        assert!(plain(&[2, b'a'], 3).is_none());
        assert!(plain(&[0, b'a', 0x20], 4).is_none());
        assert!(plain(&[0, b'a', 0xe0], 4).is_none());
        assert!(plain(&[0, b'a', 0x20, 1], 4).is_none(), "it reaches before the string");
        assert!(plain(&[0, b'a', 0x20, 0], 3).is_none(), "longer than claimed");
        assert!(plain(&[0, b'a', 0x20, 0], 5).is_none(), "shorter than claimed");
        assert!(!is_possible(10, 881) && is_possible(10, 880));
    }
}
